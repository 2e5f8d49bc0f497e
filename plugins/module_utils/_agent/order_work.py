# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One order under way: which sessions are left of it, which come next, and when.

What has to outlast the agent is in the order and in its result. An agent that begins finds in the session log who is
still there, and goes on with those.
"""

from __future__ import annotations

import hashlib
import heapq
import time
import typing as t

from .._sessions import sockets
from .._sessions.log import Key, Session, ports_of, still_open
from .._sessions.sockets import Pair
from .duty import Gate
from .ending import OVER_UNIX
from .orders import DONE, EXPIRED, LONGEST, VOID, WORKING, Order, Result, identity_of, share_of

# Seconds between two steps: of fifty a second, five end in each.
STEP = 0.1
# What a busy machine has kept from being ended in time is made up for by so many seconds' worth at once, and no more.
CATCH_UP = 0.2
# Sessions that began before the order may stand in the log so much later.
SETTLE = 2.0
# Before a share is drawn, the log has to be read up to the order.
DRAW_AFTER = 1.0
COUNT_EVERY = 0.5
# To count is to list the connections of the gate: a large one has better things to do for most of the time.
COUNT_SHARE = 20.0
ASK_AGAIN = 2.0
AT_ONCE = 500

Begun = t.Tuple[Key, float]
Target = t.Union[Session, Pair]


class Pace:
    """How many may be ended by now. Nothing is saved up but what one late step has missed."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._credit = 0.0
        self._last = now

    def take(self, now: float, most: int) -> int:
        """Return how many may be ended now, of at most so many, and count them."""
        if not self.rate:
            return min(most, AT_ONCE)
        self._credit = min(self._credit + (now - self._last) * self.rate, max(1.0, self.rate * CATCH_UP))
        self._last = now
        # What rounding has left just short of a whole one is one.
        taken = min(most, int(self._credit + 1e-9))
        self._credit -= taken
        return taken

    def next(self, now: float) -> float:
        """When the next may be ended."""
        if not self.rate:
            return now
        return self._last + max(0.0, max(1.0, self.rate * STEP) - self._credit) / self.rate


def begun(session: Session) -> Begun:
    """What tells a session from another one that bears the same numbers."""
    return session.key, session.started_at


class Work:
    """One order. :meth:`turn` does what is due by the monotonic clock."""

    def __init__(
        self,
        order: Order,
        gate: Gate,
        before: t.Optional[Result],
        subject_of: t.Callable[[str], t.Optional[str]],
    ) -> None:
        self.order = order
        self.result = before if before is not None and before.run == order.run else Result(order.run)
        # Whether the result is to be written, and whether nothing may be ended before it is.
        self.has_news = self.result is not before
        self.owes_mark = False
        # Sessions that are new in the log since the last turn
        self.started: t.List[Session] = []
        self._gate = gate
        self._is_meant = order.sessions.matcher(subject_of)
        now = time.monotonic()
        self._pace = Pace(order.rate, now)
        self._members: t.Dict[Begun, Session] = {}
        self._strangers: t.Dict[Pair, t.Tuple[str, str]] = {}
        self._seen: t.Set[Begun] = set()
        self._asked: t.Dict[Pair, float] = {}
        self._next: t.List[t.Tuple[bytes, int, Target]] = []
        self._number = 0
        self._settles_at = now + SETTLE
        self._counts_at = now + (DRAW_AFTER if order.share < 100 else 0.0)
        self._has_counted = False

    def turn(self) -> None:
        """Do what is due."""
        started, self.started = self.started, []
        over = self._is_over(time.time())
        if over:
            self._tell(state=over[0], reason=over[1])
            return
        now = time.monotonic()
        if self._has_counted and self._takes_more(now):
            self._join(started)
        if now >= self._counts_at:
            self._count()
        if self._has_counted and not self.owes_mark:
            self._end_next()

    def next_turn(self) -> float:
        """When something is due."""
        now = time.monotonic()
        moments = [now + 1.0, self._counts_at]
        if self._next:
            moments.append(max(now + STEP / 4, self._pace.next(now)))
        if self.order.while_path:
            moments.append(now + STEP)
        return min(moments)

    def words(self) -> str:
        """How far it is."""
        return f"order {self.order.id}: {self.result.remaining:,} of {self.result.found:,} left"

    def _is_share(self) -> bool:
        return self.order.share < 100

    def _is_over(self, wall: float) -> t.Optional[t.Tuple[str, str]]:
        order = self.order
        if self.result.is_over:
            return self.result.state, self.result.reason
        if order.while_path and identity_of(order.while_path) != order.while_file:
            return VOID, f"{order.while_path} was removed or replaced"
        if wall >= order.expires:
            return EXPIRED, "its time was over"
        if order.expires > wall + LONGEST:
            return VOID, "it ends more than a day from now: the clock was set"
        return None

    def _tell(self, **changes: t.Any) -> None:
        result = self.result._replace(**changes)
        if result != self.result:
            self.result = result
            self.has_news = True

    # Which

    def _takes_more(self, now: float) -> bool:
        """Whether sessions that show in the log now may be meant."""
        return not self._is_share() and (self.order.sessions.until is None or now < self._settles_at)

    def _join(self, sessions: t.Iterable[Session]) -> None:
        joined = [one for one in sessions if begun(one) not in self._seen and self._is_meant(one)]
        for session in joined:
            self._add(session)
            if session.pair is None or self._strangers.pop(session.pair, None) is None:
                self._tell(found=self.result.found + 1)

    def _add(self, session: Session) -> None:
        self._seen.add(begun(session))
        self._members[begun(session)] = session
        if session.pair is not None:
            self._push(session)

    def _push(self, target: Target) -> None:
        self._number += 1
        heapq.heappush(self._next, (self._place_of(target), self._number, target))

    def _place_of(self, target: Target) -> bytes:
        """Where one stands in the order of chance, which is the same for every agent that has this order."""
        what = repr(begun(target)) if isinstance(target, Session) else repr(target)
        return hashlib.sha256(f"{self.order.id} {what}".encode("utf-8", "replace")).digest()[:16]

    def _is_there(self, session: Session) -> bool:
        found = self._gate.open_sessions().get(session.key)
        return found is not None and found.started_at == session.started_at

    def _count(self) -> None:
        """Find out who is there."""
        began = time.monotonic()
        if self._has_counted:
            logged = [session for session in self._members.values() if self._is_there(session)]
        else:
            logged = [session for session in self._gate.open_sessions().values() if self._is_meant(session)]
        live = self._live(logged)
        there = still_open(logged, live)
        if self._has_counted:
            self._members = {begun(session): session for session in there}
            for pair in [pair for pair in self._strangers if pair not in live]:
                del self._strangers[pair]
                self._asked.pop(pair, None)
            for pair in [pair for pair, asked in self._asked.items() if began >= asked + ASK_AGAIN]:
                del self._asked[pair]
                self._push(pair)
        else:
            self._begin(there, live)
        remaining = len(self._members) + len(self._strangers)
        out_of_reach = sum(1 for session in self._members.values() if session.pair is None)
        self._tell(remaining=remaining, ended=max(0, self.result.found - remaining))
        now = time.monotonic()
        self._counts_at = now + max(COUNT_EVERY, COUNT_SHARE * (now - began))
        if remaining == out_of_reach and (now >= self._settles_at or self._is_share()):
            self._tell(state=DONE, reason=OVER_UNIX if remaining else "")

    def _live(self, logged: t.Sequence[Session]) -> t.Dict[Pair, t.Tuple[str, str]]:
        if self.order.ports and (self._strangers or not self._has_counted):
            return sockets.live_sockets({port for _address, port in self.order.ports} | ports_of(logged))
        pairs = {session.pair for session in logged if session.pair is not None}
        return sockets.live_pairs(pairs) if pairs else {}

    def _begin(self, there: t.List[Session], live: t.Mapping[Pair, t.Tuple[str, str]]) -> None:
        """Settle who is meant, from among those that are there."""
        if self._is_share():
            there = self._drawn([session for session in there if session.pair is not None])
        for session in there:
            self._add(session)
        if self.order.ports:
            ports = frozenset(self.order.ports)
            known = {session.pair for session in self._gate.open_sessions().values()}
            self._strangers = {
                pair: ends for pair, ends in live.items() if pair[0] in ports and pair not in known
            }  # fmt: skip
            for pair in self._strangers:
                self._push(pair)
        self._has_counted = True
        self._tell(state=WORKING, found=max(self.result.found, len(self._members) + len(self._strangers)))

    def _drawn(self, there: t.List[Session]) -> t.List[Session]:
        """The share, by chance: exactly so many, and the same ones when it is drawn again."""
        if self.result.mark is None:
            places = sorted(map(self._place_of, there))
            count = share_of(len(places), self.order.share)
            self._tell(mark=places[count - 1].hex() if count else "")
            # An agent that did not find it would draw another share, beside what has been ended of this one.
            self.owes_mark = True
        mark = bytes.fromhex(self.result.mark or "")
        return [session for session in there if self._place_of(session) <= mark]

    # How fast

    def _end_next(self) -> None:
        now = time.monotonic()
        most = self._pace.take(now, len(self._next))
        sessions: t.List[Session] = []
        ends: t.List[t.Tuple[str, str]] = []
        while self._next and len(sessions) + len(ends) < most:
            target = heapq.heappop(self._next)[2]
            if isinstance(target, Session):
                # Some have gone by themselves, which takes nothing of the pace.
                if begun(target) in self._members and self._is_there(target):
                    sessions.append(target)
            elif target in self._strangers:
                self._asked[target] = now
                ends.append(self._strangers[target])
        if sessions:
            self._gate.end(sessions, self.order.cause)
        if ends:
            sockets.close_sockets(ends)
