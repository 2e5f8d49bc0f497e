# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate where no systemd runs: it works, it reloads, and a host that starts again gets it back."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lib import wire
from lib.molecule.gate import Gate
from lib.molecule.modules import Run, run_playbook

TOKEN = "no-systemd_token-0123456789"
NAMES = ("wssgate-no_systemd-debian12", "wssgate-no_systemd-debian13")
REQUEST = wire.Request(host="wcs.example.com").origin("https://app.example.com").token(TOKEN)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def handshake(gate: Gate, request: wire.Request = REQUEST) -> wire.Reply:
    return wire.handshake(wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="wcs.example.com"), request)


@contextlib.contextmanager
def let_in(gate: Gate) -> Iterator[None]:
    gate.run("touch", f"/var/lib/nginx/tokens/{TOKEN}")
    yield
    gate.run("rm", "-f", f"/var/lib/nginx/tokens/{TOKEN}")


@dataclass
class Processes:
    master: str
    workers: set[str]

    @classmethod
    def of(cls, gate: Gate) -> Processes:
        return cls(
            gate.run("cat", "/run/nginx.pid").strip(), set(gate.run("pgrep", "-f", "^nginx: worker process$").split())
        )


@dataclass
class Outcome:
    """A run of site.yml over both hosts, and what it made of their nginx."""

    run: Run
    before: dict[str, Processes]
    after: dict[str, Processes]
    # What a session said that was open all the while.
    echoes: dict[str, str]


# Each run is for both hosts at once, because it takes its time. One comes after the other, whichever test asks first.
# The second one asks each host one thing, neither of which depends on the system.


def site(scratch: Path) -> Run:
    """With one setting other than converge had it."""
    run = run_playbook("wssgate.nginx.site", scratch, nginx_keepalive_timeout=66)
    assert run.returncode == 0, run.text[-3000:]
    return run


@functools.cache
def after_a_change(scratch: Path) -> Outcome:
    gates = [Gate(name=name, scratch=scratch) for name in NAMES]
    with contextlib.ExitStack() as stack:
        for gate in gates:
            stack.enter_context(let_in(gate))
        held = {gate.name: stack.enter_context(handshake(gate)) for gate in gates}
        before = {gate.name: Processes.of(gate) for gate in gates}
        run = site(scratch)
        after = {gate.name: Processes.of(gate) for gate in gates}
        return Outcome(run, before, after, {name: reply.session.echo("still here") for name, reply in held.items()})


@functools.cache
def after_an_end(scratch: Path) -> Outcome:
    """The first host is as the run before left it, the nginx of the second is gone."""
    after_a_change(scratch)
    unchanged, ended = (Gate(name=name, scratch=scratch) for name in NAMES)
    before = {unchanged.name: Processes.of(unchanged)}
    # Not by its init script, which waits in vain for the first process to bury the master.
    ended.run("sh", "-c", "kill -TERM $(cat /run/nginx.pid)")
    deadline = time.monotonic() + 10
    while (found := ended.container.exec_run(["pgrep", "-f", "^nginx: "]).exit_code) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # It has looked, and there is none (pgrep(1)).
    assert found == 1
    return Outcome(site(scratch), before, {unchanged.name: Processes.of(unchanged)}, {})


def test_the_first_process_is_no_systemd(host):
    assert host.check_output("cat /proc/1/comm") in ("sleep", "tail")
    assert not host.file("/run/systemd/system").exists


def test_a_token_opens_the_gate_and_nothing_else_does(gate):
    with let_in(gate), handshake(gate) as reply:
        assert reply.upgraded
        assert reply.session.echo("hello") == "hello"
        assert handshake(gate, REQUEST.without("Cookie")).status == 403


def test_there_is_one_nginx_and_its_init_script_knows_it(host):
    assert host.check_output("pgrep -fc '^nginx: master'") == "1"
    assert host.run("service nginx status").rc == 0


def test_nothing_was_written_for_systemd(host):
    assert not host.file("/etc/systemd/system/nginx.service.d/wssgate.conf").exists


def test_a_change_is_live_by_a_reload_that_no_session_notices(gate, scratch):
    outcome = after_a_change(scratch)
    before, after = outcome.before[gate.name], outcome.after[gate.name]
    assert "without systemd" in outcome.run.text
    assert after.master == before.master
    assert after.workers
    assert not after.workers & before.workers
    assert outcome.echoes[gate.name] == "still here"
    with let_in(gate), handshake(gate) as reply:
        assert reply.upgraded


def test_a_second_run_changes_nothing_and_reloads_nothing(scratch):
    outcome, name = after_an_end(scratch), NAMES[0]
    assert outcome.run.stats(name)["changed"] == 0
    assert outcome.after[name] == outcome.before[name]


def test_the_next_run_starts_an_nginx_that_is_gone(scratch):
    gate = Gate(name=NAMES[1], scratch=scratch)
    assert after_an_end(scratch).run.stats(gate.name)["changed"] == 1
    with let_in(gate), handshake(gate) as reply:
        assert reply.upgraded
