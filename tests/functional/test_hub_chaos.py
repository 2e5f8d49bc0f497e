# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in trouble for a short time: a hub of three servers, two gates, and a judge of what happened.

The whole is `make chaos`; `make chaos PLANT=all` makes agents wrong in six ways, each of which has to be found. On the
same gates `make bench NAME=hub` is tried with small numbers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bench import chaos, hub_report
from bench import hub as hub_bench
from bench.chaos_plants import PLANTS, come_back_unseen
from bench.gate import machine
from lib import chaos_fleet, chaos_front, hub_history, local_hub
from lib.history import ADMITTED, CLOSED, LEFT
from lib.hub_history import AGREE_WITHIN
from lib.processes import wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root"),
    pytest.mark.skipif(not local_hub.is_installed(), reason="redis-tools is not there; make images brings it"),
]


# Seconds that a client stays, which is longer than a test takes
SPAN = 600.0


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chaos_fleet.standing(tmp_path_factory.mktemp("chaos"), ("one", "two")) as found:
        yield found


async def some_faults(one: chaos.Chaos) -> None:
    """A gate is cut off, an agent is killed, and the hub fails over, while tokens come and go."""
    for fault in (one.cut_off, one.kill_primary, one.kill_agent):
        one.begin_fault(fault.__name__, fault)
        for _number in range(10):
            await one.step()
    while one.faults:
        await one.step()
    await something_confirmed(one)


async def something_confirmed(one: chaos.Chaos, seconds: float = 180.0) -> None:
    """Whatever came of the rest: a busy machine may have kept each gate from confirming, or answering, in time."""
    deadline = time.monotonic() + seconds
    while (
        sum(event.kind == hub_history.CONFIRMED for event in one.history.events) < 3
        or sum(event.kind == hub_history.ADMITTED for event in one.history.events) < 3
    ):
        assert time.monotonic() < deadline, f"no three revocations confirmed, or sessions, in {seconds:.0f} s"
        await one._issue(by_operator=True, ttl=None, sessions=1)
        if token := one.pick():
            await one._revoke(token, by_subject=False)


def test_no_rule_is_broken_while_a_fleet_is_in_trouble(standing: Any) -> None:
    outcome = chaos.run(standing, AGREE_WITHIN, seed=1, script=some_faults)
    assert outcome["problems"] == []
    assert outcome["issued"] > 1 and outcome["confirmed by gates"] > 2 and outcome["sessions"] > 0


def test_nothing_comes_back_where_the_hub_is_restored_while_every_gate_is_down(standing: Any) -> None:
    outcome = chaos.run(standing, AGREE_WITHIN, seed=1, script=come_back_unseen)
    assert outcome["problems"] == []
    assert outcome["revoked"] == 3 and outcome["confirmed by gates"] > 3 and outcome["fault: restored unseen"] == 1


@pytest.mark.skipif(not chaos_front.is_installed(), reason="make functional fetches HAProxy (WSSGATE_HAPROXY)")
def test_a_killed_balancer_cuts_those_who_came_through_it_and_nobody_else(standing: Any) -> None:
    ends: dict[str, list[bool]] = {CLOSED: [], LEFT: []}

    async def script(one: chaos.Chaos) -> None:
        await one._issue(by_operator=True, ttl=None, sessions=0)
        token = min(one.valid)
        await asyncio.to_thread(wait_for, lambda: all((gate.store / token).exists() for gate in one.gates.values()))
        await asyncio.to_thread(wait_for, front.takes)
        via: dict[str, bool] = {}

        def are_admitted(directly: int, by_balancer: int) -> bool:
            events = [event for event in one.history.events if event.kind == ADMITTED]
            via.update({event.name: event.facts.get("via", False) for event in events})
            return sorted(via.values()) == [False] * directly + [True] * by_balancer

        # The last number is the balancer's.
        for number in range(len(one.gates) + 1):
            one.come(token, number, SPAN)
            one.come(token, number, SPAN)
        await asyncio.to_thread(wait_for, lambda: are_admitted(4, 2))
        await one.kill_balancer()
        one.come(token, len(one.gates), SPAN)
        await asyncio.to_thread(wait_for, lambda: are_admitted(4, 3))
        for event in one.history.events:
            if event.kind in ends:
                ends[event.kind].append(via[event.name])

    with chaos_fleet.front(standing[1]) as front:
        outcome = chaos.run(standing, AGREE_WITHIN, seed=1, script=script, front=front)
    assert outcome["problems"] == [] and outcome["fault: balancer killed"] == 1
    assert ends == {CLOSED: [True, True], LEFT: []}


@pytest.mark.parametrize("name", ["late-confirmation", "cut-bystander", "forgotten-revocations"])
def test_a_mistake_in_the_agent_is_found(standing: Any, name: str) -> None:
    plant = PLANTS[name]
    found: list[str] = []
    # The judge excuses what has waited for a processor, of which a busy machine has too few.
    for seed in range(3):
        outcome = chaos.run(standing, plant.seconds, seed=seed, bug=plant.bug, script=plant.script)
        found += outcome["problems"]
        if any(words.startswith(f"rule {rule}:") for words in found for rule in plant.rules):
            return
    raise AssertionError(f"not found: {found}")


def test_what_the_hub_s_figures_are_made_of_is_measured(standing: Any) -> None:
    _hubs, served, ports = standing
    bench = hub_bench.Bench(0.001, print)
    with bench.fleet(*served) as fleet:
        times = bench.by_hub(fleet, served, ports)
    for name in ("issue", "revoke"):
        assert 0 < times["hub"][name]["p50_ms"] <= times["hub"][name]["max_ms"]
    with bench.fleet("g1", "g2") as fleet:
        fleet.add("g1", "g2")
        fleet.start()
        rate = bench.at_rate(fleet, 100, 1)
    assert rate["is_done"] and rate["issued"] >= 50 and rate["done_a_second"] > 0
    new, flood = bench.new([200]), bench.flood(full=0.6)
    assert [one["tokens"] for one in new] == [200]
    assert flood["refused"] > 0 or flood["used_mib"] > 0.5 * flood["memory_mib"]
    assert flood["used_mib"] < 1.5 * flood["memory_mib"]
    assert flood["flooded"]["tries"] == 3
    figures = {
        "times": times,
        "rates": [rate],
        "new": new,
        "confirm": [{"gates": 3, "agents_mib": 1, **flood["quiet"]}],
    }
    facts = {"scale": bench.scale, "date": "", "load_before": 0, "seconds": 0}
    results = {name: {"figures": found, **facts} for name, found in {**figures, "flood": flood}.items()}
    page = hub_report.page({**results, **bench.facts, "machine": machine()})
    assert all(heading in page for heading in ("Until a token counts", "Issues a second", "A new gate", "floods"))
