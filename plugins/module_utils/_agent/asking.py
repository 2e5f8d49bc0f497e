# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends sessions: tells an application first, where there is one, and leaves it the time that it has."""

from __future__ import annotations

import os
import time
import typing as t

from .._host.error import HostError
from .._sessions.log import Key, Session
from . import asked
from .asked import Asked
from .duty import Duty, Gate, Latest
from .ending import Ending
from .left_open import Begun
from .notify_settings import Notify


class Asking:
    """The sessions of a gate that are to end, and who is told of it before."""

    def __init__(self, gate: Gate, ending: Ending, notify: t.Optional[Notify], store: str, state: str) -> None:
        self._gate = gate
        self._ending = ending
        self._state = state
        self.grace = float(notify.grace) if notify is not None else 0.0
        self._teller: t.Optional[t.Any] = None
        if notify is not None:
            # Only here: with TLS and HTTP it takes some MiB.
            from .notify import Teller

            self._teller = Teller(gate, notify, store)
        self._asked: t.Dict[Begun, Asked] = asked.load(state)
        self._is_resumed = not self._asked
        # Called with what is to end, and why
        self.begin: t.Callable[[t.Iterable[Session], str], None] = lambda sessions, cause: None

    @property
    def duties(self) -> t.List[Duty]:
        """What sends, where an application is told."""
        return [] if self._teller is None else [self._teller]

    @property
    def owed(self) -> int:
        """How many sessions are to end and have not."""
        return len(self._ending.owed)

    @property
    def is_told(self) -> bool:
        """Whether an application is told of ends."""
        return self._teller is not None

    def end(
        self,
        sessions: t.Iterable[Session],
        cause: str,
        since: t.Optional[t.Mapping[str, float]] = None,
        at: t.Optional[float] = None,
        latest: Latest = None,
    ) -> int:
        """Have sessions ended; return how many of them are new.

        ``since``: when the time of an application began, by token, in seconds since 1970; for others it begins now.
        ``latest``: when some have to have ended, whatever the application's time.
        ``at``: a moment of the monotonic clock before which the kernel is not asked, because somebody else is.
        """
        moments: t.Dict[float, t.List[Session]] = {}
        now, monotonic = time.time(), time.monotonic()
        for session in sessions:
            deadline = now
            if self.grace:
                deadline = self._deadline(
                    session, (since or {}).get(session.token), (latest or {}).get(session.key), now
                )
            moments.setdefault(deadline, []).append(session)
        new: t.Dict[float, t.List[Session]] = {}
        for deadline, some in moments.items():
            new[deadline] = self._ending.add(some, at if at is not None else monotonic + deadline - now)
        owed = {
            (one.key, one.started_at): Asked(cause, deadline)
            for deadline, some in new.items()
            if deadline > now
            for one in some
        }
        if owed:
            # Before anybody is told: the deadline that an application has heard of does not move.
            self._asked.update(owed)
            self._save()
        for deadline, some in new.items():
            self.begin(some, cause)
            if some and self._teller is not None:
                self._teller.tell(some, cause, deadline)
        return sum(map(len, new.values()))

    def resume(self, open_sessions: t.Mapping[Key, Session]) -> None:
        """Go on with what a former agent has begun. Call it once the session log has been read."""
        if self._is_resumed:
            return
        self._is_resumed = True
        causes: t.Dict[str, t.List[Session]] = {}
        for (key, began), before in self._asked.items():
            session = open_sessions.get(key)
            if session is not None and session.started_at == began:
                causes.setdefault(before.cause, []).append(session)
        for cause, some in causes.items():
            self._gate.end(some, cause)

    def settle(self) -> None:
        """Forget what an application was asked for once all of it is over."""
        if self._asked and self._is_resumed and not self._ending.owed:
            self._asked = {}
            self._save()

    def _deadline(self, session: Session, since: t.Optional[float], latest: t.Optional[float], now: float) -> float:
        """When a session is to end. A clock that was put back makes no wait longer than it may be."""
        deadline = (now if since is None else since) + self.grace
        if latest is not None:
            deadline = min(deadline, latest)
        before = self._asked.get((session.key, session.started_at))
        if before is not None:
            deadline = min(deadline, before.deadline)
        return round(min(max(deadline, now), now + self.grace), 3)

    def _save(self) -> None:
        owed = self._ending.owed
        if self._is_resumed:
            self._asked = {
                begun: one
                for begun, one in self._asked.items()
                if begun[0] in owed and owed[begun[0]].session.started_at == begun[1]
            }
        try:
            asked.save(self._state, self._asked)
        except HostError as error:
            self._gate.note("asked", str(error))
        except OSError as error:
            self._gate.note("asked", f"{self._state}/{asked.NAME} cannot be written: {os.strerror(error.errno or 0)}")
        else:
            self._gate.note("asked", "")
