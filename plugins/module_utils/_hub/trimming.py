# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may go of the streams, and who lets it go: gates of the issuers' and of their own, an operator of `operate`."""

from __future__ import annotations

import typing as t

from . import keys, records
from .records import ISSUE, LONGEST, REVOKED, START, Id
from .settings import Settings

# Entries of an issuer's stream that are kept beyond those that may count
SPARE = 10000
# Seconds beyond the longest life of what is not in `standing` that an operator's records stay
MARGIN = 86400

Command = t.Sequence[t.Union[str, int]]


def of_gate(settings: Settings, now: int) -> t.List[Command]:
    """What a gate trims, at this time of the hub in milliseconds."""
    commands: t.List[Command] = []
    for issuer, rules in settings.issuers:
        key = settings.key(ISSUE + issuer)
        commands.append(("XTRIM", key, "MINID", "~", max(now - 2 * rules.max_ttl * 1000 - 3600000, 0)))
        commands.append(("XTRIM", key, "MAXLEN", "~", 4 * rules.max_tokens + SPARE))
    own = settings.key(REVOKED + settings.gate)
    commands.append(("XTRIM", own, "MINID", "~", max(now - 2000 * LONGEST, 0)))
    return commands


def of_operator(fleet: str, now: int, positions: t.Sequence[t.Optional[Id]]) -> t.Optional[Command]:
    """What an operator trims: nothing that can count, and nothing that a gate has yet to read."""
    oldest = min([now - 1000 * (LONGEST + MARGIN), *((place or START)[0] for place in positions)])
    if not positions or oldest <= 0:
        return None
    return ("XTRIM", keys.operate(fleet), "MINID", "~", records.id_text((oldest, 0)))


def is_untimely(before: t.Optional[Id], after: Id, now: int) -> bool:
    """Whether what may still count has gone from the beginning of `operate`, by the first entry of before and after."""
    return before is not None and before < after and before[0] > now - 1000 * LONGEST
