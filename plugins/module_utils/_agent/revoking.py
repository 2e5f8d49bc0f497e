# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends the sessions of removed tokens, and of signed ones that were taken back, for modules and for the pruner.

That is done at once, unless the agent of the host gives an application time to close them: then the agent asks it and
has the kernel close what is left, and here it is waited for. An agent that does not run delays that end, no more.
"""

from __future__ import annotations

import time
import typing as t

from .._host.error import HostError
from .._revocations.store import Revocations
from .._sessions import sockets
from .._sessions.ending import SETTLE, Ended, Wanted, end_present, end_sessions
from .._sessions.follow import Follower
from .._sessions.log import Key, MissingLog, Session, still_open
from .notify_settings import STATE, grace_of

# Seconds beyond the grace that the agent has
PATIENCE = 2.0
PAUSE = 0.1
# A session whose worker crashed has no end in the log: the kernel is asked once in a while.
LOOK_EVERY = 1.0


class _Others(Wanted):
    """Those of the wanted sessions that no agent knows of: their token was not removed by this call."""

    def __init__(self, wanted: Wanted, removed: t.Container[str]) -> None:
        super().__init__(wanted.names, wanted.fingerprints, wanted.until)
        self._removed = removed

    def covers(self, session: Session) -> bool:
        return session.token not in self._removed and super().covers(session)


def sessions_before(store: str, session_log: str, wanted: Wanted) -> t.FrozenSet[Key]:
    """The open sessions of tokens that are about to be removed, where an application may close them at any moment."""
    if not session_log or not wanted or not grace_of(store, STATE):
        return frozenset()
    try:
        follower = Follower(session_log, concerns=wanted.concerns)
        follower.read()
        return frozenset(session.key for session in _alive(follower, wanted))
    except HostError:  # who ends them reports it
        return frozenset()


def end_in_grace(
    store: str,
    session_log: str,
    wanted: Wanted,
    removed: t.Collection[str],
    dry: bool = False,
    before: t.FrozenSet[Key] = frozenset(),
) -> Ended:
    """End the open sessions of these tokens; those that were ``removed`` just now when an application had its time.

    ``before``: what :func:`sessions_before` returned. Sessions that are over by now count as ended.
    """
    grace = grace_of(store, STATE) if wanted and removed and not dry else 0
    if not grace:
        return end_sessions(session_log, wanted, dry)
    end_sessions(session_log, _Others(wanted, frozenset(removed)))
    seen = set(before)
    try:
        left = _wait(session_log, wanted, grace + PATIENCE, seen)
    except HostError:
        left = 0  # end_sessions reports it
    ended = end_sessions(session_log, wanted)
    # Some of those that were left may have ended since, and others may have been logged.
    found = len(seen) - left + max(ended.found, left)
    return ended._replace(found=found, ended=found - ended.remaining)


class TakenBack(Wanted):
    """Signed tokens that are taken back: by their ids, and those of a subject that were issued before a time."""

    def __init__(self, token_ids: t.Iterable[str], subjects: t.Mapping[str, int]) -> None:
        super().__init__()
        self._token_ids = frozenset(token_ids)
        self._subjects = dict(subjects)

    def __bool__(self) -> bool:
        return bool(self._token_ids or self._subjects)

    def concerns(self, token: str, token_id: str = "") -> bool:
        # A line has the subject in another spelling.
        return bool(self._subjects) or token_id in self._token_ids

    def covers(self, session: Session) -> bool:
        if session.token_id and session.token_id in self._token_ids:
            return True
        before = self._subjects.get(session.subject) if session.subject else None
        return before is not None and (session.issued is None or session.issued < before)


def open_sessions_of(session_log: str, wanted: TakenBack) -> t.FrozenSet[Key]:
    """The open sessions of these tokens, as far as that can be told."""
    try:
        follower = Follower(session_log, concerns=wanted.concerns)
        follower.read()
        return frozenset(session.key for session in _alive(follower, wanted))
    except HostError:  # who ends them reports it
        return frozenset()


def end_taken_back(store: str, session_log: str, wanted: TakenBack, before: t.FrozenSet[Key], dry: bool) -> Ended:
    """End the open sessions of signed tokens that were taken back just now, when an application had its time.

    ``before``: those that were open before, see :func:`open_sessions_of`. An agent may have ended them by now: they
    count as ended.
    """
    seen = set(before)
    try:
        grace = 0 if dry else grace_of(store, STATE)
        if grace:
            _wait(session_log, wanted, grace + PATIENCE, seen)
        ended, found, _left = end_present(session_log, wanted.covers, dry, False, wanted.concerns)
    except HostError as error:
        return Ended(reason=str(error), tokens=None)
    seen.update(session.key for session in found)
    return ended._replace(found=len(seen), ended=len(seen) - ended.remaining)


def end_void(session_log: str, folder: Revocations) -> Ended:
    """End the open sessions of all signed tokens that were taken back."""

    def is_meant(session: Session) -> bool:
        return session.is_signed and folder.is_void(session.token_id, session.subject, session.issued)

    if not session_log or next(folder.names(), None) is None:
        return Ended()
    try:
        return end_present(session_log, is_meant, only_present=False)[0]
    except MissingLog:  # a gate that is not there yet; who prunes tokens reports it
        return Ended()


def _wait(session_log: str, wanted: Wanted, seconds: float, seen: t.Set[Key]) -> int:
    """Wait until the sessions are over, at most so long; return how many are left. They are added to ``seen``."""
    follower = Follower(session_log, concerns=wanted.concerns)
    began = time.monotonic()
    next_look = began
    while True:
        follower.read()
        alive = [session for session in follower.open.values() if wanted.covers(session)]
        now = time.monotonic()
        is_late = now - began >= seconds
        if alive and (now >= next_look or is_late):
            alive = _alive(follower, wanted)
            next_look = now + LOOK_EVERY
            seen.update(session.key for session in alive)
        if is_late or (not alive and now - began >= SETTLE):
            return len(alive)
        time.sleep(PAUSE if alive else SETTLE)


def _alive(follower: Follower, wanted: Wanted) -> t.List[Session]:
    some = [session for session in follower.open.values() if wanted.covers(session)]
    pairs = {session.pair for session in some if session.pair is not None}
    return still_open(some, sockets.live_pairs(pairs) if pairs else {})
