# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that tests start beside a gate, and waiting for what they do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of the condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {condition}"
        time.sleep(0.01)
    return value


def is_running(pid: int) -> bool:
    """A zombie is not: who reaps it may take its time."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def end(pids: list[int], patience: float = 5.0) -> None:
    """Ends processes, by force those that are still there after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not any(map(is_running, pids)), patience)
            return


def start(
    program: str, *arguments: str, python: Path | str = sys.executable, **options: Any
) -> subprocess.Popen[bytes]:
    """A program of this folder (`echo_server`), once it has printed that it is ready."""
    command = [str(python), str(Path(__file__).with_name(f"{program}.py")), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == b"ready\n", f"{program} printed {line!r} instead of ready"
    return process


@contextlib.contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with start(program, *arguments) as process:
        try:
            yield process
        finally:
            process.terminate()
