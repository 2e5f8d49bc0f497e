# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that are to end: each is ended by the kernel, again and again until it has gone."""

from __future__ import annotations

import time
import typing as t

from .._sessions import sockets
from .._sessions.log import Key, Session, still_open
from .._sessions.sockets import SocketError

# Seconds until the next try. nginx takes a moment to note that a connection is gone.
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# Of very many only some are ended at once: an end that comes meanwhile does not wait for all of them.
AT_ONCE = 1000
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

    def add(self, sessions: t.Iterable[Session]) -> int:
        """Have these sessions ended; return how many of them are new."""
        count = 0
        now = time.monotonic()
        for session in sessions:
            former = self.owed.get(session.key)
            # nginx may have begun to number its connections anew.
            if former is None or former.session.started_at != session.started_at:
                self.owed[session.key] = Owing(session, now)
                count += 1
        return count

    def is_due(self) -> bool:
        """Whether a session is to be tried now."""
        due = self.next_try()
        return due is not None and due <= time.monotonic()

    def next_try(self) -> t.Optional[float]:
        """When the next session is due."""
        return min((owing.next_try for owing in self.owed.values()), default=None)

    def stubborn(self) -> t.List[Owing]:
        """Those that several tries have not ended."""
        return [owing for owing in self.owed.values() if owing.tries > 3]

    def try_due(self, is_open: t.Callable[[Session], bool], ping: t.Callable[[], None] = lambda: None) -> None:
        """End those that are due. ``is_open``: whether the log has no end of one. ``ping`` is called meanwhile."""
        now = time.monotonic()
        due = sorted((owing for owing in self.owed.values() if owing.next_try <= now), key=lambda one: one.next_try)
        del due[AT_ONCE:]
        if not due:
            return
        for owing in [owing for owing in due if not is_open(owing.session)]:
            del self.owed[owing.session.key]
        due = [owing for owing in due if owing.session.key in self.owed]
        pairs = {owing.session.pair for owing in due if owing.session.pair is not None}
        problem = ""
        ping()
        try:
            live = sockets.live_pairs(pairs) if pairs else {}
            alive = {session.key for session in still_open([owing.session for owing in due], live)}
            for owing in [owing for owing in due if owing.session.key not in alive]:
                del self.owed[owing.session.key]
            due = [owing for owing in due if owing.session.key in alive]
            ends = [live[owing.session.pair] for owing in due if owing.session.pair is not None]
            for start in range(0, len(ends), sockets.FILTERS_A_CALL):
                ping()
                problem = sockets.close_sockets(ends[start : start + sockets.FILTERS_A_CALL]) or problem
        except SocketError as error:
            problem = str(error)
        now = time.monotonic()
        for owing in due:
            owing.next_try = now + PAUSES[min(owing.tries, len(PAUSES) - 1)]
            owing.tries += 1
        if any(owing.session.pair is None for owing in due):
            problem = problem or OVER_UNIX
        self.problem = problem


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
