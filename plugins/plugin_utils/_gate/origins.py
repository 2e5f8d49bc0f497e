# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pages may connect (RFC 6454)."""

from __future__ import annotations

import typing as t

from .._problems import shown
from .context import Gate
from .options import DEFAULT_PORTS
from .patterns import ORIGIN, parsed


def read(
    gate: Gate, where: str, slug: str, server: t.Dict[str, t.Any], path: str, options: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Any]:
    problems = gate.problems
    allowed: t.List[str] = []
    for index, item in enumerate(problems.items(where, "origins", options["origins"])):
        here = f"{where}, origins[{index}]"
        origin = str(item).lower()
        match = parsed(ORIGIN, origin)
        if not match:
            problems.add(
                here,
                f"{shown(item)} is not scheme://host[:port], such as https://app.example.com, with nothing after it",
            )
            continue
        if match["port"]:
            port = problems.number(here, "port", match["port"], 1, 65535)
            if DEFAULT_PORTS.get(match["scheme"]) == port:
                problems.add(
                    here, f"{item!r} names the default port, which no browser sends; leave :{match['port']} out"
                )
        allowed.append(origin)
    origins = {
        "slug": slug,
        "server": server["name"],
        "path": path,
        "allowed": list(dict.fromkeys(allowed if options["origins"] else _own(gate, where, server))),
        "missing": problems.flag(where, "allow_missing_origin", options["allow_missing_origin"]),
    }
    gate.origins.append(origins)
    return origins


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
