# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks for the tokens that end next, a part of the store at a time: of a million files it takes seconds."""

from __future__ import annotations

import time
import typing as t

from .._tokens.store import open_store

# Tokens whose end is nearer than this are kept in memory, by time. The others are found by the next look through the
# store, so that a store of any size costs little memory.
HORIZON = 900.0
SCAN_EVERY = 300.0
# Some milliseconds. What ends meanwhile does not wait for longer.
FILES_AT_ONCE = 2000
End = t.Tuple[float, str]


class LookAhead:
    """A look through the store, every so often. Between its parts the agent does whatever is due."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._next = float("inf")
        self._judged = 0.0
        self._parts: t.Optional[t.Iterator[t.List[End]]] = None
        self._found: t.List[End] = []

    def restart(self, judged: float) -> None:
        """Begin anew in a while. What was in the store at the time ``judged`` was looked at then."""
        self._parts = None
        self._judged = judged
        self._next = time.monotonic() + SCAN_EVERY

    def due_at(self) -> float:
        """When the next part is to be looked at, by the monotonic clock."""
        return 0.0 if self._parts is not None else self._next

    def go_on(self) -> bool:
        """Look at some more files; return whether all were looked at."""
        if self._parts is None:
            self._found = []
            self._parts = self._look(time.time() + HORIZON)
        part = None
        try:
            part = next(self._parts, None)
        finally:
            if part is None:
                self.restart(self._judged)
        self._found += part or []
        return part is None

    def merged(self, ends: t.Iterable[End]) -> t.List[End]:
        """These and those that were found, as a heap."""
        now = time.time()
        return sorted({*ends, *(end for end in self._found if end[0] > now)})

    def has_due(self, known: t.Container[str]) -> bool:
        """Whether something looks due that nobody knows of. It may be corrupt, or somebody else's JSON."""
        now = time.time()
        return any(end <= now and name not in known for end, name in self._found)

    def _look(self, until: float) -> t.Iterator[t.List[End]]:
        with open_store(self.path, write=False) as store:
            yield from store.ends(self._judged, until, FILES_AT_ONCE)
