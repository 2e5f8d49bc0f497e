# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate under thousands of sessions for a long time: does it lose one, does it get slow, does it give everything back?

python -m bench.soak [--seconds 1800] [--sessions 2000]. The gate is rendered by the roles, in a folder and on the
loopback. Every session echoes once a second. Each second one of a hundred goes and another comes. Five reloads come in
the last third. Prints figures every half minute, and ends with 1 when a session was dropped, an echo was slower than a
second more than one without the gate, memory grew while the number of sessions did not, or processes, descriptors or
memory are not back when all have gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import ssl
import sys
import time
from typing import Any

from lib import crowd, usage, wire
from lib.collection import install_loader
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

install_loader()

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.info import gather  # noqa: E402  after the loader

TOKEN = "token-of-the-soak-0001"
ORIGIN = "https://app.example.com"
NAME = "gate.example.com"
LEAVING = "nginx: worker process is shutting down"
# What an allocator keeps and a shared machine's noise.
MEMORY_TOLERANCE = 0.05
MEMORY_SLACK_KIB = 2048


def descriptors(pids: list[int]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


class Soak:
    def __init__(self, local_gate: LocalGate, port: int, echo_port: int, sessions: int) -> None:
        self.local_gate = local_gate
        tls = ssl.create_default_context(cafile=str(local_gate.etc / "certificates" / "gate" / "fullchain.pem"))
        request = wire.Request("/wss", host=NAME).origin(ORIGIN).token(TOKEN).encode()
        self.crowd = crowd.Crowd(port, request, tls, 30)
        self.direct = crowd.Crowd(echo_port, request, None, 30)
        self.count = sessions
        self.held: dict[int, asyncio.Task[None]] = {}
        self.number = 0
        self.is_over = False
        self.problems: list[str] = []
        self.random = random.Random(1)

    def clients(self) -> int:
        found = gather(
            self.local_gate.binary, str(self.local_gate.etc / "nginx.conf"), str(self.local_gate.pid_path), True, True
        )
        return int(found["connections"])

    async def one(self, number: int) -> None:
        """A session from its handshake until it is told to go."""
        session = None
        try:
            session = await self.crowd.open()
            await asyncio.sleep(self.random.random())
            while session and await self.crowd.echo_all([session]):
                await asyncio.sleep(1)
        finally:
            if session:
                session.drop()
            self.held.pop(number, None)

    def come(self, count: int) -> None:
        for _number in range(count):
            self.number += 1
            self.held[self.number] = asyncio.create_task(self.one(self.number))

    async def go(self, count: int) -> None:
        leaving = [self.held[number] for number in self.random.sample(sorted(self.held), min(count, len(self.held)))]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    async def until_empty(self) -> None:
        deadline = time.monotonic() + 60
        while self.clients() or self.local_gate.workers(LEAVING):
            if time.monotonic() > deadline:
                self.problems.append(
                    f"a minute after the last session: {self.clients()} clients, "
                    f"{len(self.local_gate.workers(LEAVING))} old workers"
                )
                return
            await asyncio.sleep(0.5)
        # The kernel tells of a client's end before nginx has looked at it.
        await asyncio.sleep(5)

    async def measure(self) -> None:
        session = await self.direct.open()
        assert session
        while not self.is_over:
            await self.direct.echo_all([session])
            await asyncio.sleep(0.05)
        session.drop()

    async def cycle(self, seconds: float, figures: list[dict[str, Any]], reloads: int = 0) -> None:
        """Keep the number, let some go and come, and note figures."""
        start = time.monotonic()
        noted = reloaded = 0
        while (passed := time.monotonic() - start) < seconds:
            await self.go(max(1, self.count // 100))
            self.come(self.count - len(self.held))
            if reloads and passed > (reloaded + 0.5) * seconds / reloads and reloaded < reloads:
                await asyncio.to_thread(self.local_gate.reload)
                reloaded += 1
            if passed >= noted * 30:
                noted += 1
                figures.append(self.note())
            await asyncio.sleep(1)

    def note(self) -> dict[str, Any]:
        pids = self.local_gate.workers() + self.local_gate.workers(LEAVING)
        figure = {
            "sessions": len(self.held),
            "workers": len(pids),
            "memory_kib": usage.memory_kib(pids),
            "descriptors": descriptors(pids),
            "handshakes": self.crowd.seen.opened,
            "echoes": self.crowd.seen.echoes,
            "slowest_echo": round(self.crowd.seen.slowest_echo, 3),
            "slowest_direct_echo": round(self.direct.seen.slowest_echo, 3),
            "failed": len(self.crowd.seen.failed),
        }
        print(json.dumps(figure), flush=True)
        return figure

    async def run(self, seconds: float) -> dict[str, Any]:
        # Once up and down first: what nginx allocates once and keeps is no leak.
        self.come(self.count)
        await asyncio.sleep(15)
        await self.go(self.count)
        await self.until_empty()
        before = self.note()
        measuring = asyncio.create_task(self.measure())
        self.come(self.count)
        await asyncio.sleep(15)
        # Thousands that come at the same moment wait for each other's handshakes. How long an echo takes counts from
        # here.
        self.crowd.seen.slowest_echo = self.direct.seen.slowest_echo = 0.0
        steady: list[dict[str, Any]] = []
        await self.cycle(seconds * 2 / 3, steady)
        reloading: list[dict[str, Any]] = []
        await self.cycle(seconds / 3, reloading, reloads=5)
        self.is_over = True
        await measuring
        await self.go(self.count)
        await self.until_empty()
        return self.judged(before, steady, self.note())

    def judged(self, before: dict[str, Any], steady: list[dict[str, Any]], after: dict[str, Any]) -> dict[str, Any]:
        first, last = steady[min(1, len(steady) - 1)], steady[-1]
        seen = self.crowd.seen
        if seen.failed:
            self.problems.append(f"{len(seen.failed)} sessions failed: {sorted(set(seen.failed))[:5]}")
        if seen.slowest_echo > self.direct.seen.slowest_echo + 1:
            self.problems.append(
                f"an echo took {seen.slowest_echo:.2f} s, without the gate {self.direct.seen.slowest_echo:.2f} s"
            )
        if last["memory_kib"] > first["memory_kib"] * (1 + MEMORY_TOLERANCE) + MEMORY_SLACK_KIB:
            self.problems.append(
                f"memory grew from {first['memory_kib']} to {last['memory_kib']} KiB with the same number of sessions"
            )
        if after["memory_kib"] > before["memory_kib"] * (1 + MEMORY_TOLERANCE) + MEMORY_SLACK_KIB:
            self.problems.append(f"memory is {after['memory_kib']} KiB with no session, it was {before['memory_kib']}")
        if after["descriptors"] != before["descriptors"] or after["workers"] != before["workers"]:
            self.problems.append(f"before: {before}, after: {after}")
        return {"before": before, "steady_first": first, "steady_last": last, "after": after, "problems": self.problems}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--sessions", type=int, default=2000)
    options = parser.parse_args()
    crowd.raise_limit()
    port, echo_port = free_port(), free_port()
    local_gate = LocalGate([], nginx_sessions=options.sessions + 200, nginx_worker_processes=2)
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": [NAME],
                "certificate": "gate",
                "listen": [{"address": "127.0.0.1", "port": port}],
                "locations": [{"path": "/wss", "upstream": f"http://127.0.0.1:{echo_port}", "origins": [ORIGIN]}],
            }
        ],
    }
    local_gate.issue(TOKEN)
    with running("load_echo_server", str(echo_port)), local_gate:
        wait_for(lambda: len(local_gate.workers()) == 2)
        start = time.monotonic()
        outcome = asyncio.run(Soak(local_gate, port, echo_port, options.sessions).run(options.seconds))
    print(json.dumps({"seconds": round(time.monotonic() - start), **outcome}, indent=2))
    return 1 if outcome["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
