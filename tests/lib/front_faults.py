# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks a balancer and a hub in truth, by the alerts that have to tell of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import Connection
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import acl

from . import local_hub, pki
from .local_balancer import LocalBalancer
from .local_gate import GateCopy, LocalGate, free_port
from .local_hub import LocalHub
from .monitored_hub import PASSWORD, USER, VARIABLES, MonitoredHub
from .processes import wait_for

NAME = "gate.example.com"
GATES = ("gate1", "gate2")
ADDRESSES = ("127.0.0.3", "127.0.0.4")
BALANCER = "127.0.0.9"
HUBS = ("hub1", "hub2", "hub3")
# Somebody who may all, which no operator is: a user that the role does not have.
ADMIN, ADMIN_PASSWORD = "admin", "an-administrator-of-the-test"
ADMIN_LINE = f"user {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all"
# The least that token_hub_memory may be.
MEMORY = 16 * 1024 * 1024
STREAM = keys.issue("main", "app")


class FrontSite:
    """A balancer in front of two gates, and a hub of three servers, with the metrics of all of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._stack = contextlib.ExitStack()
        authority = pki.issue("authority of the fleet", ca=True)
        identity = pki.issue("localhost", authority, ["localhost"])
        self.authority, self._pair = authority.pem, identity.pem + identity.key_pem
        self.balancer_metrics = free_port()
        self.servers: list[LocalHub] = []
        self.hubs: list[MonitoredHub] = []

    def __enter__(self) -> FrontSite:
        try:
            self._start_gates()
            self._start_balancer()
            self._start_hubs()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_gates(self) -> None:
        self.gate_port = free_port()
        gate = LocalGate([])
        location = {"path": "/wss", "upstream": "http://127.0.0.1:9", "origins": [f"https://{NAME}"]}
        gate.variables |= {
            "wss_proxy_certificates": [gate.certificate()],
            "wss_proxy_balancers": [BALANCER],
            "wss_proxy_servers": [
                {
                    "name": "wss",
                    "server_names": [NAME],
                    "certificate": "gate",
                    "listen": [{"address": ADDRESSES[0], "port": self.gate_port, "proxy_protocol": True}],
                    "locations": [location],
                }
            ],
        }
        self._stack.enter_context(gate)
        copy = gate.copy(lambda _name, text: text.replace(*ADDRESSES), {})
        self.gates: tuple[LocalGate, GateCopy] = (gate, self._stack.enter_context(copy))

    def _start_balancer(self) -> None:
        ca_path = self.gates[0].etc / "certificates/gate/fullchain.pem"
        service = {"gate_port": self.gate_port, "server_name": NAME, "path": "/wss", "ca_source": str(ca_path)}
        self.balancer = LocalBalancer(
            BALANCER,
            balancer_services=[{"name": "wss", "port": free_port(), **service}],
            balancer_gates=[{"name": name, "address": address} for name, address in zip(GATES, ADDRESSES, strict=True)],
            balancer_check_interval=1,
            balancer_check_fall=1,
            balancer_check_rise=1,
            balancer_slow_start=0,
            balancer_max_connections=2000,
            monitoring_listen=[{"port": self.balancer_metrics}],
            **VARIABLES,
        )
        self.balancer.pair = self._pair.decode()
        self._stack.enter_context(self.balancer)
        for name in GATES:
            self.balancer.await_state(name, "up")

    def _start_hubs(self) -> None:
        self.servers = local_hub.make(
            self.root / "hub", 3, extra_users=[ADMIN_LINE], token_hub_memory=MEMORY, **VARIABLES
        )
        for server in self.servers:
            self._stack.callback(server.stop)
            server.start()
        for name, server in zip(HUBS, self.servers, strict=True):
            server.connect("monitor").close()
            hub = MonitoredHub(server, self.root / f"metrics-{name}", self._pair)
            self.hubs.append(self._stack.enter_context(hub))
        wait_for(lambda: self.replicas() == 2)

    # -- what a monitor has to know

    def hosts(self) -> dict[str, Any]:
        """The inventory's groups."""
        hubs = {
            name: {"monitoring_hub_listen": [{"port": hub.port}]} for name, hub in zip(HUBS, self.hubs, strict=True)
        }
        balancer = {"monitoring_listen": [{"port": self.balancer_metrics}]}
        return {
            "wss_balancers": {"hosts": {"front1": balancer}},
            "wss_hubs": {"hosts": hubs},
            "wss_monitors": {"hosts": {"monitor1": {}}},
        }

    def variables(self) -> dict[str, Any]:
        """Those of all hosts."""
        return {
            **VARIABLES,
            "ansible_host": "localhost",
            "monitoring_scrape_username": USER,
            "monitoring_scrape_password": PASSWORD,
            "monitoring_scrape_ca_source": "/srv/ca.pem",
        }

    def files(self) -> dict[str, bytes]:
        """What the role puts beside Prometheus's configuration."""
        return {"ca.pem": self.authority, "password": PASSWORD.encode()}

    # -- what breaks

    def drain(self) -> None:
        for gate in self.gates:
            (gate.etc / "wssgate.drain").touch()

    def undrain(self) -> None:
        for gate in self.gates:
            (gate.etc / "wssgate.drain").unlink()

    def stop_balancer(self) -> None:
        self.balancer.stop()

    def start_balancer(self) -> None:
        self.balancer.apply()

    def admin(self, server: LocalHub) -> Connection:
        return Connection(server.endpoint(ADMIN, ADMIN_PASSWORD))

    def replicas(self) -> int:
        """How many the primary has."""
        with contextlib.closing(self.admin(self.servers[0])) as connection:
            return str(connection.ask("INFO", "replication")).count("state=online")

    def kill_server(self) -> None:
        self.servers[2].kill()

    def start_server(self) -> None:
        self.servers[2].start()

    def shut_out_replica(self) -> None:
        """The last one lets go of its primary, whose password for replicas is another one now."""
        with contextlib.closing(self.admin(self.servers[2])) as connection:
            connection.ask("CONFIG", "SET", "masterauth", "what-is-not-the-password")
        with contextlib.closing(self.admin(self.servers[0])) as connection:
            connection.ask("CLIENT", "KILL", "TYPE", "replica")

    def let_replica_in(self) -> None:
        with contextlib.closing(self.admin(self.servers[2])) as connection:
            connection.ask("CONFIG", "SET", "masterauth", self.servers[2].password(acl.REPLICA))

    def fill_hub(self) -> None:
        """An application issues far more than it should."""
        issuer = keys.issuer_user("app")
        with contextlib.closing(Connection(self.servers[0].endpoint(issuer))) as connection:
            for _number in range(int(MEMORY * 0.84) // 262144 - 6):
                connection.ask("XADD", STREAM, "*", "filler", "x" * 240000)

    def trim_hub(self) -> None:
        """As a gate does."""
        with contextlib.closing(Connection(self.servers[0].endpoint("gate-one"))) as connection:
            connection.ask("XTRIM", STREAM, "MAXLEN", "0")


@dataclass(frozen=True)
class Fault:
    """`alerts` have to fire by it, on these hosts, and no other may."""

    name: str
    alerts: frozenset[tuple[str, str]]
    begin: Callable[[FrontSite], object]
    repair: Callable[[FrontSite], object]


def _on(alert: str, *hosts: str) -> frozenset[tuple[str, str]]:
    return frozenset((alert, host) for host in hosts)


FAULTS = (
    Fault(
        "a gate is down",
        _on("WssgateBalancerServerDown", "front1"),
        lambda site: site.gates[1].stop(),
        lambda site: site.gates[1].start(),
    ),
    Fault(
        "all gates are drained",
        _on("WssgateBalancerWithoutGates", "front1"),
        lambda site: site.drain(),
        lambda site: site.undrain(),
    ),
    Fault(
        "the balancer is down",
        _on("WssgateNotScraped", "front1"),
        lambda site: site.stop_balancer(),
        lambda site: site.start_balancer(),
    ),
    Fault(
        "a server of the hub is killed",
        _on("WssgateHubServerAway", "hub3"),
        lambda site: site.kill_server(),
        lambda site: site.start_server(),
    ),
    Fault(
        "a replica has lost its primary",
        _on("WssgateHubServerAway", "hub3"),
        lambda site: site.shut_out_replica(),
        lambda site: site.let_replica_in(),
    ),
    Fault(
        "the hub is nearly full",
        _on("WssgateHubNearlyFull", *HUBS),
        lambda site: site.fill_hub(),
        lambda site: site.trim_hub(),
    ),
    Fault(
        "what serves the hub's metrics is down",
        _on("WssgateNotScraped", "hub2"),
        lambda site: site.hubs[1].stop_front(),
        lambda site: site.hubs[1].start_front(),
    ),
)
