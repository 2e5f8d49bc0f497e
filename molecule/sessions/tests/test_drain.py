# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host is taken out of service and put back, by the playbooks drain and undrain.

None of it depends on the system: one host is enough.
"""

from __future__ import annotations

import json

import pytest

from lib import wire
from lib.molecule.gate import Gate
from lib.molecule.modules import Run, run_playbook

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
