# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the workers that run can carry the sessions that were asked for.

nginx starts with fewer descriptors than its configuration has where the system does not let it have more, and only an
alert in its error log tells of it. So what its workers really have is read from /proc.
"""

from __future__ import annotations

import os
import re

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .process import Finder, read_processes
from .syntax import directives, read_tree

# Of a worker's descriptors those that are no connections, and of its connections those that are no sessions. Role nginx
# adds them to two connections a session.
BESIDES = 512
# nginx's own, where the configuration does not say
DEFAULT_CONNECTIONS = 512
UNLIMITED = 2**63 - 1

_OPEN_FILES = re.compile(r"^Max open files\s+(\d+|unlimited)\s", re.MULTILINE)


class Capacity(NamedTuple):
    """What was asked for, and what the workers have: the least of them counts for each."""

    wanted: int
    workers: int
    descriptors: int
    connections: int

    @property
    def each(self) -> int:
        """Return how many sessions a worker can carry."""
        return max(0, min(self.connections, self.descriptors - BESIDES) // 2)

    @property
    def sessions(self) -> int:
        """Return how many sessions all workers can carry together."""
        return self.each * self.workers

    def problem(self) -> str:
        """Say what is lacking and what to set; nothing when all is well."""
        if self.sessions >= self.wanted:
            return ""
        who = "its worker" if self.workers == 1 else f"each of its {self.workers} workers"
        have = (
            f"{self.wanted} sessions were asked for (nginx_sessions), and nginx carries {self.sessions}: "
            f"{who} may have {self.descriptors} open files and {self.connections} connections"
        )
        if self.connections <= self.descriptors - BESIDES:
            return have + ". Its configuration was written for fewer: run site.yml"
        remedy = (
            f"Let a worker have {2 * self.wanted + 2 * BESIDES} open files (a limit of the service, the container or "
            "the machine; it counts from nginx's next start on)"
        )
        if self.each:
            remedy += f", or set nginx_worker_processes to {-(-self.wanted // self.each)} or more"
        return f"{have}. {remedy}"

    def result(self) -> Dict[str, Any]:
        """Return it as modules do."""
        return {
            "wanted": self.wanted,
            "sessions": self.sessions,
            "workers": self.workers,
            "descriptors": self.descriptors,
            "connections": self.connections,
            "problem": self.problem(),
        }


def descriptors(pid: int, proc: str = "/proc") -> Optional[int]:
    """Return how many files a process may have open; nothing when there is no such process."""
    try:
        with open(f"{proc}/{pid}/limits", encoding="ascii") as stream:
            found = _OPEN_FILES.search(stream.read())
    except OSError:
        return None
    if not found:
        return None
    return UNLIMITED if found.group(1) == "unlimited" else int(found.group(1))


def open_descriptors(pid: int, proc: str = "/proc") -> Optional[int]:
    """Return how many files a process has open; nothing when there is no such process, or that must not be seen."""
    folder = f"{proc}/{pid}/fd"
    try:
        # Linux 6.2 and newer give their number at once.
        return os.stat(folder).st_size or len(os.listdir(folder))
    except OSError:
        return None


def worker_connections(main: str) -> int:
    """Return how many connections the configuration lets a worker have."""
    for path in read_tree(main).files:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                text = stream.read()
        except OSError:
            continue
        for directive in directives(text):
            # nginx takes it once, and in the block events alone
            if (
                directive.words[0] == "worker_connections"
                and len(directive.words) == 2
                and directive.words[1].isdigit()
            ):
                return int(directive.words[1])
    return DEFAULT_CONNECTIONS


def measure(main: str, pids: Sequence[int], wanted: int = 0, proc: str = "/proc") -> Optional[Capacity]:
    """Compare the workers with what was asked for, by default what the configuration was written for; nothing without a
    worker.
    """
    limits: List[int] = [limit for limit in (descriptors(pid, proc) for pid in pids) if limit is not None]
    if not limits:
        return None
    connections = worker_connections(main)
    return Capacity(wanted or max(0, connections - BESIDES) // 2, len(limits), min(limits), connections)


def measure_running(binary: str, main: str, pid_file: str, wanted: int = 0) -> Optional[Capacity]:
    """Find the workers that accept connections and measure them."""
    processes = read_processes()
    master = Finder(binary, main, pid_file).master(processes)
    if not master:
        return None
    return measure(
        main, [process.pid for process in processes if process.parent == master.pid and process.is_worker], wanted
    )
