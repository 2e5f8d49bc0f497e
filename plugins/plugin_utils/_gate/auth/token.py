# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token in a cookie or in Authorization: the name of a file in the store."""

from __future__ import annotations

import typing as t

from ..._cookie_patterns import cookie_patterns
from ..context import Gate
from ..options import LOCATION_DEFAULTS, TOKEN_SOURCES
from ..patterns import COOKIE_NAME, slug
from .method import Kind, Method, Options


def _cookie(gate: Gate, name: str) -> t.Dict[str, t.Any]:
    if name not in gate.cookies:
        part = slug(name, (cookie["slug"] for cookie in gate.cookies.values()))
        gate.cookies[name] = {
            "name": name,
            "slug": part,
            "patterns": cookie_patterns(name, part),
            # Whether a token may come in Authorization instead.
            "has_alternative": False,
        }
    return gate.cookies[name]


def _sources(gate: Gate, where: str, kind: Kind, given: t.Any) -> t.List[str]:
    problems = gate.problems
    named = problems.items(where, "sources", given)
    chosen = {problems.choice(where, "sources", source, TOKEN_SOURCES) for source in named}
    if isinstance(given, (list, tuple)) and not named:
        problems.add(where, f"sources is empty; name one or both of {', '.join(TOKEN_SOURCES)}")
    if not kind.uses(TOKEN) and given != LOCATION_DEFAULTS["sources"]:
        problems.add(where, f"sources goes with a token; auth is {kind.name}")
    if kind.name == "token_and_basic" and "bearer" in chosen:
        problems.add(
            where,
            "auth token_and_basic takes the password from Authorization, which cannot hold a token too; "
            "set sources: [cookie]",
        )
    return [source for source in TOKEN_SOURCES if source in chosen]


def _token(cookie: t.Dict[str, t.Any], sources: t.List[str]) -> t.Dict[str, t.Any]:
    """What the templates call it. No cookie's slug has a '-'."""
    name = cookie["slug"]
    if "bearer" not in sources:
        slug, variable = name, f"wss_token_{name}"
    elif "cookie" not in sources:
        slug, variable = "-bearer", "wss_bearer"
    else:
        slug, variable = f"{name}-bearer", f"wss_either_{name}"
        cookie["has_alternative"] = True
    return {"slug": slug, "variable": variable, "sources": sources}


class _Token(Method):
    name = "token"
    credential = "token"
    answers = (403,)

    def read(self, gate: Gate, where: str, kind: Kind, options: Options, inherited: Options) -> t.Dict[str, t.Any]:
        is_used = kind.uses(self)
        cookie_name = gate.problems.matches(
            where, "cookie_name", options["cookie_name"], COOKIE_NAME, "1 to 64 letters, digits, '.', '_' and '-'"
        )
        if is_used and not gate.context["token_store_path"]:
            gate.problems.add(
                where, f"auth {kind.name} needs a token store; set token_store_path, as role token_store takes it"
            )
        sources = _sources(gate, where, kind, options["sources"])
        # The cookie is kept from the upstream wherever tokens are asked for: it may be another location's token.
        cookie = _cookie(gate, cookie_name) if is_used else None
        return {"uses_token": is_used, "cookie": cookie, "token": _token(cookie, sources) if cookie else None}


TOKEN = _Token()
