# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says that processes have used."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# How often it waited, and how its C library gets memory (musl maps and unmaps for each handshake).
OF_THE_MACHINE = ("epoll_wait", "epoll_pwait", "mmap", "munmap", "madvise", "brk")


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Time on a processor, of every thread, as the scheduler counts it (proc(5), schedstat: nanoseconds)."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def memory_kib(pids: list[int], kind: str = "Pss") -> int:
    """Proportional set size: a page that several processes share counts once. Or another line of smaps_rollup: `Rss`,
    or `Anonymous`, on which programs beside it have no influence.
    """
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{kind}:"):
                    total += int(line.split()[1])
    return total


@contextmanager
def system_calls(pid: int) -> Iterator[dict[str, int]]:
    """The process's system calls meanwhile, by name; filled in at the end. Those of the machine are left out."""
    strace = shutil.which("strace")
    if not strace:
        raise RuntimeError("strace is missing: scripts/packages.sh installs it")
    calls: dict[str, int] = {}
    with tempfile.NamedTemporaryFile() as found:
        tracer = subprocess.Popen([strace, "-c", "-o", found.name, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        if "attached" not in (message := tracer.stderr.readline()):
            raise RuntimeError(f"strace cannot attach to the process: {message.strip()}")
        try:
            yield calls
            time.sleep(0.3)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
        for line in Path(found.name).read_text().splitlines():
            words = line.split()
            if re.fullmatch(r"[\d.]+", words[0] if words else "") and words[-1] != "total":
                calls[words[-1]] = int(words[3])
    for name in OF_THE_MACHINE:
        calls.pop(name, None)


def waited(pid: int) -> float:
    """Seconds that the thread of a process that had to wait longest for a processor has waited for one."""
    found = [0]
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            found.append(int(path.read_text().split()[1]))
    return max(found) / 1e9
