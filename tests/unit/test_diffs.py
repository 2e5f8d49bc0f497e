# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A diff shows configuration: no task prints the source of a program."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COPYING = ("ansible.builtin.copy", "ansible.builtin.template")


def tasks_in(found: t.Any) -> t.Iterator[t.Dict[str, t.Any]]:
    for task in found if isinstance(found, list) else []:
        yield task
        for part in ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks"):
            yield from tasks_in(task.get(part))


def copies() -> t.Iterator[t.Tuple[str, t.Dict[str, t.Any]]]:
    for path in sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]):
        for task in tasks_in(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for module in COPYING:
                if module in task:
                    yield f"{path.relative_to(ROOT)}: {task['name']}", {**task, "arguments": task[module]}


def brings_a_program(task: t.Dict[str, t.Any]) -> bool:
    return str(task["arguments"].get("src", "")).endswith(".py")


PROGRAMS = [pytest.param(task, id=name) for name, task in copies() if brings_a_program(task)]


def test_the_programs_that_tasks_copy_are_found() -> None:
    assert len(PROGRAMS) == 2
    programs = {path.name for path in [*ROOT.glob("roles/*/files/*.py"), *ROOT.glob("playbooks/files/*.py")]}
    # One that a host gets by a template lookup, and one that runs on the controller
    assert programs == {"balancer_check.py", "echo.py"} | {"log_feed.py", "check_wssgate.py"}


@pytest.mark.parametrize("task", PROGRAMS)
def test_a_task_that_copies_a_program_does_not_print_it(task: t.Dict[str, t.Any]) -> None:
    assert task.get("diff") is False
