# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for an order: it looks until the order is over or the time is, and says each time what is new."""

from __future__ import annotations

import typing as t
from unittest import mock

import pytest
from ansible_collections.wssgate.nginx.plugins.action import wss_order_info


class Controller:
    """An action plugin whose module answers one after the other, and a clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.said: t.List[t.Tuple[str, bool]] = []
        self.answers: t.List[t.Dict[str, t.Any]] = []
        monkeypatch.setattr(wss_order_info.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(wss_order_info.time, "sleep", self._sleep)
        monkeypatch.setattr(wss_order_info.display, "display", lambda text, stderr: self.said.append((text, stderr)))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _answer(self, **_arguments: t.Any) -> t.Dict[str, t.Any]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def run(self, check: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        task = mock.Mock(async_val=0, args=options, check_mode=check)
        action = wss_order_info.ActionModule(task, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock())
        action._execute_module = self._answer
        return action.run(task_vars={"inventory_hostname": "one"})


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(monkeypatch)


def answer(state: str, remaining: int = 0, found: int = 5000, agent: bool = True) -> t.Dict[str, t.Any]:
    return {"state": state, "found": found, "remaining": remaining, "agent_running": agent, "changed": False}


def test_it_says_on_standard_error_how_many_are_left_and_comes_back_when_none_is(controller: Controller) -> None:
    working = [answer("working", 4000), answer("working", 1234), answer("working", 1234)]
    controller.answers = [answer("waiting", found=0), *working, answer("done")]
    assert controller.run(wait=600)["state"] == "done"
    words = ["the agent is about to begin", "4,000 of 5,000 left", "1,234 of 5,000 left"]
    assert controller.said == [(f"[one] {text}", True) for text in words]
    assert controller.now == 120.0


def test_it_comes_back_when_the_time_is_over(controller: Controller) -> None:
    controller.answers = [answer("working", 9)]
    assert controller.run(wait=12, interval=5)["remaining"] == 9
    assert controller.now == 112.0


@pytest.mark.parametrize("options", [{}, {"wait": 0}, {"wait": None}, {"wait": 600, "check": True}])
def test_without_a_time_and_in_check_mode_it_looks_once(controller: Controller, options: t.Dict[str, t.Any]) -> None:
    controller.answers = [answer("working", 9)]
    assert controller.run(**options)["remaining"] == 9
    assert (controller.now, controller.said) == (100.0, [])


def test_what_the_module_refuses_is_not_waited_for(controller: Controller) -> None:
    controller.answers = [{"failed": True, "msg": "wait has to be 0 or more"}]
    assert controller.run(wait="-")["failed"]


def test_it_says_when_nobody_is_at_work(controller: Controller) -> None:
    controller.answers = [answer("working", 9, agent=False), answer("done")]
    controller.run(wait=60)
    assert controller.said == [("[one] no agent is at work: nothing is ended", True)]
