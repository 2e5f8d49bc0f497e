# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only shows across servers: addresses, names, redirects and headers that several of them have."""

from __future__ import annotations

import typing as t

from . import tls, upstream_headers
from .context import Gate
from .options import CLIENT_CERTIFICATES_DEFAULTS, LOCATION_DEFAULTS

# Headers that name the client to the upstream, also where no server and no location has them by this name.
IDENTITY_HEADERS = (LOCATION_DEFAULTS["client_ip_header"], CLIENT_CERTIFICATES_DEFAULTS["subject_header"])

# Headers from which some frameworks take another path or method than the request has: Symfony's, Laminas' and Express'
# middleware among them, and services of auth: external that also serve other proxies.
TARGET_HEADERS = (
    "X-Original-URL",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
)


def check(gate: Gate) -> None:
    """What no server can be asked for alone."""
    _check_listeners(gate)
    tls.decide_resumption(gate)
    _check_redirects(gate)
    _check_verifications(gate)
    _clear_identity_headers(gate)


def _check_listeners(gate: Gate) -> None:
    names: t.Set[str] = set()
    served: t.Dict[t.Tuple[str, str], str] = {}
    protocols: t.Dict[str, t.Tuple[bool, str]] = {}
    tls_of: t.Dict[str, t.Tuple[bool, str]] = {}
    http2_of: t.Dict[str, t.Tuple[bool, str]] = {}
    guarded: t.Dict[str, t.Tuple[t.Tuple[str, str], str]] = {}
    defaults: t.Dict[str, str] = {}
    verified: t.Dict[str, t.Tuple[t.Dict[str, t.Any], str]] = {}
    for server in gate.servers:
        where = f"server {server['name']!r}"
        _check_client_certificates(gate, server, verified)
        if server["name"].lower() in names:
            gate.problems.add(where, "two servers have this name; give each its own")
        names.add(server["name"].lower())
        seen: t.Set[str] = set()
        for address, entry in [(a, listener) for listener in server["listeners"] for a in listener["addresses"]]:
            for name in server["server_names"]:
                other = served.setdefault((address, name.lower()), server["name"])
                if other != server["name"]:
                    gate.problems.add(
                        where,
                        f"{name!r} on {address} is served by server {other!r} already; give one of them another name "
                        "or port",
                    )
            _same(gate, where, address, "PROXY protocol", "plain connections", entry["proxy_protocol"], protocols)
            _same(gate, where, address, "TLS", "plain text", entry["tls"], tls_of)
            if entry["tls"] and not gate.has_http2_directive():
                # There it is a parameter of the socket, and one server has it for all.
                _same(gate, where, address, "HTTP/2", "HTTP/1.1 alone", server["http2_enabled"], http2_of)
            guard = guarded.setdefault(address, ((entry["unix_mode"], entry["unix_group"]), where))
            if entry["unix"] and guard[0] != (entry["unix_mode"], entry["unix_group"]):
                gate.problems.add(
                    where,
                    f"{address} has another unix_mode or unix_group in {guard[1]}; one socket has one of each",
                )
            if entry["default_server"] and defaults.setdefault(address, server["name"]) != server["name"]:
                gate.problems.add(
                    where, f"server {defaults[address]!r} is the default server of {address} already; keep one"
                )
            if address in seen:
                gate.problems.add(where, f"it listens on {address} twice; keep one")
            seen.add(address)


def _same(
    gate: Gate, where: str, address: str, yes: str, no: str, value: bool, seen: t.Dict[str, t.Tuple[bool, str]]
) -> None:
    known = seen.setdefault(address, (value, where))
    if known[0] != value:
        gate.problems.add(
            where,
            f"{address} has {yes if value else no} here and {no if value else yes} in {known[1]}; one address takes "
            "one kind",
        )


def _check_client_certificates(
    gate: Gate, server: t.Mapping[str, t.Any], verified: t.Dict[str, t.Tuple[t.Dict[str, t.Any], str]]
) -> None:
    """One address, one way to verify clients.

    nginx verifies a client in the default server of the address unless TLS names a server, and compares that name
    with the request's only where there is one: what the laxer of two servers took would open the stricter one.
    """
    clients = server["client_certificates"]
    if not clients:
        return
    where = f"server {server['name']!r}, client_certificates"
    own = {key: clients[key] for key in ("ca_path", "crl_path", "depth")}
    clashes: t.Set[t.Tuple[str, str]] = set()
    for address in tls.addresses(server):
        theirs, other = verified.setdefault(address, (own, f"server {server['name']!r}"))
        keys = ", ".join(key for key in own if own[key] != theirs[key])
        # Most servers have an IPv4 and an IPv6 address: one sentence for both.
        if keys and (keys, other) not in clashes:
            clashes.add((keys, other))
            gate.problems.add(
                where,
                f"{keys} differs from that of {other} on {address}, and a client that names no server in TLS is "
                "verified "
                "once for all of an address; give both the same ca_path, crl_path and depth, or one of them another "
                "port "
                "or address",
            )


def _check_redirects(gate: Gate) -> None:
    """A port that redirects serves nothing else, and each name is redirected once: nginx would ignore the second."""
    listened = {address for server in gate.servers for entry in server["listeners"] for address in entry["addresses"]}
    redirected: t.Set[t.Tuple[str, str]] = set()
    for server in gate.servers:
        redirect = server["redirect"]
        if not redirect:
            continue
        if listened.intersection(redirect["addresses"]):
            gate.problems.add(
                f"server {server['name']!r}",
                f"port {redirect['port']} cannot both redirect to https and be listened on; set http_redirect_enabled: "
                "false or another http_redirect_port",
            )
        gate.redirect_addresses = list(dict.fromkeys(gate.redirect_addresses + redirect["addresses"]))
        # '_' is nobody's name: what it stands for, anybody may claim in Host.
        names = [name for name in server["server_names"] if name != "_"]
        wanted = {name.lower(): {(address, name.lower()) for address in redirect["addresses"]} for name in names}
        redirect["server_names"] = [name for name in names if wanted[name.lower()] - redirected]
        redirected.update(*wanted.values())
        if not redirect["server_names"]:
            server["redirect"] = None


def _check_verifications(gate: Gate) -> None:
    """One https address, one verification: nginx resumes the TLS session of an address in every location, verified
    there or not.
    """
    seen: t.Dict[str, t.Tuple[t.Any, str]] = {}
    for server in gate.servers:
        for location in server["locations"]:
            where = f"server {server['name']!r}, location {location['path']!r}"
            for url, verification in (
                (location["upstream"]["url"], location["upstream"]["tls"]),
                (location["external"], location["external_tls"]),
            ):
                rest = url.partition("://")[2]
                address = rest.rpartition(":")[0] if rest.startswith("unix:") else rest.partition("/")[0]
                # Those of wss_proxy_upstreams have one verification each.
                if not verification or address in gate.upstreams:
                    continue
                known = seen.setdefault(address.lower(), (verification, where))
                if known[0] != verification:
                    gate.problems.add(
                        where,
                        f"https://{address} is verified differently in {known[1]}, and nginx would resume the TLS "
                        "session of the one for the other; "
                        "give both the same settings, or list the upstream in wss_proxy_upstreams once for each",
                    )


def _clear_identity_headers(gate: Gate) -> None:
    """What one location sets, every other one has to clear: upstreams of all of them may trust it."""
    names = {name.lower(): name for name in [*IDENTITY_HEADERS, *TARGET_HEADERS]}
    for server in gate.servers:
        for name in _subject_headers(server) + [location["client_ip_header"] for location in server["locations"]]:
            names.setdefault(name.lower(), name)
    _check_claims(gate, names)
    for name in [header["name"] for issuer in gate.issuers.values() for header in issuer["headers"]]:
        for spelling in _with_spellings([name]):
            names.setdefault(spelling.lower(), spelling)
    for server in gate.servers:
        for location in server["locations"]:
            claims = [header["name"] for header in (location["jwt"] or {"headers": []})["headers"]]
            own = {name.lower() for name in [*_subject_headers(server), location["client_ip_header"], *claims]}
            location["cleared_headers"] = [name for key, name in names.items() if key not in own]
    _clear_upstream_headers(gate, names)


def _check_claims(gate: Gate, taken: t.Mapping[str, str]) -> None:
    for name, issuer in gate.issuers.items():
        for header in issuer["headers"]:
            if header["name"].lower() in taken:
                gate.problems.add(
                    f"issuer {name!r}, headers",
                    f"{header['name']!r} is a header of the gate's own, which upstreams take for the client's address, "
                    "name, path or method; name another",
                )


def _clear_upstream_headers(gate: Gate, taken: t.Mapping[str, str]) -> None:
    """The same for constants: an upstream that trusts one must not get it from a client, whichever way that comes."""
    names: t.Dict[str, str] = {}
    for server in gate.servers:
        for location in server["locations"]:
            for name in location["upstream_headers"]:
                names.setdefault(name.lower(), name)
                if name.lower() in taken:
                    gate.problems.add(
                        f"server {server['name']!r}, location {location['path']!r}, upstream_headers",
                        f"{name!r} is a header of the gate's own, which upstreams take for the client's address, name, "
                        "path or method; name another",
                    )
    # Each location has its own rule for this one: forward_credentials.
    names.pop("authorization", None)
    for server in gate.servers:
        for location in server["locations"]:
            own = {name.lower() for name in location["upstream_headers"]}
            location["cleared_upstream_headers"] = _with_spellings(
                name for key, name in names.items() if key not in own
            )
            # The service of auth: external gets none of them from a client, either.
            location["cleared_external_headers"] = _with_spellings(names.values())


def _with_spellings(names: t.Iterable[str]) -> t.List[str]:
    return [spelling for name in names for spelling in (name, *upstream_headers.other_spellings(name))]


def _subject_headers(server: t.Mapping[str, t.Any]) -> t.List[str]:
    certificates = server["client_certificates"]
    return [certificates["subject_header"]] if certificates else []
