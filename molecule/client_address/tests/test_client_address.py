# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's address as the upstream and the log get it. Clients run on the host, with addresses of their own."""

from __future__ import annotations

import json

import pytest

GATE, CLIENT, BALANCER = "198.51.100.1", "198.51.100.7", "198.51.100.20"
LIE = "203.0.113.66"
# What the gate sets, and what else could be believed somewhere.
SET_BY_GATE = ("X-Client-IP", "X-Real-IP", "X-Forwarded-For")
FORGED = [
    ("X-Client-IP", LIE),
    ("x-client-ip", LIE),
    ("X-Real-IP", LIE),
    ("X-Forwarded-For", f"{LIE}, {LIE}"),
    ("X-Forwarded-For", LIE),
    ("X-Forwarded-Proto", LIE),
    ("X_Client_IP", LIE),
    ("X-Caller", LIE),
    ("Forwarded", f"for={LIE};proto=http"),
]
ASK = """
import json, sys
from lib.wire import Endpoint, Request, WireError, handshake
given = json.loads(sys.argv[1])
request = Request(path=given['path'], host='gate.example.com').origin('https://gate.example.com')
for name, value in given['headers']:
    request = request.adding(name, value)
where = {name: given[name] for name in ('port', 'host', 'tls', 'source')}
endpoint = Endpoint(server_name='gate.example.com', **where)
try:
    with handshake(endpoint, request, preamble=given['preamble'].encode()) as reply:
        told = None
        if reply.session:
            reply.session.send('headers?')
            told = json.loads(reply.session.receive_text())['headers']
        print(json.dumps([reply.status, told]))
except (OSError, WireError) as error:
    print(json.dumps([0, type(error).__name__]))
"""

# How a client gets to the gate: address, port, and whether it speaks TLS to whoever answers there.
STRAIGHT = (GATE, 443, True)
PROXY_V1 = (BALANCER, 7001, True)
PROXY_V2 = (BALANCER, 7002, True)
FORWARDED_FOR = (BALANCER, 7003, False)
ANOTHER_HEADER = (BALANCER, 7004, False)
SOCKET = (BALANCER, 7005, False)
WAYS = [STRAIGHT, PROXY_V1, PROXY_V2, FORWARDED_FOR, ANOTHER_HEADER, SOCKET]
NAMES = ["straight", "proxy_v1", "proxy_v2", "forwarded_for", "another_header", "socket"]


@pytest.fixture
def ask(host):
    def ask(way, headers=(), path="/wss", source=CLIENT, preamble=""):
        address, port, tls = way
        given = {
            "host": address,
            "port": port,
            "tls": tls,
            "headers": list(headers),
            "path": path,
            "source": source,
            "preamble": preamble,
        }
        return json.loads(host.check_output("env PYTHONPATH=/mnt/tests python3 -B -c %s %s", ASK, json.dumps(given)))

    return ask


def believed(headers) -> dict[str, list[str]]:
    """Each header that names an address or scheme, with every value it came with."""
    wanted = {"x-client-ip", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"}
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name.lower() in wanted:
            found.setdefault(name.lower(), []).append(value)
    return found


def truth(address: str, scheme: str) -> dict[str, list[str]]:
    return {
        "x-client-ip": [address],
        "x-real-ip": [address],
        "x-forwarded-for": [address],
        "x-forwarded-proto": [scheme],
    }


@pytest.mark.parametrize("headers", [[], FORGED], ids=["honest", "forged"])
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_upstream_and_the_log_get_the_client_s_own_address_and_no_lie(host, ask, way, headers):
    status, told = ask(way, headers)
    assert status == 101
    assert believed(told) == truth(CLIENT, "http" if way == SOCKET else "https")
    assert LIE not in json.dumps([pair for pair in told if pair[0].lower() != "x-caller"])
    line = json.loads(host.check_output("tail -n 1 /var/log/nginx/wss_access.log"))
    assert line["client"] == CLIENT


def test_the_header_s_name_is_the_operator_s_choice(ask):
    status, told = ask(STRAIGHT, FORGED, path="/renamed")
    assert status == 101
    assert [value for name, value in told if name.lower() == "x-caller"] == [CLIENT]
    assert "x-client-ip" not in [name.lower() for name, _value in told]


@pytest.mark.parametrize("port", [9443, 9444])
def test_who_is_no_trusted_proxy_is_not_believed_when_it_comes_past_the_balancer(ask, port):
    status, told = ask((GATE, port, True), [*FORGED, ("X-Balancer-Client", LIE)])
    assert status == 101
    assert believed(told) == truth(CLIENT, "https")


def test_a_chain_of_trusted_proxies_is_followed_back_to_the_first_stranger(ask):
    header = [("X-Forwarded-For", f"{LIE}, {CLIENT}, 198.51.100.33, {BALANCER}")]
    status, told = ask((GATE, 9443, True), header, source=BALANCER)
    assert status == 101
    assert believed(told) == truth(CLIENT, "https")


def test_a_stranger_s_own_proxy_header_is_not_believed(ask):
    status, told = ask((GATE, 8443, True), preamble=f"PROXY TCP4 {LIE} {GATE} 1234 8443\r\n")
    assert status == 101
    assert believed(told) == truth(CLIENT, "https")


def test_the_balancer_s_proxy_header_is_believed(ask):
    status, told = ask((GATE, 8443, True), source=BALANCER, preamble=f"PROXY TCP4 192.0.2.9 {GATE} 1234 8443\r\n")
    assert status == 101
    assert believed(told) == truth("192.0.2.9", "https")


@pytest.mark.parametrize(
    "port, preamble", [(8443, ""), (443, f"PROXY TCP4 {LIE} {GATE} 1234 443\r\n")], ids=["missing", "not expected"]
)
def test_a_proxy_header_is_a_must_where_asked_for_and_an_error_elsewhere(ask, port, preamble):
    status, _what = ask((GATE, port, True), source=BALANCER, preamble=preamble)
    assert status in (0, 400)


def test_only_the_balancer_s_group_may_use_the_socket(host):
    socket = host.file("/run/gate.sock")
    assert (socket.group, socket.mode) == ("haproxy", 0o660)
