# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token's way through a fleet: issued by the hub, used through the balancer, revoked on all gates."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
from lib import wire
from lib.molecule import scraping
from lib.molecule.modules import run_module
from lib.processes import wait_for

HUB, FRONT = "wssgate-fleet-hub", "wssgate-fleet-front"
GATES = ("wssgate-fleet-gate1", "wssgate-fleet-gate2")
NAME, ORIGIN = "gate.example.com", "https://app.example.com"
testinfra_hosts = [f"docker://{HUB}"]

ASK_HUB = {
    "server": {"host": HUB, "port": 6380},
    "ca_path": "/etc/wssgate/token_hub/ca.pem",
    "password_path": "/etc/wssgate/token_hub/passwords/operator",
}


def run(name: str, *command: str) -> str:
    return subprocess.run(
        ["docker", "exec", name, *command], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def reply(token: str, ca_path: Path) -> wire.Reply:
    address = run(FRONT, "hostname", "-i").split()[0]
    endpoint = wire.Endpoint(host=address, port=443, server_name=NAME, ca_path=ca_path)
    request = wire.Request(path="/wss", host=NAME).origin(ORIGIN).token(token)
    return wire.handshake(endpoint, request, timeout=5)


def sessions() -> dict[str, int]:
    """By gate, as the kernel of each has them: the upstream is there for sessions alone."""
    command = ("ss", "-Htn", "state", "established", "( dport = 8080 )")
    return {name: len(run(name, *command).splitlines()) for name in GATES}


# Of each host, where it is read and what has to be in it.
SCRAPED = {
    **{name: {"/metrics/log": ["# HELP"], "/metrics/agent": ["wssgate_configuration_live 1"]} for name in GATES},
    FRONT: {"/metrics": [f'haproxy_server_status{{proxy="wss",server="{name}",state="UP"}} 1' for name in GATES]},
    HUB: {
        "/metrics": ["redis_up 1", "redis_memory_used_bytes ", "redis_memory_max_bytes ", "redis_connected_clients "]
    },
}


def scraped(address: str, path: str, ca_path: Path, password: str = "") -> tuple[int, str]:
    endpoint = wire.Endpoint(host=address, port=9443, server_name=NAME, ca_path=ca_path)
    return scraping.get(endpoint, NAME, path, *([scraping.basic("prometheus", password)] if password else []))


@pytest.mark.parametrize("name", SCRAPED)
def test_a_scraper_with_the_password_gets_metrics_and_nobody_else(host: Any, tmp_path: Path, name: str) -> None:
    ca_path = tmp_path / "gate.pem"
    ca_path.write_text(run(FRONT, "cat", "/etc/haproxy/wssgate.d/wss.pem"))
    address = run(name, "hostname", "-i").split()[0]
    for path, wanted in SCRAPED[name].items():
        assert scraped(address, path, ca_path)[0] == 401
        assert scraped(address, path, ca_path, "staple battery")[0] == 401
        status, body = scraped(address, path, ca_path, "battery staple")
        assert status == 200, body
        assert [words for words in wanted if words not in body] == []


def test_nobody_but_root_has_the_passwords(host: Any) -> None:
    files = {
        FRONT: ["/etc/haproxy/wssgate.d/wssgate-metrics.cfg", "/etc/haproxy/wssgate.d/wssgate-metrics.pem"],
        HUB: ["/etc/wssgate/monitoring/front.cfg", "/etc/wssgate/token_hub/passwords/exporter"],
    }
    for name, paths in files.items():
        assert run(name, "stat", "-c", "%a %U", *paths).split("\n")[:-1] == ["600 root"] * len(paths)
    password = run(HUB, "cat", files[HUB][1]).split('"')[3]
    seen = run(HUB, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; journalctl --no-pager")
    assert len(password) > 20 and password not in seen


def test_a_token_is_good_on_all_gates_until_it_is_revoked_on_all(host: Any, tmp_path: Path) -> None:
    ca_path = tmp_path / "gate.pem"
    ca_path.write_text(run(FRONT, "cat", "/etc/haproxy/wssgate.d/wss.pem"))
    issued = run_module("wssgate.nginx.wss_hub_token", HUB, tmp_path, **ASK_HUB, subject="client", ttl=600, generate=2)
    token, other = issued.result(HUB)["tokens"]
    for gate in GATES:
        store = testinfra.get_host(f"docker://{gate}")
        wait_for(lambda store=store: all(store.file(f"/var/lib/nginx/tokens/{one}").exists for one in (token, other)))

    def connect(one: str) -> wire.Session | None:
        with contextlib.suppress(OSError, wire.WireError):
            answer = reply(one, ca_path)
            return answer.session if answer.status == 101 else None
        return None

    # The balancer gives each new one to the gate with the fewest, once it has seen both alive.
    opened: list[wire.Session] = []
    stays: list[wire.Session] = []

    def are_on_both() -> bool:
        if (session := connect(token)) is not None:
            opened.append(session)
        return all(sessions().values())

    wait_for(are_on_both)
    stays = [wait_for(lambda: connect(other)) for _ in range(2)]
    with reply("x" * 32, ca_path) as refused:
        assert refused.status == 403

    fingerprints = [hashlib.sha256(token.encode()).hexdigest()]
    revoked = run_module(
        *("wssgate.nginx.wss_hub_token", HUB, tmp_path),
        **ASK_HUB,
        state="absent",
        fingerprints=fingerprints,
        gates=list(GATES),
        ack_timeout=30,
    ).result(HUB)
    assert sorted(revoked["confirmed"]) == sorted(GATES) and revoked["unconfirmed"] == []
    assert all(session.ended() for session in opened)
    with reply(token, ca_path) as refused:
        assert refused.status == 403
    assert all(session.echo() == "hello" for session in stays)
    for session in (*opened, *stays):
        session.close()
