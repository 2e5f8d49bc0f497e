# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a session that may last so long and no longer is ended, whatever is done to the clock."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._agent import lifetime
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.causes import LIFETIME
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.lifetime import Lifetimes
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Key, Session

DAY = 86400.0
BEGAN = 1_800_000_000.0
WORKER = "4711"


class Time:
    """The clocks, as long as nobody looks at the real ones."""

    def __init__(self) -> None:
        self.boot, self.offset = 50_000.0, BEGAN - 50_000.0
        self.worker: t.Optional[float] = 1000.0

    @property
    def wall(self) -> float:
        return self.boot + self.offset

    def clock_gettime(self, _which: int) -> float:
        return self.boot

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        # It stands still while the system sleeps.
        return self.boot - 777.0

    CLOCK_BOOTTIME = 7


class Gate:
    def __init__(self) -> None:
        self.sessions: t.Dict[Key, Session] = {}
        self.ended: t.List[t.Tuple[str, str]] = []

    def open_sessions(self) -> t.Mapping[Key, Session]:
        return self.sessions

    def end(self, sessions: t.Iterable[Session], cause: str) -> int:
        found = [(session.key[1], cause) for session in sessions]
        self.ended += found
        return len(found)

    def note(self, about: str, problem: str) -> None:
        pass

    def say(self, line: str) -> None:
        pass


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(lifetime, "time", found)
    monkeypatch.setattr(lifetime, "started_after_boot", lambda _worker: found.worker)
    return found


@pytest.fixture
def gate(now: Time) -> Gate:
    return Gate()


def begin(
    gate: Gate,
    duty: Lifetimes,
    number: int,
    began: float,
    low: t.Optional[int] = 60,
    high: int = 60,
    worker: str = WORKER,
) -> Session:
    key = (worker, str(number), "1")
    session = Session(key, began, None, "", "", b"", lifetime=None if low is None else (low, high))
    gate.sessions[key] = session
    duty.started([session])
    return session


def passes(now: Time, duty: Lifetimes, seconds: float) -> None:
    now.boot += seconds
    duty.turn()


def test_a_session_ends_when_it_has_lasted_as_long_as_it_may(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate)
    begin(gate, duty, 1, now.wall)
    begin(gate, duty, 2, now.wall - 20)
    begin(gate, duty, 3, now.wall, None)
    assert duty.next_turn() == now.monotonic() + 40
    passes(now, duty, 39.9)
    assert gate.ended == []
    passes(now, duty, 0.1)
    assert gate.ended == [("2", LIFETIME)]
    assert duty.next_turn() == now.monotonic() + 20
    passes(now, duty, 20)
    assert gate.ended == [("2", LIFETIME), ("1", LIFETIME)]
    assert duty.next_turn() is None


def test_without_lifetimes_nothing_is_due(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate)
    begin(gate, duty, 1, now.wall, None)
    assert duty.next_turn() is None
    passes(now, duty, 10 * DAY)
    assert gate.ended == []


def test_the_moments_of_many_sessions_are_spread_from_the_least_to_the_most(gate: Gate, now: Time) -> None:
    lives = [
        lifetime.seconds(Session((WORKER, str(number), "1"), BEGAN, None, "", "", b"", lifetime=(3240, 3600)))
        for number in range(1000)
    ]
    assert min(lives) >= 3240 and max(lives) <= 3600
    tenths = [sum(3240 + 36 * part <= life < 3276 + 36 * part for life in lives) for part in range(10)]
    assert min(tenths) > 60 and max(tenths) < 140


def test_another_agent_comes_to_the_same_moment(gate: Gate, now: Time) -> None:
    first = Lifetimes(gate)
    session = begin(gate, first, 1, now.wall, 1800, 3600)
    moment = now.boot + (first.next_turn() or 0) - now.monotonic()
    now.boot += 700
    second = Lifetimes(gate)
    second.started([session])
    assert now.boot + (second.next_turn() or 0) - now.monotonic() == pytest.approx(moment)


def test_ends_are_begun_earlier_where_something_has_to_be_done_before(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate, ahead=5.0)
    begin(gate, duty, 1, now.wall)
    passes(now, duty, 54.9)
    assert gate.ended == []
    passes(now, duty, 0.1)
    assert gate.ended == [("1", LIFETIME)]


def test_a_session_that_is_over_is_not_ended_nor_is_the_one_that_has_its_numbers(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate)
    former = begin(gate, duty, 1, now.wall)
    del gate.sessions[former.key]
    assert duty.next_turn() is None
    begin(gate, duty, 2, now.wall)
    now.boot += 30
    # nginx was started anew, and numbers from the beginning.
    begin(gate, duty, 2, now.wall)
    passes(now, duty, 30)
    assert gate.ended == []
    passes(now, duty, 30)
    assert gate.ended == [("2", LIFETIME)]


def test_a_session_that_is_told_again_keeps_its_moment(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate)
    session = begin(gate, duty, 1, now.wall)
    passes(now, duty, 30)
    now.offset += DAY
    duty.started([session, session])
    passes(now, duty, 29)
    assert gate.ended == []
    passes(now, duty, 1)
    assert gate.ended == [("1", LIFETIME)]


@pytest.mark.parametrize("step", [DAY, -DAY, 3600.0, -3600.0])
def test_a_clock_that_is_set_ends_no_session_earlier_or_later(gate: Gate, now: Time, step: float) -> None:
    duty = Lifetimes(gate)
    begin(gate, duty, 1, now.wall)
    passes(now, duty, 10)
    # One began just before it and one just after it, and both are seen by then.
    unseen = now.wall
    now.boot += 0.1
    now.offset += step
    begin(gate, duty, 3, now.wall)
    begin(gate, duty, 2, unseen)
    passes(now, duty, 0.4)
    begin(gate, duty, 4, now.wall)
    passes(now, duty, 49.4)
    assert gate.ended == []
    ended = []
    for number, later in (("1", 0.1), ("2", 10.0), ("3", 0.1), ("4", 0.4)):
        passes(now, duty, later - 0.05)
        assert gate.ended == ended
        passes(now, duty, 0.05)
        ended.append((number, LIFETIME))
        assert gate.ended == ended


def test_after_a_clock_was_set_while_no_agent_ran_no_session_is_older_than_its_worker(gate: Gate, now: Time) -> None:
    now.worker = now.boot - 20
    began = now.wall - 10
    now.offset += DAY
    duty = Lifetimes(gate)
    begin(gate, duty, 1, began)
    assert duty.next_turn() == now.monotonic() + 40
    # Or its process is not to be seen.
    now.worker = None
    begin(gate, duty, 2, now.wall - 30, worker="4712")
    assert duty.next_turn() == now.monotonic() + 30


def test_nor_does_one_last_longer_than_it_may_from_then_on(gate: Gate, now: Time) -> None:
    began = now.wall - 10
    now.offset -= DAY
    duty = Lifetimes(gate)
    begin(gate, duty, 1, began)
    assert duty.next_turn() == now.monotonic() + 60


def test_what_is_over_is_forgotten(gate: Gate, now: Time) -> None:
    duty = Lifetimes(gate)
    kept = [begin(gate, duty, number, now.wall, 10**6, 10**6) for number in range(10)]
    for number in range(10, 10_000):
        del gate.sessions[begin(gate, duty, number, now.wall, 3600, 3600).key]
        if number % 3 == 0:
            # Some were ended by the duty itself.
            begin(gate, duty, number, now.wall - 3600, 3600, 3600)
            duty.turn()
            del gate.sessions[(WORKER, str(number), "1")]
    assert len(duty._known) <= 2 * len(kept) + 2 * lifetime.STALE
    assert len(duty._ends) <= 2 * len(kept) + 2 * lifetime.STALE
    gate.ended.clear()
    passes(now, duty, 10**6)
    assert sorted(gate.ended) == sorted((session.key[1], LIFETIME) for session in kept)


def test_the_clock_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real clocks: this very process is its own worker."""
    gate = Gate()
    duty = Lifetimes(gate)
    session = Session((str(os.getpid()), "1", "1"), lifetime.time.time(), None, "", "", b"", lifetime=(5, 5))
    gate.sessions[session.key] = session
    duty.started([session])
    left = (duty.next_turn() or 0) - lifetime.time.monotonic()
    assert 4.5 < left <= 5.1
