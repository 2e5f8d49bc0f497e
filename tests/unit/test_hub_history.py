# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge of a fleet's history finds each broken rule that is planted in one, and none in one without."""

from __future__ import annotations

from typing import Any

import pytest

from lib.history import ADMITTED, BEGAN, CLOSED, ENDED, LEFT, NEVER, REFUSED, History
from lib.hub_history import (
    APPEARED, CONFIRMED, ISSUED, LOST, QUIET, REVOKED, VANISHED, Verdict, judge,
)  # fmt: skip

GATES = ("one", "two")
MINE, OTHER = "token 1", "token 2"


class Planted(History):
    """Token 1 is issued at 10, and at 100 revoked, which both gates confirm; token 2 stays. Each has its sessions."""

    def __init__(self, without: str = "") -> None:
        super().__init__()
        for token in (MINE, OTHER):
            self.issue(token, 10)
            for gate in GATES:
                if without != f"file on {gate}":
                    self.note(APPEARED, token, at=10.3, since=10.1, gate=gate)
                if without != "session":
                    self.admit(f"{gate} {token}", token, gate, 20)
        self.note(REVOKED, MINE, at=100, since=99.9, confirmed=True)
        for gate in GATES:
            if without != f"confirmation of {gate}":
                self.note(CONFIRMED, MINE, at=100.2, gate=gate)
            if without != f"end on {gate}":
                if without != f"file on {gate}":
                    self.note(VANISHED, MINE, at=100.2, since=100, gate=gate)
                if without != "session":
                    self.note(CLOSED, f"{gate} {MINE}", at=100.6)

    def issue(self, token: str, at: float, **facts: Any) -> None:
        found = {"owner": "app", "confirmed": True, "ends": NEVER, **facts}
        self.note(ISSUED, token, at=at, since=at - 0.1, **found)

    def admit(self, name: str, token: str, gate: str, at: float) -> None:
        self.note(ADMITTED, name, at=at, since=at - 0.1, token=token, gate=gate)

    def refuse(self, token: str, gate: str, at: float) -> None:
        self.note(REFUSED, "somebody", at=at, since=at - 0.1, token=token, gate=gate, why="403")

    def fault(self, begin: float, end: float, *gates: str, **facts: bool) -> None:
        self.note(BEGAN, f"fault {begin}", at=begin, gates=list(gates) or None, **facts)
        self.note(ENDED, f"fault {begin}", at=end)

    def judged(self, end: float = 200) -> Verdict:
        for gate in GATES:
            self.echo(f"{gate} {OTHER}", at=end - 1)
        found = {event.name for event in self.events if event.kind == ADMITTED}
        self.echoes = {name: at for name, at in self.echoes.items() if name in found}
        return judge(self.over(end), GATES)

    def rules(self, end: float = 200) -> set[int]:
        return {rule for rule, _words in self.judged(end).problems}


def test_a_fleet_that_does_what_it_should_breaks_no_rule() -> None:
    history = Planted()
    history.note(QUIET, "", at=150)
    history.refuse(MINE, "one", 101)
    verdict = history.judged()
    assert verdict.problems == []
    assert verdict.counts["confirmed by gates"] == 2 and verdict.counts["sessions"] == 4
    assert verdict.figures()["revoke_to_closed_max"] == 0.6 and verdict.figures()["issue_to_file_max"] == 0.3


# 1


def test_a_confirmation_that_comes_before_the_file_is_gone_is_found() -> None:
    history = Planted(without="end on one")
    history.note(VANISHED, MINE, at=102, since=101.9, gate="one")
    history.note(CLOSED, f"one {MINE}", at=100.9)
    assert history.rules() == {1}


def test_a_session_that_outlives_the_confirmation_is_found_but_not_while_there_was_no_agent() -> None:
    history = Planted(without="end on one")
    history.note(VANISHED, MINE, at=100.2, since=100, gate="one")
    history.note(CLOSED, f"one {MINE}", at=101.5)
    assert history.rules() == {1}
    history.fault(100.5, 101, "two", agent=True)
    history.fault(100.5, 101, "one")
    assert history.rules() == {1}, "neither another gate's fault excuses it, nor one that leaves the agent at work"
    history.fault(100.5, 101, "one", agent=True)
    assert history.rules() == set()


def test_whoever_is_admitted_after_the_confirmation_is_found() -> None:
    history = Planted()
    history.admit("late", MINE, "two", 100.5)
    history.note(LEFT, "late", at=100.6)
    assert history.rules() == {1}


# 2


def test_a_record_that_a_gate_has_lost_is_found() -> None:
    assert Planted(without="file on two").rules() == {2}


def test_a_token_that_comes_late_is_found_but_not_after_a_fault() -> None:
    history = Planted()
    history.issue("late", 20)
    for gate in GATES:
        history.note(APPEARED, "late", at=25.2, since=25.1, gate=gate)
    assert history.rules() == {2}
    history.fault(19, 21)
    assert history.rules() == set()


@pytest.mark.parametrize("facts", [{"confirmed": False}, {"ends": 21.0}])
def test_what_is_not_confirmed_or_ends_soon_need_not_come(facts: dict[str, Any]) -> None:
    history = Planted()
    history.issue("other", 20, **facts)
    assert history.rules() == set()


def test_a_token_that_goes_without_a_revocation_is_found() -> None:
    history = Planted()
    history.note(VANISHED, OTHER, at=50, since=49.9, gate="one")
    assert history.rules() == {2}


def test_a_refusal_of_a_valid_token_is_found_but_not_of_a_gate_that_is_down() -> None:
    history = Planted()
    history.refuse(OTHER, "one", 50)
    assert history.rules() == {2}
    history.fault(49, 49.5, "one", refuses=True)
    assert history.rules() == set()


# 3


def test_gates_that_do_not_agree_are_found() -> None:
    history = Planted()
    history.fault(20, 40)
    history.issue("unequal", 30)
    history.note(APPEARED, "unequal", at=30.3, since=30.2, gate="one")
    history.note(APPEARED, "unequal", at=46, since=45.9, gate="two")
    history.note(QUIET, "", at=45)
    assert 3 in history.rules()
    assert "unequal of app is on one alone" in dict(history.judged().problems)[3]


def test_of_a_token_that_is_just_being_revoked_gates_need_not_agree() -> None:
    history = Planted(without="end on two")
    history.note(VANISHED, MINE, at=100.9, since=100.1, gate="two")
    history.note(QUIET, "", at=100.5)
    assert 3 not in history.rules()


# 4


def test_a_token_that_comes_back_is_found() -> None:
    history = Planted()
    history.note(APPEARED, MINE, at=120, since=119.9, gate="two")
    assert history.rules() == {4}


def test_a_gate_that_never_learns_of_a_revocation_is_found() -> None:
    history = Planted(without="end on two")
    history.events = [one for one in history.events if one.kind != CONFIRMED or one.facts["gate"] != "two"]
    assert history.rules() == {4}


def test_a_revocation_that_a_backup_lacks_counts_only_once_a_gate_has_confirmed_it() -> None:
    history = Planted(without="end on two")
    history.events = [one for one in history.events if one.kind != CONFIRMED or one.facts["gate"] != "two"]
    history.note(LOST, "backup", at=110, since=90, owners=None)
    assert history.rules() == {4}
    history.events = [one for one in history.events if one.kind != CONFIRMED]
    assert history.rules() == set()


def test_what_a_backup_or_a_trimmed_stream_lacks_need_not_come_but_must_not_go() -> None:
    history = Planted(without="file on two")
    history.note(LOST, "trim", at=50, since=0, owners=["shop"])
    assert history.rules() == {2}
    history.note(LOST, "trim", at=50, since=0, owners=["app"])
    assert history.rules() == set()
    history.note(VANISHED, OTHER, at=60, since=59.9, gate="one")
    assert history.rules() == {2}


# 5


def test_a_token_that_nobody_has_issued_is_found() -> None:
    history = Planted()
    history.note(APPEARED, "nobody's", at=50, since=49.9, gate="one")
    assert history.rules() == {5}
    history = Planted()
    history.admit("nobody", "nobody's", "one", 50)
    history.note(LEFT, "nobody", at=51)
    assert history.rules() == {5}


# 6


def test_a_bystander_that_is_cut_is_found_but_not_where_the_gate_itself_went() -> None:
    history = Planted()
    history.note(CLOSED, f"one {OTHER}", at=100.3)
    assert history.rules() == {6}
    history.fault(99, 101, "one", agent=True)
    history.fault(99, 101, "two", cuts=True)
    assert history.rules() == {6}
    history.fault(99, 101, "one", cuts=True)
    assert history.rules() == set()


def test_a_session_that_stops_echoing_is_found() -> None:
    history = Planted()
    history.admit("silent", OTHER, "one", 50)
    history.echo("silent", at=60)
    assert history.rules() == {6}


# By a balancer


class Balanced(Planted):
    """With one more session, that came through a balancer and is cut at 100.3."""

    def __init__(self) -> None:
        super().__init__()
        self.note(ADMITTED, "guest", at=50, since=49.9, token=OTHER, gate="one", via=True)
        self.note(CLOSED, "guest", at=100.3)


def test_a_balancer_that_is_killed_cuts_those_who_came_through_it_alone() -> None:
    history = Balanced()
    assert history.rules() == {6}
    history.fault(100, 101, via=True, cuts=True)
    assert history.rules() == set()
    history.note(CLOSED, f"one {OTHER}", at=100.4)
    assert history.rules() == {6}


def test_a_balancer_that_is_killed_gives_no_gate_more_time() -> None:
    history = Planted(without="end on one")
    history.note(VANISHED, MINE, at=100.2, since=100, gate="one")
    history.note(CLOSED, f"one {MINE}", at=102)
    history.fault(100.5, 101, via=True, agent=True)
    assert history.rules() == {1}


def test_whoever_is_refused_by_a_balancer_in_quiet_times_is_found() -> None:
    history = Planted()
    history.note(REFUSED, "guest", at=50, since=49.9, token=OTHER, via=True, gate="", why="ConnectionResetError")
    assert history.rules() == {2}
    history.fault(49, 50, "two")
    assert history.rules() == set(), "it may have sent the client where the trouble was"
    history.refuse(OTHER, "one", 50)
    assert history.rules() == {2}, "a gate that refuses is no matter of the balancer"
