# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring costs a gate, on Debian's nginx. Prints tables for docs/monitoring.md, and JSON with --json FILE.

    make bench NAME=monitoring                         # all parts, ten minutes
    make bench NAME=monitoring ARGS='--parts memory --scale 0.1'

cpu           Sessions that come and go as fast as clients make them, then refusals over connections that stay: the time
              on a processor of what counts (mtail, what feeds it, the agent, which also ends sessions of revoked
              tokens) as a share of nginx's.
memory        3,600,000 lines, which is an hour of 1,000 a second, as fast as mtail reads them: its memory on the way.
instructions  nginx's own instructions outside the kernel for a handshake, by callgrind, with metrics and without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import load, mtail, usage
from lib.collection import install_loader
from lib.processes import end, wait_for

PARTS = ("cpu", "memory", "instructions")
ROUNDS = 3
SECONDS = 20.0
CLIENTS = 2
HOUR = 3_600_000
# Lines between two looks at mtail's memory
STEPS = 10
CHUNK = 500
PLACES = [
    (f"{name}.example.com", path) for name in ("wss", "chat", "files", "admin") for path in ("/wss", "/a/", "/b/")
]
REASONS = ("token", "origin", "limit", "path", "upstream_unreachable")


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
            wait_for(lambda: self.contenders.answers(target), 20)
            refused = load.Target(gate.port, origin=self.contenders.ORIGIN, name=NAME)
            for name, work, aim in (("handshakes", load.handshakes, target), ("refusals", load.refusals, refused)):
                found[name] = [self._share(gate, name, work, aim) for _round in range(ROUNDS)]
        return found

    def _share(
        self, gate: Any, name: str, work: Callable[..., dict[str, Any]], target: load.Target
    ) -> dict[str, float]:
        processes = {
            "nginx": usage.family(gate.master() or 0),
            "mtail": [gate.mtail.pid],
            "feed": [gate.feed.pid],
            "agent": [gate.agent.pid],
        }
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
            **{f"{one}_us": spent[one] / count * 1e6 for one in ("mtail", "feed", "agent")},
            **{f"{one}_share": spent[one] / spent["nginx"] for one in ("mtail", "feed", "agent")},
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
        spent = -1.0
        while spent != (spent := usage.cpu_seconds([gate.mtail.pid])):
            time.sleep(0.5)

    # -- memory

    def memory(self) -> dict[str, Any]:
        folder = self.shared.root / "memory"
        programs, pipe = folder / "progs", folder / "pipe"
        programs.mkdir(parents=True)
        (programs / "wssgate.mtail").write_text(mtail.rendered())
        os.mkfifo(pipe)
        # Open for both, as systemd has it.
        handle = os.open(pipe, os.O_RDWR)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [mtail.binary(), "-progs", str(programs), "-logs", str(pipe), "-unix_socket", str(folder / "socket"),
                 "-emit_prog_label=false", "-logtostderr", "-poll_interval=1ms"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            wait_for((folder / "socket").exists, 20)
            return self._fed(process.pid, handle)
        finally:
            end([process.pid])
            process.wait()
            os.close(handle)

    def _fed(self, pid: int, handle: int) -> dict[str, Any]:
        lines, chance = max(STEPS * CHUNK, int(HOUR * self.scale)), random.Random(1)
        blocks = [_block(chance) for _number in range(200)]
        steps = [usage.memory_kib([pid]) / 1024]
        spent, begin = usage.cpu_seconds([pid]), time.monotonic()
        for _step in range(STEPS):
            for _block_number in range(lines // STEPS // CHUNK):
                rest = memoryview(chance.choice(blocks))
                while rest:
                    rest = rest[os.write(handle, rest) :]
            steps.append(usage.memory_kib([pid]) / 1024)
            self.say(f"memory: {steps[-1]:.1f} MiB")
        seconds = time.monotonic() - begin
        return {
            "lines": lines,
            "pss_mib": steps,
            "lines_per_second": lines / seconds,
            "cpu_us_a_line": (usage.cpu_seconds([pid]) - spent) / lines * 1e6,
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


def _block(chance: random.Random) -> bytes:
    """Lines of the gate's log, as nginx writes them."""
    lines = []
    for _number in range(CHUNK):
        server, location = chance.choice(PLACES)
        is_session = chance.random() < 0.5
        one = {
            "time": "2026-11-29T16:00:00+00:00",
            "client": f"203.0.113.{chance.randrange(256)}",
            "server": server,
            "location": location,
            "status": 101 if is_session else 403,
            "reason": "" if is_session else chance.choice(REASONS),
        }
        head = json.dumps(one, separators=(",", ":"))[:-1]
        duration, sent = f"{chance.random() * 4000:.3f}", chance.randrange(1 << 20)
        upstream = ("127.0.0.1:8080", "101") if is_session else ("", "")
        lines.append(
            f'{head},"duration":{duration},"bytes_from_client":{sent},"bytes_to_client":{sent},'
            f'"upstream":"{upstream[0]}","upstream_status":"{upstream[1]}","connection":{chance.randrange(10**7)}}}\n'
        )
    return "".join(lines).encode()


def tables(found: dict[str, Any]) -> str:
    """The figures as docs/monitoring.md has them."""
    parts = []
    if "cpu" in found:
        parts.append("| load | a second | nginx µs | mtail | feed | agent |\n|---|---:|---:|---:|---:|---:|")
        for name, rounds in found["cpu"].items():
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            shares = " | ".join(f"{middle[f'{one}_share']:.1%} ({middle[f'{one}_us']:.0f} µs)" for one in PROCESSES)
            parts.append(f"| {name} | {middle['per_second']:,.0f} | {middle['nginx_us']:.0f} | {shares} |")
    if "memory" in found:
        memory = found["memory"]
        parts.append(
            f"{memory['lines']:,} lines: {memory['pss_mib'][0]:.1f} MiB before, {max(memory['pss_mib']):.1f} at most, "
            f"{memory['pss_mib'][-1]:.1f} at the end; {memory['lines_per_second']:,.0f} lines a second, "
            f"{memory['cpu_us_a_line']:.1f} µs each"
        )
    if "instructions" in found:
        one = found["instructions"]
        parts.append(
            f"instructions of a handshake: {statistics.median(one['off']):,.0f} without, "
            f"{statistics.median(one['on']):,.0f} with: {one['ratio']:.4f}"
        )
    return "\n\n".join(parts)


PROCESSES = ("mtail", "feed", "agent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="how many and how long; 1.0 is what counts")
    parser.add_argument("--json", type=Path, help="where the figures go as well")
    arguments = parser.parse_args()
    begin = time.monotonic()

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
