# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""More sessions than there are ports towards one upstream address: what runs out, and what helps.

In a network namespace of its own, whose ports are so few that the usual 28,000 are 30.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import multiprocessing
import os
import socket
import struct
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from lib.local_gate import LocalGate
from lib.processes import running

CLONE_NEWNET = 0x40000000
IP_BIND_ADDRESS_NO_PORT = 24
PORTS = 30
SESSIONS = 50
ONE, TWO, UNIX = 20001, 20002, 20003
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: gate.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a network namespace")


def enter_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        # Set the flag UP of lo: netdevice(7).
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x49))
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + PORTS - 1}")


def gate(port: int, upstream: str) -> dict:
    location = {
        "path": "/ws",
        "upstream": upstream,
        "auth": "none",
        "origins": ["https://app.example.com"],
        "allow_missing_origin": True,
    }
    return {
        "name": f"gate{port}",
        "server_names": ["gate.example.com"],
        "locations": [location],
        "listen": [{"address": "127.0.0.1", "port": port, "tls": False}],
    }


def statuses(port: int) -> list[int]:
    """What so many clients get who all stay; each address of theirs has the ports for a few."""
    found = []
    with contextlib.ExitStack() as stack:
        for number in range(SESSIONS):
            client = stack.enter_context(socket.socket())
            client.settimeout(10)
            # A port of its own only when it connects: one that is bound before is nobody else's, the gate's least of
            # all.
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.1.{1 + number // 10}", 0))
            client.connect(("127.0.0.1", port))
            client.sendall(REQUEST)
            found.append(int(client.recv(4096)[9:12]))
    return found


def in_there(pipe: Connection) -> None:
    enter_namespace()
    unix = f"/tmp/wssgate-ports-{os.getpid()}.sock"
    addresses = ("127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.2:9002", unix)
    servers = [gate(ONE, "http://127.0.0.1:9001"), gate(TWO, "two"), gate(UNIX, f"http://unix:{unix}")]
    group = {"name": "two", "scheme": "http", "servers": ["127.0.0.1:9002", "127.0.0.2:9002"]}
    try:
        with (
            running("echo_server", *(word for address in addresses for word in ("--echo", address))),
            LocalGate(servers, wss_proxy_upstreams=[group]) as local_gate,
        ):
            pipe.send(
                {"one": statuses(ONE), "two": statuses(TWO), "unix": statuses(UNIX), "log": local_gate.error_log()}
            )
    finally:
        Path(unix).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def found() -> dict:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=in_there, args=(theirs,))
    child.start()
    theirs.close()
    assert ours.poll(120), "the namespace is silent"
    try:
        return ours.recv()
    except EOFError:
        pytest.fail("the part within the network namespace ended; see its traceback above")
    finally:
        child.join(30)


def test_one_upstream_address_carries_as_many_sessions_as_there_are_ports(found):
    assert found["one"].count(101) == PORTS
    assert set(found["one"][PORTS:]) == {502}
    assert "Cannot assign requested address" in found["log"] or "Address not available" in found["log"]


def test_two_upstream_addresses_carry_twice_as_many(found):
    assert found["two"] == [101] * SESSIONS


def test_a_unix_socket_needs_no_ports(found):
    assert found["unix"] == [101] * SESSIONS
