# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to Valkey or Redis: commands out, replies in (RESP2). It needs nothing but the standard library.

A client library takes what a server sends, as large as it is. What is in an issuer's stream an issuer has written, and
an entry may have 512 MiB: here what is too long is read and dropped, and TOO_LONG is in its place. A server that is
none, or a hostile one, costs a bounded memory and a bounded time, whatever it sends.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import time
import typing as t

from .error import HubError

Reply = t.Any
Word = t.Union[str, bytes, int]
# Bytes of one text, items of one list at the depth of a record's fields, and levels of lists within each other
LONGEST_TEXT = 1024
MOST_FIELDS = 16
DEEPEST = 8
# Seconds until something has to come, and a connection has to be there.
PATIENCE = 5.0
# Seconds that a hub without memory is asked again: gates trim the stream of the issuer that has filled it. And between.
FULL_PATIENCE = 5.0
_AGAIN = 0.05
# Bytes that the replies to one call may take, with what each item costs beside its text
MOST = 64 << 20
_ITEM = 100
# Items of such a reply that are dropped: one entry has no more, as a command has a million words at most.
MOST_DROPPED = 1 << 21
# The longest text that a server can send as it comes from its builders
_LONGEST_SENT = 512 << 20
# Bytes a second below which a reply does not end
_SLOWEST = 1 << 14
_PART = 1 << 16
_LONGEST_LINE = 1 << 16
# X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL
_HAS_EXPIRED = 10
_INTEGER = re.compile(rb"-?[0-9]{1,19}\Z")
_SHORT_TEXT = re.compile(rb"\$(?:" + b"|".join(rb"%d\r\n[\s\S]{%d}" % (size, size) for size in range(24)) + rb")\r\n")
_CODE = re.compile(r"[A-Z]{1,20}\Z")


class _TooLong:
    """Stands for what was too long to keep."""

    def __repr__(self) -> str:
        return "TOO_LONG"


TOO_LONG = _TooLong()


class RefusedError(HubError):
    """The hub does not do what it was asked for. ``code`` is the first word of its answer, ``told`` all of it: for a
    test or a comparison, and not for a message, as it may repeat what was sent.
    """

    def __init__(self, text: str) -> None:
        self.told = text
        code = text.partition(" ")[0]
        # From a server that is none it may be anything.
        self.code = code if _CODE.match(code) else "ERR"
        words = {
            "MOVED": "the hub is a cluster, and another node of it has the keys of this fleet: name that node",
            "NOAUTH": "the hub wants a user and a password",
            "WRONGPASS": "the hub does not take the user and the password",
            "NOPERM": "the hub does not let this user do that",
            "OOM": "the hub's memory is full",
            "READONLY": "the hub is a replica",
            "LOADING": "the hub is starting",
            "MISCONF": "the hub cannot write to its disk",
        }
        # What Sentinels tell of themselves repeats nothing.
        is_plain = self.code == "NOQUORUM" and len(text) < 500 and text.isprintable()
        super().__init__(text if is_plain else words.get(self.code, f"the hub refuses: {self.code}"))

    @property
    def kind(self) -> str:
        """The same as ``code``."""
        return self.code


class Wire:
    """A connection that is up. Whatever goes wrong on it but a refusal ends it."""

    def __init__(self, plain: socket.socket, patience: float = PATIENCE) -> None:
        self._socket = plain
        self.patience = patience
        self._buffer = bytearray()
        self._room = self._droppable = 0
        self._end = 0.0

    def certificate_end(self) -> int:
        """When the certificate of the other side ends, in seconds since 1970; 0 where there is none."""
        certificate = self._socket.getpeercert() if isinstance(self._socket, ssl.SSLSocket) else None
        return int(ssl.cert_time_to_seconds(str(certificate["notAfter"]))) if certificate else 0

    def call(self, *words: Word, wait: float = 0.0, longest: int = LONGEST_TEXT, fields_at: int = DEEPEST) -> Reply:
        """Send a command; return the reply.

        ``wait``: seconds that the hub may let pass before it begins to reply. ``fields_at``: from this depth on a list
        has MOST_FIELDS items at most.
        """
        return self.calls([words], wait, longest, fields_at)[0]

    def calls(
        self,
        commands: t.Sequence[t.Sequence[Word]],
        wait: float = 0.0,
        longest: int = LONGEST_TEXT,
        fields_at: int = DEEPEST,
    ) -> t.List[Reply]:
        """Send commands at once; return their replies. The first refusal is raised once all replies are there."""
        try:
            self._socket.settimeout(self.patience)
            self._socket.sendall(b"".join(_encoded(words) for words in commands))
            self._socket.settimeout(self.patience + wait)
            self._room, self._droppable = MOST, MOST_DROPPED
            self._end = time.monotonic() + self.patience + wait
            replies = []
            for _command in commands:
                replies.append(self._reply(0, longest, fields_at))
                self._socket.settimeout(self.patience)
        except (OSError, ValueError) as error:
            self.close()
            raise HubError(words_of(error)) from None
        except HubError:
            self.close()
            raise
        for reply in replies:
            if isinstance(reply, RefusedError):
                raise reply
        return replies

    def append(self, key: str, fields: t.Sequence[Word]) -> Reply:
        """Append to a stream; return the id. A hub without memory is asked again for a while."""
        until = time.monotonic() + FULL_PATIENCE
        while True:
            try:
                return self.call("XADD", key, "*", *fields)
            except RefusedError as error:
                if error.code != "OOM" or time.monotonic() >= until:
                    raise
            time.sleep(_AGAIN)

    def close(self) -> None:
        """Close it; a call under way in another thread ends."""
        # The other side may have been faster.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    # Replies

    def _more(self) -> None:
        part = self._socket.recv(_PART)
        if not part:
            raise HubError("the hub closes the connection")
        # Each byte buys a little time: one that sends them one by one does not keep this waiting for ever.
        self._end += len(part) / _SLOWEST
        if time.monotonic() > self._end:
            raise HubError("the hub does not answer in time")
        self._buffer += part

    def _keep(self, size: int) -> None:
        self._room -= size + _ITEM
        if self._room < 0:
            raise HubError(f"the hub sends more than {MOST} bytes at once")

    def _line(self) -> bytes:
        searched = 0
        while True:
            end = self._buffer.find(b"\r\n", searched)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                return line
            searched = max(0, len(self._buffer) - 1)
            if len(self._buffer) > _LONGEST_LINE:
                raise HubError("the hub sends what is no reply")
            self._more()

    def _drop(self) -> None:
        self._droppable -= 1
        if self._droppable < 0:
            raise HubError(f"the hub sends more than {MOST_DROPPED} items at once")

    def _reply(self, depth: int, longest: int, fields_at: int) -> Reply:
        line = self._line()
        if longest:
            self._keep(len(line))
        else:
            self._drop()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b":":
            return _number(rest)
        if kind == b"-":
            return RefusedError(rest.decode("utf-8", "replace"))
        if kind == b"$":
            return self._text(_length(rest), longest)
        if kind == b"*" and depth < DEEPEST:
            return self._list(_length(rest), depth, longest, fields_at)
        raise HubError("the hub sends what is no reply")

    def _list(self, count: int, depth: int, longest: int, fields_at: int) -> Reply:
        if count < 0:
            return None
        if depth >= fields_at and count > MOST_FIELDS:
            self._skip(count, depth, fields_at)
            return TOO_LONG
        return [self._reply(depth + 1, longest, fields_at) for _item in range(count)]

    def _skip(self, count: int, depth: int, fields_at: int) -> None:
        """Read past items. Of a million of them most are short texts that are there as a whole: no call for each."""
        while count:
            at = 0
            for found in _SHORT_TEXT.finditer(bytes(self._buffer)) if count > MOST_FIELDS else ():
                if found.start() != at or not count:
                    break
                self._drop()
                at, count = found.end(), count - 1
            del self._buffer[:at]
            if count:
                self._reply(depth + 1, 0, fields_at)
                count -= 1

    def _text(self, size: int, longest: int) -> Reply:
        if size < 0:
            return None
        if size > _LONGEST_SENT:
            raise HubError("the hub sends what is no reply")
        if size > longest or not longest:
            left = size + 2
            while left:
                if not self._buffer:
                    self._more()
                part = min(left, len(self._buffer))
                del self._buffer[:part]
                left -= part
            return TOO_LONG
        self._keep(size)
        while len(self._buffer) < size + 2:
            self._more()
        text = bytes(self._buffer[:size])
        if self._buffer[size : size + 2] != b"\r\n":
            raise HubError("the hub sends what is no reply")
        del self._buffer[: size + 2]
        return text


def _number(text: bytes) -> int:
    # int() takes blanks, signs and underscores.
    if _INTEGER.match(text) is None:
        raise ValueError("no number")
    return int(text)


def _length(text: bytes) -> int:
    number = _number(text)
    if number < -1:
        raise ValueError("no length")
    return number


def _encoded(words: t.Sequence[Word]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def connect(host: str, port: int, ca: str, patience: float = PATIENCE) -> Wire:
    """Return a connection with verified TLS 1.2 or newer. ``ca``: a file of authorities; empty for the system's."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (OSError, ssl.SSLError) as error:
        raise HubError(_words_of_authorities(ca, error)) from None
    try:
        # The resolver takes the lower 16 bits of a larger number.
        if not 0 < port < 65536:
            raise OverflowError
        plain = socket.create_connection((host, port), timeout=patience)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A hub whose host is gone reports nothing.
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return Wire(context.wrap_socket(plain, server_hostname=host), patience)
        except BaseException:
            plain.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise HubError(f"{host}:{port} {words_of(error)}") from None


def _words_of_authorities(ca: str, error: OSError) -> str:
    """What is wrong with the file of authorities: a mistake on this host, and nothing about the hub."""
    what = f"the authorities in {ca}" if ca else "the system's authorities"
    if isinstance(error, ssl.SSLError):
        return f"{what} are no certificates in PEM; ca_path must name a file that has some"
    why = os.strerror(error.errno) if error.errno else "it is no file"
    return f"{what} cannot be read on this host: {why}; put the file there, or name another one in ca_path"


def words_of(error: Exception) -> str:
    """What is wrong with the other side."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _HAS_EXPIRED:
            return (
                f"has a certificate that is not trusted: {error.verify_message}; have it renewed there, which playbook "
                "site does for the hosts of wss_hubs"
            )
        return (
            f"has a certificate that is not trusted: {error.verify_message}; ca_path must name the authority that "
            "signed it, and the certificate must be for this name"
        )
    if isinstance(error, ssl.SSLError):
        return f"does not agree on TLS: {error.reason or 'it gives no reason'}"
    if isinstance(error, socket.timeout):
        return "does not answer in time"
    if isinstance(error, socket.gaierror):
        return f"has a name that cannot be resolved: {error.strerror}"
    if isinstance(error, (OverflowError, UnicodeError)):
        return "is no name or address with a port"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be reached: {os.strerror(error.errno)}"
    if isinstance(error, ValueError):
        return "the hub sends what is no reply"
    return "cannot be reached"
