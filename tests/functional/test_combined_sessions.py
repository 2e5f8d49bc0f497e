# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that several methods let in, and the agent: each ends with whatever let it in, and no other does.

Where all are needed, the end of one of them is the end of the session. Where any is enough, the one that let it in
counts alone. nginx, its JavaScript module, the agent and the connections are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations.store import id_of_subject, id_of_token

from lib import wire
from lib.agent_process import AgentProcess
from lib.jwt_signing import Signer
from lib.local_gate import LocalGate, free_port
from lib.processes import running

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent closes sockets, which is for root")

NAME, ORIGIN, ISSUER = "gate.example.com", "https://app.example.com", "https://id.example.com"
SIGNER = Signer("ES256", "ec-1")
# What is asked of the agent within a second; a busy machine may take longer.
SOON = 10.0
ANY, ALL = "/any", "/all"
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.modules import wss_token
with patch_module_args(json.load(sys.stdin)):
    wss_token.main()
"""


class Gate(LocalGate):
    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        location = {"upstream": f"http://127.0.0.1:{upstream}", "origins": [ORIGIN], "issuers": ["main"]}
        super().__init__(
            [
                {
                    "name": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port, "tls": False}],
                    "locations": [
                        location | {"path": ANY, "auth": {"any": ["token", "jwt"]}},
                        location | {"path": ALL, "auth": {"all": ["token", "jwt"]}},
                    ],
                }
            ],
            token_store_pruner="agent",
        )
        self.variables["wss_proxy_issuers"] = [
            {"name": "main", "issuer": ISSUER, "audience": ["wss"], "keys": [{"content": SIGNER.public_pem}]}
        ]
        self.revoked = self.root / "revoked"
        # Of a token that is removed and issued anew at once the agent ends what begins within a moment, too.
        self.round = 0

    def named(self, name: str) -> str:
        """The token of this name in this test."""
        return f"Combined_{name}-{self.round:010}"

    def token(self, name: str, expires_at: int | None = None) -> str:
        """In the store, with an end or without."""
        token = self.named(name)
        about = {"subject": name, "issued_at": int(time.time()), "expires_at": expires_at}
        new = self.tokens.parent / ".new"
        new.write_text("" if expires_at is None else json.dumps(about))
        new.rename(self.tokens / token)
        return token

    def signed(self, jti: str, **changes: Any) -> str:
        now = int(time.time())
        good = {"iss": ISSUER, "aud": "wss", "jti": jti, "sub": "ann", "iat": now - 10, "exp": now + 600}
        return SIGNER.sign(good | changes)

    def open(self, path: str, token: str = "", signed: str = "") -> wire.Session:
        request = wire.Request(path, NAME).origin(ORIGIN)
        request = request.token(token) if token else request
        request = request.adding("Authorization", f"Bearer {signed}") if signed else request
        reply = wire.handshake(wire.Endpoint(port=self.port, tls=False), request)
        assert reply.status == 101 and reply.session is not None, reply.status
        return reply.session


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    upstream = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{upstream}"), Gate(upstream) as gate:
        yield gate


@pytest.fixture(scope="module")
def agent(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    folder = tmp_path_factory.mktemp("combined") / "agent"
    with AgentProcess(folder, gate.tokens, gate.session_log, gate.revoked) as agent:
        agent.start()
        yield agent
        assert agent.is_running


Sessions = dict[str, wire.Session]


@pytest.fixture
def sessions(gate: Gate, agent: AgentProcess) -> Iterator[Sessions]:
    """Of each kind one that is to end, and one of other tokens, which is not."""
    gate.round += 1
    with contextlib.ExitStack() as stack:
        found = {}
        for name in ("mine", "theirs"):
            token, signed = gate.token(name), {"sub": name}
            found[f"{name}: any, by its token"] = gate.open(ANY, gate.token(name))
            found[f"{name}: any, by its signed token"] = gate.open(ANY, signed=gate.signed(name, **signed))
            found[f"{name}: all"] = gate.open(ALL, token, gate.signed(name, **signed))
        for session in found.values():
            stack.callback(session.close)
        yield found
        for path in (gate.revoked / "jti", gate.revoked / "sub"):
            for entry in path.iterdir():
                entry.unlink()


def check(sessions: Sessions, *ended: str) -> None:
    deadline = time.monotonic() + SOON
    for name in ended:
        assert sessions[name].ended(max(0.01, deadline - time.monotonic())), name
    for name, session in sessions.items():
        assert name in ended or session.echo("hello") == "hello", name


Change = Callable[[Gate], None]


def remove_token(gate: Gate) -> None:
    (gate.tokens / gate.named("mine")).unlink()


def end_token(gate: Gate) -> None:
    """A second from now; the agent ends it at its end."""
    gate.token("mine", int(time.time()) + 1)


def take_back_jti(gate: Gate) -> None:
    (gate.revoked / "jti" / id_of_token(ISSUER, "mine")).touch()


def take_back_subject(gate: Gate) -> None:
    new = gate.revoked / ".new"
    new.write_text(f"{int(time.time())}\n")
    new.rename(gate.revoked / "sub" / id_of_subject("mine"))


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        (remove_token, "any, by its token"),
        (end_token, "any, by its token"),
        (take_back_jti, "any, by its signed token"),
        (take_back_subject, "any, by its signed token"),
    ],
)
def test_a_session_ends_with_what_let_it_in_and_with_each_where_all_did(
    gate: Gate, sessions: Sessions, change: Change, ended: str
) -> None:
    check(sessions)
    change(gate)
    check(sessions, f"mine: {ended}", "mine: all")


def test_the_end_of_a_signed_token_ends_what_it_let_in(gate: Gate, sessions: Sessions) -> None:
    soon = gate.signed("soon", exp=time.time() + 3)
    sessions["soon: any"] = gate.open(ANY, signed=soon)
    sessions["soon: all"] = gate.open(ALL, gate.token("mine"), soon)
    check(sessions)
    check(sessions, "soon: any", "soon: all")


def test_an_agent_that_comes_later_ends_what_has_lost_one_of_two(
    gate: Gate, agent: AgentProcess, sessions: Sessions
) -> None:
    agent.kill()
    try:
        remove_token(gate)
        (gate.revoked / "jti" / id_of_token(ISSUER, "theirs")).touch()
        check(sessions)
    finally:
        agent.start()
    ended = ("mine: any, by its token", "mine: all", "theirs: any, by its signed token", "theirs: all")
    check(sessions, *ended)


def test_a_fingerprint_of_a_signed_token_is_told_as_one_and_ends_nothing(
    gate: Gate, agent: AgentProcess, sessions: Sessions
) -> None:
    known = id_of_token(ISSUER, "mine")
    arguments: dict[str, Any] = {"path": str(gate.tokens), "session_log": str(gate.session_log), "state": "absent"}
    arguments |= {"fingerprints": [known[:12], "0" * 12], "disconnect": True}
    done = subprocess.run(
        [sys.executable, "-c", MODULE], input=json.dumps(arguments), capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": agent.tree}, timeout=60, check=False,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert (answer["changed"], answer["removed"], answer["sessions"]["found"]) == (False, 0, 0)
    assert answer["signed"] == [{"token_id": known, "sessions": 2}]
    check(sessions)


def test_the_log_of_sessions_has_no_signed_token(gate: Gate) -> None:
    assert ".eyJ" not in Path(gate.session_log).read_text()
