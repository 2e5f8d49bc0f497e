# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the sessions of a location may last, and which of them the session log has."""

from __future__ import annotations

import typing as t

from .auth.method import Kind
from .auth.jwt import JWT
from .auth.token import TOKEN
from .context import Gate


def read(
    gate: Gate, where: str, server: t.Mapping[str, t.Any], kind: Kind, options: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Any]:
    problems = gate.problems
    most = problems.number(where, "max_session_lifetime", options["max_session_lifetime"], 0, 10**7)
    spread = problems.number(where, "max_session_lifetime_spread", options["max_session_lifetime_spread"], 0, 50)
    is_listed = problems.flag(where, "session_listed", options["session_listed"])
    for name, is_asked in (("max_session_lifetime", most), ("session_listed", is_listed)):
        if is_asked and not gate.context["session_log_path"]:
            problems.add(
                where, f"{name} needs the session log; set token_store_session_log, as role token_store takes it"
            )
    if kind.uses(JWT) and not gate.context["session_log_path"]:
        gate.warnings.append(
            f"{where}: without a session log nothing ends sessions when their signed token does; set "
            "token_store_session_log, as role token_store takes it"
        )
    sockets = [entry["unix"] for entry in server["listeners"] if entry["unix"]]
    if most and sockets:
        gate.warnings.append(
            f"{where}: max_session_lifetime ends no session that comes by {', '.join(sockets)}: nothing but nginx can "
            "close a connection over a unix socket. Let the load balancer connect to a port of the loopback."
        )
    has_token = kind.requires(TOKEN) or kind.requires(JWT)
    # Where a token is one way in of several, the agent would count those alone that came by it.
    is_counted = bool(gate.context["metrics"] and gate.context["session_log_path"]) and (
        kind.uses(TOKEN) or kind.uses(JWT)
    )
    return {
        # Whether an agent has to end sessions of this location.
        "ends_in_time": bool(most or (kind.uses(JWT) and gate.context["session_log_path"])),
        # Seconds, at least and at most, as the session log has them.
        "session_lifetime": f"{most - most * spread // 100}-{most}" if most else "",
        # The check of a token notes what it lets in, signed or not. It lets in a preflight, too, which is answered
        # at once.
        "session_noted": bool(most or is_listed or is_counted) and not has_token,
    }
