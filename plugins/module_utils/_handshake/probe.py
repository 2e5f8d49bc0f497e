# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open one WebSocket by hand and take the time of each step.

The handshake and the frames are those of the websockets library in its form without I/O:
the socket stays here, so that connecting elsewhere than the URL says, the TLS facts and
the time of each step need no hook into the library.
"""

from __future__ import annotations

import base64
import collections
import os
import re
import socket
import ssl
import time
import traceback
import typing as t
from dataclasses import dataclass, field
from http.client import responses as reason_phrases
from urllib.parse import urlsplit

from .tls_facts import group_of, certificate_facts

WEBSOCKETS_IMPORT_ERROR: t.Optional[str] = None
try:
    from websockets.client import ClientProtocol
    from websockets.frames import Opcode
    from websockets.http11 import Response
    from websockets.protocol import OPEN
    from websockets.uri import parse_uri
    from websockets.utils import accept_key
except ImportError:
    WEBSOCKETS_IMPORT_ERROR = traceback.format_exc()

NO_ANSWER = -1

SCHEMES = {"wss": "wss", "https": "wss", "ws": "ws", "http": "ws"}
DEFAULT_PORTS = {"wss": 443, "ws": 80}

# RFC 9110 5.6.2, RFC 6265 4.1.1.
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
# RFC 6750 2.1
BEARER_VALUE = re.compile(r"[A-Za-z0-9._~+/-]+=*")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
HANDSHAKE_HEADERS = frozenset(
    ("host", "upgrade", "connection", "origin", "authorization")
    + tuple("sec-websocket-" + name for name in ("key", "version", "accept", "extensions", "protocol"))
)

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT = 65536
CLOSE_TIMEOUT = 1.0

# What the gate means by each of its answers.
MEANINGS = {
    400: "the request is no WebSocket handshake",
    401: "user name and password are asked for or wrong",
    403: "the origin or the token is not accepted",
    404: "there is no location of this path",
    426: "the request asks for no WebSocket",
    429: "too many attempts or open sessions",
    502: "the upstream cannot be reached",
    503: "the service is not available",
    504: "the upstream does not answer",
}


class ProbeArgumentError(Exception):
    """The caller asks for something that cannot be sent."""


class _Failure(Exception):
    """A step went wrong; its text is the reason."""


@dataclass(frozen=True)
class Target:
    """What is asked for, and where."""

    secure: bool
    host: str
    port: int
    resource: str
    connect_host: str
    connect_port: int

    @property
    def url(self) -> str:
        """Without its query, which may hold a secret."""
        return f"{'wss' if self.secure else 'ws'}://{_netloc(self.host, self.port)}{self.resource.split('?')[0]}"

    @property
    def address(self) -> str:
        return _netloc(self.connect_host, self.connect_port)


@dataclass(frozen=True)
class TlsOptions:
    validate_certs: bool = True
    ca_path: t.Optional[str] = None


@dataclass(frozen=True)
class Ask:
    """What goes into the handshake and after it."""

    headers: t.Tuple[t.Tuple[str, str], ...] = field(default=(), repr=False)
    origin: t.Optional[str] = None
    subprotocols: t.Tuple[str, ...] = ()
    message: t.Optional[str] = field(default=None, repr=False)
    ping: bool = True


@dataclass
class Outcome:
    """What was seen. `reason` is empty only for a WebSocket that works."""

    status: int = NO_ANSWER
    upgraded: bool = False
    accept_valid: bool = False
    reason: str = ""
    subprotocol: t.Optional[str] = None
    reply: t.Optional[str] = None
    connect_seconds: t.Optional[float] = None
    tls_seconds: t.Optional[float] = None
    upgrade_seconds: t.Optional[float] = None
    ping_seconds: t.Optional[float] = None
    message_seconds: t.Optional[float] = None
    tls_version: t.Optional[str] = None
    cipher: t.Optional[str] = None
    key_exchange_group: t.Optional[str] = None
    certificate: t.Optional[t.Dict[str, t.Any]] = None


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_target(url: str, connect_to: t.Optional[str] = None) -> Target:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ProbeArgumentError(f"url is no URL: {error}") from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ProbeArgumentError("url must look like wss://host[:port]/path")
    if parts.username is not None or parts.password is not None:
        raise ProbeArgumentError("url must not hold a user name: use username and password")
    if parts.fragment:
        raise ProbeArgumentError("url must not have a fragment")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch(r"[\x21-\x7e]+", resource):
        raise ProbeArgumentError("the path of url must be percent-encoded ASCII")
    port = DEFAULT_PORTS[scheme] if port is None else port
    connect_host, connect_port = _parse_address(connect_to, port) if connect_to is not None else (parts.hostname, port)
    return Target(scheme == "wss", parts.hostname, port, resource, connect_host, connect_port)


def _parse_address(address: str, default_port: int) -> t.Tuple[str, int]:
    match = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:/\s]+))(?::(?P<port>[0-9]{1,5}))?", address)
    port = int(match.group("port") or default_port) if match else 0
    if not match or not 0 < port < 65536:
        raise ProbeArgumentError(f"connect_to must be host[:port] or [IPv6 address][:port], not '{address}'")
    return match.group("six") or match.group("host"), port


def build_headers(
    headers: t.Mapping[str, t.Any],
    cookie_name: str,
    token: t.Optional[str],
    username: t.Optional[str],
    password: t.Optional[str],
    token_source: str = "cookie",
) -> t.Tuple[t.Tuple[str, str], ...]:
    """The headers beside those that make the handshake. Errors name a header, never its value."""
    built: t.List[t.Tuple[str, str]] = []
    cookies: t.List[str] = []
    for name, raw in headers.items():
        value = str(raw)
        if not HEADER_NAME.fullmatch(name):
            raise ProbeArgumentError(f"'{name}' is no name of a header")
        if name.lower() in HANDSHAKE_HEADERS and not (name.lower() == "authorization" and username is None):
            raise ProbeArgumentError(f"the header '{name}' is made by the handshake itself: use the option for it")
        if not HEADER_VALUE.fullmatch(value):
            raise ProbeArgumentError(f"the value of the header '{name}' has characters that no header can carry")
        if name.lower() == "cookie":
            cookies.append(value)
        else:
            built.append((name, value))
    if token is not None and token_source == "bearer":
        if not BEARER_VALUE.fullmatch(token):
            raise ProbeArgumentError("token has characters that Authorization cannot carry after Bearer")
        if username is not None or any(name.lower() == "authorization" for name in headers):
            raise ProbeArgumentError(
                "token_source bearer takes the header Authorization, which is there once: drop the other"
            )
        built.append(("Authorization", f"Bearer {token}"))
    elif token is not None:
        if not HEADER_NAME.fullmatch(cookie_name):
            raise ProbeArgumentError(f"'{cookie_name}' is no name of a cookie")
        if not COOKIE_VALUE.fullmatch(token):
            raise ProbeArgumentError("token has characters that no cookie can carry")
        cookies.append(f"{cookie_name}={token}")
    if cookies:
        # One line: RFC 6265 5.4 allows no second one.
        built.append(("Cookie", "; ".join(cookies)))
    if username is not None:
        if ":" in username:
            raise ProbeArgumentError("username must not hold a colon")
        built.append(("Authorization", f"Basic {encoded_credentials(username, password)}"))
    return tuple(built)


def encoded_credentials(username: str, password: t.Optional[str]) -> str:
    return base64.b64encode(f"{username}:{password or ''}".encode("utf-8")).decode("ascii")


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_path)
    except (OSError, ssl.SSLError) as error:
        raise ProbeArgumentError(f"ca_path '{options.ca_path}' cannot be used: {_words(error)}") from None
    if not options.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: BaseException) -> str:
    """An exception in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class Probe:
    """One attempt. `run` never raises for what the network or the peer does."""

    def __init__(self, target: Target, ask: Ask, tls: TlsOptions, timeout: float) -> None:
        self.outcome = Outcome()
        self._target = target
        self._ask = ask
        self._timeout = timeout
        self._context = tls_context(tls) if target.secure else None
        self._frames: t.Deque[t.Any] = collections.deque()

    def run(self) -> Outcome:
        self._deadline = time.monotonic() + self._timeout
        try:
            self._socket = self._connect()
            try:
                self._talk()
            finally:
                self._socket.close()
        except _Failure as failure:
            self.outcome.reason = str(failure)
        return self.outcome

    def _talk(self) -> None:
        if self._context is not None:
            self._wrap(self._context)
        if not self._upgrade():
            return
        if self._ask.ping:
            self._ping()
        if self._ask.message is not None:
            self._message(self._ask.message)
        self._close()

    def _step(self, what: str) -> float:
        """Arm the socket with the time that is left."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _Failure(f"timed out after {self._timeout:g} s {what}")
        return left

    def _connect(self) -> socket.socket:
        what = f"while connecting to {self._target.address}"
        start = time.monotonic()
        try:
            connection = socket.create_connection(
                (self._target.connect_host, self._target.connect_port), self._step(what)
            )
        except socket.timeout:
            raise _Failure(f"timed out after {self._timeout:g} s {what}") from None
        except (OSError, UnicodeError) as error:
            raise _Failure(f"cannot connect to {self._target.address}: {_words(error)}") from None
        self.outcome.connect_seconds = time.monotonic() - start
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _wrap(self, context: ssl.SSLContext) -> None:
        what = "in the TLS handshake"
        self._socket.settimeout(self._step(what))
        start = time.monotonic()
        try:
            tls = context.wrap_socket(self._socket, server_hostname=self._target.host)
        except socket.timeout:
            raise _Failure(f"timed out after {self._timeout:g} s {what}") from None
        except OSError as error:
            raise _Failure(f"TLS failed: {_words(error)}") from None
        self.outcome.tls_seconds = time.monotonic() - start
        self._socket = tls
        self.outcome.tls_version = tls.version()
        cipher = tls.cipher()
        self.outcome.cipher = cipher[0] if cipher else None
        self.outcome.key_exchange_group = group_of(tls)
        self.outcome.certificate = certificate_facts(tls, time.time())

    def _send(self, data: bytes, what: str) -> None:
        self._socket.settimeout(self._step(what))
        try:
            self._socket.sendall(data)
        except socket.timeout:
            raise _Failure(f"timed out after {self._timeout:g} s {what}") from None
        except OSError as error:
            raise _Failure(f"the connection was lost {what}: {_words(error)}") from None

    def _receive(self, what: str) -> bytes:
        self._socket.settimeout(self._step(what))
        try:
            data = self._socket.recv(65536)
        except socket.timeout:
            raise _Failure(f"timed out after {self._timeout:g} s {what}") from None
        except OSError as error:
            raise _Failure(f"the connection was lost {what}: {_words(error)}") from None
        if not data:
            raise _Failure(f"the server ended the connection {what}")
        return data

    def _upgrade(self) -> bool:
        target = self._target
        self._protocol = ClientProtocol(
            parse_uri(f"{'wss' if target.secure else 'ws'}://{_netloc(target.host, target.port)}{target.resource}"),
            # Its types for these are texts by other names.
            origin=t.cast(t.Any, self._ask.origin),
            subprotocols=t.cast(t.Any, list(self._ask.subprotocols) or None),
        )
        request = self._protocol.connect()
        for name, value in self._ask.headers:
            request.headers[name] = value
        self._protocol.send_request(request)
        what = "while waiting for the answer to the handshake"
        start = time.monotonic()
        self._flush(what)
        received = b""
        while HEAD_END not in received:
            if len(received) > HEAD_LIMIT:
                raise _Failure("the answer is no HTTP: its head does not end")
            received += self._receive(what)
        self.outcome.upgrade_seconds = time.monotonic() - start
        head, rest = received.split(HEAD_END, 1)
        return self._judge(head, rest)

    def _judge(self, head: bytes, rest: bytes) -> bool:
        """Whether the answer opens a WebSocket.

        Only a 101 goes to the library: it waits for the whole body of any other answer.
        """
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/[0-9.]+ ([1-5][0-9]{2})(?: .*)?", first)
        if match is None:
            raise _Failure("the answer is no HTTP")
        self.outcome.status = status = int(match.group(1))
        if status != 101:
            meaning = MEANINGS.get(status)
            phrase = f"{status} {reason_phrases.get(status, '')}".rstrip()
            self.outcome.reason = f"{phrase} ({meaning})" if meaning else phrase
            return False
        pairs = [(name.lower(), value.strip()) for name, _colon, value in (line.partition(":") for line in lines)]
        accepts = [value for name, value in pairs if name == "sec-websocket-accept"]
        self.outcome.accept_valid = accepts == [accept_key(self._protocol.key)]
        self._protocol.receive_data(head + HEAD_END)
        answers = [event for event in self._protocol.events_received() if isinstance(event, Response)]
        error = self._protocol.handshake_exc
        if not self.outcome.accept_valid:
            raise _Failure("the answer is 101 with a missing or wrong Sec-WebSocket-Accept")
        if error is not None or not answers or self._protocol.state is not OPEN:
            raise _Failure(f"the answer is 101 but opens no WebSocket: {error or 'no answer was read'}")
        self.outcome.upgraded = True
        self.outcome.subprotocol = self._protocol.subprotocol
        if rest:
            self._protocol.receive_data(rest)
        return True

    def _flush(self, what: str) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._send(data, what)

    def _next_frame(self, what: str) -> t.Any:
        while not self._frames:
            self._flush(what)
            self._frames.extend(self._protocol.events_received())
            if self._frames:
                break
            if self._protocol.parser_exc is not None:
                raise _Failure(f"the server broke the protocol {what}: {self._protocol.parser_exc}")
            self._protocol.receive_data(self._receive(what))
        frame = self._frames.popleft()
        if frame.opcode is Opcode.CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else 1005
            raise _Failure(f"the server closed the WebSocket with {code} {what}")
        return frame

    def _ping(self) -> None:
        what = "while waiting for the pong"
        payload = os.urandom(8)
        start = time.monotonic()
        self._protocol.send_ping(payload)
        while True:
            frame = self._next_frame(what)
            if frame.opcode is Opcode.PONG and bytes(frame.data) == payload:
                self.outcome.ping_seconds = time.monotonic() - start
                return

    def _message(self, message: str) -> None:
        what = "while waiting for an answer to the message"
        start = time.monotonic()
        self._protocol.send_text(message.encode("utf-8"))
        parts: t.List[bytes] = []
        while True:
            frame = self._next_frame(what)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                parts.append(bytes(frame.data))
                if frame.fin:
                    break
        self.outcome.message_seconds = time.monotonic() - start
        self.outcome.reply = b"".join(parts).decode("utf-8", errors="replace")

    def _close(self) -> None:
        """Say goodbye. What happens now is no fault of the session's."""
        self._deadline = min(self._deadline, time.monotonic() + CLOSE_TIMEOUT)
        self._protocol.send_close(1000)
        try:
            while True:
                self._next_frame("while closing")
        except _Failure:
            return


def probe(target: Target, ask: Ask, tls: TlsOptions, timeout: float) -> Outcome:
    return Probe(target, ask, tls, timeout).run()


def verdict(outcome: Outcome, expected_status: t.Sequence[int]) -> t.Optional[str]:
    """What is wrong, in one sentence; None when all is as expected."""
    if outcome.status not in expected_status:
        expected = " or ".join("no answer" if status == NO_ANSWER else str(status) for status in expected_status)
        got = outcome.reason or "101 (the WebSocket was opened)"
        return f"expected {expected}, got {got}" if outcome.status != NO_ANSWER else f"expected {expected}, but {got}"
    if outcome.status == 101 and outcome.reason:
        return outcome.reason
    return None
