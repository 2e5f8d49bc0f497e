# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders to the agent of a gate: sessions end at the pace that was asked for, those that were meant and no others.

Behind a real nginx, with the agent as a process of its own. Scenario sessions has the playbooks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import select
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import order_duty, orders
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.agent import Agent, Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.order_work import CATCH_UP, Pace
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.orders import DRAINED, Order, identity_of
from ansible_collections.wssgate.nginx.plugins.module_utils._host import files
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import open_sessions
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.selection import Selection

from lib import wire
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

ORIGIN = "https://app.example.com"
TOKEN = "token-of-a-drained-gate"
# What takes a moment where nothing else runs may take so long beside other tests.
SOON = 20.0
AHEAD = 3600.0
EVERYBODY = Selection()


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    port = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{port}"):
        yield port


@pytest.fixture(scope="module")
def local_gate(echo: int) -> Iterator[LocalGate]:
    def location(path: str, **options: Any) -> dict[str, Any]:
        return {"path": path, "upstream": f"http://127.0.0.1:{echo}", "origins": [ORIGIN], **options}

    server = {
        "name": "gate",
        "server_names": ["gate.example.com"],
        "listen": [{"address": "127.0.0.1", "port": free_port(), "tls": False}],
        "locations": [location("/wss"), location("/other"), location("/open", auth="none")],
    }
    with LocalGate([server]) as gate:
        yield gate


class Clients:
    """Open sessions, and when each was closed as its client sees it."""

    def __init__(self) -> None:
        self.open: list[wire.Session] = []
        self.closed: list[float] = []

    def look(self, seconds: float = 0.0) -> None:
        """Note who was closed, for so many seconds."""
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for session in self.open:
                selector.register(session.socket, selectors.EVENT_READ, session)
            while self.open:
                for key, _events in selector.select(max(0.0, min(0.05, end - time.monotonic()))):
                    session = key.data
                    selector.unregister(session.socket)
                    assert session.ended(1)
                    session.close()
                    self.open.remove(session)
                    self.closed.append(time.monotonic())
                if time.monotonic() >= end:
                    return

    def until(self, is_so: Callable[[], Any]) -> None:
        end = time.monotonic() + SOON
        while not is_so():
            assert time.monotonic() < end, f"{len(self.open)} open, {len(self.closed)} closed"
            self.look(0.02)

    def most_within(self, seconds: float) -> int:
        """How many were closed within any such span."""
        spans = [[one for one in self.closed if start <= one < start + seconds] for start in self.closed]
        return max(map(len, spans), default=0)


class Gate:
    """The gate, its clients and its agent."""

    def __init__(self, local_gate: LocalGate, root: Path, stack: contextlib.ExitStack) -> None:
        self.nginx = local_gate
        self.state = root / "state"
        self.state.mkdir(mode=0o700)
        self.drain_file = root / "drain"
        self.port = local_gate.variables["wss_proxy_servers"][0]["listen"][0]["port"]
        self.notices = root / "journal"
        self.clients = Clients()
        self.others = Clients()
        self._stack = stack
        self._process: subprocess.Popen[bytes] | None = None

    def connect(self, count: int, path: str = "/wss", clients: Clients | None = None) -> None:
        request = wire.Request(path=path, host="gate.example.com").origin(ORIGIN).token(TOKEN)
        for _number in range(count):
            reply = wire.handshake(wire.Endpoint(port=self.port, tls=False), request)
            assert reply.status == 101 and reply.session is not None, reply.status
            self._stack.callback(reply.session.close)
            (self.clients if clients is None else clients).open.append(reply.session)

    def logged(self) -> int:
        return len(open_sessions(str(self.nginx.session_log)))

    def start(self) -> None:
        collections = Path(order_duty.__file__).parents[6]
        words = f"import sys; sys.path.insert(0, {str(collections)!r}); "
        words += "from ansible_collections.wssgate.nginx.plugins.module_utils._agent.service import main; "
        command = [
            sys.executable, "-c", f"{words}sys.exit(main(sys.argv[1:]))", "--store", str(self.nginx.tokens),
            "--session-log", str(self.nginx.session_log), "--state", str(self.state),
        ]  # fmt: skip
        with self.notices.open("ab") as journal:
            self._process = subprocess.Popen(command, stdout=journal, stderr=journal)
        wait_for(lambda: orders.has_agent(str(self.state)))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def journal(self) -> str:
        return self.notices.read_text()

    def order(self, name: str = "drain", sessions: Selection = EVERYBODY, **fields: Any) -> Order:
        return orders.place(str(self.state), Order(name, sessions, **{"expires": time.time() + AHEAD, **fields}))

    def drain(self, rate: float, **fields: Any) -> Order:
        self.drain_file.touch()
        path = str(self.drain_file)
        return self.order(rate=rate, cause=DRAINED, while_path=path, while_file=identity_of(path), **fields)

    def result(self, order: Order) -> orders.Result | None:
        return orders.result(str(self.state), order.id, order.run)

    def is_over(self, order: Order) -> bool:
        """Whether the agent has written that down, and then removed it."""
        found = self.result(order)
        return found is not None and found.is_over and orders.placed(str(self.state), order.id) != order


@pytest.fixture
def gate(local_gate: LocalGate, tmp_path: Path) -> Iterator[Gate]:
    local_gate.issue(TOKEN)
    with contextlib.ExitStack() as stack:
        found = Gate(local_gate, tmp_path, stack)
        stack.callback(found.kill)
        yield found
    # The next one begins with none.
    wait_for(lambda: not open_sessions(str(local_gate.session_log)))


@pytest.fixture
def agent(gate: Gate) -> Iterator[Callable[..., Agent]]:
    """An agent in this process, which does something when it is run and else nothing."""
    with contextlib.ExitStack() as stack:

        def begin() -> Agent:
            told: list[str] = []
            settings = Settings(str(gate.nginx.tokens), str(gate.nginx.session_log), state=str(gate.state))
            found = Agent(settings, told.append)
            stack.callback(found.close)
            found.turn()
            return found

        yield begin


def run(agent: Agent, gate: Gate, is_so: Callable[[], object]) -> None:
    """Let the agent work until something is so."""
    end = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < end, agent.status()
        select.select(agent.descriptors(), [], [], min(agent.turn(), 0.05))
        gate.clients.look()


def rest(agent: Agent, gate: Gate, seconds: float = 1.5) -> None:
    """Let the agent do whatever it would do."""
    end = time.monotonic() + seconds
    run(agent, gate, lambda: time.monotonic() > end)


# The pace


def test_sessions_end_at_the_pace_and_all_of_them_in_time(gate: Gate) -> None:
    gate.connect(100)
    gate.start()
    began = time.monotonic()
    order = gate.drain(rate=40)
    gate.clients.until(lambda: not gate.clients.open)
    took = time.monotonic() - began
    # What one late step may make up for, and what a late look at the clients adds to a second.
    assert gate.clients.most_within(1.0) <= 40 * (1 + CATCH_UP) + 6
    assert 2.0 <= took < 10.0, took
    # Smoothly: no step has more than it may make up for.
    assert gate.clients.most_within(0.05) <= 2 * 40 * CATCH_UP
    wait_for(lambda: gate.is_over(order))
    assert gate.result(order) == orders.Result(order.run, orders.DONE, 100, 100, 0)
    assert not (gate.state / "orders/drain.json").exists()


@pytest.mark.parametrize("rate", [0.5, 3.0, 50.0, 2000.0])
def test_whenever_it_is_asked_no_second_has_more_than_the_pace(rate: float) -> None:
    chance = random.Random(f"{rate}")
    now, given = 100.0, []
    pace = Pace(rate, now)
    while now < 100.0 + max(20.0, 20 / rate):
        # In time, late, much too late, and without a reason.
        now = max(now, pace.next(now)) + chance.choice([0.0, 0.0, 0.001, 0.3, 2.0])
        given += [now] * pace.take(now, 10**6)
        if chance.random() < 0.2:
            given += [now] * pace.take(now, 10**6)
    most = max(len([one for one in given if start <= one < start + 1.0]) for start in set(given))
    assert given and most <= max(1.0, rate * (1 + CATCH_UP)) + 1


@pytest.mark.parametrize("rate", [0.5, 3.0, 50.0, 2000.0])
def test_asked_in_time_it_keeps_the_pace(rate: float) -> None:
    now, given, most = 100.0, 0, round(rate * 20)
    pace = Pace(rate, now)
    while given < most:
        now = pace.next(now)
        given += pace.take(now, most - given)
    assert now - 100.0 == pytest.approx(most / rate, abs=max(0.2, 1 / rate))


def test_without_a_pace_all_end_at_once(gate: Gate) -> None:
    gate.connect(40)
    gate.start()
    began = time.monotonic()
    gate.order()
    gate.clients.until(lambda: not gate.clients.open)
    assert gate.clients.closed[-1] - began < 3.0


def test_an_agent_that_is_killed_in_the_middle_is_followed_by_one_that_goes_on(gate: Gate) -> None:
    gate.connect(60)
    gate.start()
    order = gate.drain(rate=20)
    for share in (0.25, 0.5, 0.75):
        gate.clients.until(lambda share=share: len(gate.clients.closed) >= 60 * share)
        gate.kill()
        gate.start()
    gate.clients.until(lambda: not gate.clients.open)
    # A new agent saves nothing up from the time before it.
    assert gate.clients.most_within(1.0) <= 20 * (1 + CATCH_UP) + 6
    wait_for(lambda: gate.is_over(order))
    assert gate.result(order) == orders.Result(order.run, orders.DONE, 60, 60, 0)


# What ends an order


@pytest.mark.parametrize("way", ["removed", "replaced", "replaced while no agent ran", "taken back"])
def test_an_order_ends_at_once_with_what_it_is_for(gate: Gate, way: str) -> None:
    gate.connect(60)
    gate.start()
    order = gate.drain(rate=20)
    gate.clients.until(lambda: len(gate.clients.closed) >= 10)
    if way == "taken back":
        orders.withdraw(str(gate.state), order.id)
    else:
        if "no agent" in way:
            gate.kill()
        gate.drain_file.unlink()
        if "replaced" in way:
            gate.drain_file.touch()
        if "no agent" in way:
            gate.start()
    closed = len(gate.clients.closed)
    wait_for(lambda: gate.is_over(order))
    gate.clients.look(1.0)
    found = gate.result(order)
    assert found is not None and found.state == orders.VOID and found.found == 60
    # What was under way at that moment.
    assert len(gate.clients.closed) <= closed + 10
    assert all(session.is_alive() for session in gate.clients.open)
    assert not (gate.state / "orders/drain.json").exists()


def test_another_drain_takes_the_place_of_the_first_one(gate: Gate) -> None:
    gate.connect(40)
    gate.start()
    first = gate.drain(rate=0.1)
    wait_for(lambda: (found := gate.result(first)) and found.found == 40)
    second = gate.drain(rate=40)
    gate.clients.until(lambda: not gate.clients.open)
    wait_for(lambda: gate.is_over(second))
    assert gate.result(first) is None and gate.result(second) == orders.Result(second.run, orders.DONE, 40, 40, 0)


@pytest.mark.parametrize("step", [7200, -86400])
def test_a_clock_that_is_set_past_its_bounds_ends_an_order(
    gate: Gate, agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    gate.connect(20)
    order = gate.drain(rate=10)
    found = agent()
    run(found, gate, lambda: gate.clients.closed)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    run(found, gate, lambda: gate.is_over(order))
    closed = len(gate.clients.closed)
    rest(found, gate)
    assert len(gate.clients.closed) <= closed + 4 and gate.clients.open
    result = gate.result(order)
    assert result is not None and result.state == (orders.EXPIRED if step > 0 else orders.VOID)


def test_a_clock_that_is_set_back_ends_no_session_that_began_after_the_order(
    gate: Gate, agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.connect(3)
    wait_for(lambda: gate.logged() == 3)
    order = gate.order(sessions=Selection(until=time.time() + 600), rate=1.0)
    found = agent()
    run(found, gate, lambda: "3 of 3" in found.status() or "2 of 3" in found.status())
    rest(found, gate, 2.2)
    # To the log they began before the order, as if the clock had been set back.
    gate.connect(2, clients=gate.others)
    run(found, gate, lambda: gate.is_over(order))
    assert not gate.clients.open and all(session.is_alive() for session in gate.others.open)


# Which sessions


def test_sessions_of_another_selection_are_left_alone(gate: Gate) -> None:
    gate.connect(20)
    gate.connect(20, "/other", gate.others)
    gate.start()
    order = gate.order(sessions=Selection(locations=("/wss",)), rate=20)
    gate.clients.until(lambda: not gate.clients.open)
    wait_for(lambda: gate.is_over(order))
    gate.others.look(0.5)
    assert len(gate.others.open) == 20 and all(session.is_alive() for session in gate.others.open)
    assert gate.result(order) == orders.Result(order.run, orders.DONE, 20, 20, 0)


def test_two_orders_have_a_pace_each_and_end_what_is_theirs(gate: Gate) -> None:
    gate.connect(30)
    gate.connect(30, "/other", gate.others)
    gate.start()
    slow = gate.order("slow", Selection(locations=("/other",)), rate=5)
    fast = gate.order("fast", Selection(locations=("/wss",)), rate=30)
    gate.clients.until(lambda: not gate.clients.open)
    gate.others.look()
    assert 0 < len(gate.others.closed) < 20
    wait_for(lambda: gate.is_over(fast))
    assert not gate.is_over(slow)
    orders.withdraw(str(gate.state), "slow")
    wait_for(lambda: gate.is_over(slow))


def test_a_share_is_exact_and_the_same_after_a_restart_and_spares_those_who_come_later(gate: Gate) -> None:
    gate.connect(48)
    wait_for(lambda: gate.logged() == 48)
    gate.start()
    order = gate.order("rebalance", Selection(until=time.time()), rate=10, share=25)
    gate.clients.until(lambda: len(gate.clients.closed) >= 4)
    gate.kill()
    gate.connect(8, clients=gate.others)
    gate.start()
    wait_for(lambda: gate.is_over(order))
    gate.clients.look(1.0)
    gate.others.look(0.1)
    assert (len(gate.clients.closed), len(gate.others.closed)) == (12, 0)
    result = gate.result(order)
    assert result is not None and (result.state, result.found, result.ended) == (orders.DONE, 12, 12)


@pytest.mark.parametrize("is_told", [True, False])
def test_connections_that_the_log_does_not_know_end_with_the_others_where_the_ports_are_named(
    gate: Gate, is_told: bool
) -> None:
    gate.connect(10)
    gate.connect(20, "/open", gate.others)
    gate.start()
    began = time.monotonic()
    order = gate.drain(rate=15, ports=(("127.0.0.1", gate.port),) if is_told else ())
    gate.clients.until(lambda: not gate.clients.open)
    if is_told:
        gate.others.until(lambda: not gate.others.open)
        # One pace for both
        assert time.monotonic() - began > 30 / (15 * (1 + CATCH_UP)) - 0.3
    wait_for(lambda: gate.is_over(order))
    gate.others.look(0.5)
    count = 30 if is_told else 10
    assert gate.result(order) == orders.Result(order.run, orders.DONE, count, count, 0)
    assert len(gate.others.open) == (0 if is_told else 20)


def test_connections_at_another_address_of_the_port_are_left_alone(gate: Gate) -> None:
    gate.connect(3, "/open")
    gate.connect(2, "/wss", gate.others)
    gate.start()
    order = gate.drain(rate=100, sessions=Selection(locations=("/none",)), ports=(("127.0.0.2", gate.port),))
    wait_for(lambda: gate.is_over(order))
    gate.clients.look(0.2)
    assert len(gate.clients.open) == 3 and gate.result(order) == orders.Result(order.run, orders.DONE, 0, 0, 0)


# What fails


def spoilt(gate: Gate, how: str) -> Path:
    """A file among the orders that is to be refused."""
    folder = gate.state / "orders"
    good = gate.order("good", Selection(locations=("/none",)))
    text = (folder / "good.json").read_text()
    (folder / "good.json").unlink()
    document = {**json.loads(text), "id": "bad"}
    path = folder / "bad.json"
    if how == "symlink":
        (folder.parent / "elsewhere").write_text(json.dumps(document))
        path.symlink_to(folder.parent / "elsewhere")
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path, 0o600)
    else:
        document.update(
            {
                "number": {"rate": float("nan")},
                "rate": {"rate": -1},
                "share": {"share": 101},
                "unknown field": {"pace": 3},
                "cause": {"cause": "expired"},
                "fingerprint": {"sessions": {"fingerprints": ["XYZ!"]}},
                "another's id": {"id": good.id},
                "list": {"sessions": {"subjects": "client"}},
                "address": {"ports": [["localhost", 443]]},
                "drain file": {"while_path": "/etc/passwd"},
            }.get(how, {})
        )
        content = json.dumps(document)
        if how == "no JSON":
            content = content[:-5]
        elif how == "depth":
            content = "[" * 100000
        elif how == "size":
            content += " " * orders.LIMIT
        path.touch(mode=0o600)
        path.write_text(content)
        if how == "owner":
            os.chown(path, 33, 33)
        elif how == "mode":
            path.chmod(0o644)
    return path


HOWS = [
    *("symlink", "folder", "pipe", "owner", "mode", "size", "depth", "no JSON", "number", "rate", "share", "cause"),
    *("unknown field", "fingerprint", "another's id", "list", "address", "drain file"),
]


@pytest.mark.parametrize("how", HOWS)
def test_an_order_that_is_not_as_it_should_be_is_set_aside_and_holds_up_no_other(
    gate: Gate, agent: Callable[[], Agent], how: str
) -> None:
    gate.connect(2)
    gate.connect(2, "/other", gate.others)
    found = agent()
    path = spoilt(gate, how)
    gate.order("after", Selection(locations=("/wss",)))
    run(found, gate, lambda: not gate.clients.open)
    gate.others.look()
    assert len(gate.others.open) == 2
    assert not path.is_symlink() and not path.exists()
    assert "1 refused in" in found.status() and len(found.status()) < 1000
    aside = [one for one in path.parent.iterdir() if one.name.startswith(orders.REFUSED)]
    assert len(aside) == 1
    aside[0].rmdir() if how == "folder" else aside[0].unlink()
    gate.order("last", Selection(locations=("/none",)))
    run(found, gate, lambda: "refused" not in found.status())


@pytest.mark.parametrize("is_at_work", [False, True])
@pytest.mark.parametrize("what", ["mode", "owner", "symlink"])
def test_a_folder_of_orders_that_others_can_enter_is_not_obeyed(
    gate: Gate, agent: Callable[[], Agent], what: str, is_at_work: bool
) -> None:
    gate.connect(2)
    folder = gate.state / "orders"
    order = folder / f"{gate.order().id}.json"
    if is_at_work:
        order.rename(folder / "kept")
        found = agent()
    if what == "mode":
        folder.chmod(0o755)
    elif what == "owner":
        os.chown(folder, 33, 33)
    else:
        folder.rename(gate.state / "elsewhere")
        folder.symlink_to(gate.state / "elsewhere")
    if is_at_work:
        (folder / "kept").rename(order)
    else:
        found = agent()
    rest(found, gate)
    assert len(gate.clients.open) == 2 and "orders" in found.status()


def test_without_inotify_orders_are_seen_as_well(
    gate: Gate, agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_duty.Inotify, "or_none", lambda: None)
    gate.connect(2)
    found = agent()
    rest(found, gate, 0.2)
    gate.order()
    run(found, gate, lambda: not gate.clients.open)


def test_the_folder_of_the_orders_may_go_and_come_again(gate: Gate, agent: Callable[[], Agent]) -> None:
    gate.connect(2)
    found = agent()
    rest(found, gate, 0.2)
    (gate.state / "orders").rename(gate.state / "away")
    run(found, gate, (gate.state / "orders").exists)
    gate.order()
    run(found, gate, lambda: not gate.clients.open)


@pytest.mark.parametrize("share", [100.0, 50.0])
def test_while_nothing_can_be_written_a_drain_goes_on_and_a_share_does_not_begin(
    gate: Gate, agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    gate.connect(6)
    found = agent()
    real = files.write

    def full(path: str, *arguments: Any, **options: Any) -> None:
        if path.endswith(orders.RESULT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", full)
        order = gate.order(share=share, rate=3)
        if share == 100:
            run(found, gate, lambda: "how far order drain is cannot be written: No space left" in found.status())
            run(found, gate, lambda: not gate.clients.open)
        else:
            run(found, gate, lambda: "No space left" in found.status())
            rest(found, gate)
            assert len(gate.clients.open) == 6
    run(found, gate, lambda: gate.is_over(order))
    assert len(gate.clients.closed) == (6 if share == 100 else 3)
    assert "No space left" not in found.status()


def test_while_connections_cannot_be_listed_none_counts_as_ended(
    gate: Gate, agent: Callable[[], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.connect(4)
    found = agent()
    with monkeypatch.context() as patched:

        def failing(arguments: list[str]) -> tuple[str, str]:
            raise sockets.SocketError("ss failed with 255: no words")

        patched.setattr(sockets, "_ss", failing)
        order = gate.order()
        run(found, gate, lambda: "ss failed with 255" in found.status())
        rest(found, gate, 0.5)
        result = gate.result(order)
        assert result is None or (result.state, result.ended) == (orders.WORKING, 0)
    run(found, gate, lambda: gate.is_over(order))
    assert gate.result(order) == orders.Result(order.run, orders.DONE, 4, 4, 0)
    assert "ss failed" not in found.status()


def test_what_has_lain_there_for_a_day_is_cleared_away(gate: Gate, agent: Callable[[], Agent]) -> None:
    folder = gate.state / "orders"
    folder.mkdir(mode=0o700)
    for name, age in (("old.result", 90000), (".refused-old", 90000), (".wssgate-old", 90000), ("new.result", 60)):
        (folder / name).touch(mode=0o600)
        os.utime(folder / name, (time.time() - age,) * 2)
    agent()
    assert [path.name for path in folder.iterdir()] == ["new.result"]
