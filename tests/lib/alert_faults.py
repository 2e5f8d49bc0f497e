# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks a gate in truth, by the alerts that have to tell of it: how a fault begins, goes on and is repaired."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release

from . import load, wire
from .alerting import Watch
from .hub_server import HubServer
from .local_gate import free_port
from .monitored_gate import NAME, PASSWORD, USER, MonitoredGate
from .processes import start, wait_for

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "/etc/prometheus/wssgate"
INSTANCE = "gate1"
TOKEN, REMOVED, UNKNOWN = "Token-that-is-good-00001", "Token-that-is-removed-01", "Token-of-nobody-at-all-01"
# So few that a test can fill the gate.
SESSIONS = 20
PATIENCE = 60.0
# Time between two requests of clients
PULSE = 0.1


class Site:
    """A gate that follows a hub, its upstreams, and what breaks them."""

    def __init__(self, root: Path) -> None:
        self.ports = {name: free_port() for name in ("app", "steady")}
        common = {"auth": "token", "origins": ["https://app.example.com"], "allow_missing_origin": True}
        locations = [
            {"path": f"/{name}", "upstream": f"http://127.0.0.1:{self.ports[upstream]}", **common}
            for name, upstream in (("app", "app"), ("steady", "steady"), ("guessed", "steady"), ("closed", "steady"))
        ]
        self.gate = MonitoredGate(locations, ["soon", "ends"], nginx_sessions=SESSIONS)
        self.gate.issue(TOKEN)
        self.hub = HubServer(root / "hub", [INSTANCE], {"app": Rules(3600, ("client-",), 1000)})
        self._upstreams: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = contextlib.ExitStack()
        self.root = root
        self._crowd = contextlib.ExitStack()
        self._held: list[wire.Session] = []
        self._owed: wire.Session | None = None

    def __enter__(self) -> Site:
        try:
            for name in self.ports:
                self.start_upstream(name)
            self._stack.callback(lambda: [self.stop_upstream(name) for name in list(self._upstreams)])
            self._stack.callback(self.hub.kill)
            self.hub.start()
            text = settings.text_of(self.hub.settings_of(INSTANCE))
            file = self.gate.agent.state / settings.NAME
            file.write_text(text)
            file.chmod(0o600)
            self._stack.callback(release, str(self.gate.session_log))
            self._stack.enter_context(self.gate)
            self._stack.callback(self._crowd.close)
            wait_for(lambda: "follows the hub" in self.gate.agent.status)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def scrape_configs(self) -> list[dict[str, Any]]:
        """What playbook scrape_config prints for it, with files of this folder."""
        inventory, own = self.root / "inventory.yml", self.root / "scrape"
        own.mkdir()
        chain = self.gate.etc / "certificates/gate/fullchain.pem"
        (own / "ca.pem").write_bytes(chain.read_bytes())
        (own / "password").write_text(PASSWORD)
        hosts = {
            INSTANCE: {"monitoring_enabled": True, "monitoring_scrape_address": "localhost",
                       "monitoring_listen": self.gate.variables["monitoring_listen"]}
        }  # fmt: skip
        variables = {"monitoring_scrape_username": USER, "monitoring_scrape_password": PASSWORD,
                     "monitoring_scrape_ca_source": str(chain)}  # fmt: skip
        inventory.write_text(yaml.safe_dump({"all": {"vars": variables}, "wss_proxies": {"hosts": hosts}}))
        file = self.root / "scrape.yml"
        playbook = ROOT / "playbooks/scrape_config.yml"
        command = ["ansible-playbook", "-i", str(inventory), str(playbook), "-e", f"file={file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return list(yaml.safe_load(file.read_text().replace(FOLDER, str(own)))["scrape_configs"])

    # -- clients

    def ask(self, path: str, token: str = TOKEN) -> wire.Reply:
        request = wire.Request(path, host=NAME).token(token)
        return wire.handshake(wire.Endpoint(port=self.gate.port, server_name=NAME), request)

    def come_and_go(self, path: str, token: str = TOKEN) -> int:
        """Ask once; the status."""
        with self.ask(path, token) as reply:
            return int(reply.status)

    def hold(self, token: str = TOKEN) -> wire.Session:
        reply = self.ask("/steady", token)
        assert reply.status == 101 and reply.session is not None
        return reply.session

    def fill(self, count: int) -> None:
        """Sessions, until :meth:`empty`."""
        target = load.Target(self.gate.port, path="/steady", cookie=f"AUTH={TOKEN}", name=NAME)
        self._crowd.enter_context(load.crowd(target))(count)

    def empty(self) -> None:
        self._crowd.close()

    # -- what breaks

    def start_upstream(self, name: str) -> None:
        self._upstreams[name] = start("echo_server", "--echo", f"127.0.0.1:{self.ports[name]}")

    def stop_upstream(self, name: str) -> None:
        process = self._upstreams.pop(name)
        process.kill()
        process.communicate()

    def certificate(self, name: str, days: int) -> None:
        self.gate.lasting(name, days)
        self.gate.reload()

    def change_configuration(self) -> None:
        """Somebody changes a file, and reloads nothing."""
        (self.gate.etc / "conf.d" / "changed.conf").write_text(f"# {time.time()}\n")

    def owe(self) -> None:
        """A token is taken away, and what closes its sessions fails."""
        self.gate.issue(REMOVED)
        self._owed = self.hold(REMOVED)
        self.gate.agent.flag.touch()
        (self.gate.tokens / REMOVED).unlink()

    def settle(self) -> None:
        self.gate.agent.flag.unlink()
        assert self._owed is not None and self._owed.ended(PATIENCE)
        self._owed.close()

    def set_clock(self, seconds: float) -> None:
        _tell(self.gate.skew, seconds)

    def leave_behind(self) -> None:
        """A worker that has to stop keeps a session, and more than a day passes."""
        _tell(self.gate.aged, 25 * 3600)
        self._held.append(self.hold())
        self.gate.reload()

    def catch_up(self) -> None:
        while self._held:
            self._held.pop().close()


def _tell(file: Path, seconds: float) -> None:
    new = file.with_suffix(".new")
    new.write_text(str(seconds))
    os.replace(new, file)


def _nothing(_site: Site) -> None:
    """Nothing goes on."""


@dataclass(frozen=True)
class Fault:
    """`alerts` have to fire by it, `may` can as well. `pulse` is what clients do while it lasts, `after` until all is
    over.
    """

    name: str
    alerts: frozenset[str]
    begin: Callable[[Site], object]
    repair: Callable[[Site], object]
    pulse: Callable[[Site], object] = _nothing
    after: Callable[[Site], object] = _nothing
    may: frozenset[str] = field(default_factory=frozenset)


def _guess(site: Site) -> None:
    assert site.come_and_go("/guessed") == 101
    for _number in range(2):
        assert site.come_and_go("/guessed", UNKNOWN) == 403


def _shut_out(site: Site) -> None:
    for _number in range(3):
        assert site.come_and_go("/closed", UNKNOWN) == 403


def _try_app(site: Site) -> None:
    assert site.come_and_go("/app") in (101, 502)


_SURGE = frozenset({"WssgateRefusalsSurge"})
FAULTS = (
    Fault(
        "a certificate is near its end",
        frozenset({"WssgateCertificateEndsSoon"}),
        lambda site: site.certificate("soon", 10),
        lambda site: site.certificate("soon", 90),
    ),
    Fault(
        "a certificate ends in two days",
        frozenset({"WssgateCertificateEnds"}),
        lambda site: site.certificate("ends", 2),
        lambda site: site.certificate("ends", 90),
        may=frozenset({"WssgateCertificateEndsSoon"}),
    ),
    Fault(
        "more sessions than it has room for",
        frozenset({"WssgateNearlyFull"}),
        lambda site: site.fill(230),
        lambda site: site.empty(),
    ),
    Fault(
        "an old worker stays",
        frozenset({"WssgateOldWorkers"}),
        lambda site: site.leave_behind(),
        lambda site: site.catch_up(),
    ),
    Fault(
        "the clock is off",
        frozenset({"WssgateClockOff"}),
        lambda site: site.set_clock(120),
        lambda site: site.set_clock(0),
    ),
    Fault(
        "the configuration is changed and not live",
        frozenset({"WssgateConfigurationNotLive"}),
        lambda site: site.change_configuration(),
        lambda site: site.gate.reload(),
    ),
    Fault(
        "the hub is away", frozenset({"WssgateHubBehind"}), lambda site: site.hub.kill(), lambda site: site.hub.start()
    ),
    Fault(
        "the upstream is dead",
        frozenset({"WssgateUpstreamDown"}),
        lambda site: site.stop_upstream("app"),
        lambda site: site.start_upstream("app"),
        pulse=_try_app,
        after=_try_app,
        may=_SURGE | {"WssgateNobodyAccepted"},
    ),
    Fault("somebody guesses tokens", _SURGE, _nothing, _nothing, pulse=_guess),
    Fault(
        "everybody is refused",
        frozenset({"WssgateNobodyAccepted"}),
        _nothing,
        _nothing,
        pulse=_shut_out,
        after=lambda site: site.come_and_go("/closed"),
        may=_SURGE,
    ),
    Fault(
        "sessions cannot be ended",
        frozenset({"WssgateSessionsOwed"}),
        lambda site: site.owe(),
        lambda site: site.settle(),
    ),
    Fault(
        "the agent hangs",
        frozenset({"WssgateAgentSilent"}),
        lambda site: site.gate.agent.stop(),
        lambda site: site.gate.agent.go_on(),
    ),
    Fault(
        "the gate is down",
        frozenset({"WssgateNotScraped"}),
        lambda site: site.gate.stop(),
        lambda site: site.gate.start(),
    ),
)


def at_rest(site: Site, watch: Watch) -> None:
    """Until all is scraped, and nothing is to be told of a gate that works."""
    watch.until(lambda: watch.number("wssgate_hub_connected") == 1, PATIENCE, lambda: "nothing is scraped")
    watch.until(lambda: watch.number('up{job=~"wssgate_.+"}') == 2, PATIENCE, lambda: "not all is scraped")
    for path in ("/app", "/steady", "/guessed", "/closed"):
        assert site.come_and_go(path) == 101
    # At the first scrape nothing has changed yet.
    watch.until(lambda: not watch.alerts(), PATIENCE, lambda: "a healthy gate has alerts")
    assert watch.fired.names() == set()


class Ledger:
    """Faults that are under way, and what they have to bring about."""

    def __init__(self, site: Site, watch: Watch) -> None:
        self.site, self.watch = site, watch
        self.broken: list[Fault] = []
        self.repaired: list[Fault] = []
        self.must: set[str] = set()
        self.may: set[str] = set()

    def begin(self, *faults: Fault) -> None:
        for fault in faults:
            fault.begin(self.site)
            self.broken.append(fault)
            self.must |= fault.alerts
            self.may |= fault.alerts | fault.may

    def turn(self) -> None:
        """Clients come, and what has been told of is repaired."""
        told = {name for name, _labels in self.watch.fired.times()}
        for fault in list(self.broken):
            if fault.alerts <= told:
                fault.repair(self.site)
                self.broken.remove(fault)
                self.repaired.append(fault)
            else:
                fault.pulse(self.site)
        for fault in self.repaired:
            fault.after(self.site)
        time.sleep(PULSE)

    def until_over(self, *faults: Fault, seconds: float = PATIENCE) -> None:
        """Until all alerts of the faults have fired, and are over since they were repaired."""

        def is_over() -> bool:
            self.turn()
            wanted = set().union(*(fault.alerts for fault in faults))
            return not set(faults) & set(self.broken) and wanted <= self.watch.fired.names(is_over=True)

        self.watch.until(is_over, seconds, lambda: f"broken: {[fault.name for fault in self.broken]}")
        self.repaired = [fault for fault in self.repaired if fault not in faults]

    def judge(self) -> None:
        """Each fired once and is over, and no other one fired."""
        times = self.watch.fired.times()
        assert self.must <= {name for name, _labels in times} <= self.may, times
        assert {key: one for key, one in times.items() if one != [True]} == {}
        assert {dict(labels).get("instance", INSTANCE) for _name, labels in times} == {INSTANCE}
