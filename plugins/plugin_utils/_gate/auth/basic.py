# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user name and a password, by HTTP Basic authentication."""

from __future__ import annotations

import typing as t

from ..context import Gate
from ..patterns import REALM
from .method import Kind, Method, Options


def password_file(gate: Gate, where: str, given: str) -> str:
    """The file named, or the only one that there is."""
    known = list(gate.htpasswd_files)
    if given or len(known) == 1:
        return given or gate.path(where, "htpasswd_file", known[0])
    gate.problems.add(
        where,
        f"basic authentication needs a password file: set htpasswd_file (htpasswd_files has {len(known)} to choose "
        f"from){'' if known else ', and add that file to htpasswd_files'}",
    )
    return ""


def realm(gate: Gate, where: str, given: t.Any) -> str:
    name = gate.problems.matches(where, "realm", given, REALM, "1 to 64 letters, digits, blanks and . _ , : ( ) / -")
    if name == "off":
        # https://nginx.org/r/auth_basic
        gate.problems.add(where, "realm 'off' would have nginx ask for no password; choose another word")
    return name


class _Basic(Method):
    name = "basic"
    credential = "password"
    answers = (401,)
    guards = ("htpasswd_path",)

    def read(self, gate: Gate, where: str, kind: Kind, options: Options, inherited: Options) -> t.Dict[str, t.Any]:
        is_used = kind.uses(self)
        path = gate.path(where, "htpasswd_file", options["htpasswd_file"]) or inherited["htpasswd_file"]
        return {
            "uses_basic": is_used,
            "htpasswd_path": password_file(gate, where, path) if is_used else "",
            "realm": realm(gate, where, options["realm"]) if options["realm"] else inherited["realm"],
        }


BASIC = _Basic()
