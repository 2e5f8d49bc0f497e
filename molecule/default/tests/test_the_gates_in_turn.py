# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of two gates reaches the second one when it has done the first one no harm, and not before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import testinfra

from lib import wire
from lib.molecule.gate import Gate
from lib.molecule.modules import Run, run_playbook

# Each test is about all gates.
testinfra_hosts = ["ansible://wssgate-default-debian12"]
LIVE = "cat /etc/nginx/nginx.conf /etc/nginx/wssgate.d/* | sha256sum; pgrep -f 'nginx: worker process$'"


@pytest.fixture(scope="module")
def gates():
    """Both gates, in the order in which a play goes through them."""
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    return testinfra.get_hosts(["ansible://wss_proxies"], ansible_inventory=inventory)


def name_of(host) -> str:
    return host.backend.get_pytest_id().rpartition("://")[2]


def run_site(scratch: Path, **variables: object) -> Run:
    return run_playbook("wssgate.nginx.site", scratch, **variables)


def gate_servers(**location: object) -> list[dict[str, object]]:
    """The server of the inventory, with another location."""
    path = {"path": "/wss", "origins": ["https://app.example.com"], **location}
    listen, names = [{"port": 443}], ["wcs.example.com"]
    return [{"name": "wcs", "server_names": names, "listen": listen, "certificate": "wcs", "locations": [path]}]


@pytest.fixture(scope="module")
def spoilt(gates, tmp_path_factory):
    """A run whose change lets everybody in, to an upstream that is not there; and both gates before and after it."""
    before = [host.check_output(LIVE) for host in gates]
    run = run_site(
        tmp_path_factory.mktemp("spoilt"), wss_proxy_servers=gate_servers(upstream="http://127.0.0.1:9", auth="none")
    )
    return run, before, [host.check_output(LIVE) for host in gates]


def test_a_change_that_makes_the_first_gate_worse_is_taken_back_and_stops_the_run(gates, spoilt):
    run, before, after = spoilt
    first, second = (name_of(host) for host in gates)
    assert run.returncode != 0
    told = "wcs.example.com:443/wss answered 403 before and 502 now. What was there before was put back and is live"
    assert told in run.result(first)["msg"], run.text
    assert run.stats(first)["failures"] == 1 and run.stats(second)["failures"] == 0
    # The files of the first, and all of the second: it was not even reloaded.
    assert after[0].split()[0] == before[0].split()[0]
    assert after[1] == before[1]


def test_the_first_gate_answers_as_before(gate: Gate, spoilt):
    request = wire.Request("/wss", host="wcs.example.com").origin("https://app.example.com")
    with wire.handshake(wire.Endpoint(port=gate.port, server_name="wcs.example.com"), request) as reply:
        assert reply.status == 403


def test_a_good_change_reaches_the_first_gate_first(gates, spoilt, tmp_path):
    run = run_site(tmp_path, nginx_keepalive_timeout=66, wssgate_serial=1)
    assert run.returncode == 0, run.text
    started = []
    for host in gates:
        assert "keepalive_timeout 66s;" in host.file("/etc/nginx/nginx.conf").content_string
        worker = host.check_output("pgrep -n -f 'nginx: worker process$'")
        # In ticks since the machine started, which both containers share
        started.append(int(host.file(f"/proc/{worker}/stat").content_string.rpartition(")")[2].split()[19]))
    # The first gate is looked at before the second one's turn, which takes half a second wherever it is.
    assert started[1] - started[0] > os.sysconf("SC_CLK_TCK") / 2


def test_what_is_no_number_of_gates_is_told_before_anything_else(gates, tmp_path):
    """Which ones are none is asked in tests/unit/test_site_playbook.py."""
    run = run_site(tmp_path, wssgate_serial="half")
    assert run.returncode != 0
    for host in gates:
        assert "wssgate_serial is half: it has to be a number of gates" in run.result(name_of(host))["msg"]
        assert run.stats(name_of(host))["changed"] == 0


def roll(scratch: Path, tasks: str, **variables: object) -> Run:
    """Run playbook roll with a file of tasks."""
    path = scratch / "tasks.yml"
    path.write_text(tasks)
    return run_playbook("wssgate.nginx.roll", scratch, roll_tasks=str(path), **variables)


def test_roll_drains_a_gate_does_what_it_is_told_and_goes_on_to_the_next(gates, tmp_path):
    noted = "(ls /etc/nginx/wssgate.drain && date +%s%N) > /run/rolled"
    run = roll(tmp_path, f"- ansible.builtin.shell: {noted}", roll_restart=True, drain_interval=1)
    assert run.returncode == 0, run.text
    times = []
    for host in gates:
        flag, when = host.file("/run/rolled").content_string.split()
        assert flag == "/etc/nginx/wssgate.drain" and not host.file(flag).exists
        assert host.service("nginx").is_running
        times.append(int(when))
        host.check_output("rm /run/rolled")
    # Not before the first one was back: a restart and two looks take longer than a blink.
    assert times[1] - times[0] > 5e8


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        # Fails, and leaves the gate as it was.
        ("- ansible.builtin.command: /bin/false", "non-zero return code"),
        (
            "- ansible.builtin.shell: cp -a /etc/nginx/wssgate.d /root/kept"
            " && sed -i 's/return 403/return 500/' /etc/nginx/wssgate.d/*.* && nginx -s reload && sleep 1",
            "/wss answered 403 before and 500 now. The gates after it were left alone.",
        ),
    ],
)
def test_roll_stops_at_the_first_gate_that_is_worse_and_has_it_take_sessions_again(gates, tmp_path, tasks, told):
    before = gates[1].check_output(LIVE)
    run = roll(tmp_path, tasks)
    try:
        assert run.returncode != 0 and told in run.text, run.text
        assert not gates[0].file("/etc/nginx/wssgate.drain").exists
        assert gates[1].check_output(LIVE) == before
    finally:
        put_back = "[ ! -d /root/kept ] || { rm -r /etc/nginx/wssgate.d && mv /root/kept /etc/nginx/wssgate.d; }"
        gates[0].check_output(f"{put_back}; nginx -s reload")


def test_roll_is_told_what_to_do(gates, tmp_path):
    for variables, told in (
        ({}, "Say what to do on each gate"),
        ({"roll_restart": True, "roll_serial": 0}, "roll_serial is 0"),
        ({"roll_tasks": "tasks.yml"}, "it has to be the absolute path of a file with tasks"),
    ):
        run = run_playbook("wssgate.nginx.roll", tmp_path, **variables)
        assert run.returncode != 0 and told in run.text, run.text
