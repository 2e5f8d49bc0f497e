# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a gate in trouble: killed between any two of its steps, hung, beside an nginx that is replaced, on files
and disks that fail. Nothing is left open that should be closed, and nothing is closed that should be open.

The first part has an agent and nginx, as `make soak`, whose short form it holds. The second one has the agent alone.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import soak_agent
from bench.soak_agent import Trouble
from lib import history
from lib.agent_process import AgentProcess
from lib.local_gate import LocalGate
from lib.processes import wait_for

from functional.test_agent import Gate, token

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

SESSIONS = 60


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[LocalGate, int]]:
    with soak_agent.standing(SESSIONS) as found:
        yield found


def test_in_random_trouble_every_session_ends_in_time_and_no_other(standing: tuple[LocalGate, int]) -> None:
    outcome = soak_agent.soak(*standing, seconds=8, sessions=SESSIONS, seed=random.randrange(1 << 32))
    assert not outcome["problems"], outcome
    assert outcome["sessions"] > 10 and outcome["ended"] > 3


class Quiet(Trouble):
    """Some tokens with sessions, and what a test does to them."""

    async def until(self, kind: str, count: int) -> None:
        """Until so many things of a kind have happened."""
        async with asyncio.timeout(30):
            while sum(event.kind == kind for event in self.history.events) < count:
                await asyncio.sleep(0.01)

    async def act(self, steps: Callable[[Quiet], Coroutine[Any, Any, None]]) -> history.Verdict:
        await asyncio.to_thread(self.agent.start)
        await steps(self)
        await self._settled()
        return await self._judged()


@pytest.fixture
def trouble(standing: tuple[LocalGate, int], tmp_path: Path) -> Iterator[Quiet]:
    local_gate, port = standing
    with AgentProcess(tmp_path / "agent", local_gate.tokens, local_gate.session_log) as agent:
        yield Quiet(local_gate, agent, port, seed=1, sessions=SESSIONS)


def held(trouble: Quiet, *names: str) -> None:
    for name in names:
        trouble.write(name, None)
        for _number in range(3):
            trouble.come(name)


@pytest.mark.parametrize("change", ["reload_nginx", "upgrade_nginx", "rotate_log"])
def test_beside_an_nginx_that_changes_sessions_of_before_and_after_end_and_others_go_on(
    trouble: Quiet, change: str
) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-before-1", "removed-after-01", "bystander-before")
        await trouble.until(history.ADMITTED, 9)
        trouble.take("removed-before-1")
        await getattr(trouble, change)()
        held(trouble, "removed-later-01", "bystander-after-")
        await trouble.until(history.ADMITTED, 15)
        trouble.take("removed-after-01")
        trouble.take("removed-later-01")
        await trouble.until(history.CLOSED, 9)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()
    assert (verdict.counts["sessions"], verdict.counts["ended"], verdict.counts["lasting"]) == (15, 9, 2)


def test_after_nginx_was_replaced_the_sessions_of_the_new_one_end(trouble: Quiet) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-after-02", "bystander-of-02-")
        await trouble.until(history.ADMITTED, 6)
        await trouble.replace_nginx()
        held(trouble, "removed-after-03", "bystander-of-03-")
        trouble.come("removed-after-02")
        await trouble.until(history.ADMITTED, 13)
        trouble.take("removed-after-02")
        trouble.take("removed-after-03")
        await trouble.until(history.CLOSED, 10)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()
    assert verdict.counts["lasting"] == 2


def test_an_agent_that_hung_ends_what_is_due_once_it_goes_on(trouble: Quiet) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-in-hang-", "bystander-hang--")
        await trouble.until(history.ADMITTED, 6)
        async with trouble.fault("agent hangs"):
            trouble.agent.stop()
            trouble.take("removed-in-hang-")
            await asyncio.sleep(0.5)
            assert not any(event.kind == history.CLOSED for event in trouble.history.events)
            trouble.agent.go_on()
        await trouble.until(history.CLOSED, 3)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()


def test_the_judge_would_notice_an_agent_that_ends_nothing(trouble: Quiet) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-for-all-")
        await trouble.until(history.ADMITTED, 3)
        trouble.agent.kill()
        trouble.take("removed-for-all-")

    verdict = asyncio.run(trouble.act(steps))
    assert len(verdict.problems) == 3 and all("never ended" in problem for problem in verdict.problems)


# The agent alone


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    found = Gate(tmp_path)
    yield found
    found.close()


@pytest.fixture
def process(gate: Gate, tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", gate.store, gate.log) as process:
        yield process


def test_what_it_tells_of_itself_is_true_a_moment_later_although_nothing_else_happens(
    gate: Gate, process: AgentProcess
) -> None:
    gate.touch(token(1), token(2))
    client = gate.connect(token(1))
    gate.connect(token(2))
    process.start()
    wait_for(lambda: process.status.startswith("2 sessions"))
    # One change a second is told. Two come at once.
    (gate.store / token(1)).unlink()
    wait_for(lambda: not client.is_open)
    gate.hang_up(client)
    wait_for(lambda: process.status == "1 sessions with a token, 0 tokens end soon", 5)
