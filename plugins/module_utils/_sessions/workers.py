# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When processes were started, and the system, by clocks that may have been set since."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t


def started_at(pid: int, proc: str = "/proc") -> t.Optional[float]:
    """Return when a process started, in seconds since 1970 and rather too early; None where /proc does not show it."""
    found = started_after_boot(pid, proc)
    return None if found is None else booted_at() + found


def started_after_boot(pid: int, proc: str = "/proc") -> t.Optional[float]:
    """Return how many seconds after the system a process started; None where /proc does not show it."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as stream:
            # The name in parentheses may hold anything, also blanks and parentheses.
            ticks = int(stream.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return ticks / os.sysconf("SC_CLK_TCK")


def booted_at(run: str = "/run") -> float:
    """Return when the system started, in seconds since 1970, by the earliest of the clocks that there is evidence of.

    A clock that was set forward since then makes the start of everything seem later than what was logged at that time.
    The files of /run were made since the start, by the clock as it was then, where that is a file system in memory.
    """
    moments = [time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)]
    with contextlib.suppress(OSError):
        if os.stat(run).st_dev != os.stat(os.path.join(run, "..")).st_dev:
            with os.scandir(run) as entries:
                moments += [entry.stat(follow_symlinks=False).st_mtime for entry in entries]
    return min(moments)
