# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a gate as a process of its own, watched by a test in the place of systemd, and what can be done to it.

It runs an `ss` that fails for as long as the test wants.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .collection import collections_tree

# As _agent.service, but for the place where programs are looked for first.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run
run.PATH = sys.argv[2] + ":" + run.PATH
{prelude}
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.service import main
sys.exit(main(sys.argv[3:]))
"""
SS = """\
#!/bin/sh
[ ! -e {flag} ] || {{ echo "broken by a test" >&2; exit 255; }}
exec {ss} "$@"
"""
PATIENCE = 60.0


class AgentProcess:
    """An agent on a store and a log. What it needs and what it reports is in a folder of its own.

    `options` are more of its options; `prelude` is Python that runs before it begins.
    """

    def __init__(
        self,
        folder: Path,
        store: Path,
        log: Path,
        revocations: Path | None = None,
        options: Sequence[str] = (),
        prelude: str = "",
    ) -> None:
        self.flag, self.state, self.output = folder / "ss-fails", folder / "state", folder / "output"
        programs = folder / "programs"
        for one in (folder, programs, self.state):
            one.mkdir(mode=0o700, exist_ok=True)
        found = shutil.which("ss")
        assert found, "ss is missing: install iproute2"
        (programs / "ss").write_text(SS.format(flag=self.flag, ss=found))
        (programs / "ss").chmod(0o755)
        self.tree = str(collections_tree())
        self.command = [
            sys.executable, "-c", PROGRAM.format(prelude=prelude), self.tree, str(programs),
            "--store", str(store), "--session-log", str(log), "--state", str(self.state),
            "--revocations", "" if revocations is None else str(revocations), *options,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.status = ""
        self.is_ready = threading.Event()
        self.pings = 0
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiver.bind(str(folder / "notify"))
        self._environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "30000000"}
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> AgentProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()
        self._receiver.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                for line in self._receiver.recv(65536).decode().splitlines():
                    if line == "READY=1":
                        self.is_ready.set()
                    elif line == "WATCHDOG=1":
                        self.pings += 1
                    elif line.startswith("STATUS="):
                        self.status = line[7:]

    def start(self) -> None:
        """Return once it has done its first turn."""
        self.is_ready.clear()
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready.wait(0.05):
            assert self.is_running, f"the agent ended: {self.words()}"
            assert time.monotonic() < deadline, f"the agent did not become ready: {self.words()}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """It hangs until :meth:`go_on`."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def words(self) -> str:
        """The end of what it wrote."""
        return self.output.read_text()[-2000:]
