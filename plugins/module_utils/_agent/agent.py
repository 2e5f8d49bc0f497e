# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent of a gate: ends every token and every session when it should end.

It runs on the host without Ansible, from a copy of these files, as wssgate-agent.service. What it knows it reads from
the token store and from the session log, so that it may be killed at any time: the next one finds what is left to do.

- A token ends at its second, with its sessions.
- A token's file that somebody removes, in whatever way, ends the sessions of that token.
- A session that nginx logs although its token has gone, because the two met, is ended as well.
- A session that could not be ended is tried again, after a growing pause, beside all others.
- A store that is not there, or that another one has taken the place of, ends no session: it was unmounted or moved.
"""

from __future__ import annotations

import contextlib
import heapq
import time
import typing as t

from .._host.error import HostError, told
from .._host.inotify import Inotify
from .._host.wall_timer import CLOCK_LOOK, Clock, WallTimer
from .._sessions.ending import SETTLE, Ended
from .._sessions.follow import Follower
from .._sessions.log import Key, MissingLog, Session
from .._tokens.record import CORRUPT, SECOND_LOOK, Gone, Owed, StoreError, Token
from .._tokens.store import QUARANTINE_GRACE, TokenStore, open_store
from . import left_open
from .asking import Asking
from .causes import EXPIRED, REMOVED, REVOKED, WORDS
from .duties import duties_of
from .duty import FAILURE_PAUSES, Latest, Turns
from .ending import Ending, pause_of, words_about
from .log_watch import POLL, LogWatch
from .look_ahead import HORIZON, LookAhead
from .prune import owed_of, settle
from .settings import Settings
from .store_watch import Identity, StoreWatch, is_there, opened

# systemd ends an agent that does not report for 30 seconds.
LOCK_WAIT = 2.0
# From here on a look through the whole store is cheaper than one at each file.
LOOK_AT_MOST = 2000
# Seconds that wss_token has to end the sessions of the tokens that it removed, and to count them.
REVOKER_TIME = 1.5


class Agent:
    """One agent. :meth:`turn` does what is due and returns how long nothing is."""

    def __init__(self, settings: Settings, say: t.Callable[[str], None] = lambda line: None) -> None:
        self.settings = settings
        self.say = say
        self.problems: t.Dict[str, str] = {}
        self.errors = 0
        # Called again and again while a turn takes long: it goes on.
        self.ping: t.Callable[[], None] = lambda: None
        self.ending = Ending()
        self.asking = Asking(self, self.ending, settings.notify, settings.store, settings.state)
        self.log: t.Optional[LogWatch] = None
        if settings.session_log:
            self.log = LogWatch(settings.session_log, settings.log_limit, LOCK_WAIT, self.note)
            self.log.follower.progress = lambda: self.ping()  # pylint: disable=unnecessary-lambda  # it is set later
        self.duties = duties_of(self, settings, self.asking, self.log)
        self._turns = Turns(self.note)
        self.kernel = Inotify.or_none()
        self.timer = WallTimer.or_none()
        self.watch = StoreWatch(settings.store, self.kernel)
        self._ends: t.List[t.Tuple[float, str]] = []
        self._over: t.Dict[str, int] = {}  # tokens whose end has come and whose files could not be removed: tries
        self._owed: t.Dict[str, float] = {}  # removed tokens whose sessions are to end, and until when these began
        self._taken: t.Set[str] = set()  # tokens that this agent removed, and that the kernel has not reported yet
        self._gone_since: t.Dict[str, float] = {}  # tokens that were removed or have expired, and since when
        self._revoking: t.Dict[str, float] = {}  # tokens that wss_token is about to end the sessions of, and until when
        self._left_open: t.AbstractSet[left_open.Begun] = frozenset()
        self._next_scan = 0.0
        self._ahead = LookAhead(settings.store)
        self._next_settling = float("inf")
        # Whether the folder of the tokens is another one than at the beginning.
        self.has_another_store = False
        self._has_begun = False
        self._first: t.Optional[Identity] = None
        self._failures, self._is_failing = 0, False  # until the store could be looked through again
        self._clock = Clock()

    # Turns

    def turn(self) -> float:
        """Do what is due; return the seconds until something is, if nothing happens before."""
        failures = self._turn()
        if failures:
            self._failed(failures)
        elif not self._is_failing:
            self._failures = 0
            self.note("turn", "")
        if self.log is not None and self.log.is_read:
            self.asking.resume(self.open_sessions())
        for duty in self.duties:
            self.ping()
            self.errors += self._turns.do(duty)
        if self.ending.is_due():
            with contextlib.suppress(HostError, OSError):
                self._read_log(now=True)
            self.ending.try_due(self._is_open, self.ping)
            self.asking.settle()
        self.note("ending", self.ending.problem if self.ending.stubborn() else "")
        return self._pause()

    def descriptors(self) -> t.List[int]:
        """What to wait for besides the time."""
        found = [] if self.kernel is None else [self.kernel.fd]
        log = None if self.log is None else self.log.descriptor()
        found += [] if log is None else [log]
        found += [descriptor for duty in self.duties for descriptor in duty.descriptors()]
        if self.timer is not None:
            is_there = self.watch.identity is not None
            self.timer.arm(self._ends[0][0] if self._ends and is_there else None)
            found.append(self.timer.fd)
        return found

    def status(self) -> str:
        """One line about what the agent does."""
        words = [f"{len(self.open_sessions())} sessions in the log", f"{len(self._ends)} tokens end soon"]
        if self.ending.owed:
            words.append(f"{len(self.ending.owed)} sessions to end")
        words += [words_of_duty for words_of_duty in (duty.status() for duty in self.duties) if words_of_duty]
        if self.watch.is_polling or (self.log is not None and self.log.is_polling):
            words.append("without inotify, so it looks twice a second")
        return "; ".join([", ".join(words), *self.problems.values()])

    def close(self) -> None:
        """Give back what the kernel lent."""
        for one in (self.kernel, self.log, self.timer, *self.duties):
            if one is not None:
                one.close()

    def note(self, about: str, problem: str) -> None:
        """Report a problem when it is new, and when it is over."""
        before = self.problems.get(about, "")
        if problem == before:
            return
        if problem:
            self.problems[about] = problem
            self.say(problem)
        else:
            del self.problems[about]
            self.say(f"over: {before}")

    def _failed(self, failures: t.Sequence[str]) -> None:
        """Note what went wrong, and look at everything again after a pause: what the kernel reported was read."""
        self.errors += 1
        self.note("turn", "; ".join(failures))
        again = time.monotonic() + FAILURE_PAUSES[min(self._failures, len(FAILURE_PAUSES) - 1)]
        self._failures += 1
        self._is_failing = True
        self._next_scan = again
        # What is due would else be tried again without a pause.
        self._next_settling = max(self._next_settling, again)
        if self.log is not None:
            self.log.read_again(again)

    def _turn(self) -> t.List[str]:
        """Do each step, whatever becomes of the others; return what went wrong."""
        before = self.watch.identity
        changes = self.watch.look()
        for duty in self.duties if changes.gone else ():
            duty.removed(changes.gone - self._taken, changes.gone & self._taken)
        self._taken -= changes.gone
        clock_was_set = any([self._clock.was_set(), self.timer is not None and self.timer.read()])
        began, self._has_begun = self._has_begun, True
        if not began:
            self._first = self.watch.identity
        if self.watch.identity is None:
            self.note("store", f"{self.settings.store} is not there: no session is ended for it")
            self._ahead.restart(0.0)  # a file system that is to go is not kept open
            return self._tried(self._read_log)
        self.note("store", "")
        is_another = before != self.watch.identity
        if is_another:
            self.has_another_store = began and self.watch.identity != self._first
        now = time.monotonic()
        is_incomplete = changes.is_incomplete or len(changes.came) > LOOK_AT_MOST
        is_incomplete = is_incomplete or is_another or now >= self._next_scan or clock_was_set
        steps: t.List[t.Callable[[], None]] = []
        if is_another:
            identity = self.watch.identity
            steps.append(lambda: self._take_over(identity))
        if is_incomplete:
            steps.append(self._scan)
        came = changes.came & changes.gone if is_incomplete else changes.came
        if came or changes.gone:
            steps.append(lambda: self._look_at(came, changes.gone))
        steps.append(self._expire)
        if now >= self._ahead.due_at():
            steps.append(self._look_ahead)
        if now >= self._next_settling:
            steps.append(self._settle)
        steps.append(self._read_log)
        if is_incomplete:
            steps.append(lambda: self._judge(self._sessions()))
        elif changes.gone:
            steps.append(lambda: self._judge(one for one in self._sessions() if one.token in changes.gone))
        steps.append(self._look_after_revokers)
        failures: t.List[str] = []
        for step in steps:
            failures += self._tried(step)
            if failures and is_another:
                # Who was there before is not known yet: nothing is ended before it is.
                self.watch.forget()
                break
        return failures

    def _tried(self, step: t.Callable[[], None]) -> t.List[str]:
        """Do a step; return what went wrong."""
        self.ping()
        try:
            step()
        except (HostError, OSError) as error:
            return [told(error)]
        return []

    def _look_after_revokers(self) -> None:
        """End what wss_token should have ended by now."""
        now = time.monotonic()
        over = {name for name, until in self._revoking.items() if until <= now}
        if over:
            self._revoking = {name: until for name, until in self._revoking.items() if name not in over}
            self._judge(session for session in self._sessions() if session.token in over)

    def _pause(self) -> float:
        now = time.monotonic()
        if self.watch.identity is None:
            moments = [now + 1.0]  # no token ends before there is a store
        else:
            moments = [self._next_scan, self._ahead.due_at(), self._next_settling, *self._revoking.values()]
            if self.watch.is_polling:
                moments.append(now + POLL)
            if self.timer is None:
                moments.append(now + CLOCK_LOOK)
            if self._ends:
                moments.append(now + self._ends[0][0] - time.time())
        others = [self.ending.next_try(), *(self._turns.next_turn(duty) for duty in self.duties)]
        if self.log is not None:
            others.append(self.log.next_read())
        moments += [moment for moment in others if moment is not None]
        return max(0.0, min(moments) - now)

    # Tokens

    def _scan(self) -> None:
        """Look through the whole store: what is due, what is due soon, and what is owed from before."""
        now = time.time()
        problems: t.List[str] = []
        with open_store(self.settings.store, wait=LOCK_WAIT) as store:
            store.progress = self.ping
            if store.leftover:
                problems.append(store.leftover)
            expired, corrupt, ends = store.due_until(now, now + HORIZON, problems)
            self._take_away(store, [token.name for token in expired])
            aside = store.quarantine([token.name for token in corrupt], owed=self.follower is not None)
            self._taken.update(aside.removed)
            problems += filter(None, [aside.problem()])
            # Those that could not be removed are due again, each after its pause.
            self._ends = [end for end in ends if end[1] not in self._over]
            self._ends += [(now + pause_of(tries), name) for name, tries in self._over.items()]
            heapq.heapify(self._ends)
            self._remember(owed_of(store, problems))
        self._next_scan = float("inf")
        self._ahead.restart(now)
        self._is_failing = False
        self.note("scan", "; ".join(problems[:3]))
        self.note("removal", words_about(len(self._over)))

    def _look_ahead(self) -> None:
        """Go on with the look for tokens that end next, and for what no event told of."""
        if not self._ahead.go_on():
            return
        self._ends = self._ahead.merged(self._ends)
        self._next_scan = 0.0 if self._ahead.has_due(self._over) else self._next_scan
        with open_store(self.settings.store, write=False) as store:
            self._remember(owed_of(store, []))
        self._judge(self._sessions())

    def _look_at(self, came: t.Collection[str], gone: t.Collection[str]) -> None:
        """Look at the files that came and at those that went."""
        now = time.time()
        since: t.Dict[str, float] = {}
        with open_store(self.settings.store, write=False) as store:
            for name in {*came, *gone}:  # one that has gone may have come again since the kernel was asked
                token = self._look(store, name, now)
                if token is not None:
                    since[name] = token.changed_at
                    if token.is_expired(now):
                        heapq.heappush(self._ends, (now, name))
            if gone:
                before = set(self._owed)
                self._remember(owed_of(store, []))
                revoked = {name for name in gone if name in self._owed and name not in before}
                age = now - max((self._gone_since[name] for name in revoked), default=now)  # this agent may look late
                until = time.monotonic() + REVOKER_TIME - min(max(0.0, age), REVOKER_TIME)
                # With a grace wss_token leaves them to the agent.
                if not self.asking.grace:
                    self._revoking.update(dict.fromkeys(revoked, until))
                    some = [one for one in self._sessions() if one.token in revoked]
                    self.asking.begin(some, REVOKED)
                    if self.asking.is_told:
                        self.end(some, REVOKED, until)
                if self.settings.end_on_removal:
                    # Those that are there again, by now or in a moment: the sessions of before are to end.
                    self._owe({name: min(now, since.get(name, now)) + SETTLE for name in gone})
                    self._next_settling = min(self._next_settling, time.monotonic() + SECOND_LOOK + 1)
        self.note("removal", words_about(len(self._over)))

    def _look(self, store: TokenStore, name: str, now: float) -> t.Optional[Token]:
        """Look at a token's file, and keep in mind when it ends."""
        # What is no file, or cannot be read, is reported by the next look through the store.
        with contextlib.suppress(StoreError):
            token = store.look(name)
            if token is None or not token.is_expired(now):
                # It has gone, or it was prolonged: its sessions are as good as any.
                if self._over.pop(name, None) is not None:
                    self._gone_since.pop(name, None)
                if token is not None and token.expires_at is not None and token.expires_at < now + HORIZON:
                    heapq.heappush(self._ends, (float(token.expires_at), name))
                if token is not None and token.form == CORRUPT and 0 <= now - token.changed_at < QUARANTINE_GRACE:
                    # Somebody may be writing it. If not, it is to be set aside, and may not open the gate until then.
                    self._next_scan = min(self._next_scan, time.monotonic() + QUARANTINE_GRACE + 1)
            return token
        return None

    def _remember(self, owed: t.Sequence[Owed]) -> None:
        again = {name: until for name, until in self._owed.items() if until != float("inf")}
        over = {name: since for name, since in self._gone_since.items() if name in self._over}
        self._gone_since = {**over, **{record.name: record.removed_at for record in owed}}
        self._owed = {
            record.name: record.removed_at + SETTLE if record.is_token_again else float("inf") for record in owed
        }
        self._owe(again)
        if owed and self._next_settling == float("inf"):
            self._next_settling = time.monotonic() + SECOND_LOOK + 1

    def _owe(self, again: t.Mapping[str, float]) -> None:
        """Note until when sessions began that are to end. A token may be issued anew more than once."""
        for name, until in again.items():
            self._owed[name] = max(until, self._owed.get(name, until))

    def _expire(self) -> None:
        """End the tokens whose second has come."""
        now = time.time()
        due = set()
        while self._ends and self._ends[0][0] <= now:
            due.add(heapq.heappop(self._ends)[1])
        if not due:
            return
        with open_store(self.settings.store, wait=LOCK_WAIT) as store:
            expired = []
            for name in due:
                token = self._look(store, name, now)
                if token is not None and token.is_expired(now):
                    expired.append(name)
            self._take_away(store, expired)
        for name in self._over:
            if name in due:
                heapq.heappush(self._ends, (now + pause_of(self._over[name]), name))
        self.note("removal", words_about(len(self._over)))

    def _take_away(self, store: TokenStore, names: t.Sequence[str]) -> None:
        """Remove tokens whose end has come, and have their sessions ended, those of files that stay, too."""
        gone = self.take_back(store, names, EXPIRED)
        for name in gone.removed:
            self._over.pop(name, None)
        for name in gone.failed:
            self._over[name] = self._over.get(name, 0) + 1
            self._gone_since.setdefault(name, time.time())

    def take_back(self, store: TokenStore, names: t.Collection[str], cause: str = REVOKED) -> Gone:
        """Remove tokens, and have their sessions ended, those of files that stay, too."""
        gone = store.take_away(list(names), owed=self.follower is not None)
        if gone.removed:
            self.say(f"removed {len(gone.removed)} {cause}")
            self._taken.update(gone.removed)
            self._next_settling = min(self._next_settling, time.monotonic() + SECOND_LOOK + 1)
            self._owed.update(dict.fromkeys(gone.removed, float("inf")))
            self._gone_since.update(dict.fromkeys(gone.removed, time.time()))
        wanted = set(names)
        self.end([session for session in self._sessions() if session.token in wanted], cause)
        return gone

    def _settle(self) -> None:
        """Forget removed tokens whose sessions are gone."""
        problems: t.List[str] = []
        with open_store(self.settings.store, write=False) as store:
            owed = owed_of(store, problems)
        open_tokens = frozenset(owing.session.token for owing in self.ending.owed.values()).union(self._revoking)
        # Where the log could not be read nobody knows whose sessions are open.
        known = None if {"log", "turn"} & set(self.problems) else open_tokens
        problems += settle(self.settings.store, owed, Ended(tokens=known), LOCK_WAIT)
        with open_store(self.settings.store, write=False) as store:
            left = owed_of(store, problems)
        self._owed = {}
        self._next_settling = float("inf")
        self._remember(left)
        self.note("settling", "; ".join(problems[:3]))

    # Sessions

    @property
    def follower(self) -> t.Optional[Follower]:
        """What has been read of the session log."""
        return None if self.log is None else self.log.follower

    def open_sessions(self) -> t.Mapping[Key, Session]:
        """The sessions that have no end in the session log, by worker, connection and request."""
        return {} if self.log is None else self.log.follower.open

    def end(
        self, sessions: t.Iterable[Session], cause: str, at: t.Optional[float] = None, latest: Latest = None
    ) -> int:
        """Have these sessions ended, for one of the causes; return how many of them are new."""
        since = self._gone_since if cause in (EXPIRED, REVOKED) else None
        count = self.asking.end(sessions, cause, since, at, latest)
        if count:
            self.say(f"ending {count} sessions: {WORDS[cause]}")
        return count

    def _sessions(self) -> t.List[Session]:
        """The sessions that a token has let in."""
        return [session for session in self.open_sessions().values() if session.token]

    def _is_open(self, session: Session) -> bool:
        found = self.open_sessions().get(session.key)
        return found is not None and found.started_at == session.started_at

    def _read_log(self, now: bool = False) -> None:
        """Read the session log where it has grown, and look at each session that is new."""
        if self.log is not None:
            started = self.log.read(now)
            for duty in self.duties:
                duty.started(started)
            self._judge(started)
            self.log.shorten()

    def _judge(self, sessions: t.Iterable[Session]) -> None:
        """Have those sessions ended whose token does not count any more."""
        sessions = [
            session
            for session in sessions
            if session.token
            and (session.key, session.started_at) not in self._left_open
            and session.token not in self._revoking
        ]
        if not sessions or self.watch.identity is None:
            return
        causes: t.Dict[str, t.List[Session]] = {}
        with opened(self.settings.store, self.watch.identity) as folder:
            if folder is None:
                return
            there: t.Dict[str, bool] = {}
            for session in sessions:
                token = session.token
                if token not in there:
                    there[token] = is_there(token, folder)
                if token in self._over:
                    causes.setdefault(EXPIRED, []).append(session)
                elif session.started_at <= self._owed.get(token, float("-inf")) and (
                    not there[token] or self._owed[token] != float("inf")
                ):
                    cause = REVOKED if there[token] or self._owed[token] == float("inf") else REMOVED
                    causes.setdefault(cause, []).append(session)
                elif not there[token] and self.settings.end_on_removal:
                    causes.setdefault(REMOVED, []).append(session)
        for cause, some in causes.items():
            self.end(some, cause)

    # What cannot be derived

    def _take_over(self, identity: Identity) -> None:
        """Begin with a store. Sessions whose token was gone before an agent first saw it are left as they are."""
        self._over = {}
        self._owed = {}
        self._gone_since = {}
        self._left_open = frozenset()
        if self.follower is None:
            return
        is_log_there = False
        with contextlib.suppress(MissingLog):
            started = self.follower.read()
            for duty in self.duties:
                duty.started(started)
            is_log_there = True
        self._left_open, words, problem = left_open.begin(
            self.settings.store, self.settings.state, identity, self._sessions(), is_log_there
        )
        if words:
            self.say(words)
        self.note("state", problem)
