# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a gate under a fuzzer: a client that keeps its connection, and an upstream that shows what it got."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

HEAD_END = b"\r\n\r\n"
LIMIT = 20.0
# More than any answer and any head sent back.
MOST = 1 << 20


@dataclass
class Answer:
    """Status 0: bytes that are no HTTP answer, or nothing. `tunnel` is all that came after a 101."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    tunnel: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Client:
    """One request after the other over one connection, from this address where one is given; a new one where the server ended the last."""

    def __init__(self, port: int, address: str = "") -> None:
        self.address = address
        self._port = port
        self._socket: socket.socket | None = None
        self._is_bodiless = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: bytes) -> Answer:
        self.send(request)
        return self.receive()

    def send(self, request: bytes) -> None:
        if self._socket is None:
            source = (self.address, 0) if self.address else None
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT, source_address=source)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        self._is_bodiless = request.startswith(b"HEAD ")

    def receive(self) -> Answer:
        """The answer to what was sent last."""
        return self._read(self._is_bodiless)

    def _read(self, is_bodiless: bool) -> Answer:
        data = b""
        while HEAD_END not in data:
            part = self._receive()
            data += part
            if not part:
                self._drop()
                return Answer(0, body=data)
        head, _mark, body = data.partition(HEAD_END)
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
            while part := self._receive():
                data += part
            self._drop()
            return Answer(0, body=data)
        answer = Answer(
            int(words[1]), [(name, value.strip()) for name, _c, value in (line.partition(":") for line in lines)]
        )
        if answer.status == 101:
            while part := self._receive():
                body += part
                assert len(body) < MOST, f"the tunnel does not end: {body[:80]!r}…"
            self._drop()
            answer.tunnel = body
            return answer
        length = 0 if is_bodiless else int((answer.all("Content-Length") or ["0"])[0])
        while len(body) < length:
            part = self._receive()
            assert part, f"the connection ended after {len(body)} of {length} bytes"
            body += part
        answer.body = body
        if "close" in [value.lower() for value in answer.all("Connection")]:
            self._drop()
        return answer

    def _receive(self) -> bytes:
        assert self._socket is not None
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""
        except TimeoutError:
            raise AssertionError(f"no answer, and no end, within {LIMIT:g} s") from None


def stop_listening(listener: socket.socket) -> None:
    """Closes it, and ends the accept() that a thread waits in: left there, it can come to wait on whoever gets the same descriptor next."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def receive_head(connection: socket.socket) -> bytes:
    """The head of a request, and what came along with it. ConnectionError when the other side ends before."""
    data = b""
    while HEAD_END not in data:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("the connection ended within the head")
        data += part
    return data


class Mirror:
    """Says 101 to whatever asks for an Upgrade and 200 to the rest, sends back the head that it got, and hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        stop_listening(self._listener)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(LIMIT)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = receive_head(connection)
        self.count += 1
        if b"\r\nupgrade:" not in head.lower():
            shown = head.partition(HEAD_END)[0]
            length = b"" if head.startswith(b"HEAD ") else b"Content-Length: %d\r\n" % len(shown)
            body = b"" if head.startswith(b"HEAD ") else shown
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"Connection: close" + HEAD_END + body)
            return
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            + head.partition(HEAD_END)[0]
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
