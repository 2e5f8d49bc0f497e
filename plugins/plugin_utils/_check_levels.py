# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How bad is what playbook check finds: the one scale of its table, its page, its JSON and its line for Nagios.

Critical is what harms clients or lets somebody in now. A warning is what will, or what is so on purpose for a while, as
a drained host is. Unknown is who could not be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

OK, WARNING, UNKNOWN, CRITICAL = "ok", "warning", "unknown", "critical"
# From good to bad. A host that could not be asked may be in any state, which a warning must not hide.
LEVELS = (OK, WARNING, UNKNOWN, CRITICAL)
# What Nagios and Icinga take them for
EXIT_CODES = {OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3}


class Finding(NamedTuple):
    """What is wrong: how bad, and with which part of which name of a host."""

    level: str
    part: str
    name: str
    problem: str

    def entry(self, host: str, server: str | None = None) -> dict[str, str]:
        """The same for a program; only gates have servers."""
        about = {"host": host, **({} if server is None else {"server": server})}
        return {**about, "problem": self.problem, "level": self.level, "part": self.part, "name": self.name}


def not_asked(result: Any) -> Finding:
    """The finding of a host whose result is not what its module returns."""
    words = str(result.get("msg") or "") if isinstance(result, Mapping) else ""
    # ansible-core 2.19 and newer begin with that.
    words = " ".join(words.removeprefix("Task failed: ").split())
    return Finding(UNKNOWN, "host", "", f"it could not be asked: {words or 'no answer'}")


def worst(levels: Iterable[str]) -> str:
    """The worst of the levels; ok when there are none."""
    return max(levels, key=LEVELS.index, default=OK)
