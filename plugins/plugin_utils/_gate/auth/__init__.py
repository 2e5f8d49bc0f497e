# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of authentication, and what the option auth takes.

A new method is a file here, an entry in KINDS, one in combination.py's LISTED where it goes with others, and its part
of the templates.
"""

from __future__ import annotations

import typing as t

from ..._problems import shown
from ..context import Gate
from . import combination
from .basic import BASIC
from .external import EXTERNAL
from .jwt import JWT
from .method import Kind, Method
from .none import NONE
from .token import TOKEN

# In the order in which messages name them. Methods of one kind stand in the order in which nginx asks for them.
KINDS: t.Dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("token", (TOKEN,)),
        Kind("basic", (BASIC,)),
        Kind("token_or_basic", (BASIC, TOKEN), is_any=True),
        Kind("token_and_basic", (BASIC, TOKEN)),
        Kind("jwt", (JWT,)),
        Kind("jwt_or_basic", (BASIC, JWT), is_any=True),
        Kind("jwt_and_basic", (BASIC, JWT)),
        Kind("external", (EXTERNAL,)),
        Kind("none", (NONE,)),
    )
}

METHODS: t.Tuple[Method, ...] = tuple(dict.fromkeys(method for kind in KINDS.values() for method in kind.methods))


def kind_of(name: str) -> Kind:
    """What was refused as none of KINDS asks for nothing."""
    return KINDS.get(name) or combination.kind_of(name) or Kind(name, ())


def read(gate: Gate, where: str, given: t.Any, usual: str) -> t.Tuple[Kind, bool]:
    """What the option auth asks for, and whether it asks for a client certificate besides."""
    if not isinstance(given, t.Mapping):
        if isinstance(given, (list, tuple)):
            gate.problems.add(
                where,
                f"auth {shown(given)} does not tell whether one of them is enough; write {{any: [...]}} or "
                "{all: [...]}",
            )
            return kind_of(""), False
        name = str(usual if given == "" else given)
        if name not in KINDS:
            gate.problems.add(
                where,
                f"auth {shown(name)} is none of {', '.join(KINDS)}; others are written {{any: [token, jwt]}} or "
                "{all: [token, jwt]}",
            )
        return KINDS.get(name, Kind(name, ())), False
    names, is_any = combination.names(gate, where, given)
    # Where nobody gets in without, a certificate is asked for before anything else: the option has it already.
    is_required = "client_certificate" in names and (not is_any or len(names) == 1)
    rest = [name for name in names if not (is_required and name == "client_certificate")]
    if len(rest) > 1:
        # What has a name of its own is that: {any: [token, basic]} is token_or_basic.
        return kind_of(combination.kind(rest, is_any).name), is_required
    return kind_of(rest[0] if rest else "none" if is_required else ""), is_required


def is_for_pages(location: t.Mapping[str, t.Any]) -> bool:
    """Whether a page can bring what this location asks for: it cannot write Authorization for a WebSocket."""
    kind = kind_of(location["auth"])
    carried = {"token": location["token"], "jwt": location["jwt"]}
    can_bring = [
        method.name not in carried or "cookie" in (carried[method.name] or {"sources": []})["sources"]
        for method in kind.methods
    ]
    return any(can_bring) if kind.is_any else all(can_bring)
