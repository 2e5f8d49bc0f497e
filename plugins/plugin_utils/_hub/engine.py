# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of Valkey and Redis a hub runs, and which of them replicate from each other."""

from __future__ import annotations

import re
import typing as t

from .. import _platforms
from .._problems import Problems

AUTO = "auto"
# Selectors and the rights of single keys in the users' rules came with it.
LEAST = 7
WHERE = "token_hub_engine"


def planned(facts: t.Mapping[str, t.Any]) -> str:
    """The engine of a system on which there is no hub yet: Valkey where it has that."""
    table = _platforms.platform(str(facts.get("os_family", "")))
    release = str(facts.get("distribution_version", ""))
    parts = (release, release.partition(".")[0])
    return "redis" if any(part in table["hub_redis_releases"] for part in parts) else "valkey"


def choose(wanted: str, current: str, facts: t.Mapping[str, t.Any]) -> str:
    """The engine for a host: what is asked for, else what its hub runs already, else its system's."""
    return current or planned(facts) if wanted == AUTO else wanted


def details(name: str, facts: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What the table of operating systems has of an engine, with its name."""
    return {"name": name, **_platforms.platform(str(facts.get("os_family", "")))["hub_engines"].get(name, {})}


def major(version: str) -> int:
    """The first number of a version; 0 where there is none."""
    found = re.match(r"[0-9]+", version)
    return int(found.group()) if found else 0


def problems(host: str, wanted: str, found: t.Mapping[str, t.Any], facts: t.Mapping[str, t.Any]) -> t.List[str]:
    """What keeps this host from running the engine. ``found`` has the hub's ``current`` one, and ``installed`` ones
    with their versions.
    """
    wrong = Problems()
    current = str(found.get("current") or "")
    name = choose(wanted, current, facts)
    installed: t.Mapping[str, str] = found.get("installed") or {}
    version = installed.get(name, "")
    if version and major(version) < LEAST:
        wrong.add(WHERE, f"{host} has {name} {version}, and the hub needs {LEAST}.0 or newer; use a newer system")
    if current and current != name:
        before = installed.get(current, "")
        if (current, name) != ("redis", "valkey"):
            wrong.add(
                WHERE,
                f"the hub on {host} runs {current}, whose files {name} cannot read; leave {WHERE} out, or begin with "
                "an empty hub (docs/hub.md, 'From one engine to another')",
            )
        elif before and major(before) != LEAST:
            wrong.add(
                WHERE,
                f"the hub on {host} runs redis {before}, and valkey reads files of redis {LEAST} only; leave {WHERE} "
                "out, or begin with an empty hub (docs/hub.md, 'From one engine to another')",
            )
    return wrong.found


def mixed(engines: t.Mapping[str, t.Tuple[str, str]]) -> t.List[str]:
    """One sentence where nodes of one hub have different engines or major versions; by host, name and version.

    A version that is not known yet differs from none.
    """
    names = {name for name, _version in engines.values()}
    majors = {major(version) for _name, version in engines.values() if version}
    if len(names) < 2 and len(majors) < 2:
        return []
    shown = ", ".join(f"{host}: {' '.join(filter(None, one))}" for host, one in sorted(engines.items()))
    return [
        f"{WHERE}: the hosts of wss_hubs would run different engines or major versions ({shown}), which cannot "
        f"replicate from each other; set {WHERE} to one that all of them have, or upgrade them to the same system "
        "(docs/hub.md, 'From one engine to another')"
    ]
