# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is taken out of service and put back, by the playbooks drain and undrain.

None of it depends on the system: one host is enough.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest

from lib import wire
from lib.molecule.gate import Gate
from lib.molecule.modules import Run, run_playbook
from lib.processes import wait_for

testinfra_hosts = ["ansible://wssgate-sessions-debian13"]
TOKEN = "token-of-the-whole-crowd"
FLAG = "/etc/nginx/wssgate.drain"


@pytest.fixture
def run(gate: Gate, tmp_path):
    def run(name: str, *arguments: str, **variables: object) -> Run:
        return run_playbook(f"wssgate.nginx.{name}", tmp_path, "--limit", gate.name, *arguments, **variables)

    yield run
    gate.run("rm", "-f", FLAG)


def attempt(gate: Gate) -> wire.Reply:
    request = wire.Request("/wss", host="wcs.example.com").origin("https://app.example.com").token(TOKEN)
    return wire.handshake(wire.Endpoint(port=gate.port, server_name="wcs.example.com"), request)


def test_a_drained_host_refuses_the_new_keeps_the_open_and_comes_back(gate: Gate, run, host) -> None:
    workers = gate.run("pgrep", "-f", "nginx: worker process$")
    with attempt(gate) as session:
        assert session.upgraded
        first = run("drain", drain_deadline=2, drain_interval=1)
        assert first.returncode != 0
        assert "Clients still connected after 2 s: 1." in first.text
        assert session.session.echo("still here") == "still here"

        refused = attempt(gate)
        assert (refused.status, refused.header("Retry-After")) == (503, "10")
        assert json.loads(gate.run("tail", "-n", "1", "/var/log/nginx/wss_access.log"))["reason"] == "draining"

        tolerant = run("drain", drain_deadline=0, drain_required=False)
        assert tolerant.returncode == 0, tolerant.text
        assert "Clients still connected: 1." in tolerant.text
        assert tolerant.stats(gate.name)["changed"] == 0

    # The last session is gone, and with it the reason to wait.
    done = run("drain", drain_deadline=60, drain_interval=1)
    assert done.returncode == 0, done.text
    assert "None is open any more" in done.text
    assert attempt(gate).status == 503

    back = run("undrain")
    assert back.returncode == 0, back.text
    assert back.stats(gate.name)["changed"] == 1
    with attempt(gate) as session:
        assert session.upgraded
    # None of it took a reload.
    assert gate.run("pgrep", "-f", "nginx: worker process$") == workers


class Crowd:
    """Open sessions, and when each of them was closed."""

    def __init__(self, gate: Gate, count: int, stack: contextlib.ExitStack) -> None:
        self.closed: list[float] = []
        self._threads = []
        for _number in range(count):
            session = stack.enter_context(attempt(gate)).session
            assert session is not None
            stack.callback(self._hang_up, session)
            thread = threading.Thread(target=self._wait, args=(session,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _wait(self, session: wire.Session) -> None:
        if session.ended(120):
            self.closed.append(time.monotonic())

    def _hang_up(self, session: wire.Session) -> None:
        # Its thread waits for it and would keep a socket open that is only closed here.
        with contextlib.suppress(OSError):
            session.socket.shutdown(socket.SHUT_RDWR)

    def all_closed(self) -> bool:
        for thread in self._threads:
            thread.join(20)
        return len(self.closed) == len(self._threads)

    def most_within_a_second(self) -> int:
        return max(sum(1 for one in self.closed if start <= one < start + 1) for start in self.closed)


def test_a_paced_drain_ends_the_sessions_one_after_the_other_and_says_how_many_are_left(gate: Gate, run, host) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(gate, 30, stack)
        told = run("drain", "--check", drain_rate=10)
        assert told.returncode == 0 and not host.file(FLAG).exists and not crowd.closed, told.text
        assert "Clients connected now: 30." in told.text

        # Slow enough for a busy machine to look at least once before all have gone
        done = run("drain", drain_rate=4, drain_deadline=60, drain_interval=1)
        assert done.returncode == 0, done.text
        assert "of 30 left" in done.text and "None is open any more" in done.text
        assert crowd.all_closed()
        # A fifth more in one second is what it may make up for; the rest is what a late look of a client adds.
        assert crowd.most_within_a_second() <= 4 * 1.2 + 4
        assert max(crowd.closed) - min(crowd.closed) > 5
        assert attempt(gate).status == 503
    assert host.run("ls /var/lib/wssgate-agent/orders/*.json").rc != 0
    assert run("undrain").returncode == 0


def test_undrain_in_the_middle_of_a_paced_drain_stops_it(gate: Gate, run, host) -> None:
    with contextlib.ExitStack() as stack:
        # More than end while a busy machine runs two playbooks
        crowd = Crowd(gate, 60, stack)
        begun = run("drain", drain_rate=1, drain_deadline=0)
        assert begun.returncode != 0
        assert "The agent of the gate goes on ending them." in begun.text, begun.text
        assert run("undrain").returncode == 0
        closed = len(crowd.closed)
        with attempt(gate) as session:
            assert session.upgraded
            wait_for(lambda: '"void"' in gate.run("cat", "/var/lib/wssgate-agent/orders/drain.result"))
            assert session.session.echo("still here") == "still here"
        assert len(crowd.closed) <= closed + 1 < 60


def test_a_paced_drain_without_an_agent_is_refused_before_anything_changes(gate: Gate, run, host) -> None:
    gate.run("systemctl", "stop", "wssgate-agent.service")
    try:
        refused = run("drain", drain_rate=10)
    finally:
        gate.run("systemctl", "start", "wssgate-agent.service")
    assert refused.returncode != 0
    assert "no agent of the gate is at work here" in refused.text and "token_store_pruner: agent" in refused.text
    assert not host.file(FLAG).exists


def test_a_rebalance_sheds_its_share_and_nothing_of_a_drained_host(gate: Gate, run, host) -> None:
    with contextlib.ExitStack() as stack:
        crowd = Crowd(gate, 20, stack)
        told = run("rebalance", "--check", rebalance_share=25)
        assert told.returncode == 0 and "5 of 20 sessions would end." in told.text, told.text
        done = run("rebalance", rebalance_share=25, rebalance_rate=10, rebalance_deadline=60, rebalance_interval=1)
        assert done.returncode == 0 and "5 of 5 sessions have ended." in done.text, done.text
        assert len(crowd.closed) == 5
        gate.run("touch", FLAG)
        left = run("rebalance", rebalance_share=25)
        assert left.returncode == 0 and "is drained and was left alone." in left.text, left.text
        assert left.stats(gate.name)["changed"] == 0 and len(crowd.closed) == 5
    refused = run("rebalance")
    assert refused.returncode != 0 and "Give rebalance_share" in refused.text


def test_check_mode_tells_and_drains_nothing(gate: Gate, run, host) -> None:
    told = run("drain", "--check", drain_deadline=5)
    assert told.returncode == 0, told.text
    assert told.stats(gate.name)["changed"] == 1
    assert not host.file(FLAG).exists
    with attempt(gate) as session:
        assert session.upgraded


def test_a_host_whose_gate_does_not_know_of_draining_is_not_drained(gate: Gate, run, host) -> None:
    refused = run("drain", wss_proxy_drain_path="/etc/nginx/another.drain")
    assert refused.returncode != 0
    assert "does not look at /etc/nginx/another.drain: run playbook site" in refused.text
    assert not host.file("/etc/nginx/another.drain").exists
