# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts sessions by the session log: each once, however often its line is read.

A line comes when all checks are passed, before the upstream has answered. So a session counts once its end is logged
with status 101, or once it has been open for a moment. Where an upstream refuses after that moment, the next session of
the place is left out in return: a counter cannot go back.

The log is read anew when it was shortened, when it was replaced and when the agent starts. What was counted before is
then told by the time at which it began; of the last seconds, in which lines may come in another order, by its numbers.
"""

from __future__ import annotations

import time
import typing as t

from .._sessions.log import Key, Session

Place = t.Tuple[str, str]  # server, location
Begun = t.Tuple[Key, float]

# Seconds that a session is open without an answer of its upstream being known before it counts
SETTLE = 2.0
# Of sessions that began in the last seconds each is known that was counted.
WINDOW = 10.0
SESSION = "101"
# What stands for a server that the log does not name: a session that began before the log named them
NONE = "-"


def begun_of(session: Session) -> Begun:
    """What no two sessions share."""
    return session.key, session.started_at


def place_of(session: Session) -> Place:
    """Server and location of a session, as the configuration has them."""
    return session.server_name or NONE, session.location


class Handshakes:
    """Sessions that passed, by place."""

    def __init__(self, since: float) -> None:
        """``since``: sessions that began before do not count, in seconds since 1970."""
        self.counts: t.Dict[Place, int] = {}
        self._left_out: t.Dict[Place, int] = {}  # to be left out, because so many were counted that did not pass
        self._since = since
        self._mark = since + WINDOW
        self._recent: t.Set[Begun] = set()
        self._prune_at = 1024
        self._waiting: t.Dict[Begun, t.Tuple[Place, float]] = {}

    def began(self, session: Session, is_again: bool) -> None:
        """A line of a session was read. ``is_again``: it may have been read before."""
        begun = begun_of(session)
        if not is_again or not self._is_done(begun):
            self._waiting.setdefault(begun, (place_of(session), time.monotonic()))

    def ended(self, session: Session, status: str, is_again: bool) -> None:
        """The line of the end of a session was read."""
        begun = begun_of(session)
        if begun in self._waiting:
            place, _moment = self._waiting.pop(begun)
            self._finish(begun, place if status == SESSION else None)
        elif status != SESSION and not is_again and session.started_at >= self._since:
            place = place_of(session)
            self._left_out[place] = self._left_out.get(place, 0) + 1

    def settles_at(self) -> float:
        """When the next session counts that is open, by the monotonic clock."""
        return next(iter(self._waiting.values()))[1] + SETTLE if self._waiting else float("inf")

    def settle(self) -> None:
        """Count what has been open for long enough."""
        now = time.monotonic()
        while self._waiting:
            begun, (place, moment) = next(iter(self._waiting.items()))
            if moment + SETTLE > now:
                break
            del self._waiting[begun]
            self._finish(begun, place)

    def _is_done(self, begun: Begun) -> bool:
        return begun[1] < self._mark - WINDOW or begun in self._recent

    def _finish(self, begun: Begun, place: t.Optional[Place]) -> None:
        if place is not None:
            self.counts.setdefault(place, 0)
            if self._left_out.get(place):
                self._left_out[place] -= 1
            else:
                self.counts[place] += 1
        # A clock that was wrong is not to keep others from counting.
        self._mark = max(self._mark, min(begun[1], time.time()))
        self._recent.add(begun)
        if len(self._recent) > self._prune_at:
            self._recent = {one for one in self._recent if one[1] >= self._mark - WINDOW}
            self._prune_at = 2 * len(self._recent) + 1024

    # What the next agent goes on with

    def as_dict(self) -> t.Dict[str, t.Any]:
        """All of it as JSON has it. What is waiting is read again."""
        return {
            "since": self._since,
            "mark": self._mark,
            "counts": [[*place, count] for place, count in sorted(self.counts.items())],
            "left_out": [[*place, count] for place, count in sorted(self._left_out.items()) if count],
            "recent": [[*key, began] for key, began in self._recent if began >= self._mark - WINDOW],
        }

    @classmethod
    def of(cls, known: t.Mapping[str, t.Any]) -> Handshakes:
        """What as_dict gave; a ValueError, TypeError or KeyError where it is something else."""
        found = cls(float(known["since"]))
        found._mark = float(known["mark"])
        for name in ("counts", "left_out"):
            places = {(str(server), str(location)): int(count) for server, location, count in known[name]}
            setattr(found, "_left_out" if name == "left_out" else name, places)
        found._recent = {
            ((str(worker), str(connection), str(request)), float(began))
            for worker, connection, request, began in known["recent"]
        }
        return found


class Ends:
    """Sessions that ended after the agent, or wss_token, had set out to end them, by cause."""

    def __init__(self, counts: t.Optional[t.Mapping[str, int]] = None) -> None:
        self.counts: t.Dict[str, int] = dict(counts or {})
        self._owed: t.Dict[Begun, str] = {}

    def begin(self, sessions: t.Iterable[Session], cause: str) -> None:
        """These are to end. What is to end already does so for its first cause."""
        for session in sessions:
            self._owed.setdefault(begun_of(session), cause)

    def settle(self, open_sessions: t.Mapping[Key, Session]) -> None:
        """Count those that are over."""
        over = []
        for begun in self._owed:
            session = open_sessions.get(begun[0])
            if session is None or session.started_at != begun[1]:
                over.append(begun)
        for begun in over:
            cause = self._owed.pop(begun)
            self.counts[cause] = self.counts.get(cause, 0) + 1
