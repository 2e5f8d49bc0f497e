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
