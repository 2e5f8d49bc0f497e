# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The session log: which token opened which connection.

nginx writes a line when a token has let a client in, and a line when that request is over::

    S msec worker connection request client client_port server server_port visitor token
      server_name location lifetime token_id issued subject
    E msec worker connection request status

each on one line. A session that no token let in, and that is listed all the same, has ``-`` for its token.
``server_name`` is that of the gate's server, ``location`` the path as the configuration has it, ``lifetime`` the
seconds that the session may last: the least and the most, between which the agent chooses (``3240-3600``), or ``-``.

A signed token is not in it, and a session that one let in has ``-`` for its token, too. It has the three fields behind
that: ``token_id``, the SHA-256 by which the token can be taken back, ``issued``, when it was made, in whole seconds
since 1970, and ``subject``, whom it is for, where what is no visible ASCII character is % or \\x and two digits a byte.

``client`` and ``client_port`` are those of the socket, whatever a load balancer says about the visitor. A session is
open when its S has no E, its worker runs and the kernel has its socket up. All three are needed: a worker that
crashed wrote no E, and the same two ports may by now be those of somebody else's connection.

The log holds tokens, so it is for root alone, and it is shortened in place: nginx keeps its file open, needs no
signal, and no line is lost. A session that is open then is written again, with a K instead of the S.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import typing as t

from .._host import files
from .._host.error import HostError, reason
from .._host.locks import hold
from .._tokens.record import StoreError, is_token
from . import sockets
from .lines import ENDED, KEPT, NONE, STARTED, Concerns, End, Sieve, Start, are_of, lifetime_of, subject_of
from .protection import former_logs, secure, set_append_only
from .sockets import Pair, SocketError, end_of
from .workers import started_at

LOG_LIMIT = 4 * 1024 * 1024
LOCK_WAIT = 30.0
# More than a gate has while its log is shortened
ENDS_KEPT = 50000
# Seconds by which a process must be younger than a session to be another one than its worker. nginx logs a time that is
# a little older than the line, and both clocks are read one after the other.
START_MARGIN = 1.0

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_COLLAPSE_RANGE = 0x08
# On a full disk a line is written in part, and the next one comes right behind it. No field holds such a beginning.
_TORN = re.compile(rb".+([SEK] [0-9]+\.[0-9]{3} [0-9]+ [0-9]+ [0-9]+ .*)", re.DOTALL)
_KEY = re.compile(r"[0-9]{1,10} [0-9]{1,20} [0-9]{1,10}\Z")
_MOMENT = re.compile(r"[0-9]{1,11}(\.[0-9]{1,6})?\Z")
# The longest line of nginx's has some thousands. Of a longer one the end counts: a whole line may be behind a torn one.
LINE_LIMIT = 1 << 15
_TOKEN_ID = re.compile(r"[0-9a-f]{64}\Z")
_ISSUED = re.compile(r"[0-9]{1,12}\Z")
Key = t.Tuple[str, str, str]  # worker, connection, request


class Session(t.NamedTuple):
    """A request that was let in."""

    key: Key
    started_at: float
    pair: t.Optional[Pair]  # None for a unix socket, which nothing but its worker can close
    visitor: str
    token: str  # empty where none let it in
    line: bytes
    server_name: str = ""
    location: str = ""
    lifetime: t.Optional[t.Tuple[int, int]] = None  # seconds, at least and at most
    # Of a signed token: how it can be taken back, whom it is for, and when it was made. Empty without such a claim.
    token_id: str = ""
    subject: str = ""
    issued: t.Optional[int] = None

    @property
    def is_signed(self) -> bool:
        """Whether a signed token let it in, as far as the log has it: one that began before has no fields for it."""
        return bool(self.token_id or self.subject)


def _text(key: Key) -> bytes:
    return " ".join(key).encode("utf-8", "surrogateescape")


class Watcher(t.Protocol):
    """Who wants to see each session, those that are over by the time that their line is read, too."""

    def began(self, session: Session, is_again: bool) -> None:
        """A session began. ``is_again``: the log is read anew, so the line may have been seen before."""

    def ended(self, session: Session, status: str, is_again: bool) -> None:
        """A session that had begun is over, and its request was answered with that status."""


class Log:
    """Reads lines of the session log and knows which sessions have no end yet.

    With ``concerns`` it knows those of the tokens for which that is true; of others it may know some.
    """

    def __init__(
        self,
        started: t.Optional[t.List[Session]] = None,
        watcher: t.Optional[Watcher] = None,
        is_again: bool = False,
        concerns: t.Optional[Concerns] = None,
    ) -> None:
        self.open: t.Dict[Key, Session] = {}
        # Sessions are added to it as they are read, where somebody wants to look at each.
        self.started = started
        self.watcher = watcher
        self.is_again = is_again
        self._by_pair: t.Dict[Pair, t.Set[Key]] = {}
        # For lines that are written again although their end is logged already: of the last ends only. Many thousands:
        # a text takes a quarter of what a tuple takes.
        self._ended: t.Set[bytes] = set()
        self._ended_before: t.Set[bytes] = set()
        self._rest = b""
        self._sieve = None if concerns is None else Sieve(concerns)

    def feed(self, data: bytes) -> None:
        """Read more of the log. What nginx never writes is passed over: a worker that was taken over may write it."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-LINE_LIMIT:]
        for line in lines:
            if self._sieve is not None and self._is_passed_over(self._sieve, line):
                continue
            line = line[-LINE_LIMIT:]
            torn = _TORN.match(line)
            line = torn.group(1) if torn else line.lstrip(b"\0")
            text = line.decode("utf-8", "replace")
            # In a log nginx has \x and two digits for any other byte.
            if not (text.isascii() and text.isprintable()):
                continue
            fields = text.split(" ")
            if not _KEY.match(" ".join(fields[2:5])):
                continue
            if fields[0] in (STARTED, KEPT) and are_of(Start, fields):
                self._start(Start(*fields), line)
            elif fields[0] == ENDED and are_of(End, fields):
                self._end(End(*fields))

    def _is_passed_over(self, sieve: Sieve, line: bytes) -> bool:
        found = sieve.unconcerned(line)
        if found is None:
            return False
        kind, key = found
        if kind == ENDED:
            # Its start may be written again behind it, when the log is shortened.
            self._note_end(key)
        return True

    def _start(self, start: Start, line: bytes) -> None:
        if not _MOMENT.match(start.msec):
            return
        key = (start.worker, start.connection, start.request)
        if start.kind == KEPT and (self._is_over(key) or key in self.open):
            return
        pair: t.Optional[Pair] = None
        try:
            if not start.client.startswith("unix:"):
                pair = (end_of(start.server, start.server_port), end_of(start.client, start.client_port))
        except ValueError:
            return
        token = "" if start.token == NONE else start.token
        if token and not is_token(token):
            return
        # Two connections cannot have the same ends: the earlier one is over. One connection may have several requests
        # at a time (HTTP/2), each of which has its own end.
        if pair is not None:
            others = self._by_pair.get(pair, ())
            # All of them are of one connection.
            if next(iter(others), key)[:2] != key[:2]:
                for other in list(others):
                    self._close(other)
        self._close(key)
        self._ended.discard(_text(key))
        self._ended_before.discard(_text(key))
        server_name, location = ("" if text == NONE else text for text in (start.server_name, start.location))
        lifetime = lifetime_of(start.lifetime)
        session = Session(key, float(start.msec), pair, start.visitor, token, line, server_name, location, lifetime)
        if start.token_id != NONE or start.subject != NONE:
            session = session._replace(
                token_id=start.token_id if _TOKEN_ID.match(start.token_id) else "",
                subject=subject_of(start.subject),
                issued=int(start.issued) if _ISSUED.match(start.issued) else None,
            )
        self._open(session)
        if self.started is not None:
            self.started.append(session)
        if self.watcher is not None:
            self.watcher.began(session, self.is_again)

    def _open(self, session: Session) -> None:
        self.open[session.key] = session
        if session.pair is not None:
            self._by_pair.setdefault(session.pair, set()).add(session.key)
        if self._sieve is not None:
            self._sieve.note(_text(session.key), session.pair)

    def keep(self, session: Session) -> None:
        """Know a session on although its line is gone; not where its end was logged, or another has its ports."""
        if session.pair is not None and session.pair not in self._by_pair and not self._is_over(session.key):
            self._open(session)

    def _end(self, end: End) -> None:
        key = (end.worker, end.connection, end.request)
        session = self.open.get(key)
        if session is not None and self.watcher is not None:
            self.watcher.ended(session, end.status, self.is_again)
        self._close(key)
        self._note_end(_text(key))

    def _note_end(self, key: bytes) -> None:
        self._ended.add(key)
        if len(self._ended) >= ENDS_KEPT:
            self._ended, self._ended_before = set(), self._ended

    def _is_over(self, key: Key) -> bool:
        text = _text(key)
        return text in self._ended or text in self._ended_before

    def _close(self, key: Key) -> None:
        session = self.open.pop(key, None)
        if session is not None and session.pair is not None:
            keys = self._by_pair[session.pair]
            keys.discard(key)
            if not keys:
                del self._by_pair[session.pair]


class MissingLog(StoreError):
    """There is no such log."""


class LogFile:
    """The open session log; shared among readers, alone for whoever shortens it."""

    def __init__(self, path: str, shorten: bool = False, lock: bool = True, wait: float = LOCK_WAIT) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        flags = (os.O_RDWR | os.O_APPEND) if shorten else os.O_RDONLY
        try:
            self.fd = files.open_file(path, flags)
        except FileNotFoundError:
            raise MissingLog(f"{path} does not exist: the gate writes no session log") from None
        except OSError as error:
            raise StoreError(f"cannot open {path}: {reason(error)}") from None
        try:
            if lock:
                self._lock(shorten, wait)
        except BaseException:
            os.close(self.fd)
            raise
        self._offset = self.data_start()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()
        os.close(self.fd)

    def _lock(self, alone: bool, wait: float) -> None:
        """By the folder: nginx's workers have the log's descriptor, and a lock on that they could hold for ever."""
        try:
            folder = files.open_folder(os.path.dirname(self.path) or ".", follow=True)
            try:
                self._stack.enter_context(hold(folder, self.path, not alone, wait, former=self.fd))
            finally:
                os.close(folder)
        except OSError as error:
            raise StoreError(f"cannot open the folder of {self.path}: {reason(error)}") from None

    def data_start(self) -> int:
        """Where the content begins: what was punched out before it reads as zeros."""
        try:
            return os.lseek(self.fd, 0, os.SEEK_DATA)
        except OSError:
            return os.fstat(self.fd).st_size  # nothing but a hole

    def parts(self) -> t.Iterator[bytes]:
        """What has come since the last reading, in parts: a log that cannot be shortened may be larger than memory."""
        while True:
            part = os.pread(self.fd, 1 << 20, self._offset)
            if not part:
                return
            self._offset += len(part)
            yield part

    @property
    def offset(self) -> int:
        return self._offset

    def resume(self, offset: int) -> None:
        """Go on reading where an earlier reader has stopped."""
        self._offset = max(offset, self._offset)

    def can_discard(self) -> bool:
        """Whether something can be taken out of the file. Tried where it has nothing, and nginx will never get to."""
        try:
            if not set_append_only(self.fd, False):
                return False
            return _fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, 1 << 20, os.fstat(self.fd).st_size + (1 << 30))
        finally:
            self.secure()

    def discard(self, length: int) -> str:
        """Drop the first bytes without losing what is appended meanwhile; return how."""
        block = os.fstatvfs(self.fd).f_bsize
        whole = (length // block) * block
        if whole and whole == os.fstat(self.fd).st_size:
            whole -= block
        if not whole:
            return "nothing"
        # Nothing can be taken out of a file that is append-only. For a moment it is not.
        set_append_only(self.fd, False)
        try:
            if _fallocate(self.fd, _COLLAPSE_RANGE, whole):
                return "collapsed"
            if _fallocate(self.fd, _PUNCH_HOLE | _KEEP_SIZE, whole):
                return "punched"
            return "kept"
        finally:
            self.secure()

    def secure(self) -> bool:
        """Make it root's again, where something has given it to the workers."""
        return secure(self.fd)


def _fallocate(fd: int, mode: int, length: int, offset: int = 0) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (OSError, AttributeError):
        return False
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(fd, mode, offset, length) == 0)


def is_running(pid: int) -> bool:
    """Whether there is such a process. Asked by the signal that is none, because /proc may hide what is another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def still_open(sessions: t.Iterable[Session], live: t.Container[Pair]) -> t.List[Session]:
    workers: t.Dict[str, bool] = {}
    starts: t.Dict[str, float] = {}
    found = []
    for session in sessions:
        worker = session.key[0]
        if worker not in workers:
            workers[worker] = is_running(int(worker))
        if not workers[worker]:
            continue
        if session.pair is None:
            # There is nothing but the worker to tell by, and its number may be another's by now: a process that started
            # after the line was logged. Sessions with a socket are told by that: no clock must keep them from being
            # ended.
            if worker not in starts:
                starts[worker] = started_at(int(worker)) or float("-inf")
            is_open = starts[worker] <= session.started_at + START_MARGIN
        else:
            is_open = session.pair in live
        if is_open:
            found.append(session)
    return found


def ports_of(sessions: t.Iterable[Session]) -> t.Set[int]:
    return {session.pair[0][1] for session in sessions if session.pair is not None}


_ROTATED = re.compile(r"[.-][0-9]{1,14}\Z")


def _rotated(path: str) -> t.List[str]:
    """Logs that somebody renamed, the oldest first: nginx's workers go on writing to the one that they have."""
    folder, name = os.path.split(path)
    found = []
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(name) and _ROTATED.match(entry.name[len(name) :]):
                # A folder, a link or a socket of that name is no log that nginx was writing to.
                with contextlib.suppress(OSError):
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    found.append((entry.stat(follow_symlinks=False).st_mtime, os.path.join(folder, entry.name)))
    return [rotated for _changed, rotated in sorted(found)]


@contextlib.contextmanager
def open_logs(path: str, wait: float = LOCK_WAIT) -> t.Iterator[t.List[LogFile]]:
    """Every log that may name an open session, in the order in which they were begun, the present one last."""
    with contextlib.ExitStack() as stack:
        main = stack.enter_context(LogFile(path, wait=wait))
        try:
            formers = former_logs(path)
        except (HostError, OSError) as error:
            raise StoreError(f"cannot tell which logs were written before: {error}") from None
        found = []
        for former in formers:
            for one in (*_rotated(former), former):
                # Removed by somebody: its sessions are lost, and so they were without a change of the path.
                with contextlib.suppress(MissingLog):
                    found.append(stack.enter_context(LogFile(one, lock=False)))
        for one in _rotated(path):
            with contextlib.suppress(MissingLog):
                found.append(stack.enter_context(LogFile(one, lock=False)))
        yield [*found, main]


def shorten(
    path: str, limit: int = LOG_LIMIT, wait: float = LOCK_WAIT, progress: t.Callable[[], None] = lambda: None
) -> str:
    """Bound the log; return what was done. Open sessions stay in it. ``progress`` is called while it is read."""
    try:
        file = LogFile(path, shorten=True, wait=wait)
    except MissingLog:
        return "absent"
    with file:
        file.secure()
        if os.fstat(file.fd).st_size - file.data_start() <= limit:
            return "short"
        # Before anything is appended: where nothing can be dropped, each run would make the log longer.
        if not file.can_discard():
            return "kept"
        log = Log()
        for part in file.parts():
            progress()
            log.feed(part)
        length = file.offset
        sessions = list(log.open.values())
        with contextlib.suppress(SocketError):
            # Listed after the log was read, so whatever is open in it and not among these is over.
            live = sockets.live_sockets(ports_of(sessions))
            sessions = still_open(sessions, live)
        kept = b"".join(KEPT.encode() + session.line.lstrip(b"\0")[1:] + b"\n" for session in sessions)
        if len(kept) * 2 > length - file.data_start():
            return "full of open sessions"
        # Appended before anything is dropped: a run that is killed here leaves lines twice, which is harmless.
        view = memoryview(kept)
        while view:
            view = view[os.write(file.fd, view) :]
        return file.discard(length)
