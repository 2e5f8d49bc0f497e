# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate and its agent in trouble for a long time: does every session end when it should, and no other?

python -m bench.soak_agent [--seconds 1800] [--sessions 200] [--seed N]. The gate is rendered by the roles, in a folder
and on the loopback. Tokens are issued, prolonged, expired, removed and revoked at random, while their sessions echo and
while faults come and go: the agent is killed or hangs, ss fails, locks are held, the store is moved away and back, more
files come than the kernel tells of, logs are rotated, nginx is reloaded, upgraded and replaced. Everything that happens
is recorded, and :mod:`lib.history` judges the record. Ends with 1 when it found something. The seed, which is printed,
repeats the operations in their order.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lib import crowd, history, usage, wire
from lib.agent_process import AgentProcess
from lib.collection import install_loader
from lib.held_session import HeldSession
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

if __name__ == "__main__":
    install_loader()

from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.modules import wss_token  # noqa: E402  after the loader

ORIGIN = "https://app.example.com"
NAME = "gate.example.com"
HANDSHAKE_LIMIT = 30.0
# How often a fault begins with an operation
FAULTS = 0.06
# Two faults at a time, and who would only undo each other's are kept apart.
FAULTS_AT_ONCE = 2
APART = (
    {"rotation", "reload", "upgrade", "replacement"},
    {"store away", "flood", "store locked"},
    {"agent", "hang", "revival"},
)
# A loop that sleeps so long and wakes so late shares its processor with too much else.
LOOK, LATE = 0.05, 0.25
# And so does the agent, where it waits that long for a processor in so many seconds.
WINDOW = 1.0
# Then it cannot see that a token went and came again.
WITHOUT_INOTIFY = "without inotify"
POLLS = "the kernel has no inotify instance left for the agent: raise fs.inotify.max_user_instances, and begin again"
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
FLOOD = """
import os, sys
folder, count = sys.argv[1], int(sys.argv[2])
os.chdir(folder)
names = [f"token-of-a-flood-{number}" for number in range(count)]
for name in names:
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
for name in names:
    os.unlink(name)
"""
# As a host runs it
MODULE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.modules import wss_token
with patch_module_args(json.load(sys.stdin)):
    wss_token.main()
"""


def gate(**variables: Any) -> tuple[LocalGate, int, int]:
    """A gate, not yet there, with one plain listener; its port and that of the upstream to be."""
    port, echo_port = free_port(), free_port()
    server = {
        "name": "gate",
        "server_names": [NAME],
        "listen": [{"address": "127.0.0.1", "port": port, "tls": False}],
        "locations": [{"path": "/wss", "upstream": f"http://127.0.0.1:{echo_port}", "origins": [ORIGIN]}],
    }
    return LocalGate([server], nginx_worker_processes=2, **variables), port, echo_port


class Trouble:
    """What is done to tokens, sessions, the agent and nginx, and the record of it."""

    def __init__(
        self,
        local_gate: LocalGate,
        agent: AgentProcess,
        port: int,
        seed: int,
        sessions: int,
        allowed: float = history.ALLOWED,
    ) -> None:
        self.local_gate, self.agent, self.port, self.most = local_gate, agent, port, sessions
        self.random = random.Random(seed)
        self.history = history.History()
        self.store = local_gate.tokens
        self.number = self.rotations = self.old_master = 0
        self.valid: dict[str, float] = {}  # tokens and their end
        self.gone: list[str] = []
        self.held: dict[str, asyncio.Task[None]] = {}
        self.faults: dict[str, asyncio.Task[None]] = {}
        self.lasting: dict[str, tuple[float, float]] = {}  # when one began, and until when it may be felt
        self.store_lock = asyncio.Lock()
        self.is_over = False
        self.problems: list[str] = []
        self.done: dict[str, int] = {}
        self.allowed = allowed

    # Tokens

    def new_token(self) -> str:
        self.number += 1
        return f"token-of-the-soak-{self.number:06}"

    def write(self, token: str, end: float | None) -> None:
        """As an application does it by hand: in one step. ``end`` is a time of day."""
        since = time.monotonic()
        path = self.store / token
        text = "" if end is None else json.dumps({"subject": token, "issued_at": 1, "expires_at": int(end)})
        staged = self.store / f".staged-{token}"
        staged.write_text(text)
        staged.replace(path)
        ends = history.NEVER if end is None else int(end) - time.time() + time.monotonic()
        self.history.note(history.WRITTEN, token, since=since, ends=ends)
        self.valid[token] = ends

    def pick(self, left: float = 3.0) -> str | None:
        """A token whose end is not near."""
        now = time.monotonic()
        for token in [token for token, end in self.valid.items() if end <= now]:
            del self.valid[token]
            self.gone.append(token)
        some = [token for token, end in self.valid.items() if end > now + left]
        return self.random.choice(some) if some else None

    def forget(self, token: str) -> None:
        del self.valid[token]
        self.gone.append(token)

    async def issue(self) -> None:
        token = self.new_token()
        life = self.random.choice([None, 3, 5, 8, 20, 3600])
        self.write(token, None if life is None else time.time() + life)
        self.crowd(token)

    async def connect(self) -> None:
        token = self.pick()
        if token:
            self.crowd(token)

    async def knock(self) -> None:
        """With a token that is gone."""
        self.pick()
        if self.gone:
            self.come(self.random.choice(self.gone[-20:]))

    async def remove(self) -> None:
        token = self.pick()
        if token:
            self.take(token)

    def take(self, token: str) -> None:
        """As by rm."""
        since = time.monotonic()
        (self.store / token).unlink()
        self.history.note(history.REMOVED, token, since=since)
        self.forget(token)

    async def reissue(self) -> None:
        """Gone and there again in the same moment: those of before are to end, those of after stay."""
        token = self.pick()
        if token:
            self.take(token)
            self.gone.remove(token)
            self.write(token, None)
            await asyncio.sleep(self.random.choice([0, 0.3]))
            self.come(token)

    async def prolong(self) -> None:
        token = self.pick()
        if token:
            self.write(token, time.time() + self.random.choice([5, 60]))

    async def expire(self) -> None:
        """At once, by its own file."""
        token = self.pick()
        if token:
            self.write(token, time.time() - 5)

    async def revoke(self) -> None:
        """By the code of module wss_token."""
        if self.store_lock.locked():
            return
        async with self.store_lock:
            token = self.pick()
            if not token:
                return
            self.forget(token)
            params = {name: option.get("default") for name, option in wss_token.argument_spec().items()}
            params |= {
                "path": str(self.store), "session_log": str(self.local_gate.session_log), "tokens": [token],
                "state": "absent", "disconnect": True,
            }  # fmt: skip
            module = SimpleNamespace(params=params, check_mode=False, _diff=False, warn=lambda *_words: None)
            since = time.monotonic()
            result = await asyncio.to_thread(wss_token.run, module)
            self.history.note(history.REVOKED, token, since=since)
            if result["removed"] != 1 or "failures" in result or "problem" in result:
                self.problems.append(f"{token} was revoked so: {result}")

    async def revoke_and_die(self) -> None:
        """The module is killed at some moment of its work: before, between or after."""
        if self.store_lock.locked():
            return
        async with self.store_lock:
            token = self.pick()
            if not token:
                return
            self.forget(token)
            arguments = {
                "path": str(self.store), "session_log": str(self.local_gate.session_log), "tokens": [token],
                "state": "absent", "disconnect": True,
            }  # fmt: skip
            since = time.monotonic()
            self.history.note(history.BEGAN, f"revoker of {token}")
            with tempfile.TemporaryFile() as given:
                given.write(json.dumps(arguments).encode())
                given.seek(0)
                process = subprocess.Popen(
                    [sys.executable, "-c", MODULE, self.agent.tree],
                    stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            # How long it takes to begin is not known: some moments after the file has gone are of interest.
            late = self.random.choice([None, 0, 0.002, 0.01, 0.05])
            gives_up = time.monotonic() + 20
            while (self.store / token).exists() and process.poll() is None and time.monotonic() < gives_up:
                await asyncio.sleep(0.001)
            await asyncio.sleep(late or 0)
            if late is not None:
                process.kill()
            await asyncio.to_thread(process.wait)
            # The agent gives a revoker this time before it does its work.
            self.history.note(history.ENDED, f"revoker of {token}", grace=1.5 + self.allowed)
            if (self.store / token).exists():
                self.valid[token] = history.NEVER
                self.gone.remove(token)
                self.write(token, None)
            else:
                self.history.note(history.REVOKED, token, since=since)

    # Sessions

    def crowd(self, token: str) -> None:
        for _number in range(self.random.choice([1, 1, 2, 4, 10])):
            self.come(token)

    def come(self, token: str) -> None:
        if len(self.held) < self.most:
            self.number += 1
            name = f"session {self.number} of {token}"
            self.held[name] = asyncio.create_task(self._session(name, token, self.random.choice([5, 30, 60, 120])))

    async def leave(self) -> None:
        if self.held:
            self.held[self.random.choice(sorted(self.held))].cancel()

    async def _session(self, name: str, token: str, span: float) -> None:
        """From the handshake until the gate, or the client after its time, ends it."""
        request = wire.Request("/wss", host=NAME).origin(ORIGIN).token(token)
        one = HeldSession(name, request, self.history, self.problems, HANDSHAKE_LIMIT, token=token)
        try:
            await one.hold(self.port, span)
        finally:
            self.held.pop(name, None)

    # Faults

    @contextlib.asynccontextmanager
    async def fault(self, name: str, grace: float = history.ALLOWED, **facts: bool) -> Any:
        own = time.monotonic()
        before, until = self.lasting.get(name, (own, 0.0))
        # One that begins within the pause after another makes that longer.
        began = before if own < until else own
        self.history.note(history.BEGAN, name, **facts)
        try:
            yield
        finally:
            # What is tried again and again waits as long as it has waited. A flood that takes long leaves much to read.
            now = time.monotonic()
            is_lasting = name in ("ss fails", "flood")
            self.lasting[name] = own, now + max(grace, self.allowed) + (now - own)
            grace = max(grace, self.allowed) + (now - began if is_lasting else 0)
            self.history.note(history.ENDED, name, grace=grace)

    async def break_agent(self) -> None:
        self.history.note(history.KILLED, "")
        self.agent.kill()
        await asyncio.sleep(self.random.choice([0, 0, 0.3, 3]))
        await asyncio.to_thread(self.agent.start)
        self.history.note(history.STARTED, "", grace=self.allowed)

    async def revive_agent(self, since: float) -> None:
        """As systemd does it. It ends where another store came than the one that it was started with, or none."""
        code = self.agent.wait()
        if code:
            self.problems.append(f"the agent ended by itself, with {code}: {self.agent.words()}")
        self.history.note(history.KILLED, "", since=since)
        await asyncio.to_thread(self.agent.start)
        self.history.note(history.STARTED, "", grace=self.allowed)

    async def hang_agent(self) -> None:
        async with self.fault("agent hangs"):
            if not self.agent.is_running:
                return
            self.agent.stop()
            try:
                await asyncio.sleep(self.random.choice([0.2, 1, 5]))
            finally:
                self.agent.go_on()

    async def break_ss(self) -> None:
        async with self.fault("ss fails"):
            self.agent.flag.touch()
            try:
                await asyncio.sleep(self.random.choice([0.2, 1, 4, 8]))
            finally:
                self.agent.flag.unlink()

    async def move_store(self) -> None:
        async with self.store_lock:
            # It looks once a second whether there is a store.
            async with self.fault("store away", grace=2.5, refuses=True, blinds=True):
                away = self.local_gate.tokens.with_name("away")
                self.store = self.local_gate.tokens.rename(away)
                try:
                    await asyncio.sleep(self.random.choice([0.1, 1, 4]))
                finally:
                    self.store = away.rename(self.local_gate.tokens)

    async def lock_store(self) -> None:
        """As by a long run of wss_token."""
        async with self.store_lock:
            # It waits two seconds for the lock; then it pauses for a while. An agent that hangs may have it meanwhile.
            async with self.fault("store locked", grace=8):
                await asyncio.to_thread(self._hold_lock, self.random.choice([0.5, 1, 3]))

    def _hold_lock(self, seconds: float) -> None:
        with open_store(str(self.store)):
            time.sleep(seconds)

    async def flood_store(self) -> None:
        """More files than the kernel keeps events of, there and gone."""
        async with self.store_lock:
            async with self.fault("flood", grace=5, blinds=True):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", FLOOD, str(self.store), str(2 * int(QUEUE.read_text()))
                )
                await process.wait()

    async def rotate_log(self) -> None:
        """As logrotate does it."""
        async with self.fault("log rotated"):
            log = self.local_gate.session_log
            release(str(log))
            self.rotations += 1
            log.rename(log.with_name(f"{log.name}.{self.rotations}"))
            self.local_gate.signal(signal.SIGUSR1)
            await asyncio.to_thread(wait_for, log.exists)
            # The workers may not open the new one: they go on with what they have until they are replaced.
            await asyncio.to_thread(self.local_gate.reload)

    async def reload_nginx(self) -> None:
        await asyncio.to_thread(self.local_gate.reload)

    async def upgrade_nginx(self) -> None:
        """Another program beside the old one, which sees its sessions through."""
        if self.is_old_master_there():
            return  # a new program ignores the signal while the old one is there
        old = self.old_master = wait_for(self.local_gate.master)
        os.kill(old, signal.SIGUSR2)
        await asyncio.to_thread(
            wait_for, lambda: self.local_gate.master() not in (None, old) and len(self.local_gate.workers()) == 2
        )
        os.kill(old, signal.SIGQUIT)

    def is_old_master_there(self) -> bool:
        """By its command line: its number may be another's by now."""
        with contextlib.suppress(OSError):
            return self.local_gate.binary in Path(f"/proc/{self.old_master}/cmdline").read_text(errors="replace")
        return False

    async def replace_nginx(self) -> None:
        async with self.fault("nginx replaced", cuts=True, refuses=True):
            # All of them go, as systemd does it: a former master that outlives the new one takes the pid file back.
            if self.is_old_master_there():
                os.kill(self.old_master, signal.SIGTERM)
                await asyncio.to_thread(wait_for, lambda: not self.is_old_master_there())
            await asyncio.to_thread(self.local_gate.stop)
            await asyncio.to_thread(self.local_gate.start)
            await asyncio.to_thread(wait_for, lambda: len(self.local_gate.workers()) == 2)

    # The whole

    def _operations(self) -> dict[Callable[[], Awaitable[None]], int]:
        return {
            self.issue: 30, self.connect: 40, self.knock: 5, self.leave: 3, self.remove: 8, self.reissue: 3,
            self.prolong: 5, self.expire: 3, self.revoke: 6, self.revoke_and_die: 1,
        }  # fmt: skip

    def _faults(self) -> dict[str, tuple[Callable[[], Awaitable[None]], int]]:
        return {
            "agent": (self.break_agent, 10),
            "hang": (self.hang_agent, 6),
            "ss fails": (self.break_ss, 6),
            "store away": (self.move_store, 4),
            "store locked": (self.lock_store, 3),
            "flood": (self.flood_store, 2),
            "rotation": (self.rotate_log, 2),
            "reload": (self.reload_nginx, 3),
            "upgrade": (self.upgrade_nginx, 1),
            "replacement": (self.replace_nginx, 1),
        }

    def _begin_fault(self) -> None:
        faults = self._faults()
        name = self.random.choices(list(faults), [weight for _call, weight in faults.values()])[0]
        others = {name}.union(*(group for group in APART if name in group))
        if len(self.faults) < FAULTS_AT_ONCE and not others & set(self.faults):
            self._run_fault(name, faults[name][0])

    def _run_fault(self, name: str, call: Callable[[], Awaitable[None]]) -> None:
        self.done[name] = self.done.get(name, 0) + 1

        async def run() -> None:
            try:
                await call()
            except Exception as error:
                self.problems.append(f"{name} could not be done: {error!r}")
            finally:
                del self.faults[name]

        self.faults[name] = asyncio.create_task(run())

    async def settled(self) -> None:
        """Until all is over that is due by now; the judge knows when that is."""
        until = history.Judge(self.history.events, self.allowed).due(time.monotonic())
        while time.monotonic() < until + 0.5:
            await asyncio.sleep(0.1)

    def _busy(self, since: float) -> None:
        self.history.note(history.BEGAN, "machine busy", at=since)
        self.history.note(history.ENDED, "machine busy")

    async def _watch(self) -> None:
        """Note when the machine has too much else to do, and start the agent again where it has ended."""
        alive = asked = time.monotonic()
        waited = 0, 0.0
        while not self.is_over:
            before = time.monotonic()
            await asyncio.sleep(LOOK)
            if time.monotonic() - before > LOOK + LATE:
                self._busy(before)
            if time.monotonic() - asked >= WINDOW and self.agent.is_running:
                now = self.agent.pid, usage.waited(self.agent.pid)
                if now[1] - (waited[1] if now[0] == waited[0] else 0.0) > LATE:
                    self._busy(asked)
                asked, waited = time.monotonic(), now
            if WITHOUT_INOTIFY in self.agent.status and POLLS not in self.problems:
                self.problems.append(POLLS)
            if self.agent.is_running:
                alive = time.monotonic()
            elif not {"agent", "revival"} & set(self.faults):
                self._run_fault("revival", functools.partial(self.revive_agent, alive))

    async def run(self, seconds: float) -> history.Verdict:
        """Do things at random; return what the judge says of it."""
        await asyncio.to_thread(self.agent.start)
        watching = asyncio.create_task(self._watch())
        operations = self._operations()
        end = time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < end:
            operation = self.random.choices(list(operations), list(operations.values()))[0]
            self.done[operation.__name__] = self.done.get(operation.__name__, 0) + 1
            await operation()
            if self.random.random() < FAULTS:
                self._begin_fault()
            await asyncio.sleep(self.random.random() * 0.3)
            if time.monotonic() > told + 30:
                told = time.monotonic()
                self.tell(end - told)
        while self.faults:
            await asyncio.sleep(LOOK)
        await self.settled()
        self.is_over = True
        await watching
        return await self._judged()

    async def _judged(self) -> history.Verdict:
        events = self.history.over()
        for task in list(self.held.values()):
            task.cancel()
        await asyncio.gather(*self.held.values(), return_exceptions=True)
        verdict = history.judge(events, self.allowed)
        verdict.problems += self.problems
        return verdict

    def tell(self, left: float) -> None:
        figures = {
            "left": round(left), "sessions": len(self.held), "tokens": len(self.valid), "faults": sorted(self.faults),
            "agent_kib": usage.memory_kib([self.agent.pid]), "status": self.agent.status,
        }  # fmt: skip
        print(json.dumps(figures), flush=True)


@contextlib.contextmanager
def standing(sessions: int) -> Iterator[tuple[LocalGate, int]]:
    """A gate in front of an echo server, and its port."""
    crowd.raise_limit()
    local_gate, port, echo_port = gate(nginx_sessions=4 * sessions + 200)
    with running("load_echo_server", str(echo_port)), local_gate:
        wait_for(lambda: len(local_gate.workers()) == 2)
        yield local_gate, port


def soak(
    local_gate: LocalGate,
    port: int,
    seconds: float,
    sessions: int,
    seed: int,
    keep: Path | None = None,
    allowed: float = history.ALLOWED,
) -> dict[str, Any]:
    """Let a gate and an agent have it; what became of it."""
    with AgentProcess(local_gate.root / "agent", local_gate.tokens, local_gate.session_log) as agent:
        trouble = Trouble(local_gate, agent, port, seed, sessions, allowed)
        verdict = asyncio.run(trouble.run(seconds))
        memory = usage.memory_kib([agent.pid])
        if keep is not None:
            trouble.history.save(keep)
        if verdict.problems:
            print(agent.words(), file=sys.stderr)
    return {
        "seed": seed, "seconds": seconds, **verdict.figures(), "agent_memory_kib": memory,
        "done": dict(sorted(trouble.done.items())), "problems": verdict.problems,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--sessions", type=int, default=200, help="open at the same time at most")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--history", type=Path, help="file to write all that happened to")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with standing(options.sessions) as (local_gate, port):
        outcome = soak(local_gate, port, options.seconds, options.sessions, seed, options.history)
    print(json.dumps(outcome, indent=2))
    return 1 if outcome["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
