# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A signed token (JWT) in a cookie or in Authorization: whose signature is right, and what it says, tells jwt.js."""

from __future__ import annotations

import typing as t

from .. import issuers as issuers_
from ..context import Gate
from . import carried
from .method import Kind, Method, Options
from .token import TOKEN

NO_MODULE = (
    "needs nginx's JavaScript module (njs), and this system's own nginx has none: have a service of your own decide "
    "(auth: external), or install nginx.org's nginx-module-njs and set nginx_javascript_packages and "
    "nginx_javascript_module"
)


class _Jwt(Method):
    name = "jwt"
    credential = "token"
    answers = (403,)
    guards = ("jwt",)

    def read(self, gate: Gate, where: str, kind: Kind, options: Options, inherited: Options) -> t.Dict[str, t.Any]:
        problems = gate.problems
        names = [str(name) for name in problems.items(where, "issuers", options["issuers"])]
        if not kind.uses(self):
            if names and kind.methods:
                problems.add(where, f"issuers goes with auth: jwt, not with {kind.name}")
            return {"uses_jwt": False, "jwt": None}
        if not gate.context["javascript_module"]:
            problems.add(where, f"auth {kind.name} {NO_MODULE}")
        # What is no list is told already.
        if not names and isinstance(options["issuers"], (list, tuple)):
            problems.add(where, f"auth {kind.name} needs issuers, names from wss_proxy_issuers whose tokens count here")
        for name in names:
            if name not in gate.issuers:
                problems.add(
                    where,
                    f"issuer {name!r} is not in wss_proxy_issuers, which has {', '.join(gate.issuers) or 'nobody'}",
                )
        if len(set(names)) < len(names):
            problems.add(where, "issuers names one twice; keep one")
        # A password takes Authorization for itself where both are needed.
        sources = carried.sources(gate, where, kind, JWT, options["sources"])
        # Where a token is needed besides, the cookie is for that one alone.
        is_beside_token = not kind.is_any and kind.uses(TOKEN)
        place = (
            carried.place_in_authorization("jwt")
            if is_beside_token
            else carried.place(carried.cookie(gate, "jwt", str(options["cookie_name"])), sources)
        )
        known = [gate.issuers[name] for name in names if name in gate.issuers]
        places = issuers_.answer_headers(gate.issuers.values())
        return {
            "uses_jwt": True,
            **({} if is_beside_token else {"cookie": carried.cookie(gate, "jwt", str(options["cookie_name"]))}),
            "jwt": {
                **place,
                "issuers": names,
                "headers": [
                    {"name": name, "place": [place.lower() for place in places].index(name.lower())}
                    for name in issuers_.answer_headers(known)
                ],
            },
        }


JWT = _Jwt()
