# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the balancers' variables to what the templates of role balancer render, and all that is wrong with them.

Everything that goes into a configuration is checked here against a pattern that leaves no way to smuggle a second
directive in (the one exception is ``extra_directives``, raw by intent).
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._gate.options import LISTEN_DEFAULTS, LOCATION_DEFAULTS
from .._gate.patterns import FILE_PATH, HOST_NAME, LOCATION_PATH, ORIGIN
from .. import _metrics_port
from .._problems import Problems
from . import addresses
from .hosts import plain_address

# Names of sections and servers: HAProxy's own are letters, digits, '-', '_', '.' and ':'.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Lines of "show stat" that are no servers.
RESERVED = ("FRONTEND", "BACKEND")

# The section of role monitoring's port.
METRICS = _metrics_port.NAME

SERVICE_DEFAULTS: t.Dict[str, t.Any] = {
    "name": "",
    "port": 443,
    "server": "",
    "gate_port": None,
    "tls": None,
    "server_name": "",
    "path": "",
    "origin": "",
    "ca_path": "",
    "ca_source": "",
    "max_connections": 0,
    "extra_directives": "",
}
GATE_DEFAULTS: t.Dict[str, t.Any] = {"name": "", "address": "", "weight": 100, "servers": []}
CONTEXT_DEFAULTS: t.Dict[str, t.Any] = {
    "host": "",
    "services": [],
    "gates": [],
    # Every balancer's name and address, in the order of the group.
    "balancers": [],
    "addresses": [],
    # What ca_source names on the controller, by its path: {content} or {problem}.
    "authorities": {},
    "facts": {},
    "preempt_enabled": False,
    "takeover_delay": 15,
    "max_connections": 20000,
    "idle_timeout": 86400,
    "connect_timeout": 5,
    "check_interval": 2,
    "check_fall": 3,
    "check_rise": 2,
    "slow_start": 30,
    "ca_bundle_path": "/etc/ssl/certs/ca-certificates.crt",
    "haproxy_directory": "/etc/haproxy",
    "haproxy_socket": "/run/haproxy/wssgate.sock",
    "haproxy_user": "haproxy",
}
NUMBERS = (
    ("takeover_delay", 1, 1000),
    ("max_connections", 1, 1000000),
    ("idle_timeout", 60, 2000000),
    ("connect_timeout", 1, 75),
    ("check_interval", 1, 3600),
    ("check_fall", 1, 100),
    ("check_rise", 1, 100),
    ("slow_start", 0, 3600),
)


class BalancerError(ValueError):
    """What was asked for cannot become a balancer; one line a problem."""


class Reading:
    """One reading of the variables."""

    def __init__(self, context: t.Any) -> None:
        self.problems = Problems()
        problems = self.problems
        self.context = problems.options("balancer", context, CONTEXT_DEFAULTS)
        for key, low, high in NUMBERS:
            self.context[key] = problems.number("balancer", f"balancer_{key}", self.context[key], low, high)
        for key in ("haproxy_directory", "haproxy_socket", "ca_bundle_path"):
            problems.matches("balancer", f"balancer_{key}", self.context[key], FILE_PATH, "an absolute path")
        self.context["preempt_enabled"] = problems.flag(
            "balancer", "balancer_preempt_enabled", self.context["preempt_enabled"]
        )
        self.host = str(self.context["host"])
        self.balancers = self._balancers()
        self.address = dict(self.balancers).get(self.host, "")
        self.gates = self._gates()
        self.services = self._services()
        self.addresses = addresses.read(self)

    # -- hosts

    def _balancers(self) -> t.List[t.Tuple[str, str]]:
        found: t.List[t.Tuple[str, str]] = []
        names: t.Dict[str, str] = {}
        for item in self.context["balancers"]:
            name, given = str(item["name"]), item["address"]
            where = f"balancer {name!r}"
            # It is in keepalived's configuration.
            self.problems.matches(where, "name", name, NAME, "a name of letters, digits, '.', '_' and '-'")
            address = plain_address(given)
            if not address:
                self.problems.add(
                    where,
                    f"balancer_address {given!r} is not an IP address"
                    if given
                    else "its address is not known: set balancer_address for it, or run without --limit, so that its "
                    "facts are gathered",
                )
                continue
            if address in names:
                self.problems.add(
                    where, f"it has the address {address} of balancer {names[address]!r}; set balancer_address for each"
                )
            names.setdefault(address, name)
            found.append((name, address))
        return found

    def _gates(self) -> t.List[t.Dict[str, t.Any]]:
        found: t.List[t.Dict[str, t.Any]] = []
        names: t.Set[str] = set()
        taken: t.Dict[str, str] = {}
        for here, item in self.problems.entries("balancer", "balancer_gates", self.context["gates"]):
            options = self.problems.options(here, item, GATE_DEFAULTS)
            name = self.problems.matches(
                here, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'"
            )
            where = f"gate {name!r}"
            if name in RESERVED:
                self.problems.add(where, "HAProxy's own figures have this name; give the gate another")
            address = plain_address(options["address"])
            if not address:
                self.problems.add(
                    where,
                    f"its address {str(options['address'])!r} is not an IP address"
                    if options["address"]
                    else "its address is not known: set balancer_gate_address for it, or run without --limit, so that "
                    "its facts are gathered",
                )
                continue
            if name in names:
                self.problems.add(where, "two gates have this name; give each its own")
            if address in taken:
                self.problems.add(where, f"it has the address {address} of gate {taken[address]!r}; give each its own")
            names.add(name)
            taken.setdefault(address, name)
            found.append(
                {
                    "name": name,
                    "address": address,
                    "weight": self.problems.number(where, "weight", options["weight"], 0, 256),
                    "servers": [one for one in options["servers"] or [] if isinstance(one, t.Mapping)],
                }
            )
        if not self.context["gates"]:
            self.problems.add(
                "balancer", "there are no gates: put them into the group wss_proxies, or name them in balancer_gates"
            )
        return found

    # -- services

    def _services(self) -> t.List[t.Dict[str, t.Any]]:
        found: t.List[t.Dict[str, t.Any]] = []
        names: t.Set[str] = set()
        ports: t.Dict[int, str] = {}
        if not self.context["services"]:
            self.problems.add(
                "balancer", "balancer_services is empty; name at least one service, such as [{name: wcs, port: 443}]"
            )
        for here, item in self.problems.entries("balancer", "balancer_services", self.context["services"]):
            service = self._service(here, item)
            where = f"service {service['name']!r}"
            if service["name"].lower() == METRICS:
                self.problems.add(where, "the port of the metrics has this name; give the service another")
            if service["name"].lower() in names:
                self.problems.add(where, "two services have this name; give each its own")
            names.add(service["name"].lower())
            other = ports.setdefault(service["port"], service["name"])
            if other != service["name"]:
                self.problems.add(where, f"port {service['port']} is that of service {other!r}; give each its own")
            found.append(service)
        return found

    def _service(self, here: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        options = problems.options(here, item, SERVICE_DEFAULTS)
        name = problems.matches(here, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
        where = f"service {name!r}"
        server_name, path = str(options["server_name"]), str(options["path"])
        tls = None if options["tls"] is None else problems.flag(where, "tls", options["tls"])
        wanted_port = (
            None
            if options["gate_port"] is None
            else problems.number(where, "gate_port", options["gate_port"], 1, 65535)
        )
        gates = []
        for gate in self.gates:
            server = self._server(
                where, gate, str(options["server"] or name), bool(wanted_port and server_name and path)
            )
            listener = self._listener(where, gate, server, wanted_port) if server else {}
            port = wanted_port or listener.get("port")
            if server:
                self._check_server(where, gate, server)
                server_name = server_name or _host_name(server)
                path = path or next((str(one.get("path", "")) for one in _entries(server, "locations")), "")
                tls = _truth(listener.get("tls", LISTEN_DEFAULTS["tls"])) if tls is None else tls
            if port:
                gates.append({**gate, "port": int(port), "at": _at(gate["address"], int(port))})
        if gates and not server_name:
            problems.add(where, "no name is known that the gates' certificate is good for; set server_name")
        elif server_name:
            problems.matches(where, "server_name", server_name, HOST_NAME, "a host name")
        if gates:
            problems.matches(where, "path", path, LOCATION_PATH, "a path that starts with /")
        tls = True if tls is None else tls
        return {
            "name": name,
            "port": problems.number(where, "port", options["port"], 1, 65535),
            "server_name": server_name,
            "path": path,
            "origin": problems.optional(
                where, "origin", options["origin"], ORIGIN, "an origin such as https://a.example"
            ),
            "tls": tls,
            **self._authorities(where, name, options),
            "max_connections": problems.number(where, "max_connections", options["max_connections"], 0, 1000000),
            "extra_directives": problems.raw(where, "extra_directives", options["extra_directives"]),
            "gates": gates,
            "alive": [101, 401, 403, 429],
        }

    def _authorities(self, where: str, name: str, options: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
        problems = self.problems
        path = problems.optional(where, "ca_path", options["ca_path"], FILE_PATH, "an absolute path")
        source = str(options["ca_source"] or "")
        if path and source:
            problems.add(where, "ca_path and ca_source are both set; keep one")
        if not source:
            return {"ca_path": path or str(self.context["ca_bundle_path"]), "ca_content": ""}
        found = self.context["authorities"].get(source) or {"problem": "it was not read"}
        if found.get("problem"):
            problems.add(where, f"ca_source {source!r}: {found['problem']}")
        elif "BEGIN CERTIFICATE" not in found["content"] or "PRIVATE KEY" in found["content"]:
            problems.add(where, f"ca_source {source!r} is not a file of certificates, and of nothing else")
        return {
            "ca_path": f"{self.context['haproxy_directory']}/wssgate.d/{name}.pem",
            "ca_content": found.get("content", ""),
        }

    def _server(
        self, where: str, gate: t.Mapping[str, t.Any], name: str, is_enough: bool
    ) -> t.Optional[t.Mapping[str, t.Any]]:
        for server in gate["servers"]:
            if server.get("name") == name:
                return server
        if not is_enough:
            known = ", ".join(str(server.get("name")) for server in gate["servers"]) or "none"
            self.problems.add(
                where,
                f"gate {gate['name']!r} has no server {name!r} in wss_proxy_servers (there is {known}); name one in "
                "server, or set gate_port, server_name and path",
            )
        return None

    def _listener(
        self, where: str, gate: t.Mapping[str, t.Any], server: t.Mapping[str, t.Any], port: t.Optional[int]
    ) -> t.Mapping[str, t.Any]:
        listeners = [one for one in _entries(server, "listen") if one.get("port")]
        here = f"server {server.get('name')!r} of gate {gate['name']!r}"
        if port:
            for one in listeners:
                if str(one["port"]) == str(port):
                    if not _truth(one.get("proxy_protocol", False)):
                        break
                    return one
            self.problems.add(
                where, f"{here} has no listener with proxy_protocol: true at port {port}; add it to its listen"
            )
            return {}
        proxied = [one for one in listeners if _truth(one.get("proxy_protocol", False))]
        if len({str(one["port"]) for one in proxied}) == 1:
            return proxied[0]
        self.problems.add(
            where,
            f"{here} has {'no listener' if not proxied else 'several listeners'} with proxy_protocol: true; "
            + ("add one, such as {port: 8443, proxy_protocol: true}" if not proxied else "name one in gate_port"),
        )
        return {}

    def _check_server(self, where: str, gate: t.Mapping[str, t.Any], server: t.Mapping[str, t.Any]) -> None:
        here = f"server {server.get('name')!r} of gate {gate['name']!r}"
        for location in _entries(server, "locations"):
            idle = location.get("idle_timeout", LOCATION_DEFAULTS["idle_timeout"])
            if re.fullmatch(r"[0-9]{1,9}", str(idle)) and int(idle) >= self.context["idle_timeout"]:
                self.problems.add(
                    where,
                    f"location {location.get('path')!r} of {here} has idle_timeout {idle}, and balancer_idle_timeout "
                    f"({self.context['idle_timeout']}) would cut its sessions first; make that longer",
                )
        trusted = server.get("trusted_proxies")
        if not isinstance(trusted, (list, tuple)):
            return
        for name, address in self.balancers:
            if not any(_is_within(address, network) for network in trusted):
                self.problems.add(
                    where,
                    f"{here} does not trust balancer {name!r} ({address}); leave trusted_proxies out there, which "
                    "means the balancers, or add it",
                )


def _entries(server: t.Mapping[str, t.Any], key: str) -> t.List[t.Mapping[str, t.Any]]:
    found = server.get(key)
    return [one for one in found if isinstance(one, t.Mapping)] if isinstance(found, (list, tuple)) else []


def _truth(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1")


def _host_name(server: t.Mapping[str, t.Any]) -> str:
    names = server.get("server_names") or [server.get("name", "")]
    names = names if isinstance(names, (list, tuple)) else []
    return next((str(name) for name in names if HOST_NAME.fullmatch(str(name))), "")


def _is_within(address: str, network: t.Any) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(str(network))
    except ValueError:
        return False


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def errors(context: t.Any) -> t.List[str]:
    """All that is wrong, one sentence each; empty when nothing is."""
    return Reading(context).problems.found


def model(context: t.Any) -> t.Dict[str, t.Any]:
    """What the templates render. Raises BalancerError where ``errors`` would find anything."""
    reading = Reading(context)
    if reading.problems.found:
        raise BalancerError("\n".join(reading.problems.found))
    facts = reading.context["facts"]
    loopback = facts.get("lo") if isinstance(facts, t.Mapping) else None
    return {
        "services": reading.services,
        "address": reading.address,
        "has_ipv6": bool(isinstance(loopback, t.Mapping) and loopback.get("ipv6")),
        "peers": [address for name, address in reading.balancers if name != reading.host],
        "addresses": reading.addresses,
        # Nobody else may have them.
        "claimed": [{key: entry[key] for key in ("address", "interface")} for entry in reading.addresses],
        # HAProxy's own besides: listeners, checks, logs and its socket.
        "descriptors": reading.context["max_connections"] * 2 + 1024,
        # What a service that fails costs a balancer of its priority, which stays above 0.
        "script_weight": -max(1, 150 // max(1, len(reading.services))),
        **{
            key: reading.context[key]
            for key in (
                *(name for name, _low, _high in NUMBERS),
                "preempt_enabled",
                "haproxy_directory",
                "haproxy_socket",
                "haproxy_user",
            )
        },
    }
