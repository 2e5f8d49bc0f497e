# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent of a gate does in time and what it costs; writes docs/agent-figures.json, .md and .svg.

    make bench NAME=agent                              # all parts
    make bench NAME=agent ARGS='--parts rest growth'   # some of them; the others stay as they are in the JSON
    make bench NAME=agent ARGS='--scale 0.05 --folder /tmp/look --hosts local'   # a look
    make bench NAME=agent ARGS='--draw'                # measure nothing, write .md and .svg from the JSON

ends    From the removal of a token to the end of its session, and from a revocation by wss_token, beside a bare
        `ss -K`: on this machine with the newest nginx, and in containers of Debian 12 and 13 with the service that
        `site` installs (make images).
expiry  Tokens that end at random seconds: the latest handshake that was accepted after the end of its token, and the
        latest session that was closed after it. On the same hosts.
crowd   10,000 sessions of 10,000 tokens, one in ten over TLS. One is ended at a time while the others echo; then all at
        once, by subject and by removal of their files.
rest    100,000 tokens and 4,000 sessions: what the agent needs while nothing happens, beside a run of the pruner every
        15 seconds, and what it needs for each session while 1,000 begin and end a second.
growth  1,000 to 1,000,000 tokens.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import crowd, load, usage
from lib.collection import install_loader
from lib.processes import wait_for

from . import agent_report
from .agent_crowd import Crowd, crowd_of, window
from .agent_ends import Module, module_of
from .agent_hosts import CONTAINERS, AgentProcess, ContainerHost, LocalHost, program
from .gate import machine

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ends", "expiry", "crowd", "rest", "growth")
HOSTS = ("local", *CONTAINERS)
PRUNE_EVERY = 15.0
PRUNES = 5
# Ends are far away, so that nothing is due meanwhile.
DAY = 86400
BYSTANDERS = 200
# A time in which nothing, or one session, ends
STEP = 1.5


class Bench:
    def __init__(self, hosts: list[str], scale: float, say: Callable[[str], None]) -> None:
        self.hosts, self.scale, self.say = hosts, scale, say
        self.missing: dict[str, str] = {}
        self._stack = contextlib.ExitStack()
        self._host: LocalHost | None = None

    def close(self) -> None:
        self._stack.close()

    def _local(self) -> LocalHost:
        """The gate on this machine, with an empty store: one for all parts."""
        if self._host is None:
            self._host = self._stack.enter_context(LocalHost(self._count(10_000, 100) + 1000))
        self._host.empty()
        return self._host

    def _count(self, number: int, least: int = 1) -> int:
        return max(least, int(number * self.scale))

    def _seconds(self, number: float, least: float = 1.0) -> float:
        return max(least, number * self.scale)

    # -- in time

    def _on_each_host(self, work: Callable[[LocalHost | ContainerHost], dict[str, Any]]) -> dict[str, Any]:
        found = {}
        for name in self.hosts:
            with contextlib.ExitStack() as stack:
                host: LocalHost | ContainerHost
                if name == "local":
                    host = self._local()
                else:
                    host = ContainerHost(*CONTAINERS[name])
                    try:
                        stack.enter_context(host)
                    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                        self.missing[host.title] = str(error)[:300]
                        self.say(f"left out: {host.title}: {error}")
                        continue
                stack.enter_context(host.agent())
                found[name] = {"title": host.title, **host.facts(), **work(host)}
            self.say(f"{host.title}: {json.dumps(found[name])}")
        return found

    def in_time(self, parts: list[str]) -> dict[str, Any]:
        """Ends and expiry on each host, which is put up once."""
        found: dict[str, Any] = {part: {} for part in parts}

        def work(host: LocalHost | ContainerHost) -> dict[str, Any]:
            figures = {}
            if "ends" in parts:
                figures["ends"] = host.run("ends", "--tries", str(self._count(1000, 3)))
            if "expiry" in parts:
                seconds = str(int(self._seconds(40, 3)))
                figures["expiry"] = host.run("expiry", "--tries", str(self._count(1000, 6)), "--seconds", seconds)
            return figures

        for name, figures in self._on_each_host(work).items():
            for part in parts:
                found[part][name] = {"title": figures["title"], "nginx": figures["nginx"], **figures[part]}
        return found

    # -- a crowd

    def crowd(self) -> dict[str, Any]:
        count = self._count(10_000, 60)
        tokens = [f"crowd-token-{number:08d}" for number in range(count)]
        others = [f"other-token-{number:08d}" for number in range(min(BYSTANDERS, count))]
        with contextlib.ExitStack() as stack:
            host = self._local()
            agent = stack.enter_context(host.agent())
            targets = load.Target(host.port, tls=False), load.Target(host.tls_port)
            members, bystanders = (stack.enter_context(crowd_of(*targets)) for _crowd in range(2))
            options = argparse.Namespace(store=str(host.store), log=str(host.log))
            module = stack.enter_context(module_of(options))
            module.call(tokens=tokens, subject="crowd", expires_at=int(time.time()) + DAY)
            module.call(tokens=others, subject="others", expires_at=int(time.time()) + DAY)
            took = members.open(tokens, tls_every=10)
            bystanders.open(others)
            self.say(f"crowd: {count} sessions in {took:.1f} s")
            known_to(agent, count + len(others))
            found: dict[str, Any] = {"sessions": count, "bystanders": len(others)}
            found["one_by_one"], gone = self._one_by_one(host, module, members, tokens)
            self.say(f"crowd: {json.dumps(found['one_by_one'])}")
            if found["one_by_one"]["closed_wrongly"] or found["one_by_one"]["never_closed"]:
                raise RuntimeError("the agent has not ended those sessions that it should have ended")
            left = [token for token in tokens if token not in gone]
            found["by_subject"] = self._all_at_once(
                lambda: module.begin(subject="crowd", state="absent", disconnect=True), members, bystanders, left
            )
            _began, result = module.result()
            found["by_subject"]["result"] = result["sessions"]
            self.say(f"crowd: by subject: {json.dumps(found['by_subject'])}")
            members.forget()
            module.call(tokens=tokens, subject="crowd", expires_at=int(time.time()) + DAY)
            members.open(tokens, tls_every=10)
            known_to(agent, count + len(others))
            found["by_removal"] = self._all_at_once(
                lambda: [(host.store / token).unlink() for token in tokens], members, bystanders, tokens
            )
            self.say(f"crowd: by removal: {json.dumps(found['by_removal'])}")
        return found

    def _one_by_one(
        self, host: LocalHost, module: Module, members: Crowd, tokens: list[str]
    ) -> tuple[dict[str, Any], set[str]]:
        """Quiet times and times that begin with an end, in turns."""
        step = self._seconds(STEP, 0.4)
        members.echo(self._count(1000, 60))
        time.sleep(step)
        ended: dict[str, tuple[str, float]] = {}
        quiet, busy = [], []
        for number in range(self._count(20, 2)):
            begin = time.monotonic()
            time.sleep(step)
            quiet.append((begin, time.monotonic()))
            token = tokens[number * len(tokens) // 20]
            way = "module" if number % 2 else "rm"
            begin = time.monotonic()
            if way == "rm":
                (host.store / token).unlink()
            else:
                module.begin(tokens=[token], state="absent", disconnect=True)
            ended[token] = (way, begin)
            time.sleep(step)
            busy.append((begin, time.monotonic()))
            if way == "module":
                module.result()
        members.echo(0)
        time.sleep(step)
        echoes, closed = members.report()
        wrongly = set(closed) - set(ended)
        figures: dict[str, Any] = {
            "times": len(ended),
            "rate": self._count(1000, 60),
            "quiet": window(echoes, quiet)._asdict(),
            "while_one_ends": window(echoes, busy)._asdict(),
            "never_closed": len(set(ended) - set(closed)),
            "closed_wrongly": len(wrongly),
        }
        for way in ("rm", "module"):
            times = [closed[token] - begin for token, (its, begin) in ended.items() if its == way and token in closed]
            figures[way] = {"p50_ms": round(sorted(times)[len(times) // 2] * 1e3, 1), "max_ms": round(max(times) * 1e3)}
        return figures, set(ended)

    def _all_at_once(
        self, end: Callable[[], object], members: Crowd, bystanders: Crowd, tokens: list[str]
    ) -> dict[str, Any]:
        before = members.closed()
        bystanders.forget()
        bystanders.echo(200)
        quiet = time.monotonic()
        time.sleep(self._seconds(5))
        begin = time.monotonic()
        end()
        wait_for(lambda: members.closed() >= before + len(tokens), 60)
        over = time.monotonic()
        time.sleep(0.5)
        bystanders.echo(0)
        time.sleep(0.5)
        _echoes, closed = members.report()
        echoes, wrongly = bystanders.report()
        times = sorted(closed[token] - begin for token in tokens)
        return {
            "ended": len(times),
            "first_s": round(times[0], 3),
            "half_s": round(times[len(times) // 2], 3),
            "last_s": round(times[-1], 3),
            "others_quiet": window(echoes, [(quiet, begin)])._asdict(),
            "others_meanwhile": window(echoes, [(begin, over + 0.25)])._asdict(),
            "others_closed": len(wrongly),
        }

    # -- at rest

    def rest(self) -> dict[str, Any]:
        tokens, sessions = self._count(100_000, 200), self._count(4000, 20)
        with contextlib.ExitStack() as stack:
            host = self._local()
            fill(host.store, tokens)
            holders = stack.enter_context(crowd_of(load.Target(host.port, tls=False), load.Target(host.tls_port)))
            holders.open([token_of(number) for number in range(sessions)])
            agent = stack.enter_context(host.agent())
            known_to(agent, sessions)
            found: dict[str, Any] = {"tokens": tokens, "sessions": sessions, "ready_s": round(agent.ready_s, 3)}
            found |= at_rest(agent, self._seconds(60))
            found["scan"] = host.run("scan")
            add_scans(found)
            self.say(f"rest: {json.dumps(found)}")
            found["pruner"] = pruner(agent.prune_command)
            self.say(f"rest: {json.dumps(found['pruner'])}")
            found["handshakes"] = self._handshakes(host, agent)
            self.say(f"rest: {json.dumps(found['handshakes'])}")
        return found

    def _handshakes(self, host: LocalHost, agent: AgentProcess) -> dict[str, Any]:
        rate, clients = self._count(1000, 100), 4
        target = load.Target(host.port, tls=False, cookie=f"AUTH={token_of(1)}")
        before, begin = usage.cpu_seconds([agent.pid]), time.monotonic()
        callers = [load.Client(load.dial, target, rate=rate / clients) for _client in range(clients)]
        time.sleep(self._seconds(60))
        for caller in callers:
            caller.tell("over")
        calls = [found for caller in callers for found in caller.result()["found"]]
        # What was logged last is read a moment later.
        time.sleep(0.5)
        cpu, seconds = usage.cpu_seconds([agent.pid]) - before, time.monotonic() - begin
        return {
            "asked_for": rate,
            "a_second": round(len(calls) / seconds),
            "failed": sum(took == 0.0 for _begun, took in calls),
            "cpu_share": round(cpu / seconds, 4),
            "cpu_us_a_session": round(cpu / len(calls) * 1e6, 1),
            "pss_mib": mebibytes([agent.pid]),
        }

    # -- growth

    def growth(self) -> list[dict[str, Any]]:
        found = []
        with tempfile.TemporaryDirectory(prefix="wssgate-bench-growth-") as name:
            folder = Path(name)
            store, log = folder / "tokens", folder / "log" / "sessions.log"
            store.mkdir(mode=0o710)
            log.parent.mkdir(mode=0o700)
            log.touch(mode=0o600)
            there = 0
            for count in [self._count(count, 20) for count in (1000, 10_000, 100_000, 1_000_000)]:
                fill(store, count, there)
                there = count
                with AgentProcess(folder, store, log) as agent:
                    figures = {"tokens": count, "ready_s": round(agent.ready_s, 3)}
                    figures |= at_rest(agent, self._seconds(20))
                figures["scan"] = program("scan", store, log)
                add_scans(figures)
                found.append(figures)
                self.say(f"growth: {json.dumps(figures)}")
            # The agent made it append-only.
            subprocess.run(["chattr", "-a", str(log)], capture_output=True, check=False)
        return found


def token_of(number: int) -> str:
    return f"bench-token-{number:08d}"


def fill(store: Path, count: int, there: int = 0) -> None:
    """Tokens as wss_token writes them, with ends within a month. What is in a file is read only when its end comes."""
    prefix, now = f"{store}/", int(time.time())
    for number in range(there, count):
        path = prefix + token_of(number)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        # A hole, which takes no room on the disk.
        os.ftruncate(handle, 64)
        end = now + DAY + number * 7919 % (30 * DAY)
        os.utime(handle, (end, end))
        os.close(handle)


def known_to(agent: AgentProcess, sessions: int) -> None:
    """Wait until the agent reports that it knows of so many sessions."""
    wait_for(lambda: agent.said.startswith(f"{sessions} sessions "), 60)


def switches(pid: int) -> int:
    """How often a process has slept: each time it was woken up."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel does not count switches")


def mebibytes(pids: list[int]) -> float:
    return round(usage.memory_kib(pids) / 1024, 1)


def at_rest(agent: AgentProcess, seconds: float) -> dict[str, Any]:
    time.sleep(1.5)  # its status line is told once a second
    cpu, slept, begin = usage.cpu_seconds([agent.pid]), switches(agent.pid), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - begin
    return {
        "seconds": round(passed, 1),
        "cpu_share": round((usage.cpu_seconds([agent.pid]) - cpu) / passed, 6),
        "wakeups_a_second": round((switches(agent.pid) - slept) / passed, 2),
        "pss_mib": mebibytes([agent.pid]),
    }


def add_scans(figures: dict[str, Any]) -> None:
    """With the looks through the whole store, of which few or none fall into the time that was watched."""
    scan = figures["scan"]
    figures["cpu_share_with_scans"] = round(figures["cpu_share"] + scan["cpu_s"] / scan["every_s"], 6)


def pruner(command: list[str]) -> dict[str, Any]:
    cpu = []
    for _run in range(PRUNES):
        pid = os.posix_spawn(command[0], command, {"PATH": os.environ["PATH"]})
        _pid, status, used = os.wait4(pid, 0)
        if status:
            raise RuntimeError(f"the pruner ended with {os.waitstatus_to_exitcode(status)}")
        cpu.append(used.ru_utime + used.ru_stime)
    a_run = sorted(cpu)[len(cpu) // 2]
    return {
        "cpu_s_a_run": round(a_run, 3),
        "every_s": PRUNE_EVERY,
        "cpu_share": round(a_run / PRUNE_EVERY, 4),
    }


def measure(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    path = arguments.folder / agent_report.JSON
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    bench = Bench(arguments.hosts, arguments.scale, say)
    in_time = [part for part in ("ends", "expiry") if part in arguments.parts]
    work: dict[str, Callable[[], dict[str, Any]]] = {}
    if in_time:
        work["in time"] = lambda: bench.in_time(in_time)
    work |= {
        name: lambda name=name: {name: getattr(bench, name)()}  # type: ignore[misc]
        for name in ("crowd", "rest", "growth")
        if name in arguments.parts
    }
    with contextlib.closing(bench):
        for do in work.values():
            begin, before = time.monotonic(), os.getloadavg()[0]
            for part, figures in do().items():
                results[part] = {
                    "figures": figures,
                    "seconds": round(time.monotonic() - begin),
                    "scale": arguments.scale,
                    "date": time.strftime("%Y-%m-%d", time.gmtime()),
                    "load_before": round(before, 1),
                }
            results |= {"machine": machine(), "missing": bench.missing}
            path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--hosts", nargs="+", choices=HOSTS, default=list(HOSTS), help="for ends and expiry")
    parser.add_argument("--scale", type=float, default=1.0, help="how many and how long; 1.0 is what counts")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where the figures go")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--no-picture", action="store_true", help="for a Python without matplotlib")
    arguments = parser.parse_args()
    begin = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)

    if not arguments.draw:
        install_loader()
        crowd.raise_limit()
        measure(arguments, say)
    for path in agent_report.write(arguments.folder, is_drawn=not arguments.no_picture):
        say(f"written: {path}")


if __name__ == "__main__":
    main()
