# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a few tokens cost among very many: each call in a process of its own, on one store that is filled once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lib import usage
from lib.agent_process import AgentProcess

from .tokens_store import DOCUMENT, LATER, LONG_AGO, Module, collections_tree, install_loader

BATCH = 10_000
# As many as one gate is known to hold (docs/crowd-figures.md)
SESSIONS = 100_000
TURNS = 3


def name(number: int) -> str:
    return f"bench-token-{number:08d}"


def write_one(store: Path, number: int, ends: int = LATER) -> None:
    """A token of a subject of its own, as wss_token writes it."""
    path = f"{store}/{name(number)}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(handle, DOCUMENT.replace("bench", f"client-{number}").encode() % ends + b"\n")
    os.close(handle)
    os.utime(path, (ends, ends))


def write_log(path: Path, count: int, worker: int) -> None:
    with path.open("w") as log:
        for number in range(min(count, SESSIONS)):
            client = f"10.0.{number >> 8 & 255}.{number & 255} {10_000 + number % 50_000}"
            log.write(
                f"S 1798710400.123 {worker} {number} 1 {client} 192.0.2.1 443 203.0.113.{number % 250} {name(number)} "
                "gate.example.com /wss - - - -\n"
            )
    path.chmod(0o600)


def gone(**named: Any) -> dict[str, Any]:
    return {"state": "absent", "disconnect": True, **named}


def names(step: range) -> list[str]:
    return [name(number) for number in step]


def digest(number: int) -> str:
    return hashlib.sha256(name(number).encode()).hexdigest()


ISSUED = {"subject": "new", "ttl": 3600}
STEPS: dict[str, tuple[str, int, Callable[[range], dict[str, Any]]]] = {
    "issue 1": ("wss_token", 1, lambda some: {"generate": 1, **ISSUED}),
    "issue 10,000": ("wss_token", BATCH, lambda some: {"generate": BATCH, **ISSUED}),
    "issue 10,000, named, without an end": (
        "wss_token", BATCH, lambda some: {"tokens": [f"new-{one}" for one in names(some)]}
    ),
    "revoke 1": ("wss_token", 1, lambda some: gone(tokens=names(some))),
    "revoke 1, by its fingerprint": ("wss_token", 1, lambda some: gone(fingerprints=[digest(some[0])[:12]])),
    "revoke 1, by its subject": ("wss_token", 1, lambda some: gone(subject=f"client-{some[0]}")),
    "revoke 10,000": ("wss_token", BATCH, lambda some: gone(tokens=names(some))),
    "expire, none due": ("wss_token", 1, lambda some: gone(expired=True)),
    "expire, 10,000 due": ("wss_token", BATCH, lambda some: gone(expired=True)),
    "list none (`limit: 0`)": ("wss_token_info", 1, lambda some: {"limit": 0}),
    "list 1 subject": ("wss_token_info", 1, lambda some: {"subjects": [f"client-{some[0]}"]}),
    "list all": ("wss_token_info", 1, lambda some: {}),
}  # fmt: skip


def numbers_of(what: str, count: int, turn: int) -> range:
    """The tokens that a step is about, which have a session."""
    batch = STEPS[what][1]
    first = max(0, min(count, SESSIONS) - batch) // 2 + turn % count
    return range(first, first + batch)


def child(what: str, place: Path, count: int, turn: int) -> None:
    """One call and nothing else; what it took on standard output."""
    module, _batch, arguments = STEPS[what]
    given = {"path": str(place / "tokens"), **arguments(numbers_of(what, count, turn))}
    if module == "wss_token":
        given["session_log"] = str(place / "log" / "sessions.log")
    with collections_tree() as tree:
        install_loader(tree)
        call = Module(module)
        began, spent = time.perf_counter(), spent_by_all()
        result = call(**given)
        found = {"seconds": time.perf_counter() - began, "processor": spent_by_all() - spent}
    found["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["bytes"] = call.size
    expect(what, result)
    print(json.dumps(found))


def spent_by_all() -> float:
    """Of this process and of what it has run."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def expect(what: str, result: dict[str, Any]) -> None:
    batch = STEPS[what][1]
    if what.startswith("issue") and result["created"] != batch:
        raise RuntimeError(f"{what}: {result['created']} were created")
    removes = what.startswith("revoke") or what.endswith(" due") and batch > 1
    if removes and result["removed"] != batch:
        raise RuntimeError(f"{what}: {result['removed']} were removed")


def measured(what: str, place: Path, count: int) -> dict[str, Any]:
    turns = []
    for turn in range(TURNS if STEPS[what][1] == 1 and not what.startswith(("list", "expire")) else 1):
        if what == "expire, 10,000 due":
            for number in numbers_of(what, count, turn):
                write_one(place / "tokens", number, LONG_AGO)
        command = [sys.executable, "-m", "bench.tokens", "--large", what, str(place), str(count), str(turn)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        turns.append(json.loads(done.stdout))
        restore(what, place / "tokens", count, turn)
    found = {key: statistics.median(one[key] for one in turns) for key in turns[0]}
    return {
        "what": what, "tokens": count, "seconds": round(found["seconds"], 2),
        "processor": round(found["processor"], 2), "mib": round(found["mib"], 1), "bytes": int(found["bytes"]),
    }  # fmt: skip


def restore(what: str, store: Path, count: int, turn: int) -> None:
    """The store as it was, with a session of each token that is there."""
    if what.startswith(("revoke", "expire, 10")):
        for number in numbers_of(what, count, turn):
            write_one(store, number)
    if what.startswith("issue"):
        with os.scandir(store) as entries:
            new = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith("bench-")]
        for one in new:
            os.unlink(store / one)
    with contextlib.suppress(FileNotFoundError):
        for one in os.listdir(store / ".wssgate-ended"):
            os.unlink(store / ".wssgate-ended" / one)


def agent_of(place: Path, count: int) -> dict[str, Any]:
    """Its start until it has looked at all, and what it has in memory then."""
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-agent-") as folder:
        log = place / "log" / "agent.log"
        log.touch(mode=0o600)
        with AgentProcess(Path(folder), place / "tokens", log) as agent:
            began = time.perf_counter()
            agent.start()
            seconds = time.perf_counter() - began
            spent = usage.cpu_seconds([agent.pid])
            return {
                "tokens": count, "seconds": round(seconds, 2), "processor": round(spent, 2),
                "mib": round(usage.memory_kib([agent.pid], "Rss") / 1024, 1),
            }  # fmt: skip


@contextlib.contextmanager
def filled(count: int, parent: Path | None) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="wssgate-bench-large-", dir=parent))
    try:
        (place / "tokens").mkdir()
        (place / "log").mkdir()
        for number in range(count):
            write_one(place / "tokens", number)
        # The sessions are those of a worker that runs, and none has a socket.
        write_log(place / "log" / "sessions.log", count, os.getpid())
        yield place
    finally:
        for log in (place / "log").iterdir():
            # Who reads a session log makes it append-only.
            subprocess.run(["chattr", "-a", str(log)], capture_output=True, check=False)
        # rm is many times as fast as shutil.
        subprocess.run(["rm", "-rf", str(place)], check=True)


def large(counts: list[int], parent: Path | None, say: Callable[[str], None]) -> dict[str, list[dict[str, Any]]]:
    """Every step, and the agent, among so many tokens each."""
    found: dict[str, list[dict[str, Any]]] = {"calls": [], "agent": []}
    for count in counts:
        with filled(count, parent) as place:
            for what, (_module, batch, _arguments) in STEPS.items():
                if batch <= count or what.startswith("issue"):
                    found["calls"].append(measured(what, place, count))
                    say(json.dumps(found["calls"][-1]))
            found["agent"].append(agent_of(place, count))
            say(json.dumps(found["agent"][-1]))
    return found
