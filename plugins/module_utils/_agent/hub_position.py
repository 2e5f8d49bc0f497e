# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file in which a gate notes how far it has come with the hub."""

from __future__ import annotations

import json
import os
import typing as t

from .._host import files
from .._host.error import HostError, told
from .._hub.records import Id

POSITION = "hub-position.json"
_LIMIT = 1 << 26


class Position(t.NamedTuple):
    """Which store it is about, how far that is by stream, and the fingerprints that are yet to be revoked elsewhere.

    ``mark``: what the hub that it is about has of this gate. Another one of the same fleet's name has not.
    """

    store: t.Optional[t.Tuple[int, ...]]
    done: t.Tuple[t.Tuple[str, Id], ...]
    pending: t.Tuple[str, ...]
    mark: str


def limited(places: t.Mapping[str, Id], last: t.Mapping[str, Id]) -> t.Dict[str, Id]:
    """How far that is in streams with these last entries: of what one does not have any more nothing was done."""
    return {stream: min(place, last.get(stream, place)) for stream, place in places.items()}


def save(folder: str, fleet: str, position: Position) -> None:
    """Write it."""
    data = json.dumps({"fleet": fleet, **position._asdict()}).encode("ascii")
    files.write(os.path.join(folder, POSITION), data, mode=files.PRIVATE)


def load(folder: str, fleet: str) -> t.Optional[Position]:
    """Read it; None where there is none of this fleet."""
    path = os.path.join(folder, POSITION)
    try:
        data = files.read(path, most=_LIMIT)
    except (HostError, OSError) as error:
        raise HostError(f"{path} cannot be read: {told(error)}") from None
    if data is None:
        return None
    try:
        found = json.loads(data.decode("ascii"))
        if found["fleet"] != fleet:
            return None
        return Position(
            tuple(map(int, found["store"])) if found["store"] else None,
            tuple((str(stream), (int(place[0]), int(place[1]))) for stream, place in found["done"]),
            tuple(map(str, found["pending"])),
            str(found.get("mark", "")),
        )
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        raise HostError(f"{path} holds no position: it is written anew") from None
