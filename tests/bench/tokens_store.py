# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls of the token modules cost, beside a bare Python loop that does the same to the same files: tokens.py."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections.wssgate.nginx.plugins"
BASELINE = 1
# What the pictures show, with the bare loop of each.
SHOWN = ("present, with subject and end", "absent", "info", "prune, all due")


@contextlib.contextmanager
def collections_tree() -> Iterator[Path]:
    """A place in which this checkout is a collection, for imports and for ansible-playbook."""
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-") as tree:
        namespace = Path(tree) / "ansible_collections" / "wssgate"
        namespace.mkdir(parents=True)
        (namespace / "nginx").symlink_to(CHECKOUT, target_is_directory=True)
        yield Path(tree)


def timed(work: Callable[[], object]) -> float:
    # A file system still busy with the last round's removals would be charged to this one.
    os.sync()
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def names(count: int) -> list[str]:
    return [f"bench-token-{number:08d}" for number in range(count)]


def bare_loop(directory: Path, tokens: list[str]) -> None:
    uid, gid = os.geteuid(), os.getegid()
    prefix = str(directory) + "/"
    for token in tokens:
        path = prefix + token
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.close(fd)
        os.chown(path, uid, gid)
        os.chmod(path, 0o600)


def bare_unlink(directory: Path, tokens: list[str]) -> None:
    prefix = str(directory) + "/"
    for token in tokens:
        os.unlink(prefix + token)


def bare_stat(directory: Path) -> int:
    prefix = str(directory) + "/"
    return sum(os.stat(prefix + name).st_size for name in os.listdir(directory))


DOCUMENT = '{"subject":"bench","issued_at":1,"expires_at":%d}'
LATER, LONG_AGO = 4_000_000_000, 2


def bare_write(directory: Path, tokens: list[str], ends: int = LATER) -> None:
    prefix = str(directory) + "/"
    for token in tokens:
        path = prefix + token
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, (DOCUMENT % ends).encode())
        os.close(fd)
        os.utime(path, (ends, ends))


def bare_read(directory: Path) -> int:
    found = []
    for name in os.listdir(directory):
        with open(os.path.join(directory, name)) as file:
            found.append(json.load(file)["expires_at"])
    return len(found)


def bare_prune(directory: Path) -> None:
    now = time.time()
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if os.stat(path).st_mtime <= now:
            with open(path) as file:
                due = json.load(file)["expires_at"] <= now
            if due:
                os.unlink(path)


class Module:
    """A module of the collection, run in this process as Ansible runs it on a host."""

    def __init__(self, name: str) -> None:
        self.size = 0  # of the last result, in bytes
        self.code = importlib.import_module(f"{PREFIX}.modules.{name}")
        self.testing = importlib.import_module("ansible.module_utils.testing")

    def __call__(self, **arguments: Any) -> dict[str, Any]:
        written = io.StringIO()
        with self.testing.patch_module_args(arguments), contextlib.redirect_stdout(written):
            with contextlib.suppress(SystemExit):
                self.code.main()
        self.size = len(written.getvalue())
        result: dict[str, Any] = json.loads(written.getvalue())
        if result.get("failed"):
            raise RuntimeError(result["msg"])
        return result


class Bench:
    def __init__(self, parent: Path | None, rounds: int) -> None:
        self.parent = parent
        self.rounds = rounds
        self.token = Module("wss_token")
        self.info = Module("wss_token_info")

    @contextlib.contextmanager
    def store(self) -> Iterator[Path]:
        path = Path(tempfile.mkdtemp(prefix="wssgate-bench-store-", dir=self.parent))
        try:
            yield path
        finally:
            shutil.rmtree(path)

    def fixed(self, token: str) -> float:
        """What a call costs that finds all as it should be."""
        with self.store() as path:
            self.token(path=str(path), tokens=[token])
            return statistics.median(timed(lambda: self.token(path=str(path), tokens=[token])) for _call in range(3))

    def one_round(self, count: int) -> dict[str, tuple[float, float]]:
        """Each entry: bare loop, and the module less its fixed cost."""
        tokens = names(count)
        figures: dict[str, tuple[float, float]] = {}
        with self.store() as bare, self.store() as mine:
            store = str(mine)
            fixed = self.fixed(tokens[0])

            def both(name: str, loop: Callable[[], object], **arguments: Any) -> None:
                bare_ms = timed(loop)
                module = arguments.pop("module", self.token)
                figures[name] = (bare_ms, timed(lambda: module(path=store, **arguments)) - fixed)

            both("present", lambda: bare_loop(bare, tokens), tokens=tokens)
            both("present, no change", lambda: bare_loop(bare, tokens), tokens=tokens)
            both("present, exclusive, no change", lambda: bare_loop(bare, tokens), tokens=tokens, exclusive=True)
            both("absent", lambda: bare_unlink(bare, tokens), tokens=tokens, state="absent")
            both("generate", lambda: bare_loop(bare, tokens), generate=count)
            for directory in (bare, mine):
                bare_unlink(directory, os.listdir(directory))
            ends = {"subject": "bench", "expires_at": LATER}
            both("present, with subject and end", lambda: bare_write(bare, tokens), tokens=tokens, **ends)
            both("present, a subject's one token among them", lambda: bare_read(bare), subject="bench")
            both("info", lambda: bare_read(bare), module=self.info)
            both("prune, nothing due", lambda: bare_stat(bare), expired=True, state="absent")
            for directory in (bare, mine):
                bare_write(directory, tokens, LONG_AGO)
            both("prune, all due", lambda: bare_prune(bare), expired=True, state="absent")
            if list(mine.iterdir()) or list(bare.iterdir()):
                raise RuntimeError("the stores should be empty after pruning")
        return figures

    def measure(self, count: int) -> list[dict[str, Any]]:
        rounds = [self.one_round(count) for _round in range(self.rounds)]
        rows = []
        for name in rounds[0]:
            pairs = [figures[name] for figures in rounds]
            rows.append(row(name, count, pairs))
        return rows


def row(name: str, count: int, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "what": name,
        "tokens": count,
        "bare_ms": round(statistics.median(bare for bare, _mine in pairs), 1),
        "mine_ms": round(statistics.median(mine for _bare, mine in pairs), 1),
        "factor": round(statistics.median(mine / bare for bare, mine in pairs), 2),
    }


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - wssgate.nginx.wss_token:
        path: "{{ store }}"
        tokens: "{{ bench_tokens }}"
"""

FILE_LOOP = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.file:
        path: "{{ store }}/{{ item }}"
        state: touch
        mode: '0600'
        access_time: preserve
        modification_time: preserve
      loop: "{{ bench_tokens }}"
"""


def play(tree: Path, playbook: str, store: Path, tokens: list[str]) -> float:
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-play-") as directory:
        here = Path(directory)
        (here / "play.yml").write_text(playbook)
        (here / "vars.json").write_text(json.dumps({"store": str(store), "bench_tokens": tokens}))
        command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", "@vars.json", "play.yml"]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(tree),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_PIPELINING": "true",
        }

        def run() -> None:
            subprocess.run(command, cwd=here, env=environment, check=True, stdout=subprocess.DEVNULL)

        return timed(run)


def file_loop(bench: Bench, tree: Path, count: int = 100) -> list[dict[str, Any]]:
    """Here `bare` is the loop over ansible.builtin.file, both as whole runs with nothing taken off."""
    created, unchanged = [], []
    # The loop takes a minute or two a run.
    for _round in range(max(1, bench.rounds // 3)):
        with bench.store() as loop, bench.store() as mine:
            for pairs in (created, unchanged):
                pairs.append((play(tree, FILE_LOOP, loop, names(count)), play(tree, PLAYBOOK, mine, names(count))))
    return [
        row("ansible-playbook, present (bare: ansible.builtin.file)", count, created),
        row("ansible-playbook, no change (bare: ansible.builtin.file)", count, unchanged),
    ]


# Memory

CALLS: dict[str, tuple[str, Callable[[list[str]], dict[str, Any]]]] = {
    "present, with subject and end": (
        "wss_token",
        lambda tokens: {"tokens": tokens, "subject": "bench", "expires_at": LATER},
    ),
    "absent": ("wss_token", lambda tokens: {"tokens": tokens, "state": "absent"}),
    "info": ("wss_token_info", lambda tokens: {}),
    "prune, all due": ("wss_token", lambda tokens: {"state": "absent", "expired": True}),
}
LOOPS: dict[str, Callable[[Path, list[str]], object]] = {
    "present, with subject and end": bare_write,
    "absent": bare_unlink,
    "info": lambda directory, tokens: bare_read(directory),
    "prune, all due": lambda directory, tokens: bare_prune(directory),
}


def child(kind: str, what: str, store: Path, count: int) -> None:
    """One call and nothing else; its peak on standard output."""
    tokens = names(count)
    if kind == "fill":
        bare_write(store, tokens, LONG_AGO if what.startswith("prune") else LATER)
    elif kind == "bare":
        LOOPS[what](store, tokens)
    else:
        module, arguments = CALLS[what]
        with collections_tree() as tree:
            install_loader(tree)
            Module(module)(path=str(store), **arguments(tokens))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak(kind: str, what: str, count: int, parent: Path | None) -> float:
    """In MiB. This process has to stay small: a child's peak begins with its parent's size."""
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-store-", dir=parent) as folder:
        for step in [kind] if what.startswith("present") else ["fill", kind]:
            command = [sys.executable, "-m", "bench.tokens", "--child", step, what, folder, str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        subprocess.run(["find", folder, "-mindepth", "1", "-delete"], check=True)
    return int(done.stdout) / 1024


def memory(counts: list[int], parent: Path | None) -> list[dict[str, Any]]:
    return [
        {
            "what": what,
            "tokens": count,
            "bare_mib": round(peak("bare", what, count, parent), 1),
            "mine_mib": round(peak("mine", what, count, parent), 1),
        }
        for what in SHOWN
        for count in (BASELINE, *counts)
    ]


def install_loader(tree: Path) -> None:
    _AnsibleCollectionFinder(paths=[str(tree)])._install()


def file_system(directory: Path) -> str:
    done = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(directory)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
