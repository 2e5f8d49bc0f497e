# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sessions outlived their token before an agent first saw the store: they are left as they are.

It is all that the agent keeps. Where the record is gone, or is about another store, the sessions of that moment count.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._host import files
from .._host.error import HostError
from .._sessions.log import Key
from .store_watch import Identity

NAME = "left-open.json"
LIMIT = 1 << 26


class LeftOpen(t.NamedTuple):
    """The store, by device and inode, and the sessions."""

    store: Identity
    sessions: t.FrozenSet[Key]


def load(folder: str) -> t.Optional[LeftOpen]:
    """Return the record; None where there is none that can be read."""
    with contextlib.suppress(OSError, HostError, ValueError, KeyError, TypeError):
        data = files.read(os.path.join(folder, NAME), most=LIMIT)
        if data is not None:
            document = json.loads(data.decode("utf-8"))
            device, inode = document["store"]
            found = document["sessions"]
            keys = frozenset((str(worker), str(connection), str(request)) for worker, connection, request in found)
            return LeftOpen((int(device), int(inode)), keys)
    return None


def save(folder: str, record: LeftOpen) -> None:
    """Write the record, whole or not at all."""
    document = {"store": list(record.store), "sessions": sorted(record.sessions)}
    files.write(os.path.join(folder, NAME), json.dumps(document).encode("utf-8"), mode=files.PRIVATE)
