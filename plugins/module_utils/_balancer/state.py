# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a balancer is doing: which gates get sessions, and which addresses it has."""

from __future__ import annotations

import json
import time
import typing as t

from .._host import run
from . import stats
from .service import Systemd, wait


CHECK_LIMIT = 15.0


def held_addresses(wanted: t.Sequence[str]) -> t.List[str]:
    """Those of the addresses that an interface of this host has."""
    try:
        done = run.run(["ip", "-json", "address", "show"])
        links = json.loads(done.output) if done.status == 0 else []
    except (run.ProgramError, ValueError):
        return []
    present = {entry.get("local") for link in links for entry in link.get("addr_info", [])}
    return [address for address in wanted if address in present]


def await_checks(socket: str, delay: float) -> None:
    """Wait so long that each gate is checked once more, and until no check is under way.

    HAProxy counts no checks, so that only the time between two of them tells that there was one.
    """
    if not delay or not stats.info(socket):
        return
    time.sleep(delay)

    def all_are_done() -> bool:
        return not any(gate["checking"] for service in stats.services(socket) for gate in service["gates"])

    wait(all_are_done, CHECK_LIMIT)


def look(socket: str, addresses: t.Sequence[str], keepalived: str) -> t.Dict[str, t.Any]:
    """The state as the module returns it."""
    info = stats.info(socket)
    held = held_addresses(addresses)
    services = stats.services(socket) if info else []
    return {
        "haproxy": {
            "running": bool(info),
            "version": info.get("Version", ""),
            "sessions": sum(service["sessions"] for service in services),
            "max_connections": int(info.get("Maxconn", "0") or 0),
            "services": services,
        },
        "keepalived": {
            "running": bool(addresses) and Systemd(keepalived).show("ActiveState") == "active",
            "addresses": [{"address": address, "held": address in held} for address in addresses],
        },
    }
