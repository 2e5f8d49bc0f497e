# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in trouble: does every gate admit what was issued, and nobody with what was revoked?

python -m bench.chaos [--seconds 1800] [--seed N] [--history FILE] [--plant NAME|all]. Three hub servers with Sentinel
and three gates run on this machine, each gate an nginx and an agent. Applications issue by XADD, operators issue and
revoke by the code of module wss_hub_token, clients connect and echo, some of them through a HAProxy before the gates,
which is killed and started again. Meanwhile servers of the hub are killed, hang and
come back as if nothing had happened, fail over and are restored from an old backup, also while every agent is down,
gates are cut off from the hub, killed and rebooted, agents are killed, stopped and have a wrong clock, streams are
trimmed, and an issuer floods its stream. Everything that happens is recorded, and :mod:`lib.hub_history` judges the
record. Ends with 1 when it found something. The seed, which is printed, repeats the operations in their order.

With --plant the code of an agent is made wrong on purpose, and the judge has to find that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from lib import crowd, history, hub_history, usage, wire
from lib.collection import install_loader
from lib.held_session import HeldSession
from lib.processes import wait_for

if __name__ == "__main__":
    install_loader()

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys  # noqa: E402  after the loader
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.client import reach  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.operating import Operator  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint  # noqa: E402

from bench import chaos_plants  # noqa: E402
from lib import chaos_fleet, chaos_front  # noqa: E402
from lib.chaos_fleet import ADMIN, APP, FLEET, FLOODER, Gate, is_replicated  # noqa: E402

HANDSHAKE_LIMIT = 20.0
# Seconds between two looks at the stores, and two at what gates report
LOOK, ASK = 0.1, 0.05
ACK_TIMEOUT = 5.0
# A loop that sleeps so long and wakes so late shares its processor with too much else.
TICK, LATE = 0.05, 0.25
# And so does a process whose threads wait so long of these seconds; for so long afterwards it has to catch up.
WINDOW, BUSY_GRACE = 1.0, 2.0
# Seconds of faults, and how often one begins with an operation
NOISE, FAULTS, FAULTS_AT_ONCE = (12.0, 30.0), 0.12, 2
SESSIONS = 60
TTL = 5400
# Until the hub is whole again
REPAIR = 90.0
HUB = frozenset({"primary killed", "primary hangs", "failover", "hub away", "restored", "restored unseen"})
AGENTS = frozenset({"agent killed", "agent stopped", "gate rebooted", "restored unseen"})
WAYS = frozenset({"cut off", "trimmed"})


class Chaos:
    """What is done to a fleet, and the record of it."""

    def __init__(
        self, hubs: chaos_fleet.Hubs, gates: dict[str, Gate], seed: int, front: chaos_front.Front | None = None
    ) -> None:
        self.hubs, self.gates, self.front = hubs, gates, front
        self.random = random.Random(seed)
        self.history = history.History()
        # The same seed in the same fleet has other tokens.
        self.mark = secrets.token_hex(4)
        self.number = 0
        self.valid: dict[str, str] = {}  # tokens, and their subjects
        self.gone: list[str] = []
        self.held: dict[str, asyncio.Task[None]] = {}
        self.faults: dict[str, asyncio.Task[None]] = {}
        self.working: set[asyncio.Task[None]] = set()
        self.problems: list[str] = []
        self.done: dict[str, int] = {}
        self.is_over = False
        self.backup: tuple[Path, float] | None = None
        self._seen: dict[str, tuple[float, set[str]]] = {}
        self._busy_number = 0

    # Tokens

    def new_token(self) -> tuple[str, str]:
        self.number += 1
        return f"token-of-the-chaos-{self.mark}-{self.number:06}", f"client-{self.mark}-{self.number}"

    def _work(self, call: Awaitable[None]) -> None:
        """Beside all else: what waits for the hub is in nobody's way."""
        task = asyncio.ensure_future(call)
        self.working.add(task)
        task.add_done_callback(self.working.discard)

    async def issue(self) -> None:
        by_operator = self.random.random() < 0.3
        ttl = None if by_operator and self.random.random() < 0.3 else TTL
        self._work(self._issue(by_operator, ttl, self.random.randrange(3)))

    async def _issue(self, by_operator: bool, ttl: int | None, sessions: int) -> None:
        token, subject = self.new_token()
        since = time.monotonic()
        call = self._operate_issue if by_operator else self._append
        confirmed = await asyncio.to_thread(call, token, subject, ttl)
        now = time.monotonic()
        self.history.note(
            hub_history.ISSUED, token, since=since, owner=keys.OPERATOR if by_operator else APP, confirmed=confirmed,
            ends=history.NEVER if ttl is None else since + ttl,
        )  # fmt: skip
        if confirmed:
            self.valid[token] = subject
            for number in range(sessions):
                # Not before every gate has to have it.
                asyncio.get_running_loop().call_later(
                    hub_history.ADMIT_WITHIN - (time.monotonic() - now), self.come, token, number
                )

    def _append(self, token: str, subject: str, ttl: int | None) -> bool:
        """As an application; whether both replicas have it."""
        try:
            place = self.hubs.primary(keys.issuer_user(APP))
            with contextlib.closing(self.hubs.enter(ADMIN, *place)) as admin:
                with contextlib.closing(self.hubs.enter(keys.issuer_user(APP), *place)) as issuer:
                    fields = ("token", token, "subject", subject, "ttl", str(ttl or TTL))
                    issuer.call("XADD", keys.issue(FLEET, APP), "*", *fields)
                return is_replicated(admin)
        except HubError:
            return False

    def _operate_issue(self, token: str, subject: str, ttl: int | None) -> bool:
        try:
            with contextlib.closing(reach(self.hubs.operator()).wire) as found:
                Operator(found, FLEET).issue(token, subject, ttl)
                return bool(found.call("WAIT", 2, 1000, wait=2) >= 2)
        except HubError:
            return False

    def pick(self) -> str | None:
        return self.random.choice(sorted(self.valid)) if self.valid else None

    async def revoke(self) -> None:
        token = self.pick()
        if token:
            self._work(self._revoke(token, self.random.random() < 0.2))

    async def _revoke(self, token: str, by_subject: bool) -> None:
        """As module wss_hub_token: append, and wait for the gates."""
        subject = self.valid.pop(token)
        since = time.monotonic()
        confirmed = await asyncio.to_thread(self._operate_revoke, token, subject, by_subject, since)
        if confirmed is not None:
            self.gone.append(token)

    def _operate_revoke(self, token: str, subject: str, by_subject: bool, since: float) -> bool | None:
        is_noted = False
        try:
            with contextlib.closing(reach(self.hubs.operator()).wire) as found:
                operator = Operator(found, FLEET)
                place = operator.cut_off(subject) if by_subject else operator.revoke(full_fingerprint(token))
                at = time.monotonic()
                left, gates = list(self.gates), []
                while left and time.monotonic() < at + ACK_TIMEOUT:
                    waiting = {one.gate for one in operator.wait(place, left, 0)}
                    gates += [(gate, time.monotonic()) for gate in left if gate not in waiting]
                    left = [gate for gate in left if gate in waiting]
                    if not is_noted:
                        confirmed = found.call("WAIT", 2, 1000, wait=2) >= 2
                        self.history.note(hub_history.REVOKED, token, at=at, since=since, confirmed=confirmed)
                        is_noted = True
                    for gate, moment in gates:
                        self.history.note(hub_history.CONFIRMED, token, at=moment, gate=gate)
                    gates = []
                    time.sleep(ASK)
        except HubError:
            pass
        if not is_noted:
            self.history.note(hub_history.REVOKED, token, since=since, confirmed=False)
        return is_noted

    async def remove(self) -> None:
        """By hand, on one gate."""
        token, gate = self.pick(), self._gate()
        if token and (gate.store / token).exists():
            self.history.note(hub_history.REVOKED, token, confirmed=False)
            del self.valid[token]
            (gate.store / token).unlink(missing_ok=True)

    # Sessions

    def _gate(self) -> Gate:
        return self.gates[self.random.choice(sorted(self.gates))]

    async def connect(self) -> None:
        token = self.pick()
        if token:
            self.come(token, self.random.randrange(len(self.gates) + (self.front is not None)))

    async def knock(self) -> None:
        """With a token that was revoked, at each gate."""
        if self.gone:
            token = self.random.choice(self.gone[-30:])
            for number in range(len(self.gates) + (self.front is not None)):
                self.come(token, number)

    def come(self, token: str, number: int, span: float = 0.0) -> None:
        """To that gate, or with the number after the last one's by the balancer. For so many seconds, or for some."""
        if len(self.held) < SESSIONS and not self.is_over:
            self.number += 1
            gate = self.gates[sorted(self.gates)[number]] if number < len(self.gates) else None
            name = f"session {self.number} of {token}"
            self.held[name] = asyncio.ensure_future(
                self._session(name, token, gate, span or self.random.choice([10, 60, 300]))
            )

    async def leave(self) -> None:
        if len(self.held) > SESSIONS // 2:
            self.held[self.random.choice(sorted(self.held))].cancel()

    async def _session(self, name: str, token: str, gate: Gate | None, span: float) -> None:
        request = wire.Request("/wss", host=chaos_fleet.NAME).origin(chaos_fleet.ORIGIN).token(token)
        one = HeldSession(name, request, self.history, self.problems, HANDSHAKE_LIMIT, token=token)
        if gate is not None:
            one.facts |= {"gate": gate.name}
            port = gate.port
        else:
            assert self.front is not None
            one.facts |= {"via": True}
            one.learn, port = lambda head: {"gate": chaos_front.gate_of(head)}, self.front.port
        try:
            await one.hold(port, span)
        finally:
            self.held.pop(name, None)

    # Faults

    @contextlib.asynccontextmanager
    async def fault(self, name: str, *gates: Gate, **facts: bool) -> Any:
        """For these gates, or for all."""
        self.number += 1
        label = f"{name} of {', '.join(gate.name for gate in gates) or 'all'} ({self.number})"
        self.history.note(history.BEGAN, label, gates=[gate.name for gate in gates] or None, **facts)
        try:
            yield
        finally:
            self.history.note(history.ENDED, label)

    async def whole(self) -> None:
        await asyncio.to_thread(wait_for, self.hubs.is_whole, REPAIR)

    async def kill_primary(self) -> None:
        pause = self.random.choice([0, 0.5, 4])
        async with self.fault("primary killed"):
            node = await asyncio.to_thread(self.hubs.primary_node)
            node.kill()
            if pause:
                with contextlib.suppress(AssertionError):
                    await asyncio.to_thread(wait_for, lambda: self._primary_is_another(node), 20)
            await asyncio.sleep(pause)
            node.start()
            await self.whole()

    async def pause_primary(self) -> None:
        """Long enough, another takes its place, and it does not know that when it goes on."""
        pause = self.random.choice([0.5, 4, 12])
        async with self.fault("primary hangs"):
            node = await asyncio.to_thread(self.hubs.primary_node)
            node.pause()
            try:
                await asyncio.sleep(pause)
            finally:
                node.go_on()
            await self.whole()

    def _primary_is_another(self, node: Any) -> bool:
        with contextlib.suppress(HubError, StopIteration):
            return self.hubs.primary_node() is not node
        return False

    async def fail_over(self) -> None:
        async with self.fault("failover"):
            # A Sentinel may find no replica that is good enough, and give it up.
            with contextlib.suppress(HubError, AssertionError):
                node = await asyncio.to_thread(self.hubs.primary_node)
                await asyncio.to_thread(self.hubs.fail_over)
                await asyncio.to_thread(wait_for, lambda: self._primary_is_another(node), 30)
            await self.whole()

    async def kill_hub(self) -> None:
        pause = self.random.choice([0.5, 3, 12])
        async with self.fault("hub away"):
            for node in self.hubs.nodes:
                node.kill()
            await asyncio.sleep(pause)
            for node in self.hubs.nodes:
                node.start()
            await self.whole()

    async def save(self) -> None:
        """Keep what the hub has now, to come back to it later."""
        since = time.monotonic()
        with contextlib.suppress(HubError, StopIteration, OSError):
            self.backup = await asyncio.to_thread(self.hubs.backup), since

    async def restore(self) -> None:
        if self.backup is None:
            await self.save()
            return
        copy, since = self.backup
        async with self.fault("restored"):
            await asyncio.to_thread(self.hubs.restore, copy)
            await self.whole()
            # Whoever was answered by a server that was about to be ended has nothing of it.
            self.history.note(hub_history.LOST, "backup", since=since, owners=None)
        self.backup = None

    async def restore_unseen(self, reboots: bool | None = None, is_older: bool | None = None) -> None:
        """No agent runs that has read what the hub had; all are started, or all gates, once it has come back."""
        reboots = self.random.random() < 0.5 if reboots is None else reboots
        is_older = self.random.random() < 0.5 if is_older is None else is_older
        if self.backup is None:
            await self.save()
            return
        copy, since = self.backup
        async with self.fault("restored unseen", agent=True, cuts=reboots, refuses=True):
            for gate in self.gates.values():
                gate.agent.kill()
            await self._power(self.gates.values(), False) if reboots else None
            await asyncio.to_thread(self.hubs.restore, copy)
            await self.whole()
            if is_older:
                await asyncio.to_thread(self.hubs.forget, sorted(self.gates))
            await self._power(self.gates.values(), True) if reboots else None
            for gate in self.gates.values():
                await asyncio.to_thread(gate.agent.start)
            for gate in self.gates.values():
                await asyncio.to_thread(wait_for, gate.marker.exists, REPAIR)
            self.history.note(hub_history.LOST, "backup", since=since, owners=None)
        self.backup = None

    async def _power(self, gates: Iterable[Gate], is_on: bool) -> None:
        """Nginx, and what is in /run."""
        for gate in gates:
            await asyncio.to_thread(gate.nginx.start if is_on else gate.nginx.stop)
            if not is_on:
                gate.marker.unlink(missing_ok=True)

    async def cut_off(self) -> None:
        gates = self.random.sample(sorted(self.gates), self.random.choice([1, 1, 2, len(self.gates)]))
        is_silent, pause = self.random.random() < 0.5, self.random.choice([0.5, 3, 8, 16])
        async with self.fault("cut off", *(self.gates[name] for name in gates)):
            await self._away(gates, is_silent, pause)

    async def _away(self, gates: list[str], is_silent: bool, pause: float) -> None:
        ways = [way for name in gates for way in self.gates[name].ways]
        for way in ways:
            way.swallow() if is_silent else way.cut()
        try:
            await asyncio.sleep(pause)
        finally:
            for way in ways:
                way.heal()

    async def trim(self) -> None:
        """Past the position of a gate that is cut off."""
        gate = self._gate()
        async with self.fault("trimmed", gate):
            away = asyncio.create_task(self._away([gate.name], False, 4))
            await asyncio.sleep(2)
            with contextlib.suppress(HubError):
                await asyncio.to_thread(self._trim)
            self.history.note(hub_history.LOST, "trim", since=0, owners=[APP])
            await away

    def _trim(self) -> None:
        place = self.hubs.primary(keys.gate_user("one"))
        with contextlib.closing(self.hubs.enter(keys.gate_user("one"), *place)) as found:
            found.call("XTRIM", keys.issue(FLEET, APP), "MAXLEN", "0")

    async def flood(self) -> None:
        """More than the issuer may have, as fast as the hub takes it."""
        async with self.fault("flood"):
            await asyncio.to_thread(self._flood, self.random.choice([500, 5000]), secrets.token_hex(6))

    def _flood(self, count: int, mark: str) -> None:
        with contextlib.suppress(HubError):
            user = keys.issuer_user(FLOODER)
            with contextlib.closing(self.hubs.enter(user, *self.hubs.primary(user))) as found:
                for begin in range(0, count, 500):
                    commands = []
                    for number in range(begin, begin + 500):
                        token = f"token-of-the-flood-{mark}-{number:06}"
                        self.history.note(
                            hub_history.ISSUED, token, owner=FLOODER, confirmed=False, ends=time.monotonic() + TTL
                        )
                        fields = ("token", token, "subject", f"client-{number}", "ttl", str(TTL))
                        commands.append(("XADD", keys.issue(FLEET, FLOODER), "*", *fields))
                    found.calls(commands)

    async def kill_agent(self) -> None:
        gate, pause = self._gate(), self.random.choice([0, 1, 6])
        async with self.fault("agent killed", gate, agent=True):
            gate.agent.kill()
            await asyncio.sleep(pause)
            await asyncio.to_thread(gate.agent.start)

    async def stop_agent(self) -> None:
        gate, pause = self._gate(), self.random.choice([0.5, 3, 12])
        async with self.fault("agent stopped", gate, agent=True):
            gate.agent.stop()
            try:
                await asyncio.sleep(pause)
            finally:
                gate.agent.go_on()

    async def reboot(self) -> None:
        """Agent and nginx at once, and what is in /run."""
        gate, pause = self._gate(), self.random.choice([0, 3])
        async with self.fault("gate rebooted", gate, agent=True, cuts=True, refuses=True):
            gate.agent.kill()
            await self._power([gate], False)
            await asyncio.sleep(pause)
            await self._power([gate], True)
            await asyncio.to_thread(gate.agent.start)
            await asyncio.to_thread(wait_for, gate.marker.exists, REPAIR)

    async def kill_balancer(self) -> None:
        """Those who came through it come again; nobody else notices."""
        assert self.front is not None
        pause = self.random.choice([0, 1, 4])
        async with self.fault("balancer killed", via=True, cuts=True, refuses=True):
            await asyncio.to_thread(self.front.kill)
            await asyncio.sleep(pause)
            await asyncio.to_thread(self.front.start)
            await asyncio.to_thread(wait_for, self.front.takes, REPAIR)

    async def skew(self) -> None:
        gate, seconds = self._gate(), self.random.choice([-30, -2, 2, 30])
        async with self.fault("wrong clock", gate):
            staged = gate.skew.with_name("staged")
            staged.write_text(str(seconds))
            staged.replace(gate.skew)
            await asyncio.sleep(self.random.choice([3, 12]))
            gate.skew.unlink()

    # The whole

    def _operations(self) -> dict[Callable[[], Awaitable[None]], int]:
        return {self.issue: 40, self.revoke: 14, self.remove: 2, self.connect: 20, self.knock: 8, self.leave: 4}

    def _faults(self) -> dict[str, tuple[Callable[[], Awaitable[None]], int]]:
        return {
            "primary killed": (self.kill_primary, 5), "primary hangs": (self.pause_primary, 4),
            "failover": (self.fail_over, 4), "hub away": (self.kill_hub, 2), "restored": (self.restore, 4),
            "restored unseen": (self.restore_unseen, 3), "cut off": (self.cut_off, 8), "trimmed": (self.trim, 1),
            "flood": (self.flood, 2), "agent killed": (self.kill_agent, 6), "agent stopped": (self.stop_agent, 4),
            "gate rebooted": (self.reboot, 3), "wrong clock": (self.skew, 3),
            **({"balancer killed": (self.kill_balancer, 4)} if self.front else {}),
        }  # fmt: skip

    def _begin_some_fault(self) -> None:
        faults = self._faults()
        name = self.random.choices(list(faults), [weight for _call, weight in faults.values()])[0]
        apart = {name}.union(*(group for group in (HUB, AGENTS, WAYS) if name in group))
        if len(self.faults) < FAULTS_AT_ONCE and not apart & set(self.faults):
            self.begin_fault(name, faults[name][0])

    def begin_fault(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        self.faults[name] = asyncio.create_task(self._run_fault(name, call))

    async def _run_fault(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        self.done[name] = self.done.get(name, 0) + 1
        try:
            await call()
        except Exception as error:
            self.problems.append(f"{name} could not be done: {error!r}")
        finally:
            del self.faults[name]

    def look(self) -> None:
        """Note which files came and went."""
        for name, gate in self.gates.items():
            since = time.monotonic()
            found = gate.tokens()
            at = time.monotonic()
            before, seen = self._seen.get(name, (since, set()))
            for token in found - seen:
                self.history.note(hub_history.APPEARED, token, at=at, since=before, gate=name)
            for token in seen - found:
                self.history.note(hub_history.VANISHED, token, at=at, since=before, gate=name)
            self._seen[name] = since, found

    def _busy(self, since: float, *gates: str) -> None:
        """What has to wait for a processor cannot be in time."""
        self._busy_number += 1
        name = f"machine busy of {', '.join(gates) or 'all'} ({self._busy_number})"
        self.history.note(history.BEGAN, name, at=since, gates=list(gates) or None, agent=True)
        self.history.note(history.ENDED, name, grace=BUSY_GRACE)

    def _waited(self) -> dict[str, tuple[int, float]]:
        """By gate, and '' for the hub, which process, and the seconds that its threads have waited for a processor."""
        found = {name: gate.agent.pid for name, gate in self.gates.items() if gate.agent.is_running}
        found |= {
            node.name: node.process.pid for node in self.hubs.nodes if node.process and node.process.poll() is None
        }
        return {name: (pid, usage.waited(pid)) for name, pid in found.items()}

    async def _watch(self) -> None:
        looked, asked, waited = 0.0, time.monotonic(), self._waited()
        while not self.is_over:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            if time.monotonic() - before > TICK + LATE:
                self._busy(before)
            if time.monotonic() - looked >= LOOK:
                looked = time.monotonic()
                self.look()
            if time.monotonic() - asked >= WINDOW:
                now = self._waited()
                for name, (pid, seconds) in now.items():
                    before_pid, before_seconds = waited.get(name, (0, 0.0))
                    if seconds - (before_seconds if pid == before_pid else 0.0) > LATE:
                        self._busy(asked, *([name] if name in self.gates else []))
                asked, waited = time.monotonic(), now

    async def begin(self) -> None:
        await asyncio.to_thread(self.hubs.empty)
        for gate in self.gates.values():
            await gate.connect()
        for gate in self.gates.values():
            await asyncio.to_thread(gate.agent.start)
        for gate in self.gates.values():
            await asyncio.to_thread(wait_for, gate.follows, 60)
        self.watching = asyncio.create_task(self._watch())

    async def step(self) -> None:
        """One operation, as likely as they are."""
        operations = self._operations()
        operation = self.random.choices(list(operations), list(operations.values()))[0]
        self.done[operation.__name__] = self.done.get(operation.__name__, 0) + 1
        await operation()
        await asyncio.sleep(self.random.random() * 0.3)

    async def quiet(self) -> None:
        """Wait until nothing is broken, and for what has to be so five seconds later."""
        while self.faults:
            await self.step()
        moment = time.monotonic() + hub_history.AGREE_WITHIN
        while time.monotonic() < moment + 3 * LOOK:
            await self.step()
        self.history.note(hub_history.QUIET, "", at=moment)

    async def finish(self, seconds: float = hub_history.AGREE_WITHIN) -> hub_history.Verdict:
        """Wait until all is over that is under way, and that long."""
        if self.working:
            await asyncio.wait(self.working)
        moment = time.monotonic() + seconds
        while time.monotonic() < moment + 3 * LOOK:
            await asyncio.sleep(TICK)
        if seconds >= hub_history.AGREE_WITHIN:
            self.history.note(hub_history.QUIET, "", at=moment)
        self.look()
        self.is_over = True
        await self.watching
        events = self.history.over()
        for task in list(self.held.values()):
            task.cancel()
        await asyncio.gather(*self.held.values(), return_exceptions=True)
        for gate in self.gates.values():
            for way in gate.ways:
                await way.close()
        return hub_history.judge(events, sorted(self.gates))

    async def run(self, seconds: float) -> hub_history.Verdict:
        """Do things at random; return what the judge says of it."""
        await self.begin()
        end = time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < end:
            until = min(end, time.monotonic() + self.random.uniform(*NOISE))
            await self.save() if self.backup is None else None
            while time.monotonic() < until:
                await self.step()
                if self.random.random() < FAULTS:
                    self._begin_some_fault()
                if time.monotonic() > told + 30:
                    told = time.monotonic()
                    self.tell(end - told)
            await self.quiet()
        return await self.finish()

    def tell(self, left: float) -> None:
        figures = {
            "left": round(left), "sessions": len(self.held), "tokens": len(self.valid), "faults": sorted(self.faults),
            "status": {name: gate.agent.status for name, gate in self.gates.items()},
        }  # fmt: skip
        print(json.dumps(figures), flush=True)


Script = Callable[[Chaos], Awaitable[None]]


def run(
    standing: chaos_fleet.Standing,
    seconds: float,
    seed: int,
    keep: Path | None = None,
    bug: str = "",
    script: Script | None = None,
    front: chaos_front.Front | None = None,
) -> dict[str, Any]:
    """Let a fleet have it, for so long, or a script and then so long; what became of it."""
    hubs, nginx, ports = standing
    gates = {name: Gate(name, one, ports[name], hubs, sorted(nginx), bug) for name, one in nginx.items()}
    chaos = Chaos(hubs, gates, seed, front)

    async def scripted() -> hub_history.Verdict:
        await chaos.begin()
        assert script is not None
        await script(chaos)
        return await chaos.finish(seconds)

    try:
        verdict = asyncio.run(scripted() if script else chaos.run(seconds))
    finally:
        for gate in gates.values():
            gate.clear()
    if keep is not None:
        chaos.history.save(keep)
        lines = [[gate.name, line] for gate in gates.values() for line in gate.agent.output.read_text().splitlines()]
        keep.with_name(f"{keep.name}-agents").write_text("".join(f"{name}: {line}\n" for name, line in lines))
        keep.with_name(f"{keep.name}-hub").write_text(hubs.records())
    if verdict.problems or chaos.problems:
        for gate in gates.values():
            print(gate.name, gate.agent.words(), file=sys.stderr)
    return {
        "seed": seed, "seconds": seconds, **verdict.figures(), "done": dict(sorted(chaos.done.items())),
        "problems": [f"rule {rule}: {words}" for rule, words in sorted(verdict.problems)] + chaos.problems,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--history", type=Path, help="file to write all that happened to")
    parser.add_argument("--plant", choices=["all", *chaos_plants.PLANTS], help="make the agents' code wrong so")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    crowd.raise_limit()
    # Whoever ends it leaves nothing behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="wssgate-chaos-") as folder, chaos_fleet.standing(Path(folder)) as fleet:
        if options.plant:
            names = list(chaos_plants.PLANTS) if options.plant == "all" else [options.plant]
            return max([_plant(fleet, name, options.history) for name in names])
        print(f"seed {seed}", flush=True)
        with chaos_fleet.front(fleet[1]) if chaos_front.is_installed() else contextlib.nullcontext() as front:
            outcome = run(fleet, options.seconds, seed, options.history, front=front)
    print(json.dumps(outcome, indent=2))
    return 1 if outcome["problems"] else 0


def _plant(fleet: chaos_fleet.Standing, name: str, keep: Path | None) -> int:
    plant = chaos_plants.PLANTS[name]
    outcome = run(fleet, plant.seconds, 0, keep, plant.bug, plant.script)
    found = [words for words in outcome["problems"] if words.startswith(tuple(f"rule {rule}:" for rule in plant.rules))]
    print(f"{name}: {'found' if found else 'NOT FOUND'}", *outcome["problems"][:5], sep="\n  ", flush=True)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
