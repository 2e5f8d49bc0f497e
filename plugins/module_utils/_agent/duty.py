# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent does beside the tokens' ends: each duty has a file of its own and a line in duties.py."""

from __future__ import annotations

import time
import typing as t

from .._host.error import HostError, told
from .._sessions.log import Key, Session
from .._tokens.record import Gone
from .._tokens.store import TokenStore


# Seconds until what has failed is tried again
FAILURE_PAUSES = (0.2, 1.0, 5.0, 15.0, 30.0)
# When sessions have to have ended at the latest, in seconds since 1970
Latest = t.Optional[t.Mapping[Key, float]]
# A metric's name without its prefix, labels and value
Figure = t.Tuple[str, t.Mapping[str, str], float]


class Gate(t.Protocol):
    """What a duty may ask of the agent, and have it do."""

    errors: int  # turns in which something went wrong

    def open_sessions(self) -> t.Mapping[Key, Session]:
        """The sessions that have no end in the session log, by worker, connection and request."""

    def end(self, sessions: t.Iterable[Session], cause: str, *, latest: Latest = None) -> int:
        """Have these sessions ended, for one of the causes of causes.py; return how many of them are new.

        ``latest``: when some of them have to have ended, in seconds since 1970, whatever time an application has.
        """

    def take_back(self, store: TokenStore, names: t.Collection[str]) -> Gone:
        """Remove revoked tokens from the store, which is open for writing, and have their sessions ended."""

    def note(self, about: str, problem: str) -> None:
        """Report a problem when it is new, and with an empty one when it is over. It stands in the status line."""

    def say(self, line: str) -> None:
        """Write a line to the journal. It holds no token."""


class Duty:
    """One duty. A problem on one keeps no other from being done."""

    name = ""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def started(self, sessions: t.Sequence[Session]) -> None:
        """Look at sessions that are new in the log; after it was replaced or shortened, at all that are open."""

    def removed(self, names: t.AbstractSet[str], by_agent: t.AbstractSet[str]) -> None:
        """Take note of tokens whose files somebody has removed, and of those that this agent has."""

    def turn(self) -> None:
        """Do what is due. What goes wrong is raised as HostError or OSError, and tried again after a pause."""

    def next_turn(self) -> t.Optional[float]:
        """When something is due, by the monotonic clock; None when nothing is."""
        return None

    def descriptors(self) -> t.List[int]:
        """What becomes readable when there is something to do."""
        return []

    def status(self) -> str:
        """A few words about what is under way; empty when nothing is."""
        return ""

    def figures(self) -> t.List[Figure]:
        """What a monitoring system is told of it, where there is one."""
        return []

    def close(self) -> None:
        """Give back what the kernel lent."""


class Turns:
    """Has duties do what is due. One that failed waits, and the others don't."""

    def __init__(self, note: t.Callable[[str, str], None]) -> None:
        self._note = note
        self._waits: t.Dict[str, t.Tuple[int, float]] = {}  # those that failed: how often, and until when

    def do(self, duty: Duty) -> bool:
        """Let a duty take its turn, unless it waits; return whether it failed."""
        failures, until = self._waits.get(duty.name, (0, 0.0))
        if failures and time.monotonic() < until:
            return False
        try:
            duty.turn()
        except (HostError, OSError) as error:
            self._note(duty.name, f"{duty.name}: {told(error)}")
            pause = FAILURE_PAUSES[min(failures, len(FAILURE_PAUSES) - 1)]
            self._waits[duty.name] = (failures + 1, time.monotonic() + pause)
            return True
        self._note(duty.name, "")
        self._waits.pop(duty.name, None)
        return False

    def next_turn(self, duty: Duty) -> t.Optional[float]:
        """When something is due for a duty."""
        wait = self._waits.get(duty.name)
        return duty.next_turn() if wait is None else wait[1]
