# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An issuer that floods: its stream is trimmed harder once the hub soon has no memory left.

A number of entries is no bound of bytes where somebody writes larger ones. A flood must not keep a revocation out of
the hub: what this issuer wrote before goes with it, and nobody else's.
"""

from __future__ import annotations

import time
import typing as t

from . import records
from .connection import number, parse_info
from .records import ISSUE, Id, Malformed, Record
from .settings import Settings
from .wire import Wire

Command = t.Sequence[t.Union[str, int]]
# Before a command of the hub that is for then
IF_FULL = "if full"
# Entries after which it is looked at, or one that is larger than any record, and seconds until then
MANY = 10000
SOON = 0.5
# Share of the hub's memory from which on
FULL = 0.8
_LONGEST_INFO = 1 << 16


def is_full(wire: Wire) -> bool:
    """Whether the hub soon takes no entry any more. One without a bound may have half of its host's memory."""
    text = wire.call("INFO", "memory", longest=_LONGEST_INFO)
    found = parse_info(text.decode("utf-8", "replace") if isinstance(text, bytes) else "")
    used, bound, total = (number(found, name) for name in ("used_memory", "maxmemory", "total_system_memory"))
    return used >= FULL * (bound or total // 2) > 0


def run(wire: Wire, command: Command) -> None:
    """Trim; where it begins with IF_FULL only if the hub soon takes nothing any more."""
    if command[0] != IF_FULL:
        wire.call(*command)
    elif is_full(wire):
        wire.call(*command[1:])


class Flood:
    """What issuers have written since streams were trimmed."""

    def __init__(self) -> None:
        self._generation = 0
        self._untrimmed = 0
        # By stream the last entry of an issuer that is larger than any record
        self._oversized: t.Dict[str, Id] = {}

    def take(self, generation: int, found: t.Sequence[Record]) -> float:
        """Take note of what was read; return the moment by which to trim."""
        if generation != self._generation:
            self._generation = generation
            self._oversized.clear()
        self._untrimmed += len(found)
        for record in found:
            if isinstance(record, Malformed) and record.is_oversized and record.stream.startswith(ISSUE):
                self._oversized[record.stream] = record.id
                self._untrimmed += MANY
        return time.monotonic() + SOON if self._untrimmed >= MANY else float("inf")

    def trims(self, settings: Settings) -> t.List[Command]:
        """What is trimmed where the hub is full."""
        self._untrimmed = 0
        commands: t.List[Command] = []
        for issuer, rules in settings.issuers:
            stream = ISSUE + issuer
            commands.append((IF_FULL, "XTRIM", settings.key(stream), "MAXLEN", rules.max_tokens))
            if stream in self._oversized:
                after = records.after(self._oversized[stream])
                bound: Command = ("MINID", records.id_text(after)) if after else ("MAXLEN", 0)
                commands.append((IF_FULL, "XTRIM", settings.key(stream), *bound))
        return commands
