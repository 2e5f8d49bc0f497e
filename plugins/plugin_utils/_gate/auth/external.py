# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of the operator's own that decides: nginx asks it about each handshake."""

from __future__ import annotations

import re
import typing as t

from ..._problems import shown
from .. import upstreams
from ..context import Gate
from ..patterns import UPSTREAM_URL, is_address, is_loopback, parsed
from .method import Kind, Method, Options

# What nginx passes on of a path as it is, in every version, and what it writes as % and two digits in upper case:
# NGX_ESCAPE_URI of ngx_escape_uri(), the last line from 1.21.1 on. Control characters and the backslash are refused
# before.
PLAIN_CHARACTERS = r"[A-Za-z0-9!$&'()*+,./:;=@\[\]_~-]"
ENCODED_CHARACTERS = "%(?:2[035]|3F|[89A-F][0-9A-F])"
ENCODED_CHARACTERS_LATER = "%(?:22|3[CE]|5E|60|7[BCD])"


def _service(gate: Gate, where: str, given: t.Any, kind: Kind) -> t.Dict[str, t.Any]:
    """The operator's own service that decides, and how nginx checks that it is the one."""
    problems = gate.problems
    nothing = {"external": "", "external_tls": None}
    url = str(given)
    if not kind.uses(EXTERNAL):
        if url and kind.methods:
            problems.add(where, f"external_auth_url goes with auth: external, not with {kind.name}")
        return nothing
    match = parsed(UPSTREAM_URL, url)
    if not match or match["scheme"] not in ("http", "https") or match["unix"]:
        problems.add(
            where,
            f"auth external needs external_auth_url, the http(s) URL of the service that decides ({shown(url)} is "
            "none)",
        )
        return nothing
    host = match["host"]
    if host.lower() in (name.lower() for name in gate.upstreams):
        problems.add(
            where,
            f"external_auth_url {url!r} has the name of one in wss_proxy_upstreams for its host; name the service's "
            "own host",
        )
    is_verified = not is_loopback(host)
    if match["scheme"] == "https" and is_verified and is_address(host):
        problems.add(
            where,
            "external_auth_url is https at an address, and a certificate is checked against a host name; name the host",
        )
    # Without a path, the service would be asked for the internal one.
    target = f"{upstreams.host_and_port(gate, where, 'external_auth_url', match)}{match['path'] or '/'}"
    return {
        "external": f"{match['scheme']}://{target}",
        "external_tls": None
        if match["scheme"] == "http"
        else {
            "verified": is_verified,
            "ca_path": gate.context["ca_bundle_path"],
            "name": "" if is_address(host) else host,
        },
    }


def _forwarded(location: t.Mapping[str, t.Any]) -> str:
    """The path and the query that the upstream gets, byte by byte, for the service that decides.

    nginx has no variable for it. The upstream's path takes the place of the location's; behind it comes the rest of
    what nginx has decoded and resolved, encoded anew.
    """
    path = location["upstream"]["path"]
    if location["exact"]:
        return f"{path}$is_args$args"
    return f"{path[:-1]}$wss_below$is_args$args"


def _below(location: t.Mapping[str, t.Any]) -> str:
    """The regular expression of the paths below a folder, as $wss_written in gate.conf.j2 has them."""
    return f"^{re.escape(location['path'][:-1])}(?<wss_below>/.*)$"


def written(gate: Gate) -> t.Dict[str, str]:
    """The regular expressions of the paths that are known to be written as the upstream gets them."""
    encoded = [PLAIN_CHARACTERS, ENCODED_CHARACTERS] + [ENCODED_CHARACTERS_LATER] * (gate.version() >= (1, 21, 1))
    return {
        "plain": f"^/{PLAIN_CHARACTERS}*$",
        # Already as nginx would write it: no '.', '..' or empty part, which nginx would resolve.
        "encoded": rf"^(?![^?]*/\.{{0,2}}/)(?<wss_whole>/(?:{'|'.join(encoded)})*)(?<!/\.)(?<!/\.\.)(?:\?|$)",
    }


class _External(Method):
    name = "external"
    answers = (401, 403)
    guards = ("external",)

    def complete(self, gate: Gate, where: str, kind: Kind, options: Options, location: Options) -> t.Dict[str, t.Any]:
        found = _service(gate, where, options["external_auth_url"], kind)
        is_below = found["external"] and not location["exact"]
        return {
            **found,
            "forwarded": _forwarded(location) if found["external"] else "",
            "below": _below(location) if is_below else "",
        }


EXTERNAL = _External()
