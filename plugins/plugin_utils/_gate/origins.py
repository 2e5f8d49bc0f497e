# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pages may connect (RFC 6454)."""

from __future__ import annotations

import re
import typing as t

from .._problems import shown
from .context import Gate
from .options import DEFAULT_PORTS
from .patterns import ORIGIN, parsed

# Letters, and wildcards, that the regular expression of a location's origins has at most. More origins are a map, which
# finds one of many at once. PCRE makes some 7 KB of a wildcard, of 64 KB that an expression may have (pcre2limits).
PATTERN_MAX_LENGTH = 1000
PATTERN_MAX_WILDCARDS = 4


def read(
    gate: Gate,
    where: str,
    slug: str,
    server: t.Dict[str, t.Any],
    path: str,
    options: t.Mapping[str, t.Any],
    has_http: bool,
) -> t.Dict[str, t.Any]:
    problems = gate.problems
    allowed: t.List[str] = []
    for index, item in enumerate(problems.items(where, "origins", options["origins"])):
        here = f"{where}, origins[{index}]"
        # Scheme and host have no case (RFC 6454 4).
        match = parsed(ORIGIN, str(item).lower())
        if not match:
            problems.add(
                here,
                f"{shown(item)} is not scheme://host[:port], such as https://app.example.com, with nothing after it; "
                "* stands only for whole labels in front of a domain, such as https://*.example.com",
            )
            continue
        if match["below"]:
            _check_wildcard(gate, here, item, match)
        if match["scheme"] in ("ws", "wss"):
            gate.warnings.append(
                f"{here}: browsers send a page's own scheme, {match['scheme'].replace('ws', 'http')}://, and never "
                f"{match['scheme']}://; is that meant, for a program?"
            )
        port = problems.number(here, "port", match["port"], 1, 65535) if match["port"] else None
        named = "" if port is None or port == DEFAULT_PORTS.get(match["scheme"]) else f":{port}"
        allowed.append(f"{match['scheme']}://{match['below'] or ''}{match['host']}{named}")
    allowed = list(dict.fromkeys(allowed if options["origins"] else _own(gate, where, server)))
    origins = {
        "slug": slug,
        "server": server["name"],
        "path": path,
        # Each origin once, without the port that its scheme has anyway.
        "allowed": allowed,
        "exact": [text for origin in allowed if "*" not in origin for text in _spellings(origin)],
        "patterns": [_pattern(origin) for origin in allowed if "*" in origin],
        "missing": problems.flag(where, "allow_missing_origin", options["allow_missing_origin"]),
        "http": has_http,
    }
    return {**origins, **_check_of(gate, origins)}


def _check_of(gate: Gate, origins: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    """How a location looks at them: by one regular expression, or by a map, which locations with the same share."""
    pattern = _pattern_of_all(origins)
    if len(pattern) <= PATTERN_MAX_LENGTH and len(origins["patterns"]) <= PATTERN_MAX_WILDCARDS:
        is_by_site = origins["http"] and not origins["missing"]
        return {"variable": "wss_page" if is_by_site else "http_origin", "pattern": pattern}
    content = (tuple(sorted(origins["allowed"])), origins["missing"], origins["http"])
    slug = gate.alike("origins", content, origins["slug"])
    if slug == origins["slug"]:
        gate.origins.append(origins)
    return {"variable": f"wss_origin_{slug}", "pattern": ""}


def _pattern_of_all(origins: t.Mapping[str, t.Any]) -> str:
    """The regular expression (PCRE, without case) of the origins that may connect.

    With plain requests it is that of $wss_page in gate.conf.j2, which begins with a word where there is an origin.
    """
    each = [_pattern(origin) if "*" in origin else _with_default_port(origin) for origin in origins["allowed"]]
    # Where there are none, what no origin fits.
    each = each or ["(?!)"]
    if origins["missing"]:
        return f"^(?:|{'|'.join(each)})$"
    pattern = each[0] if len(each) == 1 else f"(?:{'|'.join(each)})"
    return f"^(?:1|from {pattern})$" if origins["http"] else f"^{pattern}$"


def _with_default_port(origin: str) -> str:
    port = _default_port(origin)
    return re.escape(origin) + (f"(?:{port})?" if port else "")


def _check_wildcard(gate: Gate, where: str, item: t.Any, match: t.Match[str]) -> None:
    """A wildcard has to stay within a domain that somebody owns; which of those are open to all is not known here."""
    if match["scheme"] not in DEFAULT_PORTS:
        gate.problems.add(where, f"{shown(item)} has a scheme whose hosts have no domains; list the origins themselves")
    elif "." not in match["host"] or match["host"].rpartition(".")[2].isdigit():
        # https://*.0.0.1 would be https://127.0.0.1, too: https://url.spec.whatwg.org/#ends-in-a-number-checker
        gate.problems.add(
            where,
            f"{shown(item)} would let in everybody's pages: behind *. there has to be a domain of your own with a dot "
            "in "
            "it, such as *.example.com; list the origins themselves",
        )


def _default_port(origin: str) -> str:
    """The port that the origin has without naming it, such as ``:443``."""
    scheme, _mark, rest = origin.partition("://")
    has_port = ":" in rest.rpartition("]")[2]
    return f":{DEFAULT_PORTS[scheme]}" if scheme in DEFAULT_PORTS and not has_port else ""


def _spellings(origin: str) -> t.List[str]:
    """How clients send it: https://h and https://h:443 are one origin (RFC 6454 4), and not only browsers connect."""
    return list(dict.fromkeys([origin, origin + _default_port(origin)]))


def _pattern(origin: str) -> str:
    """The regular expression of the origins that a wildcard stands for: one or more whole labels in front of a domain.

    It has neither ``^`` nor ``$``.

    Each label ends at its dot, so there is one way to match. Names have 253 characters at most (RFC 1035 2.3.4), which
    bounds the labels.
    """
    before, _star, behind = origin.partition("*.")
    domain, colon, port = behind.partition(":")
    end = colon + port if port else f"(?:{_default_port(origin)})?"
    return rf"{before}(?:[a-z0-9_-]{{1,63}}\.){{1,126}}{re.escape(domain)}{end}"


def includes(origins: t.Mapping[str, t.Any], origin: str) -> bool:
    """Whether pages of that origin, in lower case and without a default port, may connect."""
    return origin in origins["exact"] or any(re.fullmatch(pattern, origin) for pattern in origins["patterns"])


def example(origins: t.Mapping[str, t.Any]) -> str:
    """An origin that is let in; none where only clients without one are."""
    return (origins["allowed"] or [""])[0].replace("*", "any")


def _own(gate: Gate, where: str, server: t.Dict[str, t.Any]) -> t.List[str]:
    """What a page that this very server delivers over https sends as its Origin (RFC 6454 6.1)."""
    origins = of_pages(server)
    if not origins:
        gate.problems.add(
            where,
            "origins is empty, and the server has no plain name and https port to derive them from; list the origins",
        )
    return origins


def of_pages(server: t.Mapping[str, t.Any]) -> t.List[str]:
    names = [name.lower() for name in server["server_names"] if name != "_" and "*" not in name]
    ports = dict.fromkeys(entry["port"] for entry in server["listeners"] if entry["port"] and entry["tls"])
    return [f"https://{name}" + ("" if port == 443 else f":{port}") for name in names for port in ports]
