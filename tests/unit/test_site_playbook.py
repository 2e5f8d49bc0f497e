# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook site checks each role once and before all changes, and asks the hub where there is one."""

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


from ansible_collections.wssgate.nginx.plugins.plugin_utils import _role_variables

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
    check = task["ansible.builtin.assert"]
    templar = Templar(loader=DataLoader(), variables={"wssgate_serial": value})
    assert templar.template(trust_as_template("{{ " + check["that"] + " }}")) is is_taken
    # Where there is no hub role wss_proxy checks it, in the same words.
    words = templar.template(trust_as_template(check["fail_msg"]))
    found = _role_variables.serial_problems({"wssgate_serial": value}, templar.template)
    assert found == ([] if is_taken else [words])


# -- the checks: once, and before the first change

CHECKED = ("nginx", "certificates", "htpasswd", "monitoring", "token_store", "wss_proxy")
IMPORT = "ansible.builtin.import_role"


def loaded(name: str) -> t.Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def imports(tasks: t.Iterable[t.Dict[str, t.Any]], tasks_from: str) -> t.List[t.Tuple[str, t.List[str]]]:
    """The roles of which tasks import this file, each with its tags. None of them has a condition, and none has
    Ansible check the types once more, for which it would start a process for each host.
    """
    found = [task for task in tasks if task.get(IMPORT, {}).get("tasks_from") == tasks_from]
    assert {task[IMPORT].get("rolespec_validate") for task in found} <= {False}
    assert [task for task in found if set(task) != {"name", IMPORT, "tags"}] == []
    return [(task[IMPORT]["name"].rpartition(".")[2], task["tags"]) for task in found]


def test_what_a_play_deploys_without_checks_it_has_checked_before_whatever_the_tags_are() -> None:
    (play,) = [play for play in loaded("playbooks/site.yml") if imports(play.get("tasks", []), "deploy")]
    assert "roles" not in play
    assert sorted(imports(play["pre_tasks"], "preflight")) == [(role, ["always"]) for role in sorted(CHECKED)]
    deployed = imports(play["tasks"], "deploy")
    assert len(deployed) == len(play["tasks"])
    assert sorted(role for role, _tags in deployed) == sorted(CHECKED)


def test_no_other_play_of_the_collection_deploys_without_checks() -> None:
    files = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]
    found = [path for path in files if "tasks_from: deploy" in path.read_text(encoding="utf-8")]
    assert [path.relative_to(ROOT).as_posix() for path in found] == ["playbooks/site.yml"]


@pytest.mark.parametrize("role", CHECKED)
def test_a_role_by_itself_checks_and_takes_the_same_variables(role: str) -> None:
    preflight, deploy = loaded(f"roles/{role}/tasks/main.yml")
    assert preflight["ansible.builtin.import_tasks"] == "preflight.yml" and preflight["tags"] == ["always"]
    assert deploy["ansible.builtin.import_tasks"] == "deploy.yml" and set(preflight) | set(deploy) <= {
        "name",
        "ansible.builtin.import_tasks",
        "tags",
    }
    specs = loaded(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    assert specs["deploy"]["options"] == specs["main"]["options"] != {}
