# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words about the records that are refused, as often as there are twice as many: a flood of them is none of lines."""

from __future__ import annotations

import typing as t


class Refused:
    """How many there were when it was told the last time."""

    def __init__(self) -> None:
        self._told = 0

    def words(self, refused: t.Counter[str], foreign: int) -> t.Optional[str]:
        """What is to be told of records, by reason, and of those whose file is somebody else's; None for nothing."""
        total = sum(refused.values()) + foreign
        if total and self._told <= total < 2 * self._told:
            return None
        self._told = total
        words = [f"{count} of them because {why}" for why, count in refused.most_common(2)]
        if foreign:
            words.append(f"{foreign} because a file of the name is there")
        return f"records of the hub that are refused: {', '.join(words)}" if words else ""
