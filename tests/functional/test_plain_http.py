# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain requests beside the WebSocket: how they stream, how large they may be, and what cannot be hidden in one.

Who may send which is in the attack table and in the fuzzer's model.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import Ended, Wanted, end_sessions
from lib import wire
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

ORIGIN = "https://app.example.com"
TOKEN = "Plain-request_0123456789"
HEAD_END = b"\r\n\r\n"
LIMIT = 20.0


class Site:
    def __init__(self, local_gate: LocalGate, port: int, pages_port: int, record: Path) -> None:
        self.local_gate, self.port, self.pages_port, self._record = local_gate, port, pages_port, record

    def connect(self, port: int | None = None) -> ssl.SSLSocket:
        endpoint = wire.Endpoint(port=port or self.port, server_name="gate.example.com")
        connection = endpoint.connect(LIMIT)
        assert isinstance(connection, ssl.SSLSocket)
        return connection

    def received(self) -> list[str]:
        """The request lines that have reached the upstream."""
        return [json.loads(line)["request"] for line in self._record.read_text().splitlines()]

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.local_gate.access_log.read_text().splitlines()]

    def sessions(self) -> list[str]:
        return self.local_gate.session_log.read_text().splitlines()


def head(target: str = "/app/", method: str = "GET", token: str = TOKEN, **headers: str) -> bytes:
    lines = {"Host": "gate.example.com", "Cookie": f"AUTH={token}", "Origin": ORIGIN} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return (
        f"{method} {target} HTTP/1.1\r\n".encode()
        + "".join(f"{n}: {v}\r\n" for n, v in lines.items()).encode()
        + b"\r\n"
    )


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def read_until(connection: socket.socket, mark: bytes, data: bytes = b"") -> bytes:
    while mark not in data:
        part = connection.recv(65536)
        assert part, f"the connection ended before {mark!r}: {data!r}"
        data += part
    return data


def read_all(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    return data


def exchange(site: Site, data: bytes) -> bytes:
    with site.connect() as connection:
        connection.sendall(data)
        return read_all(connection)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    record = tmp_path_factory.mktemp("upstream") / "record.jsonl"
    record.touch()
    web, port, pages_port = free_port(), free_port(), free_port()
    upstream = f"http://127.0.0.1:{web}"
    locations = [
        {"path": "/app/", "upstream": upstream, "http": True, "origins": [ORIGIN]},
        {"path": "/short", "upstream": upstream, "http": True, "origins": [ORIGIN], "idle_timeout": 1},
        {"path": "/wss", "upstream": upstream, "origins": [ORIGIN]},
    ]
    local_gate = LocalGate([])
    pages = local_gate.root / "pages"
    pages.mkdir()
    (pages / "refused.html").write_text("Refused.")
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": ["gate.example.com"],
                "certificate": "gate",
                "http2_enabled": True,
                "client_max_body_size": "200k",
                "listen": [{"address": "127.0.0.1", "port": port}],
                "locations": locations,
            },
            {
                "name": "pages",
                "server_names": ["gate.example.com"],
                "certificate": "gate",
                "root": str(pages),
                "error_pages": [{"codes": [403, 413], "path": "/refused.html"}],
                "client_max_body_size": "200k",
                "listen": [{"address": "127.0.0.1", "port": pages_port}],
                "locations": locations[:1],
            },
        ],
    }
    with running("echo_server", "--web", f"127.0.0.1:{web}", "--record", str(record)):
        local_gate.issue(TOKEN)
        with local_gate:
            yield Site(local_gate, port, pages_port, record)


def test_an_answer_arrives_as_the_upstream_writes_it(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(head("/app/events?hold"))
        assert status_of(read_until(connection, b"begin\n")) == 200


def test_an_upload_reaches_the_upstream_as_the_client_writes_it(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(head("/app/upload?progress", "POST", Content_Length="10"))
        seen = read_until(connection, b"begin\n")
        for sent in (4, 6):
            connection.sendall(b"x" * sent)
            seen = read_until(connection, b"4\n" if sent == 4 else b"10\n", seen)


def test_an_upload_in_chunks_is_one_too(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(head("/app/upload?progress", "POST", Transfer_Encoding="chunked"))
        seen = read_until(connection, b"begin\n")
        connection.sendall(b"5\r\nhello\r\n")
        seen = read_until(connection, b"\n5\n", seen)
        connection.sendall(b"0\r\n\r\n")
        # The answer's own last chunk.
        read_until(connection, b"\r\n0\r\n\r\n", seen)


def test_an_upload_has_a_largest_size(site: Site) -> None:
    before = len(site.received())
    for length, status in ((200 * 1024, 200), (200 * 1024 + 1, 413)):
        with site.connect() as connection:
            connection.sendall(head("/app/", "POST", Content_Length=str(length), Connection="close"))
            if status == 200:
                connection.sendall(b"x" * length)
            assert status_of(read_until(connection, HEAD_END)) == status
    assert len(site.received()) == before + 1
    line = wait_for(lambda: next((line for line in site.log() if line["status"] == 413), None))
    assert line["reason"] == "body_size"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [(head("/short?hold"), 200), (head("/short", "POST", Content_Length="5") + b"x", 408)],
    ids=["of the upstream", "of the client"],
)
def test_silence_ends_a_request(site: Site, request_bytes: bytes, status: int) -> None:
    answer = exchange(site, request_bytes)
    assert (status_of(answer) if answer else 408) == status
    # Long before nginx's own 60 s, which the limit of the connection would tell.


def test_a_request_has_a_line_in_the_log_and_a_session_another(site: Site) -> None:
    before = len(site.log())
    exchange(site, head("/app/x?secret=1", Connection="close"))
    exchange(site, head("/app/x", "POST", Connection="close", Sec_Fetch_Site="same-origin"))
    endpoint = wire.Endpoint(port=site.port, server_name="gate.example.com")
    with wire.handshake(endpoint, wire.Request("/app/x", "gate.example.com").token(TOKEN).origin(ORIGIN)) as reply:
        assert reply.upgraded and reply.session and reply.session.echo("hello") == "hello"
    lines = wait_for(lambda: (lines := site.log()[before:]) and len(lines) == 3 and lines)
    assert [(line["kind"], line["method"], line["status"], line["reason"], line["location"]) for line in lines] == [
        ("http", "GET", 200, "", "/app/"),
        ("http", "POST", 200, "", "/app/"),
        ("websocket", "GET", 101, "", "/app/"),
    ]
    assert "secret" not in json.dumps(lines)


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason", "method"),
    [
        (head("/app/", "POST", token="Nobody-ever-issued-this", Connection="close"), 403, "token", "POST"),
        (head("/app/", "PUT", Content_Length="300000", Connection="close"), 413, "body_size", "PUT"),
        (head("/app/", "TRACE", Connection="close"), 405, "method", "TRACE"),
        (head("/refused.html", "POST", Connection="close"), 405, "method", "POST"),
        (head("/refused.html", "HEAD", Connection="close"), 200, "", "HEAD"),
    ],
)
def test_the_log_has_the_clients_own_method(
    site: Site, request_bytes: bytes, status: int, reason: str, method: str
) -> None:
    """Also where nginx makes a GET of it, for the page that it shows instead, or refuses it by itself."""
    before = len(site.log())
    with site.connect(site.pages_port) as connection:
        connection.sendall(request_bytes)
        assert status_of(read_all(connection)) == status
    (line,) = wait_for(lambda: site.log()[before:])
    assert (line["status"], line["reason"], line["method"]) == (status, reason, method)


def test_a_request_has_a_start_and_an_end_in_the_session_log(site: Site) -> None:
    before = len(site.sessions())
    with site.connect() as connection:
        connection.sendall(head("/app/?hold"))
        read_until(connection, b"begin\n")
        (start,) = site.sessions()[before:]
        assert start.startswith("S ") and start.endswith(f" {TOKEN} gate.example.com /app/ -")
    end = wait_for(lambda: (lines := site.sessions()[before + 1 :]) and lines[0])
    assert end.startswith("E ") and end.split()[2:5] == start.split()[2:5]


@pytest.mark.skipif(os.geteuid() != 0, reason="closing sockets is for root")
def test_revoking_a_token_ends_what_it_downloads_and_uploads(site: Site) -> None:
    """An event stream, a long poll and an upload under way, and those of nobody else."""
    mine = "Plain-request_to-be-revoked"
    site.local_gate.issue(mine)
    asked = {
        "download": head("/app/events?hold", token=mine),
        "upload": head("/app/upload?progress", "POST", token=mine, Content_Length="10") + b"some",
        "bystander": head("/app/events?hold"),
    }
    with contextlib.ExitStack() as stack:
        connections = {name: stack.enter_context(site.connect()) for name in asked}
        for name, request_bytes in asked.items():
            connections[name].sendall(request_bytes)
            read_until(connections[name], b"begin\n")
        (site.local_gate.tokens / mine).unlink()
        assert end_sessions(str(site.local_gate.session_log), Wanted([mine])) == Ended(2, 2)
        read_all(connections["download"])
        read_all(connections["upload"])
        assert select.select([connections["bystander"]], [], [], 0)[0] == []
        assert status_of(exchange(site, head("/app/", token=mine, Connection="close"))) == 403


# -- nothing is hidden in a request ----------------------------------------------------------------------------------

HIDDEN = head("/app/hidden", token="Nobody-ever-issued-this")


@pytest.mark.parametrize(
    "request_bytes",
    [
        head("/app/", "POST", Content_Length="5", Transfer_Encoding="chunked") + b"0\r\n\r\n" + HIDDEN,
        head("/app/", "POST", Transfer_Encoding="chunked", Content_Length=str(5 + len(HIDDEN))) + b"0\r\n\r\n" + HIDDEN,
        head("/app/", "POST", Transfer_Encoding="identity") + HIDDEN,
        head("/app/", "POST", Transfer_Encoding="xchunked") + HIDDEN,
        head("/app/", "POST", Transfer_Encoding="chunked, identity") + b"0\r\n\r\n" + HIDDEN,
        head("/app/", "POST", Content_Length="+5") + b"hello" + HIDDEN,
        head("/app/", "POST", Content_Length="5, 5") + b"hello" + HIDDEN,
        head("/app/", "POST", Content_Length="0x5") + b"hello" + HIDDEN,
        head("/app/", "POST", Content_Length="5\r\nContent-Length: 0") + b"hello" + HIDDEN,
        head("/app/", "POST", Transfer_Encoding="chunked") + b"0x0\r\n\r\n" + HIDDEN,
        head("/app/", "POST", Content_Length="5", Upgrade="h2c", Connection="Upgrade, HTTP2-Settings, close")
        + b"hello",
        head(
            "/app/",
            Upgrade="h2c",
            Connection="Upgrade, HTTP2-Settings, close",
            HTTP2_Settings="AAMAAABkAARAAAAAAAIAAAAA",
        ),
        head("/app/", Upgrade="websocket, h2c", Connection="Upgrade, close"),
        head("/app/", Upgrade="TLS/1.0", Connection="Upgrade, close"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(site: Site, request_bytes: bytes) -> None:
    before = len(site.received())
    answer = exchange(site, request_bytes)
    assert status_of(answer) in (400, 405, 426, 501), answer
    # One answer, and the end.
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    # A chunk that is broken is seen when the head has been passed on.
    assert [line for line in site.received()[before:] if "hidden" in line] == []


def test_each_of_several_requests_at_once_is_judged_for_itself(site: Site) -> None:
    before = len(site.received())
    first = head("/app/first", "POST", Content_Length=str(len(HIDDEN))) + HIDDEN
    answer = exchange(site, first + HIDDEN + head("/app/third", Connection="close"))
    # The upstream's answers have the requests in them.
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 403, 200]
    assert [line.split()[1] for line in site.received()[before:]] == ["/app/first", "/app/third"]


def test_a_request_behind_a_handshake_is_the_sessions_own(site: Site) -> None:
    """What follows a handshake are bytes of that session, and no request to anybody."""
    before = len(site.received())
    handshake = wire.Request("/app/", "gate.example.com").token(TOKEN).origin(ORIGIN).encode()
    exchange_of = handshake + b"\x88\x80abcd" + HIDDEN
    answer = exchange(site, exchange_of)
    assert status_of(answer) == 101 and answer.count(b"HTTP/1.1") == 1
    assert len(site.received()) == before + 1


# -- HTTP/2 ----------------------------------------------------------------------------------------------------------


def curl(site: Site, path: str, *more: str, cookie: str = f"AUTH={TOKEN}") -> list[str]:
    """Version and status, over HTTP/2."""
    done = subprocess.run(
        [
            "curl", "--silent", "--show-error", "--insecure", "--http2", "--max-time", "20", "--output", "/dev/null",
            "--write-out", "%{http_version} %{http_code}", "--resolve", f"gate.example.com:{site.port}:127.0.0.1",
            "--header", f"Cookie: {cookie}", *more, f"https://gate.example.com:{site.port}{path}",
        ],
        capture_output=True, text=True, timeout=40, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_requests_at_a_time_on_one_connection_are_told_apart_in_the_session_log(site: Site) -> None:
    """Revoking ends each of them by its own line; see Log in _sessions/log.py."""
    before, received = len(site.sessions()), len(site.received())
    command = [
        "curl", "--silent", "--insecure", "--http2", "--parallel", "--no-buffer", "--max-time", "20",
        "--resolve", f"gate.example.com:{site.port}:127.0.0.1", "--header", f"Cookie: AUTH={TOKEN}",
        *(f"https://gate.example.com:{site.port}/app/{number}?hold" for number in range(2)),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            starts = wait_for(lambda: (lines := site.sessions()[before:]) and len(lines) == 2 and lines)
            # Both have come as far as the upstream, so that none does while the next test counts.
            wait_for(lambda: len(site.received()) == received + 2)
        finally:
            process.terminate()
    fields = [line.split() for line in starts]
    assert [kind for kind, *_rest in fields] == ["S", "S"]
    # The same worker and connection, and another request.
    assert fields[0][2:4] == fields[1][2:4] and fields[0][4] != fields[1][4]


def test_http2_serves_plain_requests(site: Site) -> None:
    before = len(site.received())
    assert curl(site, "/app/x", "--header", f"Origin: {ORIGIN}") == ["2", "200"]
    assert curl(site, "/app/x", "--header", f"Origin: {ORIGIN}", "--data", "hello") == ["2", "200"]
    assert site.received()[before:] == ["GET /app/x HTTP/1.1", "POST /app/x HTTP/1.1"]
    assert curl(site, "/app/x", "--header", "Origin: https://evil.example") == ["2", "403"]
    assert curl(site, "/app/x", "--header", "Cookie: AUTH=none") == ["2", "403"]
    # A body comes here without a length, and a preflight has none.
    asks = ("--request", "OPTIONS", "--header", f"Origin: {ORIGIN}", "--header", "Access-Control-Request-Method: PUT")
    assert curl(site, "/app/preflight", *asks, cookie="") == ["2", "200"]
    typed = ("--header", "Content-Type: application/json", "--header", "Content-Length:", "--data", "{}")
    assert curl(site, "/app/x", *asks, *typed, cookie="") == ["2", "403"]
    assert site.received()[before + 2 :] == ["OPTIONS /app/preflight HTTP/1.1"]
    # No WebSocket comes about so (RFC 8441 needs a server that offers it), and none is asked for here.
    assert curl(site, "/wss", "--header", f"Origin: {ORIGIN}") == ["2", "400"]
    assert len(site.received()) == before + 3
