# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many attempts and sessions a location takes."""

from __future__ import annotations

import typing as t

from .context import Gate


def read(gate: Gate, where: str, location: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
    problems = gate.problems
    attempts = problems.number(where, "max_attempts_per_second", options["max_attempts_per_second"], 0, 10**6)
    per_address = problems.number(where, "max_sessions_per_address", options["max_sessions_per_address"], 0, 65535)
    per_token = problems.number(where, "max_sessions_per_token", options["max_sessions_per_token"], 0, 65535)
    if per_token and location["auth"] and not location["uses_token"]:
        problems.add(where, f"max_sessions_per_token goes with a token; auth is {location['auth']}")
    slug = location["slug"]
    # A reload refuses a zone that has another key than before: 64 tells these from those of earlier versions.
    if attempts:
        gate.zones.append({"kind": "req", "key": "$wss_network", "name": f"wss_attempts64_{slug}", "rate": attempts})
    if per_address:
        gate.zones.append({"kind": "conn", "key": "$wss_network", "name": f"wss_sessions64_{slug}", "rate": 0})
    if per_token and location["token"]:
        # Another cookie or source is another key, hence another name; no slug of a cookie or location has a '-'.
        token = location["token"]
        zone = {"kind": "conn", "key": f"${token['variable']}", "name": f"wss_tokens_{token['slug']}-{slug}", "rate": 0}
        gate.zones.append(zone)
    return {"attempts": attempts, "sessions_per_address": per_address, "sessions_per_token": per_token}
