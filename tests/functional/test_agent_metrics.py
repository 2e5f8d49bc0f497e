# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent writes for Prometheus, beside a real nginx: to the unit, whatever restarts and is read anew."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.metrics import VERSION
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import shorten
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release

from lib import wire
from lib.agent_process import AgentProcess
from lib.local_gate import LocalGate, free_port
from lib.mtail import Labels, samples
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

NAME, OTHER = "gate.example.com", "other.example.com"
ORIGIN = "https://app.example.com"
TOKEN, REMOVED, UNKNOWN = "Token-that-is-counted-01", "Token-that-is-removed-01", "Token-of-nobody-at-all-01"
LIBRARY = "/usr/lib/python3/dist-packages"
# What takes 15 seconds on a host takes moments here.
PRELUDE = """
sys.path.append({library!r})
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import duty, metrics
duty.FAILURE_PAUSES = (0.2,)
metrics.WRITE_PAUSE, metrics.WRITE_EVERY, metrics.LOOK_PAUSE, metrics.LOOK_SHARE = 0.1, 0.5, 0.2, 1.0
"""


class Site:
    def __init__(self, root: Path, gate: LocalGate, port: int, web: str) -> None:
        self.gate, self.port, self.web = gate, port, web
        self.file = root / "metrics" / "agent.prom"
        self.file.parent.mkdir()
        # The one package and what it needs, and not all that this machine has.
        library = root / "library"
        library.mkdir()
        for name in ("prometheus_client", "decorator.py"):
            (library / name).symlink_to(f"{LIBRARY}/{name}")
        self.agent = AgentProcess(
            root / "agent",
            gate.tokens,
            gate.session_log,
            options=[
                "--metrics", str(self.file), "--nginx-main", str(gate.etc / "nginx.conf"),
                "--nginx-binary", gate.binary, "--nginx-pid", str(gate.pid_path),
                "--drain-file", str(gate.etc / "wssgate.drain"),
            ],
            prelude=PRELUDE.format(library=str(library)),
        )  # fmt: skip

    def metrics(self) -> dict[tuple[str, Labels], float]:
        with contextlib.suppress(FileNotFoundError):
            return samples(self.file.read_text())
        return {}

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of those with these labels; None where there is none."""
        found = [
            value for (one, its), value in self.metrics().items()
            if one == f"wssgate_{name}" and labels.items() <= dict(its).items()
        ]  # fmt: skip
        return sum(found) if found else None

    def becomes(self, value: float | None, name: str, **labels: str) -> None:
        try:
            wait_for(lambda: self.value(name, **labels) == value, 15)
        except AssertionError:
            pytest.fail(f"{name} {labels} is {self.value(name, **labels)}, not {value}; {self.agent.words()}")

    def ask(self, path: str = "/wss", token: str = TOKEN, name: str = NAME) -> wire.Reply:
        request = wire.Request(path, host=name).token(token)
        return wire.handshake(wire.Endpoint(port=self.port, tls=False), request)

    def open(self, count: int = 1, **how: str) -> list[wire.Session]:
        sessions = []
        for _number in range(count):
            reply = self.ask(**how)
            assert reply.status == 101 and reply.session is not None
            sessions.append(reply.session)
        return sessions

    def come_and_go(self, count: int = 1, **how: str) -> None:
        for session in self.open(count, **how):
            session.close()

    def is_refused(self, status: int, **how: str) -> None:
        with self.ask(**how) as reply:
            assert reply.status == status


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port, tls, web, nobody = (free_port() for _number in range(4))
    gate = LocalGate([], token_store_pruner="agent")
    common = {"auth": "token", "origins": [ORIGIN], "allow_missing_origin": True}
    locations = [
        {"path": "/wss", "upstream": f"http://127.0.0.1:{web}", **common},
        {"path": "/dead", "upstream": f"http://127.0.0.1:{nobody}", **common},
    ]
    listen = {"address": "127.0.0.1", "port": port, "tls": False}
    gate.variables |= {
        "wss_proxy_certificates": [gate.certificate(names=(NAME,))],
        "wss_proxy_servers": [
            {"name": "plain", "server_names": [NAME], "listen": [listen], "locations": locations},
            {"name": "other", "server_names": [OTHER], "listen": [listen], "locations": locations[:1]},
            {
                "name": "tls",
                "server_names": [NAME],
                "listen": [{"address": "127.0.0.1", "port": tls}],
                "certificate": "gate",
                "locations": locations[:1],
            },
        ],
    }
    gate.issue(TOKEN)
    with running("echo_server", "--web", f"127.0.0.1:{web}"), gate:
        site = Site(tmp_path_factory.mktemp("site"), gate, port, f"127.0.0.1:{web}")
        with site.agent:
            yield site


@pytest.fixture
def agent(site: Site) -> Iterator[AgentProcess]:
    if not site.agent.is_running:
        site.agent.start()
    yield site.agent
    (site.gate.etc / "wssgate.drain").unlink(missing_ok=True)


def test_sessions_are_counted_once_whatever_is_read_anew(site: Site, agent: AgentProcess) -> None:
    passed = {"server": NAME, "location": "/wss", "status": "101"}
    before = site.value("handshakes_total", **passed) or 0
    held = site.open(2)
    site.come_and_go(3)
    site.is_refused(502, path="/dead")
    site.is_refused(403, token=UNKNOWN)
    site.becomes(before + 5, "handshakes_total", **passed)
    site.becomes(2, "sessions", server=NAME, location="/wss", upstream=site.web)
    # Of the other server
    held += site.open(1, name=OTHER)
    site.becomes(1, "handshakes_total", server=OTHER)
    site.becomes(1, "sessions", server=OTHER)

    agent.kill()
    held += site.open(1)
    site.come_and_go(2)
    site.is_refused(502, path="/dead")
    agent.start()
    site.becomes(before + 8, "handshakes_total", **passed)

    # Shortened, which leaves the lines of open sessions, rotated, and read anew by another agent
    assert shorten(str(site.gate.session_log), 0) != "kept"
    site.come_and_go(1)
    site.becomes(before + 9, "handshakes_total", **passed)
    release(str(site.gate.session_log))
    site.gate.session_log.rename(site.gate.session_log.with_name("sessions.log.1"))
    site.gate.signal(signal.SIGUSR1)
    wait_for(site.gate.session_log.exists)
    site.come_and_go(1)
    site.becomes(before + 10, "handshakes_total", **passed)
    os.kill(agent.pid, signal.SIGTERM)
    agent.wait()
    agent.start()
    site.come_and_go(1)
    site.becomes(before + 11, "handshakes_total", **passed)
    site.becomes(3, "sessions", server=NAME, location="/wss")
    assert site.value("handshakes_total", location="/dead") in (None, 0)
    for session in held:
        session.close()
    site.becomes(0, "sessions", server=NAME)


def test_what_ended_has_a_cause_and_tokens_have_kinds(site: Site, agent: AgentProcess) -> None:
    site.gate.issue(REMOVED)
    site.becomes(2, "tokens", kind="touched")
    before = site.value("sessions_ended_total", cause="removed") or 0
    sessions = site.open(3, token=REMOVED)
    (site.gate.tokens / REMOVED).unlink()
    site.becomes(before + 3, "sessions_ended_total", cause="removed")
    site.becomes(1, "tokens", kind="touched")
    site.becomes(0, "sessions_owed")
    for session in sessions:
        session.close()


def test_a_reload_a_change_on_the_disk_and_a_drain_show(site: Site, agent: AgentProcess) -> None:
    site.becomes(1, "configuration_live")
    site.becomes(0, "draining")
    (session,) = site.open(1)
    site.gate.reload()
    site.becomes(1, "old_workers")
    site.becomes(1, "old_workers_sessions")
    assert (site.value("old_worker_age_seconds") or 0) > 0
    site.becomes(1, "upstream_ports", upstream=site.web)
    site.becomes(2, "connections")
    session.close()
    site.becomes(0, "old_workers")

    (site.gate.etc / "wssgate.drain").touch()
    site.becomes(1, "draining")
    (site.gate.etc / "conf.d" / "new.conf").write_text("# new\n")
    site.becomes(0, "configuration_live")
    site.gate.reload()
    site.becomes(1, "configuration_live")


def test_limits_certificates_and_the_agent_itself(site: Site, agent: AgentProcess) -> None:
    site.becomes(1, "agent_info", version=VERSION)
    wait_for(lambda: site.value("descriptors"), 15)
    found = site.metrics()
    path = str(site.gate.etc / "certificates/gate")
    (certificate,) = [dict(labels)["certificate"] for name, labels in found if "certificate_not_after" in name]
    assert certificate.startswith(path)
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", certificate], capture_output=True, text=True, check=True
    ).stdout
    end = ssl.cert_time_to_seconds(text.strip().partition("=")[2])
    assert found["wssgate_certificate_not_after_timestamp_seconds", (("certificate", certificate),)] == end
    assert 0 < found["wssgate_descriptors", ()] < found["wssgate_descriptors_limit", ()]
    assert found["wssgate_connections_limit", ()] >= 800
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert found["wssgate_upstream_ports_limit", ()] == int(last) - int(first) + 1
    assert abs(found["wssgate_agent_last_turn_timestamp_seconds", ()] - time.time()) < 10
    # No client, token or host as sent
    values = {value for _name, labels in found for _label, value in labels}
    assert not values & {TOKEN, REMOVED, UNKNOWN, "127.0.0.1"}


def test_a_path_that_is_no_utf8_ends_no_agent(site: Site, agent: AgentProcess) -> None:
    other = site.gate.etc / "conf.d" / "latin.conf"
    other.write_bytes(b"server { listen 127.0.0.1:9; ssl_certificate /srv/caf\xe9.pem; }\n")
    try:
        site.becomes(0, "certificate_not_after_timestamp_seconds", certificate="/srv/caf\\\\udce9.pem")
        assert agent.is_running
    finally:
        other.unlink()


def test_it_is_whole_whenever_it_is_read_and_for_those_who_may_read_it(site: Site, agent: AgentProcess) -> None:
    site.becomes(1, "agent_info")
    seen = set()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert site.value("agent_info") == 1
        seen.add(site.file.stat().st_ino)
    assert len(seen) > 1
    assert site.file.stat().st_mode & 0o777 == 0o644
    assert site.file.with_name("agent.prom.state").stat().st_mode & 0o777 == 0o600


def test_without_the_library_it_says_so_and_ends_tokens_all_the_same(site: Site, tmp_path: Path) -> None:
    library = site.file.parent.parent / "library" / "prometheus_client"
    if site.agent.is_running:
        site.agent.kill()
    site.file.unlink(missing_ok=True)
    target = library.readlink()
    library.unlink()
    try:
        site.gate.issue(REMOVED)
        site.agent.start()
        wait_for(lambda: "python3-prometheus-client" in site.agent.status, 10)
        (session,) = site.open(1, token=REMOVED)
        (site.gate.tokens / REMOVED).unlink()
        assert session.ended(10)
        assert not site.file.exists()
    finally:
        site.agent.kill()
        library.symlink_to(target)


def test_a_link_in_the_place_of_the_file_is_refused(
    site: Site, agent: AgentProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.kill()
    unhurried = [part.replace("= 0.1, 0.5, ", "= 3.0, 3.0, ") for part in agent.command]
    assert unhurried != agent.command
    monkeypatch.setattr(agent, "command", unhurried)
    victim = tmp_path / "victim"
    victim.write_text("kept\n")
    site.file.unlink(missing_ok=True)
    site.file.symlink_to(victim)
    agent.start()
    try:
        wait_for(lambda: "agent.prom" in agent.status, 10)
        # It is not over before it is, either: each of these is a turn, most of them between two tries.
        for _ in range(10):
            site.gate.issue(REMOVED)
            time.sleep(0.1)
            (site.gate.tokens / REMOVED).unlink()
            time.sleep(0.1)
            assert "agent.prom" in agent.status and "over: " not in agent.words()
        assert victim.read_text() == "kept\n" and site.file.is_symlink()
    finally:
        site.file.unlink()
    wait_for(lambda: site.file.is_file(), 40)
    wait_for(lambda: "agent.prom" not in agent.status, 10)
