# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hundred thousand live wss sessions on one gate; writes docs/crowd-figures.json, .md and .svg when it is told to.

    make bench NAME=crowd ARGS='--write docs'          # all of it
    make bench NAME=crowd ARGS='--sessions 2000'       # a look
    make bench NAME=crowd ARGS='--report'              # measure nothing, write the page from the figures

ramp    Sessions come as fast as they get in; nginx's memory on the way, how evenly its workers have them, echoes.
reload  nginx is reloaded with all of them open: its memory while two generations live, and whether one is lost.
revoke  One token is revoked, then 10,000, then all that are left, beside an agent: until the sessions are closed.
herd    All come back at the same moment, without a token in their way: until all are in.
drain   The agent ends all of them, 500 a second, and the others go on: how evenly, and what those feel.
limits  A tenth comes back at once: as it is, with a limit of attempts for an address, and with `reuseport`.

Each session has a token of its own. Everything is on the loopback. It says at its start what the machine lacks, and
ends what it has started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import crowd, load, usage
from lib.collection import install_loader
from lib.local_gate import LocalGate, free_port

from . import crowd_again, crowd_report
from .agent_ends import Module
from .agent_hosts import AgentProcess, servers
from .contenders import DEBIAN_NGINX
from .crowd_clients import clients, token_of, upstream
from .crowd_room import Plan, mebibytes_available, missing, plan
from .crowd_watch import Peak, percentiles, spread
from .gate import machine

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ramp", "reload", "revoke", "herd", "drain", "limits")
STEPS = (1000, 4000, 8000, 20_000, 50_000, 100_000)
DAY = 86_400
# Handshakes under way on the way up, in all
AT_ONCE = 32
# Tokens in a call of the module
BATCH = 10_000
ECHOES, ECHO_SECONDS = 500.0, 10.0


class TimeIsOver(Exception):
    """The bound of minutes was reached."""


class Bench:
    """A gate, its agent, both ends of a crowd, and what was found."""

    def __init__(self, wanted: Plan, until: float, say: Callable[[str], None]) -> None:
        self.plan, self.until, self.say = wanted, until, say
        self.found: dict[str, Any] = {
            "sessions": wanted.sessions, "workers": wanted.workers, "addresses": wanted.clients,
        }  # fmt: skip
        self._stack = contextlib.ExitStack()
        self._told = time.monotonic()
        self.crowd: list[load.Client] = []

    def __enter__(self) -> Bench:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def _start(self) -> None:
        if DEBIAN_NGINX.exists():
            os.environ["WSSGATE_NGINX"] = str(DEBIAN_NGINX)
        port = free_port()
        self.gate = LocalGate([], nginx_sessions=self.plan.sessions, nginx_worker_processes=self.plan.workers)
        self._stack.callback(self.gate.__exit__)
        path = self.gate.root / "upstream.sock"
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(4096)
        target = load.Target(port)
        for _one in range(self.plan.upstreams):
            self._client(upstream, target, listener=listener, bound=self.plan.bound)
        self.crowd = [
            self._client(clients, target, address=f"127.0.1.{number + 1}") for number in range(self.plan.clients)
        ]
        self.gate.variables |= {
            "wss_proxy_certificates": [self.gate.certificate()],
            "wss_proxy_servers": servers(f"http://unix:{path}", [{"address": "127.0.0.1", "port": port}]),
        }
        self.module = Module(argparse.Namespace(store=str(self.gate.tokens), log=str(self.gate.session_log)))
        self._stack.callback(self._end_module)
        self.say(f"the gate is rendered for {self.plan.sessions:,} sessions on {self.plan.workers} workers")
        self.gate.apply()
        # Descriptors of a worker without a session, and of what it has now and then
        self.quiet = spread(self.gate.workers())["most"] + 8
        self.agent = self._stack.enter_context(AgentProcess(self.gate.root, self.gate.tokens, self.gate.session_log))
        self._issue()

    def _client(self, work: Callable[..., dict[str, Any]], target: load.Target, **options: Any) -> load.Client:
        client = load.Client(work, target, **options)
        self._stack.callback(client.end)
        return client

    def _end_module(self) -> None:
        self.module.process.kill()
        self.module.process.join()

    # -- what all parts need

    def _issue(self) -> None:
        """A token for each session, of subject `one`, `many` or `rest`."""
        for subject, numbers in self._groups().items():
            for begin in range(0, len(numbers), BATCH):
                tokens = [token_of(number) for number in numbers[begin : begin + BATCH]]
                self._call(tokens=tokens, subject=subject, expires_at=int(time.time()) + DAY)
        self.say(f"{self.plan.sessions:,} tokens are there")

    def _groups(self) -> dict[str, range]:
        many = min(10_000, self.plan.sessions // 10)
        return {"one": range(1), "many": range(1, 1 + many), "rest": range(1 + many, self.plan.sessions)}

    def _call(self, **arguments: Any) -> dict[str, Any]:
        self.module.begin(**arguments)
        return self._result()

    def _result(self) -> dict[str, Any]:
        while not self.module.pipe.poll(1):
            self._look(lambda: "the module is at work")
        return self.module.result()[1]

    def _look(self, words: Callable[[], str]) -> None:
        now = time.monotonic()
        if now > self.until:
            raise TimeIsOver
        if now > self._told + 15:
            self._told = now
            self.say(words())

    def _tell(self, *words: Any) -> None:
        for client in self.crowd:
            client.tell(words)

    def state(self) -> tuple[int, int, int]:
        """Sessions that are open, closed since `take`, and attempts that failed since."""
        self._tell("state")
        told = [client.told() for client in self.crowd]
        opened, closed, failed = (sum(column) for column in zip(*told, strict=True))
        return opened, closed, failed

    def take(self) -> tuple[list[float], list[float], list[float], dict[str, int]]:
        """Times of handshakes and echoes, moments of ends, failures by their names, since the last time."""
        self._tell("take")
        times, echoes, closed = [], [], []
        failed: Counter[str] = Counter()
        for client in self.crowd:
            more = client.told()
            for all_of, of_one in zip((times, echoes, closed), more, strict=False):
                all_of += of_one
            failed.update(more[3])
        return times, echoes, closed, failed

    def open(self, numbers: range, at_once: int) -> None:
        for place, client in enumerate(self.crowd):
            client.tell(("open", list(numbers[place :: len(self.crowd)]), max(1, at_once // len(self.crowd))))

    def wait_open(self, until_open: int, pause: float = 0.1) -> None:
        while (state := self.state())[0] < until_open:
            self._look(lambda state=state: f"{state[0]:,} of {until_open:,} open, {state[2]} attempts failed")
            time.sleep(pause)

    def leave(self) -> None:
        """All clients close their connections; nginx has seen it when this returns."""
        self._tell("leave")
        while spread(self.gate.workers())["most"] > self.quiet or self.state()[0]:
            self._look(lambda: "clients leave")
            time.sleep(0.1)

    def wait_closed(self, count: int) -> None:
        while (state := self.state())[1] < count:
            self._look(lambda state=state: f"{state[1]:,} of {count:,} closed")
            time.sleep(0.05)

    def family(self) -> list[int]:
        master = self.gate.master()
        return usage.family(master) if master else []

    def nginx_mib(self) -> float:
        return round(usage.memory_kib(self.family()) / 1024, 1)

    # -- parts

    def ramp(self) -> None:
        found: dict[str, Any] = {"fresh_mib": self.nginx_mib(), "steps": []}
        self.found["ramp"] = found
        all_times: list[float] = []
        failures: Counter[str] = Counter()
        seconds, there = 0.0, 0
        for step in sorted({step for step in STEPS if step < self.plan.sessions} | {self.plan.sessions}):
            begin = time.monotonic()
            self.open(range(there, step), AT_ONCE)
            self.wait_open(step)
            took = time.monotonic() - begin
            seconds += took
            times, _echoes, _closed, failed = self.take()
            all_times += times
            failures.update(failed)
            figures = {"sessions": step, "mib": self.nginx_mib(), "a_second": round((step - there) / took)}
            found["steps"].append(figures | percentiles(times))
            self.say(f"ramp: {json.dumps(found['steps'][-1])}")
            there = step
        found |= {"seconds": round(seconds, 1), "a_second": round(there / seconds), "failed": failures}
        found |= percentiles(all_times)
        found["spread"] = spread(self.gate.workers())
        found["clients_mib"] = round(usage.memory_kib([one.pid for one in self.crowd]) / 1024, 1)
        found["agent_mib"] = round(usage.memory_kib([self.agent.pid]) / 1024, 1)
        found["available_mib"] = mebibytes_available()
        found["echo"] = self._echo()
        self.say(f"ramp: {json.dumps({name: value for name, value in found.items() if name != 'steps'})}")

    def echo_on(self) -> None:
        self._tell("echo", ECHOES / len(self.crowd))

    def echo_off(self) -> None:
        self._tell("echo", 0.0)
        time.sleep(0.5)

    def _echo(self) -> dict[str, float]:
        self.echo_on()
        time.sleep(min(ECHO_SECONDS, 1 + self.plan.sessions / 1000))
        self.echo_off()
        echoes = self.take()[1]
        return {"messages": len(echoes)} | percentiles(echoes)

    def reload(self) -> None:
        before, opened = self.nginx_mib(), self.state()[0]
        self.take()
        with Peak(self.nginx_mib) as peak:
            begin = time.monotonic()
            self.gate.reload()
            live = time.monotonic() - begin
            time.sleep(5)
        after = self.nginx_mib()
        self.found["reload"] = {
            "before_mib": before, "most_mib": peak.most, "after_mib": after, "live_s": round(live, 2),
            "open": opened, "lost": self.state()[1], "echo": self._echo(),
        }  # fmt: skip
        self.say(f"reload: {json.dumps(self.found['reload'])}")

    def revoke(self) -> None:
        self.found["revoke"] = []
        for subject, numbers in self._groups().items():
            before = self.state()[0]
            self.take()
            cpu = usage.cpu_seconds([self.agent.pid])
            begin = time.monotonic()
            self.module.begin(subject=subject, state="absent", disconnect=True)
            self.wait_closed(len(numbers))
            closed = sorted(self.take()[2])
            result = self._result()
            time.sleep(0.3)
            figures = {
                "sessions": len(numbers),
                "first_s": round(closed[0] - begin, 2),
                "half_s": round(closed[len(closed) // 2] - begin, 2),
                "last_s": round(closed[-1] - begin, 2),
                "module": result["sessions"],
                "agent_cpu_s": round(usage.cpu_seconds([self.agent.pid]) - cpu, 2),
                "others_closed": before - self.state()[0] - len(numbers),
            }
            self.found["revoke"].append(figures)
            self.say(f"revoke: {json.dumps(figures)}")

    def drain(self) -> None:
        crowd_again.drain(self)

    def limits(self) -> None:
        crowd_again.limits(self)

    def herd(self) -> None:
        self._issue()
        opened, _closed, _failed = self.state()
        if opened:
            raise RuntimeError(f"{opened} sessions are open before the herd comes; part revoke has to be before it")
        self.take()
        with Peak(self.nginx_mib) as peak:
            begin = time.monotonic()
            self.open(range(self.plan.sessions), self.plan.sessions)
            self.wait_open(self.plan.sessions)
            took = time.monotonic() - begin
        times, _echoes, _closed_at, failed = self.take()
        self.found["herd"] = {
            "all_s": round(took, 1), "a_second": round(self.plan.sessions / took),
            "failed": failed, "most_mib": peak.most, "after_mib": self.nginx_mib(),
            "spread": spread(self.gate.workers()), **percentiles(times),
        }  # fmt: skip
        self.say(f"herd: {json.dumps(self.found['herd'])}")


def measure(given: argparse.Namespace, wanted: Plan, say: Callable[[str], None]) -> tuple[dict[str, Any], bool]:
    begin, before = time.monotonic(), os.getloadavg()[0]
    about, is_whole = machine(), False
    bench = Bench(wanted, begin + given.minutes * 60, say)
    try:
        with bench:
            for part in PARTS:
                if part in given.parts:
                    getattr(bench, part)()
        is_whole = True
    except TimeIsOver:
        say(f"given up: {given.minutes:g} minutes are over")
    except (RuntimeError, AssertionError, OSError, EOFError) as error:
        say(f"given up: {error or type(error).__name__}")
    part = {
        "figures": bench.found,
        "is_whole": is_whole,
        "parts": list(given.parts),
        "seconds": round(time.monotonic() - begin),
        "scale": 1 if wanted.sessions == 100_000 else round(wanted.sessions / 100_000, 4),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load_before": round(before, 1),
        "descriptors": wanted.descriptors,
    }
    return {"crowd": part, "machine": about}, is_whole


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=0, help="by default as many as their descriptors ask for")
    parser.add_argument("--minutes", type=float, default=30, help="after which what is measured is given up")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="ramp comes first in any case")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write page, figures and picture to this folder")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page from the figures")
    parser.add_argument("--no-picture", action="store_true", help="for a Python without matplotlib")
    given = parser.parse_args()
    if "ramp" not in given.parts:
        given.parts.append("ramp")
    if "herd" in given.parts and "revoke" not in given.parts:
        given.parts.append("revoke")
    if "drain" in given.parts and "revoke" in given.parts and "herd" not in given.parts:
        parser.error("--parts: nobody is left to drain after revoke; herd has to come between")
    if given.sessions < 20:
        parser.error("--sessions: at least 20")
    if given.workers < 0 or given.minutes <= 0:
        parser.error("--workers and --minutes: greater than 0")
    return given


def interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    given = options()
    if given.report:
        crowd_report.write(given.write or ROOT / "docs", is_drawn=not given.no_picture)
        return 0
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, interrupted)
    crowd.raise_limit()
    wanted = plan(given.sessions, given.workers)
    if lacks := missing(wanted):
        print(lacks, file=sys.stderr)
        return 2
    install_loader()
    try:
        results, is_whole = measure(given, wanted, say)
    except KeyboardInterrupt:
        say("interrupted; what was started has ended")
        return 130
    print(crowd_report.page(results))
    if given.write:
        (given.write / crowd_report.JSON).write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        crowd_report.write(given.write, is_drawn=not given.no_picture)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
