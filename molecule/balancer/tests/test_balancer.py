# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two balancers with one address: clients reach the gate by it, and by the other balancer when one dies."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lib import wire
from lib.molecule import scraping
from lib.molecule.modules import run_playbook
from lib.processes import wait_for

FRONTS = ("wssgate-balancer-front1", "wssgate-balancer-front2")
GATE = "wssgate-balancer-gate1"
LOG = "/var/log/nginx/wss_access.log"
NAME, ORIGIN = "gate.example.com", "https://app.example.com"
METRICS = "metrics.example.com"
PORT = ("wssgate-metrics.cfg", "wssgate-metrics.pem")


def run(name: str, *command: str, check: bool = True) -> str:
    return subprocess.run(
        ["docker", "exec", name, *command], capture_output=True, text=True, check=check, timeout=60
    ).stdout


@pytest.fixture(scope="module")
def address() -> str:
    found = re.search(r"(?m)^ +([0-9.]+)/32 dev", run(FRONTS[0], "cat", "/etc/keepalived/keepalived.conf"))
    assert found
    return found[1]


@pytest.fixture(scope="module")
def ca_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "gate.pem"
    path.write_text(run(FRONTS[0], "cat", "/etc/haproxy/wssgate.d/wcs.pem"))
    return path


@pytest.fixture(autouse=True)
def only_once(host: Any) -> None:
    if host.backend.get_pytest_id().rpartition("://")[2] != GATE:
        pytest.skip("a client outside asks them all at once")


def holders(address: str) -> list[str]:
    return [name for name in FRONTS if f" {address}/" in run(name, "ip", "-4", "address", check=False)]


def the_holder(address: str) -> str:
    return str(wait_for(lambda: (found := holders(address)) and len(found) == 1 and found)[0])


def connect(address: str, ca_path: Path) -> wire.Session | None:
    endpoint = wire.Endpoint(host=address, port=443, server_name=NAME, ca_path=ca_path)
    try:
        reply = wire.handshake(endpoint, wire.Request(path="/wss", host=NAME).origin(ORIGIN), timeout=3)
    except (OSError, wire.WireError):
        return None
    return reply.session if reply.status == 101 else None


def states(name: str) -> dict[str, str]:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/wssgate.sock');"
        "s.sendall(b'show stat\\n'); print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
    )
    rows = [line.split(",") for line in run(name, "python3", "-c", script).splitlines() if line]
    return {row[1]: row[17] for row in rows[1:]}


@pytest.fixture
def opened(address: str, ca_path: Path) -> Iterator[list[wire.Session]]:
    sessions = [wait_for(lambda: connect(address, ca_path)) for _ in range(5)]
    yield sessions
    for session in sessions:
        session.close()


def test_one_balancer_has_the_address_and_the_gate_learns_who_the_client_is(
    address: str, opened: list[wire.Session]
) -> None:
    holder = the_holder(address)
    opened[0].send("headers?")
    headers = dict(json.loads(opened[0].receive_text())["headers"])
    fronts = [run(name, "hostname", "-i").split()[0] for name in FRONTS]
    named = next(value for key, value in headers.items() if key.lower() == "x-client-ip")
    assert named not in (address, *fronts), holder


def test_when_all_gates_are_drained_the_address_stays_and_sessions_go_on(
    address: str, ca_path: Path, opened: list[wire.Session]
) -> None:
    holder = the_holder(address)
    run(GATE, "touch", "/etc/nginx/wssgate.drain")
    try:
        wait_for(lambda: all("NOLB" in states(name)[GATE] for name in FRONTS))
        assert connect(address, ca_path) is None
        # Both checks have failed, and longer than the delay of a takeover.
        log = "journalctl --no-pager --unit keepalived | grep -c 'Changing effective priority from 200 to 50'"
        before = {name: int(run(name, "sh", "-c", log, check=False) or 0) for name in FRONTS}
        wait_for(
            lambda: all(int(run(name, "sh", "-c", log, check=False) or 0) >= max(1, before[name]) for name in FRONTS)
        )
        assert all(session.echo() == "hello" for session in opened)
        assert the_holder(address) == holder
    finally:
        run(GATE, "rm", "/etc/nginx/wssgate.drain")
    wait_for(lambda: all(states(name)[GATE].startswith("UP") for name in FRONTS))
    assert all(session.echo() == "hello" for session in opened)
    assert the_holder(address) == holder


def test_a_gate_that_was_rolled_gets_sessions_when_the_run_ends(
    address: str, ca_path: Path, tmp_path: Path, opened: list[wire.Session]
) -> None:
    """Out of both balancers first, and into both of them again last."""
    before = len(run(GATE, "cat", LOG).splitlines())
    run_ = run_playbook("wssgate.nginx.roll", tmp_path, roll_restart="true", drain_deadline="0", drain_required="false")
    assert run_.returncode == 0, run_.text[-3000:]
    assert {states(name)[GATE].partition(" ")[0] for name in FRONTS} == {"UP"}
    session = connect(address, ca_path)
    assert session and session.echo() == "hello"
    session.close()
    with pytest.raises((OSError, wire.WireError, AssertionError)):
        opened[0].echo()
    lines = [json.loads(line) for line in run(GATE, "cat", LOG).splitlines()[before:]]
    fronts = {run(name, "hostname", "-i").split()[0] for name in FRONTS}
    assert {line["client"] for line in lines if line["status"] == 503} == fronts, "checks alone were refused"


def test_a_dead_haproxy_loses_the_address_and_does_not_take_it_back(address: str, ca_path: Path) -> None:
    holder = the_holder(address)
    run(holder, "systemctl", "stop", "haproxy")
    other = next(name for name in FRONTS if name != holder)
    wait_for(lambda: holders(address) == [other])
    session = wait_for(lambda: connect(address, ca_path))
    run(holder, "systemctl", "start", "haproxy")
    wait_for(lambda: states(holder)[GATE].startswith("UP"))
    entered = "journalctl --no-pager --unit keepalived | grep -c 'Entering BACKUP STATE'"
    wait_for(lambda: int(run(holder, "sh", "-c", entered, check=False) or 0) >= 1)
    assert holders(address) == [other] and session.echo() == "hello"
    session.close()


def test_check_tells_of_each_balancer_in_a_line(address: str, tmp_path: Path) -> None:
    holder = the_holder(address)
    run_ = run_playbook("wssgate.nginx.check", tmp_path, with_token="false")
    shown = [
        text for result in run_.results(GATE) for text in result.get("msg", []) if isinstance(result.get("msg"), list)
    ]
    lines = {text.partition(":")[0]: text for text in shown if text.startswith("wssgate-balancer-front")}
    assert sorted(lines) == sorted(FRONTS), run_.text[-3000:]
    for name, line in lines.items():
        # Without a code while a check is under way.
        assert re.search(rf"{GATE} up L7OK(/403)? ", line) and "keepalived runs" in line
        assert (f"has {address}" in line) == (name == holder)


def test_a_killed_balancer_is_replaced_and_its_clients_come_back(address: str, ca_path: Path) -> None:
    """Last: the killed one is started again for what follows."""
    holder = the_holder(address)
    other = next(name for name in FRONTS if name != holder)
    session = wait_for(lambda: connect(address, ca_path))
    subprocess.run(["docker", "kill", holder], check=True, capture_output=True, timeout=60)
    try:
        wait_for(lambda: holders(address) == [other])
        session.close()
        again = wait_for(lambda: connect(address, ca_path))
        assert again.echo() == "hello"
        again.close()
    finally:
        subprocess.run(["docker", "start", holder], check=True, capture_output=True, timeout=60)
    wait_for(lambda: run(holder, "systemctl", "is-active", "haproxy", check=False).strip() == "active", 60)


def test_the_check_of_keepalived_has_no_rights(address: str) -> None:
    for name in FRONTS:
        assert run(name, "stat", "-c", "%U %a", "/usr/local/lib/wssgate/balancer-check").split() == ["root", "755"]
        assert run(name, "stat", "-c", "%U %a", "/run/haproxy/wssgate.sock").split() == ["root", "600"]
        # Docker's resolver is in each host of a network that is not its own.
        listening = [port for port in run(name, "ss", "-Hltn").split() if not port.startswith("127.0.0.11:")]
        assert {port.rpartition(":")[2] for port in listening if re.fullmatch(r"\S*:[0-9]+", port)} == {"443", "9443"}


@pytest.mark.parametrize("name", FRONTS)
def test_a_scraper_with_the_password_gets_the_metrics(name: str, tmp_path: Path) -> None:
    ca_path = tmp_path / "metrics.pem"
    ca_path.write_text(run(name, "cat", "/etc/nginx/certificates/metrics/fullchain.pem"))
    assert scraping.scrape(name, METRICS, ca_path, "staple battery")[0] == 401
    status, body = scraping.scrape(name, METRICS, ca_path)
    assert status == 200 and f'haproxy_server_status{{proxy="wcs",server="{GATE}",state="UP"}} 1' in body
    assert run(name, "stat", "-c", "%a %U", *(f"/etc/haproxy/wssgate.d/{file}" for file in PORT)).split("\n")[:-1] == [
        "600 root"
    ] * len(PORT)


def test_metrics_that_are_not_wanted_any_more_go_and_sessions_stay(
    address: str, ca_path: Path, tmp_path: Path, opened: list[wire.Session]
) -> None:
    """Last: what served them is not there any more."""
    metrics_ca = {name: tmp_path / f"{name}.pem" for name in FRONTS}
    for name, path in metrics_ca.items():
        path.write_text(run(name, "cat", "/etc/nginx/certificates/metrics/fullchain.pem"))
    masters = {name: run(name, "systemctl", "show", "-P", "MainPID", "haproxy") for name in FRONTS}

    def site(*arguments: str) -> dict[str, int]:
        run_ = run_playbook("wssgate.nginx.site", tmp_path, *arguments, monitoring_enabled=False)
        assert run_.returncode == 0, run_.text[-3000:]
        return {name: run_.stats(name)["changed"] for name in (*FRONTS, GATE)}

    # A dry run tells of it, and does nothing.
    expected = {**dict.fromkeys(FRONTS, 1), GATE: 0}
    assert site("--check") == expected
    for name, path in metrics_ca.items():
        assert scraping.scrape(name, METRICS, path)[0] == 200
    assert site() == expected
    for name, path in metrics_ca.items():
        wait_for(lambda name=name, path=path: scraping.is_closed(name, METRICS, path))
        assert sorted(run(name, "ls", "/etc/haproxy/wssgate.d").split()) == ["wcs.cfg", "wcs.pem"]
        assert run(name, "grep", "-rlE", "userlist|http-request auth", "/etc/haproxy", check=False) == ""
    assert {name: run(name, "systemctl", "show", "-P", "MainPID", "haproxy") for name in FRONTS} == masters
    assert all(session.echo() == "hello" for session in opened)
    assert site() == dict.fromkeys((*FRONTS, GATE), 0)
