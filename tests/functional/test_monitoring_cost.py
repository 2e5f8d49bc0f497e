# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring costs, as far as no machine's mood touches it: a handshake's system calls, and mtail's memory.

Time and instructions are for `make bench NAME=monitoring`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib import load, mtail, usage
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

ORIGIN = "https://app.example.com"
TOKEN = "Cost-token_0123456789"
HANDSHAKES = 50
# How many lines mtail has had when it has seen each label and its heap has its size, and how many come after that
FIRST_LINES, MORE_LINES = 10_000, 20_000


@pytest.fixture
def gate() -> Iterator[tuple[LocalGate, load.Target]]:
    upstream_port, port = free_port(), free_port()
    server = {
        "name": "gate",
        "server_names": ["gate.example.com"],
        "listen": [{"address": "127.0.0.1", "port": port}],
        "certificate": "gate",
        "locations": [{"path": "/wss", "upstream": f"http://127.0.0.1:{upstream_port}", "origins": [ORIGIN]}],
    }
    local_gate = LocalGate([server], token_store_pruner="agent")
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate("gate")],
        "monitoring_listen": [{"address": "127.0.0.1", "port": free_port()}],
        "monitoring_certificate": "gate",
        "monitoring_allow_from": ["192.0.2.40"],
        "token_store_metrics_file": str(local_gate.root / "agent.prom"),
    }
    with running("echo_server", "--echo", f"127.0.0.1:{upstream_port}"), local_gate:
        local_gate.issue(TOKEN)
        yield local_gate, load.Target(port, origin=ORIGIN, cookie=f"AUTH={TOKEN}")


def calls_of(local_gate: LocalGate, target: load.Target) -> float:
    """System calls of a handshake, without reads, of which a busy client's messages take one more or less."""
    wait_for(lambda: not local_gate.workers("nginx: worker process is shutting down"), 30)
    load.handshakes(None, target, count=5)
    with usage.system_calls(local_gate.workers()[0]) as calls:
        load.handshakes(None, target, count=HANDSHAKES)
    return (sum(calls.values()) - calls["read"]) / HANDSHAKES


def test_a_handshake_takes_the_same_system_calls_with_metrics_and_without(gate):
    local_gate, target = gate
    without = calls_of(local_gate, target)
    local_gate.apply(monitoring_enabled=True)
    assert "/metrics/log" in "".join(local_gate.configuration().values())
    assert calls_of(local_gate, target) == pytest.approx(without, abs=0.3)


def mib_after(piped: mtail.Piped, lines: int) -> float:
    """mtail's own memory then, the least of a few looks: what its collector is about to give back is not kept."""
    chance, found = random.Random(lines), []
    block = [mtail.log_lines(chance, 500) for _number in range(20)]
    for number in range(lines // 500):
        piped.write(block[number % len(block)])
    for _look in range(5):
        found.append(usage.memory_kib([piped.pid], "Anonymous") / 1024)
        time.sleep(0.1)
    return min(found)


def growth(folder: Path, program: str) -> float:
    with mtail.Piped(folder, program) as piped:
        # A heap of a few MiB goes up and down by a tenth; what is kept of lines only goes up.
        before = max(mib_after(piped, FIRST_LINES) for _round in range(3))
        return min(mib_after(piped, MORE_LINES) for _round in range(3)) / before


def test_the_memory_of_mtail_does_not_grow_with_the_lines(tmp_path: Path) -> None:
    assert growth(tmp_path, mtail.rendered()) < 1.1


def test_what_keeps_something_of_each_client_would_be_seen(tmp_path: Path) -> None:
    """A label of which there are as many values as lines, which the role's program has none of."""
    kept = mtail.rendered().replace('"connection":\\d+/', '"connection":(?P<number>\\d+)/')
    kept = kept.replace('[$location]["in"]', '[$number]["in"]')
    assert "(?P<number>" in kept and "[$number]" in kept and growth(tmp_path, kept) > 1.1
