# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose words an answer has: the gate's own, the upstream's, or another site's of the same nginx."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from lib.head_echo import HeadEcho
from lib.http_client import Answer, Client, receive_head
from lib.local_gate import LocalGate, free_port
from lib.processes import wait_for

NAME = "gate.example.com"
ORIGIN = "https://app.example.com"
LIE = "203.0.113.99"
# What an upstream answers for itself.
OWN = {
    "/429": b"429 Too Many Requests\r\nRetry-After: 60",
    "/405": b"405 Method Not Allowed\r\nAllow: GET, POST",
    "/426": b"426 Upgrade Required\r\nUpgrade: TLS/1.0",
    "/accel": b"402 Payment Required\r\nX-Accel-Redirect: /429\r\nX-Accel-Charset: koi8-r\r\nContent-Type: text/plain",
}
# A site that is not the gate's, with a limit of its own.
OTHER = """\
limit_req_zone $server_name zone=other:64k rate=1r/m;
server {{
    listen 127.0.0.1:{port};
    server_name other.example.com;
    location / {{
        limit_req zone=other;
        return 200;
    }}
    location /limited {{
        limit_req zone=other;
        alias {folder}/;
    }}
}}
"""


class Refusing(HeadEcho):
    """An upstream that refuses each handshake in the words that its path asks for, and keeps the head."""

    head = b""

    def _answer(self, connection: socket.socket) -> None:
        self.head = receive_head(connection)
        words = OWN.get(self.head.split(b" ")[1].decode(), b"503 Service Unavailable")
        connection.sendall(b"HTTP/1.1 " + words + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    refusing = Refusing()
    yield refusing
    refusing.close()


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"plain": free_port(), "tls": free_port(), "redirect": free_port(), "other": free_port()}


@pytest.fixture(scope="module")
def local_gate(refusing: Refusing, ports: dict[str, int]) -> Iterator[LocalGate]:
    group = {"name": "group", "servers": [f"127.0.0.1:{refusing.port}"], "balancing": "least_conn"}
    local_gate = LocalGate([], wss_proxy_upstreams=[group])
    locations = [
        {"path": path, "upstream": "group", "auth": "none", "origins": [ORIGIN], "client_ip_header": "X-Caller", **more}
        for path, more in (
            {"/429": {}, "/405": {}, "/426": {}, "/accel": {}, "/limited": {"max_attempts_per_second": 1}}
        ).items()
    ]
    balanced = {"trusted_proxies": ["127.0.0.1"], "server_names": [NAME], "locations": locations}
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "plain",
                "listen": [{"address": "127.0.0.1", "port": ports["plain"], "tls": False}],
                "server_names": ["plain.example.com"],
                "locations": locations,
            },
            {
                "name": "gate",
                "certificate": "gate",
                "listen": [{"address": "127.0.0.1", "port": ports["tls"]}],
                "http_redirect_enabled": True,
                "http_redirect_port": ports["redirect"],
                **balanced,
            },
        ],
    }
    (local_gate.etc / "conf.d" / "other.conf").write_text(OTHER.format(port=ports["other"], folder=local_gate.root))
    with local_gate:
        yield local_gate


def ask(port: int, path: str, **headers: str) -> Answer:
    lines = {
        "Host": "plain.example.com",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": ORIGIN,
        **headers,
    }
    with Client(port) as client:
        return client.ask(
            f"GET {path} HTTP/1.1\r\n".encode()
            + "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
            + b"\r\n"
        )


@pytest.mark.parametrize(
    ("path", "header", "words"),
    [("/429", "Retry-After", "60"), ("/405", "Allow", "GET, POST"), ("/426", "Upgrade", "TLS/1.0")],
)
def test_an_upstream_s_refusal_keeps_its_own_words(
    local_gate: LocalGate, ports: dict[str, int], path: str, header: str, words: str
) -> None:
    answer = ask(ports["plain"], path)
    assert answer.status == int(path[1:])
    assert answer.all(header) == [words]


def test_an_upstream_that_refuses_does_not_tell_nginx_what_to_answer(
    local_gate: LocalGate, ports: dict[str, int]
) -> None:
    answer = ask(ports["plain"], "/accel")
    assert (answer.status, answer.all("Retry-After"), answer.all("Content-Type")) == (402, [], ["text/plain"])
    assert not [name for name, _value in answer.headers if name.lower().startswith("x-accel")]


def test_the_gate_s_refusals_have_the_gate_s_words(local_gate: LocalGate, ports: dict[str, int]) -> None:
    assert ask(ports["plain"], "/426", Upgrade="h2c").all("Upgrade") == ["websocket"]
    with Client(ports["plain"]) as client:
        posted = client.ask(
            f"POST /405 HTTP/1.1\r\nHost: plain.example.com\r\nContent-Length: 0\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
        )
    assert (posted.status, posted.all("Allow")) == (405, ["GET"])
    limited = wait_for(
        lambda: next((a for a in (ask(ports["plain"], "/limited") for _try in range(3)) if a.status == 429), None)
    )
    assert limited.all("Retry-After") == ["1"]


def test_another_site_s_limit_answers_as_it_did_without_the_gate(local_gate: LocalGate, ports: dict[str, int]) -> None:
    (local_gate.root / "file").write_text("a file")
    answers = [ask(ports["other"], "/limited/file", Host="other.example.com") for _try in range(3)]
    assert 503 in {answer.status for answer in answers}
    assert "limiting requests" in local_gate.error_log()


def test_nobody_names_the_client_under_the_usual_header_where_another_is_used(
    local_gate: LocalGate, ports: dict[str, int], refusing: Refusing
) -> None:
    ask(ports["plain"], "/429", **{"X-Client-IP": LIE})
    lines = [line.partition(": ") for line in refusing.head.decode().split("\r\n")]
    assert [value for name, _colon, value in lines if name.lower() == "x-caller"] == ["127.0.0.1"]
    assert [value for name, _colon, value in lines if name.lower() == "x-client-ip"] == []


def test_the_redirect_s_log_names_the_client_behind_the_balancer(local_gate: LocalGate, ports: dict[str, int]) -> None:
    with Client(ports["redirect"]) as client:
        answer = client.ask(
            f"GET /redirected HTTP/1.1\r\nHost: {NAME}\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n".encode()
        )
    assert answer.status == 308
    line = wait_for(
        lambda: next((line for line in local_gate.access_log.read_text().splitlines() if '"status":308' in line), None)
    )
    assert json.loads(line)["client"] == "203.0.113.7"


def test_all_workers_know_an_upstream_s_load(local_gate: LocalGate) -> None:
    # Two workers that each count for themselves would send two sessions in a row to one server of two.
    assert "zone wss_upstream_group 72k;" in local_gate.configuration()["wssgate.d/gate.conf"]
