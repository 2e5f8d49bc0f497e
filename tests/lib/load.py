# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients: one connection after the other in each process, with nothing between Python and the socket but OpenSSL."""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

HEAD_END = b"\r\n\r\n"
TIMEOUT = 30.0
PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Target:
    """Where to connect, and with which request."""

    port: int
    tls: bool = True
    path: str = "/wss"
    origin: str = "https://app.example.com"
    cookie: str = ""
    name: str = "gate.example.com"
    # A plain request, which asks for no WebSocket.
    plain: bool = False

    @property
    def status(self) -> bytes:
        """What an accepted request is answered with."""
        return b"200" if self.plain else b"101"

    @property
    def request(self) -> bytes:
        upgrade = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: {self.name}:{self.port}",
            *([] if self.plain else upgrade),
            f"Origin: {self.origin}",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Accept: */*",
            "Accept-Language: en-US,en;q=0.5",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Sec-Fetch-Dest: empty",
            f"Sec-Fetch-Mode: {'cors' if self.plain else 'websocket'}",
            "Sec-Fetch-Site: same-site",
            "Pragma: no-cache",
            "Cache-Control: no-cache",
        ]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        return "\r\n".join([*lines, "", ""]).encode()


def context() -> ssl.SSLContext:
    """TLS 1.3 for everybody; the client's work on the certificate is not what is measured."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_3
    # X25519, which older ones offer first, by whatever OpenSSL: from 3.5 on it offers ML-KEM, of which a server keeps
    # more. Debian 12's Python does not take the name.
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        made.set_ecdh_curve("X25519")
    return made


class Refused(Exception):
    """The answer was another than the one that was expected."""


class Ended(OSError):
    """The server has closed the connection, as it may after an answer."""


class Dialler:
    def __init__(self, target: Target) -> None:
        self.target, self.request, self.context = target, target.request, context()
        self.session: ssl.SSLSession | None = None
        self.resumed = 0

    def connect(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.target.port), timeout=TIMEOUT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.target.tls:
            return raw
        return self.context.wrap_socket(raw, server_hostname=self.target.name, session=self.session)

    def ask(self, connection: socket.socket, expect: bytes = b"101") -> bytes:
        connection.sendall(self.request)
        answer = b""
        while HEAD_END not in answer:
            part = connection.recv(16384)
            if not part:
                raise Ended(f"no answer, only {answer!r}")
            answer += part
        if answer[9:12] != expect:
            raise Refused(answer.partition(b"\r\n")[0].decode("latin-1"))
        return answer

    def ask_whole(self, connection: socket.socket, expect: bytes) -> bool:
        """Ask and read all of the answer; return whether the connection stays."""
        answer = self.ask(connection, expect)
        head, _mark, body = answer.partition(HEAD_END)
        low = head.lower()
        length = int(low.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(body) < length:
            part = connection.recv(16384)
            if not part:
                return False
            body += part
        return b"connection: close" not in low

    def open(self, expect: bytes = b"") -> socket.socket:
        connection = self.connect()
        self.ask(connection, expect or self.target.status)
        return connection

    def remember(self, connection: socket.socket) -> None:
        """The newest session of this server is offered next time, as browsers do."""
        if isinstance(connection, ssl.SSLSocket):
            self.resumed += bool(connection.session_reused)
            self.session = connection.session


def frame(size: int) -> bytes:
    """A masked binary message; the mask is zero, which says nothing to those who pass it on."""
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([0x82]) + length + bytes(4) + os.urandom(size)


def echo_length(size: int) -> int:
    """Of the echo, which is not masked, with its head."""
    return size + (2 if size < 126 else 4 if size < 65536 else 10)


def read_exactly(connection: socket.socket, view: memoryview) -> None:
    while view:
        count = connection.recv_into(view)
        if not count:
            raise Refused("the session ended")
        view = view[count:]


# -- what a client process does: each takes a pipe, a Target and options; its return value is sent back


def handshakes(
    _pipe: Connection,
    target: Target,
    *,
    count: int = 0,
    seconds: float = 0.0,
    resume: bool = False,
    expect: bytes = b"",
) -> dict[str, Any]:
    """That many handshakes one after the other, or as many as fit into the time."""
    dialler = Dialler(target)
    times: list[float] = []
    if resume:
        with dialler.open(expect) as first:
            dialler.remember(first)
    begin = time.perf_counter()
    deadline = begin + seconds
    while len(times) < count or (seconds and time.perf_counter() < deadline):
        start = time.perf_counter()
        connection = dialler.open(expect)
        times.append(time.perf_counter() - start)
        if resume:
            dialler.remember(connection)
        connection.close()
    return {"times": times, "seconds": time.perf_counter() - begin, "resumed": dialler.resumed}


def refusals(
    _pipe: Connection, target: Target, *, seconds: float = 0.0, count: int = 0, expect: bytes = b"403"
) -> dict[str, Any]:
    """Asks again and again over a connection for as long as the server leaves it open."""
    dialler = Dialler(target)
    done = connections = empty = 0
    begin = time.perf_counter()
    deadline = begin + seconds
    while done < count or (seconds and time.perf_counter() < deadline):
        connection = dialler.connect()
        connections += 1
        before = done
        with suppress(OSError), connection:
            while done < count or (seconds and time.perf_counter() < deadline):
                stays = dialler.ask_whole(connection, expect)
                done += 1
                if not stays:
                    break
        empty = 0 if done > before else empty + 1
        if empty > 100:
            raise Refused("a hundred connections without an answer")
    return {"done": done, "connections": connections, "seconds": time.perf_counter() - begin}


def requests(_pipe: Connection, target: Target, *, seconds: float = 0.0, count: int = 0) -> dict[str, Any]:
    """Plain requests, one after the other over a connection for as long as the server leaves it open."""
    dialler = Dialler(target)
    times: list[float] = []
    begin = time.perf_counter()
    deadline = begin + seconds
    while len(times) < count or (seconds and time.perf_counter() < deadline):
        with dialler.connect() as connection:
            stays = True
            while stays and (len(times) < count or (seconds and time.perf_counter() < deadline)):
                start = time.perf_counter()
                stays = dialler.ask_whole(connection, target.status)
                times.append(time.perf_counter() - start)
    return {"times": times, "seconds": time.perf_counter() - begin}


def hold(pipe: Connection, target: Target, *, size: int = 0) -> dict[str, Any]:
    """Opens as many sessions as it is told to, and keeps them; with a size, each has carried such a message."""
    dialler = Dialler(target)
    message, view = frame(size), memoryview(bytearray(echo_length(size)))
    kept: list[socket.socket] = []
    while (wanted := pipe.recv()) is not None:
        while len(kept) < wanted:
            kept.append(dialler.open())
            if size:
                kept[-1].sendall(message)
                read_exactly(kept[-1], view)
        pipe.send(len(kept))
    for connection in kept:
        connection.close()
    return {}


def echoes(_pipe: Connection, target: Target, *, size: int, count: int, sessions: int = 8) -> dict[str, Any]:
    """Messages there and back, one under way on each session."""
    dialler = Dialler(target)
    kept = [dialler.open() for _ in range(sessions)]
    message, buffer = frame(size), bytearray(echo_length(size))
    view = memoryview(buffer)
    begin = time.perf_counter()
    for _round in range(count // sessions):
        for connection in kept:
            connection.sendall(message)
        for connection in kept:
            read_exactly(connection, view)
    spent = time.perf_counter() - begin
    if bytes(view[-16:]) != message[-16:]:
        raise Refused("the echo is another message")
    for connection in kept:
        connection.close()
    return {"count": count // sessions * sessions, "seconds": spent}


def paced(
    pipe: Connection, target: Target, *, size: int, rate: float, seconds: float, first: int = 50
) -> dict[str, Any]:
    """That many messages a second over one session: how long each takes, counted from when it was due. The first ones,
    which are sent one after the other before, are not told of."""
    connection = Dialler(target).open()
    message, view = frame(size), memoryview(bytearray(echo_length(size)))
    times: list[float] = []
    for _round in range(first):
        connection.sendall(message)
        read_exactly(connection, view)
    pipe.send("ready")
    due = time.perf_counter()
    for _round in range(int(rate * seconds)):
        due += 1 / rate
        ahead = due - time.perf_counter()
        start = due
        if ahead > 0:
            time.sleep(ahead)
            # What this machine's clock oversleeps is not the contender's fault.
            start = time.perf_counter()
        connection.sendall(message)
        read_exactly(connection, view)
        times.append(time.perf_counter() - start)
    connection.close()
    return {"times": times}


def dial(pipe: Connection, target: Target, *, rate: float) -> dict[str, Any]:
    """Handshakes at a steady rate until it is told to stop: when each began, how long it took, 0 for a failure."""
    dialler = Dialler(target)
    found: list[tuple[float, float]] = []
    due = time.monotonic()
    while not pipe.poll():
        due = max(due + 1 / rate, time.monotonic() - 1)
        if (ahead := due - time.monotonic()) > 0:
            time.sleep(ahead)
        start = time.monotonic()
        try:
            dialler.open().close()
            found.append((start, time.monotonic() - start))
        except (OSError, Refused):
            found.append((start, 0.0))
    pipe.recv()
    return {"found": found}


# -- starting them


class Client:
    """A client process."""

    def __init__(self, work: Callable[..., dict[str, Any]], target: Target, **options: Any) -> None:
        self.pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=self._run, args=(work, theirs, target, options), daemon=True)
        self._process.start()
        theirs.close()

    @staticmethod
    def _run(work: Callable[..., dict[str, Any]], pipe: Connection, target: Target, options: dict[str, Any]) -> None:
        try:
            pipe.send(work(pipe, target, **options))
        except (OSError, Refused) as error:
            pipe.send({"error": f"{type(error).__name__}: {error}"})

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def told(self) -> Any:
        """What it says next."""
        if not self.pipe.poll(120):
            self.end()
            raise RuntimeError("a client is silent for two minutes")
        received = self.pipe.recv()
        if isinstance(received, dict) and "error" in received:
            raise RuntimeError(received["error"])
        return received

    def tell(self, what: Any) -> None:
        self.pipe.send(what)

    def result(self) -> dict[str, Any]:
        received = self.told()
        self._process.join(30)
        return received

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def together(number: int, work: Callable[..., dict[str, Any]], target: Target, **options: Any) -> list[dict[str, Any]]:
    clients = [Client(work, target, **options) for _ in range(number)]
    return [client.result() for client in clients]


@contextmanager
def crowd(target: Target, size: int = 0) -> Iterator[Callable[[int], None]]:
    """Sessions that stay open: call it with how many there shall be. With a size, each has carried such a message."""
    client = Client(hold, target, size=size)

    def grow(count: int) -> None:
        client.tell(count)
        client.told()

    try:
        yield grow
        client.tell(None)
        client.result()
    finally:
        client.end()
