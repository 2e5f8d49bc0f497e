# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locations of a server: who may connect to which upstream, and how."""

from __future__ import annotations

import typing as t

from . import addresses, auth, limits, origins, plain_http, sessions, upstream_headers, upstreams
from .auth import client_certificate
from .context import MESSAGE_BUFFER, Gate
from .options import LOCATION_DEFAULTS
from .patterns import LOCATION_PATH, is_plain

# Bytes each way; docs/performance.md has what each costs.
MESSAGES = {"small": 2048, "mixed": 4096, "large": 16384}


def read(
    gate: Gate, where: str, server: t.Dict[str, t.Any], htpasswd_path: str, slug: str, item: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Any]:
    problems = gate.problems
    options = problems.options(where, item, LOCATION_DEFAULTS)
    path = problems.matches(where, "path", options["path"], LOCATION_PATH, "a path that starts with /, such as /wss")
    if not is_plain(path):
        # nginx compares locations with what is left of a request's path once these are resolved: ngx_http_core_module,
        # location.
        problems.add(
            where,
            f"path {path!r} has an empty, '.' or '..' part in it, and no request would ever match it; write it without",
        )
    kind, is_certificate_asked = auth.read(
        gate, where, options["auth"], "basic" if server["auth"] == "basic" else "token"
    )
    inherited = {"htpasswd_file": htpasswd_path, "realm": server["realm"]}
    location: t.Dict[str, t.Any] = {
        "path": path,
        # /wss is that path alone; /app/ is everything below it. A prefix without its slash would take in /appfoo too.
        "exact": not path.endswith("/"),
        "slug": slug,
        "auth": kind.name,
    }
    location["http"] = plain_http.read(gate, where, slug, options["http"])
    for method in auth.METHODS:
        location.update(method.read(gate, where, kind, options, inherited))
    location["origins"] = origins.read(gate, where, slug, server, path, options, bool(location["http"]))
    location["upstream"] = upstreams.of_location(gate, where, path, options)
    for method in auth.METHODS:
        location.update(method.complete(gate, where, kind, options, location))
    # Whose realm is the same, for what a preflight is asked.
    location["realm_slug"] = gate.alike("realm", location["realm"], slug)
    location["combination"] = auth.combination.rendered(kind, location)
    if is_certificate_asked:
        if options["client_certificate_required"] is None:
            options["client_certificate_required"] = True
        elif not problems.flag(where, "client_certificate_required", options["client_certificate_required"]):
            problems.add(
                where, "auth asks for a client certificate, and client_certificate_required is false; leave that out"
            )
    location.update(
        {
            "idle_timeout": problems.number(where, "idle_timeout", options["idle_timeout"], 1, 10**7),
            "connect_timeout": problems.number(where, "connect_timeout", options["connect_timeout"], 1, 75),
            "message_buffer_size": _message_buffer_size(gate, where, options),
            "client_ip_header": gate.header(where, "client_ip_header", options["client_ip_header"]),
            "forward_credentials": problems.flag(where, "forward_credentials", options["forward_credentials"]),
            "client_certificate_required": client_certificate.required(
                gate, where, server["client_certificates"], kind, options["client_certificate_required"]
            ),
            "extra_directives": problems.raw(where, "extra_directives", options["extra_directives"]),
        }
    )
    if (
        server["client_certificates"]
        and location["client_ip_header"].lower() == server["client_certificates"]["subject_header"].lower()
    ):
        problems.add(where, "client_ip_header and the server's subject_header are the same; name two headers")
    location["addresses"] = server["addresses"] + addresses.read(
        gate, where, slug, f"{path} of {server['name']}", options
    )
    location["upstream_host"] = upstreams.host_of_location(gate, where, options)
    location["upstream_headers"] = upstream_headers.read(
        gate, where, slug, server["name"], path, location["forward_credentials"], options["upstream_headers"]
    )
    location["limits"] = limits.read(gate, where, location, options)
    location.update(sessions.read(gate, where, server, kind, options))
    plain_http.warn(gate, where, location)
    return location


def _message_buffer_size(gate: Gate, where: str, options: t.Mapping[str, t.Any]) -> int:
    """Bytes that a session holds each way: the location's own, or what all have (wss_proxy_buffer_size)."""
    problems = gate.problems
    messages, size = options["messages"], options["message_buffer_size"]
    if messages in (None, "") and str(size) == "0":
        return gate.context["buffer_size"]
    if messages in (None, ""):
        return problems.number(where, "message_buffer_size", size, *MESSAGE_BUFFER)
    if str(size) != "0":
        problems.add(where, "messages and message_buffer_size both say how large the buffer is; give one of them")
    return MESSAGES.get(problems.choice(where, "messages", messages, tuple(MESSAGES)), MESSAGE_BUFFER[0])
