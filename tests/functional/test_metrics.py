# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics' port gives nothing to who lacks a credential or comes from elsewhere, whatever is tried."""

from __future__ import annotations

import base64
import contextlib
import re
import socketserver
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import metrics
from ansible_collections.wssgate.nginx.plugins.plugin_utils._sha512_crypt import sha512_crypt
from lib import pki, wire
from lib.local_gate import LocalGate, free_port

HOST = "gate.example.com"
SECRET = b"wssgate_handshakes_total 1"
PATHS = ("/metrics/log", "/metrics/agent")
PASSWORD = base64.b64encode(b"prometheus:battery staple").decode()
WRONG = base64.b64encode(b"prometheus:wrong").decode()


class Mtail(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """What nginx passes a scraper to: it keeps what it was asked."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.heads: list[str] = []
        super().__init__(path, _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.heads.append(f"{self.requestline}\n{self.headers}")  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(SECRET)))
        self.end_headers()
        self.wfile.write(SECRET)

    def address_string(self) -> str:
        return "nginx"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class ScrapedGate(LocalGate):
    """The socket of mtail and the agent's file are below its own root."""

    def __init__(self, has_password: bool = False, **monitoring: Any) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        super().__init__([])
        password = self.etc / "htpasswd"
        password.write_text(f"prometheus:{sha512_crypt(b'battery staple', 'salt')}\n")
        if has_password or not {"monitoring_client_certificates", "monitoring_allow_from"} & set(monitoring):
            monitoring["monitoring_htpasswd_file"] = str(password)
        self.variables |= {
            "monitoring_enabled": True,
            "monitoring_listen": [{"address": "127.0.0.1", "port": self.metrics_port}],
            "monitoring_certificate": "gate",
            "token_store_metrics_file": str(self.root / "agent.prom"),
            "wss_proxy_certificates": [self.certificate()],
            "wss_proxy_servers": [
                {
                    "name": HOST,
                    "certificate": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port}],
                    "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:9", "auth": "none"}],
                }
            ],
            **monitoring,
        }
        self.mtail = Mtail(str(self.root / "mtail.sock"))
        (self.root / "mtail.sock").chmod(0o666)
        # From here on it can be shut down.
        threading.Thread(target=self.mtail.serve_forever, daemon=True).start()
        self.agent_file = self.root / "agent.prom"
        self.agent_file.write_bytes(SECRET)

    def __enter__(self) -> ScrapedGate:
        super().__enter__()
        rendered = self.etc / "wssgate.d" / "metrics.conf"
        text = rendered.read_text()
        assert metrics.LOG_SOCKET in text
        rendered.write_text(text.replace(metrics.LOG_SOCKET, str(self.mtail.server_address)))
        self.reload()
        return self

    def __exit__(self, *error: object) -> None:
        self.mtail.shutdown()
        self.mtail.server_close()
        super().__exit__(*error)

    def ask(
        self,
        target: str,
        *headers: str,
        port: int | None = None,
        method: str = "GET",
        version: str = "HTTP/1.1",
        host: str | None = HOST,
        name: str = HOST,
        **endpoint: Any,
    ) -> bytes:
        """All that comes back; empty where TLS itself ends it."""
        lines = [f"{method} {target} {version}", *([f"Host: {host}"] if host else []), *headers, "Connection: close"]
        reached = wire.Endpoint(port=port or self.metrics_port, server_name=name, **endpoint)
        found = b""
        with contextlib.suppress(ssl.SSLError, ConnectionError), reached.connect() as connection:
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            while data := connection.recv(65536):
                found += data
        return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


@pytest.fixture(scope="module")
def gate() -> Iterator[ScrapedGate]:
    with ScrapedGate() as made:
        yield made


@pytest.mark.parametrize("path", PATHS)
def test_a_scraper_with_its_password_gets_the_metrics(gate: ScrapedGate, path: str) -> None:
    answer = gate.ask(path, f"Authorization: Basic {PASSWORD}", "Cookie: AUTH=a-token-of-the-gate")
    assert status(answer) == 200 and answer.endswith(SECRET)
    assert b"\r\nContent-Type: text/plain" in answer
    assert b"Cache-Control: no-store" in answer
    assert not any("authorization" in head.lower() or "cookie" in head.lower() for head in gate.mtail.heads)


TARGETS = [
    *PATHS,
    "/metrics/nginx",
    "/metrics",
    "/",
    "//metrics/log",
    "/metrics/./log",
    "/wss/../metrics/log",
    "/metrics/%6cog",
    "/metrics/log?x=1",
    "/metrics/log/../agent",
    "/metrics/log%00",
    "/metrics/agent/../../../../etc/passwd",
    "/metrics/..%2f..%2fetc/passwd",
    f"https://{HOST}/metrics/log",
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("credential", [(), (f"Authorization: Basic {WRONG}",), ("Authorization: Bearer x",)])
def test_without_the_password_nothing_is_given(
    gate: ScrapedGate, target: str, version: str, credential: tuple[str, ...]
) -> None:
    is_served = status(gate.ask(target, f"Authorization: Basic {PASSWORD}")) == 200
    answer = gate.ask(target, *credential, version=version)
    assert status(answer) in ((400, 401) if is_served else (400, 401, 404)), answer
    assert SECRET not in answer


@pytest.mark.parametrize("target", TARGETS)
def test_with_the_password_nothing_but_the_metrics_is_given(gate: ScrapedGate, target: str) -> None:
    before = len(gate.mtail.heads)
    answer = gate.ask(target, f"Authorization: Basic {PASSWORD}")
    assert (status(answer) == 200) == (SECRET in answer)
    assert status(answer) in (200, 400, 404), answer
    # Whatever the path was written like, the program is asked for its metrics alone.
    assert all(head.startswith("GET /metrics") for head in gate.mtail.heads[before:])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_nothing_is_sent_there(gate: ScrapedGate, method: str) -> None:
    answer = gate.ask("/metrics/log", f"Authorization: Basic {PASSWORD}", method=method)
    assert status(answer) in (405, 411) and SECRET not in answer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("credential", [(), (f"Authorization: Basic {PASSWORD}",)])
def test_the_gate_s_own_port_has_none(gate: ScrapedGate, path: str, credential: tuple[str, ...]) -> None:
    for version in ("HTTP/1.0", "HTTP/1.1"):
        assert status(gate.ask(path, *credential, port=gate.port, version=version)) == 404


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("host", [HOST, "metrics.example.com", "localhost:9443"])
def test_the_gate_s_own_port_has_none_however_it_is_spelled(gate: ScrapedGate, target: str, host: str) -> None:
    for name in (HOST, "metrics.example.com"):
        answer = gate.ask(target, f"Authorization: Basic {PASSWORD}", port=gate.port, host=host, name=name)
        assert status(answer) in (0, 400, 404, 421) and SECRET not in answer, answer


def test_neither_plain_text_nor_the_oldest_http_gets_anything(gate: ScrapedGate) -> None:
    assert SECRET not in gate.ask("/metrics/log", f"Authorization: Basic {PASSWORD}", tls=False)
    # HTTP/0.9 has no line for a password.
    for target in TARGETS:
        with wire.Endpoint(port=gate.metrics_port, server_name=HOST).connect() as connection:
            connection.sendall(f"GET {target}\r\n".encode())
            found = b""
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                while data := connection.recv(65536):
                    found += data
        assert SECRET not in found and b" 200 " not in found


def test_a_password_is_good_for_its_request_alone(gate: ScrapedGate) -> None:
    """Requests behind one that had it, over the same connection."""
    head = f"GET /metrics/log HTTP/1.1\r\nHost: {HOST}\r\n"
    good, bare = f"{head}Authorization: Basic {PASSWORD}\r\n\r\n", f"{head}\r\n"
    with wire.Endpoint(port=gate.metrics_port, server_name=HOST).connect() as connection:
        connection.sendall((good + bare + good + head + "Connection: close\r\n\r\n").encode())
        found = b""
        while data := connection.recv(65536):
            found += data
    assert re.findall(rb"HTTP/1\.1 (\d{3})", found) == [b"200", b"401", b"200", b"401"]
    assert found.count(SECRET) == 2


def test_an_address_and_a_password_are_asked_for_both() -> None:
    with ScrapedGate(monitoring_allow_from=["127.0.0.2"], has_password=True) as gate:
        credential = f"Authorization: Basic {PASSWORD}"
        assert status(gate.ask("/metrics/log", credential, source="127.0.0.2")) == 200
        for found, expected in (
            (gate.ask("/metrics/log", credential), 403),
            (gate.ask("/metrics/log", source="127.0.0.2"), 401),
            (gate.ask("/metrics/log"), 403),
        ):
            assert status(found) == expected and SECRET not in found


@pytest.mark.parametrize("host", [None, "other.example.com", "localhost", "127.0.0.1", ""])
def test_no_name_opens_the_port_without_the_password(gate: ScrapedGate, host: str | None) -> None:
    for name in (HOST, "other.example.com"):
        answer = gate.ask("/metrics/log", host=host, name=name, version="HTTP/1.0" if host is None else "HTTP/1.1")
        assert status(answer) in (400, 401) and SECRET not in answer


def test_without_the_agent_s_file_there_is_none(gate: ScrapedGate) -> None:
    gate.agent_file.unlink()
    try:
        assert status(gate.ask("/metrics/agent", f"Authorization: Basic {PASSWORD}")) == 404
    finally:
        gate.agent_file.write_bytes(SECRET)


def test_scrapes_are_no_line_of_the_gate_s_log(gate: ScrapedGate) -> None:
    gate.ask("/metrics/log", f"Authorization: Basic {PASSWORD}")
    gate.ask("/metrics/log")
    lines = gate.access_log.read_text().splitlines() if gate.access_log.exists() else []
    assert all(f'"server":"{HOST}"' in line for line in lines)
    # Who was refused can be looked up.
    assert "/metrics/log" in (gate.log / "access.log").read_text()


def test_a_scraper_from_elsewhere_is_refused_whatever_it_claims() -> None:
    with ScrapedGate(monitoring_allow_from=["127.0.0.2"]) as gate:
        assert status(gate.ask("/metrics/log", source="127.0.0.2")) == 200
        for headers in ((), ("X-Forwarded-For: 127.0.0.2",), ("X-Real-IP: 127.0.0.2",), ("Forwarded: for=127.0.0.2",)):
            for target in ("/metrics/log", "/metrics/agent", "/"):
                answer = gate.ask(target, *headers)
                assert status(answer) == 403 and SECRET not in answer


def test_a_scraper_without_its_certificate_is_refused(tmp_path: Path) -> None:
    authority, other = (pki.issue(name, ca=True) for name in ("Scrapers", "Others"))
    ca_path = tmp_path / "scrapers.pem"
    ca_path.write_bytes(authority.pem)
    shown = {}
    for name, issuer in (("known", authority), ("stranger", other)):
        identity = pki.issue("prometheus", issuer)
        shown[name] = tmp_path / f"{name}.pem"
        shown[name].write_bytes(identity.pem + identity.key_pem)
    with ScrapedGate(monitoring_client_certificates={"ca_path": str(ca_path)}) as gate:
        assert status(gate.ask("/metrics/log", identity=shown["known"])) == 200
        for target in TARGETS:
            assert SECRET not in gate.ask(target)
            assert status(gate.ask(target)) in (400, 403)
            assert SECRET not in gate.ask(target, identity=shown["stranger"])
