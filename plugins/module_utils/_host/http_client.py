# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP client for one server, that takes no longer than it may and reads no more than it may.

Nothing but the URL decides where it goes: no redirect is followed, and no variable of the environment is looked at.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import time
import typing as t

from .endpoint import Endpoint
from .error import HostError


class RequestError(HostError):
    """There is no answer that counts; the text says why and holds nothing of what was sent."""


class Answer(t.NamedTuple):
    """What a server answered; the names of its headers are in small letters."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes


class _Timed:
    """A socket for http.client that gives up at a moment of the monotonic clock, however slowly something comes."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self.until = 0.0

    def _limit(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self.plain.settimeout(left)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._limit()
            view = view[self.plain.send(view) :]

    def receive_into(self, buffer: memoryview) -> int:
        self._limit()
        return self.plain.recv_into(buffer)

    def makefile(self, *_mode: t.Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Connection.close() does it: an answer may still be read when http.client has done with the socket."""


class _Reader(io.RawIOBase):
    def __init__(self, source: _Timed) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        return self._source.receive_into(buffer)


class Connection:
    """A connection to a server, opened when it is needed and used again while it stays up."""

    def __init__(self, endpoint: Endpoint, ca: str = "") -> None:
        self.endpoint = endpoint
        self._context: t.Optional[ssl.SSLContext] = None
        if endpoint.is_tls:
            self._context = ssl.create_default_context(cadata=ca or None)
        self._timed: t.Optional[_Timed] = None
        self._http: t.Optional[http.client.HTTPConnection] = None

    def request(
        self, method: str, headers: t.Mapping[str, str], until: float, most: int, body: t.Optional[bytes] = None
    ) -> Answer:
        """Ask; return the answer with at most so many bytes of its body. ``until`` is of the monotonic clock."""
        is_used = self._timed is not None
        try:
            try:
                return self._request(method, headers, until, most, body)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                if not is_used:
                    raise
                # The server may close a connection at any time while nothing is sent.
                self.close()
                return self._request(method, headers, until, most, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RequestError(_words(error)) from None

    def _request(
        self, method: str, headers: t.Mapping[str, str], until: float, most: int, body: t.Optional[bytes]
    ) -> Answer:
        if self._timed is None or self._http is None:
            self._timed = _Timed(self._connect(until))
            self._http = http.client.HTTPConnection(self.endpoint.host, self.endpoint.port or None)
            self._http.sock = self._timed
            self._http.auto_open = 0
        self._timed.until = until
        self._http.request(method, self.endpoint.target, body, {"Host": self.endpoint.header, **headers})
        answer = self._http.getresponse()
        content = answer.read(most)
        found = {name.lower(): value for name, value in answer.getheaders()}
        if not answer.isclosed() or answer.will_close:
            self.close()
        return Answer(answer.status, found, content)

    def _connect(self, until: float) -> socket.socket:
        if self.endpoint.socket:
            return _connected(socket.AF_UNIX, self.endpoint.socket, until)
        problem: t.Optional[OSError] = None
        where = (self.endpoint.host, self.endpoint.port)
        found = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)
        for left, (family, _kind, _protocol, _name, address) in zip(range(len(found), 0, -1), found):
            now = time.monotonic()
            try:
                # One that does not answer leaves some time for those behind it.
                plain = _connected(family, address, now + (until - now) / left)
            except OSError as error:
                problem = error
                continue
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is None:
                return plain
            try:
                plain.settimeout(max(0.01, until - time.monotonic()))
                return self._context.wrap_socket(plain, server_hostname=self.endpoint.host)
            except BaseException:
                plain.close()
                raise
        raise problem or OSError("no address")

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._timed is not None:
            self._timed.plain.close()
        self._timed = None
        self._http = None


def _connected(family: int, address: t.Any, until: float) -> socket.socket:
    plain = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        plain.settimeout(max(0.01, until - time.monotonic()))
        plain.connect(address)
    except BaseException:
        plain.close()
        raise
    return plain


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that does not count: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"does not agree on TLS: {error.reason or 'it gives no reason'}"
    if isinstance(error, socket.timeout):
        return "does not answer in time"
    if isinstance(error, socket.gaierror):
        return f"has a name that cannot be resolved: {error.strerror}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closes the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return "answers with something else than HTTP"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be reached: {os.strerror(error.errno)}"
    return "cannot be reached"
