# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent of a gate: it ends what should end, within its time, and nothing else, whatever fails meanwhile.

The sessions are connections of this machine and lines in a session log, as nginx writes them. Scenario token_life has
the agent behind nginx.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import agent as agent_module
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import look_ahead
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.agent import Agent, Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.store_watch import Changes, StoreWatch
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import SETTLE
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import LogFile
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import TokenStore, open_store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

ROOT = Path(__file__).resolve().parents[2]
# What takes a moment where nothing else runs may take so long beside other tests.
SOON = 10.0
# Nothing happens in so many turns: enough for the agent to look at everything once more.
TURNS = 8


class Client:
    """One session: both ends of its connection, and its lines in the log."""

    def __init__(self, near: socket.socket, far: socket.socket, token: str, ends: str) -> None:
        self.near, self.far, self.token, self.ends = near, far, token, ends
        near.setblocking(False)

    @property
    def is_open(self) -> bool:
        try:
            return self.near.recv(1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Gate:
    """A token store, a session log and clients, without nginx."""

    def __init__(self, root: Path) -> None:
        self.store, self.log, self.state = root / "tokens", root / "log" / "sessions.log", root / "state"
        for folder, mode in ((self.store, 0o710), (self.log.parent, 0o700), (self.state, 0o700)):
            folder.mkdir(mode=mode)
        self.log.touch(mode=0o600)
        self.settings = Settings(str(self.store), str(self.log), state=str(self.state))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.clients: list[Client] = []
        self.told: list[str] = []

    def touch(self, *tokens: str) -> None:
        for token in tokens:
            (self.store / token).touch()

    def issue(self, token: str, expires_at: float) -> None:
        text = json.dumps({"subject": "somebody", "issued_at": 1, "expires_at": int(expires_at)})
        (self.store / token).write_text(text)

    def connect(self, token: str) -> Client:
        """A client that the gate has let in."""
        near = socket.create_connection(self.listener.getsockname())
        far, _address = self.listener.accept()
        port, number = near.getsockname()[1], len(self.clients) + 1
        worker = f"{os.getpid()} {number} 1"
        server = self.listener.getsockname()[1]
        client = Client(near, far, token, f"E {time.time():.3f} {worker} 101\n")
        self.clients.append(client)
        self.write(f"S {time.time():.3f} {worker} 127.0.0.1 {port} 127.0.0.1 {server} 127.0.0.1 {token}\n")
        return client

    def write(self, line: str) -> None:
        with self.log.open("a") as stream:
            stream.write(line)

    def hang_up(self, client: Client) -> None:
        """The client goes by itself."""
        client.near.close()
        client.far.close()
        self.write(client.ends)

    def agent(self, **changes: object) -> Agent:
        return Agent(self.settings._replace(**changes), self.told.append)  # type: ignore[arg-type]

    def close(self) -> None:
        for client in self.clients:
            client.near.close()
            client.far.close()
        self.listener.close()
        release(str(self.log))


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    found = Gate(tmp_path)
    yield found
    found.close()


@pytest.fixture
def start(gate: Gate) -> Iterator[Callable[..., Agent]]:
    """An agent that does something when `run` or `rest` is called, and else nothing."""
    with contextlib.ExitStack() as stack:

        def begin(**changes: object) -> Agent:
            agent = gate.agent(**changes)
            stack.callback(agent.close)
            agent.turn()
            return agent

        yield begin


def run(agent: Agent, is_so: Callable[[], object]) -> float:
    """Let the agent work until something is so; return after how many seconds it was."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < SOON, agent.status()
        select.select(agent.descriptors(), [], [], min(agent.turn(), 0.05))
    return time.monotonic() - began


def rest(agent: Agent) -> None:
    """Let the agent look at everything some more times."""
    for _turn in range(TURNS):
        select.select(agent.descriptors(), [], [], min(agent.turn(), 0.1))


def token(number: int | str) -> str:
    return f"token-of-the-agent-{number}"


# Ends


def test_a_file_that_is_removed_by_hand_ends_the_sessions_of_its_token_and_no_others(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1), token(2))
    agent = start()
    mine, other = [gate.connect(token(1)) for _number in range(3)], gate.connect(token(2))
    rest(agent)
    assert all(client.is_open for client in gate.clients)
    (gate.store / token(1)).unlink()
    run(agent, lambda: not any(client.is_open for client in mine))
    rest(agent)
    assert other.is_open


def test_a_token_ends_at_its_second_with_its_sessions(gate: Gate, start: Callable[..., Agent]) -> None:
    agent = start()
    end = int(time.time()) + 2
    gate.issue(token(1), end)
    gate.issue(token(2), end + 3600)
    mine, other = gate.connect(token(1)), gate.connect(token(2))
    run(agent, lambda: not mine.is_open)
    late = time.time() - end
    assert 0 <= late < 1.0
    assert not (gate.store / token(1)).exists()
    rest(agent)
    assert other.is_open and (gate.store / token(2)).exists()


def test_a_token_that_is_prolonged_before_its_end_goes_on(gate: Gate, start: Callable[..., Agent]) -> None:
    end = int(time.time()) + 2
    gate.issue(token(1), end)
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    gate.issue(token(1), end + 3600)
    run(agent, lambda: time.time() > end + 0.5)
    assert client.is_open and (gate.store / token(1)).exists()


def test_a_session_that_is_logged_after_its_token_has_gone_is_ended(gate: Gate, start: Callable[..., Agent]) -> None:
    agent = start()
    rest(agent)
    client = gate.connect(token("removed-meanwhile"))
    run(agent, lambda: not client.is_open)


def test_sessions_that_outlived_their_token_before_the_first_start_are_left_for_ever(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1))
    left, kept = gate.connect(token("gone")), gate.connect(token(1))
    agent = start()
    rest(agent)
    assert left.is_open and kept.is_open
    again = start()
    rest(again)
    (gate.store / token(1)).unlink()
    later = gate.connect(token("gone"))
    run(again, lambda: not (later.is_open or kept.is_open))
    assert left.is_open


def test_a_token_that_was_removed_while_no_agent_ran_ends_with_the_next_start(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1))
    start()
    client = gate.connect(token(1))
    (gate.store / token(1)).unlink()
    agent = start()
    run(agent, lambda: not client.is_open)


def test_an_agent_that_was_kept_from_looking_gives_a_revoker_no_more_time(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    with open_store(str(gate.store)) as store:
        store.take_away([token(1)], owed=True)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + agent_module.REVOKER_TIME)
    monkeypatch.setattr(agent._clock, "was_set", lambda: False)
    agent.turn()
    assert not agent._revoking
    run(agent, lambda: not client.is_open)


def test_with_end_on_removal_off_only_wss_token_and_the_end_of_a_token_end_sessions(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1), token(2))
    agent = start(end_on_removal=False)
    by_hand, revoked = gate.connect(token(1)), gate.connect(token(2))
    end = int(time.time()) + 1
    gate.issue(token(3), end)
    expired = gate.connect(token(3))
    (gate.store / token(1)).unlink()
    with open_store(str(gate.store)) as store:
        store.take_away([token(2)], owed=True)
    run(agent, lambda: not (revoked.is_open or expired.is_open))
    rest(agent)
    assert by_hand.is_open


def test_a_token_issued_anew_keeps_its_new_sessions_and_loses_its_former_ones(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1))
    agent = start()
    former = gate.connect(token(1))
    rest(agent)
    (gate.store / token(1)).unlink()
    gate.touch(token(1))
    run(agent, lambda: not former.is_open)
    new = gate.connect(token(1))
    rest(agent)
    assert new.is_open


def test_a_token_issued_anew_just_after_the_agent_looked_keeps_its_new_sessions(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    agent = start()
    former = gate.connect(token(1))
    rest(agent)
    look, new = agent.watch.look, []

    def look_and_hang() -> Changes:
        """A busy machine, or SIGSTOP, keeps the agent from going on."""
        changes = look()
        if changes.gone and not new:
            gate.touch(token(1))
            time.sleep(2 * SETTLE)
            new.append(gate.connect(token(1)))
            time.sleep(2 * SETTLE)
        return changes

    (gate.store / token(1)).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(agent.watch, "look", look_and_hang)
        run(agent, lambda: new and not former.is_open)
    rest(agent)
    assert new[0].is_open


def test_removed_tokens_are_forgotten_once_their_sessions_are_gone(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "SECOND_LOOK", 0)
    agent = start()
    gate.issue(token(1), time.time() - 5)
    client = gate.connect(token(1))
    run(agent, lambda: not client.is_open)
    aged = time.time() - 60
    with contextlib.suppress(FileNotFoundError):
        os.utime(gate.store / ENDED / token(1), (aged, aged))
    # A record counts for half a minute by its change time, which nobody can set: the clock is.
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 60)
    run(agent, lambda: not (gate.store / ENDED).exists())


# The store as a whole


def test_a_store_that_is_moved_away_cuts_nobody_and_is_reported(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    away = gate.store.with_name("away")
    gate.store.rename(away)
    run(agent, lambda: "is not there" in agent.status())
    rest(agent)
    assert client.is_open
    away.rename(gate.store)
    run(agent, lambda: "is not there" not in agent.status())
    rest(agent)
    assert client.is_open and not agent.has_another_store
    (gate.store / token(1)).unlink()
    run(agent, lambda: not client.is_open)


def test_another_folder_in_place_of_the_store_cuts_nobody(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    gate.store.rename(gate.store.with_name("away"))
    gate.store.mkdir(0o710)
    run(agent, lambda: agent.has_another_store)
    rest(agent)
    assert client.is_open
    # It is the store now: what is removed of it counts.
    gate.touch(token(2))
    later = gate.connect(token(2))
    rest(agent)
    (gate.store / token(2)).unlink()
    run(agent, lambda: not later.is_open)


def test_a_link_in_place_of_the_store_is_not_followed(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    gate.store.rename(gate.store.with_name("away"))
    gate.store.symlink_to("/")
    run(agent, lambda: "is not there" in agent.status())
    rest(agent)
    assert client.is_open


# What fails


def test_when_connections_cannot_be_closed_they_are_tried_until_they_are(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    real, calls = sockets._ss, []

    def failing(arguments: list[str]) -> tuple[str, str]:
        calls.append(arguments)
        if len(calls) <= 7:
            raise sockets.SocketError("ss failed with 255: no words")
        return real(arguments)

    monkeypatch.setattr(sockets, "_ss", failing)
    (gate.store / token(1)).unlink()
    run(agent, lambda: len(calls) == 6)
    assert client.is_open and "ss failed with 255" in agent.status()
    run(agent, lambda: not client.is_open)
    run(agent, lambda: "ss failed" not in agent.status())


def test_a_session_that_cannot_be_ended_holds_up_no_other(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1), token(2))
    agent = start()
    stubborn = gate.connect(token(1))
    port = str(stubborn.near.getsockname()[1])
    real = sockets.close_sockets
    spared = []

    def sparing(ends: list[tuple[str, str]]) -> str:
        spared.extend(end for end in ends if end[1].endswith(port))
        return real([end for end in ends if not end[1].endswith(port)])

    monkeypatch.setattr(sockets, "close_sockets", sparing)
    (gate.store / token(1)).unlink()
    run(agent, lambda: len(spared) > 4)
    other = gate.connect(token(2))
    rest(agent)
    (gate.store / token(2)).unlink()
    run(agent, lambda: not other.is_open)
    run(agent, lambda: len(agent.ending.owed) == 1)
    assert stubborn.is_open


def test_a_file_that_cannot_be_removed_ends_its_sessions_and_is_reported(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename, os.unlink

    def refusing(number: int) -> Callable[..., None]:
        def call(path: str, *arguments: object, **options: object) -> None:
            if path == token(1):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
            real[number](path, *arguments, **options)  # type: ignore[operator]

        return call

    agent = start()
    gate.issue(token(1), time.time() - 5)
    gate.issue(token(2), time.time() - 5)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refusing(0))
        patched.setattr(os, "unlink", refusing(1))
        clients = [gate.connect(token(1)), gate.connect(token(2))]
        run(agent, lambda: not any(client.is_open for client in clients))
        assert "1 expired tokens cannot be removed" in agent.status()
        assert token(1) not in agent.status()
        # nginx still lets it in: not for long.
        late = gate.connect(token(1))
        run(agent, lambda: not late.is_open)
    run(agent, lambda: not (gate.store / token(1)).exists())
    assert "cannot be removed" not in agent.status()


def test_more_files_at_once_than_the_kernel_keeps_events_of_are_all_seen(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1))
    agent = start()
    client, other = gate.connect(token(1)), gate.connect(token(2))
    gate.touch(token(2))
    rest(agent)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit + 10):
        (gate.store / f"{token(number)}-of-a-flood").touch()
    (gate.store / token(1)).unlink()
    run(agent, lambda: not client.is_open)
    assert other.is_open


@pytest.mark.parametrize("missing", ["inotify", "timer", "both"])
def test_without_inotify_or_a_timer_it_works_as_well(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing != "timer":
        monkeypatch.setattr(agent_module.Inotify, "or_none", lambda: None)
    if missing != "inotify":
        monkeypatch.setattr(agent_module.WallTimer, "or_none", lambda: None)
    gate.touch(token(1), token(2))
    agent = start()
    assert ("without inotify" in agent.status()) == (missing != "timer")
    mine, other = gate.connect(token(1)), gate.connect(token(2))
    end = int(time.time()) + 1
    gate.issue(token(3), end)
    expired = gate.connect(token(3))
    rest(agent)
    (gate.store / token(1)).unlink()
    run(agent, lambda: not (mine.is_open or expired.is_open))
    late = gate.connect(token("gone"))
    run(agent, lambda: not late.is_open)
    assert other.is_open


@pytest.mark.parametrize("step", [86400, -86400])
def test_a_clock_that_is_set_ends_what_has_ended_by_it_and_nothing_else(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    agent = start()
    gate.issue(token(1), time.time() + 3600)
    gate.touch(token(2))
    mine, other = gate.connect(token(1)), gate.connect(token(2))
    rest(agent)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + step)
    if step > 0:
        run(agent, lambda: not mine.is_open)
    rest(agent)
    assert mine.is_open == (step < 0) and other.is_open
    (gate.store / token(2)).unlink()
    run(agent, lambda: not other.is_open)


@pytest.mark.parametrize("change", ["rotated", "copied and truncated", "removed", "shortened by somebody else"])
def test_whatever_becomes_of_the_log_new_sessions_are_seen(
    gate: Gate, start: Callable[..., Agent], change: str
) -> None:
    gate.touch(token(1), token(2))
    agent = start()
    former, other = gate.connect(token(1)), gate.connect(token(2))
    rest(agent)
    release(str(gate.log))
    lines = gate.log.read_text()
    if change == "rotated":
        gate.log.rename(f"{gate.log}.1")
        gate.log.touch(mode=0o600)
    elif change == "copied and truncated":
        os.truncate(gate.log, 0)
    elif change == "removed":
        gate.log.unlink()
        rest(agent)
        gate.log.touch(mode=0o600)
    else:
        gate.log.write_text("".join(f"K{line[1:]}\n" for line in lines.splitlines()))
    gate.touch(token(3))
    late = gate.connect(token(3))
    rest(agent)
    (gate.store / token(3)).unlink()
    run(agent, lambda: not late.is_open)
    if change in ("rotated", "shortened by somebody else"):
        # Those that stand in a log that is there are known on.
        (gate.store / token(1)).unlink()
        run(agent, lambda: not former.is_open)
    assert other.is_open


def test_the_log_stays_below_its_limit_and_open_sessions_stay_in_it(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.touch(token(1))
    agent = start(log_limit=65536)
    client = gate.connect(token(1))
    if not _can_be_shortened(gate.log):
        pytest.skip("nothing can be taken out of a file of this file system")
    number = 0
    while gate.log.stat().st_size < 300000:
        number += 1
        line = f"S {time.time():.3f} {os.getpid()} 9{number} 1 127.0.0.1 1 127.0.0.1 2 127.0.0.1 {token(1)}\n"
        gate.write(line + f"E {time.time():.3f} {os.getpid()} 9{number} 1 101\n")
    run(agent, lambda: agent.follower is not None and 0 < agent.follower.size < 65536)
    (gate.store / token(1)).unlink()
    run(agent, lambda: not client.is_open)


def test_a_log_that_was_given_to_the_workers_is_taken_back(gate: Gate, start: Callable[..., Agent]) -> None:
    agent = start()
    rest(agent)
    release(str(gate.log))
    os.chown(gate.log, 33, 33)
    gate.log.chmod(0o644)
    run(agent, lambda: (gate.log.stat().st_uid, gate.log.stat().st_mode & 0o777) == (0, 0o600))


def _can_be_shortened(log: Path) -> bool:
    with log.with_name("probe").open("wb") as probe:
        probe.write(b"x" * (1 << 16))
        probe.flush()
        done = subprocess.run(
            ["fallocate", "--punch-hole", "--length", "4096", probe.name], stderr=subprocess.DEVNULL, check=False
        )
    return done.returncode == 0


def test_while_somebody_has_the_store_s_lock_removals_end_their_sessions(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    """A long run of wss_token, for example."""
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    gate.issue(token(2), time.time() + 4)
    expiring = gate.connect(token(2))
    run(agent, lambda: "1 tokens end soon" in agent.status())
    with open_store(str(gate.store)):
        run(agent, lambda: "is locked by another run" in agent.status())
        (gate.store / token(1)).unlink()
        run(agent, lambda: not client.is_open)
        assert expiring.is_open
    run(agent, lambda: not expiring.is_open)
    run(agent, lambda: "is locked" not in agent.status())


def test_a_link_and_a_folder_named_like_tokens_hold_up_nothing(gate: Gate, start: Callable[..., Agent]) -> None:
    agent = start()
    (gate.store / token("link")).symlink_to("/etc/passwd")
    (gate.store / token("folder")).mkdir()
    gate.issue(token(1), time.time() + 1)
    client = gate.connect(token(1))
    run(agent, lambda: not client.is_open)
    assert agent.errors == 0
    assert sorted(path.name for path in gate.store.iterdir() if path.name != ENDED) == [token("folder"), token("link")]


def test_what_cannot_be_read_stops_the_agent_for_a_moment_only(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    real = agent_module.open_store

    def failing(*arguments: object, **options: object) -> object:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "a token's name")

    monkeypatch.setattr(agent_module, "open_store", failing)
    (gate.store / token(1)).unlink()
    run(agent, lambda: "Input/output error" in agent.status())
    assert "a token's name" not in agent.status()
    monkeypatch.setattr(agent_module, "open_store", real)
    run(agent, lambda: not client.is_open)
    run(agent, lambda: "Input/output error" not in agent.status())


def test_a_look_through_the_store_asks_for_each_file_once(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what the agent costs at rest: of a million files it takes seconds."""
    gate.issue(token(1), time.time() + 60)
    real, looks = TokenStore._entries, []

    def counting(store: TokenStore, *arguments: object) -> object:
        looks.append(store)
        return real(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TokenStore, "_entries", counting)
    agent = start()
    assert len(looks) == 1
    assert "1 tokens end soon" in agent.status()


def test_what_ends_during_a_look_through_a_large_store_ends_in_time(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million files it takes seconds: nothing waits for its end."""
    far = int(time.time()) + 86400
    for number in range(100, 160):
        gate.issue(token(number), far)
        os.utime(gate.store / token(number), (far, far))
    gate.touch(token(1))
    client = gate.connect(token(1))
    agent = start()
    rest(agent)
    monkeypatch.setattr(look_ahead, "FILES_AT_ONCE", 10)
    monkeypatch.setattr(look_ahead, "SCAN_EVERY", 0.2)
    agent._ahead.restart(time.time())
    real, ended = TokenStore.ends, []

    def slow(store: TokenStore, since: float, until: float, part: int) -> Iterator[object]:
        for number, some in enumerate(real(store, since, until, part)):
            if number == 2:
                (gate.store / token(1)).unlink()
            yield some
        ended.append(client.is_open)

    monkeypatch.setattr(TokenStore, "ends", slow)
    run(agent, lambda: ended)
    assert ended[0] is False
    # One that comes into sight only now
    later = time.time() + 600
    os.utime(gate.store / token(120), (later, later))
    run(agent, lambda: "1 tokens end soon" in agent.status())


def test_a_store_that_goes_during_a_look_is_not_kept_open(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ahead, "FILES_AT_ONCE", 1)
    gate.touch(*(token(number) for number in range(20)))
    agent = start()
    monkeypatch.setattr(agent._ahead, "_next", 0.0)
    agent.turn()
    away = gate.store.with_name("away")
    assert str(gate.store) in _open_folders()
    gate.store.rename(away)
    run(agent, lambda: "is not there" in agent.status())
    assert str(away) not in _open_folders()


def _open_folders() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return found


def test_a_look_through_the_store_finds_what_no_event_told_of(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "QUARANTINE_GRACE", 0.0)
    monkeypatch.setattr("ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store.QUARANTINE_GRACE", 0.0)
    agent = start()
    monkeypatch.setattr(agent.kernel, "read", lambda: [])
    # A line of its own is no end: it is looked at once, and not at each look again.
    (gate.store / token("blank")).write_text("\n")
    (gate.store / token("half")).write_text("{half of")
    gate.issue(token(1), time.time() - 5)
    gate.issue(token(2), time.time() + 600)
    late = gate.connect(token(1))
    soon = time.time() + 600
    os.utime(gate.store / token(2), (soon, soon))
    rest(agent)
    assert (gate.store / token(1)).exists()
    monkeypatch.setattr(look_ahead, "SCAN_EVERY", 0.2)
    agent._ahead.restart(0.0)
    run(agent, lambda: (gate.store / f".corrupt-{token('half')}").exists() and not late.is_open)
    assert not (gate.store / token(1)).exists() and (gate.store / token("blank")).exists()
    run(agent, lambda: "1 tokens end soon" in agent.status())
    scans = []
    monkeypatch.setattr(agent, "_scan", lambda: scans.append(time.time()))
    looks = []
    real = TokenStore.ends
    monkeypatch.setattr(TokenStore, "ends", lambda *arguments: looks.append(1) or real(*arguments))
    run(agent, lambda: len(looks) > 2)
    assert scans == []


# The process


def command(gate: Gate) -> list[str]:
    collections = Path(agent_module.__file__).parents[6]
    words = f"import sys; sys.path.insert(0, {str(collections)!r}); "
    words += "from ansible_collections.wssgate.nginx.plugins.module_utils._agent.service import main; "
    return [
        sys.executable, "-c", f"{words}sys.exit(main(sys.argv[1:]))", "--store", str(gate.store),
        "--session-log", str(gate.log), "--state", str(gate.state),
    ]  # fmt: skip


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(SOON)
        yield receiver


def test_the_service_reports_that_it_is_ready_that_it_lives_and_that_it_stops(
    gate: Gate, notices: socket.socket
) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": notices.getsockname(), "WATCHDOG_USEC": "300000"}
    with subprocess.Popen(command(gate), env=environment) as process:
        try:
            assert notices.recv(4096).startswith(b"READY=1\nSTATUS=0 sessions")
            for _time in range(3):
                while notices.recv(4096) != b"WATCHDOG=1":
                    pass
            process.send_signal(signal.SIGTERM)
            while notices.recv(4096) != b"STOPPING=1":
                pass
            assert process.wait(SOON) == 0
        finally:
            process.kill()


def test_what_changed_right_after_a_report_is_reported_though_nothing_happens_then(
    gate: Gate, notices: socket.socket
) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": notices.getsockname()}
    gate.touch(token(1))
    with subprocess.Popen(command(gate), env=environment) as process:
        try:
            assert notices.recv(4096).startswith(b"READY=1\nSTATUS=0 sessions")
            for number in range(1, 4):
                gate.connect(token(1))
                while not notices.recv(4096).startswith(b"STATUS=%d sessions" % number):
                    pass
        finally:
            process.kill()


def test_a_second_agent_does_not_begin(gate: Gate, notices: socket.socket) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": notices.getsockname()}
    with subprocess.Popen(command(gate), env=environment) as process:
        try:
            notices.recv(4096)
            second = subprocess.run(command(gate), capture_output=True, text=True, timeout=SOON, check=False)
            assert second.returncode == 1
            assert f"another agent is at work: process {process.pid}" in second.stdout
        finally:
            process.kill()


def test_killed_at_any_moment_nothing_is_left_open_or_closed_wrongly(gate: Gate) -> None:
    """A history of random steps, with an agent that is killed again and again. At its end all is as it should be."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    fates: dict[str, bool] = {}
    process: subprocess.Popen[bytes] | None = None

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command(gate), stdout=subprocess.DEVNULL)

    try:
        process = begin()
        # A first agent has seen the store: from then on everything counts.
        _wait(lambda: (gate.state / "left-open.json").exists())
        for step in range(60):
            name = token(step)
            if chance.random() < 0.5:
                gate.issue(name, time.time() + chance.choice([1, 2, 3600]))
            else:
                gate.touch(name)
            for _number in range(chance.randrange(1, 3)):
                gate.connect(name)
            if chance.random() < 0.4:
                victim = chance.choice(sorted(path.name for path in gate.store.iterdir() if path.is_file()) or [name])
                with contextlib.suppress(FileNotFoundError):
                    (gate.store / victim).unlink()
                    fates[victim] = False
            if chance.random() < 0.25:
                process.kill()
                process.wait()
                process = begin()
            time.sleep(chance.random() * 0.05)
        _wait(lambda: all(_is_as_it_should_be(gate, client) for client in gate.clients))
        # And it stays so: a listing of the tokens whose end is near is over by then.
        assert all(_is_as_it_should_be(gate, client) for client in gate.clients), f"seed {seed}"
        assert any(client.is_open for client in gate.clients) and not all(client.is_open for client in gate.clients)
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _is_as_it_should_be(gate: Gate, client: Client) -> bool:
    path = gate.store / client.token
    try:
        ends = json.loads(path.read_text() or "{}").get("expires_at")
    except FileNotFoundError:
        return not client.is_open
    if ends is not None and ends <= time.time() + 2:
        return False  # not over yet
    return client.is_open


def _wait(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 3 * SOON
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


# A gate in trouble


def test_without_a_store_it_sleeps_although_something_is_due(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.issue(token(1), time.time() + 1)
    agent = start()
    gate.store.rename(gate.store.with_name("away"))
    end = time.time() + 1.5
    turns = 0
    while time.time() < end:
        select.select(agent.descriptors(), [], [], agent.turn())
        turns += 1
    assert turns < 20
    gate.store.with_name("away").rename(gate.store)
    run(agent, lambda: not (gate.store / token(1)).exists())


def test_a_token_that_could_not_be_removed_and_is_prolonged_goes_on(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = start()
    gate.issue(token(1), time.time() - 1)
    with monkeypatch.context() as patch:

        def refuse(*_arguments: object, **_options: object) -> None:
            raise OSError(errno.EPERM, "no")

        patch.setattr("os.unlink", refuse)
        patch.setattr("os.rename", refuse)
        run(agent, lambda: "cannot be removed" in agent.status())
    gate.issue(token(1), time.time() + 3600)
    rest(agent)
    client = gate.connect(token(1))
    rest(agent)
    assert client.is_open and "cannot be removed" not in agent.status()


def test_where_the_kernel_has_no_watch_left_the_store_is_looked_at(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    with monkeypatch.context() as patch:

        def refuse(*_arguments: object) -> int:
            raise OSError(errno.ENOSPC, "no")

        patch.setattr(agent_module.Inotify, "add", refuse)
        agent = start()
        assert "twice a second" in agent.status()
        client = gate.connect(token(1))
        gate.issue(token(2), time.time() + 1)
        run(agent, lambda: not (gate.store / token(2)).exists())
        (gate.store / token(1)).unlink()
        run(agent, lambda: not client.is_open)
    rest(agent)
    run(agent, lambda: "twice a second" not in agent.status())


def test_a_second_name_for_a_file_and_a_file_that_stays_open_end_in_time(
    gate: Gate, start: Callable[..., Agent], tmp_path: Path
) -> None:
    agent = start()
    text = json.dumps({"subject": "somebody", "issued_at": 1, "expires_at": int(time.time()) + 1})
    (tmp_path / "elsewhere").write_text(text)
    os.link(tmp_path / "elsewhere", gate.store / token(1))
    with (gate.store / token(2)).open("w") as stream:
        stream.write(text)
        stream.flush()
        run(agent, lambda: not (gate.store / token(1)).exists() and not (gate.store / token(2)).exists())


def test_a_session_that_bears_the_numbers_of_one_left_open_is_ended_as_any(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    former = gate.connect(token("gone"))
    start()
    assert former.is_open
    # After a boot nginx numbers its connections from the beginning. No end of the former one was logged.
    gate.clients.clear()
    gate.touch(token(1))
    agent = start()
    client = gate.connect(token(1))
    rest(agent)
    (gate.store / token(1)).unlink()
    run(agent, lambda: not client.is_open)
    former.near.close()
    former.far.close()


def test_sessions_left_open_stay_so_while_the_log_is_away(gate: Gate, start: Callable[..., Agent]) -> None:
    client = gate.connect(token("gone"))
    start()
    release(str(gate.log))
    away = gate.log.with_name("away")
    gate.log.rename(away)
    start()
    away.rename(gate.log)
    rest(start())
    assert client.is_open


def test_a_token_that_goes_and_comes_between_two_looks_loses_its_former_sessions(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.touch(token(1))
    agent = start()
    former = gate.connect(token(1))
    rest(agent)
    judge = agent._judge

    def issue_again(sessions: object) -> None:
        gate.touch(token(1))
        judge(sessions)  # type: ignore[arg-type]

    (gate.store / token(1)).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(agent, "_judge", issue_again)
        agent.turn()
    run(agent, lambda: not former.is_open)
    # A worker may be so late with its line about a session of the former one.
    issued = (gate.store / token(1)).stat().st_ctime
    run(agent, lambda: time.time() > issued + 2 * SETTLE)
    later = gate.connect(token(1))
    rest(agent)
    assert later.is_open


def test_a_file_without_readable_json_is_set_aside_in_a_moment(
    gate: Gate, start: Callable[..., Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "QUARANTINE_GRACE", 0.5, raising=False)
    monkeypatch.setattr("ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store.QUARANTINE_GRACE", 0.5)
    agent = start()
    (gate.store / token(1)).write_text("{half of")
    run(agent, lambda: (gate.store / f".corrupt-{token(1)}").exists())


def test_a_line_with_no_number_for_a_worker_or_a_port_stops_nothing(gate: Gate, start: Callable[..., Agent]) -> None:
    gate.touch(token(1))
    agent = start()
    for worker, port in (("²", "9"), ("9" * 5000, "9"), (str(os.getpid()), "99999999")):
        gate.write(f"S 1.000 {worker} 1 1 127.0.0.1 {port} 127.0.0.1 2 127.0.0.1 {token('gone')}\n")
    client = gate.connect(token(1))
    rest(agent)
    (gate.store / token(1)).unlink()
    run(agent, lambda: not client.is_open)


def test_the_folder_of_the_log_is_found_again_where_another_has_its_place(
    gate: Gate, start: Callable[..., Agent]
) -> None:
    gate.touch(token(1))
    agent = start()
    rest(agent)
    gate.log.parent.rename(gate.log.parent.with_name("away"))
    gate.log.parent.mkdir(mode=0o700)
    gate.log.touch(mode=0o600)
    client = gate.connect(token("gone"))
    run(agent, lambda: not client.is_open)
    release(str(gate.log.parent.with_name("away") / gate.log.name))


def test_while_somebody_has_the_log_s_lock_the_agent_goes_on(gate: Gate, start: Callable[..., Agent]) -> None:
    agent = start()
    rest(agent)
    with LogFile(str(gate.log), shorten=True):
        client = gate.connect(token("gone"))
        # systemd would end an agent that is silent for longer.
        assert run(agent, lambda: "is locked by another run" in agent.status()) < SOON
    run(agent, lambda: not client.is_open)


def test_without_inotify_a_removal_in_the_tick_of_the_last_look_is_seen(gate: Gate) -> None:
    watch = StoreWatch(str(gate.store), None)
    gate.touch(token(1))
    watch.look()
    before = gate.store.stat()
    (gate.store / token(1)).unlink()
    os.utime(gate.store, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watch.look().gone == {token(1)}


def test_a_long_log_is_no_silence_to_systemd(gate: Gate) -> None:
    """Of some hundred MiB the reading takes longer than the watchdog waits."""
    line = f"S {time.time():.3f} {os.getpid()} 1 1 127.0.0.1 1 127.0.0.1 2 127.0.0.1 {token(1)}\n"
    line += f"E {time.time():.3f} {os.getpid()} 1 1 101\n"
    agent = gate.agent(log_limit=1 << 20)
    try:
        agent.turn()
        gate.write(line * ((6 << 20) // len(line)))
        pings: list[int] = []
        agent.ping = lambda: pings.append(1)
        agent.turn()
        few = len(pings)
        time.sleep(0.2)
        pings.clear()
        agent.turn()
        # As it is read, and as it is shortened
        assert max(few, len(pings)) >= 12
    finally:
        agent.close()
