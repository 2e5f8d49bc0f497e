# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The open sessions of tokens, and how to end them."""

from __future__ import annotations

import contextlib
import time
import typing as t
from collections import Counter

from .._host.error import HostError
from .._tokens.record import full_fingerprint
from . import sockets
from .lines import Concerns
from .log import Key, Log, LogFile, Session, open_logs, ports_of, still_open
from .sockets import SocketError

# A worker that found the token's file just before it was removed has written its line after this time.
SETTLE = 0.05
DEADLINE = 0.9
TRIES_AT_LEAST = 3
PAUSE = 0.03


class Ended(t.NamedTuple):
    """What became of the open sessions of some tokens."""

    found: int = 0
    ended: int = 0
    remaining: int = 0
    reason: str = ""
    # The tokens of those that remain; None where nobody could look.
    tokens: t.Optional[t.FrozenSet[str]] = frozenset()

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {"found": self.found, "ended": self.ended, "remaining": self.remaining}


def open_sessions(path: str, concerns: t.Optional[Concerns] = None) -> t.List[Session]:
    """The sessions that are open now, oldest first. ``concerns``: those of certain tokens, and perhaps some others."""
    log = Log(concerns=concerns)
    with open_logs(path) as files:
        for file in files:
            for part in file.parts():
                log.feed(part)
        sessions = list(log.open.values())
        live = sockets.live_sockets(ports_of(sessions))
    return still_open(sessions, live)


def signed_like(path: str, fingerprints: t.Sequence[str]) -> t.Dict[str, int]:
    """The ids of signed tokens that begin so, with how many of their sessions are open; none where nobody can look."""
    if not path or not fingerprints:
        return {}
    starts = tuple(fingerprints)
    try:
        sessions = open_sessions(path, lambda _token, token_id: token_id.startswith(starts))
    except HostError:  # who ends sessions reports it
        return {}
    return dict(Counter(session.token_id for session in sessions if session.token_id.startswith(starts)))


class Wanted:
    """The tokens whose sessions shall end: by name, or by the beginning of their SHA-256.

    With a time behind a name only the sessions that began until then: the token was removed, and issued anew.
    """

    def __init__(
        self,
        names: t.Iterable[str] = (),
        fingerprints: t.Iterable[str] = (),
        until: t.Optional[t.Mapping[str, float]] = None,
    ) -> None:
        self.names = frozenset(names)
        self.fingerprints = tuple(fingerprints)
        self.until = dict(until or {})

    def __bool__(self) -> bool:
        return bool(self.names or self.fingerprints or self.until)

    def covers(self, session: Session) -> bool:
        if not session.token:
            return False
        return session.token in self or session.started_at <= self.until.get(session.token, float("-inf"))

    def concerns(self, token: str, token_id: str = "") -> bool:
        """Whether sessions of this token may be covered: of others, the session log's lines need not be read."""
        return bool(token) and (token in self.until or token in self)

    def __contains__(self, token: str) -> bool:
        if token in self.names:
            return True
        return bool(self.fingerprints) and full_fingerprint(token).startswith(self.fingerprints)


def end_sessions(path: str, wanted: Wanted, dry: bool = False) -> Ended:
    """End the open sessions of these tokens. Call it when the tokens' files are gone."""
    if not wanted:
        return Ended()
    try:
        with open_logs(path) as files:
            if not dry:
                with contextlib.suppress(OSError):
                    files[-1].secure()
            return _end_sessions(files, wanted.covers, dry, concerns=wanted.concerns)[0]
    except HostError as error:
        return Ended(reason=str(error), tokens=None)


def end_present(
    path: str,
    is_meant: t.Callable[[Session], bool],
    dry: bool = False,
    only_present: bool = True,
    concerns: t.Optional[Concerns] = None,
) -> t.Tuple[Ended, t.List[Session], t.List[Session]]:
    """End those of the open sessions that are meant; return them, and those of them that remain.

    What begins after the first look is left alone: a client whose token is valid may be back at once. Without
    ``only_present`` a session that a worker logs in that moment is ended as well. ``concerns``: which tokens may be
    meant.
    """
    with open_logs(path) as files:
        if not dry:
            with contextlib.suppress(OSError):
                files[-1].secure()
        return _end_sessions(files, is_meant, dry, only_present, concerns)


def _end_sessions(
    files: t.Sequence[LogFile],
    is_meant: t.Callable[[Session], bool],
    dry: bool,
    only_present: bool = False,
    concerns: t.Optional[Concerns] = None,
) -> t.Tuple[Ended, t.List[Session], t.List[Session]]:
    """What became of them, the sessions that were found, and those that remain."""
    log = Log(concerns=concerns)
    seen: t.Dict[Key, Session] = {}
    present: t.Optional[t.Set[Key]] = None
    reason = ""
    tries = 0
    started = time.monotonic()
    while True:
        settled = dry or time.monotonic() - started >= SETTLE
        for file in files:
            for part in file.parts():
                log.feed(part)
        if present is None:
            targets = [session for session in log.open.values() if is_meant(session)]
            if only_present:
                present = {session.key for session in targets}
        else:
            targets = [session for session in log.open.values() if session.key in present]
        try:
            live = sockets.live_pairs({session.pair for session in targets if session.pair is not None})
        except SocketError as error:
            return Ended(len(targets), 0, len(targets), str(error), None), targets, targets
        alive = still_open(targets, live)
        seen.update((session.key, session) for session in alive)
        # Several requests of one connection (HTTP/2) end with it.
        ends = list(dict.fromkeys(live[session.pair] for session in alive if session.pair is not None))
        # On a busy machine the first look alone may take longer than the deadline: that is no reason to leave them
        # open.
        is_late = tries >= TRIES_AT_LEAST and time.monotonic() - started >= DEADLINE
        if dry or (not ends and settled) or is_late:
            break
        if ends:
            tries += 1
            try:
                reason = sockets.close_sockets(ends) or reason
            except SocketError as error:
                reason = str(error)
        time.sleep(PAUSE)
    if any(session.pair is None for session in alive):
        reason = "a session over a unix socket can be ended by its client or by nginx only"
    remaining = 0 if dry else len(alive)
    reason = reason or f"the system was asked {tries} times to close them, and they are still there"
    found = list(seen.values())
    if not remaining:
        return Ended(len(seen), len(seen)), found, []
    left = frozenset(session.token for session in alive)
    return Ended(len(seen), len(seen) - remaining, remaining, reason, left), found, alive
