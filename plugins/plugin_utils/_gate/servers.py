# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's servers."""

from __future__ import annotations

import collections
import typing as t

from ...module_utils._tokens.pattern import TOKEN_PATTERN
from . import addresses, auth, listeners, locations, origins, path_readings, tls
from .auth import basic
from .context import Gate
from .options import ERROR_PAGE_DEFAULTS, SERVER_AUTH_KINDS, SERVER_DEFAULTS
from .patterns import FILE_NAME, INTERNAL_PATH, LOCATION_PATH, NAME, SERVER_NAME, SIZE, slug


def read(gate: Gate, where: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    problems = gate.problems
    options = problems.options(where, item, SERVER_DEFAULTS)
    name = problems.matches(where, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
    where = f"server {name!r}"
    is_balanced = item.get("trusted_proxies") is None and listeners.has_proxy_protocol(options["listen"])
    trusted = listeners.trusted_proxies(
        gate, where, listeners.balancers(gate, where) if is_balanced else options["trusted_proxies"]
    )
    listening = listeners.read(gate, where, options["listen"], bool(trusted))
    has_tls = any(entry["tls"] for entry in listening)
    root = gate.path(where, "root", options["root"])
    htpasswd_path = gate.path(where, "htpasswd_file", options["htpasswd_file"])
    server: t.Dict[str, t.Any] = {
        "name": name,
        "slug": slug(name, (s["slug"] for s in gate.servers)),
        "server_names": [
            problems.matches(where, "server name", n, SERVER_NAME, "a host name, '*.' and a host name, or '_'")
            for n in problems.items(where, "server_names", options["server_names"]) or [name]
        ],
        "listeners": listening,
        "tls": has_tls,
        "certificates": tls.certificates(gate, where, options["certificate"], has_tls),
        "client_certificates": tls.client_certificates(
            gate, f"{where}, client_certificates", options["client_certificates"], has_tls
        ),
        "redirect": listeners.redirect(gate, where, listening, options),
        "auth": problems.choice(where, "auth", options["auth"], SERVER_AUTH_KINDS),
        "htpasswd_path": "",
        "realm": basic.realm(gate, where, options["realm"]),
        "root": root,
        "index": [
            problems.matches(where, "index", i, FILE_NAME, "a file name")
            for i in problems.items(where, "index", options["index"])
        ],
        "error_pages": _error_pages(gate, where, options["error_pages"], root),
        "trusted_proxies": trusted,
        "real_ip_header": listeners.real_ip_header(gate, where, options["real_ip_header"], listening, trusted),
        "refuses_untrusted_proxies": _refuses_untrusted_proxies(gate, where, options, trusted, is_balanced),
        "hsts_max_age": problems.number(where, "hsts_max_age", options["hsts_max_age"], 0, 10**9),
        "http2_enabled": problems.flag(where, "http2_enabled", options["http2_enabled"]),
        "client_max_body_size": problems.optional(
            where, "client_max_body_size", options["client_max_body_size"], SIZE, "a size such as 500m"
        ),
        "connection_check_path": problems.optional(
            where,
            "connection_check_path",
            options["connection_check_path"],
            LOCATION_PATH,
            "a path that starts with /",
        ),
        "extra_directives": problems.raw(where, "extra_directives", options["extra_directives"]),
    }
    # Whose list of balancers it is.
    server["proxies"] = gate.alike("proxies", frozenset(trusted), server["slug"])
    if server["auth"] == "basic":
        server["htpasswd_path"] = basic.password_file(gate, where, htpasswd_path)
    server["addresses"] = addresses.read(gate, where, server["slug"], f"all of {name}", options)
    if not options["locations"] and not root:
        problems.add(where, "locations is empty; name at least one path with its upstream")
    server["locations"] = [
        locations.read(gate, here, server, htpasswd_path, f"{server['slug']}_{index}", item)
        for index, (here, item) in enumerate(problems.entries(where, "locations", options["locations"]))
    ]
    for location in server["locations"]:
        location["readings"] = path_readings.readings(location, server["locations"])
        location["reading"] = gate.alike("readings", tuple(location["readings"]), location["slug"])
        if location["readings"] and location["reading"] == location["slug"]:
            gate.readings.append(location)
    server["connection_check"] = _connection_check(gate, where, server)
    _check_paths(gate, where, server)
    return server


def _refuses_untrusted_proxies(
    gate: Gate, where: str, options: t.Mapping[str, t.Any], trusted: t.Sequence[str], is_balanced: bool
) -> bool:
    given = options["refuse_untrusted_proxies"]
    if given is None:
        return is_balanced and bool(trusted)
    refuses = gate.problems.flag(where, "refuse_untrusted_proxies", given)
    if refuses and not listeners.has_proxy_protocol(options["listen"]):
        gate.problems.add(where, "refuse_untrusted_proxies needs a listener with proxy_protocol; leave it out")
    return refuses


def _error_pages(gate: Gate, where: str, given: t.Any, root: str) -> t.List[t.Dict[str, t.Any]]:
    problems = gate.problems
    pages = []
    for here, item in problems.entries(where, "error_pages", given):
        options = problems.options(here, item, ERROR_PAGE_DEFAULTS)
        if not options["codes"]:
            problems.add(here, "codes is empty; name at least one status such as 404")
        codes = problems.items(here, "codes", options["codes"])
        if 499 in codes:
            problems.add(here, "499 is a client that went away, so nobody would see a page; leave it out")
        pages.append(
            {
                "codes": [problems.number(here, "code", code, 400, 599) for code in codes],
                "path": problems.matches(here, "path", options["path"], LOCATION_PATH, "a path that starts with /"),
            }
        )
    for code, number in collections.Counter(code for page in pages for code in page["codes"]).items():
        if number > 1:
            problems.add(where, f"error_pages names {code} twice; each status has one page")
    if pages and not root:
        problems.add(where, "error_pages are files below root; set root")
    return pages


def _connection_check(gate: Gate, where: str, server: t.Mapping[str, t.Any]) -> t.Optional[t.Dict[str, t.Any]]:
    """The page on which a person tries a token: what it offers, and the password it asks for so that the browser knows
    it.
    """
    path = server["connection_check_path"]
    if not path:
        return None
    if path.endswith("/"):
        gate.problems.add(where, f"connection_check_path {path!r} ends with /; it is one page, so leave the / out")
    if not server["tls"]:
        gate.problems.add(
            where,
            "connection_check_path needs a listener with TLS: no browser keeps a Secure cookie of a plain page",
        )
    own = origins.of_pages(server)
    # No page can write Authorization for a WebSocket.
    for_pages = [loc for loc in server["locations"] if auth.is_for_pages(loc)]
    offered = [loc for loc in for_pages if not own or any(origins.includes(loc["origins"], origin) for origin in own)]
    if not offered:
        if not server["locations"]:
            to_do = "there are no locations to try"
        elif not for_pages:
            to_do = "add cookie to the sources of one"
        else:
            to_do = f"add {min(own)} to the origins of one"
        gate.problems.add(
            where, f"connection_check_path is set, and no location lets pages of this server connect; {to_do}"
        )
    passwords = {
        (loc["htpasswd_path"], loc["realm"]) if auth.kind_of(loc["auth"]).requires(basic.BASIC) else None
        for loc in offered
    }
    asked = passwords.pop() if len(passwords) == 1 and server["auth"] == "none" else None
    return {
        "path": path,
        "locations": offered,
        "token_pattern": TOKEN_PATTERN,
        "htpasswd_path": asked[0] if asked else "",
        "realm": asked[1] if asked else "",
    }


def _check_paths(gate: Gate, where: str, server: t.Mapping[str, t.Any]) -> None:
    seen: t.Set[str] = set()
    paths = [entry["path"] for entry in server["locations"]]
    for path in paths + [server["connection_check_path"]] * bool(server["connection_check_path"]):
        if path in seen:
            gate.problems.add(where, f"path {path!r} is used twice; each location needs its own")
        seen.add(path)
        if f"{path}/".startswith(f"{INTERNAL_PATH}/"):
            gate.problems.add(where, f"path {path!r} is among the gate's own, below {INTERNAL_PATH}/; choose another")
    if "/" in seen and server["root"]:
        gate.problems.add(where, "a location / and a static root both want every other path; keep one of them")
