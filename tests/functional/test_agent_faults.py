# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a gate in trouble: killed between any two of its steps, hung, beside an nginx that is replaced, on files
and disks that fail. Nothing is left open that should be closed, and nothing is closed that should be open.

The first part has an agent and nginx, as `make soak`, whose short form it holds. The second one has the agent alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import agent as agent_module
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import log_watch, service
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.agent import Agent
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import SETTLE
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import record
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens import store as store_module
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import PROGRESS_EVERY, open_store

from bench import soak_agent
from bench.soak_agent import Trouble
from lib import history, wire
from lib.agent_faults import killed_at
from lib.agent_process import AgentProcess
from lib.local_gate import LocalGate, LocalNginx, free_port
from lib.processes import wait_for

from functional.test_agent import Client, Gate, rest, run, token

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

SESSIONS = 60
# What takes less than a second where nothing else runs may take so long beside other tests.
SOON = 5.0


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[LocalGate, int]]:
    with soak_agent.standing(SESSIONS) as found:
        yield found


def test_in_random_trouble_every_session_ends_in_time_and_no_other(standing: tuple[LocalGate, int]) -> None:
    # In eight seconds of a busy machine little may happen.
    for _number in range(5):
        seed = random.randrange(1 << 32)
        outcome = soak_agent.soak(*standing, seconds=8, sessions=SESSIONS, seed=seed, allowed=SOON)
        assert not outcome["problems"], outcome
        if outcome["sessions"] > 10 and outcome["ended"] > 3:
            return
    pytest.fail(f"too little has happened: {outcome}")


class Quiet(Trouble):
    """Some tokens with sessions, and what a test does to them."""

    async def until(self, kind: str, count: int) -> None:
        """Until so many things of a kind have happened."""
        async with asyncio.timeout(30):
            while sum(event.kind == kind for event in self.history.events) < count:
                await asyncio.sleep(0.01)

    async def act(self, steps: Callable[[Quiet], Coroutine[Any, Any, None]]) -> history.Verdict:
        await asyncio.to_thread(self.agent.start)
        await steps(self)
        now = time.monotonic()
        async with asyncio.timeout(30):
            # All that are open are so for some time after the last end.
            while any(self.history.echoes.get(name, 0) < now for name in self.held):
                await asyncio.sleep(0.01)
        return await self._judged()


@pytest.fixture
def trouble(standing: tuple[LocalGate, int], tmp_path: Path) -> Iterator[Quiet]:
    local_gate, port = standing
    with AgentProcess(tmp_path / "agent", local_gate.tokens, local_gate.session_log) as agent:
        yield Quiet(local_gate, agent, port, seed=1, sessions=SESSIONS, allowed=SOON)


def held(trouble: Quiet, *names: str) -> None:
    for name in names:
        trouble.write(name, None)
        for _number in range(3):
            trouble.come(name)


@pytest.mark.parametrize("change", ["reload_nginx", "upgrade_nginx", "rotate_log"])
def test_beside_an_nginx_that_changes_sessions_of_before_and_after_end_and_others_go_on(
    trouble: Quiet, change: str
) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-before-1", "removed-after-01", "bystander-before")
        await trouble.until(history.ADMITTED, 9)
        trouble.take("removed-before-1")
        await getattr(trouble, change)()
        held(trouble, "removed-later-01", "bystander-after-")
        await trouble.until(history.ADMITTED, 15)
        trouble.take("removed-after-01")
        trouble.take("removed-later-01")
        await trouble.until(history.CLOSED, 9)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()
    assert (verdict.counts["sessions"], verdict.counts["ended"], verdict.counts["lasting"]) == (15, 9, 2)


def test_after_nginx_was_replaced_the_sessions_of_the_new_one_end(trouble: Quiet) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-after-02", "bystander-of-02-")
        await trouble.until(history.ADMITTED, 6)
        await trouble.replace_nginx()
        held(trouble, "removed-after-03", "bystander-of-03-")
        trouble.come("removed-after-02")
        await trouble.until(history.ADMITTED, 13)
        trouble.take("removed-after-02")
        trouble.take("removed-after-03")
        await trouble.until(history.CLOSED, 10)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()
    assert verdict.counts["lasting"] == 2


def test_an_agent_that_hung_ends_what_is_due_once_it_goes_on(trouble: Quiet) -> None:
    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-in-hang-", "bystander-hang--")
        await trouble.until(history.ADMITTED, 6)
        async with trouble.fault("agent hangs"):
            trouble.agent.stop()
            trouble.take("removed-in-hang-")
            await asyncio.sleep(0.5)
            assert not any(event.kind == history.CLOSED for event in trouble.history.events)
            trouble.agent.go_on()
        await trouble.until(history.CLOSED, 3)

    verdict = asyncio.run(trouble.act(steps))
    assert not verdict.problems, trouble.agent.words()


def test_the_judge_would_notice_an_agent_that_ends_nothing(trouble: Quiet) -> None:
    trouble.allowed = 1.0

    async def steps(trouble: Quiet) -> None:
        held(trouble, "removed-for-all-")
        await trouble.until(history.ADMITTED, 3)
        trouble.agent.kill()
        trouble.take("removed-for-all-")
        await trouble.settled()

    verdict = asyncio.run(trouble.act(steps))
    assert len(verdict.problems) == 3 and all("never ended" in problem for problem in verdict.problems)


# The agent alone


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    found = Gate(tmp_path)
    yield found
    found.close()


@pytest.fixture
def process(gate: Gate, tmp_path: Path) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path / "agent", gate.store, gate.log) as process:
        yield process


def test_what_it_tells_of_itself_is_true_a_moment_later_although_nothing_else_happens(
    gate: Gate, process: AgentProcess
) -> None:
    gate.touch(token(1), token(2))
    client = gate.connect(token(1))
    gate.connect(token(2))
    process.start()
    wait_for(lambda: process.status.startswith("2 sessions"))
    # One change a second is told. Two come at once.
    (gate.store / token(1)).unlink()
    wait_for(lambda: not client.is_open)
    gate.hang_up(client)
    wait_for(lambda: process.status == "1 sessions in the log, 0 tokens end soon", 5)


LINE = "S 1.0 1 {} 1 127.0.0.1 1 127.0.0.1 2 127.0.0.1"


class Scene:
    """Tokens whose end comes in each of the ways, half of them before the agent starts and half of them meanwhile."""

    ENDS = ("removed", "expired", "revoked", "corrupt")

    def __init__(self, gate: Gate, end_on_removal: bool) -> None:
        self.gate, self.end_on_removal = gate, end_on_removal
        self.names = {f"{end}-{when}-of-a-scene": end for end in self.ENDS for when in ("before", "meanwhile")}
        # Somebody may be writing it: that takes a second in any case.
        del self.names["corrupt-meanwhile-of-a-scene"]
        # An agent has been there before. A session of then had no token.
        older = gate.connect("gone-before-the-first-agent")
        first = gate.agent()
        first.turn()
        first.close()
        gate.touch(*self.names, "issued-again-of-a-scene", "bystander-of-a-scene")
        sessions = [gate.connect(name) for name in (*self.names, "issued-again-of-a-scene", "bystander-of-a-scene")]
        kept = ("bystander",) if end_on_removal else ("bystander", "removed")
        self.mine = [client for client in sessions if not client.token.startswith(kept)]
        self.others = [older, *(client for client in sessions if client.token.startswith(kept))]
        # So that the log has to be shortened
        over = "".join(f"{LINE.format(number)} bystander-of-a-scene\nE 2.0 1 {number} 1 101\n" for number in range(400))
        gate.write(over)
        self.end("before")
        with open_store(str(gate.store)) as store:
            store.take_away(["issued-again-of-a-scene"], owed=True)
        gate.touch("issued-again-of-a-scene")

    def end(self, when: str) -> None:
        """What others do; once more it changes nothing."""
        gate = self.gate
        for name, end in self.names.items():
            path = gate.store / name
            if f"-{when}-" not in name or not path.exists():
                continue
            if end == "removed":
                path.unlink()
            elif end == "revoked":
                with open_store(str(gate.store)) as store:
                    store.take_away([name], owed=True)
            else:
                path.write_text("{half of" if end == "corrupt" else '{"expires_at": 5}')
                os.utime(path, (5, 5))

    def work(self) -> None:
        """An agent from its start until all has been done."""
        agent = self.gate.agent(log_limit=20000, end_on_removal=self.end_on_removal)
        try:
            agent.turn()
            self.end("meanwhile")
            run(agent, self.is_done)
        finally:
            agent.close()

    def is_done(self) -> bool:
        store = self.gate.store
        there = {path.name for path in store.iterdir() if path.is_file() and not path.name.startswith(".")}
        return (
            not any(client.is_open for client in self.mine)
            and there == {"issued-again-of-a-scene", "bystander-of-a-scene"}
            and not list(store.glob(f"{ENDED}/*"))
        )


@pytest.mark.parametrize(("end_on_removal", "stride"), [(False, 1), (True, 3)])
def test_killed_between_any_two_steps_the_next_one_does_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end_on_removal: bool, stride: int
) -> None:
    """Nobody is waited for here: no late worker, no writer of a file, no busy module."""
    for place in (agent_module, record):
        monkeypatch.setattr(place, "SECOND_LOOK", -1)
    monkeypatch.setattr(store_module, "QUARANTINE_GRACE", -1)
    monkeypatch.setattr(agent_module, "REVOKER_TIME", 0)
    monkeypatch.setattr(log_watch, "PAUSE", 0.01)
    number = 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        gate = Gate(folder)
        try:
            scene = Scene(gate, end_on_removal)
            was_killed = killed_at(number, scene.work)
            if was_killed:
                # What others do comes, whether an agent runs or not.
                scene.end("meanwhile")
                scene.work()
            assert scene.is_done() and all(client.is_open for client in scene.others), f"killed before step {number}"
        finally:
            gate.close()
        if not was_killed:
            break
        number += stride
    assert number > 40


def test_while_the_log_is_away_no_removed_token_is_forgotten(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (agent_module, record):
        monkeypatch.setattr(place, "SECOND_LOOK", 0)
    gate.touch(token(1))
    agent = gate.agent(end_on_removal=False)
    try:
        agent.turn()
        release(str(gate.log))
        away = gate.log.rename(gate.log.with_name("elsewhere"))
        run(agent, lambda: "does not exist" in agent.status())
        gate.log = away
        # nginx writes where it did.
        client = gate.connect(token(1))
        with open_store(str(gate.store)) as store:
            store.take_away([token(1)], owed=True)
        looks: list[object] = []
        settle = agent_module.settle
        monkeypatch.setattr(agent_module, "settle", lambda *words: looks.append(words) or settle(*words))
        run(agent, lambda: len(looks) > 1)
        assert client.is_open and (gate.store / ENDED / token(1)).exists()
        gate.log = away.rename(gate.settings.session_log)
        run(agent, lambda: not client.is_open)
        run(agent, lambda: not (gate.store / ENDED).exists())
    finally:
        agent.close()


def test_a_token_whose_revoker_is_still_at_work_is_not_forgotten(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was set forward meanwhile: its removal seems to be long ago."""
    gate.touch(token(1))
    agent = gate.agent(end_on_removal=False)
    try:
        agent.turn()
        client = gate.connect(token(1))
        run(agent, lambda: agent.status().startswith("1 sessions"))
        with open_store(str(gate.store)) as store:
            store.take_away([token(1)], owed=True)
        agent.turn()
        assert client.is_open
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 86400)
        monkeypatch.setattr(agent, "_next_settling", 0)
        run(agent, lambda: not client.is_open)
    finally:
        agent.close()


# The watchdog of systemd


def test_a_look_through_a_large_store_pings_again_and_again(gate: Gate) -> None:
    """A thousand files may take as long on a slow disk as the whole test does here."""
    gate.touch(*(token(number) for number in range(3 * PROGRESS_EVERY)))
    agent = gate.agent()
    pings: list[int] = []
    agent.ping = lambda: pings.append(1)
    try:
        agent.turn()
        first, pings[:] = len(pings), []
        agent.turn()
        # It is looked through more than once, and each step has one of its own.
        assert first > 6 and first > len(pings) + 4
    finally:
        agent.close()


def test_many_sessions_that_end_at_once_ping_again_and_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of ss may last as long as it is let."""
    gate.touch(token(1))
    agent = gate.agent()
    order: list[str] = []
    agent.ping = lambda: order.append("ping")
    real = sockets._ss

    def noted(arguments: list[str]) -> tuple[str, str]:
        if "--kill" in arguments:
            order.append("kill")
        return real(arguments)

    monkeypatch.setattr(sockets, "_ss", noted)
    monkeypatch.setattr(sockets, "FILTERS_A_CALL", 40)
    try:
        agent.turn()
        clients = [gate.connect(token(1)) for _number in range(120)]
        run(agent, lambda: agent.status().startswith("120 sessions"))
        (gate.store / token(1)).unlink()
        run(agent, lambda: not any(client.is_open for client in clients))
        kills = [number for number, word in enumerate(order) if word == "kill"]
        assert len(kills) >= 3 and all(order[number - 1] == "ping" for number in kills)
    finally:
        agent.close()


def test_while_a_turn_lasts_the_watchdog_is_told_that_it_goes_on(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = gate.agent()
    stops = iter([False, True])
    wake, waker = os.pipe2(os.O_NONBLOCK)
    os.write(waker, b"1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setattr(service, "PING_EVERY", 0.0)
        try:
            service.serve(agent, lambda: next(stops), wake)
            words = [receiver.recv(4096).split(b"=")[0] for _number in range(3)]
            # Its turn has several steps; then comes what it is told after each turn.
            assert words == [b"READY", b"WATCHDOG", b"WATCHDOG"]
            assert receiver.recv(4096) == b"WATCHDOG=1"
        finally:
            agent.close()
            os.close(wake)
            os.close(waker)


# The log's disk


@pytest.fixture
def small_disk(standing: tuple[LocalGate, int], tmp_path: Path) -> Iterator[tuple[LocalNginx, int, Path]]:
    """The gate once more, with its session log on a disk of two pages; nginx, its port and that disk."""
    local_gate, port = standing
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=0700", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    other_port = free_port()

    def edit(_name: str, text: str) -> str:
        return re.sub(r"access_log \S+/sessions\.log", f"access_log {disk}/sessions.log", text)

    try:
        with local_gate.copy(edit, {port: other_port}) as nginx:
            wait_for(lambda: len(nginx.workers()) == 2)
            yield nginx, other_port, disk
    finally:
        release(str(disk / "sessions.log"))
        subprocess.run(["umount", disk], check=True)


def test_on_a_full_disk_it_reports_so_and_sessions_that_begin_after_it_end(
    small_disk: tuple[LocalNginx, int, Path], tmp_path: Path
) -> None:
    """nginx writes as much of a line as there is room for. The next one comes right behind it."""
    nginx, port, disk = small_disk
    log = disk / "sessions.log"

    def opened(name: str) -> wire.Session:
        (nginx.tokens / name).touch()
        request = wire.Request("/wss", host=soak_agent.NAME).origin(soak_agent.ORIGIN).token(name)
        reply = wire.handshake(wire.Endpoint(port=port, tls=False), request)
        assert reply.session is not None
        return reply.session

    with AgentProcess(tmp_path / "agent", nginx.tokens, log) as agent, contextlib.ExitStack() as stack:
        agent.start()
        before = stack.enter_context(opened("before-the-disk-is-full"))
        with log.open("a") as stream:
            stream.write("-" * (8192 - 41 - log.stat().st_size) + "\n")
        stack.enter_context(opened("while-the-disk-is-full-"))
        assert log.stat().st_size == 8192 and not log.read_text().endswith("\n")
        wait_for(lambda: "is full" in agent.status)
        # What was logged before ends, as ever.
        (nginx.tokens / "before-the-disk-is-full").unlink()
        assert before.ended(10)
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        after = stack.enter_context(opened("after-the-disk-was-full"))
        other = stack.enter_context(opened("bystander-of-a-full-one"))
        (nginx.tokens / "after-the-disk-was-full").unlink()
        assert after.ended(10)
        assert other.echo("still here") == "still here"
        wait_for(lambda: "is full" not in agent.status)


# What becomes of the log


@pytest.fixture
def agent(gate: Gate) -> Iterator[Agent]:
    agent = gate.agent()
    yield agent
    agent.close()


def emptied(gate: Gate, agent: Agent) -> None:
    """As by logrotate's copytruncate, after the agent has read all of it."""
    run(agent, lambda: agent.follower is not None and agent.follower.size == gate.log.stat().st_size)
    release(str(gate.log))
    os.truncate(gate.log, 0)


def test_sessions_of_a_log_that_was_emptied_end_all_the_same(gate: Gate, agent: Agent) -> None:
    gate.touch(token(1), token(2), token(3))
    agent.turn()
    mine, other, gone = gate.connect(token(1)), gate.connect(token(2)), gate.connect(token(3))
    emptied(gate, agent)
    # Some lines later, so that it is long again.
    late = [gate.connect(token(3)) for _number in range(4)]
    run(agent, lambda: agent.status().startswith("7 sessions"))
    gate.hang_up(gone)
    run(agent, lambda: agent.status().startswith("6 sessions"))
    (gate.store / token(1)).unlink()
    run(agent, lambda: not mine.is_open)
    (gate.store / token(3)).unlink()
    run(agent, lambda: not any(client.is_open for client in late))
    rest(agent)
    assert other.is_open


def test_a_connection_that_took_the_place_of_one_whose_end_was_emptied_out_is_left_alone(
    gate: Gate, agent: Agent
) -> None:
    """The same two ports, and by now another token's session."""
    gate.touch(token(1), token(2))
    agent.turn()
    client = gate.connect(token(1))
    emptied(gate, agent)
    ends = f"127.0.0.1 {client.near.getsockname()[1]} 127.0.0.1 {client.near.getpeername()[1]} 127.0.0.1"
    gate.write(f"S {time.time():.3f} {os.getpid()} 77 1 {ends} {token(2)}\n")
    run(agent, lambda: [session.token for session in agent.open_sessions().values()] == [token(2)])
    (gate.store / token(1)).unlink()
    rest(agent)
    assert client.is_open
    (gate.store / token(2)).unlink()
    run(agent, lambda: not client.is_open)


def test_while_ss_fails_no_session_of_a_log_that_was_emptied_is_forgotten(
    gate: Gate, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1), token(2))
    agent.turn()
    client = gate.connect(token(1))
    with monkeypatch.context() as patch:

        def failing(_arguments: list[str]) -> tuple[str, str]:
            raise sockets.SocketError("ss failed with 255: no words")

        emptied(gate, agent)
        patch.setattr(sockets, "_ss", failing)
        late = gate.connect(token(2))
        run(agent, lambda: "ss failed" in agent.status())
    for name in (token(1), token(2)):
        (gate.store / name).unlink()
    run(agent, lambda: not client.is_open and not late.is_open)


# Files that fail


def test_an_immutable_file_keeps_its_name_and_none_of_its_sessions(gate: Gate, agent: Agent) -> None:
    agent.turn()
    gate.issue(token(1), time.time() - 5)
    gate.issue(token(2), time.time() - 5)
    path = gate.store / token(1)
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no such attribute")
    try:
        clients = [gate.connect(token(1)), gate.connect(token(2))]
        run(agent, lambda: not any(client.is_open for client in clients))
        assert "1 expired tokens cannot be removed" in agent.status() and path.exists()
        assert not (gate.store / token(2)).exists()
        # nginx lets it in again and again, and it is ended again and again.
        late = gate.connect(token(1))
        run(agent, lambda: not late.is_open)
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    run(agent, lambda: not path.exists() and "cannot be removed" not in agent.status())


def test_the_sessions_of_a_file_that_becomes_unreadable_end_with_it(
    gate: Gate, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (agent_module, store_module):
        monkeypatch.setattr(place, "QUARANTINE_GRACE", 0.5)
    gate.issue(token(1), time.time() + 3600)
    gate.touch(token(2))
    agent.turn()
    client, other = gate.connect(token(1)), gate.connect(token(2))
    rest(agent)
    (gate.store / token(1)).write_text("{half of")
    run(agent, lambda: not client.is_open)
    assert (gate.store / f".corrupt-{token(1)}").exists()
    rest(agent)
    assert other.is_open


def test_an_agent_that_starts_before_its_store_and_its_log_does_its_work_once_they_are_there(
    gate: Gate, process: AgentProcess
) -> None:
    release(str(gate.log))
    gate.log.unlink()
    gate.store.rmdir()
    process.start()
    wait_for(lambda: "is not there" in process.status and "does not exist" in process.status)
    gate.store.mkdir(0o710)
    gate.log.touch(mode=0o600)
    gate.touch(token(1))
    client = gate.connect(token(1))
    # What its unit lets it write to was settled without the store: it ends, and systemd starts it again.
    wait_for(lambda: not process.is_running)
    process.start()
    wait_for(lambda: process.status == "1 sessions in the log, 0 tokens end soon")
    (gate.store / token(1)).unlink()
    wait_for(lambda: not client.is_open)


def test_with_its_own_disk_full_it_does_its_work_and_reports_that(
    gate: Gate, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would keep there is which sessions to leave open; these it remembers until its end."""
    disk = tmp_path / "full"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", disk], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (disk / "whatever").write_bytes(b"x" * 4096)
        monkeypatch.setattr(agent, "settings", gate.settings._replace(state=str(disk)))
        gate.touch(token(1), token(2))
        older = gate.connect(token("gone"))
        mine, other = gate.connect(token(1)), gate.connect(token(2))
        agent.turn()
        assert "No space left on device" in agent.status()
        (gate.store / token(1)).unlink()
        run(agent, lambda: not mine.is_open)
        rest(agent)
        assert older.is_open and other.is_open
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_store_that_is_unmounted_and_mounted_again_in_one_moment_is_watched(
    gate: Gate, agent: Agent, tmp_path: Path
) -> None:
    """It looks the same, by device and inode. The kernel watches it no more."""
    image = tmp_path / "image"
    with image.open("wb") as stream:
        stream.truncate(1 << 20)
    mount = ["mount", "-o", "loop", image, gate.store]
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        gate.touch(token(1), token(2))
        agent.turn()
        before = gate.store.stat()
        mine, other = gate.connect(token(1)), gate.connect(token(2))
        run(agent, lambda: agent.status().startswith("2 sessions"))
        subprocess.run(["umount", gate.store], check=True)
        subprocess.run(mount, check=True)
        found = gate.store.stat()
        assert (found.st_dev, found.st_ino) == (before.st_dev, before.st_ino), (
            "it looks another: the test proves nothing"
        )
        (gate.store / token(1)).unlink()
        run(agent, lambda: not mine.is_open)
        rest(agent)
        assert other.is_open
    finally:
        subprocess.run(["umount", gate.store], check=True)


def test_a_token_that_is_issued_anew_twice_loses_its_former_sessions_twice(gate: Gate, agent: Agent) -> None:
    agent.turn()
    clients: list[Client] = []
    for _time in range(2):
        gate.touch(token(1))
        rest(agent)
        # A worker may be so late with its line about a session of the former one.
        issued = (gate.store / token(1)).stat().st_ctime
        wait_for(lambda issued=issued: time.time() > issued + 2 * SETTLE)
        clients.append(gate.connect(token(1)))
        rest(agent)
        assert clients[-1].is_open
        (gate.store / token(1)).unlink()
        gate.touch(token(1))
        run(agent, lambda: not any(client.is_open for client in clients))
