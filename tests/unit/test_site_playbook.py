# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook site asks the hub where there is one, and nowhere else."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19

    def trust_as_template(value: str) -> str:
        return value


ROOT = Path(__file__).resolve().parents[2]


def condition_of(name: str) -> str:
    with open(ROOT / "playbooks/site.yml", encoding="utf-8") as stream:
        (found,) = [
            task["when"]
            for play in yaml.safe_load(stream)
            for task in play.get("pre_tasks", [])
            if task["name"] == name
        ]
    return str(found)


def default_of_role() -> t.Any:
    with open(ROOT / "roles/token_store/defaults/main.yml", encoding="utf-8") as stream:
        return yaml.safe_load(stream)["token_store_hub"]


@pytest.mark.parametrize(
    "variables, is_asked",
    [
        ({}, False),
        ({"token_store_hub": None}, False),
        # Ansible has the role's default there for every task of the play.
        ({"token_store_hub": default_of_role()}, False),
        ({"token_store_hub": {"url": "rediss://hub.example.com"}}, True),
        ({"groups": {"wss_hubs": []}}, False),
        ({"groups": {"wss_hubs": ["hub1"]}}, True),
        ({"groups": {"wss_hubs": ["hub1"]}, "token_store_hub": default_of_role()}, True),
    ],
)
def test_a_hub_is_asked_where_there_is_one(variables: t.Dict[str, t.Any], is_asked: bool) -> None:
    condition = condition_of("See that the gate can use the hub")
    templar = Templar(loader=DataLoader(), variables={"groups": {}, **variables})
    assert templar.template(trust_as_template("{{ " + condition + " }}")) is is_asked


@pytest.mark.parametrize(
    "value, is_taken",
    [
        *((value, True) for value in (1, 25, "2", "1%", "25%", "100%")),
        *((value, False) for value in (0, -1, 1.5, "half", "", "0%", "101%", "25 %", True, None, [1])),
    ],
)
def test_how_many_gates_get_a_change_at_once_is_a_number_or_a_share(value: t.Any, is_taken: bool) -> None:
    with open(ROOT / "playbooks/tasks/check_serial.yml", encoding="utf-8") as stream:
        (task,) = yaml.safe_load(stream)
    condition = task["ansible.builtin.assert"]["that"]
    templar = Templar(loader=DataLoader(), variables={"wssgate_serial": value})
    assert templar.template(trust_as_template("{{ " + condition + " }}")) is is_taken
