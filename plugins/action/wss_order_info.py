# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits for an order by looking again and again, and says how far it is: a module can say nothing before its end."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

WAITED_FOR = ("waiting", "working")
display = Display()


class ActionModule(ActionBase):
    """Runs the module until the order is over or the time is."""

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[t.Dict[str, t.Any]] = None) -> t.Dict[str, t.Any]:
        result: t.Dict[str, t.Any] = super().run(tmp, task_vars)
        result.pop("tmp", None)
        began = time.monotonic()
        said = ""
        while True:
            found: t.Dict[str, t.Any] = self._execute_module(task_vars=task_vars)
            if found.get("failed") or found.get("state") not in WAITED_FOR or self._task.check_mode:
                break
            # The module has checked what they are.
            left = began + self._seconds("wait", 0) - time.monotonic()
            if left <= 0:
                break
            words = _words(found)
            if words != said:
                # Not among the results: these may be for a program.
                display.display(f"[{(task_vars or {}).get('inventory_hostname', '')}] {words}", stderr=True)
                said = words
            time.sleep(min(left, self._seconds("interval", 5)))
        result.update(found)
        return result

    def _seconds(self, name: str, default: float) -> float:
        value = self._task.args.get(name)
        return default if value is None else float(value)


def _words(found: t.Mapping[str, t.Any]) -> str:
    if not found["agent_running"]:
        return "no agent is at work: nothing is ended"
    if found["state"] == "waiting" or not found["found"]:
        return "the agent is about to begin"
    return f"{found['remaining']:,} of {found['found']:,} left"
