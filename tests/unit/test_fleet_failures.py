# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each line of the guide's table of what may fail in a fleet is tried, and here stands by what.

A name that begins with test_ is a test of that name, one with `chaos:` a fault of `make chaos`, one with `fleet:` a
step of `make fleet-test`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TRIED_BY = {
    "a gate dies": ("fleet:show_kill_and_revoke", "test_a_dead_gate_gets_nobody_and_comes_back", "chaos:gate rebooted"),
    "a gate is drained": ("test_a_drained_gate_gets_nobody_new_and_keeps_whom_it_has",),
    "a gate was dead while tokens were revoked": (
        "fleet:show_return",
        "test_a_gate_that_was_down_admits_nothing_that_was_revoked_meanwhile",
        "test_who_could_not_be_asked_either_is_named_with_its_silence",
        "chaos:gate rebooted",
    ),
    "a gate starts, where there is a hub": (
        "fleet:show_return",
        "test_nginx_is_told_once_a_gate_has_caught_up_and_a_dead_agent_takes_nothing_back",
    ),
    "a gate's agent dies or hangs": (
        "chaos:agent killed",
        "chaos:agent stopped",
        "test_an_agent_that_hung_ends_what_is_due_once_it_goes_on",
        "test_killed_at_any_moment_nothing_is_left_open_or_closed_wrongly",
    ),
    "a gate's clock is wrong": (
        "chaos:wrong clock",
        "test_a_clock_that_is_set_ends_what_has_ended_by_it_and_nothing_else",
    ),
    "all gates are drained or dead": ("test_when_all_gates_are_drained_the_address_stays_and_sessions_go_on",),
    "a gate's certificate ended or is another's": ("test_a_gate_with_another_s_certificate_gets_nobody",),
    "the hub is away, as a whole": (
        "chaos:hub away",
        "test_while_the_hub_is_away_nothing_is_issued_and_what_is_revoked_goes_to_each_gate",
    ),
    "the hub's primary dies or hangs, one of three": (
        "chaos:primary killed",
        "chaos:primary hangs",
        "fleet:hub_fails_over",
        "test_three_servers_choose_another_primary_and_have_what_was_confirmed",
    ),
    "two of three hosts of the hub die": ("test_one_server_that_is_left_of_three_takes_nothing_and_tells_why",),
    "the Sentinels do not reach each other": ("test_three_servers_choose_another_primary_and_have_what_was_confirmed",),
    "a gate does not reach the hub": (
        "chaos:cut off",
        "test_a_hub_that_is_away_leaves_all_as_it_is_and_comes_back",
        "test_who_could_not_be_asked_either_is_named_with_its_silence",
    ),
    "the hub's certificate has ended": (
        "test_a_certificate_that_has_ended_is_to_be_renewed",
        "test_a_certificate_that_ends_soon_is_told_in_time",
    ),
    "the disk of the hub is lost": (
        "chaos:restored unseen",
        "test_nothing_comes_back_of_what_was_revoked_though_all_agents_were_down",
    ),
    "the hub comes back from an old backup": (
        "chaos:restored",
        "chaos:restored unseen",
        "test_an_old_backup_of_the_hub_brings_nothing_back_that_was_revoked",
    ),
    "an issuer floods the hub": ("chaos:flood", "test_a_flood_of_large_entries_keeps_no_revocation_out"),
    "HAProxy dies on the balancer with the address": (
        "chaos:balancer killed",
        "test_a_killed_balancer_cuts_those_who_came_through_it_and_nobody_else",
        "test_a_dead_haproxy_loses_the_address_and_does_not_take_it_back",
    ),
    "the balancer with the address dies": (
        "fleet:address_moves",
        "test_a_killed_balancer_is_replaced_and_its_clients_come_back",
    ),
    "a host has the address already": ("test_an_address_that_a_host_has_already_is_refused",),
    "a balancer without the address dies": ("fleet:show_other_dies",),
    "the balancers do not reach each other": ("fleet:show_parted", "test_what_is_wrong_with_balancers_is_told"),
    "a wrong configuration": (
        "test_a_mistyped_configuration_never_goes_live",
        "test_a_configuration_that_cannot_be_served_is_put_back",
    ),
    "a mistake in the inventory": ("test_a_mistake_in_the_inventory_is_one_sentence_before_any_host_changes",),
}


def rows() -> list[str]:
    """The first cells of the table."""
    text = (ROOT / "docs/fleet.md").read_text("utf-8")
    table = text.partition("### When something fails")[2].partition("\n### ")[0]
    return re.findall(r"^\| ([^|]+?) \|.*\|$", table, re.MULTILINE)[1:]


def text_of(*patterns: str) -> str:
    return "".join(path.read_text("utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern)))


TESTS = set(
    re.findall(r"def (test_\w+)", text_of("tests/unit/**/*.py", "tests/functional/*.py", "molecule/*/tests/*.py"))
)
STEPS = set(re.findall(r"^def (\w+)", text_of("scripts/fleet/show.py"), re.MULTILINE))
FAULTS = set(re.findall(r'"([a-z ]+)": \(self\.', text_of("tests/bench/chaos.py")))


def test_each_line_of_the_table_is_tried_and_nothing_else_is_told_to_be() -> None:
    assert rows() == list(TRIED_BY)


@pytest.mark.parametrize("failure", TRIED_BY)
def test_what_tries_it_is_there(failure: str) -> None:
    assert TRIED_BY[failure]
    for name in TRIED_BY[failure]:
        kind, _colon, rest = name.rpartition(":")
        assert rest in {"": TESTS, "fleet": STEPS, "chaos": FAULTS}[kind], name


def test_each_fault_of_the_chaos_has_a_line_or_is_one_of_an_operator() -> None:
    tried = {name.partition(":")[2] for names in TRIED_BY.values() for name in names if name.startswith("chaos:")}
    assert FAULTS - tried == {"failover", "trimmed"}
