# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server by which a scraper reads the host's metrics: a port of its own, TLS, and never open to everybody."""

from __future__ import annotations

import ipaddress
import typing as t

from . import addresses, listeners, tls
from .auth import basic
from .context import Gate
from .patterns import SERVER_NAME

WHERE = "monitoring"
DEFAULTS: t.Dict[str, t.Any] = {
    "listen": [{"port": 9443}],
    "server_names": [],
    "certificate": "",
    "allow_from": [],
    "htpasswd_file": "",
    "client_certificates": {},
    "realm": "metrics",
    # What the agent writes; empty: that path is not there.
    "agent_file": "",
    "nginx_exporter": False,
    "nginx_exporter_port": 9113,
    "node_exporter": False,
}
LISTEN_DEFAULTS: t.Dict[str, t.Any] = {"port": None, "address": ""}
CLIENT_DEFAULTS: t.Dict[str, t.Any] = {"ca_path": "", "crl_path": "", "depth": 1}
# Where role monitoring has what is served, as its vars/main.yml has it, too.
LOG_SOCKET = "/run/wssgate-mtail/mtail.sock"
NODE_SOCKET = "/run/wssgate-node-exporter/node.sock"
# nginx's own counters, for the exporter on this host
STATUS_SOCKET = "/var/lib/nginx/wssgate-status/status.sock"


def read(gate: Gate) -> t.Optional[t.Dict[str, t.Any]]:
    """The server as the template renders it; none where nobody asked for metrics."""
    given = gate.context["metrics"]
    if not given:
        return None
    problems = gate.problems
    options = problems.options(WHERE, given, DEFAULTS)
    server: t.Dict[str, t.Any] = {
        "listeners": _listeners(gate, options["listen"]),
        "server_names": [
            problems.matches(WHERE, "server name", name, SERVER_NAME, "a host name, '*.' and a host name, or '_'")
            for name in problems.items(WHERE, "server_names", options["server_names"])
        ]
        or ["_"],
        "certificates": tls.certificates(gate, WHERE, options["certificate"], True),
        "client_certificates": _client_certificates(gate, options["client_certificates"]),
        "addresses": addresses.read(
            gate, WHERE, "metrics", "the metrics", {"allow_from": options["allow_from"], "deny_from": []}
        ),
        "htpasswd_path": gate.path(WHERE, "htpasswd_file", options["htpasswd_file"]),
        "realm": basic.realm(gate, WHERE, options["realm"]),
        "http2_enabled": False,
        # As where clients show certificates to a gate: a session that was resumed would be as good as it was.
        "tls_resumption": not options["client_certificates"],
        "root": "",
        "agent_file": gate.path(WHERE, "agent_file", options["agent_file"]),
        "upstreams": [{"path": "/metrics/log", "url": f"http://unix:{LOG_SOCKET}:/metrics"}],
        "status_socket": "",
        # Whose own questions the log's reader passes over
        "balancers": [str(ipaddress.ip_address(item.strip("[]"))) for item in listeners.balancers_by_address(gate)[0]],
        # Locations whose sessions the session log does not have, so that the agent cannot count them: the log's reader
        # does when they end. By the name that nginx has for the server.
        "unseen": [
            {"server": other["server_names"][0].lower(), "location": location["path"]}
            for other in gate.servers
            for location in other["locations"]
            if not (
                gate.context["session_log_path"] and (location["session_noted"] or location["token"] or location["jwt"])
            )
        ],
    }
    if problems.flag(WHERE, "nginx_exporter_enabled", options["nginx_exporter"]):
        port = problems.number(WHERE, "nginx_exporter_port", options["nginx_exporter_port"], 1, 65535)
        server["upstreams"].append({"path": "/metrics/nginx", "url": f"http://127.0.0.1:{port}/metrics"})
        server["status_socket"] = STATUS_SOCKET
    if problems.flag(WHERE, "node_exporter_enabled", options["node_exporter"]):
        server["upstreams"].append({"path": "/metrics/node", "url": f"http://unix:{NODE_SOCKET}:/metrics"})
    _check_protection(gate, server, bool(options["allow_from"]))
    _check_ports(gate, server)
    return server


def _listeners(gate: Gate, given: t.Any) -> t.List[t.Dict[str, t.Any]]:
    own = [
        gate.problems.options(here, item, LISTEN_DEFAULTS)
        for here, item in gate.problems.entries(WHERE, "listen", given)
    ]
    return listeners.read(gate, WHERE, own, has_trusted=False)


def _client_certificates(gate: Gate, given: t.Any) -> t.Optional[t.Dict[str, t.Any]]:
    if not given:
        return None
    where = f"{WHERE}, client_certificates"
    return tls.client_certificates(gate, where, gate.problems.options(where, given, CLIENT_DEFAULTS), True)


def _check_protection(gate: Gate, server: t.Mapping[str, t.Any], has_list: bool) -> None:
    """Metrics tell who is refused and how near a limit is: nobody gets them who is neither known nor near."""
    if server["htpasswd_path"] or server["client_certificates"]:
        return
    # Of one version at a time below, which their type cannot tell
    networks: t.List[t.Any] = [ipaddress.ip_network(n) for lists in server["addresses"] for n in lists["networks"]]
    if not has_list:
        gate.problems.add(
            WHERE,
            "metrics would be open to everybody; set monitoring_allow_from to the scraper's addresses, or "
            "monitoring_htpasswd_file, or monitoring_client_certificates",
        )
    for version in (4, 6):
        whole = ipaddress.collapse_addresses(n for n in networks if n.version == version)
        if any(network.prefixlen == 0 for network in whole):
            gate.problems.add(
                WHERE,
                f"monitoring_allow_from is the whole Internet of IPv{version}, which protects nothing; name the "
                "scraper's addresses only, or set monitoring_htpasswd_file or monitoring_client_certificates too",
            )


def _check_ports(gate: Gate, server: t.Mapping[str, t.Any]) -> None:
    """On a port of the gate's own, a name in Host would decide who asks for what."""
    taken: t.Dict[int, str] = {}
    for other in gate.servers:
        name = f"server {other['name']!r}"
        taken.update({entry["port"]: name for entry in other["listeners"]})
        if other["redirect"]:
            taken.setdefault(other["redirect"]["port"], f"the redirect of {name}")
    seen: t.Set[str] = set()
    for entry in server["listeners"]:
        if entry["port"] and entry["port"] in taken:
            gate.problems.add(
                WHERE,
                f"port {entry['port']} is that of {taken[entry['port']]}, and metrics have one of their own; set "
                "another in monitoring_listen",
            )
        for address in entry["addresses"]:
            if address in seen:
                gate.problems.add(WHERE, f"monitoring_listen has {address} twice; keep one")
            seen.add(address)
