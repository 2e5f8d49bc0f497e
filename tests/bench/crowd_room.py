# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many processes a crowd needs on this machine, and whether there is room for it."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import NamedTuple

# Descriptors of a process that are no connections
BESIDES = 512
# nginx does not share sessions out evenly: so much more than the mean may be one worker's.
UNEVEN = 1.35
# KiB of a session: nginx, its client, the kernel's four sockets
SESSION_KIB = 42 + 45 + 20
# Bytes that nginx sets aside for a connection: its structure and two events, 64 bits
ASIDE = 232 + 2 * 96


class Plan(NamedTuple):
    """Processes of each kind, and how many connections a client's or an upstream's process may have."""

    sessions: int
    descriptors: int
    workers: int
    clients: int
    upstreams: int
    bound: int

    @property
    def memory_mib(self) -> int:
        """What all of it takes at most, while nginx has two generations of workers."""
        aside = 2 * self.workers * (2 * self.sessions + BESIDES) * ASIDE
        return (self.sessions * SESSION_KIB * 1024 + aside) // 2**20 + 512


def plan(sessions: int, workers: int = 0, descriptors: int = 0) -> Plan:
    """Return a plan for so many sessions; `workers` and `descriptors` by default as this machine has it."""
    descriptors = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bound = max(1, descriptors - BESIDES)
    each = max(1, bound // 2)
    cores = os.cpu_count() or 1
    workers = workers or max(2, -(-int(sessions * UNEVEN) // each))
    return Plan(
        sessions,
        descriptors,
        workers,
        max(min(4, cores), -(-sessions * 11 // (bound * 10))),
        max(min(2, cores), -(-sessions * 12 // (bound * 10))),
        bound,
    )


def number_in(path: str) -> int:
    """The number in a file of the kernel's; a great one where there is none."""
    try:
        return int(Path(path).read_text().split()[0])
    except (OSError, ValueError):
        return 2**62


def mebibytes_available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def missing(wanted: Plan, available: int | None = None) -> str:
    """Say in a sentence what the machine lacks for it; nothing when it has all."""
    has = mebibytes_available() if available is None else available
    if os.geteuid():
        return "The crowd needs root: the agent closes sockets of others."
    if wanted.descriptors <= 2 * BESIDES:
        return f"A process may have {wanted.descriptors} descriptors here (ulimit -Hn); it needs at least 4,096."
    if (carried := wanted.workers * ((wanted.descriptors - BESIDES) // 2)) < wanted.sessions:
        return (
            f"{wanted.workers} workers of {wanted.descriptors:,} descriptors each carry {carried:,} sessions, not "
            f"{wanted.sessions:,}: give --workers a greater number."
        )
    if has < wanted.memory_mib:
        return (
            f"{wanted.sessions:,} sessions take some {wanted.memory_mib:,} MiB with both their ends, and {has:,} MiB "
            "are available: give --sessions a smaller number, or end what else runs."
        )
    if (files := number_in("/proc/sys/fs/file-max")) < 5 * wanted.sessions:
        return f"The kernel has {files:,} open files for all processes (fs.file-max); it needs {5 * wanted.sessions:,}."
    if (tracked := number_in("/proc/sys/net/netfilter/nf_conntrack_max")) < 2 * wanted.sessions:
        return (
            f"The kernel tracks {tracked:,} connections (net.netfilter.nf_conntrack_max); "
            f"it needs {2 * wanted.sessions:,}."
        )
    return ""
