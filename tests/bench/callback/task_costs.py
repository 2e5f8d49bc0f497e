# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what a run costs its controller: the processes that Ansible forks, and the seconds of processor, by task.

Ansible forks a process for each task and host, also for one that is skipped and for one that runs here alone. The
counts go as JSON to the file that WSSGATE_TASK_COSTS names, a list of tasks in their order.
"""

from __future__ import annotations

import json
import os
import resource
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_costs
type: aggregate
short_description: Counts what a run costs its controller
description: [Counts forked processes and seconds of processor by task.]
"""


def seconds(who: int) -> float:
    spent = resource.getrusage(who)
    return spent.ru_utime + spent.ru_stime


class CallbackModule(CallbackBase):
    """Forks by host, and what the controller's own process (self_s) and its children (forked_s) spent."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_costs"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[dict[str, t.Any]] = []
        self._begin("start", "")

    def _begin(self, name: str, action: str) -> None:
        now = seconds(resource.RUSAGE_SELF), seconds(resource.RUSAGE_CHILDREN)
        if self.tasks:
            names = ("self_s", "forked_s")
            spent = (round(end - begin, 3) for end, begin in zip(now, self._since, strict=True))
            self.tasks[-1].update(zip(names, spent, strict=True))
        self._since = now
        self.tasks.append({"task": name, "action": action, "forks": {}})

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._begin(task.get_name(), task.action)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        forks = self.tasks[-1]["forks"]
        forks[host.name] = forks.get(host.name, 0) + 1

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._begin("end", "")
        Path(os.environ["WSSGATE_TASK_COSTS"]).write_text(json.dumps(self.tasks), encoding="utf-8")
