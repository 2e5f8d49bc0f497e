# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which token opened which connection, and how to end it.

nginx writes a line when a token has let a client in, and a line when that request is over::

    S msec pid connection request client port server port visitor token
    E msec pid connection request status

``client`` and ``port`` are those of the socket, whatever a load balancer says about the visitor. A session is
open when its S has no E, its worker runs and the kernel has its socket up. All three are needed: a worker that
crashed wrote no E, and the same two ports may by now be those of somebody else's connection.

Sockets are listed and closed by ``ss`` of iproute2. The log holds tokens, so it is for root alone, and it is
shortened in place: nginx keeps its file open, needs no signal, and no line is lost. A session that is open then
is written again, with a K instead of the S.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import re
import stat
import subprocess
import time
import typing as t

from .._host.locks import LockError, hold
from .protection import former_logs, secure, set_append_only
from .._tokens.store import StoreError, full_fingerprint, is_token

LOG_LIMIT = 4 * 1024 * 1024
START_FIELDS = 11
END_FIELDS = 6
# A worker that found the token's file just before it was removed has written its line after this time.
SETTLE = 0.05
DEADLINE = 0.9
TRIES_AT_LEAST = 3
PAUSE = 0.03
FILTERS_A_CALL = 40
STATES = ("established", "close-wait", "fin-wait-1", "fin-wait-2")
SS_TIMEOUT = 20
LOCK_WAIT = 30.0

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_COLLAPSE_RANGE = 0x08

Address = t.Tuple[str, int]
Pair = t.Tuple[Address, Address]  # the gate's end and the client's end of a connection
Key = t.Tuple[str, str, str]  # worker, connection, request


class Session(t.NamedTuple):
    """A request that a token let in."""

    key: Key
    started_at: float
    pair: t.Optional[Pair]  # None for a unix socket, which nothing but its worker can close
    visitor: str
    token: str
    line: bytes


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


class SocketError(Exception):
    """The kernel's sockets cannot be listed or closed."""


def plain_address(text: str) -> str:
    """One spelling for each address: no brackets, no interface, IPv4 also where it came over an IPv6 socket."""
    address = ipaddress.ip_address(text.replace("[", "").replace("]", "").partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _end(address: str, port: str) -> Address:
    return plain_address(address), int(port)


class Log:
    """Reads lines of the session log and knows which sessions have no end yet."""

    def __init__(self) -> None:
        self.open: t.Dict[Key, Session] = {}
        self._by_pair: t.Dict[Pair, Key] = {}
        self._ended: t.Set[Key] = set()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            fields = line.lstrip(b"\0").decode("utf-8", "replace").split(" ")
            if fields[0] in ("S", "K") and len(fields) == START_FIELDS:
                self._start(fields, line)
            elif fields[0] == "E" and len(fields) == END_FIELDS:
                self._end(fields)

    def _start(self, fields: t.Sequence[str], line: bytes) -> None:
        kind, started, pid, connection, request, client, client_port, server, server_port, visitor, token = fields
        if not pid.isdigit():
            return
        key = (pid, connection, request)
        if kind == "K" and (key in self._ended or key in self.open):
            return
        pair: t.Optional[Pair] = None
        try:
            started_at = float(started)
            if not client.startswith("unix:"):
                pair = (_end(server, server_port), _end(client, client_port))
        except ValueError:
            return
        if not is_token(token):
            return
        # Two sessions cannot have the same ends: the earlier one is over, or has gone on to its next request.
        if pair is not None and pair in self._by_pair:
            self._close(self._by_pair[pair])
        self._close(key)
        self._ended.discard(key)
        self.open[key] = Session(key, started_at, pair, visitor, token, line)
        if pair is not None:
            self._by_pair[pair] = key

    def _end(self, fields: t.Sequence[str]) -> None:
        key = (fields[2], fields[3], fields[4])
        self._close(key)
        self._ended.add(key)

    def _close(self, key: Key) -> None:
        session = self.open.pop(key, None)
        if session is not None and session.pair is not None and self._by_pair.get(session.pair) == key:
            del self._by_pair[session.pair]


class MissingLog(StoreError):
    """There is no such log."""


class LogFile:
    """The open session log; shared among readers, alone for whoever shortens it."""

    def __init__(self, path: str, shorten: bool = False, lock: bool = True) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        flags = (os.O_RDWR | os.O_APPEND) if shorten else os.O_RDONLY
        try:
            self.fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise MissingLog(f"{path} does not exist: the gate writes no session log") from None
        except OSError as error:
            raise StoreError(f"cannot open {path}: {os.strerror(error.errno or 0)}") from None
        try:
            if not stat.S_ISREG(os.fstat(self.fd).st_mode):
                raise StoreError(f"{path} is not a file")
            if lock:
                self._lock(shorten)
        except BaseException:
            os.close(self.fd)
            raise
        self._offset = self.data_start()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()
        os.close(self.fd)

    def _lock(self, alone: bool) -> None:
        """By the folder: nginx's workers have the log's descriptor, and a lock on that they could hold for ever."""
        try:
            folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._stack.enter_context(hold(folder, self.path, not alone, LOCK_WAIT, former=self.fd))
            finally:
                os.close(folder)
        except LockError as error:
            raise StoreError(str(error)) from None
        except OSError as error:
            raise StoreError(f"cannot open the folder of {self.path}: {os.strerror(error.errno or 0)}") from None

    def data_start(self) -> int:
        """Where the content begins: what was punched out before it reads as zeros."""
        try:
            return os.lseek(self.fd, 0, os.SEEK_DATA)
        except OSError:
            return os.fstat(self.fd).st_size  # nothing but a hole

    def read_new(self) -> bytes:
        parts: t.List[bytes] = []
        while True:
            part = os.pread(self.fd, 1 << 20, self._offset)
            if not part:
                return b"".join(parts)
            self._offset += len(part)
            parts.append(part)

    @property
    def offset(self) -> int:
        return self._offset

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


def _fallocate(fd: int, mode: int, length: int) -> bool:
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (OSError, AttributeError):
        return False
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(call(fd, mode, 0, length) == 0)


# Sockets


def _ss(arguments: t.Sequence[str]) -> t.Tuple[str, str]:
    try:
        done = subprocess.run(
            ["ss", "--no-header", "--tcp", "--numeric", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=SS_TIMEOUT,
            check=False,
            env={**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"},
        )
    except FileNotFoundError:
        raise SocketError("ss is not installed (package iproute2, on EL iproute)") from None
    except OSError as error:
        raise SocketError(f"ss cannot be run: {os.strerror(error.errno or 0)}") from None
    except subprocess.TimeoutExpired:
        raise SocketError(f"ss did not answer within {SS_TIMEOUT} s") from None
    errors = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode != 0:
        # No line from a program that failed is not the same as no connection.
        raise SocketError(f"ss failed with {done.returncode}: {(errors.splitlines() or ['no words'])[-1]}")
    return done.stdout.decode("utf-8", "replace"), errors


def _states() -> t.List[str]:
    return [word for state in STATES for word in ("state", state)]


def parse_sockets(text: str) -> t.Dict[Pair, t.Tuple[str, str]]:
    """Each connection with both ends as ss writes them, which is how it wants them back."""
    found: t.Dict[Pair, t.Tuple[str, str]] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        # Without options for details the two ends come last.
        local, peer = fields[-2:]
        with contextlib.suppress(ValueError):
            pair = (_end(*local.rsplit(":", 1)), _end(*peer.rsplit(":", 1)))
            found[pair] = (local, peer)
    return found


def live_sockets(ports: t.Iterable[int]) -> t.Dict[Pair, t.Tuple[str, str]]:
    wanted = sorted(set(ports))
    if not wanted:
        return {}
    condition = " or ".join(f"sport = :{port}" for port in wanted)
    output, errors = _ss([*_states(), condition])
    if errors and not output:
        # In a container without cgroup2 ss complains and still answers.
        lines = [line for line in errors.splitlines() if "cgroup" not in line]
        if lines:
            raise SocketError(f"ss: {lines[-1]}")
    return parse_sockets(output)


def close_sockets(ends: t.Sequence[t.Tuple[str, str]]) -> str:
    """Have the kernel reset these connections; return what ss complained about."""
    complaints: t.List[str] = []
    for start in range(0, len(ends), FILTERS_A_CALL):
        some = ends[start : start + FILTERS_A_CALL]
        condition = " or ".join(f"( src {_bare(local)} and dst {_bare(peer)} )" for local, peer in some)
        _output, errors = _ss(["--kill", *_states(), condition])
        complaints += [line for line in errors.splitlines() if "cgroup" not in line]
    return complaints[-1] if complaints else ""


def _bare(end: str) -> str:
    """Without the interface, which ss prints but does not take back everywhere."""
    address, port = end.rsplit(":", 1)
    return f"[{address.strip('[]').partition('%')[0]}]:{port}" if ":" in address else end


# What the modules and the pruner ask


def is_running(pid: int) -> bool:
    """Whether there is such a process. Asked by the signal that is none, because /proc may hide what is another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _still_open(sessions: t.Iterable[Session], live: t.Container[Pair]) -> t.List[Session]:
    workers: t.Dict[str, bool] = {}
    found = []
    for session in sessions:
        worker = session.key[0]
        if worker not in workers:
            workers[worker] = is_running(int(worker))
        if workers[worker] and (session.pair is None or session.pair in live):
            found.append(session)
    return found


def _ports(sessions: t.Iterable[Session]) -> t.Set[int]:
    return {session.pair[0][1] for session in sessions if session.pair is not None}


_ROTATED = re.compile(r"[.-][0-9]{1,14}\Z")


def _rotated(path: str) -> t.List[str]:
    """Logs that somebody renamed, the oldest first: nginx's workers go on writing to the one that they have."""
    folder, name = os.path.split(path)
    found = []
    with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.name.startswith(name) and _ROTATED.match(entry.name[len(name) :]):
                with contextlib.suppress(OSError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, os.path.join(folder, entry.name)))
    return [rotated for _changed, rotated in sorted(found)]


@contextlib.contextmanager
def _logs(path: str) -> t.Iterator[t.List[LogFile]]:
    """Every log that may name an open session, in the order in which they were begun, the present one last."""
    with contextlib.ExitStack() as stack:
        main = stack.enter_context(LogFile(path))
        try:
            formers = former_logs(path)
        except (LockError, OSError) as error:
            raise StoreError(f"cannot tell which logs were written before: {error}") from None
        files = []
        for former in formers:
            for one in (*_rotated(former), former):
                # Removed by somebody: its sessions are lost, and so they were without a change of the path.
                with contextlib.suppress(MissingLog):
                    files.append(stack.enter_context(LogFile(one, lock=False)))
        for one in _rotated(path):
            with contextlib.suppress(MissingLog):
                files.append(stack.enter_context(LogFile(one, lock=False)))
        yield [*files, main]


def open_sessions(path: str) -> t.List[Session]:
    """The sessions that are open now, oldest first."""
    log = Log()
    with _logs(path) as files:
        for file in files:
            log.feed(file.read_new())
        sessions = list(log.open.values())
        live = live_sockets(_ports(sessions))
    return _still_open(sessions, live)


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
        return session.token in self or session.started_at <= self.until.get(session.token, float("-inf"))

    def __contains__(self, token: str) -> bool:
        if token in self.names:
            return True
        return bool(self.fingerprints) and full_fingerprint(token).startswith(self.fingerprints)


def end_sessions(path: str, wanted: Wanted, dry: bool = False) -> Ended:
    """End the open sessions of these tokens. Call it when the tokens' files are gone."""
    if not wanted:
        return Ended()
    try:
        with _logs(path) as files:
            if not dry:
                with contextlib.suppress(OSError):
                    files[-1].secure()
            return _end_sessions(files, wanted, dry)
    except StoreError as error:
        return Ended(reason=str(error), tokens=None)


def _end_sessions(files: t.Sequence[LogFile], wanted: Wanted, dry: bool) -> Ended:
    log = Log()
    seen: t.Set[Key] = set()
    reason = ""
    tries = 0
    started = time.monotonic()
    while True:
        settled = dry or time.monotonic() - started >= SETTLE
        for file in files:
            log.feed(file.read_new())
        targets = [session for session in log.open.values() if wanted.covers(session)]
        try:
            live = live_sockets(_ports(targets))
        except SocketError as error:
            return Ended(len(targets), 0, len(targets), str(error), None)
        alive = _still_open(targets, live)
        seen.update(session.key for session in alive)
        ends = [live[session.pair] for session in alive if session.pair is not None]
        # On a busy machine the first look alone may take longer than the deadline: that is no reason to leave them open.
        is_late = tries >= TRIES_AT_LEAST and time.monotonic() - started >= DEADLINE
        if dry or (not ends and settled) or is_late:
            break
        if ends:
            tries += 1
            try:
                reason = close_sockets(ends) or reason
            except SocketError as error:
                reason = str(error)
        time.sleep(PAUSE)
    if any(session.pair is None for session in alive):
        reason = "a session over a unix socket can be ended by its client or by nginx only"
    remaining = 0 if dry else len(alive)
    reason = reason or f"the system was asked {tries} times to close them, and they are still there"
    if not remaining:
        return Ended(len(seen), len(seen))
    return Ended(len(seen), len(seen) - remaining, remaining, reason, frozenset(session.token for session in alive))


def shorten(path: str, limit: int = LOG_LIMIT) -> str:
    """Bound the log; return what was done. Open sessions stay in it."""
    try:
        file = LogFile(path, shorten=True)
    except MissingLog:
        return "absent"
    with file:
        file.secure()
        if os.fstat(file.fd).st_size - file.data_start() <= limit:
            return "short"
        log = Log()
        log.feed(file.read_new())
        length = file.offset
        sessions = list(log.open.values())
        with contextlib.suppress(SocketError):
            # Listed after the log was read, so whatever is open in it and not among these is over.
            live = live_sockets(_ports(sessions))
            sessions = _still_open(sessions, live)
        kept = b"".join(b"K" + session.line.lstrip(b"\0")[1:] + b"\n" for session in sessions)
        if len(kept) * 2 > length - file.data_start():
            return "full of open sessions"
        # Appended before anything is dropped: a run that is killed here leaves lines twice, which is harmless.
        view = memoryview(kept)
        while view:
            view = view[os.write(file.fd, view) :]
        return file.discard(length)
