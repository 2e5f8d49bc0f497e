# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring costs a gate, on Debian's nginx. Prints tables for docs/monitoring.md, and JSON with --json FILE.

    make bench NAME=monitoring                         # all parts, fifteen minutes
    make bench NAME=monitoring ARGS='--parts memory --scale 0.1'

rest          The same processes while nobody comes, as a share of a core.
cpu           Sessions that come and go as fast as clients make them, then refusals over connections that stay: the time
              on a processor of what counts (mtail, what feeds it, the agent, which also ends sessions of revoked
              tokens) as a share of nginx's.
memory        3,600,000 lines, which is an hour of 1,000 a second, as fast as mtail reads them: its memory on the way.
              It is over after ten minutes in any case, and tells how many lines there were.
instructions  nginx's own instructions outside the kernel for a handshake, by callgrind, with metrics and without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import load, mtail, usage
from lib.collection import install_loader
from lib.processes import wait_for

PARTS = ("cpu", "memory", "instructions")
PROCESSES = ("mtail", "feed", "agent")
ROUNDS = 3
SECONDS = 20.0
REST = 30.0
CLIENTS = 2
HOUR = 3_600_000
# Lines between two looks at mtail's memory
STEPS = 10
CHUNK = 500
# Seconds for all lines
PATIENCE = 600.0


class Bench:
    def __init__(self, scale: float, say: Callable[[str], None]) -> None:
        from . import contenders

        self.scale, self.say, self.contenders = scale, say, contenders
        self.shared = contenders.Shared()

    def close(self) -> None:
        self.shared.close()

    # -- time on a processor

    def cpu(self) -> dict[str, Any]:
        from lib.monitored_gate import NAME, MonitoredGate

        os.environ["WSSGATE_NGINX"] = str(self.contenders.DEBIAN_NGINX)
        upstream = f"http://127.0.0.1:{self.shared.upstream_port}"
        location = {"path": "/wss", "upstream": upstream, "origins": [self.contenders.ORIGIN]}
        found: dict[str, Any] = {}
        # What is never stopped for long would be a worse agent than a host's.
        with MonitoredGate([location], quick=False, nginx_sessions=8000) as gate:
            gate.issue(self.contenders.TOKEN)
            target = load.Target(gate.port, origin=self.contenders.ORIGIN, cookie=self.contenders.COOKIE, name=NAME)
            wait_for(lambda: self.contenders.answers(target), 60)
            self.say("the gate is up")
            found["rest"] = self._at_rest(gate)
            refused = load.Target(gate.port, origin=self.contenders.ORIGIN, name=NAME)
            for name, work, aim in (("handshakes", load.handshakes, target), ("refusals", load.refusals, refused)):
                found[name] = [self._share(gate, name, work, aim) for _round in range(ROUNDS)]
        return found

    @staticmethod
    def _processes(gate: Any) -> dict[str, list[int]]:
        return {"mtail": [gate.mtail.pid], "feed": [gate.feed.pid], "agent": [gate.agent.pid]}

    def _at_rest(self, gate: Any) -> dict[str, float]:
        """Shares of a core while nobody comes."""
        self._until_counted(gate)
        before = {one: usage.cpu_seconds(pids) for one, pids in self._processes(gate).items()}
        begin = time.monotonic()
        time.sleep(max(2.0, REST * self.scale))
        seconds = time.monotonic() - begin
        found = {one: (usage.cpu_seconds(pids) - before[one]) / seconds for one, pids in self._processes(gate).items()}
        self.say(f"at rest: {json.dumps({key: round(value, 4) for key, value in found.items()})}")
        return found

    def _share(
        self, gate: Any, name: str, work: Callable[..., dict[str, Any]], target: load.Target
    ) -> dict[str, float]:
        processes = {"nginx": usage.family(gate.master() or 0), **self._processes(gate)}
        before = {one: usage.cpu_seconds(pids) for one, pids in processes.items()}
        lines = gate.access_log.stat().st_size
        begin = time.monotonic()
        done = load.together(CLIENTS, work, target, seconds=max(1.0, SECONDS * self.scale))
        count = sum(one["done"] if name == "refusals" else len(one["times"]) for one in done)
        seconds = time.monotonic() - begin
        self._until_counted(gate)
        spent = {one: usage.cpu_seconds(pids) - before[one] for one, pids in processes.items()}
        figures = {
            "count": count,
            "per_second": count / max(one["seconds"] for one in done),
            "seconds": seconds,
            "behind_seconds": time.monotonic() - begin - seconds,
            "bytes_a_line": (gate.access_log.stat().st_size - lines) / count,
            "nginx_us": spent["nginx"] / count * 1e6,
            **{f"{one}_us": spent[one] / count * 1e6 for one in PROCESSES},
            **{f"{one}_share": spent[one] / spent["nginx"] for one in PROCESSES},
        }
        self.say(f"{name}: {json.dumps({key: round(value, 3) for key, value in figures.items()})}")
        return figures

    @staticmethod
    def _until_counted(gate: Any) -> None:
        """Until the feed is at the end of the log, and nobody works any more."""

        def is_read() -> bool:
            state = json.loads((gate.folder / "feed-state").read_text() or "{}")
            return bool(list(state.values())[-1:] == [gate.access_log.stat().st_size])

        wait_for(is_read, 300)
        # What looks each millisecond is never quite at rest.
        spent = -1.0
        while (now := usage.cpu_seconds([gate.mtail.pid])) - spent > 0.1:
            spent = now
            time.sleep(0.5)

    # -- memory

    def memory(self) -> dict[str, Any]:
        folder = self.shared.root / "memory"
        folder.mkdir()
        with mtail.Piped(folder) as piped:
            return self._fed(piped)

    def _fed(self, piped: mtail.Piped) -> dict[str, Any]:
        wanted, chance = max(STEPS * CHUNK, int(HOUR * self.scale)), random.Random(1)
        blocks = [mtail.log_lines(chance, CHUNK) for _number in range(200)]
        steps, lines = [usage.memory_kib([piped.pid], "Rss") / 1024], 0
        spent, begin = usage.cpu_seconds([piped.pid]), time.monotonic()
        while lines < wanted and time.monotonic() - begin < PATIENCE:
            piped.write(chance.choice(blocks))
            lines += CHUNK
            if lines % max(CHUNK, wanted // STEPS // CHUNK * CHUNK) == 0:
                steps.append(usage.memory_kib([piped.pid], "Rss") / 1024)
                self.say(f"memory: {lines:,} of {wanted:,} lines, {steps[-1]:.1f} MiB")
        steps.append(usage.memory_kib([piped.pid], "Rss") / 1024)
        seconds = time.monotonic() - begin
        return {
            "lines": lines,
            "rss_mib": steps,
            "lines_per_second": lines / seconds,
            "cpu_us_a_line": (usage.cpu_seconds([piped.pid]) - spent) / lines * 1e6,
        }

    # -- instructions

    def instructions(self) -> dict[str, Any]:
        from . import counts

        password = self.shared.root / "htpasswd"
        password.write_text("prometheus:x\n")
        port = self.contenders.free_port()
        variables = {
            "monitoring_enabled": True,
            "monitoring_listen": [{"address": "127.0.0.1", "port": port}],
            "monitoring_certificate": "bench",
            "monitoring_allow_from": ["127.0.0.1"],
            "monitoring_htpasswd_file": str(password),
            "token_store_metrics_file": str(self.shared.root / "agent.prom"),
        }
        off, on = (
            self.contenders.Gate,
            type("Scraped", (self.contenders.Gate,), {"name": "scraped", "variables": variables}),
        )
        found: dict[str, Any] = {}
        for name, kind in (("off", off), ("on", on)):
            with kind(self.shared) as gate, counts.Counted(gate) as below:

                def work(count: int, target: load.Target = gate.target) -> Any:
                    return load.together(1, load.handshakes, target, count=count)

                more = max(8, int(80 * self.scale))
                found[name] = [counts.slope(below.instructions, work, more) for _round in range(ROUNDS)]
            self.say(f"instructions: {name}: {found[name]}")
        found["ratio"] = statistics.median(found["on"]) / statistics.median(found["off"])
        return found


def tables(found: dict[str, Any]) -> str:
    """The figures as docs/monitoring.md has them."""
    parts = []
    if "cpu" in found:
        rest = found["cpu"]["rest"]
        rows = ["| load | a second | nginx | mtail | feed | agent |", "|---|---:|---:|---:|---:|---:|"]
        for name in ("handshakes", "refusals"):
            rounds = found["cpu"][name]
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            shares = " | ".join(f"{middle[f'{one}_us']:.0f} µs, {middle[f'{one}_share']:.1%}" for one in PROCESSES)
            rows.append(f"| {name} | {middle['per_second']:,.0f} | {middle['nginx_us']:.0f} µs | {shares} |")
        rows.append("| nobody comes | 0 | | " + " | ".join(f"{rest[one]:.1%} of a core" for one in PROCESSES) + " |")
        parts.append("\n".join(rows))
    if "memory" in found:
        memory = found["memory"]
        parts.append(
            f"{memory['lines']:,} lines: {memory['rss_mib'][0]:.1f} MiB before, {max(memory['rss_mib']):.1f} at most, "
            f"{memory['rss_mib'][-1]:.1f} at the end; {memory['lines_per_second']:,.0f} lines a second, "
            f"{memory['cpu_us_a_line']:.1f} µs each"
        )
    if "instructions" in found:
        one = found["instructions"]
        parts.append(
            f"instructions of a handshake: {statistics.median(one['off']):,.0f} without, "
            f"{statistics.median(one['on']):,.0f} with: {one['ratio']:.4f}"
        )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="how many and how long; 1.0 is what counts")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    arguments = parser.parse_args()
    begin = time.monotonic()
    # What was started ends with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)

    install_loader()
    say(f"{os.cpu_count()} processors, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}")
    bench = Bench(arguments.scale, say)
    try:
        found = {part: getattr(bench, part)() for part in arguments.parts}
    finally:
        bench.close()
    say(f"load {os.getloadavg()[0]:.1f} at the end")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(tables(found))


if __name__ == "__main__":
    main()
