# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each session counts once, and none that did not pass, however the log is read."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import session_counts
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.session_counts import Ends, Handshakes
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import follow
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.follow import Follower

PLACE = ("gate", "/wss")
OTHER = ("gate", "/other")
TOKEN = "Token-that-is-counted-01"


class Gate:
    """A session log, and an agent that reads it."""

    def __init__(self, path: Path, since: float) -> None:
        self.path = path
        path.touch()
        self.number = 0
        self.counts = Handshakes(since)
        self.follower = self._follower()

    def _follower(self) -> Follower:
        follower = Follower(str(self.path))
        follower.watcher = self.counts
        return follower

    def begin(self, place: tuple[str, str] = PLACE, ago: float = 0.0, kind: str = "S") -> tuple[str, float]:
        self.number += 1
        # Each connection has a port of its own.
        line = f"{time.time() - ago:.3f} 7 {self.number} 1 127.0.0.1 {10000 + self.number} 127.0.0.1 443 127.0.0.1"
        self.write(f"{kind} {line} {TOKEN} {place[0]} {place[1]} -")
        return line, time.time()

    def end(self, status: int = 101, number: int | None = None) -> None:
        self.write(f"E {time.time():.3f} 7 {number or self.number} 1 {status}")

    def come_and_go(self, status: int = 101, place: tuple[str, str] = PLACE, ago: float = 0.0) -> None:
        self.begin(place, ago)
        self.end(status)

    def write(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(line + "\n")

    def read(self) -> dict[tuple[str, str], int]:
        self.follower.read()
        self.counts.settle()
        return self.counts.counts

    def restart(self, *, kept: str | None = None) -> None:
        """Another agent, which has what the former one left, or what was kept of an earlier moment."""
        self.counts = Handshakes.of(json.loads(kept or self.left()))
        self.follower = self._follower()

    def left(self) -> str:
        return json.dumps(self.counts.as_dict())


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    # What is not on this machine is open where a test says that it is.
    monkeypatch.setattr(follow, "live_pairs", lambda pairs: {})
    return Gate(tmp_path / "sessions.log", time.time() - 100)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_counts, "SETTLE", 0.0)


def test_a_session_that_is_over_before_its_line_is_read_counts(gate: Gate) -> None:
    gate.come_and_go()
    gate.come_and_go()
    gate.come_and_go(place=OTHER)
    assert gate.read() == {PLACE: 2, OTHER: 1}


@pytest.mark.parametrize("status", [200, 403, 499, 502, 504])
def test_what_did_not_become_a_session_does_not_count(gate: Gate, status: int) -> None:
    gate.come_and_go(status)
    assert gate.read() == {}
    gate.begin()
    gate.read()
    gate.end(status)
    assert gate.read() == {}


def test_a_session_that_is_open_counts_after_a_moment(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.begin()
    assert gate.read() == {}
    assert 0 < gate.counts.settles_at() - time.monotonic() <= session_counts.SETTLE
    monkeypatch.setattr(session_counts, "SETTLE", 0.0)
    assert gate.read() == {PLACE: 1}
    assert gate.counts.settles_at() == float("inf")
    gate.end()
    assert gate.read() == {PLACE: 1}


@pytest.mark.usefixtures("at_once")
def test_what_was_counted_too_soon_is_made_up_for(gate: Gate) -> None:
    """An upstream that is silent until the timeout: the next session of the place is left out."""
    gate.begin()
    assert gate.read() == {PLACE: 1}
    gate.end(504)
    gate.come_and_go(place=OTHER)
    assert gate.read() == {PLACE: 1, OTHER: 1}
    gate.restart()
    gate.come_and_go()
    assert gate.read() == {PLACE: 1, OTHER: 1}
    gate.come_and_go()
    assert gate.read() == {PLACE: 2, OTHER: 1}


@pytest.mark.usefixtures("at_once")
def test_a_restart_counts_nothing_twice_and_misses_nothing(gate: Gate) -> None:
    gate.come_and_go(ago=50)
    gate.begin(ago=30)
    gate.begin()
    gate.come_and_go()
    assert gate.read() == {PLACE: 4}
    gate.restart()
    assert gate.read() == {PLACE: 4}
    # While no agent runs
    gate.begin()
    gate.come_and_go()
    gate.come_and_go(502)
    gate.end(number=2)
    gate.restart()
    assert gate.read() == {PLACE: 6}
    gate.come_and_go()
    assert gate.read() == {PLACE: 7}


def test_an_agent_that_was_killed_leaves_no_gap(gate: Gate) -> None:
    """What it had read and not counted yet is read again."""
    gate.come_and_go()
    gate.read()
    kept = gate.left()
    gate.begin()
    gate.come_and_go()
    gate.read()
    gate.restart(kept=kept)
    gate.end(number=2)
    assert gate.read() == {PLACE: 3}


@pytest.mark.usefixtures("at_once")
def test_a_log_that_was_shortened_or_replaced_counts_nothing_twice(gate: Gate) -> None:
    gate.come_and_go(ago=50)
    line, _now = gate.begin()
    gate.come_and_go()
    assert gate.read() == {PLACE: 3}
    # As shorten() leaves it: sessions that are open are written again.
    gate.path.write_text("".join([f"K {line} {TOKEN} {PLACE[0]} {PLACE[1]} -\n"]))
    gate.come_and_go()
    assert gate.read() == {PLACE: 4}
    os.replace(gate.path, f"{gate.path}.1")
    gate.path.touch()
    gate.come_and_go()
    assert gate.read() == {PLACE: 5}


def test_what_was_before_the_boot_does_not_count(gate: Gate) -> None:
    gate.come_and_go(ago=101)
    gate.come_and_go(ago=99)
    assert gate.read() == {PLACE: 1}


@pytest.mark.usefixtures("at_once")
def test_a_clock_that_is_put_back_or_forward_keeps_nothing_from_being_counted(gate: Gate) -> None:
    gate.come_and_go(ago=-3600)
    gate.come_and_go(ago=3600)
    gate.come_and_go()
    # What began before the boot, as the log has it, is left out at the first reading alone.
    assert gate.read() == {PLACE: 2}
    gate.come_and_go(ago=3600)
    assert gate.read() == {PLACE: 3}
    gate.restart()
    gate.come_and_go()
    assert gate.read() == {PLACE: 4}


def test_what_is_kept_stays_small(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3000):
        gate.number = number
        gate.begin(ago=90 - number * 0.03)
        gate.end()
    assert gate.read() == {PLACE: 3000}
    # Of the last ten seconds, a thirtieth of a second each
    assert len(json.loads(gate.left())["recent"]) < 400


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"since": 1}', '{"since":1,"mark":1,"counts":[["a"]],"left_out":[],"recent":[]}']
)
def test_what_is_no_state_is_told_from_one(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Handshakes.of(json.loads(text))


def test_ends_count_when_the_session_is_over_by_the_cause_that_came_first(gate: Gate) -> None:
    gate.begin()
    gate.begin()
    gate.follower.read()
    first, second = gate.follower.open.values()
    ends = Ends({"removed": 4})
    ends.begin([first, second], "expired")
    ends.begin([first], "revoked")
    ends.settle(gate.follower.open)
    assert ends.counts == {"removed": 4}
    gate.end(number=1)
    gate.follower.read()
    ends.settle(gate.follower.open)
    assert ends.counts == {"removed": 4, "expired": 1}
