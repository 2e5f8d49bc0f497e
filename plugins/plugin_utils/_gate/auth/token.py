# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token in a cookie or in Authorization: the name of a file in the store."""

from __future__ import annotations

import typing as t

from ..context import Gate
from . import carried
from .method import Kind, Method, Options


class _Token(Method):
    name = "token"
    credential = "token"
    answers = (403,)
    guards = ("cookie", "token")

    def read(self, gate: Gate, where: str, kind: Kind, options: Options, inherited: Options) -> t.Dict[str, t.Any]:
        is_used = kind.uses(self)
        cookie_name = carried.cookie_name(gate, where, options)
        if is_used and not gate.context["token_store_path"]:
            gate.problems.add(
                where, f"auth {kind.name} needs a token store; set token_store_path, as role token_store takes it"
            )
        if options["sources"] and kind.methods and not any(method.credential == "token" for method in kind.methods):
            gate.problems.add(where, f"sources goes with a token; auth is {kind.name}")
        if not is_used:
            return {"uses_token": False, "cookie": None, "token": None}
        sources = carried.sources(gate, where, kind, TOKEN, options["sources"])
        # The cookie is kept from the upstream wherever tokens are asked for: it may be another location's token.
        cookie = carried.cookie(gate, "token", cookie_name)
        return {"uses_token": True, "cookie": cookie, "token": carried.place(cookie, sources)}


TOKEN = _Token()
