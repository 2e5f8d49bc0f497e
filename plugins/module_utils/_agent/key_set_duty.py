# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches the key sets of issuers of signed tokens, and has new keys made live.

A thread fetches, one set after the other, so that nothing else waits for a server. What nginx has is compared with what
it should have whenever one of the two may have changed, so that a fetch, a run of Ansible, and a kill at any moment all
come to the same. What clients send has no part in it: a token of an unknown key makes nobody fetch.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import typing as t

from .._host import files, inotify
from .._host.error import HostError
from .._host.inotify import Inotify
from .._issuers import state
from .._issuers.key_sets import (
    RULES_LIMIT,
    Known,
    Source,
    counting,
    is_stale,
    problem_of,
    read_rules,
    rendered,
    sources_of,
    surplus_of,
)
from .duty import Duty, Figure, Gate

# Seconds until a set is fetched for the first time, at most: gates that start together do not ask together.
FIRST = 10.0
# The share of an interval by which it is longer or shorter each time
SPREAD = 0.1
# Seconds until a fetch that failed is tried again; the pauses grow up to the interval.
RETRY, RETRY_GROWTH = 5.0, 3.0
# Seconds between two tries to make the same keys live, and within which they have to be taken
LIVE_PAUSES = (5.0, 15.0, 60.0, 300.0)
TAKEN_WITHIN = 60.0
# Where inotify is missing the rules are looked at this often, and in any case while keys are being made live.
POLL = 1.0
_EVENTS = inotify.MOVED_TO | inotify.CLOSE_WRITE | inotify.DELETE | inotify.ONLY_FOLDER
_FOLDER_EVENTS = inotify.CREATE | inotify.MOVED_TO | inotify.ONLY_FOLDER

Identity = t.Tuple[int, int, int, int]
Entries = t.Dict[str, t.List[t.Dict[str, t.Any]]]


class Schedule:
    """When a set is fetched next, by the monotonic clock."""

    def __init__(self, source: Source, known: t.Optional[Known]) -> None:
        self.failures = 0
        now = time.monotonic()
        if known is not None and known.url == source.url and known.fetched_at and not known.problem:
            age = max(0.0, time.time() - known.fetched_at)
            self.at = now + max(random.uniform(0, min(FIRST, source.interval)), _spread(source.interval) - age)
        else:
            self.at = now + random.uniform(0, min(FIRST, source.interval))

    def done(self, source: Source) -> None:
        """A fetch succeeded."""
        self.failures = 0
        self.at = time.monotonic() + _spread(source.interval)

    def failed(self, source: Source) -> None:
        """A fetch failed."""
        pause = min(float(source.interval), RETRY * RETRY_GROWTH ** min(self.failures, 16))
        self.failures += 1
        self.at = time.monotonic() + _spread(pause)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1 - SPREAD, 1 + SPREAD)


class KeySets(Duty):
    """The key sets that the rules at a path name; what is known of them is kept in a folder."""

    name = "key sets"

    def __init__(self, gate: Gate, rules: str, folder: str) -> None:
        super().__init__(gate)
        self._rules = rules
        self._folder = folder
        self._known = state.load_known(folder)
        self._sources: t.Dict[str, Source] = {}
        self._schedules: t.Dict[str, Schedule] = {}
        self._live: Entries = {}
        self._identity: t.Optional[Identity] = None
        self._is_compared = False
        # Keys that were left to be made live: which ones, since when, how often, and when they are left again
        self._offered: Entries = {}
        self._offered_at = 0.0
        self._offers = 0
        self._offer_at = 0.0
        self._is_waiting = False
        self._lock = threading.Lock()
        self._is_fetching = ""
        self._fetched: t.List[t.Tuple[Source, t.Optional[Known], t.Optional[HostError]]] = []
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._kernel = Inotify.or_none()
        self._watches: t.Dict[str, int] = {}

    def turn(self) -> None:
        self._drain()
        self._watch()
        self._read_rules()
        self._collect()
        self._start_fetch()
        self._compare()

    def next_turn(self) -> t.Optional[float]:
        moments = [schedule.at for schedule in self._schedules.values() if not self._is_fetching]
        now, monotonic = time.time(), time.monotonic()
        for known in self._known.values():
            moments += [monotonic + until - now for _key, until in known.leaving]
        for name, source in self._sources.items():
            if self._known.get(name, Known("")).problem and not is_stale(source, self._known.get(name), now):
                moments.append(monotonic + source.interval)
        if self._is_waiting or self._kernel is None:
            moments.append(monotonic + POLL)
        elif not self._is_compared:
            moments.append(self._offer_at)
        return min(moments, default=None)

    def descriptors(self) -> t.List[int]:
        return [self._wake] if self._kernel is None else [self._wake, self._kernel.fd]

    def status(self) -> str:
        failing = sorted(name for name in self._sources if self._known.get(name, Known("")).problem)
        if failing:
            return f"keys of {', '.join(failing)} cannot be fetched"
        return f"keys of {len(self._sources)} issuers are fetched" if self._sources else ""

    def figures(self) -> t.List[Figure]:
        now = time.time()
        fetched = {name: self._known.get(name, Known("")).fetched_at for name in self._sources}
        # One that was never fetched is older than any.
        ages = {name: max(0.0, now - at) if at else float("inf") for name, at in fetched.items()}
        return [("key_set_age_seconds", {"key_set": name}, age) for name, age in ages.items()]

    def close(self) -> None:
        """A thread that still fetches ends with the process, and what it finds is fetched again."""
        with self._lock:
            os.close(self._wake)
            os.close(self._waker)
            self._wake = self._waker = -1
        if self._kernel is not None:
            self._kernel.close()

    # The rules

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, 512)
        for event in self._kernel.read() if self._kernel is not None else []:
            if event.mask & inotify.IGNORED:
                self._watches = {path: watch for path, watch in self._watches.items() if watch != event.watch}

    def _watch(self) -> None:
        """Watch the folder of the rules, and the one above, in which that comes and goes."""
        if self._kernel is None:
            return
        folder = os.path.dirname(self._rules)
        for path, events in ((folder, _EVENTS), (os.path.dirname(folder), _FOLDER_EVENTS)):
            if path not in self._watches:
                # It is not there yet: the one above reports it.
                with contextlib.suppress(OSError):
                    self._watches[path] = self._kernel.add(path, events)

    def _read_rules(self) -> None:
        identity = self._look()
        if identity == self._identity:
            return
        sources: t.Dict[str, Source] = {}
        live: Entries = {}
        if identity is not None:
            data = files.read(self._rules, RULES_LIMIT, follow=True)
            document = read_rules(data.decode("utf-8", "replace")) if data else {"issuers": {}}
            sources = sources_of(document)
            live = {name: list(document["issuers"][name]["keys"]) for name in sources}
        for name in set(self._sources) - set(sources):
            self.gate.note(f"key set {name}", "")
        for name, source in sources.items():
            if name not in self._schedules or self._sources.get(name) != source:
                self._schedules[name] = Schedule(source, self._known.get(name))
        self._schedules = {name: self._schedules[name] for name in sources}
        self._sources, self._live = sources, live
        known = {name: one for name, one in self._known.items() if name in sources and one.url == sources[name].url}
        if known != self._known:
            self._known = known
            state.save_known(self._folder, known)
        self._identity = identity
        self._is_compared = False

    def _look(self) -> t.Optional[Identity]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat(self._rules)
            return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        return None

    # Fetching

    def _start_fetch(self) -> None:
        now = time.monotonic()
        due = [name for name, schedule in self._schedules.items() if schedule.at <= now]
        with self._lock:
            if self._is_fetching or not due:
                return
            name = min(due, key=lambda one: self._schedules[one].at)
            self._is_fetching = name
        source, known = self._sources[name], self._known.get(name)
        thread = threading.Thread(target=self._fetch, args=(source, known), name="keys", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._is_fetching = ""
            self._schedules[name].failed(source)
            self.gate.note("key threads", "key sets are not fetched: the system has no thread left")
        else:
            self.gate.note("key threads", "")

    def _fetch(self, source: Source, known: t.Optional[Known]) -> None:
        """In a thread of its own."""
        # Only here: with TLS and HTTP it takes some MiB.
        from .._issuers.fetch import FetchError, fetch

        found: t.Optional[Known] = None
        problem: t.Optional[HostError] = None
        try:
            found = fetch(source, known)
        except HostError as error:
            problem = error
        except Exception as error:  # a thread that ended in silence would leave the set unfetched for ever
            problem = FetchError(f"its key set cannot be fetched: {type(error).__name__}")
        with self._lock:
            self._fetched.append((source, found, problem))
            self._is_fetching = ""
            if self._waker != -1:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._waker, b"x")

    def _collect(self) -> None:
        """Take over what the thread has found."""
        with self._lock:
            fetched, self._fetched = self._fetched, []
        now = time.time()
        for source, found, problem in fetched:
            # The rules may have changed meanwhile.
            if self._sources.get(source.name) != source:
                continue
            if found is not None:
                self._schedules[source.name].done(source)
                self._report_left_out(source, found)
                self._known[source.name] = found
            elif problem is not None:
                from .._issuers.fetch import failed

                self._schedules[source.name].failed(source)
                before = self._known.get(source.name)
                self._known[source.name] = failed(source, before, problem, now)
                if before is None or before.problem != self._known[source.name].problem:
                    self.gate.say(f"issuer {source.name}: {self._known[source.name].problem}")
            self._is_compared = False
        for name, source in self._sources.items():
            known = self._known.get(name)
            self.gate.note(f"key set {name}", problem_of(source, known, now) or surplus_of(source, known, now))
        if fetched:
            state.save_known(self._folder, self._known)

    def _report_left_out(self, source: Source, found: Known) -> None:
        before = self._known.get(source.name)
        if found.left_out and (before is None or before.left_out != found.left_out):
            self.gate.say(f"issuer {source.name}: left out of its key set: {'; '.join(found.left_out)}")

    # Making live

    def _wanted(self) -> t.Tuple[Entries, state.Keys]:
        """What nginx should have of the sets that were fetched, and the same as JWKs."""
        now = time.time()
        entries: Entries = {}
        keys: state.Keys = {}
        for name, source in self._sources.items():
            known = self._known.get(name)
            if known is not None and known.keys:
                jwks = counting(known, now)
                # The rules may have other algorithms by now: the keys stay until a set has some for these.
                with contextlib.suppress(HostError):
                    entries[name] = rendered(source, jwks)
                    keys[name] = (source.url, jwks)
        return entries, keys

    def _forget_leaving(self) -> None:
        now = time.time()
        for name, known in self._known.items():
            leaving = tuple(one for one in known.leaving if one[1] > now)
            if leaving != known.leaving:
                self._known[name] = known._replace(leaving=leaving)
                self._is_compared = False

    def _compare(self) -> None:
        """Leave keys to be made live where nginx has others."""
        self._forget_leaving()
        now = time.monotonic()
        if self._is_waiting:
            self._look_after_offer(now)
            self._read_rules()
        if self._is_compared:
            return
        wanted, keys = self._wanted()
        is_same = all(self._live.get(name) == entries for name, entries in wanted.items())
        result = state.load_result(self._folder)
        if is_same and result is not None:
            if result:
                # Somebody else has made them live, such as Ansible.
                state.save_result(self._folder, "")
            self._is_compared, self._is_waiting, self._offers, self._offered = True, False, 0, {}
            self.gate.note("keys", "")
            return
        if wanted != self._offered:
            self._offers, self._offer_at = 0, 0.0
        if self._is_waiting or now < self._offer_at:
            return
        state.begin(self._folder)
        state.offer(self._folder, keys)
        names = sorted(name for name, entries in wanted.items() if is_same or self._live.get(name) != entries)
        self.gate.say(f"keys of {', '.join(names)} are to be made live")
        self._offered, self._offered_at, self._is_waiting = wanted, now, True
        self._offer_at = now + LIVE_PAUSES[min(self._offers, len(LIVE_PAUSES) - 1)]
        self._offers += 1

    def _look_after_offer(self, now: float) -> None:
        """Report what became of keys that were left to be made live."""
        problem = state.load_result(self._folder)
        if problem is None and now - self._offered_at < TAKEN_WITHIN:
            return
        self._is_waiting = False
        if problem is None:
            problem = "what makes them live was ended before it was done"
            if state.is_offered(self._folder):
                problem = "wssgate-keys.path does not take them: see systemctl status wssgate-keys.path wssgate-keys"
        if problem:
            self.gate.note("keys", f"fetched keys are not live: {problem}")
        # What nginx has now is looked at anew.
        self._identity = None
