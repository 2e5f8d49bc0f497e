# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that may last so long and no longer: the gate notes them, whatever let them in, and the agent ends them.

nginx, the agent's own loop and the connections are real. Lifetimes are seconds here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.agent import Agent, Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.lifetime import seconds
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.service import serve
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Key, Log, Session

from lib import wire
from lib.features import AuthService
from lib.head_echo import HeadEcho
from lib.http_client import HEAD_END, receive_head
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

NAME = "gate.example.com"
ORIGIN = "https://app.example.com"
TOKEN = "Token-with-a-lifetime-0123"
USERNAME, PASSWORD = "operator", "lifetime: password"
LIFETIME = 2.0
# What is asked of the agent, and what a busy machine may take besides where time is not what is looked at.
LATE = 1.0
SOON = 15.0


class Download(HeadEcho):
    """Answers with bytes that never end."""

    def _answer(self, connection: socket.socket) -> None:
        receive_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close" + HEAD_END)
        while True:
            connection.sendall(b"x" * 65536)


class Site:
    def __init__(self, gate: LocalGate, port: int, pages_port: int, tls_port: int) -> None:
        self.gate, self.port, self.pages_port, self.tls_port = gate, port, pages_port, tls_port
        self.told: list[str] = []

    def lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return self.gate.session_log.read_text().splitlines()
        return []

    def access_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.gate.access_log.read_text().splitlines()]

    def open(self) -> dict[Key, Session]:
        log = Log()
        log.feed("".join(line + "\n" for line in self.lines()).encode())
        return log.open

    def request(self, path: str) -> wire.Request:
        return wire.Request(path, host=NAME)

    def connect(self, request: wire.Request) -> Client:
        """A WebSocket that is open, with its session as the log has it."""
        before = set(self.open())
        reply = wire.handshake(wire.Endpoint(port=self.port, tls=False), request)
        assert reply.status == 101 and reply.session is not None
        (key,) = set(self.open()) - before
        return Client(reply.session, self.open()[key])


class Client:
    def __init__(self, connection: wire.Session, session: Session) -> None:
        self.connection, self.session = connection, session
        self.end = session.started_at + seconds(session)

    @property
    def is_open(self) -> bool:
        self.connection.socket.setblocking(False)
        try:
            return self.connection.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.socket.settimeout(SOON)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    port, pages_port, tls_port, web, nobody = (free_port() for _number in range(5))
    download, auth = Download(), AuthService()
    gate = LocalGate([], token_store_pruner="agent")
    pages = gate.root / "pages"
    pages.mkdir()
    for name in ("refused", "gone"):
        (pages / f"{name}.html").write_text(f"{name}\n")
    passwords = gate.etc / "passwords"
    passwords.write_text(f"{USERNAME}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n")

    def location(path: str, auth: str = "none", upstream: int = web, **options: Any) -> dict[str, Any]:
        common = {"path": path, "auth": auth, "upstream": f"http://127.0.0.1:{upstream}"}
        return common | {"origins": [ORIGIN], "allow_missing_origin": True, "htpasswd_file": str(passwords)} | options

    timed = {"max_session_lifetime": int(LIFETIME), "max_session_lifetime_spread": 0}
    locations = [
        location("/open", **timed),
        location("/basic", "basic", **timed),
        location("/token", "token", **timed),
        location("/either", "token_or_basic", **timed),
        location("/both", "token_and_basic", **timed),
        location("/asked", "external", external_auth_url=f"http://127.0.0.1:{auth.port}/may", **timed),
        location("/long", "token", max_session_lifetime=3600),
        location("/spread", max_session_lifetime=4, max_session_lifetime_spread=50),
        location("/listed", session_listed=True),
        location("/unlisted"),
        location("/dead", upstream=nobody, session_listed=True),
        location("/app/", http=True, **timed),
        location("/page/", http=True, session_listed=True),
        location("/download", upstream=download.port, http=True, **timed),
    ]
    server = {"server_names": [NAME], "locations": locations}
    gate.variables |= {
        "wss_proxy_certificates": [gate.certificate(names=(NAME,))],
        "wss_proxy_servers": [
            {**server, "name": "plain", "listen": [{"address": "127.0.0.1", "port": port, "tls": False}]},
            {
                **server,
                "name": "pages",
                "root": str(pages),
                "error_pages": [{"codes": [403, 404], "path": "/refused.html"}, {"codes": [502], "path": "/gone.html"}],
                "listen": [{"address": "127.0.0.1", "port": pages_port, "tls": False}],
            },
            {
                **server,
                "name": "tls",
                "certificate": "gate",
                "http2_enabled": True,
                "listen": [{"address": "127.0.0.1", "port": tls_port}],
            },
        ],
    }
    gate.issue(TOKEN)
    with running("echo_server", "--web", f"127.0.0.1:{web}"), gate:
        yield Site(gate, port, pages_port, tls_port)
    download.close()
    auth.close()


@contextlib.contextmanager
def agent_of(site: Site, state: Path) -> Iterator[Agent]:
    """The agent at work, as the service has it."""
    state.mkdir(mode=0o700, exist_ok=True)
    agent = Agent(Settings(str(site.gate.tokens), str(site.gate.session_log), state=str(state)), site.told.append)
    stopped = threading.Event()
    wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    loop = threading.Thread(target=serve, args=(agent, stopped.is_set, wake))
    loop.start()
    try:
        yield agent
        assert loop.is_alive()
    finally:
        stopped.set()
        os.write(waker, b"x")
        loop.join(SOON)
        assert not loop.is_alive()
        agent.close()
        os.close(wake)
        os.close(waker)


@pytest.fixture
def agent(site: Site, tmp_path: Path) -> Iterator[Agent]:
    with agent_of(site, tmp_path / "state") as found:
        yield found


def lateness(client: Client) -> float:
    """How long after its end a session was closed."""
    wait_for(lambda: not client.is_open, client.end - time.time() + SOON)
    return time.time() - client.end


# -- what the session log has ----------------------------------------------------------------------------------------

Change = Callable[[wire.Request], wire.Request]


def nothing(request: wire.Request) -> wire.Request:
    return request


def with_token(request: wire.Request) -> wire.Request:
    return request.token(TOKEN)


def with_password(request: wire.Request) -> wire.Request:
    return request.basic(USERNAME, PASSWORD)


def with_both(request: wire.Request) -> wire.Request:
    return with_password(with_token(request))


def allowed(request: wire.Request) -> wire.Request:
    """By the operator's own service."""
    return request.cookie("word=good")


@pytest.mark.parametrize(
    ("path", "token", "lifetime", "credentials"),
    [
        ("/open", "", (2, 2), nothing),
        ("/basic", "", (2, 2), with_password),
        ("/token", TOKEN, (2, 2), with_token),
        ("/either", TOKEN, (2, 2), with_token),
        ("/either", "", (2, 2), with_password),
        ("/both", TOKEN, (2, 2), with_both),
        ("/asked", "", (2, 2), allowed),
        ("/long", TOKEN, (3240, 3600), with_token),
        ("/listed", "", None, nothing),
    ],
)
def test_a_session_has_one_start_and_one_end_whatever_let_it_in(
    site: Site,
    path: str,
    token: str,
    lifetime: tuple[int, int] | None,
    credentials: Change,
) -> None:
    before = len(site.lines())
    client = site.connect(credentials(site.request(path)))
    (start,) = site.lines()[before:]
    assert (client.session.token, client.session.lifetime) == (token, lifetime)
    assert (client.session.server_name, client.session.location) == (NAME, path)
    assert client.connection.echo("hello") == "hello"
    client.connection.close()
    end = wait_for(lambda: site.lines()[before + 1 :])
    assert [line.split()[0] for line in (start, *end)] == ["S", "E"]
    assert start.split()[2:5] == end[0].split()[2:5]


@pytest.mark.parametrize(
    ("path", "status", "credentials"),
    [
        ("/basic", 401, nothing),
        ("/either", 401, lambda request: request.token("Token-that-nobody-issued-0")),
        ("/asked", 403, lambda request: request.cookie("word=banned")),
        ("/open", 405, lambda request: request.but(method="POST")),
        ("/open", 426, lambda request: request.without("Upgrade")),
        ("/.wssgate/session", 404, nothing),
    ],
)
def test_what_is_refused_has_no_line_there_and_one_in_the_access_log(
    site: Site, path: str, status: int, credentials: Change
) -> None:
    for port in (site.port, site.pages_port):
        before, access = len(site.lines()), len(site.access_lines())
        assert wire.handshake(wire.Endpoint(port=port, tls=False), credentials(site.request(path))).status == status
        lines = wait_for(lambda before=access: site.access_lines()[before:])
        assert [line["status"] for line in lines] == [status]
        assert len(site.lines()) == before


def test_sessions_that_nobody_asked_to_be_listed_are_not_noted(site: Site) -> None:
    before = len(site.lines())
    reply = wire.handshake(wire.Endpoint(port=site.port, tls=False), site.request("/unlisted"))
    assert reply.status == 101 and reply.session is not None and reply.session.echo() == "hello"
    reply.session.close()
    assert len(site.lines()) == before


def test_one_that_the_upstream_does_not_take_is_over_at_once_with_a_page_of_ones_own_too(site: Site) -> None:
    for port in (site.port, site.pages_port):
        before = len(site.lines())
        assert wire.handshake(wire.Endpoint(port=port, tls=False), site.request("/dead")).status == 502
        lines = wait_for(lambda before=before: (found := site.lines()[before:]) and len(found) == 2 and found)
        assert [line.split()[0] for line in lines] == ["S", "E"]
        assert lines[0].split()[2:5] == lines[1].split()[2:5]


def test_a_plain_request_is_noted_and_a_large_upload_goes_through(site: Site) -> None:
    before = len(site.lines())
    body = b"x" * (900 * 1024)
    with socket.create_connection(("127.0.0.1", site.port), SOON) as connection:
        head = f"POST /page/upload HTTP/1.1\r\nHost: {NAME}\r\nOrigin: {ORIGIN}\r\nConnection: close\r\n"
        connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
    assert json.loads(answer.partition(HEAD_END)[2])["body_bytes"] == len(body)
    lines = wait_for(lambda: (found := site.lines()[before:]) and len(found) == 2 and found)
    assert [line.split()[0] for line in lines] == ["S", "E"]
    assert lines[0].split()[-4:] == ["-", NAME, "/page/", "-"]


def test_requests_one_after_the_other_on_a_connection_are_told_apart(site: Site) -> None:
    before = len(site.lines())
    with socket.create_connection(("127.0.0.1", site.port), SOON) as connection:
        for _number in range(3):
            connection.sendall(f"HEAD /page/x HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            assert receive_head(connection).startswith(b"HTTP/1.1 200 ")
    lines = wait_for(lambda: (found := site.lines()[before:]) and len(found) == 6 and found)
    keys = [tuple(line.split()[2:5]) for line in lines]
    assert len(set(keys)) == 3 and len({key[:2] for key in keys}) == 1
    assert site.open().keys().isdisjoint(keys)


# -- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "credentials"),
    [("/open", nothing), ("/token", with_token), ("/either", with_password)],
)
def test_a_session_ends_when_its_time_is_over_and_no_other(
    site: Site, agent: Agent, path: str, credentials: Change
) -> None:
    others = [site.connect(site.request("/listed")), site.connect(with_token(site.request("/long")))]
    client = site.connect(credentials(site.request(path)))
    assert client.end == client.session.started_at + LIFETIME
    assert 0 <= lateness(client) < LATE
    assert all(one.connection.echo("still here") == "still here" for one in others)
    wait_for(lambda: client.session.key not in site.open())
    for one in others:
        one.connection.close()


def test_traffic_prolongs_nothing(site: Site, agent: Agent) -> None:
    client = site.connect(site.request("/open"))
    with contextlib.suppress(OSError, wire.WireError):
        while time.time() < client.end + SOON:
            client.connection.echo("busy", 5)
    assert 0 <= time.time() - client.end < LATE


def test_sessions_that_began_together_end_one_after_the_other(site: Site, agent: Agent) -> None:
    clients = [site.connect(site.request("/spread")) for _number in range(12)]
    late = {}
    deadline = time.time() + 4 + SOON
    while len(late) < len(clients) and time.time() < deadline:
        for client in clients:
            if client.session.key not in late and not client.is_open:
                late[client.session.key] = time.time() - client.end
        time.sleep(0.01)
    assert len(late) == len(clients)
    assert all(0 <= one < LATE for one in late.values()), late
    lives = [client.end - client.session.started_at for client in clients]
    assert 2 <= min(lives) < max(lives) <= 4 and max(lives) - min(lives) > 0.5


def test_an_agent_that_comes_later_ends_what_began_before_at_the_same_moment(site: Site, tmp_path: Path) -> None:
    with agent_of(site, tmp_path / "state"):
        client = site.connect(site.request("/open"))
    assert client.is_open
    with agent_of(site, tmp_path / "state"):
        assert 0 <= lateness(client) < LATE


def test_an_agent_that_comes_too_late_ends_at_once_what_is_overdue(site: Site, tmp_path: Path) -> None:
    client, kept = site.connect(site.request("/open")), site.connect(site.request("/listed"))
    wait_for(lambda: time.time() > client.end, SOON)
    assert client.is_open
    with agent_of(site, tmp_path / "state"):
        wait_for(lambda: not client.is_open, SOON)
        assert kept.connection.echo("kept") == "kept"
    kept.connection.close()


def test_it_needs_no_token_store(site: Site, tmp_path: Path) -> None:
    away = site.gate.tokens.with_name("away")
    site.gate.tokens.rename(away)
    try:
        with agent_of(site, tmp_path / "state"):
            client = site.connect(site.request("/open"))
            assert 0 <= lateness(client) < LATE
    finally:
        away.rename(site.gate.tokens)


def test_a_reload_of_nginx_changes_nothing_about_it(site: Site, agent: Agent) -> None:
    before = site.connect(site.request("/open"))
    site.gate.reload()
    after = site.connect(site.request("/open"))
    assert before.session.key[0] != after.session.key[0]
    assert before.is_open and after.is_open
    assert 0 <= lateness(before) < LATE
    assert 0 <= lateness(after) < LATE
    wait_for(lambda: {before.session.key, after.session.key}.isdisjoint(site.open()))


def test_a_download_in_progress_ends_too(site: Site, agent: Agent) -> None:
    before = set(site.open())
    with socket.create_connection(("127.0.0.1", site.port), SOON) as connection:
        connection.sendall(f"GET /download HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        received = len(connection.recv(65536))
        (key,) = set(site.open()) - before
        began = site.open()[key].started_at
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                received += len(part)
        assert 0 <= time.time() - began - LIFETIME < LATE
    assert received > 1 << 20


def test_so_does_an_answer_over_http2(site: Site, agent: Agent) -> None:
    before = set(site.open())
    command = [
        "curl", "--silent", "--insecure", "--http2", "--no-buffer", "--max-time", "20", "--output", "/dev/null",
        "--write-out", "%{http_version} %{http_code}", "--resolve", f"{NAME}:{site.tls_port}:127.0.0.1",
        f"https://{NAME}:{site.tls_port}/app/x?hold",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        (key,) = wait_for(lambda: set(site.open()) - before)
        began = site.open()[key].started_at
        output, _errors = process.communicate(timeout=SOON)
        assert 0 <= time.time() - began - LIFETIME < LATE
    assert output.split() == ["2", "200"] and process.returncode not in (0, 28)


def test_a_token_that_goes_before_ends_the_session_before(site: Site, agent: Agent) -> None:
    token = site.gate.issue("Token-that-goes-before-0123")
    client = site.connect(site.request("/long").token(token))
    other = site.connect(site.request("/token").token(TOKEN))
    (site.gate.tokens / token).unlink()
    wait_for(lambda: not client.is_open, SOON)
    assert 0 <= lateness(other) < LATE


@pytest.mark.parametrize("step", [86400.0, -86400.0], ids=["forward", "back"])
def test_a_clock_that_is_set_by_a_day_ends_no_session_earlier_or_later(
    site: Site, agent: Agent, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    client = site.connect(site.request("/open"))
    wait_for(lambda: client.session.key in agent.open_sessions())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    wait_for(lambda: not client.is_open, SOON)
    assert 0 <= real() - client.end < LATE


def test_a_day_forward_while_no_agent_ran_makes_no_session_older_than_its_worker(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    site.gate.reload()
    client = site.connect(with_token(site.request("/long")))
    monkeypatch.setattr(time, "time", lambda: real() + 86400.0)
    with agent_of(site, tmp_path / "state") as agent:
        wait_for(lambda: client.session.key in agent.open_sessions())
        # Whatever is due by then is ended in the same turn.
        overdue = site.connect(with_token(site.request("/token")))
        wait_for(lambda: not overdue.is_open, SOON)
        assert client.connection.echo("still here") == "still here"
    client.connection.close()


# -- without an agent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pruner", "words"),
    [("cron", "token_store_pruner is cron: set it to auto"), ("auto", "localhost has none: run role")],
)
def test_a_lifetime_that_nothing_would_enforce_is_refused_before_anything_changes(pruner: str, words: str) -> None:
    location = {
        "path": "/wss",
        "upstream": "http://127.0.0.1:1",
        "auth": "none",
        "origins": [ORIGIN],
        "max_session_lifetime": 60,
    }
    listen = [{"address": "127.0.0.1", "port": free_port(), "tls": False}]
    servers = [{"name": "gate", "server_names": [NAME], "listen": listen, "locations": [location]}]
    gate = LocalGate(servers, token_store_pruner=pruner)
    with contextlib.ExitStack() as stack:
        stack.callback(gate.__exit__)
        with pytest.raises(AssertionError) as refused:
            gate.apply()
        text = " ".join(str(refused.value).split())
        assert "What ends in time (/wss) needs the agent of role token_store, and " in text and words in text
        assert not (gate.etc / "wssgate.d").exists() and gate.master() is None
