# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus scrapes of the hosts of an inventory: jobs, and targets with the names of their hosts."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _metrics_port, _role_variables

GROUPS = {group: kind for kind, group in _metrics_port.GROUPS.items()}
# Those of a gate, the option that switches each on, and whether it is on where metrics are.
GATE_SOURCES = {
    "log": "monitoring_enabled",
    "agent": "monitoring_enabled",
    "nginx": "monitoring_nginx_exporter_enabled",
    "node": "monitoring_node_exporter_enabled",
}
VARIABLES = (
    "ansible_host",
    "monitoring_enabled",
    "monitoring_listen",
    "monitoring_balancer_listen",
    "monitoring_hub_listen",
    "monitoring_nginx_exporter_enabled",
    "monitoring_node_exporter_enabled",
    "monitoring_scrape_address",
    "monitoring_scrape_exporter_port",
)
# Of a name or an address; anything else would be something else in the file of Prometheus, too.
_HOST = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<![.-])")

Host = t.Tuple[str, t.Mapping[str, t.Any]]


class ScrapeError(Exception):
    """What is wrong with the variables of a host."""


def jobs(gates: t.Sequence[Host], others: t.Mapping[str, t.Sequence[Host]]) -> t.List[t.Dict[str, t.Any]]:
    """The jobs that have targets, of gates and of the hosts of other groups, each host with its variables."""
    found: t.List[t.Dict[str, t.Any]] = []
    for source, switch in GATE_SOURCES.items():
        targets = [
            _target(name, given, _first_port(name, given, "monitoring_listen"))
            for name, given in gates
            if _typed(name, given, "monitoring_enabled") and _typed(name, given, switch)
        ]
        found.append({"name": f"wssgate_{source}", "path": f"/metrics/{source}", "targets": targets})
    for group, source in GROUPS.items():
        ports = [(name, given, _port_of(source, name, given)) for name, given in others.get(group, ())]
        targets = [_target(name, given, port) for name, given, port in ports if port]
        found.append({"name": f"wssgate_{source}", "path": "/metrics", "targets": targets})
    return [job for job in found if job["targets"]]


def _value(given: t.Mapping[str, t.Any], name: str) -> t.Any:
    value = given.get(name)
    return _role_variables.default_of(name) if value is None else value


def _typed(host: str, given: t.Mapping[str, t.Any], name: str) -> t.Any:
    problems: t.List[str] = []
    value = _role_variables.typed(_value(given, name), _role_variables.options_of("monitoring")[name], name, problems)
    if problems:
        raise ScrapeError(f"{host}: {'; '.join(problems)}")
    return value


def _port_of(kind: str, host: str, given: t.Mapping[str, t.Any]) -> t.Any:
    """The port of a balancer or a hub, that of the operator's own exporter where there is one; 0 for none."""
    own = _typed(host, given, "monitoring_scrape_exporter_port")
    if own or not _typed(host, given, "monitoring_enabled"):
        return own
    listen = {name: _typed(host, given, name) for name in (f"monitoring_{kind}_listen", "monitoring_listen")}
    return _first_port(host, given, _metrics_port.listen_name(kind, listen))


def _first_port(host: str, given: t.Mapping[str, t.Any], name: str) -> t.Any:
    listeners = _typed(host, given, name)
    first = listeners[0] if isinstance(listeners, (list, tuple)) and listeners else None
    if not isinstance(first, t.Mapping) or "port" not in first:
        raise ScrapeError(f"{host}: {name} has no port; it must be a list such as [{{port: 9443}}]")
    return first["port"]


def _target(host: str, given: t.Mapping[str, t.Any], port: t.Any) -> t.Dict[str, str]:
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ScrapeError(f"{host}: {port} is no port that Prometheus could scrape; it must be 1 to 65535")
    address = str(given.get("monitoring_scrape_address") or given.get("ansible_host") or host).strip("[]")
    try:
        if ipaddress.ip_address(address).version == 6:
            return {"instance": host, "address": f"[{address}]:{port}"}
    except ValueError:
        if not _HOST.fullmatch(address):
            raise ScrapeError(
                f"{host}: {address!r} is no name and no address; set monitoring_scrape_address to one"
            ) from None
    return {"instance": host, "address": f"{address}:{port}"}
