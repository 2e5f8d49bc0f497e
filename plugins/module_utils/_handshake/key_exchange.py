# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which group a server of TLS 1.3 chooses for the key exchange (RFC 8446 4.1 and 4.2).

Python tells the group of a session from 3.15 on, and can only offer what its own OpenSSL knows. So the client's first
message is written here by hand. It offers groups and sends no key for any: the server then has to say which one it
wants a key for, in a message that is not encrypted, and that ends the exchange.
"""

from __future__ import annotations

import os
import struct
import typing as t

# What browsers offer, in their order, by the names that IANA registers.
GROUPS = {0x11EC: "X25519MLKEM768", 0x001D: "x25519", 0x0017: "secp256r1", 0x0018: "secp384r1"}
_CIPHER_SUITES = (0x1301, 0x1302, 0x1303)
# ECDSA, RSA-PSS and Ed25519: whatever the server's certificate is. None of them is used.
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807)
_TLS_1_2, _TLS_1_3 = 0x0303, 0x0304
_SERVER_NAME, _SUPPORTED_GROUPS, _SIGNATURE_ALGORITHMS, _SUPPORTED_VERSIONS, _KEY_SHARE = 0, 10, 13, 43, 51
_HANDSHAKE_RECORD, _CLIENT_HELLO, _SERVER_HELLO = 22, 1, 2
# The random of a ServerHello that asks for another ClientHello: SHA-256 of "HelloRetryRequest".
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_RECORD_HEAD_SIZE = 5
_RECORD_LIMIT = 16384 + 256


def _vector(size: int, content: bytes) -> bytes:
    """The content behind its length, which takes `size` bytes."""
    return len(content).to_bytes(size, "big") + content


def _numbers(numbers: t.Iterable[int]) -> bytes:
    return b"".join(struct.pack("!H", number) for number in numbers)


def _extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!H", kind) + _vector(2, content)


def client_hello(server_name: str) -> bytes:
    """Return the first message of a client that offers the groups and has a key for none yet."""
    extensions = (
        _extension(_SERVER_NAME, _vector(2, b"\0" + _vector(2, server_name.encode("ascii", "replace"))))
        if server_name
        else b""
    )
    extensions += _extension(_SUPPORTED_GROUPS, _vector(2, _numbers(GROUPS)))
    extensions += _extension(_SIGNATURE_ALGORITHMS, _vector(2, _numbers(_SIGNATURES)))
    extensions += _extension(_SUPPORTED_VERSIONS, _vector(1, _numbers([_TLS_1_3])))
    extensions += _extension(_KEY_SHARE, _vector(2, b""))
    hello = _numbers([_TLS_1_2]) + os.urandom(32) + _vector(1, os.urandom(32)) + _vector(2, _numbers(_CIPHER_SUITES))
    hello += _vector(1, b"\0") + _vector(2, extensions)
    # A first record calls itself TLS 1.0, for the sake of old middle boxes.
    return struct.pack("!BH", _HANDSHAKE_RECORD, 0x0301) + _vector(2, bytes([_CLIENT_HELLO]) + _vector(3, hello))


def missing(received: bytes) -> int:
    """Return how many bytes of the server's first record are still to come; 0 when it is there, or when it is none."""
    if len(received) < _RECORD_HEAD_SIZE:
        return _RECORD_HEAD_SIZE - len(received)
    kind, _version, length = struct.unpack("!BHH", received[:_RECORD_HEAD_SIZE])
    if kind != _HANDSHAKE_RECORD or length > _RECORD_LIMIT:
        return 0
    return max(0, _RECORD_HEAD_SIZE + length - len(received))


class _Reader:
    """Raises ValueError where the bytes end too early."""

    def __init__(self, content: bytes) -> None:
        self.rest = content

    def take(self, size: int) -> bytes:
        if len(self.rest) < size:
            raise ValueError("the message ends too early")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


def chosen_group(received: bytes) -> t.Optional[str]:
    """Return the group that the server wants a key for; None when it said something else: it has no TLS 1.3, say."""
    try:
        record = _Reader(received)
        if record.number(1) != _HANDSHAKE_RECORD:
            return None
        record.take(2)
        message = _Reader(record.vector(2))
        if message.number(1) != _SERVER_HELLO:
            return None
        hello = _Reader(message.vector(3))
        hello.take(2)
        if hello.take(32) != _RETRY:
            return None
        hello.vector(1)
        hello.take(3)
        extensions = _Reader(hello.vector(2))
        while extensions.rest:
            kind, content = extensions.number(2), extensions.vector(2)
            if kind == _KEY_SHARE:
                return GROUPS.get(_Reader(content).number(2))
    except ValueError:
        pass
    return None
