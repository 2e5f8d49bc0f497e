# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes that an agent is given on purpose, for a run that has to find them.

Each is Python that an agent's process runs before it begins, what is done to the fleet then, and the rules of
:mod:`lib.hub_history` that are broken by it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bench.chaos import Chaos

LOST_RECORD = """
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import merge
merge.Merge._issue = lambda self, record, call=merge.Merge._issue: (
    merge.Touched() if record.token.endswith("2") else call(self, record)
)
"""
# It confirms at once and does it two seconds later.
LATE_CONFIRMATION = """
import collections
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub
def late(self, call=hub.FollowHub._work):
    if not (self._urgent or self._soon or self._named or self._subjects):
        self._late = 0.0
        return call(self)
    now = time.monotonic()
    self._late = getattr(self, "_late", 0.0) or now + 2
    if now >= self._late or not self.is_caught_up:
        return call(self)
    kept = self._urgent, self._soon, self._named, self._subjects
    self._urgent, self._soon, self._named, self._subjects = collections.deque(), collections.deque(), set(), set()
    self._held.keep(self._merge, int(time.time()))
    self._settle()
    self._urgent, self._soon, self._named, self._subjects = kept
    time.sleep(0.05)
hub.FollowHub._work = late
"""
SKIPPED_RECONCILE = """
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import following
following.Generation.look = lambda self, run, has_less, call=following.Generation.look: (
    None if self.number else call(self, run, has_less)
)
"""
FORGOTTEN_REVOCATIONS = """
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub_held
hub_held.HeldFile.former = lambda self, merge, now: None
"""
RESURRECTED_TOKEN = """
import threading
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub_store
def take_out(self, store, tokens, *rest, call=hub_store.HubStore.take_out):
    there = [token for token in tokens if self._look(store, token) is not None]
    call(self, store, tokens, *rest)
    for token in there:
        path = self._gate.settings.store + "/" + token
        threading.Timer(0.7, lambda path=path: open(path, "w").close()).start()
hub_store.HubStore.take_out = take_out
"""
CUT_BYSTANDER = """
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import agent
def end(self, sessions, *rest, call=agent.Agent.end, **more):
    sessions = list(sessions)
    others = [one for one in self._sessions() if one not in sessions]
    return call(self, sessions + others[:1] if sessions else sessions, *rest, **more)
agent.Agent.end = end
"""


class Plant(NamedTuple):
    """A mistake, how it shows, how many seconds later, and which rules it breaks."""

    bug: str
    script: Callable[[Chaos], Awaitable[None]]
    seconds: float
    rules: tuple[int, ...]


async def issue_and_revoke(chaos: Chaos) -> None:
    """Two tokens with sessions on each gate; one is revoked."""
    for _number in range(2):
        await chaos._issue(False, None, len(chaos.gates))
    await _until(lambda: len(chaos.history.echoes) == 2 * len(chaos.gates))
    if chaos.valid:
        await chaos._revoke(min(chaos.valid), False)


async def come_back_to_an_old_backup(chaos: Chaos) -> None:
    """A token is revoked while one gate is down; then both come back, the hub without that."""
    await chaos._issue(False, None, 0)
    token = min(chaos.valid)
    gate = max(chaos.gates.values(), key=lambda one: one.name)
    await _until((gate.store / token).exists)
    await chaos.save()
    async with chaos.fault("agent killed", gate, agent=True):
        gate.agent.kill()
        await chaos._revoke(token, False)
        await chaos.restore()
        await asyncio.to_thread(gate.agent.start)


async def come_back_unseen(chaos: Chaos) -> None:
    """Tokens are revoked, also by their subjects; then all gates are rebooted, and the hub is one of before."""
    for _number in range(4):
        await chaos._issue(False, None, 0)
    tokens = sorted(chaos.valid)
    for gate in chaos.gates.values():
        await _until(lambda gate=gate: all((gate.store / token).exists() for token in tokens))
    await chaos.save()
    for number, token in enumerate(tokens[:3]):
        await chaos._revoke(token, by_subject=bool(number % 2))
    # The gates have reported nothing to that hub: what they had come past is of no use there.
    await chaos.restore_unseen(reboots=True, is_older=True)


async def _until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Not longer than that: what does not come is the judge's."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


PLANTS = {
    "lost-record": Plant(LOST_RECORD, issue_and_revoke, 2.5, (2,)),
    "late-confirmation": Plant(LATE_CONFIRMATION, issue_and_revoke, 2.5, (1,)),
    "skipped-reconcile": Plant(SKIPPED_RECONCILE, come_back_to_an_old_backup, 6, (4,)),
    "forgotten-revocations": Plant(FORGOTTEN_REVOCATIONS, come_back_unseen, 6, (4,)),
    "resurrected-token": Plant(RESURRECTED_TOKEN, issue_and_revoke, 1.5, (4,)),
    "cut-bystander": Plant(CUT_BYSTANDER, issue_and_revoke, 0.5, (6,)),
}
