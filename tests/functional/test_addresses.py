# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where clients may come from, as load balancers name them, through sockets too, and on every path of a server."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.modules import wss_gate_info
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _check_report
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.model import gate_model
from lib.head_echo import HeadEcho
from lib.http_client import HEAD_END, Client
from lib.local_gate import LocalGate, free_port
from lib.processes import wait_for

ORIGIN = "https://app.example.com"


class AddressedGate(LocalGate):
    def __init__(self, head_echo: HeadEcho, page: Path) -> None:
        self.port, self.proxy_port = free_port(), free_port()
        super().__init__([])
        self.socket = self.root / "gate.sock"
        location = {"upstream": f"http://127.0.0.1:{head_echo.port}", "auth": "none", "origins": [ORIGIN]}
        near = ["192.0.2.0/24", "2001:db8::/32"]
        self.variables["wss_proxy_servers"] = [
            {
                "name": "balanced",
                "listen": [{"address": "127.0.0.1", "port": self.port, "tls": False}],
                "trusted_proxies": ["127.0.0.1"],
                "locations": [
                    location
                    | {"path": "/near", "allow_from": near, "deny_from": ["192.0.2.128/25", "2001:db8:1::/48"]},
                    location | {"path": "/mapped", "allow_from": ["::ffff:192.0.2.0/120"]},
                    location | {"path": "/newer", "allow_from": ["::/0"]},
                    location | {"path": "/open"},
                ],
            },
            {
                "name": "whole",
                "server_names": ["whole.example.com"],
                "listen": [{"address": "127.0.0.1", "port": self.proxy_port, "tls": False, "proxy_protocol": True}],
                "trusted_proxies": ["127.0.0.1"],
                "allow_from": near,
                "deny_from": ["192.0.2.66"],
                "root": str(page),
                "error_pages": [{"codes": [403], "path": "/refused.html"}],
                "locations": [
                    location | {"path": "/wss"},
                    location | {"path": "/less", "allow_from": ["192.0.2.7", "198.51.100.7"]},
                ],
            },
            {
                "name": "socket",
                "listen": [{"unix": str(self.socket), "tls": False}],
                "locations": [
                    location | {"path": "/allow", "allow_from": ["0.0.0.0/0", "::/0"]},
                    location | {"path": "/deny", "deny_from": ["0.0.0.0/0", "::/0"]},
                ],
            },
        ]

    def reason(self) -> str:
        """Of the last line of the access log, which is there once the request has ended."""
        lines = wait_for(lambda: self.access_log.exists() and self.access_log.read_text().splitlines())
        return str(json.loads(lines[-1])["reason"])


@pytest.fixture(scope="module")
def local_gate() -> Iterator[AddressedGate]:
    head_echo = HeadEcho()
    # The worker, another user, reads it.
    with tempfile.TemporaryDirectory(prefix="wssgate-page-") as folder:
        page = Path(folder)
        page.chmod(0o755)
        (page / "index.html").write_text("the page\n")
        (page / "refused.html").write_text("refused\n")
        try:
            with AddressedGate(head_echo, page) as local_gate:
                yield local_gate
        finally:
            head_echo.close()


def handshake(path: str, *lines: str, host: str = "gate.example.com") -> bytes:
    head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", f"Origin: {ORIGIN}"]
    return "\r\n".join([*head, *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("path", "client", "status"),
    [
        ("/near", "192.0.2.7", 101),
        ("/near", "::ffff:192.0.2.7", 101),
        ("/near", "192.0.2.127", 101),
        ("/near", "192.0.2.128", 403),
        ("/near", "::ffff:192.0.2.128", 403),
        ("/near", "192.0.3.7", 403),
        ("/near", "2001:db8::7", 101),
        ("/near", "2001:db8:1::7", 403),
        ("/near", "2001:db9::7", 403),
        ("/near", "127.0.0.1", 403),
        # Of a list of addresses the last counts that no load balancer has.
        ("/near", "192.0.2.7, 198.51.100.7", 403),
        ("/near", "198.51.100.7, 192.0.2.7", 101),
        ("/mapped", "192.0.2.7", 101),
        ("/mapped", "::ffff:192.0.2.7", 101),
        ("/mapped", "::192.0.2.7", 403),
        ("/newer", "2001:db9::7", 101),
        ("/newer", "192.0.2.7", 403),
        ("/newer", "::ffff:192.0.2.7", 403),
        ("/open", "198.51.100.7", 101),
    ],
)
def test_the_address_counts_that_the_load_balancer_tells(
    local_gate: AddressedGate, path: str, client: str, status: int
) -> None:
    with Client(local_gate.port) as asker:
        assert asker.ask(handshake(path, f"X-Forwarded-For: {client}")).status == status
    if status == 403:
        wait_for(lambda: local_gate.reason() == "address")


def test_nobody_else_tells_an_address(local_gate: AddressedGate) -> None:
    with Client(local_gate.port, "127.0.0.2") as asker:
        assert asker.ask(handshake("/near", "X-Forwarded-For: 192.0.2.7")).status == 403


def over_proxy(local_gate: AddressedGate, client: str, request: bytes) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", local_gate.proxy_port), timeout=20) as connection:
        connection.sendall(f"PROXY TCP4 {client} 198.51.100.1 40000 443\r\n".encode() + request)
        data = b""
        while HEAD_END not in data or b"Content-Length" in data and not data.partition(HEAD_END)[2]:
            part = connection.recv(65536)
            if not part:
                break
            data += part
    return int(data.split(b" ", 2)[1]), data.partition(HEAD_END)[2]


@pytest.mark.parametrize(
    ("client", "wss", "less", "page"),
    [
        ("192.0.2.7", 101, 101, 200),
        ("192.0.2.8", 101, 403, 200),
        ("198.51.100.7", 403, 403, 403),
        ("192.0.2.66", 403, 403, 403),
    ],
)
def test_a_servers_lists_are_for_every_path_and_a_locations_besides(
    local_gate: AddressedGate, client: str, wss: int, less: int, page: int
) -> None:
    host = "whole.example.com"
    assert over_proxy(local_gate, client, handshake("/wss", host=host))[0] == wss
    assert over_proxy(local_gate, client, handshake("/less", host=host))[0] == less
    for path in ("/", "/index.html"):
        plain = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        status, body = over_proxy(local_gate, client, plain)
        assert (status, body) == (page, b"the page\n" if page == 200 else b"refused\n")
    if page == 403:
        wait_for(lambda: local_gate.reason() == "address")


@pytest.mark.parametrize(("path", "status"), [("/allow", 403), ("/deny", 101)])
def test_a_client_without_an_address_is_in_no_list(local_gate: AddressedGate, path: str, status: int) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(local_gate.socket))
        connection.sendall(handshake(path))
        assert connection.recv(65536).split(b" ", 2)[1] == str(status).encode()


def test_the_check_tells_the_truth_about_an_address_that_is_not_let_in(local_gate: AddressedGate) -> None:
    """By the same steps as playbook check, from this host: 127.0.0.1."""
    model = gate_model(local_gate.variables["wss_proxy_servers"], {"nginx_directory": str(local_gate.etc)})
    targets = [
        {"crl_path": None, "ca_path": None, **target}
        for target in _check_report.targets(model, [], str(local_gate.etc / "certificates"))
    ]
    results = {"here": {"targets": [wss_gate_info.look(target, None, 10.0) for target in targets]}}
    balanced, whole = results["here"]["targets"]
    assert [location["without_token"] for location in balanced["locations"]] == [403, 403, 403, 101]
    assert [location["without_token"] for location in whole["locations"]] == [403, 403]
    assert (balanced["client_address"], whole["client_address"]) == ("127.0.0.1", "127.0.0.1")
    assert _check_report.report(results, 14)["problems"] == []
    text = "\n".join(_check_report.lines(results, 14))
    assert text.count("none, not from 127.0.0.1") == 5
    # Where it were let in after all, the check would say so.
    balanced["locations"][0]["without_token"] = 101
    (problem,) = _check_report.report(results, 14)["problems"]
    assert problem["problem"] == "/near answers 101 to a client without a token, not 403"
