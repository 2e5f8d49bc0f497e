# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx_config's transaction with faults: kills and errors between any two of its steps.

The modules themselves have no such hook; here their operations are wrapped. Run on a host, with the collection's code
in its PYTHONPATH, this reads settings from the JSON file that it is given, runs the transaction without a fault and
prints the outcome.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import Operations
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.live import System
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.plan import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.transaction import Transaction

DISK = [name for name in vars(Operations) if not name.startswith("_")]
PROCESSES = ["run", "signal", "sleep"]


def at_step(
    number: int, action: Callable[[], None], disk: list[str] = DISK, processes: list[str] = PROCESSES
) -> tuple[Operations, System, list[str]]:
    """Operations and a system whose step `number`, counted over both, is preceded by `action`, and the steps so far."""
    steps: list[str] = []
    counted: list[str] = []

    def breaking(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            # Polling takes as many sleeps as it takes, and staging a link for each thing that is there: one is like
            # another.
            if name not in ("sleep", "symlink") or steps.count(name) < 3:
                counted.append(name)
                if len(counted) - 1 == number:
                    action()
            steps.append(name)
            return method(*arguments)

        return step

    operations, system = Operations(), System()
    for thing, names in ((operations, disk), (system, processes)):
        for name in names:
            setattr(thing, name, breaking(name, getattr(thing, name)))
    return operations, system, steps


def die() -> None:
    """Die as by a power cut: nothing cleans up."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(number: int, settings: Settings) -> bool:
    """Run the transaction in a child that dies before step `number`; False when it has fewer steps."""
    child = os.fork()
    if not child:
        status = 1
        try:
            operations, system, _steps = at_step(number, die)
            Transaction(settings, operations, system).run()
            status = 0
        finally:
            os._exit(status)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise AssertionError(f"the transaction failed without a fault before step {number}")
    return False


def killed_at_each_step(old: Settings, new: Settings, look: Callable[[], object]) -> int:
    """Go from `old` to `new`, killed before each step in turn, and check what the next run makes of it; how many steps.

    `look` returns all that is to be the same again. The next run may want `old` back, too.
    """

    def settled(settings: Settings) -> object:
        Transaction(settings).run()
        seen = look()
        again = Transaction(settings).run().result()
        assert not again["changed"], f"killed before step {number}, then run, then still: {again}"
        return seen

    number = -1
    states = {"old": settled(old), "new": settled(new)}
    assert states["old"] != states["new"]
    assert settled(old) == states["old"]
    while True:
        number += 1
        if not killed_at(number, new):
            return number
        assert settled(new) == states["new"], f"killed before step {number}"
        assert settled(old) == states["old"], f"killed before step {number}"
        assert killed_at(number, new), f"the former run was killed before step {number}"
        assert settled(old) == states["old"], f"killed before step {number}"


def settings_of(values: dict[str, Any]) -> Settings:
    return Settings(**{**values, "files": {path: tuple(file) for path, file in values.get("files", {}).items()}})


def answer(settings: Settings) -> dict[str, Any]:
    try:
        outcome = Transaction(settings).run()
    except NginxError as error:
        return {"failed": True, "msg": str(error), "nginx_output": error.nginx_output}
    return {**outcome.result(), "failed": False, "warnings": outcome.warnings}


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as stream:
        print(json.dumps(answer(settings_of(json.load(stream)))))
