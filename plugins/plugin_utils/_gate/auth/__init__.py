# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods of authentication, and what the option auth takes.

A new method is a file here, an entry in KINDS, and its part of the templates.
"""

from __future__ import annotations

import typing as t

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
    return KINDS.get(name, Kind(name, ()))
