# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens that are taken back: the gate refuses them at once, their sessions end, and nobody else's do.

nginx, its JavaScript module, the agent, the modules and the connections are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations import store
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations.store import id_of_subject, id_of_token

from lib import wire
from lib.agent_process import AgentProcess
from lib.jwt_signing import Signer
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent closes sockets, which is for root")

NAME, ORIGIN = "gate.example.com", "https://app.example.com"
ISSUER, OTHER = "https://id.example.com", "https://other.example.com"
SIGNER = Signer("ES256", "ec-1")
OPAQUE = "Opaque-token_0123456789"
# What is asked of the agent, and what a busy machine may take besides.
SECOND, BUSY = 1.0, 4.0
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.modules import {module}
with patch_module_args(json.load(sys.stdin)):
    {module}.main()
"""


class Gate(LocalGate):
    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        location = {"upstream": f"http://127.0.0.1:{upstream}", "origins": [ORIGIN]}
        super().__init__(
            [
                {
                    "name": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port, "tls": False}],
                    "locations": [
                        location | {"path": "/wss", "auth": "jwt", "issuers": ["main", "other"]},
                        location | {"path": "/opaque"},
                    ],
                }
            ],
            token_store_pruner="agent",
        )
        self.variables["wss_proxy_issuers"] = [
            {"name": name, "issuer": issuer, "audience": ["wss"], "keys": [{"content": SIGNER.public_pem}]}
            for name, issuer in (("main", ISSUER), ("other", OTHER))
        ]
        self.revoked = self.root / "revoked"

    def token(self, jti: str | None, sub: str | None, age: int | None = 10, iss: str = ISSUER) -> str:
        now = int(time.time())
        issued = None if age is None else now - age
        found = {"iss": iss, "aud": "wss", "jti": jti, "sub": sub, "iat": issued, "exp": now + 600}
        return SIGNER.sign({name: value for name, value in found.items() if value is not None})

    def answer(self, token: str, path: str = "/wss") -> wire.Reply:
        endpoint = wire.Endpoint(port=self.port, tls=False)
        return wire.handshake(endpoint, wire.Request(path, NAME).token(token).origin(ORIGIN))

    def open(self, token: str, path: str = "/wss") -> wire.Session:
        reply = self.answer(token, path)
        assert reply.status == 101 and reply.session is not None
        return reply.session

    def reason(self, token: str) -> str:
        before = len(self.access_log.read_text().splitlines())
        reply = self.answer(token)
        assert reply.status in (101, 403)
        if reply.session is not None:
            reply.session.close()
        wait_for(lambda: len(self.access_log.read_text().splitlines()) > before)
        return str(json.loads(self.access_log.read_text().splitlines()[-1])["reason"])

    def run(self, module: str = "wss_revocation", **options: Any) -> dict[str, Any]:
        arguments = {"path": str(self.revoked), "nginx_directory": str(self.etc), **options}
        if module == "wss_revocation":
            arguments |= {"session_log": str(self.session_log), "store": str(self.tokens)}
        done = subprocess.run(
            [sys.executable, "-c", MODULE.format(module=module)],
            input=json.dumps(arguments), capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": self.tree}, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    tree = ""


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    upstream = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{upstream}"), Gate(upstream) as gate:
        gate.issue(OPAQUE)
        yield gate
        assert "exited on signal" not in gate.error_log()
        assert not gate.test().returncode


@pytest.fixture(scope="module")
def agent(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    folder = tmp_path_factory.mktemp("revoking") / "agent"
    with AgentProcess(folder, gate.tokens, gate.session_log, gate.revoked) as agent:
        gate.tree = agent.tree
        agent.start()
        yield agent


@pytest.fixture(autouse=True)
def nothing_taken_back(gate: Gate, agent: AgentProcess) -> Iterator[None]:
    yield
    for kind in store.KINDS:
        subprocess.run(["find", str(gate.revoked / kind), "-mindepth", "1", "-delete"], check=True)
    assert agent.is_running


@pytest.fixture
def opened(gate: Gate) -> Iterator[Callable[..., wire.Session]]:
    with contextlib.ExitStack() as stack:
        yield lambda *arguments, **more: stack.enter_context(gate.open(*arguments, **more))


def are_ended(*sessions: wire.Session, within: float = SECOND + BUSY) -> bool:
    deadline = time.monotonic() + within
    return all(session.ended(max(0.01, deadline - time.monotonic())) for session in sessions)


def touch(path: Path, text: str = "") -> None:
    """As the guide has it: there at once, and whole."""
    new = path.parent.parent / ".new"
    new.write_text(text)
    new.chmod(0o640)
    os.chown(new, 0, path.parent.stat().st_gid)
    new.rename(path)


def test_a_token_is_taken_back_with_its_sessions_and_no_other_is(gate: Gate, opened: Callable[..., Any]) -> None:
    token = gate.token("a-1", "ann")
    two = [opened(token), opened(token)]
    others = [
        opened(gate.token("a-2", "ann")),
        opened(gate.token("a-1", "ann", iss=OTHER)),
        opened(gate.token(None, "ann")),
        opened(OPAQUE, "/opaque"),
    ]
    until = int(time.time()) + 700
    dry = gate.run(jti=["a-1"], issuer=ISSUER, until=until, _ansible_check_mode=True, _ansible_diff=True)
    assert (dry["changed"], dry["sessions"]) == (True, {"found": 2, "ended": 2, "remaining": 0})
    assert two[0].echo("hello") == "hello" and not list((gate.revoked / "jti").iterdir())

    began = time.monotonic()
    answer = gate.run(jti=["a-1"], issuer=ISSUER, until=until, _ansible_diff=True)
    assert (answer["changed"], answer["created"]) == (True, 1), answer
    assert answer["sessions"] == {"found": 2, "ended": 2, "remaining": 0}
    assert answer["diff"] == dry["diff"] and "a-1" not in json.dumps(answer["diff"])
    assert are_ended(*two)
    assert time.monotonic() - began < SECOND + BUSY
    assert gate.reason(token) == "jwt_revoked"
    assert [other.echo("hello") for other in others] == ["hello"] * 4

    (entry,) = answer["entries"]
    assert (entry["id"], entry["until"]) == (id_of_token(ISSUER, "a-1"), until)
    (listed,) = gate.run("wss_revocation_info")["revocations"]
    assert (listed["id"], listed["until"]) == (entry["id"], entry["until"])
    again = gate.run(jti=["a-1"], issuer=ISSUER, until=until)
    assert (again["changed"], again["unchanged"]) == (False, 1)
    back = gate.run(jti=["a-1"], issuer=ISSUER, state="absent")
    assert (back["changed"], back["removed"]) == (True, 1)
    assert gate.reason(token) == ""


def test_a_subject_is_taken_back_by_when_its_tokens_were_issued(gate: Gate, opened: Callable[..., Any]) -> None:
    void = [
        opened(gate.token("b-1", 'Zoë "1" \\')),
        opened(gate.token(None, 'Zoë "1" \\', iss=OTHER)),
        opened(gate.token("b-2", 'Zoë "1" \\', age=None)),
    ]
    since = int(time.time())
    later = opened(gate.token("b-3", 'Zoë "1" \\', age=0))
    others = [opened(gate.token("b-4", 'Zoe "1" \\')), opened(gate.token("b-5", None)), opened(OPAQUE, "/opaque")]
    answer = gate.run(subject=['Zoë "1" \\'], issued_before=since)
    assert answer["sessions"] == {"found": 3, "ended": 3, "remaining": 0}
    assert are_ended(*void)
    assert [one.echo("hello") for one in (later, *others)] == ["hello"] * 4
    earlier = gate.run(subject=['Zoë "1" \\'], issued_before=since - 100)
    assert (earlier["changed"], earlier["entries"][0]["issued_before"]) == (False, since)
    # Whatever was issued by now.
    assert gate.run(subject=['Zoë "1" \\'])["sessions"]["ended"] == 1
    assert are_ended(later)
    assert [one.echo("hello") for one in others] == ["hello"] * 3


def test_a_subject_that_is_a_dash_is_a_subject(gate: Gate, opened: Callable[..., Any]) -> None:
    void, nameless = opened(gate.token("c-1", "-")), opened(gate.token("c-2", None))
    assert gate.run(subject=["-"])["sessions"]["ended"] == 1
    assert are_ended(void)
    assert nameless.echo("hello") == "hello"


def test_the_agent_ends_what_a_file_takes_back(gate: Gate, opened: Callable[..., Any]) -> None:
    sessions = [opened(gate.token(f"d-{number}", "dan")) for number in range(3)]
    other = opened(gate.token("d-9", "eve"))
    began = time.monotonic()
    (gate.revoked / "jti" / id_of_token(ISSUER, "d-0")).touch()
    assert are_ended(sessions[0])
    assert time.monotonic() - began < SECOND + BUSY
    assert sessions[1].echo("hello") == "hello"
    touch(gate.revoked / "sub" / id_of_subject("dan"), f"{int(time.time())}\n")
    assert are_ended(*sessions[1:])
    assert other.echo("hello") == "hello"


def test_no_session_slips_through_while_its_token_is_taken_back(gate: Gate) -> None:
    """nginx may have judged a handshake a moment before; its line comes a moment later."""
    token, stopped = gate.token("f-1", "fay"), threading.Event()
    sessions: list[wire.Session] = []

    def connect() -> None:
        while not stopped.is_set():
            reply = gate.answer(token)
            if reply.session is not None:
                sessions.append(reply.session)
            else:
                return

    threads = [threading.Thread(target=connect) for _number in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(sessions) > 20)
        (gate.revoked / "jti" / id_of_token(ISSUER, "f-1")).touch()
    finally:
        for thread in threads:
            thread.join(20)
        stopped.set()
    assert are_ended(*sessions)


def test_an_agent_that_comes_later_ends_what_was_taken_back_meanwhile(
    gate: Gate, agent: AgentProcess, opened: Callable[..., Any]
) -> None:
    void, other = opened(gate.token("g-1", "gus")), opened(gate.token("g-2", "gil"))
    agent.kill()
    try:
        touch(gate.revoked / "sub" / id_of_subject("gus"), f"{int(time.time())}\n")
        assert not are_ended(void, within=0.3)
    finally:
        agent.start()
    assert are_ended(void)
    assert other.echo("hello") == "hello"


def test_a_folder_that_goes_and_comes_back_is_watched_again(gate: Gate, opened: Callable[..., Any]) -> None:
    first, second = opened(gate.token("h-1", "hal")), opened(gate.token("h-2", "hal"))
    aside = gate.revoked.rename(gate.root / "aside")
    try:
        assert gate.reason(gate.token("h-1", "hal")) == "jwt_store"
        (aside / "jti" / id_of_token(ISSUER, "h-1")).touch()
        assert not are_ended(first, within=0.3)
    finally:
        aside.rename(gate.revoked)
    assert are_ended(first)
    (gate.revoked / "jti" / id_of_token(ISSUER, "h-2")).touch()
    assert are_ended(second)


def make(kind: str, path: Path) -> None:
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link that leads nowhere":
        path.symlink_to("/nowhere/at/all")
    elif kind == "a link to a file without an end":
        path.symlink_to("/dev/zero")
    elif kind == "a huge file":
        path.touch(mode=0o644)
        os.truncate(path, 1 << 36)
    elif kind == "a file that nginx may not read":
        path.write_text("1\n")
        path.chmod(0)
    elif kind == "a socket's name":
        os.mknod(path, 0o140644)
    else:
        path.write_text(kind)
        path.chmod(0o644)


@pytest.mark.parametrize(
    "kind",
    [
        *("a folder", "a pipe", "a link that leads nowhere", "a link to a file without an end", "a huge file"),
        *("a file that nginx may not read", "a socket's name", "", "soon\n", "-1\n", "1e3\n", "17 17\n", "\n"),
        *("1234567890123\n", "1700000000\n\n"),
    ],
)
def test_what_cannot_be_read_takes_the_subject_back_and_no_other(
    gate: Gate, agent: AgentProcess, opened: Callable[..., Any], kind: str
) -> None:
    token, other = gate.token("i-1", "ida"), gate.token("i-2", "ivo")
    void, bystander = opened(token), opened(other)
    make(kind, gate.revoked / "sub" / id_of_subject("ida"))
    assert gate.reason(token) == "jwt_store"
    assert gate.reason(other) == ""
    # To the agent, which is root, a time is a time.
    assert kind == "a file that nginx may not read" or are_ended(void)
    assert bystander.echo("hello") == "hello"
    problems = gate.run("wss_revocation_info")["problems"]
    assert len(problems) == (kind != "a file that nginx may not read"), problems


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link that leads nowhere", "a huge file"])
def test_whatever_has_the_name_of_a_token_takes_it_back(gate: Gate, opened: Callable[..., Any], kind: str) -> None:
    token, other = gate.token("j-1", "jan"), gate.token("j-2", "jan")
    void, bystander = opened(token), opened(other)
    make(kind, gate.revoked / "jti" / id_of_token(ISSUER, "j-1"))
    assert gate.reason(token) == "jwt_revoked"
    assert gate.reason(other) == ""
    assert are_ended(void)
    assert bystander.echo("hello") == "hello"


def test_a_file_in_the_place_of_a_folder_lets_nobody_pass(gate: Gate, opened: Callable[..., Any]) -> None:
    session = opened(gate.token("k-1", "kim"))
    aside = (gate.revoked / "sub").rename(gate.revoked / "aside")
    (gate.revoked / "sub").touch()
    try:
        assert gate.reason(gate.token("k-2", "kim")) == "jwt_store"
        assert session.echo("hello") == "hello"
        failed = gate.run(subject=["kim"])
        assert failed["failed"] and f"{gate.revoked}/sub" in failed["msg"]
    finally:
        (gate.revoked / "sub").unlink()
        aside.rename(gate.revoked / "sub")
