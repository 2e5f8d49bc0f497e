# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that a gate fetches: real nginx, the agent as a process, and an HTTPS server that does what it should not.

Whatever becomes of that server, the keys that were good last go on counting, and what was rotated counts no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib import wire
from lib.agent_process import AgentProcess
from lib.jwt_signing import Signer
from lib.key_provider import Behaviour, Handler, KeyProvider
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent and nginx's workers need accounts of their own")

ORIGIN, ISSUER = "https://app.example.com", "https://id.example.com"
FIRST, SECOND, THIRD, START = (Signer("ES256", name) for name in ("first", "second", "third", "start"))
RSA, WEAK, ELLIPTIC = Signer("RS256", "rsa"), Signer("RS256", "weak", 1024), Signer("ES384", "p384")
UTILS = "ansible_collections.wssgate.nginx.plugins.module_utils"
# A second is a fiftieth of one, but for the time in which nobody may have fetched.
HURRY = f"""
from {UTILS}._agent import key_set_duty
from {UTILS}._issuers import fetch, key_sets
key_set_duty.FIRST, key_set_duty.LIVE_PAUSES = 0.1, (0.3,)
key_set_duty._spread = lambda seconds: seconds / 50
fetch.TIME_LIMIT = 1.0
key_sets.STALE_INTERVALS = 0.1
"""
# Ends the process the first time, before or after something is done.
FAULT = """
import os
from {module} import {owner}
_done = {owner}.{name}
def _fault(*arguments, **more):
    if {is_after}:
        _done(*arguments, **more)
    os._exit(9)
{owner}.{name} = _fault
"""
ACTIVATION = """
import sys
sys.path.insert(0, sys.argv[1])
{prelude}
from {utils}._agent.key_activation import main
sys.exit(main(sys.argv[2:]))
"""
STATE, DUTY = f"{UTILS}._issuers", f"{UTILS}._agent"


def fault(module: str, owner: str, name: str, is_after: bool) -> str:
    return FAULT.format(module=module, owner=owner, name=name, is_after=is_after)


def claims() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": now - 10, "exp": now + 600}


class Gate(LocalGate):
    """A gate with one issuer, its agent, and what systemd's path unit does."""

    def __init__(self, provider: KeyProvider, upstream: int) -> None:
        self.port, self.provider = free_port(), provider
        super().__init__(
            [
                {
                    "name": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port, "tls": False}],
                    "locations": [
                        {
                            "path": "/wss",
                            "upstream": f"http://127.0.0.1:{upstream}",
                            "origins": [ORIGIN],
                            "auth": "jwt",
                            "issuers": ["main"],
                        }
                    ],
                }
            ],
            token_store_pruner="agent",
            wss_proxy_issuers=[self.issuer(provider)],
        )
        self.rules = self.etc / "wssgate.d/jwt.json"
        self.agent = self.new_agent()
        self.activation_fault = ""
        self.activations: list[str] = []
        self.is_activating = False
        # What happened at the first deployments
        self.refusal = self.warned = ""
        self.left: list[str] = []
        self.started_with: list[int] = []
        self.went_on_with: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._activate_what_comes, daemon=True)
        self._thread.start()

    @staticmethod
    def issuer(provider: KeyProvider, **more: Any) -> dict[str, Any]:
        return {
            "name": "main",
            "issuer": ISSUER,
            "audience": ["wss"],
            "jwks_url": provider.url,
            "jwks_ca_path": str(provider.ca),
            "jwks_interval": 10,
            **more,
        }

    def new_agent(self, prelude: str = "") -> AgentProcess:
        folder = self.root / f"agent-{len(list(self.root.glob('agent-*')))}"
        agent = AgentProcess(
            folder, self.tokens, self.session_log, options=["--key-sets", str(self.rules)], prelude=HURRY + prelude
        )
        # Every agent of a gate has the same folder.
        first = self.root / "agent-0/state"
        agent.command[agent.command.index("--state") + 1] = str(first)
        agent.state = first
        return agent

    def __exit__(self, *arguments: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.agent.__exit__()
        super().__exit__(*arguments)

    def _activate_what_comes(self) -> None:
        """As wssgate-keys.path does."""
        while not self._is_over.wait(0.02):
            self.is_activating = (self.agent.state / "key_candidate.json").exists()
            if self.is_activating:
                prelude, self.activation_fault = self.activation_fault, ""
                done = subprocess.run(
                    [
                        sys.executable, "-c", ACTIVATION.format(utils=UTILS, prelude=prelude), self.agent.tree,
                        "--directory", str(self.etc), "--binary", self.binary, "--pid-file", str(self.pid_path),
                        "--error-log", str(self.log / "error.log"), "--state", str(self.agent.state),
                    ],
                    capture_output=True, text=True, timeout=60, check=False,
                )  # fmt: skip
                self.activations.append(done.stdout + done.stderr)
                self.is_activating = False

    def request(self, signer: Signer) -> wire.Reply:
        request = wire.Request(host="gate.example.com").origin(ORIGIN).token(signer.sign(claims()))
        return wire.handshake(wire.Endpoint(port=self.port, tls=False), request)

    def status(self, signer: Signer) -> int:
        with self.request(signer) as reply:
            return reply.status

    def judged(self, *signers: Signer) -> list[int]:
        return [self.status(signer) for signer in signers]

    def known(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            document = json.loads((self.agent.state / "key_sets.json").read_text())
            found: dict[str, Any] = document["issuers"]["main"]
            return found
        return {"problem": "", "fetched_at": 0, "left_out": [], "keys": []}

    def result(self) -> str:
        return (self.agent.state / "key_result.json").read_text()

    def kids(self) -> list[str]:
        return [key["kid"] for key in json.loads(self.rules.read_text())["issuers"]["main"]["keys"]]

    def has(self, *kids: str) -> None:
        """Wait until nginx has just these keys, and no worker any others."""
        # An activation starts programs, which a busy machine takes its time for.
        wait_for(lambda: self.kids() == sorted(kids), 60)
        wait_for(lambda: not self.is_activating and not (self.agent.state / "key_candidate.json").exists(), 60)


@pytest.fixture(scope="module")
def provider() -> Iterator[KeyProvider]:
    # Neither below /tmp nor in a home, where this checkout may be: the agent of a host may not look there.
    folder = Path(tempfile.mkdtemp(prefix="wssgate-key-provider-", dir="/var/lib"))
    provider = KeyProvider(folder, free_port())
    yield provider
    provider.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    port = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{port}"):
        yield port


@pytest.fixture(scope="module")
def deployed(provider: KeyProvider, upstream: int) -> Iterator[Gate]:
    gate = Gate(provider, upstream)
    try:
        # First of all with nobody there, which changes nothing.
        with pytest.raises(AssertionError) as failure:
            gate.apply()
        gate.refusal = str(failure.value)
        gate.left = sorted(path.name for path in gate.etc.rglob("*"))
        gate.apply(wss_proxy_issuers=[gate.issuer(provider, keys=[{"content": json.dumps(START.jwk())}])])
        gate.started_with, gate.warned = gate.judged(START, FIRST), gate.warnings
        provider.publish(FIRST.jwk())
        provider.start()
        gate.agent.start()
        gate.has("first")
        gate.went_on_with = gate.judged(START, FIRST)
        yield gate
        assert "exited on signal" not in gate.error_log()
    finally:
        gate.__exit__()


@pytest.fixture
def gate(deployed: Gate) -> Iterator[Gate]:
    """With the first key, a provider that does what it should, and an agent that runs."""
    deployed.provider.reset()
    deployed.provider.start()
    deployed.provider.publish(FIRST.jwk())
    deployed.has("first")
    wait_for(lambda: not deployed.known()["problem"])
    yield deployed
    if not deployed.agent.is_running:
        deployed.agent = deployed.new_agent()
        deployed.agent.start()


def test_the_first_deployment_needs_a_set_or_keys_to_start_with(gate: Gate) -> None:
    assert f"issuer 'main', jwks_url: localhost:{gate.provider.port} cannot be reached: Connection refused" in (
        gate.refusal
    )
    assert "Nothing was changed" in gate.refusal
    assert gate.left == ["conf.d", "mime.types"]
    assert gate.started_with == [101, 403]
    assert "It starts with its keys" in gate.warned
    # Once there is a set, these count no longer.
    assert gate.went_on_with == [403, 101]


def test_a_later_run_leaves_fetched_keys_as_they_are(gate: Gate) -> None:
    gate.provider.publish(SECOND.jwk(), FIRST.jwk())
    gate.has("first", "second")
    before, workers = gate.rules.read_bytes(), gate.workers()
    assert "changed=0" in gate.apply()
    assert (gate.rules.read_bytes(), gate.workers()) == (before, workers)


def test_a_rotation_takes_one_reload_and_cuts_no_session(gate: Gate) -> None:
    with gate.request(FIRST) as reply:
        session = reply.session
        assert session is not None and session.echo("before") == "before"
        workers, tries = gate.workers(), len(gate.activations)
        gate.provider.publish(FIRST.jwk(), SECOND.jwk())
        gate.has("first", "second")
        assert gate.judged(FIRST, SECOND) == [101, 101]
        assert not set(workers) & set(gate.workers())
        gate.provider.publish(SECOND.jwk())
        gate.has("second")
        assert gate.judged(FIRST, SECOND) == [403, 101]
        assert gate.activations[tries:] == ["the keys are live\n"] * 2
        assert session.echo("after") == "after"


def test_what_does_not_change_costs_nothing(gate: Gate) -> None:
    tries, workers = len(gate.activations), gate.workers()
    gate.provider.publish(FIRST.jwk(), THIRD.jwk())
    gate.has("first", "third")
    gate.provider.statuses.clear()
    fetched_at = gate.known()["fetched_at"]
    wait_for(lambda: gate.provider.statuses.count(304) > 3)
    assert set(gate.provider.statuses) == {304}
    # In another order it is the same set.
    gate.provider.publish(THIRD.jwk(), FIRST.jwk())
    wait_for(lambda: gate.provider.statuses[-2:] == [200, 304])
    assert gate.known()["fetched_at"] > fetched_at
    assert gate.activations[tries:] == ["the keys are live\n"] and workers != gate.workers()


def test_a_token_of_an_unknown_key_makes_nobody_fetch(gate: Gate) -> None:
    wait_for(lambda: gate.known()["fetched_at"])
    gate.agent.stop()
    before = len(gate.provider.statuses)
    assert {gate.status(SECOND) for _ in range(20)} == {403}
    assert len(gate.provider.statuses) == before
    gate.agent.go_on()


def test_a_key_that_has_gone_counts_for_its_grace(gate: Gate) -> None:
    text = gate.rules.read_text()
    try:
        gate.rules.write_text(text.replace('"grace": 0', '"grace": 6'))
        gate.reload()
        gate.provider.publish(SECOND.jwk())
        gate.has("first", "second")
        assert gate.judged(FIRST, SECOND) == [101, 101]
        gate.has("second")
        assert gate.judged(FIRST, SECOND) == [403, 101]
    finally:
        gate.rules.write_text(gate.rules.read_text().replace('"grace": 6', '"grace": 0'))
        gate.reload()


def test_keys_that_are_not_taken_are_left_out_and_reported(gate: Gate) -> None:
    gate.provider.publish(
        SECOND.jwk(),
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "edwards"},
        RSA.jwk(use="enc", kid="secret"),
        RSA.jwk(alg="RS512", kid="long"),
        {"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA", "kid": "large"},
    )
    gate.has("second")
    left_out = gate.known()["left_out"]
    assert [words.split("'")[1] for words in left_out] == ["edwards", "secret", "long", "large"]
    assert "left out of its key set: key 'edwards' is of type 'OKP'" in gate.agent.words()


def answers(status: int, body: bytes, **headers: str) -> Behaviour:
    def behaviour(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return behaviour


def silent(handler: Handler) -> None:
    with contextlib.suppress(OSError):
        handler.rfile.read(1)


def dripping(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(1000):
            handler.wfile.write(b" ")
            time.sleep(0.05)


def hanging_up(handler: Handler) -> None:
    handler.close_connection = True


def keys(*entries: dict[str, Any]) -> Behaviour:
    return answers(200, json.dumps({"keys": list(entries)}).encode())


BAD: dict[str, tuple[Behaviour, str]] = {
    "slow": (silent, "does not answer in time"),
    "drip": (dripping, "does not answer in time"),
    "huge": (keys(SECOND.jwk(), {"kty": "x" * (257 << 10)}), "answers with more than 256 KiB"),
    "redirect to http": (answers(302, b"", Location="http://localhost/"), "a redirect (302), which is not followed"),
    "redirect elsewhere": (answers(307, b"", Location="https://127.0.0.1/"), "a redirect (307), which is not"),
    "500": (answers(500, json.dumps({"keys": [SECOND.jwk()]}).encode()), "answers with 500"),
    "HTML": (answers(200, b"<html>"), "no JSON Web Key Set"),
    "no JSON": (answers(200, b'{"keys": ['), "is no JSON"),
    "twice": (answers(200, b'{"keys": [], "keys": []}'), "same name twice"),
    "zipped": (answers(200, b"{}", **{"Content-Encoding": "gzip"}), "encoding that was not asked for"),
    "no HTTP": (lambda handler: handler.wfile.write(b"hello\r\n") and None, "something else than HTTP"),
    "hung up": (hanging_up, "closes the connection"),
    "empty": (keys(), "it has no key for signatures"),
    "none that is taken": (keys({"kty": "OKP", "kid": "e"}), "it has no key for signatures that is taken"),
    "private": (keys(SECOND.jwk(d="AAAA")), "'second' is a private key"),
    "shared": (keys(SECOND.jwk(), {"kty": "oct", "k": "AAAA"}), "a shared secret"),
    "weak": (keys(SECOND.jwk(), WEAK.jwk()), "'weak' is RSA with 1024 bits"),
    "same kid": (keys(SECOND.jwk(), FIRST.jwk(kid="second")), "two keys have the kid 'second'"),
    "no point": (keys(SECOND.jwk(x=FIRST.jwk()["x"])), "no point on P-256"),
}


@pytest.mark.parametrize("name", [*BAD, "wrong certificate", "dead"])
def test_the_last_good_keys_stay_whatever_is_published(gate: Gate, name: str) -> None:
    before, tries = gate.rules.read_bytes(), len(gate.activations)
    words = {"wrong certificate": "a certificate that does not count", "dead": "Connection refused"}.get(name, "")
    if name == "wrong certificate":
        gate.provider.certificate = "wrong"
    elif name == "dead":
        gate.provider.stop()
    else:
        gate.provider.behaviour, words = BAD[name]
    wait_for(lambda: words in gate.known()["problem"])
    wait_for(lambda: "so its keys stay as they were" in gate.agent.status)
    wait_for(lambda: words in gate.agent.status)
    assert "keys of main cannot be fetched" in gate.agent.status
    assert gate.rules.read_bytes() == before and len(gate.activations) == tries
    assert gate.judged(FIRST, SECOND) == [101, 403]
    if name == "dead":
        gate.provider.start()
    gate.provider.reset()
    gate.provider.publish(SECOND.jwk())
    gate.has("second")
    wait_for(lambda: "keys of 1 issuers are fetched" in gate.agent.status)
    assert gate.judged(FIRST, SECOND) == [403, 101]


def test_a_configuration_that_somebody_broke_keeps_the_keys_until_it_is_mended(gate: Gate) -> None:
    before, broken = gate.rules.read_bytes(), gate.etc / "conf.d/broken.conf"
    broken.write_text("no_such_directive;\n")
    gate.provider.publish(SECOND.jwk())
    wait_for(lambda: "fetched keys are not live: nginx refuses this configuration" in gate.agent.status)
    wait_for(lambda: "no_such_directive" in gate.agent.status)
    assert gate.rules.read_bytes() == before
    assert gate.judged(FIRST, SECOND) == [101, 403]
    broken.unlink()
    gate.has("second")
    wait_for(lambda: "not live" not in gate.agent.status)
    assert gate.judged(FIRST, SECOND) == [403, 101]


AGENT_FAULTS = [
    (f"{DUTY}.key_set_duty", "KeySets", "_collect"),
    (STATE, "state", "save_known"),
    (STATE, "state", "begin"),
    (STATE, "state", "offer"),
]
ACTIVATION_FAULTS = [
    (STATE, "state", "take"),
    (f"{UTILS}._nginx.files", "Exchange", "stage"),
    (f"{UTILS}._nginx.files", "Exchange", "commit"),
    (f"{UTILS}._nginx.live", "Activator", "reload"),
    (f"{UTILS}._nginx.files", "Exchange", "close"),
    (STATE, "state", "save_result"),
]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", AGENT_FAULTS, ids=lambda one: one[2])
def test_an_agent_that_is_killed_loses_no_rotation(gate: Gate, where: tuple[str, str, str], is_after: bool) -> None:
    gate.agent.kill()
    gate.provider.publish(SECOND.jwk())
    gate.agent = gate.new_agent(fault(*where, is_after))
    with contextlib.suppress(AssertionError):
        gate.agent.start()
    assert gate.agent.wait() == 9
    gate.agent = gate.new_agent()
    gate.agent.start()
    gate.has("second")
    assert gate.judged(FIRST, SECOND) == [403, 101]


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("where", ACTIVATION_FAULTS, ids=lambda one: one[2])
def test_a_kill_while_keys_are_made_live_leaves_all_or_nothing(
    gate: Gate, where: tuple[str, str, str], is_after: bool
) -> None:
    gate.agent.kill()
    gate.agent = gate.new_agent("key_set_duty.TAKEN_WITHIN = 0.5\n")
    gate.activation_fault = fault(*where, is_after)
    gate.agent.start()
    gate.provider.publish(SECOND.jwk())
    wait_for(lambda: not gate.activation_fault)
    wait_for(lambda: (gate.agent.state / "key_result.json").exists() and '"is_done": true' in gate.result())
    gate.has("second")
    assert gate.judged(FIRST, SECOND) == [403, 101]
    assert not list(gate.etc.glob(".wssgate-work-*"))
