# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sessions go: groups of upstream servers, and the upstream of one location."""

from __future__ import annotations

import typing as t

from .._problems import shown
from .context import Gate
from .options import BALANCING_METHODS, DEFAULT_PORTS, PEER_DEFAULTS, SCHEMES, UPSTREAM_DEFAULTS
from .patterns import AUTHORITY, HASH_KEY, HOST_NAME, NAME, PEER, UPSTREAM_URL, is_address, is_loopback, parsed


def read(gate: Gate, given: t.Any) -> t.Dict[str, t.Dict[str, t.Any]]:
    problems = gate.problems
    upstreams: t.Dict[str, t.Dict[str, t.Any]] = {}
    for where, item in problems.entries("wss_proxy", "wss_proxy_upstreams", given):
        options = problems.options(where, item, UPSTREAM_DEFAULTS)
        name = problems.matches(where, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
        where = f"upstream {name!r}"
        # nginx compares these names without their case.
        if name.lower() in (known.lower() for known in upstreams):
            problems.add(where, "this name is used twice in wss_proxy_upstreams; give each upstream its own")
        scheme = SCHEMES.get(problems.choice(where, "scheme", options["scheme"], tuple(SCHEMES)), "http")
        balancing = problems.choice(where, "balancing", options["balancing"], BALANCING_METHODS)
        servers = [
            {"address": peer} if isinstance(peer, str) else peer
            for peer in problems.items(where, "servers", options["servers"])
        ]
        peers = [_peer(gate, here, peer) for here, peer in problems.entries(where, "servers", servers)]
        if not options["servers"]:
            problems.add(where, "servers is empty; name at least one address")
        elif peers and all(p["backup"] for p in peers):
            problems.add(where, "every server is a backup; at least one must not be")
        if balancing in ("ip_hash", "hash", "random") and any(p["backup"] for p in peers):
            problems.add(
                where, f"nginx has no backup servers with balancing {balancing}; use round_robin or least_conn"
            )
        outside = [p for p in peers if not p["local"]]
        hosts = {p["host"] for p in outside or peers}
        upstreams[name] = {
            "name": name,
            "scheme": scheme,
            "balancing": balancing,
            "hash_key": problems.matches(
                where,
                "hash_key",
                options["hash_key"],
                HASH_KEY,
                "nginx variables such as '$remote_addr consistent'",
            ),
            "peers": peers,
            "tls": _tls(gate, where, "", options, scheme, bool(outside), hosts.pop() if len(hosts) == 1 else ""),
        }
    return upstreams


def _peer(gate: Gate, where: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    problems = gate.problems
    options = problems.options(where, item, PEER_DEFAULTS)
    address = str(options["address"])
    match = parsed(PEER, address)
    if not match:
        problems.add(where, f"address {address!r} is neither host:port nor unix:/path")
    elif match["unix"]:
        gate.unix_path(where, match["unix"])
    else:
        problems.number(where, "port", match["port"], 1, 65535)
    host = (match and match["host"]) or ""
    return {
        "address": address,
        "host": host,
        "local": not host or is_loopback(host),
        "weight": problems.number(where, "weight", options["weight"], 1, 65535),
        "max_fails": problems.number(where, "max_fails", options["max_fails"], 0, 65535),
        "fail_timeout": problems.number(where, "fail_timeout", options["fail_timeout"], 1, 86400),
        "backup": problems.flag(where, "backup", options["backup"]),
        "down": problems.flag(where, "down", options["down"]),
    }


def _tls(
    gate: Gate, where: str, prefix: str, options: t.Mapping[str, t.Any], scheme: str, is_outside: bool, host: str
) -> t.Optional[t.Dict[str, t.Any]]:
    """How nginx checks an https upstream. On loopback nobody can stand in between, so there it need not."""
    problems = gate.problems
    keys = [f"{prefix}verify_enabled", f"{prefix}ca_path", f"{prefix}tls_name"]
    verify, ca_path, tls_name = (options[key] for key in keys)
    is_verified = is_outside if verify is None else problems.flag(where, keys[0], verify)
    ca_path = gate.path(where, keys[1], ca_path) or gate.context["ca_bundle_path"]
    name = problems.optional(where, keys[2], tls_name, HOST_NAME, "a host name")
    if scheme != "https":
        for key in keys:
            if options[key]:
                problems.add(where, f"{key} goes with an https or wss upstream; this one is not encrypted")
        return None
    if not name:
        name = "" if is_address(host) else host
    # nginx compares the name with the certificate's DNS names only, so that an address never passes (seen on 1.22).
    if is_verified and (not name or is_address(name)):
        problems.add(
            where,
            f"an upstream's certificate is checked against a host name, and there is none: set {keys[2]}, or "
            f"{keys[0]}: false",
        )
    return {"verified": is_verified, "ca_path": ca_path, "name": name}


def of_location(gate: Gate, where: str, path: str, options: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    problems = gate.problems
    given = str(options["upstream"])
    if given in gate.upstreams:
        group = gate.upstreams[given]
        for key in ("upstream_verify_enabled", "upstream_ca_path", "upstream_tls_name"):
            if options[key] not in (None, ""):
                problems.add(
                    where,
                    f"{key} has no effect on an upstream from wss_proxy_upstreams; set it there, without 'upstream_'",
                )
        return {"url": f"{group['scheme']}://{given}{path}", "path": path, "tls": group["tls"]}
    match = parsed(UPSTREAM_URL, given)
    if not match:
        known = ", ".join(sorted(gate.upstreams)) or "none"
        url = "a URL such as http://127.0.0.1:8080, https://…, ws://…, wss://… or http://unix:/path.sock"
        name = f"a name from wss_proxy_upstreams (there: {known})"
        if given:
            problems.add(where, f"upstream {shown(given)} is neither {url}, nor {name}")
        else:
            problems.add(where, f"upstream is missing: {url}, or {name}")
        return {"url": "", "path": "", "tls": None}
    scheme = SCHEMES[match["scheme"]]
    host = match["host"] or ""
    if match["unix"]:
        gate.unix_path(where, match["unix"])
        # nginx writes the path of a request behind a colon: https://nginx.org/r/proxy_pass
        target = f"unix:{match['unix']}:{path}"
    else:
        target = f"{host_and_port(gate, where, 'upstream', match)}{match['path'] or path}"
        if host.lower() in (name.lower() for name in gate.upstreams):
            problems.add(
                where,
                f"upstream {given!r} has the name of one in wss_proxy_upstreams for its host; write upstream: {host}",
            )
        if path.endswith("/") and match["path"] and not match["path"].endswith("/"):
            # nginx replaces the one by the other: /app/x would become /pathx.
            problems.add(where, f"path {path!r} ends with /, so the upstream's path {match['path']!r} must, too")
    tls = _tls(gate, where, "upstream_", options, scheme, bool(host) and not is_loopback(host), host)
    return {"url": f"{scheme}://{target}", "path": match["path"] or path, "tls": tls}


def host_of_location(gate: Gate, where: str, options: t.Mapping[str, t.Any]) -> str:
    """The Host that the upstream gets; nothing where it gets the client's."""
    given = str(options["upstream_host"])
    if given == "client":
        return ""
    if given == "upstream":
        return _own_host(gate, where, str(options["upstream"]))
    match = parsed(AUTHORITY, given)
    # YAML reads yes and on as flags.
    if not match or isinstance(options["upstream_host"], bool):
        gate.problems.add(
            where, f"upstream_host {shown(given)} is none of client, upstream, and a host name with or without a port"
        )
        return ""
    if match["port"]:
        gate.problems.number(where, "upstream_host port", match["port"], 1, 65535)
    return given


def _own_host(gate: Gate, where: str, upstream: str) -> str:
    """What stands in the upstream's URL, or in front of each server of its group; the scheme's port is left out."""
    group = gate.upstreams.get(upstream)
    if group:
        scheme = group["scheme"]
        matches = [parsed(PEER, peer["address"]) for peer in group["peers"]]
    else:
        url = parsed(UPSTREAM_URL, upstream)
        if not url:
            # It is told already.
            return ""
        scheme, matches = SCHEMES[url["scheme"]], [url]
    hosts = {
        match["host"] + (f":{match['port']}" if match["port"] and int(match["port"]) != DEFAULT_PORTS[scheme] else "")
        for match in matches
        if match and match["host"]
    }
    if len(hosts) != 1 or not all(match and match["host"] for match in matches):
        gate.problems.add(
            where,
            f"upstream_host: upstream needs one host name, and upstream {shown(upstream)} has "
            + ("several; write the name" if hosts else "none; write the name"),
        )
        return ""
    return hosts.pop()


def host_and_port(gate: Gate, where: str, what: str, url: t.Match[str]) -> str:
    port = gate.problems.number(where, f"{what} port", url["port"] or DEFAULT_PORTS[url["scheme"]], 1, 65535)
    return f"{url['host']}:{port}"
