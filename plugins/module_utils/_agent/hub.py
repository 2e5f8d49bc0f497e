# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follows the hub: has issued and revoked on this gate what was issued and revoked anywhere in the fleet.

Threads talk to the hub (see _hub/following.py); here is done, a bounded part at a time, what they have read. The hub's
records are read from their beginning when the agent starts, and again after a failover or when the hub has less than it
had: what it has lost of revocations this gate then appends to its own stream. Issues that it has lost are not appended,
and their files stay until they end.

On the disk is how far the gate has come, which tokens that were removed here are yet to be revoked elsewhere, and what
this gate knows as revoked (see hub_held.py).
"""

from __future__ import annotations

import collections
import secrets
import time
import typing as t

from .._host.error import HostError, told
from .._hub import records, trimming
from .._hub.flooding import Flood
from .._hub.following import Failure, Generation, Inbox, Reader, Reading, Writer, Written
from .._hub.merge import WHOLE, Merge
from .._hub.records import Id
from .._hub.settings import Settings
from .._tokens.record import full_fingerprint
from .._tokens.store import open_store
from . import hub_lost, hub_position
from .duty import FAILURE_PAUSES, Duty, Figure, Gate
from .hub_held import HeldFile
from .hub_marker import Marker
from .hub_position import Position
from .hub_refused import Refused
from .hub_removed import Removed
from .hub_signed import Key, SignedFolder
from .hub_store import HubStore
from .store_watch import Identity, identity_of

URGENT, ISSUING, WRITING = "urgent", "issuing", "writing"
# Tokens that a turn brings to what they should be
A_TURN = 500
LOCK_WAIT = 2.0
# Seconds: between two reports of a gate to which nothing happens, two looks through the store, two trims
REPORT_EVERY, RECONCILE_EVERY, TRIM_EVERY = 5.0, 300.0, 30.0


class FollowHub(Duty):
    """The duty of a gate that has a hub."""

    name = "hub"

    def __init__(
        self, gate: Gate, settings: Settings, store: str, state: str, version: str = "", revocations: str = ""
    ) -> None:
        super().__init__(gate)
        self.settings = settings
        self._path = store
        self._state = state
        self._version = version
        self._store = HubStore(gate)
        self._merge = self._new_merge()
        self._signed = SignedFolder(revocations)
        self._held = HeldFile(state, settings.fleet)
        self._former: t.Optional[Merge] = None
        self._number = 0
        self._targets: t.Dict[str, Id] = {}
        self._began: t.Set[str] = set()
        self._ended: t.Set[str] = set()
        self.is_caught_up = False
        # What is to be looked at: what may be revoked before what may be issued
        self._urgent: t.Deque[str] = collections.deque()
        self._soon: t.Deque[str] = collections.deque()
        self._named: t.Set[str] = set()
        self._subjects: t.Set[str] = set()
        self._taken_back: t.Set[Key] = set()
        self._later: t.Deque[str] = collections.deque()
        self._removed = Removed()
        self._now = (0, 0.0)  # the hub's clock, and the moment
        self._done: t.Dict[str, Id] = {}
        self._reached: t.Dict[str, Id] = {}
        self._sent: t.Set[str] = set()
        self._told_again: t.Set[str] = set()  # of what is pending: what the file of revocations has, too
        self._saved: t.Optional[Position] = None
        self._hub_mark = secrets.token_hex(16)
        self._reported: t.Tuple[t.Mapping[str, Id], float] = ({}, 0.0)
        self._again, self._failures = 0.0, 0
        self._refused = Refused()
        self._flood = Flood()
        self._next_reconcile = self._next_trim = time.monotonic() + TRIM_EVERY
        self._identity: t.Optional[Identity] = None
        self._problems: t.Dict[str, str] = {}
        self._started = self._current = time.monotonic()
        self._marker = Marker(settings.marker, settings.max_staleness)
        self._load()
        self._inbox = Inbox()
        generation = Generation()
        for who in (URGENT, ISSUING, WRITING):
            self._inbox.room(who)
        self._writer = Writer(WRITING, settings, self._inbox, generation)
        self._threads = [
            self._writer,
            Reader(URGENT, settings, self._inbox, settings.urgent(), generation, with_standing=True),
        ]
        if settings.issuers:
            self._threads.append(Reader(ISSUING, settings, self._inbox, settings.issuing(), generation))
        for fingerprint in self._store.pending:
            self._writer.append(fingerprint, records.revoke(fingerprint))
        for thread in self._threads:
            thread.start()

    def _new_merge(self) -> Merge:
        return Merge(dict(self.settings.issuers), self.settings.longest_signed)

    @property
    def _has_urgent(self) -> bool:
        return bool(self._urgent or self._named or self._subjects or self._taken_back)

    # The duty

    def removed(self, names: t.AbstractSet[str], by_agent: t.AbstractSet[str]) -> None:
        # Also by a clock that is wrong: that is no revocation.
        self._store.written -= by_agent
        self._store.ended |= by_agent
        now = time.time() * 1000
        for name in names:
            issue = self._merge.issue_of(name)
            # What has ended, and what was taken back already, is no news.
            if issue is None and self._merge.is_barred(name):
                continue
            # The file may be of another stream's than the one that counts.
            others = [one for one in self._merge.issues_of(name) if issue is not None and one.stream != issue.stream]
            if issue is None or any(one.ends is None or one.ends > now for one in (issue, *others)):
                self._removed.add([name])

    def turn(self) -> None:
        for message in self._inbox.take():
            if isinstance(message, Reading):
                self._take(message)
            elif isinstance(message, Written):
                self._sent.add(message.what)
            else:
                self._failed(message)
        self.gate.note("hub connection", "; ".join(dict.fromkeys(filter(None, self._problems.values()))))
        if time.monotonic() >= self._marker.due():
            self._become_stale()
        # What waits for a pause is not lost: the threads go on handing over, and that has to be taken in any case.
        if time.monotonic() < self._again:
            return
        try:
            self._work()
        except (HostError, OSError) as error:
            self.gate.note("hub work", f"{self.name}: {told(error)}")
            self._again = time.monotonic() + FAILURE_PAUSES[min(self._failures, len(FAILURE_PAUSES) - 1)]
            self._failures += 1
        else:
            self.gate.note("hub work", "")
            self._failures = 0

    def _work(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if not self._marker.is_made and (self._is_fresh() or now >= self._grace_is_over()):
            self._mark()
        # The role makes the folders where a gate begins to take signed tokens, after an agent may have read all.
        if self._signed.is_another():
            self._taken_back.update(self._merge.signed)
        if self._taken_back:
            self._apply_signed()
        if identity_of(self._path) is None:
            return
        if now >= self._removed.due():
            self._publish_removed()
        if self._urgent or self._named or self._subjects:
            self._apply_urgent()
        if not self.is_caught_up:
            self._catch_up()
        for waiting in (self._soon, self._later) if self.is_caught_up else ():
            if waiting:
                self._apply(waiting)
        if self.is_caught_up and now >= self._next_reconcile and not self._later:
            self._reconcile()
        if now >= self._next_trim:
            self._trim()
        if self.is_caught_up:
            self._held.keep(self._merge, int(self._hub_now()) // 1000)
            self.gate.note("hub revocations", self._held.problem)
            self._settle()

    def next_turn(self) -> t.Optional[float]:
        return min(max(self._again, self._next_work()), self._marker.due())

    def _next_work(self) -> float:
        if identity_of(self._path) is None:
            return time.monotonic() + 1.0  # all that waits needs the store
        if self._has_urgent or (self.is_caught_up and (self._soon or self._later or self._held.is_behind)):
            return time.monotonic()
        moments = [] if self._marker.is_made else [self._grace_is_over()]
        moments += [self._next_trim, self._reported[1] + REPORT_EVERY]
        moments.append(self._removed.due())
        if self.is_caught_up:
            moments.append(self._next_reconcile)
        return min(moments)

    def figures(self) -> t.List[Figure]:
        is_connected = bool(self._number) and not any(self._problems.values())
        age = time.monotonic() - self._current  # of the last moment at which all was done
        return [("hub_connected", {}, float(is_connected)), ("hub_position_age_seconds", {}, age)]

    def descriptors(self) -> t.List[int]:
        return [self._inbox.fd]

    def status(self) -> str:
        if any(self._problems.values()):
            return ""  # that stands in the status line by itself
        words = "follows the hub" if self.is_caught_up else "catches up with the hub"
        left = len(self._later) + len(self._soon) + len(self._urgent)
        refused = sum(self._merge.refused.values())
        return words + (f", {left} to do" if left else "") + (f", {refused} records refused" if refused else "")

    def close(self) -> None:
        self._inbox.close()

    # What threads hand over

    def _take(self, reading: Reading) -> None:
        if reading.generation < self._number:
            return  # of a server that is gone
        if reading.generation > self._number:
            self._begin(reading.generation, reading.now)
        self._now = (reading.now, time.monotonic())
        self._store.note_clock(reading.now)
        self._next_trim = min(self._next_trim, self._flood.take(reading.generation, reading.records))
        if reading.targets is not None:
            self._began.add(reading.reader)
            self._targets.update(reading.targets)
            if reading.mark is not None and reading.mark != self._hub_mark:
                # A hub that this gate has not reported to: what is not here was not removed here.
                self._store.before, self._reached = {}, {}
            # The same id may come again, where the clock of the new server is behind that of the former one.
            self._store.before = hub_position.limited(self._store.before, reading.targets)
            self._reached = hub_position.limited(self._reached, reading.targets)
        if reading.reader == URGENT:
            self._marker.seen()
        if reading.is_at_end:
            self._ended.add(reading.reader)
        all_touched = [self._merge.feed_standing(record) for record in reading.standing]
        all_touched += [self._merge.feed(record, reading.now) for record in reading.records]
        self._held.note((*reading.standing, *reading.records), all_touched)
        tokens = self._merge.tokens_of(all_touched)
        for touched in all_touched:
            tokens += touched.tokens
            if touched.fingerprint and (not touched.tokens or len(touched.fingerprint) < WHOLE):
                self._named.add(touched.fingerprint)
            if touched.subject is not None:
                self._subjects.add(touched.subject)
            if touched.signed is not None:
                self._taken_back.add(touched.signed)
            if touched.void is not None:
                self._writer.append("", records.void(touched.void.issuer, touched.void.since))
        if reading.reader == URGENT:
            self._urgent.extend(tokens)
            self._soon.extend(tokens)
        else:
            self._later.extend(tokens)
        words = self._refused.words(self._merge.refused, len(self._store.foreign))
        if words is not None:
            self.gate.note("hub records", words)

    def _begin(self, number: int, now: int) -> None:
        """Read all anew; keep what is known of revocations until that is done."""
        if not self._number:
            self._former = self._held.former(self._new_merge(), now // 1000)
        else:
            self.gate.say("the hub is another server, or has less than it had: reading all of it anew")
            if self._former is None:
                self._former = self._merge
            else:
                self._former.learn(self._merge)  # of a server that has gone again before all of it was read
        self._number = number
        self._merge = self._new_merge()
        self._targets, self._began, self._ended, self._done = {}, set(), set(), {}
        self.is_caught_up = False
        for waiting in (self._urgent, self._soon, self._later):
            waiting.clear()
        for fingerprint in self._store.pending if number > 1 else ():
            self._writer.append(fingerprint, records.revoke(fingerprint))

    def _failed(self, failure: Failure) -> None:
        self._problems[failure.who] = f"the hub: {failure.problem}" if failure.problem else ""

    # What is done

    def _readers(self) -> t.Set[str]:
        return {URGENT, ISSUING} if self.settings.issuers else {URGENT}

    def _is_fresh(self) -> bool:
        """Whether the gate knows what the hub has: after too long without it, all that was appended meanwhile."""
        return self.is_caught_up and (not self._marker.is_stale or self._readers() <= self._ended)

    def _become_stale(self) -> None:
        self._marker.withdraw()
        self._ended = set()
        self.gate.note(
            "hub staleness",
            f"the hub has not answered for max_staleness ({self.settings.max_staleness} s): the gate lets nobody in by "
            "a token until it has caught up",
        )

    def _is_read(self) -> bool:
        """Whether everything has been read that was there when the reading began."""
        readers = self._readers()
        has_all = all(self._merge.last.get(stream, records.START) >= place for stream, place in self._targets.items())
        return readers <= self._began and (has_all or readers <= self._ended)

    def _catch_up(self) -> None:
        if not self._is_read():
            return
        if self._former is not None:
            self._append_lost(self._former)
            self._former = None
        self._reconcile()
        self.is_caught_up = True
        self.gate.say("all records of the hub are read")

    def _append_lost(self, former: Merge) -> None:
        """What the hub does not have any more of what was revoked goes to this gate's own stream."""
        lost = hub_lost.take(former, self._merge, int(self._hub_now()) // 1000)
        count = len(lost.fingerprints) + len(lost.records)
        if count:
            self.gate.say(f"the hub has lost {count} revocations: this gate has them")
        self._held.note((), lost.touched)
        for fields, least in lost.records:
            self._writer.append("", fields, least)
        self._revoke(lost.fingerprints, are_held=True)

    def _revoke(self, fingerprints: t.Collection[str], are_held: bool = False) -> None:
        """Revoke them on all gates. ``are_held``: an agent that comes next has them of the file of revocations."""
        new = [one for one in fingerprints if one not in self._store.pending]
        if not new:
            return
        self._store.pending.update(new)
        if are_held:
            self._told_again.update(new)
        else:
            # Before the hub is told: an agent that is killed now goes on with it.
            self._save()
        for fingerprint in new:
            least = max(one.operated_at(fingerprint) for one in (self._merge, self._former or self._merge))
            self._writer.append(fingerprint, records.revoke(fingerprint), least)

    def _publish_removed(self) -> None:
        """Revoke what somebody has removed, unless it is there again or the store itself is another one."""
        names = self._removed.take()
        if self._identity is not None and identity_of(self._path) != self._identity:
            return
        with open_store(self._path, write=False) as store:
            gone = [name for name in names if store.look(name) is None]
        self.gate.say(f"revoking {len(gone)} tokens on all gates: their files were removed here")
        self._store.written.difference_update(gone)
        self._revoke({full_fingerprint(name) for name in gone})

    def _apply_urgent(self) -> None:
        """Take away what may not be there. Only what was done is forgotten: what failed is tried again."""
        some = [self._urgent[number] for number in range(min(A_TURN, len(self._urgent)))]
        with open_store(self._path, wait=LOCK_WAIT) as store:
            self._store.bar_tokens(store, self._merge, some)
            if self._named:
                self._store.bar_named(store, self._merge, self._named)
            if self._subjects:
                self._store.bar_subjects(store, self._merge, self._subjects)
        for _one in some:
            self._urgent.popleft()
        self._named.clear()
        self._subjects.clear()

    def _apply_signed(self) -> None:
        some = list(self._taken_back)[:A_TURN]
        self._signed.apply(self._merge, some)
        self._taken_back.difference_update(some)

    def _publish_signed(self, must_look: bool = False) -> None:
        """Tell the others what was taken back of signed tokens on this gate, and what the hub has lost of that."""
        if self._problems.get(WRITING):
            return
        for (kind, name), before, until in self._signed.own(self._merge, must_look):
            self._writer.append("", records.take_back(kind, name, before, until))

    def _apply(self, waiting: t.Deque[str]) -> None:
        some = [waiting[number] for number in range(min(A_TURN, len(waiting)))]
        with open_store(self._path, wait=LOCK_WAIT) as store:
            lost = self._store.apply(store, self._merge, some)
        for _one in some:
            waiting.popleft()
        # As if that had just been seen
        self._removed.add(lost)

    def _reconcile(self) -> None:
        """Look through the whole store, whatever the kernel has reported."""
        self._check_store()
        with open_store(self._path, wait=LOCK_WAIT) as store:
            self._store.bar_all(store, self._merge)
            if self._merge.has_cut_offs():
                self._store.bar_subjects(store, self._merge)
        self._taken_back.update(self._merge.signed)
        self._publish_signed(must_look=True)
        self._merge.forget(int(self._hub_now()))
        self._held.tidy(int(self._hub_now()) // 1000)
        self._later.extend(self._merge.tokens())
        self._next_reconcile = time.monotonic() + RECONCILE_EVERY

    def _check_store(self) -> None:
        """In another folder than that of before nothing was written yet, and nothing of it was removed."""
        found = identity_of(self._path)
        if found != self._identity:
            self._identity = found
            self._store.written.clear()
            self._store.before, self._reached = {}, {}

    def _grace_is_over(self) -> float:
        grace = self.settings.startup_grace
        return self._started + grace if grace and not self._marker.is_stale else float("inf")

    def _mark(self) -> None:
        """Have nginx let in whoever has a token: what was revoked is gone, or the wait was long enough."""
        if self._has_urgent or self._soon:
            return
        if not self._is_fresh():
            self.gate.say("the hub was not there for startup_grace: the gate lets in by what it has")
        self._marker.make()
        self.gate.note("hub staleness", "")

    def _hub_now(self) -> float:
        now, moment = self._now
        return now + 1000 * (time.monotonic() - moment) if now else time.time() * 1000

    # How far it is

    def _settle(self) -> None:
        """Note and report how far this gate has come."""
        if self._held.is_behind:
            return  # what is confirmed has to be on the disk
        read_back = {one for one in self._sent if self._merge.is_revoked(one)}
        self._store.pending -= read_back
        self._sent -= read_back
        self._told_again -= read_back
        done = dict(self._done)
        is_quiet = not (self._has_urgent or self._soon)
        self._current = self._now[1] if is_quiet else self._current
        for stream, place in self._merge.last.items():
            if is_quiet and (not self._later or not stream.startswith(records.ISSUE)):
                done[stream] = place
                self._reached[stream] = max(place, self._reached.get(stream, place))
        for stream in self._merge.refusing:
            self._reached.pop(stream, None)  # what counts of it later has no file here, though nobody removed one
        self._done = done
        self._save()
        now = time.monotonic()
        if now - self._reported[1] >= REPORT_EVERY:
            self._publish_signed()
        if done != self._reported[0] or now - self._reported[1] >= REPORT_EVERY:
            fields = {stream: records.id_text(place) for stream, place in done.items()}
            fields["time"] = str(self._now[0])
            fields["version"], fields["mark"] = self._version, self._hub_mark
            fields["refused"] = str(sum(self._merge.refused.values()))
            self._writer.report(fields, self._number)
            self._reported = (done, now)

    def _save(self) -> None:
        reached, pending = tuple(sorted(self._reached.items())), tuple(sorted(self._store.pending - self._told_again))
        what = Position(self._identity, reached, pending, self._hub_mark)
        if what != self._saved:
            hub_position.save(self._state, self.settings.fleet, what)
            self._saved = what

    def _load(self) -> None:
        self.gate.note("hub revocations", self._held.problem)
        self._identity = identity_of(self._path)
        try:
            found = hub_position.load(self._state, self.settings.fleet)
        except HostError as error:
            self.gate.note("hub position", str(error))
            return
        if found is not None:
            self._store.pending, self._hub_mark = set(found.pending), found.mark or self._hub_mark
            if found.store is not None and found.store == self._identity:
                self._store.before = dict(found.done)
                self._reached = dict(found.done)

    def _trim(self) -> None:
        """Bound what an issuer's stream takes of the hub's memory, and drop what can count no more."""
        self._next_trim = time.monotonic() + TRIM_EVERY
        if self.is_caught_up and self._now[0]:
            usual = trimming.of_gate(self.settings, int(self._hub_now()))
            self._writer.trim([*usual, *self._flood.trims(self.settings)])
