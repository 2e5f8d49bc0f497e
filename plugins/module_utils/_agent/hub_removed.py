# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens whose files were removed on this gate, until it is clear that somebody meant these and not the whole store."""

from __future__ import annotations

import time
import typing as t

# A file that is gone counts as removed once nothing more has been removed for so long, and the store is still there:
# one that is emptied before it is removed or unmounted revokes nothing. And the longest that this is waited for.
QUIET, QUIET_AT_MOST = 0.5, 5.0


class Removed:
    """Their names. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self._names: t.Dict[str, float] = {}
        self._last = 0.0

    def add(self, names: t.Iterable[str]) -> None:
        """Take note of files that have gone."""
        for name in names:
            self._last = time.monotonic()
            self._names.setdefault(name, self._last)

    def due(self) -> float:
        """When they count as removed."""
        return min(self._last + QUIET, min(self._names.values()) + QUIET_AT_MOST) if self._names else float("inf")

    def take(self) -> t.List[str]:
        """Their names, which are forgotten."""
        names, self._names = list(self._names), {}
        return names
