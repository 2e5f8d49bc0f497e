# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is connected now: the sessions that the session log has, and connections that it does not have."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._tokens.record import FINGERPRINT_LENGTH, StoreError, fingerprint
from .._tokens.store import MissingStore, TokenStore, open_store
from . import sockets
from .ending import PAUSE, TRIES_AT_LEAST, Ended
from .log import Log, LogFile, MissingLog, Session, open_logs, ports_of, still_open
from .selection import Network, id_of, is_within
from .sockets import Connection, Pair, plain_address

UNIX = "unix:"


class Seen(t.NamedTuple):
    """What is open, by one look. Sessions and unlisted connections are the oldest and the lowest first."""

    sessions: t.List[Session]
    connections: t.Dict[Pair, Connection]
    unlisted: t.List[Pair]


class Subjects:
    """The subjects of tokens. Each token's file is read once."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._known: t.Dict[str, t.Optional[str]] = {}
        self.problems: t.List[str] = []

    def __call__(self, token: str) -> t.Optional[str]:
        """The subject; None for a token that has gone, and for one whose file has none."""
        if token not in self._known:
            if isinstance(self._store, MissingStore) and not self.problems:
                self.problems.append(f"{self._store.path} does not exist")
            self._known[token] = self._read(token)
        return self._known[token]

    def _read(self, token: str) -> t.Optional[str]:
        try:
            found = self._store.look(token)
        except StoreError as error:
            self.problems.append(str(error))
            return None
        return found.subject if found else None

    def problem(self) -> str:
        """Why some subjects are unknown; empty where none is."""
        if not self.problems:
            return ""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"subjects of some sessions cannot be told: {self.problems[0]}{more}"


@contextlib.contextmanager
def open_subjects(path: str, required: bool = False) -> t.Iterator[Subjects]:
    """The subjects of the tokens of a store. One that does not exist is an error only where it is required."""
    with open_store(path, write=False, missing_ok=not required) as store:
        yield Subjects(store)


def look(path: str, ports: t.Iterable[int] = (), missing_ok: bool = False) -> Seen:
    """Look at the session log and at the connections to its ports and to these. An empty path stands for no log."""
    with contextlib.ExitStack() as stack:
        files: t.List[LogFile] = []
        if path:
            try:
                files = stack.enter_context(open_logs(path))
            except MissingLog:
                if not missing_ok:
                    raise
        log = Log()
        _read(log, files)
        before = list(log.open.values())
        found = sockets.connections({*ports, *ports_of(before)})
        # What began or ended meanwhile is neither open for certain nor unknown to the log.
        _read(log, files)
    sessions = still_open(log.open.values(), found)
    known = {session.pair for session in (*still_open(before, found), *sessions)}
    unlisted = [pair for pair, one in found.items() if one.is_established and pair not in known]
    return Seen(
        sorted(sessions, key=lambda session: session.started_at), found, sorted(unlisted, key=lambda pair: pair[1])
    )


def _read(log: Log, files: t.Iterable[LogFile]) -> None:
    for file in files:
        for part in file.parts():
            log.feed(part)


def describe(
    session: Session,
    connection: t.Optional[Connection],
    subject: t.Optional[str],
    upstream: t.Optional[str],
    now: float,
) -> t.Dict[str, t.Any]:
    """One session, without its token."""
    peer = UNIX if session.pair is None else session.pair[1][0]
    client = _plain(session.visitor)
    ends = [int(session.started_at + seconds) for seconds in session.lifetime or ()]
    return {
        "id": id_of(session),
        "client": client,
        "client_port": None if session.pair is None else session.pair[1][1],
        "peer": None if peer == client else peer,
        "subject": subject,
        "fingerprint": fingerprint(session.token) if session.token else session.token_id[:FINGERPRINT_LENGTH] or None,
        "server": session.server_name or None,
        "location": session.location or None,
        "upstream": upstream,
        "since": int(session.started_at),
        # The clock may have been set back.
        "age": max(0, int(now - session.started_at)),
        "ends_at_earliest": ends[0] if ends else None,
        "ends_at_latest": ends[1] if ends else None,
        "bytes_received": connection.bytes_received if connection else None,
        "bytes_sent": connection.bytes_sent if connection else None,
    }


def _plain(address: str) -> str:
    try:
        return plain_address(address)
    except ValueError:  # of a unix socket
        return address


def unlisted_of(seen: Seen, networks: t.Sequence[Network]) -> t.List[Pair]:
    """The connections without a session whose peer is in one of the networks; all of them without a network."""
    return [pair for pair in seen.unlisted if not networks or is_within(pair[1][0], networks)]


def end_connections(pairs: t.Collection[Pair], dry: bool = False) -> Ended:
    """End these connections, again and again until they are gone."""
    pairs = set(pairs)
    if dry or not pairs:
        return Ended(len(pairs), len(pairs))
    reason = ""
    left = len(pairs)
    for _turn in range(TRIES_AT_LEAST):
        try:
            live = sockets.live_pairs(pairs)
            left = len(live)
            if not live:
                return Ended(len(pairs), len(pairs))
            reason = sockets.close_sockets(list(live.values())) or reason
        except sockets.SocketError as error:
            reason = str(error)
        time.sleep(PAUSE)
    with contextlib.suppress(sockets.SocketError):
        left = len(sockets.live_pairs(pairs))
    if not left:
        return Ended(len(pairs), len(pairs))
    reason = reason or f"the system was asked {TRIES_AT_LEAST} times to close them, and they are still there"
    return Ended(len(pairs), len(pairs) - left, left, reason)
