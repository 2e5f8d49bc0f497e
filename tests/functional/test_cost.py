# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session costs the gate, in counts that are the same on every machine: system calls and memory.

Seconds are for `make bench`. Whoever makes a handshake or a session dearer on purpose changes the number here, and says
in docs/performance.md what it bought.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lib import load, usage
from lib.jwt_signing import Signer
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

ORIGIN = "https://app.example.com"
TOKEN = "Cost-token_0123456789"
SIGNER = Signer("ES256")

# With nginx 1.31.3 and its own OpenSSL, TLS 1.3, a full handshake, token, three log lines.
CALLS_PER_HANDSHAKE = 38.1
CALLS_PER_REFUSAL = 6.1
CALLS_PER_MESSAGE_OF_16_KIB = 20.2
KIB_PER_SESSION = 50.1
# A signed token is judged in a request of its own, so that a session does not keep what that took. Within its own it
# would be 45 KiB. What it keeps is the request to the judge, which has the token in it, and the answer: three blocks of
# its pool, or two, as the token fits. Debian 14's nginx takes three for each, and what glibc has beside them.
CALLS_PER_SIGNED_HANDSHAKE = 54.4
KIB_MORE_PER_SIGNED_SESSION, KIB_MORE_WITH_NGINX = 6, {"1.30": 6.4}
# A token that makes the head longer than 1k, as identity providers' do. Without client_header_buffer_size nginx keeps
# 8k for the head, and it would be 15 to 16 KiB.
LONG_TOKEN, KIB_MORE_PER_LONG_SIGNED_SESSION = 640, 10


@pytest.fixture(scope="module")
def gate() -> Iterator[tuple[LocalGate, load.Target]]:
    upstream_port, port = free_port(), free_port()
    server = {
        "name": "gate",
        "server_names": ["gate.example.com"],
        "listen": [{"address": "127.0.0.1", "port": port}],
        "certificate": "gate",
        "locations": [
            {"path": "/wss", "upstream": f"http://127.0.0.1:{upstream_port}", "origins": [ORIGIN]},
            {"path": "/page", "upstream": f"http://127.0.0.1:{upstream_port}", "origins": [ORIGIN], "http": True},
            {
                "path": "/signed",
                "upstream": f"http://127.0.0.1:{upstream_port}",
                "origins": [ORIGIN],
                "auth": "jwt",
                "issuers": ["main"],
            },
        ],
    }
    local_gate = LocalGate([server], nginx_sessions=1000, token_store_pruner="agent")
    local_gate.variables["wss_proxy_issuers"] = [
        {"name": "main", "issuer": "cost", "audience": ["wss"], "keys": [{"content": SIGNER.public_pem}]}
    ]
    local_gate.variables["wss_proxy_certificates"] = [local_gate.certificate("gate")]
    with running("echo_server", "--echo", f"127.0.0.1:{upstream_port}"), local_gate:
        local_gate.issue(TOKEN)
        target = load.Target(port, origin=ORIGIN, cookie=f"AUTH={TOKEN}")
        wait_for(lambda: is_answered(target), 10)
        yield local_gate, target


def is_answered(target: load.Target) -> bool:
    with contextlib.suppress(OSError, load.Refused):
        load.Dialler(target).open().close()
        return True
    return False


@pytest.mark.parametrize("path", ["/wss", "/page"], ids=["WebSockets alone", "plain requests beside them"])
def test_a_handshake_takes_no_more_system_calls_than_it_did(gate, path):
    local_gate, target = gate
    target = replace(target, path=path)
    with usage.system_calls(local_gate.workers()[0]) as calls:
        load.handshakes(None, target, count=50)
    # Nine reads; one more where a busy client's last message of TLS and its request come apart.
    reads = calls["read"] / 50
    assert sum(calls.values()) / 50 - reads == pytest.approx(CALLS_PER_HANDSHAKE - 9, abs=0.3), calls
    assert 8.5 < reads < 10.5, calls


def test_a_refusal_takes_a_few_system_calls(gate):
    local_gate, target = gate
    with usage.system_calls(local_gate.workers()[0]) as calls:
        load.refusals(None, replace(target, cookie=""), count=200)
    assert sum(calls.values()) / 200 == pytest.approx(CALLS_PER_REFUSAL, abs=0.5), calls


def test_a_message_of_16_kib_takes_no_more_system_calls_than_it_did(gate):
    local_gate, target = gate
    with usage.system_calls(local_gate.workers()[0]) as calls:
        load.echoes(None, target, size=16384, count=200, sessions=1)
    assert sum(calls.values()) / 200 <= CALLS_PER_MESSAGE_OF_16_KIB * 1.15, calls


def signed(target: load.Target, length: int = 0) -> load.Target:
    """With a token of that many letters, or of the fewest."""
    now = int(time.time())
    claims = {"iss": "cost", "aud": "wss", "sub": "a", "jti": "b", "iat": now, "exp": now + 600}
    while len(token := SIGNER.sign(claims)) < length:
        claims["groups"] = f"{claims.get('groups', '')}x"
    return replace(target, path="/signed", cookie=f"AUTH={token}")


def test_a_handshake_with_a_signed_token_takes_no_more_system_calls_than_it_did(gate):
    local_gate, target = gate
    with usage.system_calls(local_gate.workers()[0]) as calls:
        load.handshakes(None, signed(target), count=50)
    assert sum(calls.values()) / 50 == pytest.approx(CALLS_PER_SIGNED_HANDSHAKE, abs=2), calls


# Last: their sessions are still being closed for a moment, which counts as calls.


def kib_of_a_session(local_gate: LocalGate, target: load.Target) -> float:
    """Of a new worker: one that had sessions before has memory left of them, and takes that first."""
    local_gate.reload()
    wait_for(lambda: not local_gate.workers("nginx: worker process is shutting down"), 30)
    worker = local_gate.workers()
    load.handshakes(None, target, count=50)
    before = usage.memory_kib(worker)
    with load.crowd(target) as grow:
        grow(300)
        time.sleep(0.5)
        return (usage.memory_kib(worker) - before) / 300


def test_an_idle_session_takes_no_more_memory_than_it_did(gate):
    assert kib_of_a_session(*gate) == pytest.approx(KIB_PER_SESSION, rel=0.15)


def test_a_session_of_a_signed_token_takes_little_more_memory_than_another(gate):
    local_gate, target = gate
    long = signed(target, LONG_TOKEN)
    opaque, of_signed, of_long = (kib_of_a_session(local_gate, one) for one in (target, signed(target), long))
    # A worker that had not to get memory for its sessions would show nothing.
    assert opaque > 30
    version = re.search(r"nginx/(\d+\.\d+)", local_gate.command("-v").stderr)
    most = KIB_MORE_WITH_NGINX.get(version[1] if version else "", KIB_MORE_PER_SIGNED_SESSION)
    assert of_signed - opaque < most, (opaque, of_signed)
    assert of_long - opaque < KIB_MORE_PER_LONG_SIGNED_SESSION, (opaque, of_long)
