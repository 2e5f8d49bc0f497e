# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a limit per address counts as one: an IPv4 address, or an IPv6 network of 64 bits."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from lib.http_client import Client
from lib.local_gate import LocalGate, free_port
from lib.processes import wait_for

ORIGIN = "https://app.example.com"
# Another site of the same nginx, which answers with the bytes that limits go by.
OTHER = """\
server {{
    listen 127.0.0.1:{port};
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;
    location / {{
        return 200 $wss_network;
    }}
}}
"""
Address = "ipaddress.IPv4Address | ipaddress.IPv6Address"


def counted(address: Address) -> bytes:
    """The bytes that a limit has to go by."""
    if address.version == 6 and address.ipv4_mapped:
        return address.ipv4_mapped.packed
    return (
        address.packed
        if address.version == 4
        else ipaddress.ip_network((address, 64), strict=False).network_address.packed[:8]
    )


groups = st.lists(st.sampled_from((0, 0, 0, 1, 0xA, 0xFFFF, 0x2001, 0x0DB8, 0x0A0D)), min_size=8, max_size=8)
# Many with runs of zeros, some within IPv4's corner of IPv6, and whatever else there is.
addresses = st.one_of(
    groups.map(lambda parts: ipaddress.IPv6Address(b"".join(part.to_bytes(2, "big") for part in parts))),
    st.integers(0, 2**48 - 1).map(ipaddress.IPv6Address),
    st.integers(0, 2**32 - 1).map(lambda number: ipaddress.IPv6Address(0xFFFF << 32 | number)),
    st.ip_addresses(v=6),
    st.ip_addresses(v=4),
).filter(
    lambda address: b"\xff\xff\xff\xff" not in (address.packed, counted(address))
)  # nginx takes 255.255.255.255 for no address


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("gate", "other")}


@pytest.fixture(scope="module")
def upstream() -> Iterator[socket.socket]:
    # The kernel takes the connections, nobody answers: each handshake stays under way.
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield listener


@pytest.fixture(scope="module")
def local_gate(upstream: socket.socket, ports: dict[str, int]) -> Iterator[LocalGate]:
    location = {"upstream": f"http://127.0.0.1:{upstream.getsockname()[1]}", "auth": "none", "origins": [ORIGIN]}
    local_gate = LocalGate(
        [
            {
                "name": "gate",
                "server_names": ["gate.example.com"],
                "trusted_proxies": ["127.0.0.1"],
                "listen": [{"address": "127.0.0.1", "port": ports["gate"], "tls": False}],
                "locations": [
                    location | {"path": "/few", "max_sessions_per_address": 1},
                    location | {"path": "/rate", "max_attempts_per_second": 1},
                ],
            }
        ]
    )
    (local_gate.etc / "conf.d" / "other.conf").write_text(OTHER.format(port=ports["other"]))
    with local_gate:
        yield local_gate


def test_addresses_are_counted_by_their_network(local_gate: LocalGate, ports: dict[str, int]) -> None:
    with Client(ports["other"]) as client:

        @hypothesis.settings(max_examples=1500, deadline=None, database=None)
        @hypothesis.given(addresses)
        def agree(address: Address) -> None:
            answer = client.ask(f"GET / HTTP/1.1\r\nHost: other\r\nX-Forwarded-For: {address}\r\n\r\n".encode())
            assert (answer.status, answer.body) == (200, counted(address)), address

        agree()


def open_from(port: int, path: str, address: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(
        (
            f"GET {path} HTTP/1.1\r\nHost: gate.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: "
            f"{ORIGIN}\r\n"
            f"X-Forwarded-For: {address}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            f"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
    )
    return client


def is_refused(client: socket.socket, listener: socket.socket) -> bool:
    """429, or the upstream was asked."""
    listener.settimeout(0.02)
    client.settimeout(0.02)

    def outcome() -> str:
        with contextlib.suppress(TimeoutError):
            head = client.recv(4096)
            assert head.startswith(b"HTTP/1.1 429 "), head
            return "refused"
        with contextlib.suppress(TimeoutError):
            listener.accept()[0].close()
            return "asked"
        return ""

    return wait_for(outcome) == "refused"


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        # The longest run of zeros is in another place of each text.
        ("2001:db8::1", "2001:db8:0:0:5::", True),
        ("2001:db8::5:0:0:1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "::1", False),
    ],
)
def test_sessions_are_limited_for_the_whole_network(
    local_gate: LocalGate, ports: dict[str, int], upstream: socket.socket, first: str, second: str, is_one: bool
) -> None:
    def ended() -> int:
        return local_gate.access_log.read_text().count("\n") if local_gate.access_log.exists() else 0

    known = ended()
    upstream.settimeout(10)
    with open_from(ports["gate"], "/few", first), upstream.accept()[0], open_from(ports["gate"], "/few", second) as two:
        assert is_refused(two, upstream) == is_one
    # The next case finds none of these sessions any more.
    wait_for(lambda: ended() == known + 2)


@pytest.mark.parametrize(
    ("address", "is_one"), [("2001:db8:5:5::{0:x}", True), ("2001:db8:6:{0:x}::1", False), ("192.0.2.{0}", False)]
)
def test_attempts_are_limited_for_the_whole_network(
    local_gate: LocalGate, ports: dict[str, int], upstream: socket.socket, address: str, is_one: bool
) -> None:
    """One a second, and one more: of ten in a row, the network of one gets the fewest through."""
    outcomes = []
    for number in range(1, 11):
        with open_from(ports["gate"], "/rate", address.format(number)) as client:
            outcomes.append(is_refused(client, upstream))
    assert any(outcomes) == is_one


def test_a_gate_that_counted_otherwise_learns_it_by_a_reload(local_gate: LocalGate, ports: dict[str, int]) -> None:
    """nginx refuses to give a zone that it has another key."""
    port = free_port()

    def older(name: str, text: str) -> str:
        return text.replace("_zone $wss_network", "_zone $binary_remote_addr").replace("s64_", "s_")

    with local_gate.copy(older, {ports["gate"]: port, ports["other"]: free_port()}) as copy:
        gate = copy.etc / "wssgate.d" / "gate.conf"
        assert "binary_remote_addr zone=wss_sessions_" in gate.read_text()
        for path in (gate, copy.etc / "wssgate.d" / "server_gate.conf"):
            text = (local_gate.etc / path.relative_to(copy.etc)).read_text()
            path.write_text(text.replace(str(local_gate.root), str(copy.root)).replace(f":{ports['gate']}", f":{port}"))
        copy.reload()
        assert "previously it used" not in copy.error_log()
