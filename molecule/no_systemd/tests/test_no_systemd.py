# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate where no systemd runs: it works, it reloads, and a host that starts again gets it back."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from support import wire

TOKEN = "no-systemd_token-0123456789"


@pytest.fixture
def endpoint(gate):
    return wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com")


@pytest.fixture
def knock(host):
    host.check_output(f"touch /var/lib/nginx/tokens/{TOKEN}")
    yield wire.Request(host="wcs.example.com").origin("https://app.example.com").token(TOKEN)
    host.run(f"rm -f /var/lib/nginx/tokens/{TOKEN}")


def processes(host):
    """The master and its workers."""
    return host.check_output("cat /run/nginx.pid"), set(host.check_output("pgrep -f '^nginx: worker process$'").split())


def play(host) -> str:
    """The site playbook on this host alone, with one setting other than converge had it."""
    name = host.backend.get_pytest_id().rpartition("://")[2]
    inventory = os.environ.get("MOLECULE_INVENTORY_FILE")
    assert inventory, "run this through molecule, or set MOLECULE_INVENTORY_FILE"
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", inventory, "--limit", name, "-e", "nginx_keepalive_timeout=66",
         "wssgate.nginx.site"],
        env=dict(os.environ, ANSIBLE_FORCE_COLOR="0"), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


def test_the_first_process_is_no_systemd(host):
    assert host.check_output("cat /proc/1/comm") in ("sleep", "tail")
    assert not host.file("/run/systemd/system").exists


def test_a_token_opens_the_gate_and_nothing_else_does(endpoint, knock):
    with wire.handshake(endpoint, knock) as reply:
        assert reply.upgraded
        assert reply.session.echo("hello") == "hello"
    assert wire.handshake(endpoint, knock.without("Cookie")).status == 403


def test_there_is_one_nginx_and_its_init_script_knows_it(host):
    assert host.check_output("pgrep -fc '^nginx: master'") == "1"
    assert host.run("service nginx status").rc == 0


def test_nothing_was_written_for_systemd(host):
    assert not host.file("/etc/systemd/system/nginx.service.d/wssgate.conf").exists


def test_a_change_is_live_by_a_reload_that_no_session_notices(host, endpoint, knock):
    with wire.handshake(endpoint, knock) as held:
        master, workers = processes(host)
        said = play(host)
        assert "without systemd" in said
        now_master, now_workers = processes(host)
        assert now_master == master
        assert now_workers
        assert not now_workers & workers
        assert held.session.echo("still here") == "still here"
    with wire.handshake(endpoint, knock) as reply:
        assert reply.upgraded


def test_a_second_run_changes_nothing_and_reloads_nothing(host):
    if "debian12" in host.backend.get_pytest_id():
        pytest.skip("nothing in it depends on the system; once is enough")
    before = processes(host)
    assert "changed=0 " in play(host)
    assert processes(host) == before


def test_the_next_run_starts_an_nginx_that_is_gone(host, endpoint, knock):
    # Not by its init script, which waits in vain for the first process to bury the master.
    host.check_output("kill -TERM $(cat /run/nginx.pid)")
    deadline = time.monotonic() + 10
    while host.run("pgrep -f '^nginx: '").rc == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "changed=1 " in play(host)
    with wire.handshake(endpoint, knock) as reply:
        assert reply.upgraded
