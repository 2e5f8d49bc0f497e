# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge of a history finds each fault that is planted in one, and none in one without."""

from __future__ import annotations

import pytest

from lib.history import (
    ADMITTED, BEGAN, CLOSED, ENDED, KILLED, LEFT, REFUSED, REMOVED, REVOKED, STARTED, WRITTEN, History, Verdict, judge,
)  # fmt: skip

MINE, OTHER = "token 1", "token 2"


class Planted(History):
    """A token that is removed at 100, one that stays, and a session of each."""

    def __init__(self) -> None:
        super().__init__()
        for name, token in (("mine", MINE), ("other", OTHER)):
            self.note(WRITTEN, token, at=1)
            self.admit(name, token, 2)

    def admit(self, name: str, token: str, at: float, took: float = 0.1) -> None:
        self.note(ADMITTED, name, at=at, since=at - took, token=token)

    def fault(self, name: str, begin: float, end: float, grace: float = 1.0, **facts: bool) -> None:
        self.note(BEGAN, name, at=begin, **facts)
        self.note(ENDED, name, at=end, grace=grace)

    def judged(self, end: float = 200) -> Verdict:
        """Both echo to the end of the time, where a test says nothing else."""
        for name in {"mine", "other"} - set(self.echoes):
            self.echo(name, at=end - 1)
        return judge(self.over(end))


@pytest.fixture
def history() -> Planted:
    return Planted()


@pytest.mark.parametrize("kind", [REMOVED, REVOKED])
def test_what_ends_in_time_is_no_problem(history: Planted, kind: str) -> None:
    history.note(kind, MINE, at=100, since=99.9)
    history.note(CLOSED, "mine", at=100.7)
    verdict = history.judged()
    assert not verdict.problems
    assert verdict.figures()["delay_max"] == 0.7 and verdict.counts["ended"] == 1
    assert (verdict.counts["sessions"], verdict.counts[kind], verdict.counts["lasting"]) == (2, 1, 1)


def test_a_session_that_is_closed_while_its_token_is_being_removed_ends_in_time(history: Planted) -> None:
    history.note(REVOKED, MINE, at=103, since=100)
    history.note(CLOSED, "mine", at=100.5)
    assert not history.judged().problems


def test_a_late_end_is_found(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=101.5)
    assert history.judged().problems == ["mine ended 1.50 s after its token was removed, 0.50 s too late"]


def test_a_late_end_by_the_client_itself_is_found(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(LEFT, "mine", at=150)
    assert history.judged().problems == ["mine ended 50.00 s after its token was removed, 49.00 s too late"]


def test_a_lost_end_is_found(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    assert history.judged().problems == ["mine was never ended: its token was removed 100.00 s ago"]


def test_a_lost_end_of_an_expired_token_is_found(history: Planted) -> None:
    history.note(WRITTEN, "short", at=10, ends=50.0)
    history.admit("late", "short", 20)
    assert history.judged().problems == ["late was never ended: its token was expired 150.00 s ago"]


def test_a_bystander_that_is_cut_is_found(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    history.note(CLOSED, "other", at=100.1)
    assert history.judged().problems == ["other was cut although its token was valid"]


def test_a_session_that_is_cut_before_its_time_is_found(history: Planted) -> None:
    history.note(WRITTEN, "short", at=10, ends=50.0)
    history.admit("early", "short", 20)
    history.note(CLOSED, "early", at=49.5)
    assert history.judged().problems == ["early was cut although its token was valid, 0.50 s before its end"]


def test_a_prolonged_token_counts_until_its_new_end(history: Planted) -> None:
    history.note(WRITTEN, "short", at=10, ends=50.0)
    history.admit("mine too", "short", 20)
    history.note(WRITTEN, "short", at=40, ends=60.0)
    history.note(CLOSED, "mine too", at=60.2)
    assert not history.judged().problems
    history.admit("cut", "short", 45)
    history.note(CLOSED, "cut", at=50.2)
    assert history.judged().problems == ["cut was cut although its token was valid, 9.80 s before its end"]


def test_a_token_whose_end_is_moved_to_the_past_ends_when_that_is_written(history: Planted) -> None:
    history.note(WRITTEN, MINE, at=100.1, since=100, ends=1.0)
    history.note(CLOSED, "mine", at=101)
    assert not history.judged().problems
    history.events[-2] = history.events[-2]._replace(at=101.2)
    assert history.judged().problems == ["mine ended 1.10 s after its token was expired, 0.10 s too late"]


@pytest.mark.parametrize("ends", [True, False])
def test_a_session_that_is_admitted_after_its_end_is_found(history: Planted, ends: bool) -> None:
    if ends:
        history.note(WRITTEN, "short", at=10, ends=50.0)
    else:
        history.note(WRITTEN, "short", at=10)
        history.note(REMOVED, "short", at=50)
    history.admit("intruder", "short", 52)
    history.note(CLOSED, "intruder", at=52.1)
    assert history.judged().problems == ["intruder was admitted 1.90 s after its token's end"]


def test_an_expired_token_may_admit_for_a_second_and_its_session_ends_a_second_later(history: Planted) -> None:
    history.note(WRITTEN, "short", at=10, ends=50.0)
    history.admit("late", "short", 50.9)
    history.note(CLOSED, "late", at=51.8)
    assert not history.judged().problems


def test_a_removed_token_admits_nobody_at_all(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    history.admit("intruder", MINE, 100.5)
    assert history.judged().problems == ["intruder was admitted 0.40 s after its token's end"]


def test_a_session_without_any_token_is_found(history: Planted) -> None:
    history.admit("stranger", "no token", 10)
    assert history.judged().problems == ["stranger was admitted without a token"]


def test_a_valid_token_that_is_refused_is_found_and_one_that_is_gone_is_not(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    history.note(REFUSED, "attempt 1", at=101, since=100.5, token=MINE, why="403")
    assert not history.judged().problems
    history.note(REFUSED, "attempt 2", at=101, since=100.5, token=OTHER, why="403")
    assert history.judged().problems == ["attempt 2 was refused (403) although its token was valid"]


def test_a_bystander_that_fell_silent_is_found(history: Planted) -> None:
    history.echo("other", at=120)
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    assert history.judged().problems == ["other has not echoed for the last 80 s of its life"]


def test_a_fault_gives_time_until_its_end_and_no_longer(history: Planted) -> None:
    history.fault("ss fails", 90, 110, grace=5)
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=114.9)
    verdict = history.judged()
    assert not verdict.problems and not verdict.delays and verdict.delays_in_faults == [pytest.approx(14.9)]
    history.events[-2] = history.events[-2]._replace(at=115.5)
    assert history.judged().problems == ["mine ended 15.50 s after its token was removed, 0.50 s too late"]


def test_a_fault_of_another_time_gives_no_time(history: Planted) -> None:
    history.fault("ss fails", 90, 98)
    history.fault("ss fails", 102, 120)
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=101.5)
    assert len(history.judged().problems) == 1


def test_faults_one_after_the_other_give_time_until_the_last(history: Planted) -> None:
    history.note(KILLED, "", at=100.5)
    history.note(STARTED, "", at=103)
    history.fault("ss fails", 103.5, 110, grace=2)
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=111.9)
    assert not history.judged().problems
    history.events[-2] = history.events[-2]._replace(at=112.1)
    assert len(history.judged().problems) == 1


def test_a_fault_excuses_no_cut_but_of_one_that_cuts_all(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    history.note(CLOSED, "other", at=105)
    history.fault("agent stopped", 104, 106)
    assert history.judged().problems == ["other was cut although its token was valid"]
    history.fault("nginx replaced", 104, 106, cuts=True)
    assert not history.judged().problems


def test_a_fault_excuses_no_refusal_but_of_one_that_refuses(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(CLOSED, "mine", at=100.1)
    history.note(REFUSED, "attempt", at=105, since=104.5, token=OTHER, why="403")
    history.fault("agent stopped", 104, 106)
    assert len(history.judged().problems) == 1
    history.fault("store away", 104, 106, refuses=True)
    assert not history.judged().problems


def test_a_token_issued_anew_keeps_its_new_session_and_loses_its_former_one(history: Planted) -> None:
    history.note(REMOVED, MINE, at=100)
    history.note(WRITTEN, MINE, at=100.2)
    history.admit("new", MINE, 101)
    history.echo("new", at=199)
    assert history.judged().problems == ["mine was never ended: its token was removed 100.00 s ago"]
    history.note(CLOSED, "mine", at=100.3)
    assert not history.judged().problems
    history.note(CLOSED, "new", at=101.5)
    assert history.judged().problems == ["new was cut although its token was valid"]


def test_what_goes_and_comes_again_while_no_agent_runs_is_known_to_nobody(history: Planted) -> None:
    history.note(KILLED, "", at=99)
    history.note(REMOVED, MINE, at=100)
    history.note(WRITTEN, MINE, at=100.2)
    history.note(STARTED, "", at=102)
    verdict = history.judged()
    assert not verdict.problems and verdict.counts["ambiguous"] == 1


def test_a_session_that_begins_while_its_token_is_replaced_may_be_of_either(history: Planted) -> None:
    history.note(CLOSED, "mine", at=100.3)
    history.note(REMOVED, MINE, at=100)
    history.admit("either", MINE, 100.1, took=0.2)
    history.note(WRITTEN, MINE, at=100.05)
    history.note(CLOSED, "either", at=100.3)
    verdict = history.judged()
    assert not verdict.problems and verdict.counts["ambiguous"] == 1


@pytest.mark.parametrize(("again", "problems"), [(100.5, []), (102, ["new was cut although its token was valid"])])
def test_a_token_issued_anew_and_written_again_at_once_may_cost_the_new_session(
    history: Planted, again: float, problems: list[str]
) -> None:
    """Who has not looked between the two knows the time of the last writing alone."""
    history.note(CLOSED, "mine", at=100.3)
    history.note(REMOVED, MINE, at=100)
    history.note(WRITTEN, MINE, at=100.01)
    history.admit("new", MINE, 100.3)
    history.note(WRITTEN, MINE, at=again)
    history.note(CLOSED, "new", at=again + 0.3)
    assert history.judged().problems == problems
