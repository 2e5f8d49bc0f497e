# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WebSocket client that may lie.

Attacks need bytes that no honest client library lets out: two Cookie lines, a blank
before a header's colon, HTTP/1.0, a NUL. So this one writes exactly the bytes it is
given and reads the answer by hand. Standard library only: it also runs inside a
container. Honest sessions are better opened with the `websockets` library.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

# RFC 6455 1.3: what a server appends to the key before hashing it.
HANDSHAKE_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# RFC 6455 1.3: the key of its own example; a constant makes a failed test repeatable.
SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="

OPCODE_TEXT = 0x1
OPCODE_BINARY = 0x2
OPCODE_CLOSE = 0x8
OPCODE_PING = 0x9
OPCODE_PONG = 0xA

Header = "tuple[str | bytes, str | bytes]"


class WireError(Exception):
    """The peer said something that is no HTTP answer or no WebSocket frame."""


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    digest = hashlib.sha1((key + HANDSHAKE_GUID).encode("ascii")).digest()
    return base64.b64encode(digest).decode("ascii")


@dataclass(frozen=True)
class Endpoint:
    """Where to connect. `server_name` is the TLS name; nothing here becomes a Host header."""

    port: int = 443
    host: str = "127.0.0.1"
    tls: bool = True
    server_name: str | None = None
    ca_path: str | Path | None = None
    unix: str | Path | None = None
    source: str | None = None
    alpn: tuple[str, ...] = ()
    # A file with the client's own certificate and its key
    identity: str | Path | None = None

    def connect(self, timeout: float = 10.0, preamble: bytes = b"") -> socket.socket:
        """`preamble` goes out before TLS: a PROXY protocol line, for one."""
        if self.unix is not None:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(timeout)
            plain.connect(str(self.unix))
        else:
            plain = socket.create_connection(
                (self.host, self.port),
                timeout=timeout,
                source_address=(self.source, 0) if self.source else None,
            )
        if preamble:
            plain.sendall(preamble)
        if not self.tls:
            return plain
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_path is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(str(self.ca_path))
        if self.identity is not None:
            context.load_cert_chain(str(self.identity))
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        try:
            return context.wrap_socket(plain, server_hostname=self.server_name)
        except BaseException:
            plain.close()
            raise


@dataclass(frozen=True)
class Request:
    """The bytes of one handshake. The default is honest; every part may be spoilt."""

    path: str = "/wss"
    host: str | None = "localhost"
    method: str = "GET"
    version: str = "HTTP/1.1"
    headers: tuple[tuple[str | bytes, str | bytes], ...] = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", SAMPLE_KEY),
    )
    body: bytes = b""
    line_end: bytes = b"\r\n"

    def adding(self, name: str | bytes, value: str | bytes) -> Request:
        """One more header line, even when there is one of that name already."""
        return replace(self, headers=(*self.headers, (name, value)))

    def without(self, name: str) -> Request:
        wanted = _bytes(name).lower()
        kept = tuple(pair for pair in self.headers if _bytes(pair[0]).lower() != wanted)
        return replace(self, headers=kept)

    def having(self, name: str, value: str | bytes) -> Request:
        """Exactly one line of that name."""
        return self.without(name).adding(name, value)

    def but(self, **changes: object) -> Request:
        """The same request with another path, method, version, host or body."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def cookie(self, value: str | bytes) -> Request:
        return self.adding("Cookie", value)

    def token(self, token: str, name: str = "AUTH") -> Request:
        return self.cookie(f"{name}={token}")

    def origin(self, origin: str | None) -> Request:
        return self.without("Origin") if origin is None else self.having("Origin", origin)

    def basic(self, username: str, password: str) -> Request:
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        return self.having("Authorization", f"Basic {credentials}")

    def encode(self) -> bytes:
        first = " ".join(part for part in (self.method, self.path, self.version) if part)
        lines = [_bytes(first)]
        if self.host is not None:
            lines.append(b"Host: " + _bytes(self.host))
        lines += [_bytes(name) + b": " + _bytes(value) for name, value in self.headers]
        return self.line_end.join([*lines, b"", b""]) + self.body


@dataclass
class Frame:
    opcode: int
    payload: bytes
    final: bool = True

    @property
    def text(self) -> str:
        return self.payload.decode("utf-8")

    @property
    def close_code(self) -> int | None:
        if self.opcode != OPCODE_CLOSE or len(self.payload) < 2:
            return None
        return int(struct.unpack("!H", self.payload[:2])[0])


class Session:
    """An upgraded connection: frames out (masked, as RFC 6455 5.3 wants) and in."""

    def __init__(self, connection: socket.socket, rest: bytes = b"") -> None:
        self.socket = connection
        self._buffer = rest

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, payload: str | bytes, opcode: int | None = None, final: bool = True) -> None:
        if opcode is None:
            opcode = OPCODE_TEXT if isinstance(payload, str) else OPCODE_BINARY
        data = payload.encode("utf-8") if isinstance(payload, str) else payload
        head = bytes([(0x80 if final else 0) | opcode])
        if len(data) < 126:
            head += bytes([0x80 | len(data)])
        elif len(data) < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
        else:
            head += bytes([0x80 | 127]) + struct.pack("!Q", len(data))
        mask = os.urandom(4)
        repeated = (mask * (len(data) // 4 + 1))[: len(data)]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")
        self.socket.sendall(head + mask + masked)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise WireError(f"connection ended {count - len(self._buffer)} bytes before the end of a frame")
            self._buffer += more
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def receive(self, timeout: float | None = None) -> Frame:
        """The next frame of any kind; nothing is answered on its own."""
        if timeout is not None:
            self.socket.settimeout(timeout)
        first, second = self._take(2)
        if second & 0x80:
            raise WireError("the server sent a masked frame")
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return Frame(first & 0x0F, self._take(length), bool(first & 0x80))

    def echo(self, text: str = "hello", timeout: float | None = None) -> str:
        """Send a text and return the next text, past pings and pongs."""
        self.send(text)
        return self.receive_text(timeout)

    def receive_text(self, timeout: float | None = None) -> str:
        while True:
            frame = self.receive(timeout)
            if frame.opcode == OPCODE_TEXT:
                return frame.text
            if frame.opcode == OPCODE_PING:
                self.send(frame.payload, OPCODE_PONG)
            elif frame.opcode != OPCODE_PONG:
                raise WireError(f"expected a text, got opcode {frame.opcode} {frame.payload!r}")

    def ping(self, payload: bytes = b"wire", timeout: float | None = None) -> bool:
        self.send(payload, OPCODE_PING)
        frame = self.receive(timeout)
        return frame.opcode == OPCODE_PONG and frame.payload == payload

    def is_alive(self, timeout: float = 5.0) -> bool:
        try:
            return self.ping(os.urandom(4), timeout)
        except (OSError, WireError):
            return False

    def ended(self, timeout: float = 5.0) -> bool:
        """True when the other side ends the connection within the time (frames before that are read away)."""
        self.socket.settimeout(timeout)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self.socket.close()


@dataclass
class Reply:
    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    key: str | None = None
    session: Session | None = field(default=None, repr=False)

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.session is not None:
            self.session.close()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def accept_valid(self) -> bool:
        return self.key is not None and self.all("Sec-WebSocket-Accept") == [accept_of(self.key)]

    @property
    def upgraded(self) -> bool:
        """What a browser would take for an open WebSocket."""
        return (
            self.status == 101
            and (self.header("Upgrade") or "").lower() == "websocket"
            and (self.header("Connection") or "").lower() == "upgrade"
            and self.accept_valid
        )


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.buffer = b""

    def more(self) -> bool:
        try:
            data = self._socket.recv(65536)
        except ssl.SSLEOFError:
            data = b""
        self.buffer += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self.more():
                raise WireError(f"connection ended inside an answer: {self.buffer!r}")
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.more():
                raise WireError(f"connection ended {count - len(self.buffer)} bytes before the end of a body")
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def rest(self) -> bytes:
        while self.more():
            pass
        return self.exactly(len(self.buffer))


def _read_body(reader: _Reader, reply: Reply) -> bytes:
    if (reply.header("Transfer-Encoding") or "").lower() == "chunked":
        body = b""
        while size := int(reader.until(b"\r\n").split(b";")[0], 16):
            body += reader.exactly(size)
            reader.exactly(2)
        reader.until(b"\r\n")
        return body
    length = reply.header("Content-Length")
    return reader.exactly(int(length)) if length is not None else reader.rest()


def read_reply(connection: socket.socket, key: str | None = None, method: str = "GET") -> Reply:
    """Read one HTTP answer; with 101 the connection becomes `reply.session`, else it is closed."""
    reader = _Reader(connection)
    lines = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
        raise WireError(f"no HTTP status line: {lines[0]!r}")
    headers = [(name, value.strip()) for name, _colon, value in (line.partition(":") for line in lines[1:])]
    reply = Reply(int(parts[1]), parts[2] if len(parts) > 2 else "", parts[0], headers, key=key)
    if reply.status == 101:
        reply.session = Session(connection, reader.buffer)
        return reply
    if method != "HEAD" and reply.status not in (204, 304):
        reply.body = _read_body(reader, reply)
    connection.close()
    return reply


def handshake(endpoint: Endpoint, request: Request | bytes, timeout: float = 10.0, preamble: bytes = b"") -> Reply:
    """Send a request and read the answer.

    `with handshake(...) as reply:` closes the session at the end, if one came about.
    """
    raw = request if isinstance(request, bytes) else request.encode()
    key, method = None, "GET"
    if isinstance(request, Request):
        method = request.method
        for name, value in request.headers:
            if _bytes(name).lower() == b"sec-websocket-key":
                key = _bytes(value).decode("latin-1")
    connection = endpoint.connect(timeout, preamble)
    try:
        connection.sendall(raw)
        return read_reply(connection, key, method)
    except BaseException:
        connection.close()
        raise
