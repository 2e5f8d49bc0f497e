# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends sessions that have lasted as long as their location lets them.

The session log has the seconds that a session may last, at least and at most. The moment between them follows from the
session alone, so that an agent that is started anew comes to the same.

Moments are those of the clock that nobody sets (CLOCK_BOOTTIME, which goes on while the system sleeps). From the time
of day, which is what nginx notes, only the age of a session is taken, once, when the agent first sees it. By then the
clock may have been set:

- What the agent has seen of that is taken into account: a session that began before the clock was set has its age by
  the clock as it was.
- No session is older than its worker, or younger than nothing. That is all there is for a clock that was set while no
  agent ran, or before the agent was started anew.
"""

from __future__ import annotations

import hashlib
import heapq
import time
import typing as t

from .._sessions.log import Key, Session
from .._sessions.workers import started_after_boot
from .causes import LIFETIME
from .duty import Duty, Gate

# The clock was set when it goes off by more than this; less is what it is slewed by.
STEP = 1.0
# Seconds until the agent sees that the clock was set, with time to spare.
MARGIN = 10.0
# Sessions are told of together that end within so many seconds.
LATE = 0.5
# Of a clock that is set again and again only the last times count.
STEPS_KEPT = 16
# What is known of sessions that are over stays in memory until they are this many, and as many as there are others.
STALE = 256


def since_boot() -> float:
    """Seconds since the system was started, those in which it slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """The time of day, and how it was set since the agent runs."""

    def __init__(self) -> None:
        # From when on the clock showed so many seconds more than since_boot().
        self._offsets: t.List[t.Tuple[float, float]] = [(float("-inf"), time.time() - since_boot())]

    def look(self) -> None:
        """Notice that it was set."""
        now = since_boot()
        offset = time.time() - now
        if abs(offset - self._offsets[-1][1]) > STEP:
            self._offsets = [*self._offsets[1 - STEPS_KEPT :], (now, offset)]

    def began(self, session: Session) -> float:
        """When a session began, by since_boot()."""
        now = since_boot()
        found = []
        until = now
        for since, offset in reversed(self._offsets):
            began = session.started_at - offset
            if since - MARGIN <= began <= until + MARGIN:
                found.append(began)
            until = since
        # Of two that are possible the later one: no session ends before its time.
        return min(now, max(found, default=session.started_at - self._offsets[-1][1]))


def seconds(session: Session) -> float:
    """How long a session may last: between its least and its most, and always the same for one session."""
    low, high = session.lifetime or (0, 0)
    text = f"{' '.join(session.key)} {session.started_at!r}"
    share = int.from_bytes(hashlib.sha256(text.encode("ascii", "replace")).digest()[:7], "big") / 2.0**56
    return low + (high - low) * share


class Lifetimes(Duty):
    """The ends of sessions that may last so long and no longer.

    ``ahead``: seconds by which ends are begun earlier, for what has to be done before the kernel closes a connection.
    """

    name = "lifetime"

    def __init__(self, gate: Gate, ahead: float = 0.0) -> None:
        super().__init__(gate)
        self.ahead = ahead
        self.clock = Clock()
        # When each ends, and when it began as nginx noted it. Sessions that are over by then are passed over.
        self._ends: t.List[t.Tuple[float, Key, float]] = []
        # Those that were seen, and when they began.
        self._known: t.Dict[Key, float] = {}
        self._room = STALE

    def started(self, sessions: t.Sequence[Session]) -> None:
        self.clock.look()
        workers: t.Dict[str, float] = {}
        for session in sessions:
            if session.lifetime is None or self._known.get(session.key) == session.started_at:
                continue
            worker = session.key[0]
            if worker not in workers:
                workers[worker] = started_after_boot(int(worker)) or 0.0
            end = max(self.clock.began(session), workers[worker]) + seconds(session) - self.ahead
            self._known[session.key] = session.started_at
            heapq.heappush(self._ends, (end, session.key, session.started_at))
        if len(self._known) > self._room:
            self._forget_what_is_over()

    def turn(self) -> None:
        self.clock.look()
        now = since_boot()
        due = []
        latest: t.Dict[Key, float] = {}
        while self._ends and self._ends[0][0] <= now:
            end = heapq.heappop(self._ends)
            session = self._open(end)
            if session is not None:
                due.append(session)
                # One that may not last as long as it takes to ask, or that an agent was late for. Of one whose time
                # is over already the application is asked all the same.
                left = end[0] + self.ahead - now
                if 0 < left < self.ahead - LATE:
                    latest[session.key] = time.time() + left
        if due:
            self.gate.end(due, LIFETIME, latest=latest)

    def next_turn(self) -> t.Optional[float]:
        while self._ends and self._open(self._ends[0]) is None:
            heapq.heappop(self._ends)
        if not self._ends:
            return None
        return time.monotonic() + self._ends[0][0] - since_boot()

    def _open(self, end: t.Tuple[float, Key, float]) -> t.Optional[Session]:
        """The session that has this end; None where it is over."""
        _moment, key, began = end
        session = self.gate.open_sessions().get(key)
        if session is not None and session.started_at == began:
            return session
        if self._known.get(key) == began:
            del self._known[key]
        return None

    def _forget_what_is_over(self) -> None:
        self._ends = [end for end in self._ends if self._open(end) is not None]
        heapq.heapify(self._ends)
        there = self.gate.open_sessions()
        self._known = {key: began for key, began in self._known.items() if key in there}
        self._room = 2 * len(self._known) + STALE
