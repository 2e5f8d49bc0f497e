# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How soon what is issued and revoked through the hub counts, and what the hub and the agents carry.

    make bench NAME=hub                             # all parts, about 25 minutes
    make bench NAME=hub ARGS='--write docs'         # docs/hub-figures.md and .json
    make bench NAME=hub ARGS='--parts times --scale 0.1'

times    From an issue to admitted on three gates, and from a revocation to closed sessions on three; by Ansible, too.
rates    How many issues a second the hub takes for a minute, and with how many the gates' agents keep up.
new      How long a new gate takes to catch up with 100,000 and 1,000,000 tokens, and what its agent then needs.
confirm  How long it takes until 3 and 30 gates have confirmed a revocation (agents without nginx).
flood    The hub's memory while an issuer floods it, and how long a revocation takes then.

All of it runs on this machine: the hub is a Redis with TLS that writes each entry to the disk before it answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.collection import install_loader

if __name__ == "__main__":
    install_loader()

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys  # noqa: E402  after the loader
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.records import (  # noqa: E402
    ISSUE,
    OPERATE,
    START,
    Id,
    parse_id,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import RefusedError  # noqa: E402
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint  # noqa: E402

from lib import chaos_fleet, crowd  # noqa: E402
from lib.hub_server import FLEET  # noqa: E402
from lib.local_gate import LocalNginx  # noqa: E402
from lib.processes import wait_for  # noqa: E402

from . import hub_report  # noqa: E402
from .gate import machine  # noqa: E402
from .hub_gates import (  # noqa: E402
    APP,
    AT_ONCE,
    FLOODER,
    Fleet,
    admitted,
    closed,
    entry,
    fill,
    new_token,
)
from .measures import percentile  # noqa: E402

PARTS = ("times", "rates", "new", "confirm", "flood")
GATES = ("g1", "g2", "g3")
# Seconds that a session has at least before it is ended: the agent reads nginx's log ten times a second.
SETTLED = 0.3
FLOOD_MEMORY = 64 << 20
# Seconds that gates have to confirm something, or to do it
LONGEST = 60.0


def spread(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    found = {"p50_ms": percentile(seconds, 0.5), "p99_ms": percentile(seconds, 0.99), "max_ms": max(seconds)}
    return {name: round(value * 1e3, 1) for name, value in found.items()}


def wait_for_removal(paths: list[Path], gone: list[float], began: float) -> None:
    """Take note of how long it took until none of these files was there."""
    while any(path.exists() for path in paths):
        if time.monotonic() > began + LONGEST:
            return
        time.sleep(0.002)
    gone.append(time.monotonic() - began)


class Bench:
    def __init__(self, scale: float, say: Callable[[str], None]) -> None:
        self.scale, self.say = scale, say
        self.facts: dict[str, Any] = {}

    def _count(self, number: int, least: int = 1) -> int:
        return max(least, int(number * self.scale))

    def _seconds(self, number: float, least: float = 1.0) -> float:
        return max(least, number * self.scale)

    @contextlib.contextmanager
    def fleet(self, *names: str, **options: Any) -> Any:
        folder = tempfile.mkdtemp(prefix="wssgate-bench-hub-")
        try:
            with Fleet(Path(folder), names, **options) as fleet:
                self.facts["hub"] = fleet.version()
                yield fleet
        finally:
            # Of a million files Python takes its time.
            subprocess.run(["rm", "-rf", folder], check=True)

    # -- times

    def times(self) -> dict[str, Any]:
        with chaos_fleet.nginxes(GATES) as (served, by_name), self.fleet(*GATES) as fleet:
            found = self.by_hub(fleet, served, by_name)
            ports = list(by_name.values())
            found["playbook with hub"] = asyncio.run(self._by_playbook(fleet, ports, has_hub=True))
            self.say(f"times: by playbook, with the hub: {json.dumps(found['playbook with hub'])}")
            for gate in fleet.gates.values():
                gate.start(is_alone=True)
            found["playbook"] = asyncio.run(self._by_playbook(fleet, ports, has_hub=False))
            self.say(f"times: by playbook, without a hub: {json.dumps(found['playbook'])}")
        return found

    def by_hub(self, fleet: Fleet, served: Mapping[str, LocalNginx], ports: Mapping[str, int]) -> dict[str, Any]:
        """The part of it that Ansible has nothing to do with."""
        fleet.add_served(served)
        fleet.start()
        found = asyncio.run(self._by_hub(fleet, list(ports.values())))
        self.say(f"times: through the hub: {json.dumps(found)}")
        return {"gates": len(ports), "hub": found}

    async def _by_hub(self, fleet: Fleet, ports: list[int]) -> dict[str, Any]:
        appended, issued, revoked = [], [], []
        with fleet.entered(keys.issuer_user(APP)) as issuer, fleet.operator() as operator:
            for _try in range(self._count(200, 3)):
                token = new_token()
                began = time.monotonic()
                await asyncio.to_thread(issuer.call, *entry(token))
                appended.append(time.monotonic() - began)
                found = await asyncio.gather(*(admitted(port, token) for port in ports))
                issued.append(max(moment for _session, moment in found) - began)
                sessions = [session for session, _moment in found]
                await self._settle(sessions)
                ends = asyncio.gather(*(closed(session) for session in sessions))
                began = time.monotonic()
                await asyncio.to_thread(operator.revoke, full_fingerprint(token))
                revoked.append(max(await ends) - began)
        return {
            "tries": len(issued), "append": spread(appended), "issue": spread(issued), "revoke": spread(revoked)
        }  # fmt: skip

    async def _by_playbook(self, fleet: Fleet, ports: list[int], has_hub: bool) -> dict[str, Any]:
        issued, revoked = [], []
        for _try in range(self._count(4)):
            began = time.monotonic()
            told = await asyncio.to_thread(fleet.play, "token_issue", has_hub, subject="client-42", ttl=3600)
            (token,) = told["tokens"]
            found = await asyncio.gather(*(admitted(port, token) for port in ports))
            issued.append(max(moment for _session, moment in found) - began)
            sessions = [session for session, _moment in found]
            await self._settle(sessions)
            ends = asyncio.gather(*(closed(session) for session in sessions))
            began = time.monotonic()
            fingerprint = full_fingerprint(token)
            await asyncio.to_thread(fleet.play, "token_revoke", has_hub, fingerprint=fingerprint)
            revoked.append(max(await ends) - began)
        return {"tries": len(issued), "issue": spread(issued), "revoke": spread(revoked)}

    async def _settle(self, sessions: list[crowd.Session]) -> None:
        """They echo, the agents know of them, and it is another moment of the agents' than the last time."""
        for session in sessions:
            await session.echo()
        await asyncio.sleep(SETTLED + random.random() * 0.1)

    # -- rates

    def rates(self) -> list[dict[str, Any]]:
        found = []
        # The most comes last: agents that are behind then are in nobody's way.
        for rate, seconds in ((250, 10), (500, 10), (1000, 10), (2000, 10), (10_000, 60)):
            with self.fleet(*GATES) as fleet:
                fleet.add(*GATES)
                fleet.start()
                found.append(self.at_rate(fleet, self._count(rate, 50), self._seconds(seconds)))
                self.say(f"rates: {json.dumps(found[-1])}")
        return found

    def at_rate(self, fleet: Fleet, rate: int, seconds: float) -> dict[str, Any]:
        """Issue at a rate; how far the agents were behind meanwhile, and when they had done it all."""
        behind: list[float] = []
        is_over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(fleet, is_over, behind), daemon=True)
        step = min(AT_ONCE, max(1, rate // 20))
        count, last = 0, START
        with fleet.entered(keys.issuer_user(APP)) as issuer:
            watch.start()
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                if count <= passed * rate:
                    replies = issuer.calls([entry(new_token()) for _number in range(step)])
                    count, last = count + step, parse_id(replies[-1]) or START
                else:
                    time.sleep(count / rate - passed)
            took = time.monotonic() - began
        is_over.set()
        watch.join()
        is_done = fleet.await_place(ISSUE + APP, last, max(20.0, 2 * seconds))
        done_after = time.monotonic() - began
        held = [len(os.listdir(gate.store)) for gate in fleet.gates.values()]
        return {
            "asked_for": rate,
            "a_second": round(count / took),
            "issued": count,
            "behind_s": round(max(behind, default=0.0), 2),
            "is_done": is_done,
            "done_after_s": round(done_after - took, 2),
            "done_a_second": round(min(held) / done_after),
            "agents_mib": round(max(gate.memory() for gate in fleet.gates.values()), 1),
            "hub_mib": round(fleet.memory()["used"] / 2**20, 1),
        }

    @staticmethod
    def _watch(fleet: Fleet, is_over: threading.Event, behind: list[float]) -> None:
        """How old the newest entry is that the slowest gate has done while there are newer ones."""
        with fleet.operator() as operator:
            start = operator.now()
            while not is_over.wait(0.2):
                now = operator.now()
                places: list[Id] = [gate.place(ISSUE + APP) for gate in fleet.gates.values()]
                behind.append((now - max(start, min(places)[0])) / 1000)

    # -- a new gate

    def new(self, numbers: Sequence[int] = (100_000, 1_000_000)) -> list[dict[str, Any]]:
        counts = [self._count(number, 200) for number in numbers]
        names = [f"new{number}" for number in range(len(counts))]
        found = []
        with self.fleet(*names) as fleet, fleet.entered(keys.issuer_user(APP)) as issuer:
            there = 0
            for name, count in zip(names, counts, strict=True):
                began = time.monotonic()
                last = fill(issuer, count - there)
                filled = time.monotonic() - began
                (gate,) = fleet.add(name)
                figures = {"tokens": count, "fill_a_second": round((count - there) / filled)}
                figures |= self._catch_up(gate, last)
                figures["hub_mib"] = round(fleet.memory()["used"] / 2**20, 1)
                held = len(os.listdir(gate.store))
                if held < count:
                    raise RuntimeError(f"a new gate has {held} of {count} tokens")
                gate.stop()
                found.append(figures)
                there = count
                self.say(f"new: {json.dumps(figures)}")
        return found

    def _catch_up(self, gate: Any, last: Id) -> dict[str, Any]:
        memory: list[float] = []
        began, lets_in = time.monotonic(), 0.0
        gate.start()
        while gate.place(ISSUE + APP) < last:
            if time.monotonic() > began + 900:
                raise RuntimeError(f"a new gate has not caught up in {time.monotonic() - began:.0f} s")
            if not lets_in and gate.marker.exists():
                lets_in = time.monotonic() - began
            memory.append(gate.memory())
            time.sleep(0.1)
        done = time.monotonic() - began
        time.sleep(self._seconds(2, 0.1))
        return {
            "lets_in_s": round(lets_in or done, 1),
            "all_s": round(done, 1),
            "most_mib": round(max(memory, default=0.0), 1),
            "pss_mib": round(gate.memory(), 1),
        }

    # -- confirmation

    def confirm(self) -> list[dict[str, Any]]:
        found = []
        for number in (3, self._count(30, 4)):
            names = [f"g{one}" for one in range(1, number + 1)]
            with self.fleet(*names) as fleet:
                fleet.add(*names)
                fleet.start()
                tokens = self._issued(fleet, self._count(100, 3))
                figures: dict[str, Any] = {"gates": number, **self._revoked(fleet, tokens)}
                figures["agents_mib"] = round(sum(gate.memory() for gate in fleet.gates.values()), 1)
                found.append(figures)
                self.say(f"confirm: {json.dumps(figures)}")
        return found

    def _revoked(self, fleet: Fleet, tokens: list[str], pause: float = 0.0) -> dict[str, Any]:
        """Tokens that are on all gates, revoked one by one: when their files had gone, and when all gates had told."""
        names = list(fleet.gates)
        gone: list[float] = []
        confirmed: list[float] = []
        refused = silent = 0
        with fleet.operator() as operator:
            for token in tokens:
                began = time.monotonic()
                while True:
                    # By itself it asks a full hub again for five seconds.
                    try:
                        place = operator.revoke(full_fingerprint(token))
                        break
                    except RefusedError:
                        refused += 1
                        if refused > len(tokens):
                            raise
                paths = [gate.store / token for gate in fleet.gates.values()]
                waiting = threading.Thread(target=wait_for_removal, args=(paths, gone, began), daemon=True)
                waiting.start()
                if operator.wait(place, names, LONGEST):
                    silent += 1
                else:
                    confirmed.append(time.monotonic() - began)
                waiting.join()
                time.sleep(pause + random.random() * 0.1)
        if len(gone) < len(tokens):
            raise RuntimeError("a revoked token is still on a gate")
        found: dict[str, Any] = {"tries": len(tokens), "gone": spread(gone), "refused": refused, "silent": silent}
        return found | ({"confirmed": spread(confirmed)} if confirmed else {})

    @staticmethod
    def _issued(fleet: Fleet, count: int) -> list[str]:
        """Tokens that are on all gates."""
        tokens = [new_token() for _number in range(count)]
        with fleet.operator() as operator:
            place = [operator.issue(token, "client-42", ttl=3600) for token in tokens][-1]
        if not fleet.await_place(OPERATE, place, LONGEST):
            raise RuntimeError("the gates do not have what was issued")
        return tokens

    # -- a flood

    def flood(self, full: float = 1.0) -> dict[str, Any]:
        """``full`` is the share of the hub's memory that is waited for before tokens are revoked."""
        with self.fleet(*GATES, memory=FLOOD_MEMORY) as fleet:
            fleet.add(*GATES)
            fleet.start()
            count = self._count(20, 3)
            tokens = self._issued(fleet, count + self._count(60, 3))
            quiet = self._revoked(fleet, tokens[:count])
            is_over = threading.Event()
            counts = {"entries": 0, "bytes": 0, "refused": 0}
            most = {"used": 0, "resident": 0}
            threads = [
                threading.Thread(target=self._flood, args=(fleet, is_over, counts), daemon=True),
                threading.Thread(target=self._measure_hub, args=(fleet, is_over, most), daemon=True),
            ]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            try:
                # A slow machine may flood no faster than the gates trim.
                with contextlib.suppress(AssertionError):
                    wait_for(lambda: counts["refused"] or most["used"] > full * FLOOD_MEMORY, 60)
                flooded = self._revoked(fleet, tokens[count:], pause=0.5)
            finally:
                is_over.set()
                for thread in threads:
                    thread.join()
            figures = {
                "memory_mib": FLOOD_MEMORY >> 20,
                "seconds": round(time.monotonic() - began, 1),
                "entries": counts["entries"],
                "mib": round(counts["bytes"] / 2**20),
                "refused": counts["refused"],
                "used_mib": round(most["used"] / 2**20, 1),
                "resident_mib": round(most["resident"] / 2**20, 1),
                "quiet": quiet,
                "flooded": flooded,
            }
        self.say(f"flood: {json.dumps(figures)}")
        return figures

    @staticmethod
    def _flood(fleet: Fleet, is_over: threading.Event, counts: dict[str, int]) -> None:
        """Entries as large as fit in, and as fast as the hub takes them, by an issuer that was broken into."""
        size, smallest, largest = 500_000, 1100, 500_000
        with fleet.entered(keys.issuer_user(FLOODER)) as issuer:
            while not is_over.is_set():
                try:
                    issuer.call("XADD", keys.issue(FLEET, FLOODER), "*", "token", b"x" * size)
                    counts["entries"] += 1
                    counts["bytes"] += size
                    size = min(2 * size, largest)
                except RefusedError as error:
                    if error.code != "OOM":
                        raise
                    counts["refused"] += 1
                    size = max(size // 2, smallest)

    @staticmethod
    def _measure_hub(fleet: Fleet, is_over: threading.Event, most: dict[str, int]) -> None:
        while not is_over.wait(0.1):
            for name, value in fleet.memory().items():
                most[name] = max(most[name], value)


def measure(arguments: argparse.Namespace, results: dict[str, Any], path: Path | None) -> None:
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    bench = Bench(arguments.scale, say)
    work: dict[str, Callable[[], Any]] = {part: getattr(bench, part) for part in PARTS}
    work["new"] = lambda: bench.new(arguments.tokens)
    for part in arguments.parts:
        start, before = time.monotonic(), os.getloadavg()[0]
        results[part] = {
            "figures": work[part](),
            "seconds": round(time.monotonic() - start),
            "scale": bench.scale,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "load_before": round(before, 1),
        }
        results |= {"machine": machine(), **bench.facts}
        if path:
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="how many of each, and for how long")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[100_000, 1_000_000], help="in the hub when a new gate comes"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file; parts not measured stay in it")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the page and the figures to this folder")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    arguments = parser.parse_args()
    path = arguments.json or (arguments.write / hub_report.JSON if arguments.write else None)
    results: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
    if not arguments.report:
        crowd.raise_limit()
        measure(arguments, results, path)
    page = hub_report.page(results)
    print(page)
    if arguments.write:
        (arguments.write / hub_report.PAGE).write_text(page)
        print(f"written: {arguments.write / hub_report.PAGE}")


if __name__ == "__main__":
    main()
