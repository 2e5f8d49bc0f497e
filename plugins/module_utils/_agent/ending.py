# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that are to end: each is ended by the kernel, again and again until it has gone."""

from __future__ import annotations

import heapq
import itertools
import time
import typing as t

from .._sessions import sockets
from .._sessions.log import Key, Session, still_open
from .._sessions.sockets import SocketError

# Seconds until the next try. nginx takes a moment to note that a connection is gone. None is longer than all before it
# together: what keeps a session open for a while is then felt for no longer than that while after its end.
PAUSES = (0.05, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 6.0, 12.0, 24.0, 48.0, 60.0)
# Of very many only some are ended at once: an end that comes meanwhile does not wait for all of them.
AT_ONCE = 1000
# Tries after which one that is still there is reported
STUBBORN_AFTER = 4
OVER_UNIX = "a session over a unix socket can be ended by its client or by nginx only"


class Owing:
    """One session that is to end."""

    def __init__(self, session: Session, next_try: float) -> None:
        self.session = session
        self.tries = 0
        self.next_try = next_try


class Ending:
    """The sessions that are to end. Times are those of the monotonic clock."""

    def __init__(self) -> None:
        self.owed: t.Dict[Key, Owing] = {}
        self.problem = ""
        # By the moment of the next try. What is owed no longer, or at another moment by now, is dropped when it is met.
        self._queue: t.List[t.Tuple[float, int, Owing]] = []
        self._number = itertools.count()
        self._stubborn: t.Set[Key] = set()

    def add(self, sessions: t.Iterable[Session], at: t.Optional[float] = None) -> t.List[Session]:
        """Have these sessions ended, by the kernel not before a moment; return those that are new.

        One that is to end later by now ends at the earlier moment.
        """
        new = []
        moment = time.monotonic() if at is None else at
        for session in sessions:
            former = self.owed.get(session.key)
            # nginx may have begun to number its connections anew.
            if former is None or former.session.started_at != session.started_at:
                self._stubborn.discard(session.key)
                self.owed[session.key] = Owing(session, moment)
                self._put(self.owed[session.key])
                new.append(session)
            elif former.tries == 0 and moment < former.next_try:
                former.next_try = moment
                self._put(former)
        return new

    def is_due(self) -> bool:
        """Whether a session is to be tried now."""
        due = self.next_try()
        return due is not None and due <= time.monotonic()

    def next_try(self) -> t.Optional[float]:
        """When the next session is due."""
        while self._queue:
            moment, _number, owing = self._queue[0]
            if self.owed.get(owing.session.key) is owing and owing.next_try == moment:
                return moment
            heapq.heappop(self._queue)
        return None

    def stubborn(self) -> t.List[Owing]:
        """Those that several tries have not ended."""
        return [self.owed[key] for key in self._stubborn]

    def try_due(self, is_open: t.Callable[[Session], bool], ping: t.Callable[[], None] = lambda: None) -> None:
        """End those that are due. ``is_open``: whether the log has no end of one. ``ping`` is called meanwhile."""
        due: t.List[Owing] = []
        while len(due) < AT_ONCE and self.is_due():
            due.append(heapq.heappop(self._queue)[2])
        if not due:
            return
        try:
            self._try([owing for owing in due if self._is_left(owing, is_open(owing.session))], ping)
        finally:
            now = time.monotonic()
            for owing in due:
                if self.owed.get(owing.session.key) is owing:
                    owing.next_try = now + PAUSES[min(owing.tries, len(PAUSES) - 1)]
                    owing.tries += 1
                    if owing.tries > STUBBORN_AFTER:
                        self._stubborn.add(owing.session.key)
                    self._put(owing)

    def _try(self, due: t.Sequence[Owing], ping: t.Callable[[], None]) -> None:
        pairs = {owing.session.pair for owing in due if owing.session.pair is not None}
        problem = ""
        ping()
        try:
            live = sockets.live_pairs(pairs) if pairs else {}
            alive = {session.key for session in still_open([owing.session for owing in due], live)}
            due = [owing for owing in due if self._is_left(owing, owing.session.key in alive)]
            ends = [live[owing.session.pair] for owing in due if owing.session.pair is not None]
            for start in range(0, len(ends), sockets.FILTERS_A_CALL):
                ping()
                problem = sockets.close_sockets(ends[start : start + sockets.FILTERS_A_CALL]) or problem
        except SocketError as error:
            problem = str(error)
        if any(owing.session.pair is None for owing in due):
            problem = problem or OVER_UNIX
        self.problem = problem

    def _is_left(self, owing: Owing, is_open: bool) -> bool:
        """Forget a session that is over by now, whoever ended it."""
        if not is_open:
            del self.owed[owing.session.key]
            self._stubborn.discard(owing.session.key)
        return is_open

    def _put(self, owing: Owing) -> None:
        heapq.heappush(self._queue, (owing.next_try, next(self._number), owing))


def pause_of(tries: int) -> float:
    """Seconds until a token's file that could not be removed is tried again."""
    return min(60.0, 2.0 ** min(tries, 6))


def words_about(kept: int) -> str:
    """What is told of so many expired tokens whose files could not be removed."""
    if not kept:
        return ""
    return (
        f"{kept} expired tokens cannot be removed and still open the gate; "
        "their sessions are ended. Is a file immutable (lsattr), or the file system read-only?"
    )
