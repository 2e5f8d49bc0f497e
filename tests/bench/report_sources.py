# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stored results that docs/performance.md and docs/sizing.md are made from, and which of them are old."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .report_tables import Results, listed

PERFORMANCE, CROWD = "performance.json", "crowd-figures.json"
SYSTEMS, LOCATIONS = "systems-figures.json", "locations-figures.json"
#: Changes of the roles' defaults that figures follow from: the day, what changed, what of performance.json it touches.
CHANGES = (
    (
        "2026-11-30",
        "pools of 1k for a request and of 256 bytes for a connection",
        ("guards", "instructions", "memory", "refusing", "reload", "requests", "traffic"),
    ),
)


@dataclass(frozen=True)
class Sources:
    """What was measured, by the bench that measured it; empty where there are no such results."""

    performance: Results
    crowd: Results = field(default_factory=dict)
    systems: Results = field(default_factory=dict)
    locations: Results = field(default_factory=dict)


def read(performance: Results, folder: Path) -> Sources:
    """These results, and those of the other benches that a folder has.

    Raises ValueError where one of its files is no JSON.
    """

    def stored(name: str) -> Results:
        path = folder / name
        found: Results = json.loads(path.read_text()) if path.exists() else {}
        return found

    return Sources(performance, stored(CROWD), stored(SYSTEMS), stored(LOCATIONS))


def is_before_fewer_processes(run: dict[str, Any]) -> bool:
    """Whether a run of playbook site is from before its tasks were put together: its processes were not counted yet."""
    return "forks" not in run


def has_old_runs(results: Results) -> bool:
    """Whether there is such a run, on however many hosts."""
    runs = results.get("controller", {}).get("figures", {}).values()
    return any(is_before_fewer_processes(one["site"]) for one in runs if "site" in one)


def is_old(results: Results, part: str) -> bool:
    """Whether a part was measured before a change of the defaults that its figures follow from."""
    if part == "controller":
        return has_old_runs(results)
    return any(part in parts and results.get(part, {}).get("date", day) < day for day, _what, parts in CHANGES)


def disturbed(part: dict[str, Any]) -> str:
    """What else the machine did while a part was measured; nothing where it had processors enough."""
    load = max(part.get("load_before", 0), part.get("load_after", 0))
    cores = part.get("machine", {}).get("cores") or 1
    return f"measured under a load of {load:.0f} on {cores} processors, so rounds lie far apart" if load > cores else ""


def older(results: Results) -> list[str]:
    """A sentence for each change of the defaults that some figures are older than."""
    told = []
    for day, what, parts in CHANGES:
        old = [name for name in parts if results.get(name, {}).get("date", day) < day]
        if old:
            names = listed([f"*{name}*" for name in old])
            told.append(f"Older than the defaults of today ({what}, since {day}) are the figures of {names}.")
    if has_old_runs(results):
        told.append("Some of the controller's are from before playbook `site` forked a third of the processes.")
    return told
