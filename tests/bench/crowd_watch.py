# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a crowd: the greatest value of a while, percentiles, and how even the workers are."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

from .measures import percentile


class Peak:
    """The greatest value that a look has had, twice a second, while this is entered."""

    def __init__(self, look: Callable[[], float]) -> None:
        self._look, self._over = look, threading.Event()
        self.most = look()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            with contextlib.suppress(OSError):
                self.most = max(self.most, self._look())


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and the greatest, in milliseconds; nothing of nothing."""
    if not seconds:
        return {}
    found = [percentile(seconds, share) for share in (0.5, 0.99, 1.0)]
    return dict(zip(("p50_ms", "p99_ms", "max_ms"), (round(one * 1e3, 1) for one in found), strict=True))


def spread(workers: list[int]) -> dict[str, Any]:
    """How many descriptors the workers have: the least, the mean, the greatest."""
    counts = []
    for pid in workers:
        with contextlib.suppress(OSError):
            counts.append(len(os.listdir(f"/proc/{pid}/fd")))
    if not counts:
        return {}
    return {"least": min(counts), "mean": round(sum(counts) / len(counts)), "most": max(counts)}
