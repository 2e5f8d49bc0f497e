# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make nginx run what is on the disk, and prove that it does.

An exit status proves nothing: nginx's reload is a signal, and a master that can't take on the new configuration keeps
the former one and says so only in its log. New workers are the proof, for the master forks them last of all.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import time

from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._host.error import HostError
from .._host.run import Finished, run
from .files import Operations
from .process import (
    Finder,
    Process,
    now_in_ticks,
    read_processes,
)
from .syntax import Tree

START_LIMIT = 90
"""Seconds that a service manager may take to start nginx."""
POLL = 0.02
SETTLE = 0.1
"""Seconds that the same new workers have to be seen for: one that crashes at once is none."""
UNSERVED = 1.0
"""Seconds that a master may be without any worker, be it one that is about to serve."""
TICK = 0.02
"""Seconds, twice the unit in which /proc tells when a process started."""


class NotLive(Exception):
    """nginx did not take on what is on the disk; the text is its own, where it gave any."""


class System:
    """Everything that acts on processes or looks at them, so that tests can break each of it."""

    def run(self, command: Sequence[str], limit: float) -> Finished:
        """Run a command to its end."""
        return run(command, limit, leaves_daemon=True)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal."""
        os.kill(pid, number)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def clock(self) -> float:
        """Return seconds that only ever go up."""
        return time.monotonic()

    def ticks(self) -> int:
        """Return the clock by which processes start."""
        return now_in_ticks()

    def processes(self) -> List[Process]:
        """Return nginx's processes."""
        return read_processes()


# -- what nginx has read -----------------------------------------------------------------------------------------------


def changed_at(path: str) -> float:
    """Return when what ``path`` leads to was last exchanged or written, in seconds since 1970; 0 when it is not there.

    The change time is used, since anybody can set the modification time; and that of every symbolic link on the way,
    since certificates are often renewed by setting a link.
    """
    newest = 0.0
    resolved = "/"
    rest = path.split("/")[::-1]
    hops = 0
    status: Optional[os.stat_result] = None
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            resolved = os.path.dirname(resolved)
            continue
        candidate = os.path.join(resolved, part)
        try:
            status = os.lstat(candidate)
            if not stat.S_ISLNK(status.st_mode):
                resolved = candidate
                continue
            newest = max(newest, status.st_ctime)
            target = os.readlink(candidate)
        except OSError:
            return 0.0
        hops += 1
        if hops > 40:
            return 0.0
        if target.startswith("/"):
            resolved = "/"
        rest.extend(target.split("/")[::-1])
    return max(newest, status.st_ctime) if status else 0.0


def newest_change(tree: Tree, directory: str) -> Tuple[float, str]:
    """Return when the newest of what nginx reads changed, and what that is.

    Folders count as well, because a file that was removed has no time any more; not so ``directory`` itself, where work
    folders come and go.
    """
    itself = os.path.realpath(directory)
    paths = tree.files + tree.loaded
    paths += [folder for folder in tree.directories if os.path.realpath(folder) != itself]
    return max(((changed_at(path), path) for path in paths), default=(0.0, ""))


# -- nginx's messages ------------------------------------------------------------------------------------------------


def messages_of(output: str) -> List[str]:
    """Return what nginx said, from warnings upwards, without time stamps, process numbers and repetitions."""
    found: List[str] = []
    for said in re.findall(r"\[(?:emerg|alert|crit|warn)\] .*", output):
        said = re.sub(r"\A(\[\w+\]) \d+#\d+: (?:\*\d+ )?", r"\1 ", said)
        if said not in found:
            found.append(said)
    return found


class LogWatch:
    """Reads what nginx adds to its error logs from now on."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._starts: Dict[str, int] = {path: self._size(path) for path in paths}

    @staticmethod
    def _size(path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError:
            return 0

    def _lines(self) -> List[str]:
        lines: List[str] = []
        for path, start in self._starts.items():
            try:
                # A log may be a pipe or a terminal, reading which would wait.
                if not stat.S_ISREG(os.stat(path).st_mode):
                    continue
                with open(path, "rb") as stream:
                    stream.seek(start)
                    lines += stream.read(1 << 20).decode("utf-8", "replace").splitlines()
            except OSError:
                continue
        return lines

    def complaints(self, pid: int) -> List[str]:
        """Return what master ``pid`` and those of its workers that died complained of; if they did not, what any
        did.
        """
        lines = self._lines()
        mine = self._of(pid, lines)
        died = re.findall(r"worker process (\d+) exited", "\n".join(mine))
        last_words = [line for worker in died for line in self._of(int(worker), lines)]
        return self._worse_than_warnings(last_words + mine) or self._worse_than_warnings(lines)

    def gave_up(self, pid: int) -> bool:
        """Whether master ``pid`` said something after which it does not go on.

        That it could not bind() or listen() is not yet it: it tries five times. Other processes may have worries that
        have nothing to do with this.
        """
        return any(
            "cannot be respawned" in complaint
            or (complaint.startswith("[emerg]") and not re.match(r"\[emerg\] (?:bind|listen)\(\) to ", complaint))
            for complaint in self._worse_than_warnings(self._of(pid, self._lines()))
        )

    @staticmethod
    def _of(pid: int, lines: Sequence[str]) -> List[str]:
        return [line for line in lines if f"] {pid}#" in line]

    @staticmethod
    def _worse_than_warnings(lines: Sequence[str]) -> List[str]:
        return [said for said in messages_of("\n".join(lines)) if not said.startswith("[warn]")]


# -- acting ------------------------------------------------------------------------------------------------------------


class Family(NamedTuple):
    """A master and its children at one moment."""

    master: Optional[Process]
    children: List[Process]

    @property
    def workers(self) -> List[Process]:
        """Return those that accept connections."""
        return [child for child in self.children if child.is_worker]


class Activator:
    """Reloads, starts or restarts one nginx and returns the workers that prove it."""

    def __init__(
        self,
        finder: Finder,
        main: str,
        service: str,
        error_log: str,
        live_timeout: float,
        system: System,
        operations: Operations,
    ) -> None:
        self.warnings: List[str] = []
        self._finder = finder
        self._main = main
        self._service = service
        self._error_log = error_log
        self._live_timeout = live_timeout
        self._system = system
        self._operations = operations

    def family(self) -> Family:
        """Return the master and its children as they are now."""
        processes = self._system.processes()
        master = self._finder.master(processes)
        return Family(master, [process for process in processes if master and process.parent == master.pid])

    def reload(self, master: Process, before: Tree, after: Tree) -> List[int]:
        """Have ``master``, which has read ``before``, read ``after``."""
        since, watch = self._mark(before, after)
        try:
            self._system.signal(master.pid, signal.SIGHUP)
        except ProcessLookupError:
            raise NotLive(f"nginx's master, process {master.pid}, has just ended") from None
        return self._wait(since, watch)

    def start(self, tree: Tree) -> List[int]:
        """Start nginx, which does not run."""
        since, watch = self._mark(tree)
        return self._wait(since, watch, self._start(tree))

    def restart(self, before: Tree, after: Tree) -> List[int]:
        """End nginx, its sessions included, and start it."""
        since, watch = self._mark(before, after)
        master = self.family().master
        if master:
            self._system.signal(master.pid, signal.SIGTERM)
            deadline = self._system.clock() + self._live_timeout
            while self.family().master:
                if self._system.clock() > deadline:
                    raise NotLive(f"nginx's master, process {master.pid}, does not end")
                self._system.sleep(POLL)
        return self._wait(since, watch, self._start(after))

    def _mark(self, *trees: Tree) -> Tuple[int, LogWatch]:
        """Return a moment after the last change on the disk and before any new worker, and a view on the logs from
        then.
        """
        since = self._system.ticks()
        # Both clocks are coarse. Without the pause a new worker could seem as old as the files, or as the former
        # workers.
        self._system.sleep(TICK)
        return since, LogWatch(self._logs(trees))

    def _logs(self, trees: Sequence[Tree]) -> List[str]:
        # The master logs to the former configuration's log, then to the new one's, where bind() fails.
        logs = [self._error_log] if self._error_log else []
        for tree in trees:
            logs += [path for path in tree.error_logs if path not in logs]
        return logs

    def _start(self, tree: Tree) -> str:
        """Start nginx and return what the starter said, if it failed."""
        self._clear_the_way(tree)
        try:
            if not self._service:
                finished = self._system.run([self._finder.binary, "-c", self._main], START_LIMIT)
            elif os.path.isdir("/run/systemd/system"):
                # A unit that failed a few times in a row is refused until it is reset. Most often it did not, so the
                # status says nothing.
                self._system.run(["systemctl", "reset-failed", self._service], START_LIMIT)
                finished = self._system.run(["systemctl", "start", self._service], START_LIMIT)
            else:
                finished = self._system.run(["service", self._service, "start"], START_LIMIT)
        except HostError as error:
            return str(error)
        return (finished.output.strip() or "the start failed") if finished.status else ""

    def _clear_the_way(self, tree: Tree) -> None:
        """Remove what a killed nginx has left and a new one would stumble over, though its test passes."""
        for worker in self._finder.orphans(self._system.processes(), self._logs([tree])):
            # QUIT: it frees the listeners at once and sees its sessions through.
            self._system.signal(worker.pid, signal.SIGQUIT)
            self.warnings.append(f"worker {worker.pid} of a killed nginx held its listeners and was told to quit")
        # A process on its way out still answers for a moment.
        deadline = self._system.clock() + UNSERVED
        for path in tree.sockets:
            while _is_socket(path):
                if not _answers(path):
                    self._operations.unlink(path)
                    self.warnings.append(f"{path}, left by a killed nginx, was removed")
                elif self._system.clock() > deadline:
                    break
                else:
                    self._system.sleep(POLL)

    def _wait(self, since: int, watch: LogWatch, said: str = "") -> List[int]:
        """Return the workers that started after ``since``, once they are there to stay."""
        moment = self._system.clock()
        deadline = moment + self._live_timeout
        steady: List[int] = []
        steady_since = served = moment
        starting: Set[int] = set()
        while True:
            family = self.family()
            master, workers = family.master, family.workers
            new = sorted(worker.pid for worker in workers if worker.started > since)
            moment = self._system.clock()
            if new != steady:
                steady, steady_since = new, moment
            # A worker that takes its time to start, for example to look its account up, is none that died.
            were_starting, starting = starting, {child.pid for child in family.children if child.is_starting}
            if workers or not master or starting & were_starting:
                served = moment
            if steady and moment - steady_since >= SETTLE:
                if len(workers) == len(new) and not any(child.is_starting for child in family.children):
                    return steady
                if moment > deadline and len(workers) > len(new):
                    self.warnings.append("a former worker does not react to being told to quit")
                    return steady
            if (
                moment > deadline
                # Nobody accepts connections: the new workers died, the former ones were told to quit. Don't leave it at
                # that.
                or moment - served > UNSERVED
                or (not new and (watch.gave_up(master.pid) if master else bool(said)))
            ):
                complaints = watch.complaints(master.pid if master else 0) or said.splitlines()
                raise NotLive(
                    "; ".join(complaints)
                    or f"no steady new worker within {self._live_timeout:g} s, and its log does not say why"
                )
            self._system.sleep(POLL)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            # Busy, or not ours to know: somebody is there.
            return True
    return True
