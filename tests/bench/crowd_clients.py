# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ends of a crowd, in processes that each stay below their bound of descriptors.

Clients have nothing between Python and the socket but OpenSSL, and one epoll. Each process has a source address of its
own, so that ports suffice. Upstreams share one unix socket, which needs no ports, and give each connection nothing but
its descriptor.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from lib import crowd, load, wire

IN, OUT = select.EPOLLIN, select.EPOLLOUT
KEY = re.compile(rb"\r\nsec-websocket-key: *([^\r ]+)", re.IGNORECASE)
# An attempt that has no answer after this time has failed.
PATIENCE = 90.0
# After a failure, so long until the next attempt
PAUSE = 1.0
TURN = 500
PDEATHSIG = 1


def in_the_shadow() -> None:
    """End with the process that started this one; leave Ctrl-C to it."""
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    crowd.raise_limit()


def token_of(number: int) -> str:
    return f"crowd-token-{number:08d}"


class Session:
    """One client: what it waits for is an answer as long as `answered` is false."""

    __slots__ = ("answered", "begin", "number", "sent_at", "socket", "step")

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number, self.socket = number, connection
        self.begin, self.sent_at = time.monotonic(), 0.0
        self.answered = False
        self.step = "connect"


class Holder:
    """What a process of clients does: it obeys its pipe and notes what happens."""

    def __init__(self, pipe: Connection, target: load.Target, address: str) -> None:
        self.pipe, self.target, self.address = pipe, target, address
        self.context = load.context()
        self.epoll = select.epoll()
        self.epoll.register(pipe.fileno(), IN)
        self._head = target.request.removesuffix(crowd.HEAD_END)
        self.sessions: dict[int, Session] = {}
        self.open: dict[int, Session] = {}
        self.waiting: deque[int] = deque()
        self.again: deque[tuple[float, int]] = deque()
        self.turn: list[Session] = []
        self.under_way, self.at_once, self.rate, self.due = 0, 1, 0.0, 0.0
        self.forget()

    def forget(self) -> None:
        self.times: list[float] = []
        self.echoes: list[float] = []
        self.closed: list[float] = []
        self.failed: dict[str, int] = {}

    def _begin(self, number: int) -> None:
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        raw.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            raw.bind((self.address, 0))
            raw.connect_ex(("127.0.0.1", self.target.port))
        except OSError as error:
            raw.close()
            self._note(number, error)
            return
        begun = Session(number, raw)
        self.sessions[raw.fileno()] = begun
        self.under_way += 1
        self.epoll.register(raw.fileno(), OUT)

    def _note(self, number: int, error: Exception) -> None:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        name = re.sub(r" \(_ssl\.c:\d+\)", "", words or type(error).__name__)
        self.failed[name] = self.failed.get(name, 0) + 1
        self.again.append((time.monotonic() + PAUSE, number))

    def _drop(self, one: Session, error: Exception | None) -> None:
        handle = one.socket.fileno()
        with suppress(OSError):
            self.epoll.unregister(handle)
        self.sessions.pop(handle, None)
        with suppress(OSError):
            one.socket.close()
        if one.answered:
            self.open.pop(one.number, None)
            self.closed.append(time.monotonic())
        else:
            self.under_way -= 1
            self._note(one.number, error or ConnectionError("closed before the answer"))

    def _connected(self, one: Session) -> None:
        handle, raw = one.socket.fileno(), one.socket
        if number := raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        self.epoll.unregister(handle)
        # The descriptor goes from the one object to the other, and stays the same.
        one.socket = self.context.wrap_socket(raw, server_hostname=self.target.name, do_handshake_on_connect=False)
        self.sessions.pop(handle, None)
        self.sessions[one.socket.fileno()] = one
        self.epoll.register(one.socket.fileno(), OUT)
        one.step = "tls"

    def _advance(self, one: Session) -> None:
        try:
            if one.step == "connect":
                self._connected(one)
            if one.step == "tls":
                one.socket.do_handshake()  # type: ignore[attr-defined]
                cookie = b"\r\nCookie: AUTH=" + token_of(one.number).encode()
                one.socket.send(self._head + cookie + crowd.HEAD_END)
                one.step = "answer"
                self.epoll.modify(one.socket.fileno(), IN)
            self._read(one)
        except ssl.SSLWantReadError:
            self.epoll.modify(one.socket.fileno(), IN)
        except ssl.SSLWantWriteError:
            self.epoll.modify(one.socket.fileno(), OUT)
        except (OSError, ValueError) as error:
            self._drop(one, error)

    def _read(self, one: Session) -> None:
        data = one.socket.recv(4096)
        if not data:
            self._drop(one, None)
        elif one.answered:
            if data == crowd.WANTED and one.sent_at:
                self.echoes.append(time.monotonic() - one.sent_at)
            one.sent_at = 0.0
        elif data.startswith(b"HTTP/1.1 101 "):
            one.answered = True
            self.times.append(time.monotonic() - one.begin)
            self.under_way -= 1
            self.open[one.number] = one
        else:
            self._drop(one, ConnectionError(data.split(b"\r\n")[0].decode("latin-1")))

    def _begin_more(self, now: float) -> None:
        while self.again and self.again[0][0] <= now:
            self.waiting.append(self.again.popleft()[1])
        for _one in range(TURN):
            if not self.waiting or self.under_way >= self.at_once:
                return
            self._begin(self.waiting.popleft())

    def _echo(self, now: float) -> None:
        while self.rate and self.due <= now:
            self.due += 1 / self.rate
            if not self.turn:
                self.turn = list(self.open.values())
            if self.turn and (one := self.turn.pop()).answered and not one.sent_at and one.socket.fileno() >= 0:
                one.sent_at = time.monotonic()
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError, OSError):
                    one.socket.send(crowd.SENT)

    def _give_up(self, now: float) -> None:
        late = [one for one in self.sessions.values() if not one.answered and now - one.begin > PATIENCE]
        for one in late:
            self._drop(one, TimeoutError(f"no answer in {PATIENCE:.0f} s"))

    def _obey(self) -> bool:
        name, *what = self.pipe.recv()
        if name == "open":
            self.at_once = what[1]
            self.waiting.extend(what[0])
        elif name == "echo":
            self.rate, self.due, self.turn = what[0], time.monotonic(), []
        elif name == "leave":
            for one in list(self.open.values()):
                self._drop(one, None)
        elif name == "state":
            self.pipe.send((len(self.open), len(self.closed), sum(self.failed.values())))
        elif name == "take":
            self.pipe.send((self.times, self.echoes, self.closed, self.failed))
            self.forget()
        return bool(name != "over")

    def run(self) -> None:
        looked, goes_on = time.monotonic(), True
        while goes_on:
            for handle, _mask in self.epoll.poll(0.002 if self.waiting or self.rate else 0.05, TURN):
                if handle == self.pipe.fileno():
                    goes_on = self._obey()
                elif one := self.sessions.get(handle):
                    self._advance(one)
            now = time.monotonic()
            self._begin_more(now)
            self._echo(now)
            if now > looked + 5:
                looked = now
                self._give_up(now)


def clients(pipe: Connection, target: load.Target, *, address: str) -> dict[str, Any]:
    """What a process of clients runs."""
    in_the_shadow()
    Holder(pipe, target, address).run()
    return {}


def answer_to(head: bytes) -> bytes:
    """The answer to a handshake; nothing when it has no key."""
    found = KEY.search(head)
    if not found:
        return b""
    accept = wire.accept_of(found.group(1).decode("latin-1")).encode()
    return b"\r\n".join(
        (
            b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept, b"", b"",
        )
    )  # fmt: skip


class Upstream:
    """Answers each handshake, and each message of the crowd's clients by the same one."""

    def __init__(self, listener: socket.socket, bound: int) -> None:
        self.listener, self.bound = listener, bound
        listener.setblocking(False)
        self.epoll = select.epoll()
        self.fresh: dict[int, bytes] = {}
        self.count = 0
        self.listens = False

    def _listen(self) -> None:
        if self.listens == (self.count < self.bound):
            return
        self.listens = not self.listens
        if self.listens:
            self.epoll.register(self.listener.fileno(), IN | select.EPOLLEXCLUSIVE)
        else:
            self.epoll.unregister(self.listener.fileno())

    def _accept(self) -> None:
        for _one in range(16):
            if self.count >= self.bound:
                return
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            handle = connection.detach()
            self.fresh[handle] = b""
            self.count += 1
            self.epoll.register(handle, IN)

    def _end(self, handle: int) -> None:
        os.close(handle)
        self.fresh.pop(handle, None)
        self.count -= 1

    def _serve(self, handle: int) -> None:
        try:
            data = os.read(handle, 4096)
            if not data:
                self._end(handle)
            elif handle not in self.fresh:
                os.write(handle, crowd.WANTED * (len(data) // len(crowd.SENT)))
            else:
                self.fresh[handle] += data
                if self.fresh[handle].endswith(crowd.HEAD_END):
                    os.write(handle, answer_to(self.fresh.pop(handle)))
        except BlockingIOError:
            return
        except OSError:
            self._end(handle)

    def run(self) -> None:
        while True:
            self._listen()
            for handle, _mask in self.epoll.poll(-1, TURN):
                if handle == self.listener.fileno():
                    self._accept()
                else:
                    self._serve(handle)


def upstream(_pipe: Connection, _target: load.Target, *, listener: socket.socket, bound: int) -> dict[str, Any]:
    """What a process of the upstream runs."""
    in_the_shadow()
    Upstream(listener, bound).run()
    return {}
