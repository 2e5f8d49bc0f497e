# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the gate beside its peers: CPU, memory, latency. `make bench` runs it, and writes docs/performance.md.

About 25 minutes on two cores. --quick takes a quarter of that and is good for a look only. --report measures nothing
and makes that page and docs/sizing.md anew from what this bench, crowd, systems and locations have stored.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from . import report
from .contenders import Shared
from .measures import Bench

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("traffic", "instructions", "memory", "guards", "refusing", "requests", "reload")
RESULTS = ROOT / "docs" / "performance.json"


def machine() -> dict[str, Any]:
    cpu = "?"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    system = {}
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _equals, value = line.partition("=")
        system[name] = value.strip('"')
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024 // 1024
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": memory,
        "system": system.get("PRETTY_NAME", "?"),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="contenders: direct bare recipe gate haproxy …"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="how long each measurement takes, 1.0: about 25 minutes in all"
    )
    parser.add_argument("--quick", action="store_true", help="--scale 0.2")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1000, 4000, 8000])
    parser.add_argument(
        "--json", type=Path, default=RESULTS, help="where the results go; parts not measured now stay as they are there"
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write the pages from the results")
    arguments = parser.parse_args()
    if not arguments.report:
        measure(arguments)
    results = json.loads(arguments.json.read_text())
    for path in report.write(results, ROOT / "docs"):
        print(f"written: {path.relative_to(ROOT)}")


def measure(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)

    results: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    shared = Shared()
    try:
        bench = Bench(shared, arguments.only, arguments.rounds, 0.2 if arguments.quick else arguments.scale, say)
        work = {
            "traffic": bench.traffic,
            "instructions": bench.instructions,
            "memory": lambda: bench.memory(arguments.sessions),
            "guards": bench.guards,
            "refusing": bench.refusing,
            "requests": bench.requests,
            "reload": lambda: bench.reload(min(4000, max(arguments.sessions))),
        }
        for part in arguments.parts:
            start = time.monotonic()
            before = os.getloadavg()[0]
            results[part] = {
                "figures": work[part](),
                "seconds": round(time.monotonic() - start),
                "rounds": bench.rounds,
                "scale": bench.scale,
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "load_before": before,
                "machine": machine(),
            }
            results["contenders"] = results.get("contenders", {}) | bench.facts
            results["missing"] = bench.missing
            arguments.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    finally:
        shared.close()


if __name__ == "__main__":
    main()
