# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate on each Debian's own nginx, and large messages; writes docs/systems-figures.json, .md and .svg.

    make bench NAME=systems                              # all of it, less than ten minutes
    make bench NAME=systems ARGS='--parts memory'        # one part; the others' figures stay
    make bench NAME=systems ARGS='--report'              # measure nothing, write the page from the figures

handshakes  Processor of a full handshake: bare proxy_pass, the gate, HAProxy.
messages    Processor of a message there and back, from 64 B to 1 MiB, by each profile of `messages`.
times       How long such a message takes at a steady rate.
memory      Memory of an idle session at 1,000 and 4,000 of them, and after each has carried a message.
settings    What settings of TLS, nginx's pools and the C library change of that memory, one at a time.
tried       What settings of sockets and workers change of a message's processor time, one at a time.

Each release has a container with its own nginx and HAProxy (images: make images RELEASES="12 13 14"); these share this
machine's network, and clients and the upstream run outside of them, on the loopback. It ends what it has started.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lib import load

from . import systems_report
from .contenders import Contender, Shared
from .gate import machine
from .measures import Bench, Figures
from .systems_hosts import PROFILES, NoSystem, Profile, System, SystemBare, SystemGate, SystemHAProxy, Tried
from .systems_settings import MEMORY, MESSAGE, Setting

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("handshakes", "messages", "times", "memory", "settings", "tried")
RELEASES = ("12", "13", "14")
#: Bytes of a message, how many of them the processor's account is of, how many a second the times are of.
SIZES = {64: (2000, 500), 1024: (1600, 500), 4096: (1600, 500), 16384: (800, 500), 65536: (240, 200), 2**20: (24, 25)}
# Before what is told of begins.
FIRST = {2**20: 5}
#: What the settings are tried on.
SETTINGS_ON, TRIED_ON = ("13", "14"), ("13",)
SETTING_SESSIONS = 300
CARRIED = 16384


class Systems(Bench):
    """Containers of the releases and all that runs in them, and what is measured of it."""

    def __init__(self, given: argparse.Namespace, shared: Shared, say: Callable[[str], None]) -> None:
        super().__init__(shared, ["none of its own"], given.rounds, given.scale, say)
        self.given = given
        self.sizes = {size: SIZES[size] for size in given.sizes}
        # Seconds until what has opened or ended is at rest.
        self.calm = min(0.7, max(0.3, given.scale))
        self.versions: dict[str, dict[str, str]] = {}
        self.systems: dict[str, System] = {}
        self.gates: dict[str, SystemGate] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Systems:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        for release in self.given.releases:
            system = System(release, with_haproxy=not self.given.no_haproxy)
            self.systems[release] = self._stack.enter_context(system)
            self.versions[release] = system.versions()
            self.say(f"{system.title}: nginx {self.versions[release]['nginx']} in container {system.container}")
            self.gates[release] = SystemGate(self.shared, system)
            self.gates[release].prepare()
        # ansible-playbook waits more than it works.
        with ThreadPoolExecutor(len(self.gates)) as pool:
            for gate in list(pool.map(self._stack.enter_context, self.gates.values())):
                self.say(f"{gate.title} is up")

    def _others(self, release: str) -> list[Contender]:
        system = self.systems[release]
        kinds: list[Contender] = [SystemBare(self.shared, system)]
        return kinds if self.given.no_haproxy else [*kinds, SystemHAProxy(self.shared, system)]

    def _all(self, stack: ExitStack, profiles: tuple[str, ...]) -> list[Contender]:
        found: list[Contender] = []
        for release in self.systems:
            found += [stack.enter_context(other) for other in self._others(release)]
            found += [Profile(self.gates[release], profile) for profile in profiles]
        for contender in found:
            load.together(1, load.handshakes, contender.target, count=self._count(100))
        return found

    # -- the parts

    def handshakes(self) -> Figures:
        with ExitStack() as stack:
            running = self._all(stack, ("mixed",))
            return self._each_round(running, "full handshakes", self._full, slices=2)

    def _full(self, contender: Contender) -> dict[str, float]:
        return self._handshake(contender, resume=False)

    def messages(self) -> dict[str, Figures]:
        found = {}
        with ExitStack() as stack:
            running = self._all(stack, PROFILES)
            for size, (count, _rate) in self.sizes.items():
                found[str(size)] = self._each_round(
                    running, f"messages of {size} bytes", lambda c, s=size, n=count: self._echo(c, s, n)
                )
        return found

    def times(self) -> dict[str, Figures]:
        found = {}
        with ExitStack() as stack:
            running = self._all(stack, PROFILES)
            for size, (_count, rate) in self.sizes.items():
                found[str(size)] = self._each_round(
                    running,
                    f"{rate} messages of {size} bytes a second",
                    lambda c, s=size, r=rate: self._paced(c, s, float(r), FIRST.get(s, 50)),
                    rounds=min(3, self.rounds),
                )
        return found

    def memory(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for release, gate in self.gates.items():
            for other in self._others(release):
                with other:
                    found[other.name] = self._idle(other, self.given.sessions, calm=self.calm)
            for profile in PROFILES:
                gate.renew()
                contender = Profile(gate, profile)
                found[contender.name] = self._idle(contender, self.given.sessions, calm=self.calm)
                gate.renew()
                found[contender.name]["carried"] = self._carried(contender)
        return found

    def _carried(self, contender: Contender) -> float:
        """KiB of a session that has carried one large message and is idle again."""
        count = min(self.given.sessions)
        load.together(1, load.handshakes, contender.target, count=50)
        time.sleep(0.5)
        before = contender.memory()
        with load.crowd(contender.target, size=CARRIED) as grow:
            grow(count)
            time.sleep(0.5)
            each = (contender.memory() - before) / count
        self.say(f"memory: {contender.title}: {each:.1f} KiB a session that has carried a message of {CARRIED} bytes")
        return each

    def settings(self) -> dict[str, dict[str, Any]]:
        """KiB of an idle session, each setting by itself on each of these releases."""
        found: dict[str, dict[str, Any]] = {}
        for release in [release for release in SETTINGS_ON if release in self.systems]:
            with SystemBare(self.shared, self.systems[release]) as bare:
                found.setdefault("bare `proxy_pass`", {})[release] = self._once(bare)
            for setting in MEMORY[: self.given.settings]:
                found.setdefault(setting.title, {})[release] = self._with(release, setting, self._once)
        return found

    def _once(self, contender: Contender) -> float:
        figures = self._idle(contender, [SETTING_SESSIONS], calm=0.3)
        return round((figures[str(SETTING_SESSIONS)] - figures["0"]) / SETTING_SESSIONS, 2)

    def _with(self, release: str, setting: Setting, work: Callable[[Contender], Any]) -> Any:
        try:
            with Tried(self.gates[release], setting.title, setting.changes, setting.environment) as tried:
                return work(tried)
        except (AssertionError, RuntimeError, OSError) as error:
            self.say(f"{setting.title}: {error}")
            return None

    def tried(self) -> dict[str, dict[str, Figures]]:
        """Processor of a message, each setting by itself, all of them in turns."""
        found: dict[str, dict[str, Figures]] = {}
        for release in [release for release in TRIED_ON if release in self.systems]:
            with ExitStack() as stack:
                running: list[Contender] = []
                for setting in MESSAGE[: self.given.settings]:
                    tried = Tried(self.gates[release], setting.title, setting.changes, setting.environment)
                    try:
                        running.append(stack.enter_context(tried))
                    except (AssertionError, RuntimeError, OSError) as error:
                        self.say(f"{setting.title}: {error}")
                for size in (64, 16384):
                    count = SIZES[size][0]
                    figures = self._each_round(
                        running, f"tried: {size} bytes", lambda c, s=size, n=count: self._echo(c, s, n)
                    )
                    found.setdefault(release, {})[str(size)] = figures
        return found


def measure(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    path = given.write / systems_report.JSON
    shared = Shared(python=given.python)
    try:
        with Systems(given, shared, say) as bench:
            for part in given.parts:
                begin, before = time.monotonic(), os.getloadavg()[0]
                figures = getattr(bench, part)()
                # Read now: another run may have measured another part meanwhile.
                results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
                for release, versions in bench.versions.items():
                    known = results.setdefault("versions", {}).setdefault(release, {"haproxy": ""})
                    known |= {name: version for name, version in versions.items() if version}
                results[part] = {
                    "figures": figures,
                    "seconds": round(time.monotonic() - begin),
                    "rounds": given.rounds,
                    "scale": given.scale,
                    "date": time.strftime("%Y-%m-%d", time.gmtime()),
                    "load_before": round(before, 1),
                    "load_after": round(os.getloadavg()[0], 1),
                    "machine": machine(),
                }
                path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    finally:
        shared.close()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--releases", nargs="+", choices=RELEASES, default=list(RELEASES), metavar="RELEASE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.5, help="how long each measurement takes")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--sizes", type=int, nargs="+", choices=list(SIZES), default=list(SIZES), help="of messages")
    parser.add_argument("--settings", type=int, metavar="N", help="only so many of the settings that are tried")
    parser.add_argument("--no-haproxy", action="store_true", help="leave HAProxy out, which the images have not")
    parser.add_argument("--write", type=Path, default=ROOT / "docs", metavar="DOCS", help="where page and figures go")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    parser.add_argument("--no-picture", action="store_true", help="for a Python without matplotlib")
    parser.add_argument("--python", type=Path, help="that runs the upstream, if not the benchmark's own")
    given = parser.parse_args()
    if given.rounds < 1 or given.scale <= 0 or min(given.sessions) < 1:
        parser.error("--rounds, --scale and --sessions: greater than 0")
    return given


def interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    given = options()
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, interrupted)
    try:
        if not given.report:
            measure(given, say)
    except NoSystem as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("interrupted; what was started has ended")
        return 130
    for path in systems_report.write(given.write, is_drawn=not given.no_picture):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
