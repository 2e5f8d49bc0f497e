# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gate that gets no new sessions at once, by order, until HAProxy's own checks have found that it wants none.

Between the moment at which a gate begins to refuse handshakes and the next check of it, clients would be refused.
"""

from __future__ import annotations

import re
import time
import typing as t

from . import stats
from .error import BalancerError
from .service import wait

# What HAProxy takes for a name, and nothing that would be a second command.
NAME = re.compile(r"[A-Za-z0-9._:-]+")
# As HAProxy tells of the answer 503, by the service's own rule (L7OKC).
REFUSES = "L7OKC/503"
# The first word of the status of a gate that gets no new sessions by order. By a check it is NOLB.
BY_ORDER = "DRAIN"


def _gates(socket: str, gate: str, services: t.Optional[t.Sequence[str]] = None) -> t.Dict[str, t.Dict[str, t.Any]]:
    """The gate as HAProxy has it, by service."""
    return {
        service["name"]: one
        for service in stats.services(socket)
        if services is None or service["name"] in services
        for one in service["gates"]
        if one["name"] == gate
    }


def _order(socket: str, service: str, gate: str, state: str) -> None:
    for name in (service, gate):
        if not NAME.fullmatch(name):
            raise BalancerError(f"{name!r} is no name of HAProxy's")
    answer = stats.ask(socket, f"set server {service}/{gate} state {state}").strip()
    if answer:
        raise BalancerError(f"HAProxy does not set gate {gate} of service {service} to {state}: {answer}")


def take_out(socket: str, gate: str, check: bool = False, grace: float = 0) -> t.List[str]:
    """Have no new sessions sent to the gate; return the services in which it was in rotation until now.

    Handshakes that are under way then have ``grace`` seconds to end: HAProxy does not know them from sessions.
    """
    names = [name for name, one in _gates(socket, gate).items() if one["state"] == stats.UP]
    if names and not check:
        for name in names:
            _order(socket, name, gate, "drain")
        time.sleep(grace)
    return names


def leave_to_checks(socket: str, gate: str, services: t.Sequence[str], refuses: bool, limit: float) -> bool:
    """Take the order back. With ``refuses``, first wait for a check that was refused; return whether there was one."""
    found = not refuses or wait(
        lambda: all(one["check"] == REFUSES for one in _gates(socket, gate, services).values()), limit
    )
    for name in _gates(socket, gate, services):
        _order(socket, name, gate, "ready")
    return found


def release(socket: str, gate: str, check: bool = False) -> t.List[str]:
    """Take back each order that keeps new sessions from the gate, whoever gave it; return in which services.

    A run that was killed in between leaves its order behind, and no check lifts that.
    """
    names = [name for name, one in _gates(socket, gate).items() if one["status"].startswith(BY_ORDER)]
    for name in () if check else names:
        _order(socket, name, gate, "ready")
    return names


def await_up(socket: str, gate: str, services: t.Sequence[str], limit: float) -> t.List[str]:
    """Wait until the gate gets new sessions again; return the services in which it does not."""

    def missing() -> t.List[str]:
        return [name for name, one in _gates(socket, gate, services).items() if one["state"] != stats.UP]

    wait(lambda: not missing(), limit)
    return missing()
