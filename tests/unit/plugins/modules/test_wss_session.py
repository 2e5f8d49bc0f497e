# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wss_session_info and wss_session: arguments in, one JSON object out, and a bystander's session goes on.

The files, the connections and `ss` are real; only nginx is not there, so the tests write its session log.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._host import run as host_run
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import criteria, sockets
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.listing import end_connections
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint
from ansible_collections.wssgate.nginx.plugins.modules import wss_session, wss_session_info
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

ONE, TWO = "first-token-of-16-ch", "second-token-of-16-ch"
Answer = Dict[str, Any]


class Gate:
    """A store, a session log, a configuration, and connections on the loopback."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "tokens"
        self.store.mkdir(mode=0o710)
        self.log = root / "sessions.log"
        self.log.touch(mode=0o600)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        self.count = 0
        (root / "etc/wssgate.d").mkdir(parents=True)
        (root / "etc/wssgate.d/server_wcs.conf").write_text(
            f"server {{ listen 127.0.0.1:{self.port}; server_name wcs.example.com;\n"
            "location /wss { set $wss_location /wss; proxy_pass http://127.0.0.1:8080/wss; } }\n"
        )

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    def issue(self, token: str, subject: str) -> None:
        (self.store / token).write_text(json.dumps({"subject": subject, "issued_at": 1, "expires_at": None}))

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sockets += [client, self.listener.accept()[0]]
        return client

    def open(
        self, token: str = "-", visitor: str = "203.0.113.9", location: str = "/wss", age: int = 0
    ) -> socket.socket:
        """A connection and its line in the session log; this process is the worker."""
        client = self.connect()
        self.count += 1
        address, port = client.getsockname()
        with self.log.open("a") as file:
            file.write(
                f"S {time.time() - age:.3f} {os.getpid()} {self.count} 1 {address} {port} 127.0.0.1 {self.port} "
                f"{visitor} {token} wcs.example.com {location} -\n"
            )
        return client

    def id(self, number: int) -> str:
        return f"{os.getpid()}-{number}-1"


def is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    try:
        yield gate
    finally:
        gate.close()


@pytest.fixture
def can_end(gate: Gate) -> None:
    probe = gate.connect()
    end_connections([(("127.0.0.1", gate.port), probe.getsockname()[:2])])
    if is_open(probe):
        pytest.skip("ss cannot close a connection here (CAP_NET_ADMIN, CONFIG_INET_DIAG_DESTROY)")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What programs were started with, which everybody on a host can read."""
    found: list[str] = []
    real = sockets.run

    def run(command: list[str], *arguments: Any, **options: Any) -> Any:
        found.append(" ".join(command))
        return real(command, *arguments, **options)

    monkeypatch.setattr(sockets, "run", run)
    return found


@pytest.fixture
def ask(gate: Gate, capsys: pytest.CaptureFixture[str], commands: list[str]) -> Callable[..., Answer]:
    def run(module: Any, **options: Any) -> Answer:
        capsys.readouterr()
        arguments = {
            "path": str(gate.store),
            "session_log": str(gate.log),
            "nginx_directory": str(gate.root / "etc"),
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        text = capsys.readouterr().out
        assert not any(token in shown for token in (ONE, TWO) for shown in (text, *commands))
        answer: Answer = json.loads(text)
        return answer

    return run


@pytest.fixture
def listed(ask: Callable[..., Answer]) -> Callable[..., Answer]:
    return lambda **options: ask(wss_session_info, **options)


@pytest.fixture
def ended(ask: Callable[..., Answer]) -> Callable[..., Answer]:
    return lambda **options: ask(wss_session, **options)


# Listing


def test_a_session_is_listed_with_all_that_is_known_of_it(
    gate: Gate, listed: Callable[..., Answer], commands: list[str]
) -> None:
    gate.issue(ONE, "client-42")
    client = gate.open(ONE, age=60)
    client.sendall(b"x" * 100)
    answer = listed()
    assert answer["changed"] is False
    (session,) = answer["sessions"]
    assert session.pop("bytes_received") in (100, None) and session.pop("age") in (60, 61)
    assert session.pop("since") in (answer["now"] - 60, answer["now"] - 61)
    assert session.pop("bytes_sent") is None
    assert session == {
        "id": gate.id(1),
        "client": "203.0.113.9",
        "client_port": client.getsockname()[1],
        "peer": "127.0.0.1",
        "subject": "client-42",
        "fingerprint": fingerprint(ONE),
        "server": "wcs.example.com",
        "location": "/wss",
        "upstream": "http://127.0.0.1:8080/wss",
        "ends_at_earliest": None,
        "ends_at_latest": None,
    }
    assert answer["unlisted"] == [] and answer["totals"] == {"sessions": 1, "unlisted": 0}
    assert len(commands) == 1, "the kernel is asked once"


def test_sessions_of_a_token_that_has_gone_and_of_none_are_listed(gate: Gate, listed: Callable[..., Answer]) -> None:
    gate.open(ONE, age=2)
    gate.open(age=1)
    found = [(session["subject"], session["fingerprint"]) for session in listed()["sessions"]]
    assert found == [(None, fingerprint(ONE)), (None, None)]


def test_each_criterion_leaves_the_sessions_that_meet_it(gate: Gate, listed: Callable[..., Answer]) -> None:
    gate.issue(ONE, "client-42")
    gate.open(ONE, age=3)
    gate.open(TWO, visitor="198.51.100.1", location="/chat", age=2)
    for options in (
        {"subjects": ["client-42"]},
        {"fingerprints": [fingerprint(ONE)]},
        {"clients": ["203.0.113.0/24"]},
        {"servers": ["wcs.example.com"], "locations": ["/wss"]},
        {"ids": [gate.id(1)]},
    ):
        answer = listed(**options)
        assert [session["id"] for session in answer["sessions"]] == [gate.id(1)], options
        assert answer["totals"]["sessions"] == 2


def test_a_connection_that_the_log_does_not_have_is_listed_by_its_address_alone(
    gate: Gate, listed: Callable[..., Answer]
) -> None:
    port = gate.connect().getsockname()[1]
    gate.open(ONE)
    alone = [{"client": "127.0.0.1", "client_port": port}]
    assert listed()["unlisted"] == alone
    assert listed(clients=["127.0.0.0/8"])["unlisted"] == alone
    assert listed(clients=["203.0.113.9"])["unlisted"] == []
    assert listed(clients=["127.0.0.0/8"], locations=["/wss"])["unlisted"] == []
    without_log = listed(session_log="")
    assert without_log["sessions"] == [] and without_log["totals"]["unlisted"] == 2


def test_a_gate_that_is_not_there_yet_has_no_sessions_in_check_mode(
    gate: Gate, listed: Callable[..., Answer], ended: Callable[..., Answer], tmp_path: Path
) -> None:
    nowhere = {name: str(tmp_path / "none") for name in ("path", "session_log", "nginx_directory")}
    for options in ({}, {"subjects": ["client-42"]}):
        assert listed(**nowhere, **options, _ansible_check_mode=True)["sessions"] == []
        assert "does not exist" in listed(**nowhere, **options)["msg"]
    assert ended(**nowhere, all=True, _ansible_check_mode=True)["found"] == 0
    assert "gate writes no session log" in ended(**nowhere, all=True)["msg"]


def test_a_store_that_is_not_there_hides_no_session(gate: Gate, listed: Callable[..., Answer], tmp_path: Path) -> None:
    gate.open(ONE)
    answer = listed(path=str(tmp_path / "none"))
    assert len(answer["sessions"]) == 1
    assert "none does not exist" in str(answer["warnings"])


# Ending


@pytest.mark.usefixtures("can_end")
def test_sessions_that_meet_the_criteria_end_and_no_others(gate: Gate, ended: Callable[..., Answer]) -> None:
    gate.issue(ONE, "client-42")
    mine, older = gate.open(ONE), gate.open(ONE, age=60)
    elsewhere, bystander, unlisted = gate.open(ONE, location="/chat"), gate.open(TWO), gate.connect()
    answer = ended(subjects=["client-42"], locations=["/wss"])
    assert answer["changed"] is True and "failed" not in answer
    assert (answer["found"], answer["ended"], answer["remaining"], answer["reason"]) == (2, 2, 0, "")
    assert answer["ids"] == [gate.id(2), gate.id(1)] and answer["remaining_ids"] == []
    assert not is_open(mine) and not is_open(older)
    assert is_open(elsewhere) and is_open(bystander) and is_open(unlisted)
    again = ended(subjects=["client-42"], locations=["/wss"])
    assert again["changed"] is False and (again["found"], again["ids"]) == (0, [])
    # The token goes on opening the gate.
    assert (gate.store / ONE).exists()


@pytest.mark.usefixtures("can_end")
@pytest.mark.parametrize("criterion", ["fingerprints", "clients", "servers", "ids", "all"])
def test_sessions_end_by_each_criterion(gate: Gate, ended: Callable[..., Answer], criterion: str) -> None:
    mine = gate.open(ONE)
    bystander = gate.open(TWO, visitor="198.51.100.1")
    value = {
        "fingerprints": [fingerprint(ONE)],
        "clients": ["203.0.113.0/24"],
        "servers": ["wcs.example.com"],
        "ids": [gate.id(1)],
        "all": True,
    }[criterion]
    both = criterion in ("all", "servers")
    assert ended(**{criterion: value})["ended"] == 1 + both
    assert not is_open(mine) and is_open(bystander) != both


@pytest.mark.usefixtures("can_end")
def test_unlisted_connections_end_only_where_asked_for(gate: Gate, ended: Callable[..., Answer]) -> None:
    session, unlisted = gate.open(ONE), gate.connect()
    assert "unlisted" not in ended(clients=["127.0.0.1"])
    answer = ended(clients=["198.51.100.0/24"], unlisted=True)
    assert answer["unlisted"] == {"found": 0, "ended": 0, "remaining": 0} and not answer["changed"]
    assert is_open(session) and is_open(unlisted)
    # The session is of a client behind this peer: it is not meant.
    answer = ended(clients=["127.0.0.0/8"], unlisted=True)
    assert answer["unlisted"] == {"found": 1, "ended": 1, "remaining": 0}
    assert answer["found"] == 0 and answer["changed"] is True
    assert is_open(session) and not is_open(unlisted)
    other = gate.connect()
    answer = ended(all=True, unlisted=True, _ansible_check_mode=True)
    assert answer["ended"] == 1 and answer["unlisted"]["ended"] == 1 and is_open(other)
    ended(all=True, unlisted=True)
    assert not is_open(session) and not is_open(other)


def test_check_mode_tells_how_many_and_ends_none(gate: Gate, ended: Callable[..., Answer]) -> None:
    mine = gate.open(ONE)
    answer = ended(all=True, _ansible_check_mode=True)
    assert answer["changed"] is True
    assert (answer["found"], answer["ended"], answer["remaining"], answer["ids"]) == (1, 1, 0, [gate.id(1)])
    assert is_open(mine)
    assert ended(clients=["192.0.2.1"], _ansible_check_mode=True)["changed"] is False


def test_what_could_not_be_ended_fails_with_its_number_and_its_ids(
    gate: Gate, ended: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, unlisted = gate.open(ONE), gate.connect()
    folder = tmp_path / "bin"
    folder.mkdir()
    # Lists as the real one does, and ends nothing.
    (folder / "ss").write_text(
        '#!/bin/sh\ncase "$*" in *--kill*) echo "SOCK_DESTROY answers: Operation not permitted" >&2; exit 0;; esac\n'
        f'PATH={host_run.PATH} exec ss "$@"\n'
    )
    (folder / "ss").chmod(0o755)
    monkeypatch.setattr(host_run, "PATH", f"{folder}:{host_run.PATH}")
    answer = ended(all=True, unlisted=True)
    assert answer["failed"] and answer["changed"] is False
    assert answer["msg"] == "2 sessions could not be ended: SOCK_DESTROY answers: Operation not permitted"
    assert (answer["found"], answer["ended"], answer["remaining"]) == (1, 0, 1)
    assert answer["ids"] == [] and answer["remaining_ids"] == [gate.id(1)]
    assert answer["unlisted"] == {"found": 1, "ended": 0, "remaining": 1}
    assert is_open(mine) and is_open(unlisted)


def test_without_ss_both_fail_and_say_what_to_install(
    gate: Gate,
    listed: Callable[..., Answer],
    ended: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate.open(ONE)
    monkeypatch.setattr(host_run, "PATH", "/no/such/folder")
    assert "ss is not installed (package iproute2" in listed()["msg"]
    assert "ss is not installed (package iproute2" in ended(all=True)["msg"]


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subjects": []}, "subjects is empty: name at least one, or leave it out"),
        ({"subjects": ["a", ""]}, "subjects[1] is empty"),
        ({"servers": [" "]}, "servers[0] is empty"),
        ({"locations": []}, "locations is empty: name at least one, or leave it out"),
        ({"fingerprints": ["xyz"]}, "fingerprints[0] is not a fingerprint: 8 to 64 digits of 0-9 and a-f are needed"),
        ({"clients": ["somewhere"]}, "'somewhere' is no address and no network: 'somewhere' does not appear to be"),
        ({"clients": ["203.0.113.7/24"]}, "203.0.113.7/24 has host bits set"),
        ({"ids": ["7"]}, "ids[0] is not a session's id: three numbers with - between are needed"),
        ({"all": False, "path": "tokens", "clients": ["::1"]}, "path must be absolute, not 'tokens'"),
        ({"path": "/a/../b", "clients": ["::1"]}, "path must not contain '..'"),
        ({"session_log": "/no/such/log", "clients": ["::1"]}, "/no/such/log does not exist"),
        ({"session_log": "/etc", "clients": ["::1"]}, "/etc"),
    ],
)
def test_bad_input_is_one_clear_error_of_both_modules(
    gate: Gate, listed: Callable[..., Answer], ended: Callable[..., Answer], options: Answer, words: str
) -> None:
    client = gate.open(ONE)
    listing = listed(**{name: value for name, value in options.items() if name != "all"})
    for answer in (listing, ended(**options)):
        assert answer["failed"] and words in answer["msg"], answer
        assert "Traceback" not in str(answer)
    assert is_open(client)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing is asked for: give subjects, fingerprints, clients, servers, locations, ids or all=true"),
        ({"all": False}, "nothing is asked for"),
        ({"unlisted": True}, "nothing is asked for"),
        ({"all": True, "subjects": ["a"]}, "all=true names every session, subjects names some: give one of them"),
        ({"subjects": ["a"], "unlisted": True}, "unlisted=true needs clients alone, or all=true"),
        ({"clients": ["::1"], "locations": ["/wss"], "unlisted": True}, "unlisted=true needs clients alone"),
        ({"all": True, "session_log": ""}, "without a session log (session_log is empty)"),
        ({"state": "present", "all": True}, "value of state must be one of: absent"),
        ({"all": "some"}, "all"),
    ],
)
def test_what_contradicts_itself_ends_nothing(
    gate: Gate, ended: Callable[..., Answer], options: Answer, words: str
) -> None:
    client = gate.open(ONE)
    answer = ended(**options)
    assert answer["failed"] and words in answer["msg"], answer
    assert is_open(client)


# Documentation


@pytest.mark.parametrize("module", [wss_session, wss_session_info])
def test_every_option_is_documented(module: Any) -> None:
    options = set(yaml.safe_load(module.DOCUMENTATION).get("options", {}))
    for name in ("token_store", "sessions"):
        path = Path(__file__).parents[4] / f"plugins/doc_fragments/{name}.py"
        text = re.search(r'r"""\n(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL)
        assert text
        options |= set(yaml.safe_load(text.group(1))["options"])
    assert options == set(module.argument_spec())
    assert set(criteria.OPTIONS) <= options
