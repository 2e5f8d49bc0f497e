# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client carries in a cookie or in Authorization, whichever kind of token it is."""

from __future__ import annotations

import typing as t

from ..._cookie_patterns import cookie_patterns
from ..._problems import Problems
from ..context import Gate
from ..options import TOKEN_SOURCES
from ..patterns import COOKIE_NAME, slug
from .method import Kind, Method, Options

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
            "patterns": cookie_patterns(name, kind),
            "bearer": BEARER_VARIABLES[kind],
            # Whether a token may come in Authorization instead.
            "has_alternative": False,
        }
    return gate.cookies[key]


def cookie_name(gate: Gate, where: str, options: Options) -> str:
    return gate.problems.matches(
        where, "cookie_name", options["cookie_name"], COOKIE_NAME, "1 to 64 letters, digits, '.', '_' and '-'"
    )


def sources(gate: Gate, where: str, kind: Kind, method: Method, given: t.Any) -> t.List[str]:
    """Where this method's token may come from, in the order of TOKEN_SOURCES."""
    carried = [other.name for other in kind.methods if other.name in BEARER_VARIABLES]
    # The option is one for both kinds of token; what is wrong with it is told once.
    problems = gate.problems if method.name == carried[0] else Problems()
    chosen = {
        problems.choice(where, "sources", source, TOKEN_SOURCES) for source in problems.items(where, "sources", given)
    }
    has_password = (
        any(kind.requires(other) for other in kind.methods if other.name == "basic") and len(kind.methods) > 1
    )
    if len(carried) > 1 and not kind.is_any:
        if chosen and chosen != set(TOKEN_SOURCES):
            problems.add(
                where,
                f"auth {kind.name} takes the token from the cookie and the signed one from Authorization, as one "
                "place holds one of them; leave sources out",
            )
        return ["cookie" if method.name == "token" else "bearer"]
    if has_password and "bearer" in chosen:
        problems.add(
            where,
            f"auth {kind.name} takes the password from Authorization, which cannot hold a token too; "
            "set sources: [cookie]",
        )
    usual = TOKEN_SOURCES if "jwt" in carried and not has_password else ("cookie",)
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


def place_in_authorization(kind: str) -> t.Dict[str, t.Any]:
    """The same for a token that comes in Authorization alone, and has no cookie to be kept from the upstream."""
    return {"slug": "-bearer", "variable": BEARER_VARIABLES[kind], "sources": ["bearer"]}
