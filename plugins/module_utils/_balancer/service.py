# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HAProxy and keepalived as systemd runs them, or HAProxy without: tests, start, reload, restart."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import typing as t

from .._host import run
from . import stats
from .error import BalancerError

# HAProxy resolves names and loads certificates before it tells whether it can do with its files.
TEST_LIMIT = 60.0
SYSTEMCTL_LIMIT = 90.0
_PAUSE = 0.05
# At the end of its test keepalived 2.2.7 sends SIGTERM to its own process group where it has scripts, and with that to
# itself, whatever it has found. Ignored, its exit status is the answer.
_WITHOUT_SIGTERM = 'trap "" TERM; exec "$@"'

# As HAProxy writes what ends it, with the number of the process; the second is of a process that was told to end.
_ALERT = re.compile(r"\[ALERT\] +\(\d+\) : (.+)")
_WAS_ENDED = "(Terminated)"


def alerts(journal: str) -> t.List[str]:
    """What HAProxy gave in its journal for the reason that it does not start, each once."""
    found = (match.group(1).strip() for match in map(_ALERT.search, journal.splitlines()) if match)
    return list(dict.fromkeys(line for line in found if not line.endswith(_WAS_ENDED)))


def wait(condition: t.Callable[[], t.Any], seconds: float) -> t.Any:
    """The condition's first true value, else the last one when the time is over."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found or time.monotonic() >= end:
            return found
        time.sleep(_PAUSE)


class Systemd:
    """A service of systemd's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, *words: str) -> None:
        """Have systemctl do it; the error has HAProxy's own reason, where its journal has one."""
        began = int(time.time())
        done = run.run(["systemctl", *words], limit=SYSTEMCTL_LIMIT, joined=True)
        if done.status != 0:
            reason = "; ".join(self._alerts_since(began)) or done.output.strip()
            raise BalancerError(f"systemctl {' '.join(words)} failed: {reason.rstrip('.')}", done.output)

    def _alerts_since(self, second: int) -> t.List[str]:
        command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--unit={self.name}", f"--since=@{second}"]
        try:
            return alerts(run.run(command).output)
        except run.ProgramError:
            return []

    def show(self, key: str) -> str:
        try:
            done = run.run(["systemctl", "show", "--value", "-p", key, self.name])
        except run.ProgramError:
            return ""
        return done.output.strip() if done.status == 0 else ""

    def is_running(self) -> bool:
        return self.show("ActiveState") in ("active", "activating", "reloading")

    def changed_at(self) -> float:
        """When it was last started or reloaded, in seconds since 1970; now where systemd does not tell."""
        found = self.show("StateChangeTimestampMonotonic")
        return time.time() - time.monotonic() + int(found) / 1e6 if found.isdigit() else time.time()

    def main_pid(self) -> int:
        number = self.show("MainPID")
        return int(number) if number.isdigit() else 0


class HAProxy:
    """HAProxy and its files."""

    def __init__(
        self, binary: str, directory: str, main: str, owned: str, socket: str, service: str, pid_file: str
    ) -> None:
        self.binary = binary
        self.directory, self.main, self.owned = directory, main, owned
        self.socket = socket
        self.systemd = Systemd(service) if service else None
        self.pid_file = pid_file

    def is_installed(self) -> bool:
        return os.access(self.binary, os.X_OK)

    def read_units(self) -> None:
        """Have systemd know of a drop-in that came or went."""
        if self.systemd:
            self.systemd.call("daemon-reload")

    def has_unread_units(self) -> bool:
        """Whether a run was killed before systemd had read the drop-in."""
        return bool(self.systemd and self.systemd.show("NeedDaemonReload") == "yes")

    def test(self, folder: str) -> None:
        """Have HAProxy judge a copy of its files, with the environment that the service has."""
        command = [self.binary, "-c", "-q", "-f", f"{folder}/{self.main}", "-f", f"{folder}/{self.owned}"]
        done = run.run(command, limit=TEST_LIMIT, joined=True)
        words = done.output.replace(folder, self.directory).strip()
        if done.status != 0:
            raise BalancerError(f"HAProxy refuses the configuration, and nothing was changed: {words}", words)

    def master(self) -> int:
        """The number of its first process, 0 where it does not run."""
        if self.systemd:
            return self.systemd.main_pid()
        with contextlib.suppress(OSError, ValueError):
            with open(self.pid_file, encoding="ascii") as stream:
                number = int(stream.read().split()[0])
            os.kill(number, 0)
            return number
        return 0

    def took_up_at(self) -> float:
        """When the process that serves began, in seconds since 1970, rounded down to a tick (10 ms); else now."""
        try:
            with open(f"/proc/{stats.pid(self.socket)}/stat", "rb") as stream:
                ticks = int(stream.read().rpartition(b")")[2].split()[19])
        except (OSError, ValueError, IndexError):
            return time.time()
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")

    def reads_folder(self) -> bool:
        """Whether it was started with the folder of services: a reload keeps the arguments of the start."""
        try:
            with open(f"/proc/{self.master()}/cmdline", "rb") as stream:
                words = stream.read().decode("utf-8", "replace").split("\0")
        except OSError:
            return False
        return os.path.join(self.directory, self.owned) in words

    def activate(self, restart: bool, seconds: float) -> str:
        """Have what is on the disk served; return ``started``, ``reloaded`` or ``restarted``."""
        before = stats.pid(self.socket)
        master = self.master()
        done = "restarted" if master and restart else "reloaded" if master else "started"
        if self.systemd:
            self.systemd.call(
                {"started": "start", "reloaded": "reload", "restarted": "restart"}[done], self.systemd.name
            )
        elif master and not restart:
            os.kill(master, signal.SIGUSR2)
        else:
            if master:
                os.kill(master, signal.SIGTERM)
                wait(lambda: self.master() != master, seconds)
            self._start()

        def is_new() -> bool:
            now = stats.pid(self.socket)
            return now is not None and now != before

        if not wait(is_new, seconds):
            raise BalancerError(f"no new process of HAProxy serves within {seconds:g} seconds: see its log")
        # In the moment in which its first process starts anew it has neither arguments nor, perhaps, a pid file.
        if not wait(self.reads_folder, seconds):
            raise BalancerError(
                f"HAProxy was not started with {os.path.join(self.directory, self.owned)}: a file such as "
                "/etc/default/haproxy sets the same variable as the drop-in of its service; take it out there"
            )
        return done

    def _start(self) -> None:
        folder = os.path.join(self.directory, self.owned)
        main = os.path.join(self.directory, self.main)
        command = [self.binary, "-W", "-D", "-p", self.pid_file, "-f", main, "-f", folder]
        done = run.run(command, limit=TEST_LIMIT, leaves_daemon=True)
        if done.status != 0:
            raise BalancerError(f"HAProxy does not start: {done.output.strip()}", done.output)


class Keepalived:
    """keepalived and its files."""

    def __init__(self, binary: str, directory: str, main: str, service: str) -> None:
        self.binary = binary
        self.directory, self.main = directory, main
        self.systemd = Systemd(service)

    def is_installed(self) -> bool:
        return os.access(self.binary, os.X_OK)

    def test(self, folder: str) -> None:
        command = ["/bin/sh", "-c", _WITHOUT_SIGTERM, "sh", self.binary, "-t", "-f", f"{folder}/{self.main}"]
        done = run.run(command, limit=TEST_LIMIT, joined=True)
        words = done.output.replace(folder, self.directory).strip()
        if done.status != 0:
            raise BalancerError(f"keepalived refuses the configuration, and nothing was changed: {words}", words)

    def activate(self, seconds: float) -> str:
        running = self.systemd.is_running()
        self.systemd.call("reload" if running else "start", self.systemd.name)
        if not wait(lambda: self.systemd.show("ActiveState") == "active", seconds):
            raise BalancerError(f"keepalived does not run: see journalctl -u {self.systemd.name}")
        return "reloaded" if running else "started"
