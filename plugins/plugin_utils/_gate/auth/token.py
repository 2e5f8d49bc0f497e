# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token in a cookie: the name of a file in the store."""

from __future__ import annotations

import typing as t

from ..._cookie_patterns import cookie_patterns
from ..context import Gate
from ..patterns import COOKIE_NAME, slug
from .method import Kind, Method, Options


def _cookie(gate: Gate, name: str) -> t.Dict[str, t.Any]:
    if name not in gate.cookies:
        part = slug(name, (cookie["slug"] for cookie in gate.cookies.values()))
        gate.cookies[name] = {"name": name, "slug": part, "patterns": cookie_patterns(name, part)}
    return gate.cookies[name]


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
        return {"uses_token": is_used, "cookie": _cookie(gate, cookie_name) if is_used else None}


TOKEN = _Token()
