# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an operator writes to what the templates of role wss_proxy render.

Everything that goes into the configuration passes through here, where it is checked against a pattern that
leaves no way to smuggle a second directive in (the one exception is ``extra_directives``, raw by intent).
Nothing here imports Ansible, so all of it runs in unit tests.
"""

from __future__ import annotations

import typing as t

from .._cookie_patterns import BEARER_JWT, BEARER_PRESENT, BEARER_TOKEN
from . import auth, checks, issuers, metrics, servers as servers_, tls, upstreams
from .context import Gate

# What the templates render of the context, as it was checked.
RENDERED_CONTEXT = (
    "token_store_path",
    "nginx_directory",
    "access_log_path",
    "session_log_path",
    "acme_webroot",
    "drain_path",
    "hub_marker_path",
    "drain_retry_after",
    "buffer_size",
    "tls_tickets",
    "tls_profile",
    "jwt_socket_path",
    "revocations_path",
)


class GateError(ValueError):
    """What was asked for cannot become a gate; the text says what, where and what to do, one line a problem."""


def read(servers: t.Any, context: t.Any) -> Gate:
    """The servers as far as they can be read, with all that is wrong with them."""
    gate = Gate(context)
    gate.upstreams = upstreams.read(gate, gate.context["upstreams"])
    gate.issuers = issuers.read(gate, gate.context["issuers"])
    for where, item in gate.problems.entries("wss_proxy", "wss_proxy_servers", servers):
        gate.servers.append(servers_.read(gate, where, item))
    checks.check(gate)
    gate.metrics = metrics.read(gate)
    return gate


def gate_errors(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.List[str]:
    """All that is wrong with the servers, one sentence each; empty when nothing is."""
    return read(servers, context or {}).problems.found


def gate_upstream_headers(
    servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None
) -> t.List[t.Dict[str, t.Any]]:
    """The files of upstream_headers, whose values are secrets: for a task with no_log alone."""
    gate = read(servers, context or {})
    if gate.problems.found:
        raise GateError("\n".join(gate.problems.found))
    return gate.upstream_headers


def gate_warnings(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.List[str]:
    """What may be asked for and is seldom meant, one sentence each."""
    return read(servers, context or {}).warnings


def _has_bearer(locations: t.Iterable[t.Mapping[str, t.Any]], kind: str) -> bool:
    return any("bearer" in location[kind]["sources"] for location in locations if location[kind])


def gate_model(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
    """What the templates render.

    Raises GateError when gate_errors would find anything.
    """
    gate = read(servers, context or {})
    if gate.problems.found:
        raise GateError("\n".join(gate.problems.found))
    locations = [location for server in gate.servers for location in server["locations"]]
    plain = [location["http"] for location in locations if location["http"]]
    signed = [location for location in locations if location["jwt"]]
    return {
        "servers": gate.servers,
        "upstreams": list(gate.upstreams.values()),
        "cookies": list(gate.cookies.values()),
        "origins": gate.origins,
        "addresses": gate.addresses,
        "zones": gate.zones,
        "written": auth.external.written(gate) if any(location["below"] for location in locations) else None,
        "readings": gate.readings,
        "has_bearer": _has_bearer(locations, "token"),
        "has_jwt_bearer": _has_bearer(locations, "jwt"),
        "bearer": {"patterns": {"token": BEARER_TOKEN, "jwt": BEARER_JWT, "present": BEARER_PRESENT}},
        "jwt": {
            "issuers": issuers.for_nginx(gate.issuers),
            "locations": {location["slug"]: location["jwt"]["issuers"] for location in signed},
            "key_sets": issuers.key_sets(gate.issuers),
            "headers": len(issuers.answer_headers(gate.issuers.values())),
        }
        if signed
        else None,
        "has_http": bool(plain),
        "has_preflights": any(http["has_preflights"] for http in plain),
        "redirect_addresses": gate.redirect_addresses,
        "metrics": gate.metrics,
        "auth_kinds": {
            name: auth.kind_of(name).rendered() for name in [*auth.KINDS, *(location["auth"] for location in locations)]
        },
        "auth_methods": [*(method.name for method in auth.METHODS), "combined"],
        # What some locations ask for several of.
        "combined": [location["combination"] for location in locations if location["combination"]],
        "key_exchange_groups": tls.key_exchange_groups(gate),
        **{key: gate.context[key] for key in RENDERED_CONTEXT},
        "has_http2_directive": gate.has_http2_directive(),
        # Before 1.23.2 ticket keys never change while nginx runs: a stolen key would open every recorded session.
        "has_rotating_tickets": gate.version() >= (1, 23, 2),
        "has_conf_command": gate.version() >= (1, 19, 4),
    }
