# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a gate with faults: a kill between any two of its steps.

The agent itself has no such hook; here what it does to files and sockets is wrapped.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from ansible_collections.wssgate.nginx.plugins.module_utils._agent import agent as agent_module
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import left_open, log_watch
from ansible_collections.wssgate.nginx.plugins.module_utils._host import files
from ansible_collections.wssgate.nginx.plugins.module_utils._host.locks import PLACE
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import log, sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.follow import Follower
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import TokenStore

# Whatever changes something, and before it whatever the change follows from
STEPS: list[tuple[Any, str]] = [
    (files, "move"), (files, "create"), (files, "write"), (files, "remove"), (os, "unlink"), (os, "utime"),
    (os, "mkdir"), (os, "rmdir"), (os, "write"), (os, "fsync"), (log, "_fallocate"), (sockets, "_ss"),
    (Follower, "read"), (log_watch, "shorten"), (agent_module, "settle"), (left_open, "load"), (TokenStore, "due"),
    (TokenStore, "owed"),
]  # fmt: skip
# What is looked at again and again: one look is like another.
OFTEN = ("owed", "settle", "_ss", "read")
COUNTED = 5


@contextlib.contextmanager
def at_step(number: int, action: Callable[[], None]) -> Iterator[list[str]]:
    """Meanwhile step `number` is preceded by `action`. Gives the steps so far."""
    steps: list[str] = []

    def breaking(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            is_lock = name == "mkdir" and arguments[0] == PLACE
            if not is_lock and not (name in OFTEN and steps.count(name) >= COUNTED):
                if len(steps) == number:
                    action()
                steps.append(name)
            return method(*arguments, **options)

        return step

    with contextlib.ExitStack() as stack:
        for thing, name in STEPS:
            stack.enter_context(mock.patch.object(thing, name, breaking(name, getattr(thing, name))))
        yield steps


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Do the work in a child that dies before step `number` as by a power cut; False when it has fewer steps."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with at_step(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                work()
            status = 0
        finally:
            os._exit(status)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert not os.WEXITSTATUS(status), f"the work failed without a fault before step {number}"
    return False
