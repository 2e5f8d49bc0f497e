# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain HTTP requests beside the WebSocket of a location."""

from __future__ import annotations

import typing as t

from .context import Gate
from .options import HTTP_DEFAULTS, HTTP_METHODS


def read(gate: Gate, where: str, slug: str, given: t.Any) -> t.Optional[t.Dict[str, t.Any]]:
    """What is let through; None: nothing but WebSockets."""
    problems = gate.problems
    methods: t.List[str] = list(HTTP_METHODS)
    if isinstance(given, t.Mapping):
        here = f"{where}, http"
        options = problems.options(here, given, HTTP_DEFAULTS)
        named = problems.items(here, "methods", options["methods"])
        # What is no list is told already.
        if not named and isinstance(options["methods"], (list, tuple)):
            problems.add(here, "methods is empty; name at least one such as GET, or set http: false")
        methods = list(dict.fromkeys(problems.choice(here, "methods", method, HTTP_METHODS) for method in named))
    elif not problems.flag(where, "http", given):
        return None
    return {
        "methods": methods,
        # A WebSocket begins with a GET, whatever is let through beside it.
        # Whether a location takes a method; the same for all locations that take the same ones.
        "variable": f"wss_method_{gate.alike('methods', frozenset(methods), slug)}",
        "allow": ", ".join(["GET"] * ("GET" not in methods) + methods),
        "has_preflights": "OPTIONS" in methods,
    }


def warn(gate: Gate, where: str, location: t.Mapping[str, t.Any]) -> None:
    if location["http"] and location["auth"] == "none" and not location["exact"]:
        gate.warnings.append(
            f"{where}: auth: none with http lets everybody ask {location['path']} and all below it for anything: "
            "an open reverse proxy. Is that meant? Ask for a token or a password, or name the exact path."
        )
