# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs and containers that the matrix starts, and how they all end with it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LABEL = f"wssgate.nginx.matrix={ROOT}"
# What names of containers begin with: two checkouts may be at work.
PREFIX = f"wssgate-matrix-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"
# In the environment of each program, and so of what that leaves behind, whatever its parent or group is by then
MARK = "WSSGATE_MATRIX"
# For what was asked to end and does not
SECONDS_TO_END = 10.0


class MatrixError(Exception):
    """What went wrong, for a person."""


class Children:
    """Programs that run, each with its own group, so that an interruption ends them all."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark or str(os.getpid())
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.is_stopping = False

    def go_on(self) -> None:
        """Raise MatrixError where an interruption has been asked for."""
        if self.is_stopping:
            raise MatrixError("interrupted")

    def run(self, command: list[str], timeout: float, **arguments: Any) -> int:
        """The exit code; raises subprocess.TimeoutExpired after `timeout` seconds, when the program has ended."""
        environment = {**arguments.pop("env", os.environ), MARK: self.mark}
        with self._lock:
            self.go_on()
            child = subprocess.Popen(command, start_new_session=True, env=environment, **arguments)
            self._running.add(child)
        try:
            return child.wait(timeout)
        finally:
            self._end([child])
            with self._lock:
                self._running.discard(child)

    def stop(self) -> None:
        """End what runs, and let nothing start any more."""
        with self._lock:
            self.is_stopping = True
            ending = list(self._running)
        self._end(ending)

    def _end(self, ending: list[subprocess.Popen[bytes]]) -> None:
        """Their groups: asked to, and made to, where they do not."""
        for child in ending:
            self._signal(child, signal.SIGTERM)
        end = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < end and any(child.poll() is None for child in ending):
            time.sleep(0.1)
        for child in ending:
            self._signal(child, signal.SIGKILL)
            # What waits for a disk that hangs cannot be ended.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(SECONDS_TO_END)

    def end_leftovers(self) -> list[int]:
        """End what ended programs have left behind, such as tests that were cut off; the process ids."""
        found: list[int] = []
        while pids := self._marked():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            found += [pid for pid in pids if pid not in found]
            time.sleep(0.05)
        return found

    def _marked(self) -> list[int]:
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            # Gone meanwhile, or another user's
            with contextlib.suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return [pid for pid in found if pid != os.getpid()]

    @staticmethod
    def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


CHILDREN = Children()


def docker(
    *arguments: str, check: bool = True, timeout: float = 300, is_cleaning: bool = False
) -> subprocess.CompletedProcess[str]:
    """A short command, which an interruption lets end: what it made is known, and removed.

    `is_cleaning`: it is run after an interruption, too.
    """
    if not is_cleaning:
        CHILDREN.go_on()
    command = ["docker", *arguments]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise MatrixError(f"docker {arguments[0]} has not ended after {timeout:.0f} s") from None
    if check and found.returncode:
        raise MatrixError(f"docker {arguments[0]}: {found.stderr.strip()[-2000:]}")
    return found


def remove_container(name: str) -> None:
    # An engine that hangs is not to hide what went wrong before. What it keeps, the next run removes.
    with contextlib.suppress(MatrixError):
        docker("rm", "--force", "--volumes", name, check=False, is_cleaning=True)


def remove_containers() -> None:
    """All that a run of this checkout has made, also one that was killed."""
    with contextlib.suppress(MatrixError):
        found = docker("ps", "--all", "--quiet", f"--filter=label={LABEL}", check=False, is_cleaning=True)
        for name in found.stdout.split():
            remove_container(name)
