# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks session_list and session_end on two gates of this machine: a folder and a few connections each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.listing import end_connections
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
# Where Ansible is, or another one to try.
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
NAMES = ("one", "two")
TOKEN = "token-of-two-gates-1"


class Gates:
    """Two hosts, each with a token of client-42 in its store and connections of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in NAMES}
        self.sockets: list[socket.socket] = list(self.listeners.values())
        for name in NAMES:
            store = folder / name / "tokens"
            store.mkdir(parents=True)
            (store / TOKEN).write_text('{"subject": "client-42"}')
            (folder / name / "sessions.log").touch(mode=0o600)

    def open(self, name: str, token: str = "-", location: str = "/wss") -> socket.socket:
        listener = self.listeners[name]
        client = socket.create_connection(listener.getsockname(), timeout=20)
        self.sockets += [client, listener.accept()[0]]
        with (self.folder / name / "sessions.log").open("a") as file:
            # This process is the worker.
            file.write(
                f"S {time.time():.3f} {os.getpid()} {len(self.sockets)} 1 127.0.0.1 {client.getsockname()[1]} "
                f"127.0.0.1 {listener.getsockname()[1]} 203.0.113.9 {token} wcs.example.com {location} -\n"
            )
        return client

    def play(self, name: str, *arguments: str, **variables: t.Any) -> "subprocess.CompletedProcess[str]":
        inventory = {
            "wss_proxies": {
                "hosts": {
                    host: {
                        "token_store_path": str(self.folder / host / "tokens"),
                        "token_store_session_log": str(self.folder / host / "sessions.log"),
                        "nginx_directory": str(self.folder / host),
                    }
                    for host in NAMES
                },
                "vars": {
                    "ansible_connection": "local",
                    "ansible_become": False,
                    "ansible_python_interpreter": sys.executable,
                },
            }
        }
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
        options = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        done = subprocess.run(
            [str(ANSIBLE), "-i", str(path), str(PLAYBOOKS / f"{name}.yml"), *options, *arguments],
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert TOKEN not in done.stdout
        return done


def shown(done: "subprocess.CompletedProcess[str]") -> t.Any:
    start = done.stdout.index('{\n    "msg"', done.stdout.index("TASK [Show "))
    return json.JSONDecoder().raw_decode(done.stdout, start)[0]["msg"]


def is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    found = Gates(tmp_path)
    try:
        yield found
    finally:
        for one in found.sockets:
            one.close()


@pytest.fixture
def can_end(gates: Gates) -> None:
    probe = gates.open("one")
    end_connections([(gates.listeners["one"].getsockname()[:2], probe.getsockname()[:2])])
    if is_open(probe):
        pytest.skip("ss cannot close a connection here (CAP_NET_ADMIN, CONFIG_INET_DIAG_DESTROY)")


def test_the_sessions_of_all_gates_are_one_table_and_for_a_program_one_list(gates: Gates) -> None:
    gates.open("one", TOKEN)
    gates.open("two", TOKEN, "/chat")
    gates.open("two")
    done = gates.play("session_list", "-vvv")
    assert done.returncode == 0, done.stdout
    rows = [line.split() for line in shown(done)[:4]]
    assert [(row[0], row[3], row[4], row[6]) for row in rows] == [
        ("HOST", "SUBJECT", "FINGERPRINT", "LOCATION"),
        ("one", "client-42", fingerprint(TOKEN), "/wss"),
        ("two", "client-42", fingerprint(TOKEN), "/chat"),
        ("two", "-", "-", "/wss"),
    ]
    answer = shown(gates.play("session_list", output="json", subject="client-42", location="/chat,/none"))
    (session,) = answer["sessions"]
    assert (session["host"], session["location"], session["ends_at_latest"]) == ("two", "/chat", None)
    assert isinstance(session["client_port"], int)
    assert answer["totals"] == {"one": {"sessions": 1, "unlisted": 0}, "two": {"sessions": 2, "unlisted": 0}}


@pytest.mark.usefixtures("can_end")
def test_sessions_end_on_all_gates_at_once_after_a_dry_run_told_how_many(gates: Gates) -> None:
    mine = [gates.open("one", TOKEN), gates.open("one", TOKEN), gates.open("two", TOKEN)]
    bystanders = [gates.open("one"), gates.open("two", TOKEN, "/chat")]
    criteria = {"subject": "client-42", "location": "/wss"}
    done = gates.play("session_end", "--check", **criteria)
    assert done.returncode == 0, done.stdout
    assert shown(done) == [
        "Criteria: subject=client-42, location=/wss",
        "one: 2 open sessions would be ended",
        "two: 1 open session would be ended",
    ]
    assert all(map(is_open, mine))
    done = gates.play("session_end", **criteria, output="json")
    assert done.returncode == 0, done.stdout
    assert {host: result["ended"] for host, result in shown(done)["proxies"].items()} == {"one": 2, "two": 1}
    assert not any(map(is_open, mine)) and all(map(is_open, bystanders))
    done = gates.play("session_end", all="true", unlisted="true")
    assert shown(done)[1:] == [f"{name}: 1 open session ended, 0 other connections ended" for name in NAMES]
    assert not any(map(is_open, bystanders))


def test_a_gate_that_fails_is_told_beside_what_the_others_did(gates: Gates) -> None:
    client = gates.open("one", TOKEN)
    (gates.folder / "two" / "sessions.log").unlink()
    done = gates.play("session_end", client="192.0.2.1")
    assert done.returncode != 0
    assert shown(done)[1] == "one: 0 open sessions ended"
    assert shown(done)[2].startswith("FAILED two: ") and "does not exist" in shown(done)[2]
    assert is_open(client)


@pytest.mark.parametrize(
    ("playbook", "variables", "words"),
    [
        ("session_end", {}, "Give subject, fingerprint, client, server, location, id, several of them, or all=true."),
        ("session_end", {"all": "sure"}, "all is 'sure'; it must be true or false"),
        ("session_end", {"subject": ""}, "subjects[0] is empty"),
        ("session_end", {"subjects": "x"}, "this playbook has no parameter subjects; did you mean subject?"),
        ("session_end", {"subject": "x", "locatoin": "/a"}, "no parameter locatoin; did you mean location?"),
        ("session_list", {"client": "nowhere"}, "'nowhere' is no address and no network"),
        ("session_list", {"output": "xml"}, "output is 'xml'; it must be one of text, json"),
    ],
)
def test_bad_input_is_told_and_ends_nothing(gates: Gates, playbook: str, variables: dict[str, str], words: str) -> None:
    client = gates.open("one", TOKEN)
    done = gates.play(playbook, **variables)
    assert done.returncode != 0 and words in done.stdout.replace('\\"', '"'), done.stdout
    assert is_open(client)
