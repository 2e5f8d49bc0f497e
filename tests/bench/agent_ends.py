# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends tokens on the host of a gate, and looks when their sessions are closed. Prints figures as JSON.

It runs beside the gate, on this machine or in a container, with the host's Python: it needs the standard library, this
collection and Ansible's module_utils (no other part of Ansible).

ends    Sessions are opened, and a moment later ended one by one, each in its way, the ways in random order: the file is
        removed (`rm`), the code of wss_token revokes the token in a process that has it loaded (`module`), `ss -K`
        closes the connection (`ss`), or the file is removed right after the handshake (`rm at once`). The time is from
        just before that to the moment at which the client sees that its connection is gone.
expiry  Tokens end at random seconds, which are set while each has a session. From shortly before its end each is tried
        in a handshake again and again.
scan    The time that the agent's first turn takes, which looks through the whole store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lib import wire

WAYS = ("rm", "module", "ss")
AT_ONCE = "rm at once"
BATCH = 50
# One of so many tries is made at once after the handshake.
AT_ONCE_EVERY = 10
# By then the agent has read what nginx has logged: it reads ten times a second.
KNOWN = 0.4
PATIENCE = 30.0
PROCESSES = multiprocessing.get_context("fork")
# Ends are whole seconds. Before the first one all tokens have theirs.
LEAD = 3
PROBE_BEFORE, PROBE_AFTER = 0.3, 2.5


class Gate:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.store = Path(options.store)
        self.port = options.port
        self.request = wire.Request("/wss", host=options.name).origin(options.origin)

    def endpoint(self, tls: bool) -> wire.Endpoint:
        port = self.options.tls_port if tls else self.port
        return wire.Endpoint(port=port, tls=tls, server_name=self.options.name)

    def touch(self, token: str) -> None:
        (self.store / token).touch(mode=0o600)

    def open(self, token: str, tls: bool = True) -> socket.socket:
        reply = wire.handshake(self.endpoint(tls), self.request.token(token), PATIENCE)
        if reply.session is None:
            raise RuntimeError(f"a handshake was answered with {reply.status}")
        return reply.session.socket


def wait_until_closed(connection: socket.socket) -> float:
    """When the client notices, by the monotonic clock."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        raise RuntimeError(f"a session is still open after {PATIENCE:.0f} s") from None
    except OSError:
        pass
    return time.monotonic()


class Module:
    """wss_token in a process of its own, which has loaded it: what is timed is its work, not the start of Python."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.pipe, theirs = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=self._serve, args=(theirs, options), daemon=True)
        self.process.start()
        theirs.close()

    @staticmethod
    def _serve(pipe: Connection, options: argparse.Namespace) -> None:
        from .tokens_store import Module as Loaded

        module = Loaded("wss_token")
        while (arguments := pipe.recv()) is not None:
            started = time.monotonic()
            result = module(path=options.store, session_log=options.log, **arguments)
            pipe.send((started, result))

    def begin(self, **arguments: Any) -> None:
        self.pipe.send(arguments)

    def result(self) -> tuple[float, dict[str, Any]]:
        """When it began, and what it returned."""
        if not self.pipe.poll(120):
            raise RuntimeError("wss_token does not return")
        answer: tuple[float, dict[str, Any]] = self.pipe.recv()
        return answer

    def call(self, **arguments: Any) -> dict[str, Any]:
        self.begin(**arguments)
        return self.result()[1]

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join(10)


@contextlib.contextmanager
def module_of(options: argparse.Namespace) -> Iterator[Module]:
    module = Module(options)
    try:
        yield module
    finally:
        module.close()


def end_by(way: str, gate: Gate, module: Module, token: str, connection: socket.socket) -> float:
    """End one session; return the seconds until its client saw that."""
    if way == "module":
        module.begin(tokens=[token], state="absent", disconnect=True)
        closed = wait_until_closed(connection)
        started, result = module.result()
        if result["sessions"] != {"found": 1, "ended": 1, "remaining": 0}:
            raise RuntimeError(f"wss_token returned {result['sessions']}")
        return closed - started
    started = time.monotonic()
    if way == "ss":
        client, server = connection.getsockname()[1], connection.getpeername()[1]
        which = ["sport", "=", f":{server}", "and", "dport", "=", f":{client}"]
        command = ["ss", "--kill", "--no-header", "--tcp", "--numeric", "state", "established", *which]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            return wait_until_closed(connection) - started
    (gate.store / token).unlink()
    return wait_until_closed(connection) - started


def ends(gate: Gate, tries: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    found: dict[str, list[float]] = {way: [] for way in (*WAYS, AT_ONCE)}
    serial = 0
    with module_of(gate.options) as module:
        while len(found["rm"]) < tries:
            batch = []
            for _try in range(min(BATCH, tries - len(found["rm"]))):
                for way in WAYS:
                    serial += 1
                    token = f"ended-token-{serial:08d}"
                    gate.touch(token)
                    batch.append((way, token, gate.open(token)))
            time.sleep(KNOWN)
            chance.shuffle(batch)
            for way, token, connection in batch:
                time.sleep(chance.random() * 0.03)
                found[way].append(end_by(way, gate, module, token, connection))
                connection.close()
                if way == "ss":
                    (gate.store / token).unlink()
            for _try in range(max(1, len(batch) // len(WAYS) // AT_ONCE_EVERY)):
                serial += 1
                token = f"ended-token-{serial:08d}"
                gate.touch(token)
                with gate.open(token) as connection:
                    found[AT_ONCE].append(end_by(AT_ONCE, gate, module, token, connection))
    return {way: summary(times) for way, times in found.items()}


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summary(seconds: list[float]) -> dict[str, Any]:
    """In milliseconds."""
    return {
        "tries": len(seconds),
        "p50_ms": round(percentile(seconds, 0.5) * 1e3, 1),
        "p99_ms": round(percentile(seconds, 0.99) * 1e3, 1),
        "max_ms": round(max(seconds) * 1e3, 1),
    }


def probe(pipe: Connection, gate: Gate, tokens: dict[str, int]) -> None:
    """Try each token again and again around its end; send when the last of its handshakes was accepted."""
    waiting = sorted(tokens, key=lambda token: tokens[token])
    tried: list[str] = []
    accepted: dict[str, float] = {}
    kept = []
    count = 0
    while waiting or tried:
        now = time.time()
        while waiting and tokens[waiting[0]] - PROBE_BEFORE <= now:
            tried.append(waiting.pop(0))
        tried = [token for token in tried if time.time() < tokens[token] + PROBE_AFTER]
        # Refused handshakes are quick: without a pause they would be a load of their own.
        time.sleep(0.005)
        for token in tried:
            if tokens[token] - PROBE_BEFORE <= time.time() <= tokens[token] - 0.05:
                continue
            count += 1
            try:
                reply = wire.handshake(gate.endpoint(False), gate.request.token(token), PATIENCE)
            except OSError:
                # It was let in, and ended before this process came to read the answer.
                accepted[token] = time.time()
                continue
            if reply.session is not None:
                accepted[token] = time.time()
                # Whatever got in is to be ended as well.
                kept.append((token, reply.session.socket))
    still_open = 0
    for _token, connection in kept:
        connection.setblocking(False)
        try:
            still_open += connection.recv(1) != b""
        except BlockingIOError:
            still_open += 1
        except OSError:
            pass
    pipe.send({"accepted": accepted, "handshakes": count, "got_in": len(kept), "still_open": still_open})


def expiry(gate: Gate, count: int, seconds: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    names = [f"expiring-token-{number:08d}" for number in range(count)]
    poll = select.poll()
    sessions: dict[int, tuple[str, socket.socket]] = {}
    for token in names:
        gate.touch(token)
        connection = gate.open(token, tls=False)
        connection.setblocking(False)
        sessions[connection.fileno()] = (token, connection)
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
    begin = int(time.time()) + LEAD + count // 60
    tokens = {token: begin + chance.randrange(seconds) for token in names}
    with module_of(gate.options) as module:
        for end in sorted(set(tokens.values())):
            some = [token for token, its in tokens.items() if its == end]
            module.call(tokens=some, subject="bench", expires_at=end)
    if time.time() > begin:
        raise RuntimeError("the first token ended before the last one had its end: the machine has too much to do")
    ours, theirs = PROCESSES.Pipe()
    prober = PROCESSES.Process(target=probe, args=(theirs, gate, tokens), daemon=True)
    prober.start()
    # So that its end is noticed, should it fail.
    theirs.close()
    closed: dict[str, float] = {}
    deadline = begin + seconds + PATIENCE
    while sessions and time.time() < deadline:
        for number, _events in poll.poll(1000):
            closed[sessions[number][0]] = time.time()
            poll.unregister(number)
            sessions.pop(number)[1].close()
    if not ours.poll(PATIENCE + PROBE_AFTER):
        raise RuntimeError("the handshakes do not come to an end")
    probed = ours.recv()
    prober.join()
    late = [closed[token] - tokens[token] for token in closed]
    accepted = [moment - tokens[token] for token, moment in probed["accepted"].items()]
    late_accepted = [moment for moment in accepted if moment > 0]
    return {
        "tokens": count,
        "seconds": seconds,
        "closed": summary(late),
        "closed_early": sum(moment < 0 for moment in late),
        "never_closed": len(sessions),
        "handshakes": probed["handshakes"],
        "latest_accepted_ms": round(max(late_accepted, default=0.0) * 1e3, 1),
        "accepted_late": len(late_accepted),
        "got_in": probed["got_in"],
        "still_open": probed["still_open"],
    }


def scan(options: argparse.Namespace) -> dict[str, Any]:
    from ansible_collections.wssgate.nginx.plugins.module_utils._agent import agent, look_ahead

    with tempfile.TemporaryDirectory(prefix="wssgate-bench-state-") as state:
        one = agent.Agent(agent.Settings(options.store, options.log, state=state))
        try:
            cpu, started = time.process_time(), time.monotonic()
            one.turn()
            found = {"cpu_s": time.process_time() - cpu, "s": time.monotonic() - started}
        finally:
            one.close()
    return {**found, "every_s": look_ahead.SCAN_EVERY}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["ends", "expiry", "scan"])
    parser.add_argument("--store", required=True)
    parser.add_argument("--log", required=True, help="the session log")
    parser.add_argument("--port", type=int, default=80, help="without TLS")
    parser.add_argument("--tls-port", type=int, default=443)
    parser.add_argument("--name", default="gate.example.com")
    parser.add_argument("--origin", default="https://app.example.com")
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=40, help="expiry: within which all tokens end")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = parse()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)
    if options.part == "scan":
        figures = scan(options)
    elif options.part == "ends":
        figures = ends(Gate(options), options.tries, options.seed)
    else:
        figures = expiry(Gate(options), options.tries, options.seconds, options.seed)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
