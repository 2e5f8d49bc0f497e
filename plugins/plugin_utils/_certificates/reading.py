# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the parts of this folder read alike: names, and texts that are given as they are or by a file."""

from __future__ import annotations

import re
import typing as t

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
NAME_RULE = "has to be 1 to 64 letters, digits, '_', '.' or '-', and to begin with none of the last two"
# Returns the content of a file of the controller, or raises UnreadableError
Read = t.Callable[[str], str]


class UnreadableError(Exception):
    """Says why a file of the controller could not be read."""


def content_of(
    problems: t.List[str],
    read: Read,
    where: str,
    item: t.Mapping[str, t.Any],
    what: str,
    otherwise: str = "",
) -> t.Optional[str]:
    """Return what an item gives as WHAT_source or WHAT_content, or note why there is nothing."""
    given = [key for key in (f"{what}_source", f"{what}_content") if item.get(key)]
    if len(given) != 1:
        problems.append(
            f"{where}: give {what}_source (a file of the controller) or {what}_content"
            f"{', not both' if given else ''}{otherwise}"
        )
        return None
    value = str(item[given[0]])
    if given[0].endswith("_content"):
        return value
    try:
        return read(value)
    except UnreadableError as error:
        problems.append(f"{where}: {given[0]}: {error}")
        return None
