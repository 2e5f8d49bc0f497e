# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a handshake costs at gates that have different numbers of tokens."""

from __future__ import annotations

import contextlib
import random
import socket
import statistics
import time
from typing import Any

from lib import usage
from lib.head_echo import HeadEcho
from lib.local_gate import LocalGate, free_port

from .tokens_store import bare_loop, file_system, names

HANDSHAKES = 60


def handshakes(counts: list[int], rounds: int) -> list[dict[str, Any]]:
    """Gates side by side that differ in the number of files in their store only."""
    counts = sorted({1, *counts})
    head_echo = HeadEcho()
    samples: dict[tuple[str, int], list[float]] = {}
    spent: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        gates = []
        for files in counts:
            port = free_port()
            local_gate = LocalGate([])
            upstream = f"http://127.0.0.1:{head_echo.port}"
            local_gate.variables["wss_proxy_servers"] = [{
                "name": "gate", "server_names": ["gate.example.com"],
                "listen": [{"address": "127.0.0.1", "port": port, "tls": False}],
                "locations": [
                    {"path": "/wss", "upstream": upstream, "origins": ["https://app.example.com"]}
                ],
            }]  # fmt: skip
            stack.enter_context(local_gate)
            bare_loop(local_gate.tokens, names(files))
            gates.append((files, port, local_gate))
        choose = random.Random(1)
        for turn in range(rounds * 5):
            for files, port, local_gate in gates if turn % 2 else reversed(gates):
                for status, form in ((101, "bench-token-{:08d}"), (403, "other-token-{:08d}")):
                    before = usage.cpu_seconds(local_gate.workers())
                    for _handshake in range(HANDSHAKES):
                        token = form.format(choose.randrange(files if status == 101 else counts[-1]))
                        samples.setdefault((str(status), files), []).append(one_handshake(port, token, status))
                    spent.setdefault((str(status), files), []).append(
                        (usage.cpu_seconds(local_gate.workers()) - before) / HANDSHAKES
                    )
        kind = file_system(gates[0][2].tokens)
    head_echo.close()
    return [
        {
            "status": int(status), "files": files, "file_system": kind, "handshakes": len(found),
            "median_us": round(statistics.median(found) * 1e6, 1),
            "processor_us": round(statistics.median(spent[status, files]) * 1e6, 1),
            "quartiles_us": [round(value * 1e6, 1) for value in statistics.quantiles(found, n=4)],
        }
        for (status, files), found in sorted(samples.items())
    ]  # fmt: skip


def one_handshake(port: int, token: str, status: int) -> float:
    request = (
        "GET /wss HTTP/1.1\r\nHost: gate.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Origin: https://app.example.com\r\nCookie: AUTH={token}\r\n\r\n"
    ).encode()
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        answer = client.recv(4096)
        taken = time.perf_counter() - started
    if not answer.startswith(b"HTTP/1.1 %d " % status):
        raise RuntimeError(f"expected {status}, got {answer[:60]!r}")
    return taken
