# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells an application which sessions are about to end, so that it can close them with a code of its own.

A few threads send, so that the agent waits for nobody. What cannot be sent is tried again until the sessions' deadline,
for some seconds at least, and what waits is bounded.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import heapq
import itertools
import json
import os
import threading
import time
import typing as t

from .._host import files
from .._host.error import HostError
from .._sessions.log import Session
from .._sessions.selection import id_of
from .._tokens.owed import ENDED as ENDED_FOLDER
from .._tokens.record import DOCUMENT_LIMIT, FINGERPRINT_LENGTH, fingerprint, parse_document
from .causes import EXPIRED, REMOVED, REVOKED
from .duty import Duty, Gate
from .notify_settings import Notify
from .webhook import Connection, DeliveryError, sign

TYPE = "sessions.ending"
SESSIONS_A_POST = 100
# What waits to be sent at most: some 20 MiB of sessions that are over by now.
WAITING_AT_MOST = 20000
THREADS = 4
# Seconds that one attempt may take, that it is tried again for at least, and between two attempts.
TIMEOUT = 5.0
RETRY_FOR = 5.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
# Seconds for what has not been sent yet when the agent stops
FLUSH = 1.0
# Seconds that a problem is reported for, if nothing is sent that shows that it is over
REMEMBERED = 3600.0
# Causes of which one POST is about one token
OF_A_TOKEN = (EXPIRED, REMOVED, REVOKED)


class Message(t.NamedTuple):
    """One POST. ``deadline`` and ``happened_at`` are seconds since 1970, ``give_up`` is of the monotonic clock."""

    identity: str
    cause: str
    happened_at: float
    deadline: float
    give_up: float
    sessions: t.Tuple[Session, ...]


class Teller(Duty):
    """Sends what :meth:`tell` is given."""

    name = "notify"

    def __init__(self, gate: Gate, notify: Notify, store: str) -> None:
        super().__init__(gate)
        self.endpoint = notify.endpoint
        self._ca = notify.ca
        self._secret = notify.secret
        self._store = store
        self._state = threading.Condition()
        # All below is looked at and changed with the condition's lock.
        self._queue: t.List[t.Tuple[float, int, int, Message]] = []  # moment, number, failures
        self._number = itertools.count()
        self._waiting = 0  # sessions of what is in the queue or being sent
        self._sending = 0
        self._is_closing = False
        self._threads: t.List[threading.Thread] = []
        self._failing: t.Tuple[str, float] = ("", 0.0)  # what went wrong with the last attempt, and when
        self._untold: t.Tuple[int, float] = (0, 0.0)  # sessions that the application was not told of, and the last when
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    # The agent's thread

    def tell(self, sessions: t.Sequence[Session], cause: str, deadline: float) -> None:
        """Have the application told that these sessions end at a moment, in seconds since 1970."""
        now = time.time()
        give_up = time.monotonic() + max(RETRY_FOR, deadline - now)
        with self._state:
            for some in _grouped(sessions, cause):
                if self._waiting + len(some) > WAITING_AT_MOST or self._is_closing:
                    self._lose(len(some))
                    continue
                self._waiting += len(some)
                message = Message(_identity(some, cause, deadline), cause, now, deadline, give_up, some)
                heapq.heappush(self._queue, (0.0, next(self._number), 0, message))
            self._have_threads()
            self._state.notify_all()

    def _have_threads(self) -> None:
        while len(self._threads) < min(THREADS, len(self._queue)):
            thread = threading.Thread(target=self._work, name=f"notify-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system has none left. Sessions end all the same, and those that there are send what there is.
                if not self._threads:
                    self._failing = ("is not told: the system has no thread left", time.monotonic())
                return
            self._threads.append(thread)

    def _drop_what_is_late(self) -> None:
        """Without a thread nobody else does."""
        now = time.monotonic()
        late = [one for one in self._queue if one[3].give_up <= now]
        if late:
            self._queue = [one for one in self._queue if one[3].give_up > now]
            heapq.heapify(self._queue)
            count = sum(len(one[3].sessions) for one in late)
            self._waiting -= count
            self._lose(count)

    def turn(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, 512):
                pass
        now = time.monotonic()
        with self._state:
            self._have_threads()
            if not self._threads:
                self._drop_what_is_late()
            words, failed_at = self._failing
            count, lost_at = self._untold
            if words and now - failed_at >= REMEMBERED:
                words, self._failing = "", ("", 0.0)
            if count and now - lost_at >= REMEMBERED:
                count, self._untold = 0, (0, 0.0)
        parts = [f"the application at {self.endpoint.shown} {words}"] if words else []
        if count:
            parts.append(f"the application at {self.endpoint.shown} was not told of {count} sessions that ended")
        self.gate.note("application", ", ".join(parts))

    def next_turn(self) -> t.Optional[float]:
        with self._state:
            moments = [moment + REMEMBERED for what, moment in (self._failing, self._untold) if what]
            if self._queue and not self._threads:
                moments.append(time.monotonic() + RETRY_FOR / 5)
        return min(moments, default=None)

    def descriptors(self) -> t.List[int]:
        return [self._wake]

    def status(self) -> str:
        with self._state:
            return f"{self._waiting} sessions to tell the application of" if self._waiting else ""

    def close(self) -> None:
        """Give what has not been tried yet a moment, and stop. The agent that comes next sends what was not."""
        until = time.monotonic() + FLUSH
        with self._state:
            self._is_closing = True
            self._state.notify_all()
            while self._threads and (self._sending or self._has_untried()) and time.monotonic() < until:
                self._state.wait(until - time.monotonic())
            self._queue.clear()
            self._state.notify_all()
            os.close(self._wake)
            os.close(self._waker)
            self._wake = self._waker = -1

    def _has_untried(self) -> bool:
        return any(failures == 0 for _moment, _number, failures, _message in self._queue)

    # The threads'

    def _work(self) -> None:
        connection = Connection(self.endpoint, self._ca)
        try:
            while True:
                found = self._next(connection)
                if found is None:
                    return
                self._send(connection, *found)
        finally:
            connection.close()

    def _next(self, connection: Connection) -> t.Optional[t.Tuple[int, Message]]:
        """Wait for what is to be sent; None when there will be nothing any more."""
        with self._state:
            while True:
                now = time.monotonic()
                if self._queue and self._queue[0][0] <= now:
                    _moment, _number, failures, message = heapq.heappop(self._queue)
                    self._sending += 1
                    return failures, message
                if self._is_closing:
                    return None
                # The application need not keep a connection for which there is nothing to do.
                connection.close()
                self._state.wait(self._queue[0][0] - now if self._queue else None)

    def _send(self, connection: Connection, failures: int, message: Message) -> None:
        problem = ""
        try:
            body = json.dumps(self._document(message), separators=(",", ":")).encode("ascii")
            timestamp = int(time.time())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "wssgate-agent",
                "webhook-id": message.identity,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(self._secret, message.identity, timestamp, body),
            }
            now = time.monotonic()
            connection.post(body, headers, now + max(0.5, min(TIMEOUT, message.give_up - now)))
        except DeliveryError as error:
            problem = str(error)
        except Exception as error:  # a thread that ended would leave all that comes later unsent, in silence
            connection.close()
            problem = f"was not told: {type(error).__name__}"
        self._sent(failures, message, problem)

    def _sent(self, failures: int, message: Message, problem: str) -> None:
        now = time.monotonic()
        again = now + PAUSES[min(failures, len(PAUSES) - 1)]
        with self._state:
            self._sending -= 1
            if problem:
                # In the status line problems are told apart by this.
                self._failing = (problem.replace("; ", ", "), now)
            elif self._failing[0]:
                self._failing = ("", 0.0)
            if problem and again < message.give_up and not self._is_closing:
                heapq.heappush(self._queue, (again, next(self._number), failures + 1, message))
            else:
                self._waiting -= len(message.sessions)
                if problem:
                    self._lose(len(message.sessions))
            self._state.notify_all()
            if self._waker != -1:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._waker, b"x")

    def _lose(self, count: int) -> None:
        self._untold = (self._untold[0] + count, time.monotonic())

    def _document(self, message: Message) -> t.Dict[str, t.Any]:
        subjects: t.Dict[str, t.Optional[str]] = {}
        for session in message.sessions:
            if session.token and session.token not in subjects:
                subjects[session.token] = subject_of(self._store, session.token, message.cause in OF_A_TOKEN)
        whose = [(_subject_told(one, subjects), _fingerprint_told(one)) for one in message.sessions]
        only = whose[0] if len(set(whose)) == 1 else (None, None)
        return {
            "type": TYPE,
            "timestamp": _time(message.happened_at),
            "data": {
                "cause": message.cause,
                "subject": only[0],
                "fingerprint": only[1],
                "deadline": _time(message.deadline),
                "sessions": [
                    {
                        "id": id_of(session),
                        "client": session.visitor,
                        "server": session.server_name or None,
                        "location": session.location or None,
                        "since": _time(session.started_at),
                        "subject": subject,
                        "fingerprint": found,
                    }
                    for session, (subject, found) in zip(message.sessions, whose)
                ],
            },
        }


def _subject_told(session: Session, subjects: t.Mapping[str, t.Optional[str]]) -> t.Optional[str]:
    return subjects[session.token] if session.token else session.subject or None


def _fingerprint_told(session: Session) -> t.Optional[str]:
    """Of a signed token the beginning of what it is taken back by, as session_list has it."""
    return fingerprint(session.token) if session.token else session.token_id[:FINGERPRINT_LENGTH] or None


def _grouped(sessions: t.Sequence[Session], cause: str) -> t.Iterator[t.Tuple[Session, ...]]:
    groups: t.Dict[str, t.List[Session]] = {}
    for session in sessions:
        token = session.token or session.token_id or session.subject
        groups.setdefault(token if cause in OF_A_TOKEN else "", []).append(session)
    for some in groups.values():
        for start in range(0, len(some), SESSIONS_A_POST):
            yield tuple(some[start : start + SESSIONS_A_POST])


def _identity(sessions: t.Sequence[Session], cause: str, deadline: float) -> str:
    """The same for the same sessions and deadline, also from an agent that was started meanwhile."""
    of = [cause, f"{deadline:.3f}", sorted((id_of(session), session.started_at) for session in sessions)]
    return "msg_" + hashlib.sha256(json.dumps(of).encode("utf-8")).hexdigest()[:32]


def _time(moment: float) -> str:
    """As RFC 3339 has it, in UTC, with thousandths."""
    found = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03d}Z"


def subject_of(store: str, token: str, is_removed: bool) -> t.Optional[str]:
    """The subject of a token, as far as its file is left; ``is_removed``: of the former file of that name, if any."""
    with contextlib.suppress(OSError, HostError):
        folder = files.open_folder(store)
        try:
            readings = [lambda: _subject(token, folder), lambda: _subject_of_removed(token, folder)]
            for read in reversed(readings) if is_removed else readings:
                with contextlib.suppress(OSError, HostError):
                    found = read()
                    if found is not None:
                        return found
        finally:
            os.close(folder)
    return None


def _subject(token: str, folder: int) -> t.Optional[str]:
    data = files.read(token, DOCUMENT_LIMIT, folder)
    document = parse_document(data) if data else None
    return None if document is None else t.cast(t.Optional[str], document["subject"])


def _subject_of_removed(token: str, folder: int) -> t.Optional[str]:
    inner = files.open_folder(ENDED_FOLDER, folder)
    try:
        return _subject(token, inner)
    finally:
        os.close(inner)
