# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What many locations cost: a session's memory, a handshake's instructions, and the seconds until a gate is up.

    make bench NAME=locations                             # 1, 10, 100 and 1,000 locations, some ten minutes
    make bench NAME=locations ARGS='--write docs'         # docs/locations-figures.md, .json, and its picture
    make bench NAME=locations ARGS='--counts 1 100 --parts memory'

Each location has an Origin of its own, as tenants have. All sessions are on the last one.

memory        What an idle session keeps, beside one of a bare proxy_pass.
instructions  nginx's own instructions outside the kernel for a handshake, by callgrind, with TLS and without.
times         What the roles take to render it, nginx -t to read it, and nginx to serve it after a reload.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lib import load

from . import counts, locations_report
from .contenders import Bare, Contender, Gate, Shared
from .gate import ROOT, machine
from .measures import COUNTED_ROUNDS

PARTS = ("memory", "instructions", "times")
COUNTS = [1, 10, 100, 1000]
#: TLS handshakes vary, plain ones do not.
HANDSHAKES = {True: 40, False: 200}


class Located(Gate):
    """The gate with so many locations."""

    count = 1

    def __init__(self, shared: Shared, count: int, tls: bool = True) -> None:
        super().__init__(shared)
        self.count, self.tls = count, tls
        self.title = f"this gate, {count:,} {'location' if count == 1 else 'locations'}"

    def origin(self, number: int) -> str:
        return f"https://tenant-{number}.example.com"

    def _server(self) -> dict[str, Any]:
        server = super()._server()
        (location,) = server["locations"]
        server["locations"] = [
            location | {"path": f"/wss/{number}", "origins": [self.origin(number)]} for number in range(self.count)
        ]
        return server

    @property
    def target(self) -> load.Target:
        last = self.count - 1
        return replace(super().target, path=f"/wss/{last}", origin=self.origin(last))


class LocatedBare(Bare):
    """A bare proxy_pass in so many locations: what nginx itself needs to find one of them."""

    def __init__(self, shared: Shared, count: int, tls: bool = True) -> None:
        super().__init__(shared)
        self.count, self.tls = count, tls

    def text(self) -> str:
        before, mark, rest = super().text().partition("        location /wss {")
        location, end, behind = rest.partition("        }\n")
        if not self.tls:
            before = before.replace(" ssl;", ";")
        all_of_them = (f"        location = /wss/{number} {{{location}{end}" for number in range(self.count))
        assert mark
        return before + "".join(all_of_them) + behind

    @property
    def target(self) -> load.Target:
        return replace(super().target, path=f"/wss/{self.count - 1}", tls=self.tls)


def memory(shared: Shared, given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """KiB that an idle session keeps; a fresh nginx for each."""
    found: dict[str, Any] = {}
    for name, kind in (("bare", LocatedBare), ("gate", Located)):
        found[name] = {}
        for count in given.counts:
            with kind(shared, count) as contender:
                load.together(1, load.handshakes, contender.target, count=50)
                time.sleep(1)
                before = contender.memory()
                with load.crowd(contender.target) as grow:
                    grow(given.sessions)
                    time.sleep(1)
                    kib = (contender.memory() - before) / given.sessions
            found[name][str(count)] = {"fresh_mib": round(before / 1024, 1), "kib": round(kib, 2)}
            say(f"memory: {name}, {count:,} locations: {kib:.2f} KiB a session")
    return found


def instructions(shared: Shared, given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Of a handshake, with TLS and without."""
    found: dict[str, Any] = {"valgrind": counts.version()}
    for tls in (True, False):
        for name, kind in (("bare", LocatedBare), ("gate", Located)):
            mine = found.setdefault("tls" if tls else "plain", {}).setdefault(name, {})
            for count in given.counts:
                with kind(shared, count, tls) as contender:
                    mine[str(count)] = statistics.median(counted(contender, HANDSHAKES[tls]))
                say(f"instructions: {name}, {'TLS' if tls else 'plain'}, {count:,} locations: {mine[str(count)]:,.0f}")
    return found


def counted(contender: Contender, handshakes: int) -> list[float]:
    work = partial(load.together, 1, load.handshakes, contender.target)
    with counts.Counted(contender) as below:
        return [
            counts.slope(below.instructions, lambda count: work(count=count), handshakes)
            for _round in range(COUNTED_ROUNDS)
        ]


def times(shared: Shared, given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds: the roles' first run and one without changes, nginx -t, and until the new workers serve."""
    found = {}
    for count in given.counts:
        gate = Located(shared, count)
        first = taken(gate.__enter__)
        try:
            again = taken(gate.local_gate.apply)
            tests = [taken(gate.local_gate.test) for _round in range(5)]
            reloads = [taken(gate.local_gate.reload) for _round in range(5)]
            size = sum(len(text) for text in gate.local_gate.configuration().values())
        finally:
            gate.stop()
        found[str(count)] = {
            "first_s": round(first, 1),
            "again_s": round(again, 1),
            "test_ms": round(statistics.median(tests) * 1000),
            "reload_ms": round(statistics.median(reloads) * 1000),
            "configuration_kib": round(size / 1024),
        }
        say(f"times: {count:,} locations: {found[str(count)]}")
    return found


def taken(work: Callable[[], Any]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="how many locations")
    parser.add_argument("--sessions", type=int, default=1000, help="idle sessions, for their memory")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write figures, page and picture there")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    return parser.parse_args()


def main() -> int:
    given = options()
    if given.report:
        locations_report.write(given.write or ROOT / "docs")
        return 0
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    path = given.write / locations_report.JSON if given.write else None
    results: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
    shared = Shared()
    try:
        for part in given.parts:
            start, before = time.monotonic(), machine()
            results[part] = {
                "figures": {"memory": memory, "instructions": instructions, "times": times}[part](shared, given, say),
                "sessions": given.sessions,
                "seconds": round(time.monotonic() - start),
                "date": time.strftime("%Y-%m-%d", time.gmtime()),
                "load_before": before["load_before"],
                "machine": before,
            }
    finally:
        shared.close()
    if path:
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        locations_report.write(given.write)
    else:
        print(json.dumps(results, indent=1, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
