# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements. Each round visits every contender in turn: what is compared was measured within seconds."""

from __future__ import annotations

import random
import re
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lib import load, usage
from lib.processes import wait_for

from . import contenders, counts
from .contenders import Bare, Contender, Gate, Nginx, Recipe, Shared

Figures = dict[str, dict[str, list[float]]]
SETTLE = 0.05
# Where noise does not reach, three rounds show that it does not.
COUNTED_ROUNDS = 3
# A pinned client and a pinned proxy would leave the upstream nowhere to go on two cores: nobody is pinned.


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Bench:
    def __init__(self, shared: Shared, only: list[str], rounds: int, scale: float, say: Callable[[str], None]) -> None:
        self.shared, self.rounds, self.scale, self.say = shared, rounds, scale, say
        self.kinds = [kind for kind in contenders.ALL if not only or kind.name in only]
        self.missing: dict[str, str] = {}
        self.facts: dict[str, dict[str, str]] = {}

    def _count(self, number: int) -> int:
        return max(8, int(number * self.scale))

    def _running(self, stack: ExitStack, kinds: list[type[Contender]]) -> list[Contender]:
        """All of them at once; those that do nothing use no processor."""
        found = []
        for kind in kinds:
            if kind.name in self.missing:
                continue
            try:
                found.append(stack.enter_context(kind(self.shared)))
            except (OSError, RuntimeError) as error:
                self.missing[kind.name] = str(error)
                self.say(f"left out: {kind.title}: {error}")
                continue
            self.facts.setdefault(kind.name, {"title": kind.title, "check": kind.check, "version": found[-1].version()})
        return found

    def _each_round(
        self,
        running: list[Contender],
        label: str,
        work: Callable[[Contender], dict[str, float]],
        rounds: int | None = None,
        slices: int = 1,
    ) -> Figures:
        """A round is so many turns of everybody, and their mean: what disturbs lasts longer, and meets all."""
        figures: Figures = {}
        for number in range(rounds or self.rounds):
            sums: dict[str, dict[str, float]] = {contender.name: {} for contender in running}
            for turn in range(slices):
                # Whoever comes first after a pause meets cold caches: not always the same one.
                for contender in random.Random(number * 100 + turn).sample(running, len(running)):
                    for name, value in work(contender).items():
                        sums[contender.name][name] = sums[contender.name].get(name, 0.0) + value / slices
            for contender, found in sums.items():
                for name, value in found.items():
                    figures.setdefault(contender, {}).setdefault(name, []).append(value)
            self.say(f"{label}: round {number + 1} of {rounds or self.rounds}")
        return figures

    # -- per handshake, per message

    def traffic(self) -> dict[str, Figures]:
        with ExitStack() as stack:
            running = self._running(stack, self.kinds)
            for contender in running:
                load.together(1, load.handshakes, contender.target, count=self._count(100), resume=contender.target.tls)
            proxies = [contender for contender in running if contender.pids()]
            found = {
                "handshake_full": self._each_round(
                    running, "full handshakes", lambda c: self._handshake(c, resume=False), slices=4
                ),
                "handshake_resumed": self._each_round(
                    proxies, "resumed handshakes", lambda c: self._handshake(c, resume=True), slices=4
                ),
                "handshake_saturated": self._each_round(running, "handshakes at saturation", self._saturated),
            }
            for name, size, count in (("message_64", 64, 6000), ("message_16384", 16384, 2000)):
                found[name] = self._each_round(
                    proxies, f"messages of {size} bytes", lambda c, s=size, n=count: self._echo(c, s, n)
                )
            for name, size in (("paced_64", 64), ("paced_16384", 16384)):
                found[name] = self._each_round(
                    running, f"1,000 messages of {size} bytes a second", lambda c, s=size: self._paced(c, s)
                )
            return found

    def _spent(self, contender: Contender, work: Callable[[], Any]) -> tuple[float, Any]:
        before = contender.cpu()
        done = work()
        time.sleep(SETTLE)
        return contender.cpu() - before, done

    def _handshake(self, contender: Contender, *, resume: bool) -> dict[str, float]:
        count = self._count(100)
        spent, done = self._spent(
            contender, lambda: load.together(1, load.handshakes, contender.target, count=count, resume=resume)
        )
        result = done[0]
        if resume and result["resumed"] < count * 0.95:
            self.say(f"{contender.title} resumed only {result['resumed']} of {count}")
        return {
            "cpu_us": spent / count * 1e6,
            "p50_ms": percentile(result["times"], 0.5) * 1e3,
            "p99_ms": percentile(result["times"], 0.99) * 1e3,
            "resumed": result["resumed"] / count,
        }

    def _saturated(self, contender: Contender) -> dict[str, float]:
        seconds = max(0.5, 1.5 * self.scale)
        spent, done = self._spent(
            contender, lambda: load.together(4, load.handshakes, contender.target, seconds=seconds)
        )
        times = [value for result in done for value in result["times"]]
        return {
            "per_second": sum(len(r["times"]) / r["seconds"] for r in done),
            "p50_ms": percentile(times, 0.5) * 1e3,
            "p99_ms": percentile(times, 0.99) * 1e3,
            "cpu_us": spent / len(times) * 1e6,
        }

    def _echo(self, contender: Contender, size: int, count: int) -> dict[str, float]:
        # 8 sessions' handshakes are in the account as well; so many messages make nothing of them.
        count = self._count(count)
        spent, done = self._spent(
            contender, lambda: load.together(1, load.echoes, contender.target, size=size, count=count)
        )
        return {"cpu_us": spent / count * 1e6, "per_second": count / done[0]["seconds"]}

    def _paced(self, contender: Contender, size: int, rate: float = 1000.0, first: int = 50) -> dict[str, float]:
        seconds = max(0.5, 1.2 * self.scale)
        client = load.Client(load.paced, contender.target, size=size, rate=rate, seconds=seconds, first=first)
        client.told()
        times = client.result()["times"]
        return {"p50_ms": percentile(times, 0.5) * 1e3, "p99_ms": percentile(times, 0.99) * 1e3}

    # -- memory

    def memory(self, steps: list[int]) -> dict[str, dict[str, float]]:
        """KiB of each contender before, with so many idle sessions, and after they are gone; a fresh process each."""
        found: dict[str, dict[str, float]] = {}
        kinds = [kind for kind in self.kinds if kind.name not in ("direct", "recipe")]
        for kind in kinds:
            with ExitStack() as stack:
                for contender in self._running(stack, [kind]):
                    found[kind.name] = self._idle(contender, steps)
                    if type(contender) is Gate:
                        # This very loop comes to them at its end.
                        kinds += sizes_of(contender)
        return found

    def _idle(self, contender: Contender, steps: list[int], calm: float = 1) -> dict[str, float]:
        """KiB of a contender that had no session yet: before, with so many, and a while after they are gone."""
        load.together(1, load.handshakes, contender.target, count=50)
        time.sleep(calm)
        figures = {"0": float(contender.memory())}
        with load.crowd(contender.target) as grow:
            for step in steps:
                grow(step)
                time.sleep(calm)
                figures[str(step)] = contender.memory()
                each = (figures[str(step)] - figures["0"]) / step
                self.say(f"memory: {contender.title}: {each:.1f} KiB a session at {step}")
        time.sleep(3 * calm)
        figures["after"] = contender.memory()
        return figures

    # -- the guards

    def guards(self) -> dict[str, Any]:
        """What one guard costs: the gate without TLS, and the same with that guard taken out."""
        with ExitStack() as stack:
            running: list[Contender] = [stack.enter_context(PlainBare(self.shared))]
            gate = PlainGate(self.shared)
            running.append(stack.enter_context(gate))
            running += [stack.enter_context(Without(self.shared, gate, *guard)) for guard in GUARDS]
            for contender in running:
                load.together(1, load.handshakes, contender.target, count=self._count(200))
            rounds = max(self.rounds, 7)
            few = self._each_round(running, "guards", self._plain, rounds, slices=4)
            self.say("guards: with 100,000 tokens")
            begin = time.monotonic()
            for number in range(100_000):
                (self.shared.tokens / f"{contenders.TOKEN}{number:06d}").touch()
            filled = time.monotonic() - begin
            many = self._each_round(
                [c for c in running if c.name in ("plain_bare", "plain_gate")],
                "guards, 100,000 tokens",
                self._plain,
                rounds,
                slices=4,
            )
            titles = {contender.name: contender.title for contender in running}
        for path in self.shared.tokens.iterdir():
            if path.name != contenders.TOKEN:
                path.unlink()
        return {"titles": titles, "one_token": few, "many_tokens": many, "store_filled_s": round(filled, 1)}

    def _plain(self, contender: Contender) -> dict[str, float]:
        count = self._count(200)
        spent, _done = self._spent(contender, lambda: load.together(1, load.handshakes, contender.target, count=count))
        return {"cpu_us": spent / count * 1e6}

    # -- what noise does not touch

    def instructions(self) -> dict[str, Any]:
        """Instructions and system calls of everything that an nginx does, with TLS and without."""
        found: dict[str, Any] = {
            "tls": {},
            "plain": {},
            "titles": {},
            "valgrind": counts.version(),
            "openssl_finds": counts.features(),
        }
        with ExitStack() as stack:
            running = self._running(stack, [kind for kind in self.kinds if kind in (Bare, Recipe, Gate)])
            running += [
                stack.enter_context(BareLikeGate(self.shared, gate)) for gate in running if isinstance(gate, Gate)
            ]
            for contender in running:
                found["tls"][contender.name] = self._counted(contender)
                found["titles"][contender.name] = contender.title
        with ExitStack() as stack:
            whole = PlainGate(self.shared)
            running = [stack.enter_context(PlainBare(self.shared)), stack.enter_context(whole)]
            running += [stack.enter_context(Without(self.shared, whole, *guard)) for guard in GUARDS]
            for contender in running:
                found["plain"][contender.name] = self._counted(contender)
        return found

    def _counted(self, contender: Contender) -> dict[str, list[float]]:
        works = self._works(contender)
        found: dict[str, list[float]] = {}

        def more(name: str) -> int:
            # What is short beside what varies, a TLS handshake or the clock's ticks, takes more of them.
            return self._count(40 if contender.target.tls and not name.endswith("_kept") else 200)

        for name, work in works.items():
            found[f"{name}_calls"] = [counts.slope(partial(counts.system_calls, contender), work, self._count(100))]
        with counts.Counted(contender) as below:
            for _round in range(COUNTED_ROUNDS):
                for name, work in works.items():
                    found.setdefault(name, []).append(counts.slope(below.instructions, work, more(name)))
        worst = max(works, key=lambda name: counts.spread(found[name]))
        self.say(
            f"instructions: {contender.title}: {statistics.median(found['full']):,.0f} a handshake, "
            f"rounds differ by {counts.spread(found[worst]):.2%} at most ({worst})"
        )
        return found

    def _works(self, contender: Contender) -> dict[str, counts.Works]:
        """What a client can do to it, by name."""

        def clients(work: Callable[..., dict[str, Any]], target: load.Target, **options: Any) -> counts.Works:
            return lambda count: load.together(1, work, target, count=count, **options)

        target = contender.target
        found = {"full": clients(load.handshakes, target)}
        if target.tls:
            found["resumed"] = partial(self._all_resumed, contender)
            for name, wrong in contender.refuses.items():
                refused = replace(target, **wrong)
                found[f"{name}_kept"] = clients(load.refusals, refused)
                found[f"{name}_new"] = clients(load.handshakes, refused, expect=b"403")
        return found

    @staticmethod
    def _all_resumed(contender: Contender, count: int) -> None:
        done = load.together(1, load.handshakes, contender.target, count=count, resume=True)[0]["resumed"]
        if done < count:
            raise RuntimeError(f"{contender.title} resumed only {done} of {count}")

    # -- refusing

    def refusing(self) -> dict[str, Any]:
        with ExitStack() as stack:
            running = self._running(
                stack, [kind for kind in self.kinds if kind.name not in ("direct", "bare", "recipe")]
            )
            cost = self._each_round(running, "refusing", self._refusal)
            felt = self._each_round(running, "honest sessions under attack", self._attacked, min(3, self.rounds))
        return {"cost": cost, "felt": felt}

    def _refusal(self, contender: Contender) -> dict[str, float]:
        found = {}
        count = self._count(1500)
        for name, wrong in (("no_cookie", contenders.NO_COOKIE), ("wrong_origin", contenders.WRONG_ORIGIN)):
            target = replace(contender.target, **wrong)
            spent, done = self._spent(contender, lambda t=target: load.together(1, load.refusals, t, count=count))
            found[f"{name}_us"] = spent / count * 1e6
            found[f"{name}_connections"] = done[0]["connections"]
        count = self._count(200)
        target = replace(contender.target, cookie="")
        spent, _done = self._spent(
            contender, lambda: load.together(1, load.handshakes, target, count=count, expect=b"403")
        )
        found["new_connection_us"] = spent / count * 1e6
        spent, _done = self._spent(contender, lambda: load.together(1, load.handshakes, contender.target, count=count))
        found["accepted_us"] = spent / count * 1e6
        return found

    def _attacked(self, contender: Contender) -> dict[str, float]:
        found = {}
        seconds = max(1.0, 2.0 * self.scale)
        for name, attackers in (("quiet", 0), ("attacked", 3)):
            attack = [
                load.Client(load.refusals, replace(contender.target, cookie=""), seconds=seconds + 0.5)
                for _ in range(attackers)
            ]
            honest = load.Client(load.paced, contender.target, size=64, rate=200.0, seconds=seconds)
            honest.told()
            times = honest.result()["times"]
            found[f"{name}_p50_ms"], found[f"{name}_p99_ms"] = (
                percentile(times, 0.5) * 1e3,
                percentile(times, 0.99) * 1e3,
            )
            if attack:
                found["refused_per_second"] = sum(
                    r["done"] / r["seconds"] for r in (client.result() for client in attack)
                )
        return found

    # -- plain requests

    def requests(self) -> dict[str, Any]:
        """Plain requests through the way of the WebSocket: over a connection that stays, and with one of their own."""
        pages = self.shared.with_pages()
        kinds = [with_pages(kind) for kind in self.kinds if kind.name not in ("direct", "recipe")]
        with ExitStack() as stack:
            shared, self.shared = self.shared, pages
            stack.callback(setattr, self, "shared", shared)
            running = self._running(stack, kinds)
            found: dict[str, Any] = {
                "kept": self._each_round(running, "plain requests", self._requests, slices=4),
                "saturated": self._each_round(running, "plain requests at saturation", self._saturated_requests),
                "new": self._each_round(
                    running, "plain requests, each with a connection", lambda c: self._handshake(c, resume=False)
                ),
                "instructions": {},
            }
            for contender in running:
                if contender.name in ("bare", "gate"):
                    found["instructions"][contender.name] = self._counted_requests(contender)
        return found

    def _requests(self, contender: Contender) -> dict[str, float]:
        count = self._count(2000)
        spent, done = self._spent(contender, lambda: load.together(1, load.requests, contender.target, count=count))
        times = done[0]["times"]
        return {
            "cpu_us": spent / count * 1e6,
            "p50_ms": percentile(times, 0.5) * 1e3,
            "p99_ms": percentile(times, 0.99) * 1e3,
        }

    def _saturated_requests(self, contender: Contender) -> dict[str, float]:
        done = load.together(4, load.requests, contender.target, seconds=max(0.5, 1.5 * self.scale))
        times = [value for result in done for value in result["times"]]
        return {
            "per_second": sum(len(r["times"]) / r["seconds"] for r in done),
            "p50_ms": percentile(times, 0.5) * 1e3,
            "p99_ms": percentile(times, 0.99) * 1e3,
        }

    def _counted_requests(self, contender: Contender) -> dict[str, list[float]]:
        def kept(count: int) -> Any:
            return load.together(1, load.requests, contender.target, count=count)

        def new(count: int) -> Any:
            return load.together(1, load.handshakes, contender.target, count=count)

        found: dict[str, list[float]] = {"kept": [], "new": []}
        with counts.Counted(contender) as below:
            for _round in range(COUNTED_ROUNDS):
                found["kept"].append(counts.slope(below.instructions, kept, self._count(200)))
                found["new"].append(counts.slope(below.instructions, new, self._count(40)))
        return found

    # -- reload

    def reload(self, sessions: int) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for kind in [kind for kind in self.kinds if kind.can_reload]:
            with ExitStack() as stack:
                for contender in self._running(stack, [kind]):
                    figures = found[kind.name] = self._reload(contender, sessions)
                    self.say(
                        f"reload: {kind.title}: live after {figures['live_ms']:.0f} ms, {figures['kept']} of "
                        f"{sessions} sessions kept"
                    )
        return found

    def _reload(self, contender: Contender, sessions: int) -> dict[str, Any]:
        with load.crowd(contender.target) as grow:
            grow(sessions)
            time.sleep(1)
            if established(contender.port) < sessions:
                raise RuntimeError(
                    f"{contender.title}: only {established(contender.port)} of {sessions} sessions are there"
                )
            before = contender.memory()
            dialler = load.Client(load.dial, contender.target, rate=40.0)
            time.sleep(3)
            peak = [before]
            is_over = threading.Event()

            def watch() -> None:
                while not is_over.wait(0.1):
                    peak.append(contender.memory())

            watcher = threading.Thread(target=watch)
            watcher.start()
            begin = time.monotonic()
            contender.reload()
            wait_for(lambda: contenders.answers(replace(contender.target, port=contender.ports[-1])), 20)
            live = time.monotonic() - begin
            time.sleep(3)
            kept = established(contender.port)
            is_over.set()
            watcher.join()
            after = contender.memory()
            dialler.tell("stop")
            dialled = dialler.result()["found"]
        calm = [took for start, took in dialled if start < begin]
        meanwhile = [took for start, took in dialled if begin <= start < begin + 1.5]
        return {
            "sessions": sessions,
            "kept": min(kept, sessions),
            "live_ms": live * 1e3,
            "before_kib": before,
            "peak_kib": max(peak),
            "after_kib": after,
            "failed": sum(1 for _start, took in dialled if not took),
            "calm_p50_ms": percentile(calm, 0.5) * 1e3,
            "calm_p99_ms": percentile(calm, 0.99) * 1e3,
            "reload_p50_ms": percentile(meanwhile, 0.5) * 1e3,
            "reload_p99_ms": percentile(meanwhile, 0.99) * 1e3,
        }


def established(port: int) -> int:
    """Connections that clients have to this port of this machine (proc(5), /proc/net/tcp)."""
    found = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for fields in found if fields[1].endswith(f":{port:04X}") and fields[3] == "01")


# -- everybody with plain requests


def with_pages(kind: type[Contender]) -> type[Contender]:
    """The same contender, which is asked for pages. The gate is told to let plain requests through."""

    class WithPages(kind):  # type: ignore[valid-type, misc]
        @property
        def target(self) -> load.Target:
            return replace(super().target, plain=True)

        def _server(self) -> dict[str, Any]:
            server: dict[str, Any] = super()._server()
            for location in server["locations"]:
                location["http"] = True
            return server

        def text(self) -> str:
            # As the second document's map has it: an ordinary request asks its upstream for no Upgrade.
            text: str = super().text()
            return text.replace('proxy_set_header Connection "upgrade";', 'proxy_set_header Connection "close";')

    return WithPages


# -- the bare one with the gate's TLS; the gate without TLS, whole and with one thing taken out


class BareLikeGate(Bare):
    """What the gate's TLS settings alone make of the bare one."""

    name, title = "bare_tls", "the bare one with this gate's TLS settings"

    def __init__(self, shared: Shared, gate: Gate) -> None:
        self._gate = gate
        super().__init__(shared)

    def text(self) -> str:
        return re.sub(
            r"ssl_protocols [^;]*;", f"include {self._gate.local_gate.etc}/wssgate.d/tls.inc;", super().text()
        )


def sizes_of(gate: Gate) -> list[type[Contender]]:
    """The bare one with the gate's sizes, and tunnel buffers so small that messages suffer: the lowest for nginx."""
    server = "".join(text for name, text in gate.local_gate.configuration().items() if "server_" in name)
    sizes = "ssl_buffer_size|request_pool_size|connection_pool_size"
    given = " ".join(re.findall(rf"^ *((?:{sizes}) [^;]*;)", server, flags=re.M))

    class BareSized(Bare):
        name, title = "bare_sized", "the bare one with this gate's sizes"
        http = f"{Bare.http} {given}"

    class BareSmallest(Bare):
        name, title = "bare_smallest", "the bare one with buffers and pools of 1k"
        http = f"{Bare.http} ssl_buffer_size 1k; request_pool_size 1k; proxy_buffer_size 1k; proxy_buffers 8 1k;"

    return [BareSized, BareSmallest]


class PlainBare(Nginx):
    name, title = "plain_bare", "bare proxy_pass"
    http = Bare.http

    @property
    def target(self) -> load.Target:
        return replace(super().target, tls=False)

    def text(self) -> str:
        return re.sub(r"\n +ssl_[^\n]*", "", super().text().replace(" ssl;", ";"))


class PlainGate(Gate):
    name, title = "plain_gate", "the whole gate"
    tls = False


class Without(Contender):
    """A copy of the plain gate, with something taken out."""

    def __init__(self, shared: Shared, gate: PlainGate, name: str, title: str, cut: list[tuple[str, str]]) -> None:
        self.name, self.title, self._gate, self._cut = name, title, gate, cut
        super().__init__(shared)

    def start(self) -> None:
        found: set[str] = set()

        def edit(_name: str, text: str) -> str:
            for pattern, instead in self._cut:
                text, count = re.subn(pattern, instead, text, flags=re.S)
                if count:
                    found.add(pattern)
            return text

        self._copy = self._gate.local_gate.copy(edit, {self._gate.port: self.port})
        if len(found) < len(self._cut):
            raise RuntimeError(f"{self.title}: the configuration has none")
        self._copy.start()

    @property
    def target(self) -> load.Target:
        return replace(self._gate.target, port=self.port)

    def stop(self) -> None:
        self._copy.__exit__()

    def halt(self) -> None:
        self._copy.stop()

    def alone(self) -> list[str]:
        return [self._copy.binary, "-c", str(self._copy.etc / "nginx.conf")]

    def pids(self) -> list[int]:
        return usage.family(self._copy.master() or 0)


#: What is taken out, its title, and how.
GUARDS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("no_token", "token: subrequest, file and session log", [(r"auth_request /[^;]*;", "")]),
    (
        "no_session_log",
        "session log: which token opened which connection",
        [(r"access_log [^;]* wss_session_(?:start|end)[^;]*;", "")],
    ),
    # Not `off` in a location: that would silence the session log beside it.
    (
        "no_access_log",
        "access log: one JSON line",
        [
            (r"(?<=\n {4})access_log [^;]* wss;", "access_log off;"),
            (r"(?<=\n {8})access_log [^;]* wss(?: if=[^;]*)?;", ""),
        ],
    ),
    ("no_origin", "Origin", [(r"if \(\$http_origin [^\n]*\n.*?\n        \}", "")]),
    ("no_protocol", "HTTP/1.1, GET, Upgrade, Connection", [(r"include wssgate.d/handshake.inc;", "")]),
    (
        "no_headers",
        "headers set for the upstream, the cookie taken out",
        [(r"proxy_set_header (?!Host|Upgrade|Connection)[^;]*;", "")],
    ),
]


def median(values: list[float]) -> float:
    return statistics.median(values)


def ratio(figures: Figures, name: str, to: str, key: str) -> float:
    """The median of the rounds' own ratios: what both met in one round cancels out."""
    return statistics.median(a / b for a, b in zip(figures[name][key], figures[to][key], strict=True))
