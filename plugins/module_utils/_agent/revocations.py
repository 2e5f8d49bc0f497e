# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends the sessions of signed tokens that were taken back, and removes what was taken back once nothing can count.

What was taken back is on the disk alone, and each session is judged by that: when an entry comes, the sessions that it
is about; when a session is new, that one, as nginx may have judged it a moment before; and all of them when the agent
starts, when another folder is in the place, and where the kernel tells of nothing.

A folder that is not there ends no session: it was unmounted or moved, and nginx lets nobody in meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
import typing as t

from .._host import inotify
from .._host.error import HostError, told
from .._host.inotify import Inotify
from .._revocations.store import (
    KINDS,
    STAYS,
    SUBJECTS,
    TOKENS,
    Entry,
    MissingRevocations,
    Revocations,
    id_of_subject,
    is_id,
    open_revocations,
)
from .._sessions.log import Session
from .causes import REVOKED
from .duty import Duty, Gate

# Without inotify everything is looked at this often.
POLL = 0.5
# A folder that is not there is looked for this often: while a session is open that it may be about, and else.
MISSING, IDLE = 1.0, 60.0
# A time that somebody writes by hand may be there in part. It is looked at again after this.
SECOND_LOOK = 0.3
LOCK_WAIT = 2.0
# Until what is over and could not be removed is tried again
PRUNE_PAUSE = 60.0
_EVENTS = inotify.MOVED_TO | inotify.CLOSE_WRITE | inotify.CREATE | inotify.MODIFY | inotify.ATTRIB
_EVENTS |= inotify.MOVED_FROM | inotify.DELETE | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ONLY_FOLDER
_LOST = inotify.IGNORED | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.OVERFLOW | inotify.UNMOUNT

# A client that reconnects again and again has one subject.
_id_of = functools.lru_cache(maxsize=4096)(id_of_subject)


class Revoked(Duty):
    """The signed tokens that were taken back."""

    name = "revocations"

    def __init__(self, gate: Gate, path: str) -> None:
        super().__init__(gate)
        self.path = path
        self._kernel = Inotify.or_none()
        self._watches: t.Dict[int, str] = {}  # the folder that each is of; empty for the one above
        self._new: t.List[Session] = []
        self._names: t.Set[t.Tuple[str, str]] = set()  # entries that are new or others
        self._again: t.Set[t.Tuple[str, str]] = set()  # those that may not be complete
        self._again_at = float("inf")
        self._must_look = True  # at everything
        self._looks_at = 0.0
        self._end = float("inf")  # when the first entry is over, in seconds since 1970
        self._prunes_at = 0.0

    def started(self, sessions: t.Sequence[Session]) -> None:
        self._new += [session for session in sessions if session.is_signed]

    def turn(self) -> None:
        now = time.monotonic()
        self._read_events()
        if now >= self._again_at:
            self._names |= self._again
            self._again, self._again_at = set(), float("inf")
        must_look = self._must_look or now >= self._looks_at
        if must_look or self._new or self._names:
            self._look(now, must_look)
        if now >= self._prunes_at and time.time() >= self._end:
            self._prune(now)

    def _look(self, now: float, must_look: bool) -> None:
        # After a failure everything is looked at: what the kernel reported was read.
        self._must_look = True
        try:
            # Before there was a watch anything may have happened.
            must_look = self._watch() or must_look
            with open_revocations(self.path) as folder:
                self._judge(folder, must_look)
                self._keep_in_mind(folder, must_look)
        except MissingRevocations:
            self._is_missing()
            return
        self._must_look = False
        self._new, self._names = [], set()
        self._looks_at = now + POLL if self._is_polling else float("inf")
        self.gate.note("no revocations", "")

    def next_turn(self) -> t.Optional[float]:
        now = time.monotonic()
        if self._new or self._names:
            return now
        found = min(self._looks_at, self._again_at, max(self._prunes_at, now + self._end - time.time()))
        return None if found == float("inf") else found

    def descriptors(self) -> t.List[int]:
        return [] if self._kernel is None else [self._kernel.fd]

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()

    # The folder

    @property
    def _is_polling(self) -> bool:
        return len(self._watches) <= len(KINDS)

    def _read_events(self) -> None:
        for event in [] if self._kernel is None else self._kernel.read():
            # Those of a watch that was given up tell nothing more.
            kind = self._watches.get(event.watch)
            is_lost = event.mask & _LOST and (kind is not None or event.mask & inotify.OVERFLOW)
            if is_lost or (kind == "" and event.name in KINDS):
                self._forget()
            elif kind and is_id(event.name):
                self._names.add((kind, event.name))

    def _forget(self) -> None:
        """Watch the folders anew, and look at everything: they may be others."""
        if self._kernel is not None:
            for watch in self._watches:
                self._kernel.remove(watch)
        self._watches = {}
        self._must_look = True
        self._looks_at = 0.0

    def _watch(self) -> bool:
        """Have the kernel tell of all folders; return whether it does that from now on."""
        if self._kernel is None or not self._is_polling:
            return False
        for kind in ("", *KINDS):
            if kind not in self._watches.values():
                path = os.path.join(self.path, kind) if kind else self.path
                # No watch is left, or the folder is not there. It is looked at again and again then.
                with contextlib.suppress(OSError):
                    self._watches[self._kernel.add(path, _EVENTS)] = kind
        return not self._is_polling

    def _is_missing(self) -> None:
        """A gate that takes no signed tokens has no such folder."""
        is_needed = any(session.is_signed for session in self.gate.open_sessions().values())
        self._forget()
        self._new, self._names = [], set()
        self._end = float("inf")
        self._looks_at = time.monotonic() + (MISSING if is_needed else IDLE)
        problem = f"{self.path} is not whole: no session of a signed token that was taken back is ended"
        self.gate.note("no revocations", problem if is_needed else "")

    # The sessions

    def _judge(self, folder: Revocations, must_look: bool) -> None:
        sessions: t.Iterable[Session] = self._new
        if must_look:
            sessions = self.gate.open_sessions().values()
        elif self._names:
            # Those that are new are among them.
            sessions = [one for one in self.gate.open_sessions().values() if self._is_about(one)] + self._new
        void = [session for session in sessions if session.is_signed and self._is_void(folder, session)]
        if void:
            self.gate.end(void, REVOKED)

    def _is_about(self, session: Session) -> bool:
        if not session.is_signed:
            return False
        if (TOKENS, session.token_id) in self._names:
            return True
        return bool(session.subject) and (SUBJECTS, _id_of(session.subject)) in self._names

    def _is_void(self, folder: Revocations, session: Session) -> bool:
        if session.token_id and folder.entry(TOKENS, session.token_id) is not None:
            return True
        entry = folder.entry(SUBJECTS, _id_of(session.subject)) if session.subject else None
        if entry is None:
            return False
        if entry.problem and 0 <= time.time() - entry.changed_at < SECOND_LOOK:
            self._again.add((entry.kind, entry.id))
            self._again_at = min(self._again_at, time.monotonic() + SECOND_LOOK)
            return False
        return entry.covers(session.issued)

    # The ends of entries

    def _keep_in_mind(self, folder: Revocations, must_look: bool) -> None:
        """When the first entry is over."""
        if must_look:
            self._end = float("inf")
            entries: t.Iterable[t.Optional[Entry]] = folder.entries()
        else:
            entries = (folder.entry(kind, name) for kind, name in self._names)
        for entry in entries:
            if entry is not None and entry.until is not None:
                self._end = min(self._end, entry.until + STAYS)

    def _prune(self, now: float) -> None:
        """Remove what is over. What cannot be removed holds up nothing else."""
        problem = ""
        try:
            with open_revocations(self.path, write=True, wait=LOCK_WAIT) as folder:
                removed = folder.prune(time.time())
                self._keep_in_mind(folder, must_look=True)
            if removed:
                self.gate.say(f"removed {removed} revocations of signed tokens whose time is over")
        except (HostError, OSError) as error:
            problem = f"revocations that are over stay: {told(error)}"
            self._prunes_at = now + PRUNE_PAUSE
        self.gate.note("old revocations", problem)
