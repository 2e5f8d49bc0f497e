# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sessions an application was asked to close, and until when: what an agent that is started anew has to know.

Nothing else tells it of a token's file that somebody removed and made again, and a deadline must not move because an
agent was killed. The record is there only while an application has time to close sessions.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._host import files
from .._host.error import HostError
from .causes import WORDS
from .left_open import Begun

NAME = "asked.json"
LIMIT = 1 << 26


class Asked(t.NamedTuple):
    """Why a session ends, and when, in seconds since 1970."""

    cause: str
    deadline: float


def load(folder: str) -> t.Dict[Begun, Asked]:
    """Return the record; empty where there is none that can be read."""
    found: t.Dict[Begun, Asked] = {}
    with contextlib.suppress(OSError, HostError, ValueError, KeyError, TypeError):
        data = files.read(os.path.join(folder, NAME), most=LIMIT)
        for worker, connection, request, began, cause, deadline in json.loads(data.decode("utf-8")) if data else []:
            if cause in WORDS:
                key = (str(worker), str(connection), str(request))
                found[key, float(began)] = Asked(str(cause), float(deadline))
    return found


def save(folder: str, record: t.Mapping[Begun, Asked]) -> None:
    """Write the record, whole or not at all; an empty one is removed."""
    path = os.path.join(folder, NAME)
    if not record:
        files.remove(path)
        return
    lines = [[*key, began, asked.cause, asked.deadline] for (key, began), asked in record.items()]
    files.write(path, json.dumps(lines).encode("utf-8"), mode=files.PRIVATE)
