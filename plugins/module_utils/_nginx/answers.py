# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the gate answers handshakes as well as it did before a change.

Each location is asked as a client without credentials would ask. What counts is that it answers, not how: a refusal is
as good as a WebSocket, since a change may be about just that. Worse is what no client can want: no answer, a path that
is not there any more, and an error of the server's side.
"""

from __future__ import annotations

import time

from typing import Dict, List, NamedTuple, Sequence

from .._handshake.answer import NO_ANSWER, answer
from .._handshake.served import Address

TIMEOUT = 3.0
"""Seconds for one handshake, which comes from the host itself."""

TIME_LIMIT = 20.0
"""Seconds for all handshakes of one look; what was not asked until then is not judged."""

TRIES = 4
PAUSE = 0.5
"""A location counts as worse when it is so in each of these tries, with these seconds between them."""


class Probe(NamedTuple):
    """One location to ask."""

    address: Address
    path: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.address.server_name}:{self.address.port}{self.path}"


def is_bad(status: int) -> bool:
    """Return whether no client can want this status."""
    return status in (NO_ANSWER, 404) or status >= 500


def words(status: int) -> str:
    """Return a status as people read it."""
    return "no answer" if status == NO_ANSWER else str(status)


def ask(probes: Sequence[Probe]) -> Dict[Probe, int]:
    """Return with which status each location answers."""
    found: Dict[Probe, int] = {}
    end = time.monotonic() + TIME_LIMIT
    for probe in probes:
        if time.monotonic() > end:
            break
        found[probe] = answer(probe.address, probe.path, TIMEOUT, probe.origin)
    return found


def any_is_well(probes: Sequence[Probe]) -> bool:
    """Return whether one of the locations is answered well; true where none is asked for."""
    end = time.monotonic() + TIME_LIMIT
    for probe in probes:
        if time.monotonic() > end:
            return False
        if not is_bad(answer(probe.address, probe.path, TIMEOUT, probe.origin)):
            return True
    return not probes


def worse(before: Dict[Probe, int]) -> List[str]:
    """Ask again and tell, for people, which locations answered well before and do not now."""
    asked = [probe for probe, status in before.items() if not is_bad(status)]
    found: Dict[Probe, int] = {}
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE)
        found = {probe: status for probe, status in ask(asked).items() if is_bad(status)}
        asked = list(found)
        if not asked:
            break
    return [f"{probe} answered {before[probe]} before and {words(found[probe])} now" for probe in asked]
