# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is connected with a real gate, by whatever way; and ending some of them, and nobody else's.

All of it, the gate too, is in a network namespace of its own: a fault in what is closed then cuts off nobody on this
machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

from lib import wire
from lib.crowd import Crowd, raise_limit
from lib.crowd import Session as CrowdSession
from lib.local_gate import LocalGate, free_port
from lib.network_namespace import own_network
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace, and closing other people's sockets, is for root"
)

ORIGIN = "https://app.example.com"
BALANCER = "127.0.0.2"
VISITOR = "203.0.113.9"
MINE, OTHER = "token-to-be-looked-for-1", "token-of-a-bystander-1"
# What takes a second where nothing else runs may take so many beside the other tests.
SOON = 5.0
# As a host runs it: arguments in, one JSON object out.
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.modules import wss_session, wss_session_info
with patch_module_args(json.load(sys.stdin)):
    {module}.main()
"""
CROWD, TOKENS_OF_CROWD = 2000, 20


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except PermissionError:
            pytest.skip("no network namespace can be made here (CAP_SYS_ADMIN)")
        yield


@pytest.fixture(scope="module")
def ports(network: None) -> dict[str, int]:
    return {name: free_port() for name in ("straight", "balanced", "secure", "echo", "web", "load")}


@pytest.fixture(scope="module")
def upstreams(ports: dict[str, int]) -> Iterator[None]:
    with (
        running("echo_server", "--echo", f"127.0.0.1:{ports['echo']}", "--web", f"127.0.0.1:{ports['web']}"),
        running("load_echo_server", str(ports["load"])),
    ):
        yield


@pytest.fixture(scope="module")
def local_gate(ports: dict[str, int], upstreams: None) -> Iterator[LocalGate]:
    def location(path: str, upstream: str = "echo", **options: Any) -> dict[str, Any]:
        return {"path": path, "upstream": f"http://127.0.0.1:{ports[upstream]}", "origins": [ORIGIN], **options}

    local_gate = LocalGate([], nginx_sessions=CROWD + 200)
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "straight",
                "server_names": ["gate.example.com"],
                "listen": [
                    {"address": "127.0.0.1", "port": ports["straight"], "tls": False},
                    {"address": "::1", "port": ports["straight"], "tls": False},
                    {"unix": str(local_gate.root / "gate.sock"), "tls": False},
                ],
                "locations": [location("/wss"), location("/chat", "load"), location("/open", auth="none")],
            },
            {
                "name": "balanced",
                "server_names": ["balanced.example.com"],
                "listen": [
                    {"address": "127.0.0.1", "port": ports["balanced"], "tls": False, "proxy_protocol": True},
                ],
                "trusted_proxies": [BALANCER],
                "locations": [location("/wss")],
            },
            {
                "name": "secure",
                "server_names": ["gate.example.com"],
                "certificate": "gate",
                "http2_enabled": True,
                "listen": [{"address": "127.0.0.1", "port": ports["secure"]}],
                "locations": [location("/app/", "web", http=True)],
            },
        ],
    }
    with local_gate:
        yield local_gate


class Way(NamedTuple):
    """How a client reaches the gate, who it then is, and where it comes from."""

    server: str
    server_name: str = "gate.example.com"
    host: str = "127.0.0.1"
    source: str | None = None
    preamble: bytes = b""
    client: str = "127.0.0.1"
    peer: str | None = None


STRAIGHT = Way("straight")
BALANCED = Way(
    "balanced",
    server_name="balanced.example.com",
    source=BALANCER,
    preamble=f"PROXY TCP4 {VISITOR} 198.51.100.1 40000 443\r\n".encode(),
    client=VISITOR,
    peer=BALANCER,
)
WAYS = {
    "straight": STRAIGHT,
    "straight over IPv6": Way("straight", host="::1", client="::1"),
    "behind PROXY protocol": BALANCED,
}


class Gate:
    def __init__(self, local_gate: LocalGate, ports: dict[str, int], stack: contextlib.ExitStack) -> None:
        self.local_gate = local_gate
        self.ports = ports
        self.stack = stack

    def request(self, token: str | None, way: Way = STRAIGHT, path: str = "/wss") -> wire.Request:
        request = wire.Request(path=path, host=way.server_name).origin(ORIGIN)
        return request if token is None else request.token(token)

    def open(self, token: str | None, way: Way = STRAIGHT, path: str = "/wss") -> wire.Session:
        endpoint = wire.Endpoint(port=self.ports[way.server], host=way.host, source=way.source, tls=False)
        reply = self.stack.enter_context(
            wire.handshake(endpoint, self.request(token, way, path), preamble=way.preamble)
        )
        assert reply.status == 101 and reply.session is not None
        assert reply.session.echo("hello") == "hello"
        return reply.session

    def write(self, line: str) -> None:
        with self.local_gate.session_log.open("a") as file:
            file.write(line + "\n")

    def listed(self, **options: Any) -> dict[str, Any]:
        result = self.ask("wss_session_info", **options)
        assert "failed" not in result and result["changed"] is False, result
        return result

    def ended(self, *launcher: str, **options: Any) -> dict[str, Any]:
        return self.ask("wss_session", *launcher, **options)

    def ask(self, module: str, *launcher: str, **options: Any) -> dict[str, Any]:
        arguments = {
            "path": str(self.local_gate.tokens),
            "session_log": str(self.local_gate.session_log),
            "nginx_directory": str(self.local_gate.etc),
            **options,
        }
        import ansible_collections

        tree = str(Path(next(iter(ansible_collections.__path__))).parent)
        done = subprocess.run(
            [*launcher, sys.executable, "-c", MODULE.format(module=module)],
            input=json.dumps(arguments), capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": tree}, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        assert MINE not in done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def gate(local_gate: LocalGate, ports: dict[str, int]) -> Iterator[Gate]:
    for token, subject in ((MINE, "client-42"), (OTHER, "bystander")):
        local_gate.issue(token)
        (local_gate.tokens / token).write_text(json.dumps({"subject": subject, "issued_at": 1, "expires_at": None}))
    with contextlib.ExitStack() as stack:
        gate = Gate(local_gate, ports, stack)
        # What the former test had open is gone from the kernel's lists, too.
        wait_for(lambda: gate.listed()["totals"] == {"sessions": 0, "unlisted": 0})
        yield gate


# Listing


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_session_is_listed_as_who_it_is_by_whatever_way_it_came(gate: Gate, way: Way) -> None:
    before = time.time()
    gate.open(MINE, way).send("x" * 2000)
    (session,) = gate.listed()["sessions"]
    assert session["client"] == way.client and session["peer"] == way.peer
    assert (session["subject"], session["fingerprint"]) == ("client-42", fingerprint(MINE))
    assert (session["server"], session["location"]) == (way.server_name, "/wss")
    assert session["upstream"] == f"http://127.0.0.1:{gate.ports['echo']}/wss"
    assert int(before) <= session["since"] <= time.time() and session["age"] <= time.time() - before + 1
    assert session["bytes_received"] > 2000 and session["bytes_sent"] > 100


def test_sessions_of_several_locations_are_told_apart_the_oldest_first(gate: Gate) -> None:
    for token, path in ((MINE, "/chat"), (OTHER, "/wss"), (MINE, "/wss")):
        gate.open(token, path=path)
    found = [(one["subject"], one["location"], one["upstream"]) for one in gate.listed()["sessions"]]
    upstreams = {
        path: f"http://127.0.0.1:{gate.ports[name]}{path}" for path, name in (("/wss", "echo"), ("/chat", "load"))
    }
    assert found == [
        ("client-42", "/chat", upstreams["/chat"]),
        ("bystander", "/wss", upstreams["/wss"]),
        ("client-42", "/wss", upstreams["/wss"]),
    ]
    for options, count in (
        ({"subjects": ["client-42"]}, 2),
        ({"subjects": ["client-42"], "locations": ["/wss"]}, 1),
        ({"servers": ["balanced.example.com"]}, 0),
        ({"clients": ["127.0.0.0/8"]}, 3),
    ):
        assert len(gate.listed(**options)["sessions"]) == count, options


def test_a_session_of_an_old_worker_is_listed_and_ended(gate: Gate) -> None:
    old = gate.open(MINE)
    gate.local_gate.reload()
    new = gate.open(MINE)
    assert len(gate.local_gate.workers("nginx: worker process is shutting down")) == 1
    sessions = gate.listed()["sessions"]
    assert len({session["id"].split("-")[0] for session in sessions}) == 2
    assert gate.ended(ids=[sessions[0]["id"]])["ended"] == 1
    assert old.ended(SOON) and new.echo("still here") == "still here"


def test_a_connection_without_a_token_is_told_by_its_address_and_with_a_line_as_a_session(gate: Gate) -> None:
    session = gate.open(None, path="/open")
    answer = gate.listed()
    (found,) = answer["unlisted"]
    assert answer["sessions"] == [] and set(found) == {"client", "client_port"} and found["client"] == "127.0.0.1"
    (worker,) = gate.local_gate.workers()
    gate.write(
        f"S {time.time():.3f} {worker} 999999 1 127.0.0.1 {found['client_port']} 127.0.0.1 {gate.ports['straight']} "
        "127.0.0.1 - gate.example.com /open 3240-3600"
    )
    answer = gate.listed(locations=["/open"])
    (listed,) = answer["sessions"]
    assert answer["totals"]["unlisted"] == 0
    assert (listed["subject"], listed["fingerprint"], listed["location"]) == (None, None, "/open")
    assert listed["ends_at_latest"] - listed["ends_at_earliest"] == 360
    assert gate.ended(locations=["/open"])["ids"] == [listed["id"]]
    assert session.ended(SOON)


def test_requests_of_one_http2_connection_are_sessions_that_end_together(gate: Gate) -> None:
    port = gate.ports["secure"]
    command = [
        "curl", "--silent", "--insecure", "--http2", "--parallel", "--no-buffer", "--max-time", "60",
        "--resolve", f"gate.example.com:{port}:127.0.0.1", "--header", f"Cookie: AUTH={MINE}",
        *(f"https://gate.example.com:{port}/app/{number}?hold" for number in range(2)),
    ]  # fmt: skip
    bystander = gate.open(MINE)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
        try:
            sessions = wait_for(lambda: len(found := gate.listed(locations=["/app/"])["sessions"]) == 2 and found)
            assert len({session["client_port"] for session in sessions}) == 1
            assert sessions[0]["bytes_sent"] == sessions[1]["bytes_sent"] > 1000, "TLS is in it"
            answer = gate.ended(ids=[sessions[0]["id"]])
            assert (answer["found"], answer["ended"], answer["ids"]) == (1, 1, [sessions[0]["id"]])
            assert client.wait(20) != 0
        finally:
            client.kill()
    assert gate.listed(locations=["/app/"])["sessions"] == []
    assert bystander.echo("still here") == "still here"


# Ending


def test_sessions_of_one_location_end_and_a_bystander_s_and_another_s_go_on(gate: Gate) -> None:
    mine = [gate.open(MINE), gate.open(MINE, BALANCED)]
    others = [gate.open(MINE, path="/chat"), gate.open(OTHER), gate.open(None, path="/open")]
    dry = gate.ended(subjects=["client-42"], locations=["/wss"], _ansible_check_mode=True)
    assert (dry["found"], dry["ended"], dry["changed"]) == (2, 2, True)
    assert [session.echo("dry") for session in mine] == ["dry"] * 2
    answer = gate.ended(subjects=["client-42"], locations=["/wss"])
    assert (answer["found"], answer["ended"], answer["remaining"], answer["reason"]) == (2, 2, 0, "")
    assert sorted(answer["ids"]) == sorted(dry["ids"])
    assert all(session.ended(SOON) for session in mine)
    assert [session.echo("still here") for session in others] == ["still here"] * 3
    assert gate.ended(subjects=["client-42"], locations=["/wss"])["changed"] is False


def test_a_client_behind_a_load_balancer_is_ended_by_its_own_address(gate: Gate) -> None:
    mine, bystander = gate.open(MINE, BALANCED), gate.open(MINE)
    assert gate.ended(clients=[BALANCER])["found"] == 0
    assert gate.ended(clients=["203.0.113.0/24"])["ended"] == 1
    assert mine.ended(SOON) and bystander.echo("still here") == "still here"


def test_a_client_whose_token_is_valid_may_be_back_and_its_new_session_is_left_alone(gate: Gate) -> None:
    session = gate.open(MINE)
    assert gate.ended(all=True)["ended"] == 1
    assert session.ended(SOON)
    back = gate.open(MINE)
    assert gate.listed()["totals"]["sessions"] == 1 and back.echo("back") == "back"


def test_unlisted_connections_end_where_asked_for_and_only_those_to_the_gate(gate: Gate) -> None:
    unlisted, listed = gate.open(None, path="/open"), gate.open(MINE, BALANCED)
    assert gate.ended(all=True, _ansible_check_mode=True)["found"] == 1
    assert gate.ended(clients=["127.0.0.1"])["found"] == 0
    assert unlisted.echo("still here") == "still here"
    # The gate's own connections to its upstreams are from the same address.
    answer = gate.ended(clients=["127.0.0.1"], unlisted=True)
    assert answer["unlisted"] == {"found": 1, "ended": 1, "remaining": 0} and answer["changed"] is True
    assert unlisted.ended(SOON) and listed.echo("still here") == "still here"


def test_without_a_session_log_connections_are_listed_and_ended_by_their_address(gate: Gate) -> None:
    session = gate.open(MINE)
    answer = gate.listed(session_log="")
    assert answer["sessions"] == [] and [one["client"] for one in answer["unlisted"]] == ["127.0.0.1"]
    assert gate.ended(session_log="", all=True, unlisted=True)["unlisted"]["ended"] == 1
    assert session.ended(SOON)


def test_a_session_over_a_unix_socket_is_listed_and_told_as_one_that_cannot_be_ended(gate: Gate) -> None:
    endpoint = wire.Endpoint(unix=gate.local_gate.root / "gate.sock", tls=False)
    with wire.handshake(endpoint, gate.request(MINE)) as reply:
        assert reply.status == 101 and reply.session is not None
        (session,) = gate.listed()["sessions"]
        assert (session["client"], session["client_port"], session["bytes_sent"]) == ("unix:", None, None)
        assert session["upstream"] == f"http://127.0.0.1:{gate.ports['echo']}/wss"
        tcp = gate.open(MINE)
        answer = gate.ended(all=True)
        assert answer["failed"] and "1 session could not be ended" in answer["msg"] and "unix socket" in answer["msg"]
        assert (answer["ended"], answer["remaining_ids"], answer["changed"]) == (1, [session["id"]], True)
        assert tcp.ended(SOON) and reply.session.echo("still here") == "still here"


def test_without_the_right_to_close_sockets_the_call_fails_with_the_number(gate: Gate) -> None:
    sessions = [gate.open(MINE), gate.open(MINE)]
    answer = gate.ended("setpriv", "--bounding-set", "-net_admin", all=True)
    assert answer["failed"] and answer["changed"] is False
    assert answer["msg"].startswith("2 sessions could not be ended: ") and "not permitted" in answer["msg"]
    assert len(answer["remaining_ids"]) == 2
    assert [session.echo("still here") for session in sessions] == ["still here"] * 2


def test_two_thousand_sessions_are_listed_at_once_and_half_of_them_end(gate: Gate) -> None:
    raise_limit()
    tokens = [f"token-of-the-crowd-{number:02d}" for number in range(TOKENS_OF_CROWD)]
    for number, token in enumerate(tokens):
        gate.local_gate.issue(token)
        (gate.local_gate.tokens / token).write_text(json.dumps({"subject": f"half-{number % 2}", "expires_at": None}))
    crowds = [Crowd(gate.ports["straight"], gate.request(token, path="/chat").encode(), None) for token in tokens]

    async def drive() -> tuple[dict[str, Any], float, dict[str, Any], list[int]]:
        groups: list[list[CrowdSession]] = []
        for crowd in crowds:
            groups.append(await crowd.open_all(CROWD // TOKENS_OF_CROWD))
        assert sum(map(len, groups)) == CROWD, [crowd.seen.failed for crowd in crowds]
        start = time.monotonic()
        listed = await asyncio.to_thread(gate.listed)
        seconds = time.monotonic() - start
        ended = await asyncio.to_thread(gate.ended, subjects=["half-0"])
        alive = [len(await crowd.echo_all(group)) for crowd, group in zip(crowds, groups, strict=True)]
        for session in (one for group in groups for one in group):
            session.drop()
        return listed, seconds, ended, alive

    try:
        listed, seconds, ended, alive = asyncio.run(drive())
    finally:
        for token in tokens:
            (gate.local_gate.tokens / token).unlink()
    assert len(listed["sessions"]) == CROWD and listed["unlisted"] == []
    assert {session["subject"] for session in listed["sessions"]} == {"half-0", "half-1"}
    # A second where nothing else runs.
    assert seconds < SOON * 2
    assert (ended["found"], ended["ended"], ended["remaining"]) == (CROWD // 2, CROWD // 2, 0)
    assert len(ended["ids"]) == CROWD // 2
    each = CROWD // TOKENS_OF_CROWD
    assert alive == [0, each] * (TOKENS_OF_CROWD // 2)
