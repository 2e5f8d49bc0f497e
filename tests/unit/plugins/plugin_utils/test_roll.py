# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the hosts of a fleet get a change."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wssgate.nginx.plugins.filter.roll import roll_batches
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _roll

HOSTS = [f"gate{number}" for number in range(1, 8)]


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        ("100%", [1, 6]),
        (1, [1, 1, 1, 1, 1, 1, 1]),
        ("2", [1, 2, 2, 2]),
        ("30%", [1, 2, 2, 2]),
        ("1%", [1] * 7),
        (100, [1, 6]),
    ],
)
def test_one_comes_first_and_then_so_many_at_once(serial: object, sizes: list[int]) -> None:
    found = roll_batches(HOSTS, serial)
    assert [len(batch) for batch in found] == sizes
    assert [host for batch in found for host in batch] == HOSTS


@pytest.mark.parametrize("hosts", [[], ["gate1"]])
def test_few_hosts_make_few_batches(hosts: list[str]) -> None:
    assert roll_batches(hosts, "100%") == [hosts] * bool(hosts)


@pytest.mark.parametrize("serial", [0, "0", "0%", "101%", -1, "two", "", None, True, "1.5", "25 %"])
def test_what_is_no_number_of_hosts_is_told(serial: object) -> None:
    with pytest.raises(AnsibleFilterError, match="wssgate_serial is .*: it has to be a number of hosts"):
        roll_batches(HOSTS, serial)


@pytest.mark.parametrize(
    ("canaries", "order"),
    [
        (["gate3", "gate2"], [["gate2"], ["gate1", "gate3"], ["gate4"]]),
        (["gate1"], [["gate1"], ["gate2", "gate3"], ["gate4"]]),
        ([], [["gate1"], ["gate2"], ["gate3"], ["gate4"]]),
        (["gate9"], [["gate1"], ["gate2"], ["gate3"], ["gate4"]]),
    ],
)
def test_a_host_that_shows_something_comes_first(canaries: list[str], order: list[list[str]]) -> None:
    assert roll_batches(HOSTS[:4], 2, canaries) == order


def looked(**statuses: int) -> dict[str, object]:
    locations = [{"path": f"/{path}", "without_token": status} for path, status in statuses.items()]
    return {"targets": [{"name": "wss", "server_name": "wss.example.com", "locations": locations}]}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 403, "b": 101}, {"a": 403, "b": 502}, ["wss.example.com/b answered 101 before and 502 now"]),
        ({"a": 403}, {"a": -1}, ["wss.example.com/a answered 403 before and no answer now"]),
        ({"a": 403}, {"a": 401}, []),
        ({"a": 502}, {"a": 503}, []),
        ({}, {"a": 502}, []),
        ({"a": 403}, {}, []),
    ],
)
def test_only_what_was_answered_well_before_can_be_worse(
    before: dict[str, int], after: dict[str, int], told: list[str]
) -> None:
    assert _roll.worse_answers(looked(**before), looked(**after)) == told


@pytest.mark.parametrize(
    ("batch", "connections", "capacities", "is_told"),
    [
        (["a"], {"a": 100, "b": 50, "c": 0}, {"a": 100, "b": 100, "c": 50}, False),
        (["a"], {"a": 101, "b": 50, "c": 0}, {"a": 100, "b": 100, "c": 50}, True),
        (["a", "b"], {"a": 10, "b": 10, "c": 0}, {"a": 100, "b": 100, "c": 19}, True),
        (["a", "b"], {"a": 10, "b": 10}, {"a": 100, "b": 100}, True),
        (["a"], {"a": 0, "b": 100}, {"a": 100, "b": 100}, False),
        (["a"], {"a": 10, "b": 200}, {"a": 100, "b": 100}, True),
        (["a"], {"a": 10, "b": 0}, {"a": 100, "b": 0}, False),
        (["a"], {"a": 10, "b": 0}, {"a": 100}, False),
    ],
)
def test_the_other_gates_have_to_have_room(
    batch: list[str], connections: dict[str, int], capacities: dict[str, int], is_told: bool
) -> None:
    told = _roll.problem(batch, connections, capacities)
    assert bool(told) is is_told
    if is_told:
        assert f"carry {sum(connections[host] for host in batch)} sessions" in told and "roll_serial" in told


@pytest.mark.parametrize(
    ("batch", "answers", "is_told"),
    [
        (["a"], {"a": 403, "b": 503, "c": -1}, True),
        (["a", "b"], {"a": 403, "b": 403, "c": 503}, True),
        # One that answers is enough, and so is one of which nobody knows.
        (["a"], {"a": 403, "b": 503, "c": 403}, False),
        (["a"], {"a": 403, "b": 503}, False),
        # Nobody loses by it: it is drained itself, or all are taken out at once as was asked for.
        (["a"], {"a": 503, "b": 503, "c": 503}, False),
        (["a", "b", "c"], {"a": 403, "b": 403, "c": 403}, False),
    ],
)
def test_the_last_gate_that_takes_sessions_is_not_taken_out(
    batch: list[str], answers: dict[str, int], is_told: bool
) -> None:
    looks = {host: looked(wss=status) for host, status in answers.items()}
    told = _roll.problem(batch, dict.fromkeys("abc", 0), {}, looks)
    assert ("none of the other gates takes new sessions" in told) is is_told


def test_a_gate_that_answers_nobody_has_no_room() -> None:
    connections, capacities = {"a": 50, "b": 0, "c": 0}, {"a": 100, "b": 100, "c": 40}
    assert not _roll.problem(["a"], connections, capacities)
    looks = {"a": looked(wss=403), "b": looked(wss=503), "c": looked(wss=403, other=503)}
    assert "have room for 40 by nginx_sessions" in _roll.problem(["a"], connections, capacities, looks)
