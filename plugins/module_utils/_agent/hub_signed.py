# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the folder of what was taken back of signed tokens to what the records of the hub say, and tells of its own.

What the hub has is in the folder, until its end: an entry that somebody removes comes back. What was taken back on
this gate alone, or what the hub has lost, is to be told to the others. An entry that somebody made by hand has no end,
and is this gate's alone.
"""

from __future__ import annotations

import os
import time
import typing as t

from .._hub.merge import Merge
from .._revocations.store import (
    KINDS,
    SUBJECTS,
    TOKENS,
    Entry,
    MissingRevocations,
    Revocations,
    is_id,
    merged,
    open_revocations,
)

Key = t.Tuple[str, str]
LOCK_WAIT = 2.0


class SignedFolder:
    """The folder of a gate beside the records of the hub. A gate that takes no signed tokens has none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._looked: t.Tuple[t.Any, ...] = ()
        # Which folders had what the hub has; none where there were none
        self._filled: t.Tuple[t.Any, ...] = ()
        self._known: t.Set[str] = set()

    def is_another(self) -> bool:
        """Whether the folders are others than when this was asked the last time, and have nothing of the hub's yet."""
        found = tuple(one[:2] for one in self._times()) if self.path else ()
        is_another = found != self._filled
        self._filled = found
        return is_another and bool(found)

    def apply(self, merge: Merge, keys: t.Iterable[Key]) -> None:
        """Have these entries there, as far as the hub has them and they are not over."""
        if not self.path:
            return
        now = time.time()
        wanted = []
        for key in keys:
            found = merge.signed.get(key)
            if found is not None and found.until > now:
                wanted.append(Entry(*key, found.until, found.before))
        if not wanted:
            return
        try:
            with open_revocations(self.path, write=True, wait=LOCK_WAIT) as folder:
                for entry in wanted:
                    _put(folder, entry)
        except MissingRevocations:
            return

    def own(self, merge: Merge, must_look: bool = False) -> t.List[t.Tuple[Key, t.Optional[int], int]]:
        """What is in the folder and not in the hub: kind and name, time of issue and end."""
        looked = self._times() if self.path else ()
        if not looked or (looked == self._looked and not must_look):
            return []
        now = time.time()
        found: t.List[t.Tuple[Key, t.Optional[int], int]] = []
        try:
            with open_revocations(self.path) as folder:
                known = set()
                for kind, name in folder.names():
                    if not is_id(name):
                        continue
                    if kind == TOKENS:
                        known.add(name)
                        if name in self._known and not must_look:
                            continue
                    entry = folder.entry(kind, name)
                    if entry is not None and _is_news(entry, merge, now):
                        found.append(((kind, name), entry.issued_before, entry.until or 0))
        except MissingRevocations:
            return []
        # What was changed meanwhile is looked at the next time.
        self._looked, self._known = looked, known
        return found

    def _times(self) -> t.Tuple[t.Any, ...]:
        """What changes with each change of the folder."""
        try:
            found = [os.stat(os.path.join(self.path, kind), follow_symlinks=False) for kind in KINDS]
        except OSError:
            return ()
        return tuple((one.st_dev, one.st_ino, one.st_mtime_ns) for one in found)


def _put(folder: Revocations, entry: Entry) -> None:
    found = merged(entry, folder.entry(entry.kind, entry.id))
    if found is not None:
        folder.put(found)


def _is_news(entry: Entry, merge: Merge, now: float) -> bool:
    if entry.problem or entry.until is None or entry.until <= now:
        return False
    found = merge.signed.get((entry.kind, entry.id))
    if found is None or found.until < entry.until:
        return True
    return entry.kind == SUBJECTS and (found.before or 0) < (entry.issued_before or 0)
