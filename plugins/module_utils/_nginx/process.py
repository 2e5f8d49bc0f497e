# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find nginx's processes and tell which configuration they can have read.

Everything comes from /proc: the pid file may be stale or another's, and nginx itself tells nothing about what is
active.
"""

from __future__ import annotations

import os
import re
import time

from typing import Callable, List, NamedTuple, Optional, Sequence

from .._host.run import run
from .error import NginxError

MASTER = "nginx: master process"
WORKER = "nginx: worker process"
SHUTTING_DOWN = "nginx: worker process is shutting down"

_DELETED = " (deleted)"


class Process(NamedTuple):
    """A process as /proc shows it; ``started`` counts clock ticks since boot."""

    pid: int
    parent: int
    started: int
    title: str

    @property
    def is_worker(self) -> bool:
        """Whether it accepts connections."""
        return self.title.startswith(WORKER) and not self.is_shutting_down

    @property
    def is_shutting_down(self) -> bool:
        """Whether it only sees its open connections through."""
        return self.title.startswith(SHUTTING_DOWN)

    @property
    def is_starting(self) -> bool:
        """Whether it was forked and has not said yet what it is: a new child still bears its parent's title."""
        return self.title.startswith(MASTER)


class Build(NamedTuple):
    """What ``nginx -V`` says."""

    version: str
    arguments: List[str]
    openssl_version: str = ""

    def path(self, name: str, default: str) -> str:
        """Return the absolute path given to configure as ``--name=``; nginx resolves it below its prefix."""
        prefix = self.option("prefix") or "/usr/local/nginx"
        return os.path.join(prefix, self.option(name) or default)

    def option(self, name: str) -> str:
        """Return the value of ``--name=`` or nothing."""
        start = f"--{name}="
        for argument in self.arguments:
            if argument.startswith(start):
                return argument[len(start) :]
        return ""


_ARGUMENT = re.compile(r"""((?:[^\s'"]|'[^']*'|"[^"]*")+)""")


def parse_build(output: str) -> Build:
    """Read the output of ``nginx -V``."""
    version = re.search(r"^nginx version: [^/\s]+/(\S+)", output, re.MULTILINE)
    configured = re.search(r"^configure arguments: (.*)$", output, re.MULTILINE)
    if not version:
        raise NginxError("nginx -V does not say which version it is", output)
    arguments = _ARGUMENT.findall(configured.group(1)) if configured else []
    # nginx names the library that it was loaded with only where that is another than it was built with.
    openssl = re.search(r"^built with OpenSSL (\S+)(?:.*\(running with OpenSSL (\S+))?", output, re.MULTILINE)
    return Build(
        version.group(1),
        [re.sub(r"""(['"])(.*?)\1""", r"\2", argument) for argument in arguments],
        (openssl.group(2) or openssl.group(1)) if openssl else "",
    )


def read_build(binary: str) -> Build:
    """Ask ``binary`` how it was built."""
    return parse_build(run([binary, "-V"], 30, joined=True).output)


def now_in_ticks() -> int:
    """Return the clock that /proc/PID/stat uses, in the same unit."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def started_at(process: Process) -> float:
    """Return when ``process`` started, in seconds since 1970, rounded down to a tick (10 ms)."""
    return _booted_at() + process.started / os.sysconf("SC_CLK_TCK")


def _booted_at() -> float:
    """Return when the system started: of several looks at both clocks the one that was interrupted least."""
    looks = []
    for _number in range(5):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        looks.append((time.clock_gettime(time.CLOCK_BOOTTIME) - before, now - before))
    return min(looks)[1]


def read_process(pid: int, proc: str = "/proc") -> Optional[Process]:
    """Return process ``pid``; nothing when there is none or it is a zombie."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            # The name in parentheses may hold anything, also blanks and parentheses.
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]), _title(proc, str(pid)))


def read_processes(proc: str = "/proc") -> List[Process]:
    """Return nginx's processes of this host: masters, workers, helpers."""
    processes = []
    for name in os.listdir(proc):
        # Of the thousands that may run here, nginx's are few: the others' state is not even read.
        if name.isdigit() and _title(proc, name).startswith("nginx: "):
            process = read_process(int(name), proc)
            if process:
                processes.append(process)
    return processes


def _title(proc: str, name: str) -> str:
    try:
        with open(f"{proc}/{name}/cmdline", "rb") as stream:
            return stream.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _link(path: str) -> Optional[str]:
    """Return where a link in /proc leads; nothing when this user may not know."""
    try:
        return os.readlink(path)
    except PermissionError:
        return None
    except OSError:
        return ""


class Finder:
    """Tells the processes that run one main file with one binary from all others of the host."""

    def __init__(
        self, binary: str, main: str, pid_file: str, build: Optional[Callable[[], Build]] = None, proc: str = "/proc"
    ) -> None:
        self.binary = binary
        self.main = main
        self.pid_file = pid_file
        self.proc = proc
        self._build = build or (lambda: read_build(binary))
        self._default_main = ""

    def _runs_our_binary(self, process: Process) -> bool:
        """Compare binary and pid namespace: a container's nginx is seen from the host and must be left alone."""
        folder = f"{self.proc}/{process.pid}"
        program = _link(folder + "/exe")
        if program is None:
            # Another user's process: its title has to do. A signal could not be sent to it anyway.
            return True
        if program.endswith(_DELETED):
            program = program[: -len(_DELETED)]
        return program == os.path.realpath(self.binary) and (
            _link(folder + "/ns/pid") == _link(f"{self.proc}/self/ns/pid")
        )

    def _main_of(self, process: Process) -> str:
        words = process.title[len(MASTER) :].split()
        for position, word in enumerate(words):
            if word == "-c" and position + 1 < len(words):
                return words[position + 1]
            if word.startswith("-c") and len(word) > 2:
                return word[2:]
        if not self._default_main:
            self._default_main = self._build().path("conf-path", "conf/nginx.conf")
        return self._default_main

    def _runs_our_main(self, process: Process) -> bool:
        return os.path.realpath(self._main_of(process)) == os.path.realpath(self.main)

    def pid_in_file(self) -> int:
        """Return the number in the pid file, 0 when there is none."""
        try:
            with open(self.pid_file, "rb") as stream:
                return int(stream.read(32))
        except (OSError, ValueError):
            return 0

    def masters(self, processes: Sequence[Process]) -> List[Process]:
        """Return the masters that run our main file."""
        entitled = [process for process in processes if process.title.startswith(MASTER)]
        pids = {process.pid for process in entitled}
        return [
            process
            for process in entitled
            if self._runs_our_binary(process)
            and self._runs_our_main(process)
            # A child that has just been forked bears its master's title.
            and (process.parent not in pids or process.pid == self.pid_in_file())
        ]

    def master(self, processes: Sequence[Process]) -> Optional[Process]:
        """Return the master that runs our main file, or nothing."""
        found = self.masters(processes)
        wanted = self.pid_in_file()
        # While a binary is being exchanged (USR2) there are two; the pid file names the new one.
        found = [process for process in found if process.pid == wanted] or found
        if len(found) > 1:
            raise NginxError(
                f"{self.main} is run by more than one nginx master (pids "
                f"{', '.join(str(process.pid) for process in found)}) and {self.pid_file} names none of them: "
                "end all but one, then try again"
            )
        return found[0] if found else None

    def orphans(self, processes: Sequence[Process], logs: Sequence[str]) -> List[Process]:
        """Return workers whose master is gone (killed); they hold its listeners and keep a new one from starting.

        Ours are those that have one of ``logs`` open.
        """
        alive = {process.pid for process in processes}
        return [
            process
            for process in processes
            if process.is_worker
            and process.parent not in alive
            and self._runs_our_binary(process)
            and self._has_open(process, logs)
        ]

    def _has_open(self, process: Process, paths: Sequence[str]) -> bool:
        folder = f"{self.proc}/{process.pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            return False
        return any(_link(f"{folder}/{name}") in paths for name in names)
