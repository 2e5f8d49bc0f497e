# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates that follow a hub: what is issued or revoked anywhere is so on each of them, whatever fails meanwhile.

The hub is a real Redis, the agents are processes. Sessions are connections of this machine and lines in session logs.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import RefusedError
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store
from ansible_collections.wssgate.nginx.plugins.modules import wss_hub_token

from lib.agent_process import AgentProcess
from lib.hub_server import FLEET, HubServer
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")

ISSUERS = {"app": Rules(3600, ("client-",), 1000), "web": Rules(60)}


class Session:
    """One session: both ends of its connection."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
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
    """A store, a session log and an agent."""

    def __init__(self, root: Path, name: str, hub: HubServer) -> None:
        self.name, self.root = name, root / name
        self.store, self.log = self.root / "tokens", self.root / "log" / "sessions.log"
        for folder, mode in ((self.root, 0o700), (self.store, 0o710), (self.log.parent, 0o700)):
            folder.mkdir(mode=mode)
        self.log.touch(mode=0o600)
        self.agent = AgentProcess(self.root / "agent", self.store, self.log)
        self.configure(hub.settings_of(name))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sessions: list[Session] = []

    def configure(self, found: settings.Settings) -> None:
        file = self.agent.state / settings.NAME
        file.write_text(settings.text_of(found))
        file.chmod(0o600)

    def has(self, *tokens: str) -> bool:
        return all((self.store / token).exists() for token in tokens)

    def document(self, token: str) -> dict[str, object]:
        return dict(json.loads((self.store / token).read_text()))

    def connect(self, token: str) -> Session:
        near = socket.create_connection(self.listener.getsockname())
        far, _address = self.listener.accept()
        port, server = near.getsockname()[1], self.listener.getsockname()[1]
        session = Session(near, far)
        self.sessions.append(session)
        worker = f"{os.getpid()} {len(self.sessions)} 1"
        with self.log.open("a") as stream:
            stream.write(f"S {time.time():.3f} {worker} 127.0.0.1 {port} 127.0.0.1 {server} 127.0.0.1 {token}\n")
        return session

    def follows(self) -> bool:
        return "follows the hub" in self.agent.status

    def close(self) -> None:
        if self.agent.is_running:
            self.agent.kill()
        for session in self.sessions:
            session.near.close()
            session.far.close()
        self.listener.close()
        release(str(self.log))


class Fleet:
    """A hub and two gates."""

    def __init__(self, root: Path) -> None:
        # Entries of any size, as a server of the user's own takes them
        lines = ["proto-max-bulk-len 512mb", "client-query-buffer-limit 1gb", "maxmemory-clients 0", "maxmemory 1gb"]
        self.hub = HubServer(root / "hub", ["g1", "g2"], ISSUERS, lines)
        self.hub.start()
        self.one, self.two = (Gate(root, name, self.hub) for name in ("g1", "g2"))
        self.gates = (self.one, self.two)

    def start(self, *gates: Gate) -> None:
        for gate in gates or self.gates:
            gate.agent.start()
        for gate in gates or self.gates:
            wait_for(gate.follows)

    def revoke(self, token: str) -> str:
        return self.hub.operate(*records.revoke(full_fingerprint(token)))

    def confirmed(self, gate: Gate, place: str, stream: str = records.OPERATE) -> bool:
        """Whether a gate has reported that it has come past an entry."""
        found = records.parse_id(self.hub.reported(gate.name).get(stream, "0-0"))
        wanted = records.parse_id(place)
        return found is not None and wanted is not None and found >= wanted

    def everywhere(self, *tokens: str) -> bool:
        return all(gate.has(*tokens) for gate in self.gates)

    def nowhere(self, *tokens: str) -> bool:
        return not any(gate.has(token) for gate in self.gates for token in tokens)

    def close(self) -> None:
        for gate in self.gates:
            gate.close()
        self.hub.kill()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path)
    try:
        yield found
    finally:
        found.close()


def token(number: int | str) -> str:
    return f"token-of-the-fleet-{number}"


def test_what_an_application_issues_is_on_all_gates_and_what_is_revoked_on_none_and_its_sessions_end(
    fleet: Fleet,
) -> None:
    fleet.start()
    before = time.time()
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-2", 100)
    wait_for(lambda: fleet.everywhere(token(1), token(2)))
    found = fleet.one.document(token(1))
    assert found["subject"] == "client-1"
    assert before + 99 <= float(str(found["expires_at"])) <= time.time() + 101
    assert found == fleet.two.document(token(1))
    mine = [gate.connect(token(1)) for gate in fleet.gates]
    others = [gate.connect(token(2)) for gate in fleet.gates]
    place = fleet.revoke(token(1))
    for gate in fleet.gates:
        wait_for(lambda gate=gate: fleet.confirmed(gate, place))
    assert fleet.nowhere(token(1))
    wait_for(lambda: not any(session.is_open for session in mine), 1.5)
    assert all(session.is_open for session in others) and fleet.everywhere(token(2))


def test_a_gate_that_was_down_admits_nothing_that_was_revoked_meanwhile(fleet: Fleet) -> None:
    fleet.start()
    fleet.hub.issue("app", token(1), "client-1", 100)
    wait_for(lambda: fleet.everywhere(token(1)))
    fleet.two.agent.kill()
    session = fleet.two.connect(token(1))
    place = fleet.revoke(token(1))
    late = fleet.hub.issue("app", token(2), "client-2", 100)
    wait_for(lambda: fleet.confirmed(fleet.one, place))
    assert fleet.two.has(token(1)) and not fleet.confirmed(fleet.two, place)
    fleet.start(fleet.two)
    wait_for(lambda: fleet.confirmed(fleet.two, place) and fleet.confirmed(fleet.two, late, "issue:app"))
    assert fleet.nowhere(token(1)) and fleet.everywhere(token(2))
    wait_for(lambda: not session.is_open)


def test_a_file_that_is_removed_by_hand_is_revoked_on_all_gates(fleet: Fleet) -> None:
    fleet.start()
    (fleet.two.store / token("local")).touch()
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-1", 100)
    wait_for(lambda: fleet.everywhere(token(1), token(2)))
    session = fleet.two.connect(token(1))
    (fleet.one.store / token(1)).unlink()
    wait_for(lambda: fleet.nowhere(token(1)))
    wait_for(lambda: not session.is_open)
    assert fleet.everywhere(token(2)) and fleet.two.has(token("local"))
    # And while no agent runs, too: it had come past the issue.
    fleet.one.agent.kill()
    (fleet.one.store / token(2)).unlink()
    fleet.start(fleet.one)
    wait_for(lambda: fleet.nowhere(token(2)))


def test_a_removal_counts_on_a_hub_whose_clock_is_behind_that_of_the_former_primary(fleet: Fleet) -> None:
    fleet.start()
    ahead = f"{int(time.time() * 1000) + 20000}-0"
    fields = records.issue(token(1), "client-1", 100)
    fleet.hub.append(keys.operate(FLEET), fields, place=ahead)
    wait_for(lambda: fleet.everywhere(token(1)))
    (fleet.one.store / token(1)).unlink()
    wait_for(lambda: fleet.nowhere(token(1)))


def test_what_has_expired_is_no_revocation_and_neither_is_a_store_that_goes_as_a_whole(fleet: Fleet) -> None:
    fleet.start()
    short = fleet.hub.issue("app", token("short"), "client-1", 2)
    fleet.hub.issue("app", token("long"), "client-1", 100)
    wait_for(lambda: fleet.everywhere(token("long")))
    wait_for(lambda: fleet.nowhere(token("short")) and fleet.confirmed(fleet.one, short, "issue:app"))
    away = fleet.one.root / "away"
    fleet.one.store.rename(away)
    wait_for(lambda: "is not there" in fleet.one.agent.status)
    away.rename(fleet.one.store)
    wait_for(lambda: "is not there" not in fleet.one.agent.status)
    # The next report comes after whatever would have been published.
    mark = fleet.hub.reported("g1")["time"]
    wait_for(lambda: int(fleet.hub.reported("g1")["time"]) > int(mark) + 3000)
    assert fleet.everywhere(token("long"))
    assert fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) == 0


def test_a_hub_that_is_away_leaves_all_as_it_is_and_comes_back(fleet: Fleet) -> None:
    fleet.start()
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-1", 100)
    wait_for(lambda: fleet.everywhere(token(1), token(2)))
    fleet.hub.kill()
    wait_for(lambda: all("the hub" in gate.agent.status and "reached" in gate.agent.status for gate in fleet.gates))
    session = fleet.two.connect(token(1))
    assert fleet.everywhere(token(1), token(2)) and session.is_open
    (fleet.one.store / token(1)).unlink()
    wait_for(lambda: "revoking 1 tokens" in fleet.one.agent.words())
    # An agent that is killed now still has to tell the others.
    fleet.one.agent.kill()
    fleet.hub.start()
    fleet.start(fleet.one)
    wait_for(lambda: fleet.nowhere(token(1)), 60)
    wait_for(lambda: not session.is_open)
    assert fleet.everywhere(token(2))


def test_an_old_backup_of_the_hub_brings_nothing_back_that_was_revoked(fleet: Fleet) -> None:
    fleet.start()
    for number in range(3):
        fleet.hub.issue("app", token(number), f"client-{number}", 1000)
    wait_for(lambda: fleet.everywhere(*map(token, range(3))))
    copy = fleet.hub.backup()
    place = fleet.revoke(token(0))
    cut = fleet.hub.operate(*records.cut_off("client-1"))
    late = fleet.hub.issue("app", token("late"), "client-9", 1000)
    for gate in fleet.gates:
        wait_for(lambda gate=gate: fleet.confirmed(gate, cut) and fleet.confirmed(gate, late, "issue:app"))
    assert records.parse_id(place) is not None
    # One of them has not seen the hub before when it comes back.
    fleet.two.agent.kill()
    fleet.hub.restore(copy)
    wait_for(lambda: fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) >= 2, 60)
    fleet.start(fleet.two)
    wait_for(fleet.one.follows)
    assert fleet.nowhere(token(0), token(1)) and fleet.everywhere(token(2), token("late"))


def test_a_new_gate_has_everything_and_nothing_that_was_revoked(fleet: Fleet) -> None:
    fleet.start(fleet.one)
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-2", 100)
    place = fleet.hub.operate(*records.issue(token("standing"), "client-3"))
    fleet.hub.call(
        "HSET", keys.standing(FLEET), full_fingerprint(token("standing")),
        records.standing(records.parse_id(place) or (0, 0), token("standing"), "client-3", None), user=keys.OPERATOR,
    )  # fmt: skip
    fleet.hub.call("DEL", keys.operate(FLEET))  # as if it had been trimmed long ago
    fleet.revoke(token(2))
    fleet.start(fleet.two)
    wait_for(lambda: fleet.everywhere(token(1), token("standing")) and fleet.nowhere(token(2)))


def test_what_was_revoked_on_a_gate_stays_so_once_that_gate_is_taken_out_of_the_inventory(fleet: Fleet) -> None:
    fleet.start()
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-2", 100)
    wait_for(lambda: fleet.everywhere(token(1), token(2)))
    (fleet.two.store / token(1)).unlink()
    wait_for(lambda: fleet.nowhere(token(1)))
    fleet.two.agent.kill()
    fleet.one.agent.kill()
    fleet.one.configure(fleet.hub.settings_of("g1")._replace(gates=("g1",)))
    fleet.start(fleet.one)
    later = fleet.hub.issue("app", token(3), "client-3", 100)
    wait_for(lambda: fleet.confirmed(fleet.one, later, "issue:app") and fleet.one.has(token(3)))
    assert fleet.one.has(token(2)) and not fleet.one.has(token(1))


def test_a_file_made_by_hand_is_neither_replaced_nor_removed_but_by_a_revocation(fleet: Fleet) -> None:
    fleet.start()
    (fleet.one.store / token(1)).touch()
    place = fleet.hub.issue("app", token(1), "client-1", 100)
    wait_for(lambda: all(fleet.confirmed(gate, place, "issue:app") for gate in fleet.gates))
    assert (fleet.one.store / token(1)).read_text() == "" and fleet.two.document(token(1))["subject"] == "client-1"
    wait_for(lambda: "a file of the name is there" in fleet.one.agent.status)
    (fleet.one.store / token("only-here")).touch()
    fleet.revoke(token("only-here"))
    wait_for(lambda: fleet.nowhere(token("only-here")))
    fleet.revoke(token(1))
    wait_for(lambda: fleet.nowhere(token(1)))


def test_a_link_in_the_place_of_a_token_is_in_nobody_s_way(fleet: Fleet) -> None:
    (fleet.one.store / token(1)).symlink_to("/etc/passwd")
    fleet.start()
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.hub.issue("app", token(2), "client-1", 100)
    place = fleet.revoke(token(1))
    wait_for(lambda: fleet.everywhere(token(2)) and fleet.confirmed(fleet.one, place))
    assert (fleet.one.store / token(1)).is_symlink()


def test_a_store_that_others_hold_loses_nothing(fleet: Fleet) -> None:
    fleet.start()
    fleet.hub.issue("app", token(1), "client-1", 100)
    wait_for(lambda: fleet.everywhere(token(1)))
    with open_store(str(fleet.one.store)):
        place = fleet.revoke(token(1))
        wait_for(lambda: fleet.confirmed(fleet.two, place))
        wait_for(lambda: "locked by another run" in fleet.one.agent.status)
        assert fleet.one.has(token(1)) and not fleet.confirmed(fleet.one, place)
    wait_for(lambda: fleet.confirmed(fleet.one, place), 40)
    assert fleet.nowhere(token(1))


def test_an_issuer_s_user_can_append_to_its_stream_and_a_gate_s_to_its_own(fleet: Fleet) -> None:
    mine, other = keys.issue(FLEET, "app"), keys.issue(FLEET, "web")
    for words in (
        ("XADD", other, "*", "a", "b"), ("XADD", keys.operate(FLEET), "*", "a", "b"), ("XREAD", "STREAMS", mine, "0"),
        ("HGETALL", keys.standing(FLEET)), ("KEYS", "*"),
    ):  # fmt: skip
        _is_refused(fleet.hub, keys.issuer_user("app"), *words)
    for words in (
        ("XADD", mine, "*", "a", "b"), ("XADD", keys.operate(FLEET), "*", "a", "b"),
        ("XADD", keys.revoked(FLEET, "g2"), "*", "a", "b"), ("HSET", keys.standing(FLEET), "a", "b"),
        ("XTRIM", keys.operate(FLEET), "MAXLEN", "0"),
    ):  # fmt: skip
        _is_refused(fleet.hub, keys.gate_user("g1"), *words)


def _is_refused(hub: HubServer, user: str, *words: str) -> None:
    with pytest.raises(RefusedError, match="does not let this user"):
        hub.call(*words, user=user)


def test_a_hostile_issuer_harms_nobody_else(fleet: Fleet) -> None:
    fleet.start()
    good = fleet.hub.issue("web", token("good"), "anybody", 50)
    wait_for(lambda: fleet.everywhere(token("good")))
    stream, user = keys.issue(FLEET, "app"), keys.issuer_user("app")
    # Somebody else's token, longer; more than it may; what is no record; entries of many MiB and thousands of fields
    fleet.hub.issue("app", token("good"), "client-x", 3000)
    fleet.hub.issue("app", token("long"), "client-x", 3601)
    fleet.hub.issue("app", token("other"), "admin", 60)
    fleet.hub.append(stream, ["x" * 20_000_000, "y", "token", token("huge")], user)
    fleet.hub.append(stream, [word for number in range(100_000) for word in (f"f{number}", "v")], user)
    fleet.hub.append(stream, ["token", token("bytes"), "subject", "client-\x00", "ttl", "5"], user)
    ok = fleet.hub.issue("app", token("ok"), "client-1", 60)
    ahead = f"{int(time.time() * 1000) + 10**9}-0"
    fleet.hub.issue("app", token("ahead"), "client-1", 60, ahead)
    fleet.hub.issue("app", token("behind"), "client-1", 60)
    place = fleet.revoke(token("good"))
    wait_for(lambda: all(fleet.confirmed(gate, place) for gate in fleet.gates))
    wait_for(lambda: all(fleet.confirmed(gate, ok, "issue:app") for gate in fleet.gates))
    # The gate that was the first to see it has told the others.
    wait_for(lambda: sum(fleet.hub.call("XLEN", keys.revoked(FLEET, gate.name)) for gate in fleet.gates))
    assert fleet.everywhere(token("ok"))
    assert fleet.nowhere(*map(token, ("good", "long", "other", "huge", "bytes", "ahead", "behind")))
    assert records.parse_id(good) is not None
    # Trimmed by the issuer itself: a gate that starts does not wait for what is gone.
    fleet.hub.call("XADD", stream, "MAXLEN", "0", "*", "a", "b", user=user)
    fleet.two.agent.kill()
    fleet.start(fleet.two)
    assert fleet.nowhere(token("good")) and fleet.everywhere(token("ok"))


def test_nginx_is_told_once_a_gate_has_caught_up_and_a_dead_agent_takes_nothing_back(fleet: Fleet) -> None:
    marker = fleet.one.root / "run" / "caught-up"
    marker.parent.mkdir()
    fleet.one.configure(fleet.hub.settings_of("g1", marker=str(marker)))
    fleet.hub.issue("app", token(1), "client-1", 100)
    fleet.start()
    wait_for(marker.exists)
    fleet.one.agent.kill()
    assert marker.exists()
    # The host starts again, and the token was revoked meanwhile: it is gone by the time that anybody is let in.
    marker.unlink()
    fleet.revoke(token(1))
    fleet.hub.kill()
    fleet.one.agent.start()
    wait_for(lambda: "reached" in fleet.one.agent.status)
    assert fleet.one.has(token(1)) and not marker.exists()
    fleet.hub.start()
    wait_for(marker.exists, 60)
    assert not fleet.one.has(token(1))


def test_a_gate_that_may_does_not_wait_for_the_hub_for_ever(fleet: Fleet) -> None:
    marker = fleet.one.root / "caught-up"
    fleet.hub.kill()
    began = time.monotonic()
    fleet.one.configure(fleet.hub.settings_of("g1", marker=str(marker), startup_grace=2))
    fleet.one.agent.start()
    wait_for(marker.exists)
    assert time.monotonic() - began >= 2
    assert "startup_grace" in fleet.one.agent.words()


# Operators


@pytest.fixture
def module(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs wss_hub_token as the operator; returns its result."""

    def call(**arguments: Any) -> dict[str, Any]:
        arguments = {
            "server": {"host": "localhost", "port": fleet.hub.port}, "ca_path": str(fleet.hub.ca), "fleet": FLEET,
            "password_path": str(fleet.hub.password_file(keys.OPERATOR)), **arguments,
        }  # fmt: skip
        capsys.readouterr()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wss_hub_token.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return call


def test_an_operator_issues_and_revokes_and_is_told_which_gates_have_done_it(
    fleet: Fleet, module: Callable[..., dict[str, Any]]
) -> None:
    fleet.start()
    issued = module(subject="client-42", ttl=100, generate=2)["tokens"]
    (lasting,) = module(subject="client-43")["tokens"]
    wait_for(lambda: fleet.everywhere(*issued, lasting))
    assert fleet.hub.call("HLEN", keys.standing(FLEET)) == 1
    session = fleet.two.connect(issued[0])
    gates = ["g1", "g2"]
    found = module(state="absent", tokens=[issued[0]], gates=gates)
    assert found["confirmed"] == gates and found["unconfirmed"] == [] and "failed" not in found
    assert fleet.nowhere(issued[0]) and fleet.everywhere(issued[1])
    wait_for(lambda: not session.is_open, 1.5)
    # One that is down is named, and does it when it comes back.
    fleet.two.agent.kill()
    found = module(state="absent", subject="client-43", gates=gates, ack_timeout=1)
    assert found["failed"] and found["confirmed"] == ["g1"] and found["unconfirmed"][0]["gate"] == "g2"
    assert "g2 (silent for " in found["msg"]
    assert fleet.two.has(lasting) and fleet.hub.call("HLEN", keys.standing(FLEET)) == 0
    # Issuing needs no gate.
    (late,) = module(subject="client-44", ttl=100)["tokens"]
    fleet.start(fleet.two)
    wait_for(lambda: fleet.everywhere(late) and fleet.nowhere(lasting))
    found = module(state="absent", tokens=[late], gates=["g3"], ack_timeout=0)
    assert "g3 (no report yet)" in found["msg"] and late not in json.dumps(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"state": "absent"}, "nothing is asked for"), ({"generate": 0}, "generate must be 1 to 1000"),
        ({"state": "absent", "fingerprints": ["abcdef12"]}, "must have 12 digits"), ({"fleet": "a b"}, "fleet must be"),
        ({"tokens": ["token-of-the-fleet"]}, "tokens is for state=absent"), ({"server": {}}, "must have host and port"),
        ({"username": "gate-g1"}, "user or password are not right"), ({"ttl": 0}, "ttl must be a number of seconds"),
    ],
)  # fmt: skip
def test_what_an_operator_mistypes_changes_nothing(
    fleet: Fleet, module: Callable[..., dict[str, Any]], arguments: dict[str, Any], words: str
) -> None:
    found = module(**arguments)
    assert found["failed"] and words in found["msg"]
    assert fleet.hub.call("XLEN", keys.operate(FLEET)) == 0


@pytest.mark.parametrize("what", ["password", "authority", "name"])
def test_what_is_wrong_with_the_hub_is_told_and_ends_nothing(fleet: Fleet, what: str, tmp_path: Path) -> None:
    (fleet.one.store / token("local")).touch()
    wrong = tmp_path / "wrong"
    wrong.write_text("no password of anybody\n")
    changes: dict[str, object] = {
        "password": {"password_path": str(wrong)}, "authority": {"ca_path": ""},
        "name": {"servers": (("127.0.0.1", fleet.hub.port),)},
    }[what]  # fmt: skip
    fleet.one.configure(fleet.hub.settings_of("g1", **changes))
    fleet.one.agent.start()
    words = {"password": "not right", "authority": "certificate", "name": "certificate"}[what]
    wait_for(lambda: words in fleet.one.agent.status)
    session = fleet.one.connect(token("local"))
    assert "no password of anybody" not in fleet.one.agent.words()
    assert fleet.one.has(token("local")) and session.is_open
