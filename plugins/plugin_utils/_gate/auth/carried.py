# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client carries in a cookie or in Authorization, whichever kind of token it is."""

from __future__ import annotations

import typing as t

from ..._cookie_patterns import cookie_patterns
from ..context import Gate
from ..options import TOKEN_SOURCES
from ..patterns import COOKIE_NAME, slug
from .method import Kind, Options

# Variables of nginx with what stands in Authorization, by kind of token.
BEARER_VARIABLES = {"token": "wss_bearer", "jwt": "wss_jwt_bearer"}


def cookie(gate: Gate, kind: str, name: str) -> t.Dict[str, t.Any]:
    """The cookie of this name with a token of this kind, the same for all locations."""
    key = f"{kind}:{name}"
    if key not in gate.cookies:
        part = slug(name, (known["slug"] for known in gate.cookies.values()))
        gate.cookies[key] = {
            "name": name,
            "kind": kind,
            "slug": part,
            "patterns": cookie_patterns(name, part, kind),
            "bearer": BEARER_VARIABLES[kind],
            # Whether a token may come in Authorization instead.
            "has_alternative": False,
        }
    return gate.cookies[key]


def cookie_name(gate: Gate, where: str, options: Options) -> str:
    return gate.problems.matches(
        where, "cookie_name", options["cookie_name"], COOKIE_NAME, "1 to 64 letters, digits, '.', '_' and '-'"
    )


def sources(gate: Gate, where: str, kind: Kind, given: t.Any, usual: t.Sequence[str]) -> t.List[str]:
    """Where the token may come from, in the order of TOKEN_SOURCES."""
    problems = gate.problems
    chosen = {
        problems.choice(where, "sources", source, TOKEN_SOURCES) for source in problems.items(where, "sources", given)
    }
    if kind.name.endswith("_and_basic") and "bearer" in chosen:
        problems.add(
            where,
            f"auth {kind.name} takes the password from Authorization, which cannot hold a token too; "
            "set sources: [cookie]",
        )
    return [source for source in TOKEN_SOURCES if source in (chosen or usual)]


def place(cookie: t.Dict[str, t.Any], sources: t.Sequence[str]) -> t.Dict[str, t.Any]:
    """Where the templates find the token. No cookie's slug has a '-'."""
    name = cookie["slug"]
    if "bearer" not in sources:
        slug, variable = name, f"wss_token_{name}"
    elif "cookie" not in sources:
        slug, variable = "-bearer", cookie["bearer"]
    else:
        slug, variable = f"{name}-bearer", f"wss_either_{name}"
        cookie["has_alternative"] = True
    return {"slug": slug, "variable": variable, "sources": list(sources)}
