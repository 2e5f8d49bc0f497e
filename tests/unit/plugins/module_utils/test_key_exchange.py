# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's choice is read as RFC 8446 writes it; test_gate_check.py asks a server of OpenSSL's."""

from __future__ import annotations

import hashlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.wssgate.nginx.plugins.module_utils._handshake import key_exchange

RETRY = hashlib.sha256(b"HelloRetryRequest").digest()
VERSION = struct.pack("!HHH", 43, 2, 0x0304)


def share(group: int) -> bytes:
    return struct.pack("!HHH", 51, 2, group)


def answer(extensions: bytes, random: bytes = RETRY, kind: int = 2, record: int = 22) -> bytes:
    body = (
        b"\x03\x03" + random + b"\x20" + bytes(32) + b"\x13\x01\x00" + struct.pack("!H", len(extensions)) + extensions
    )
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    return struct.pack("!BHH", record, 0x0303, len(message)) + message


def test_the_group_that_the_server_wants_a_key_for_is_told_by_its_name() -> None:
    assert key_exchange.chosen_group(answer(VERSION + share(0x11EC))) == "X25519MLKEM768"
    assert key_exchange.chosen_group(answer(share(0x001D) + VERSION)) == "x25519"


def test_what_is_no_such_answer_is_none() -> None:
    for other in (
        answer(VERSION + share(0x001D), random=bytes(32)),
        answer(VERSION + share(0x001D), kind=4),
        answer(VERSION + share(0x001D), record=21),
        answer(VERSION),
        # A group that was not offered.
        answer(VERSION + share(0x0019)),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ):
        assert key_exchange.chosen_group(other) is None


def test_the_first_record_is_read_and_no_more() -> None:
    whole = answer(VERSION + share(0x11EC))
    assert key_exchange.missing(b"") == 5
    assert key_exchange.missing(whole[:5]) == len(whole) - 5
    assert key_exchange.missing(whole[:-1]) == 1
    assert key_exchange.missing(whole) == 0
    # An alert, a server that speaks no TLS, a length that no record may have.
    assert (
        key_exchange.missing(b"\x15\x03\x03\x00\x02")
        == key_exchange.missing(b"HTTP/")
        == key_exchange.missing(b"\x16\x03\x03\xff\xff")
        == 0
    )


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=120))
def test_nothing_that_a_server_says_makes_it_stumble(noise: bytes, cut: int) -> None:
    whole = answer(VERSION + share(0x11EC))
    for received in (noise, whole[:cut], whole[:cut] + noise):
        assert key_exchange.chosen_group(received) in (None, *key_exchange.GROUPS.values())
        assert key_exchange.missing(received) >= 0


def test_a_name_goes_into_the_hello_and_an_empty_one_leaves_it_out() -> None:
    named, plain = key_exchange.client_hello("wcs.example.com"), key_exchange.client_hello("")
    assert b"wcs.example.com" in named
    for hello in (named, plain):
        assert key_exchange.missing(hello) == 0 and len(hello) == 5 + struct.unpack("!H", hello[3:5])[0]
