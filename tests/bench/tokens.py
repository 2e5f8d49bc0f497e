# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tokens cost, beside a bare Python loop that makes the same files.

    python tests/bench/tokens.py                       # 1,000, 10,000 and 100,000 tokens
    python tests/bench/tokens.py --counts 10000 --rounds 7 --ansible
    python tests/bench/tokens.py --file-loop           # 100 tokens against a loop over ansible.builtin.file (slow)

The bare loop opens, chowns, chmods and closes each file. It runs in the same process, right
before what it is compared with, and a round takes all of them in turn, so that a slow moment
of the machine meets both. The module is the real one, from its arguments as JSON to its
result as JSON; what it takes for a single token counts as fixed cost and is taken off.
With --ansible the same is done with whole `ansible-playbook` runs, less one with one token.
Figures are medians in milliseconds; `factor` is the median of the factors of the rounds.
"""

from __future__ import annotations

import argparse
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

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections.wssgate.nginx.plugins"
SUBJECTS = 100


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


class Module:
    """A module of the collection, run in this process as Ansible runs it on a host."""

    def __init__(self, name: str) -> None:
        self.code = importlib.import_module(f"{PREFIX}.modules.{name}")
        self.testing = importlib.import_module("ansible.module_utils.testing")

    def __call__(self, **arguments: Any) -> dict[str, Any]:
        written = io.StringIO()
        with self.testing.patch_module_args(arguments), contextlib.redirect_stdout(written):
            with contextlib.suppress(SystemExit):
                self.code.main()
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

    def fixed(self, **arguments: Any) -> float:
        with self.store() as path:
            return timed(lambda: self.token(path=str(path), **arguments))

    def one_round(self, count: int) -> dict[str, tuple[float, float]]:
        """Each entry: bare loop, and the module less its fixed cost."""
        tokens = names(count)
        figures: dict[str, tuple[float, float]] = {}
        with self.store() as bare, self.store() as mine:
            store = str(mine)
            fixed = self.fixed(tokens=tokens[:1])
            made = timed(lambda: bare_loop(bare, tokens))
            figures["create"] = (made, timed(lambda: self.token(path=store, tokens=tokens)) - fixed)
            again = timed(lambda: bare_loop(bare, tokens))
            figures["no change"] = (again, timed(lambda: self.token(path=store, tokens=tokens)) - fixed)
            looked = timed(lambda: bare_stat(bare))
            figures["no change, exclusive"] = (
                again,
                timed(lambda: self.token(path=store, tokens=tokens, exclusive=True)) - fixed,
            )
            gone = timed(lambda: bare_unlink(bare, tokens))
            figures["remove (bare: unlink)"] = (
                gone,
                timed(lambda: self.token(path=store, tokens=tokens, state="absent")) - fixed,
            )
            figures["generate"] = (made, timed(lambda: self.token(path=store, generate=count)) - fixed)
            timed(lambda: self.token(path=store, tokens=[], exclusive=True, allow_empty=True))
            figures["create, with subject and end"] = (
                made,
                timed(lambda: self.token(path=store, tokens=tokens, subject="bench", ttl=3600)) - fixed,
            )
            figures["a subject's token among them, no change"] = (
                looked,
                timed(lambda: self.token(path=store, subject="bench", ttl=3600)) - fixed,
            )
            figures["list (bare: stat)"] = (looked, timed(lambda: self.info(path=store)) - fixed)
            figures["prune, nothing due (bare: stat)"] = (
                looked,
                timed(lambda: self.token(path=store, expired=True, state="absent")) - fixed,
            )
            for directory in (bare, mine):
                for token in tokens:
                    (directory / token).write_text('{"subject":"bench","issued_at":1,"expires_at":2}')
                    os.utime(directory / token, (2, 2))
            gone = timed(lambda: bare_unlink(bare, tokens))
            figures["prune, all due (bare: unlink)"] = (
                gone,
                timed(lambda: self.token(path=store, expired=True, state="absent")) - fixed,
            )
            if list(mine.iterdir()):
                raise RuntimeError("the store should be empty after pruning")
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


def whole_runs(bench: Bench, tree: Path, count: int) -> list[dict[str, Any]]:
    created, unchanged = [], []
    tokens = names(count)
    for _round in range(bench.rounds):
        with bench.store() as bare, bench.store() as mine, bench.store() as other:
            fixed = play(tree, PLAYBOOK, other, tokens[:1])
            made = timed(lambda bare=bare: bare_loop(bare, tokens))
            created.append((made, play(tree, PLAYBOOK, mine, tokens) - fixed))
            again = timed(lambda bare=bare: bare_loop(bare, tokens))
            unchanged.append((again, play(tree, PLAYBOOK, mine, tokens) - fixed))
    return [
        row("ansible-playbook: create", count, created),
        row("ansible-playbook: no change", count, unchanged),
    ]


def file_loop(bench: Bench, tree: Path, count: int = 100) -> list[dict[str, Any]]:
    """Here `bare` is the loop over ansible.builtin.file, both as whole runs with nothing taken off."""
    pairs = []
    for _round in range(bench.rounds):
        with bench.store() as loop, bench.store() as mine:
            pairs.append((play(tree, FILE_LOOP, loop, names(count)), play(tree, PLAYBOOK, mine, names(count))))
    return [row("ansible-playbook (bare: loop over ansible.builtin.file)", count, pairs)]


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'what':<56} {'tokens':>7} {'bare ms':>10} {'mine ms':>10} {'factor':>7}"]
    lines += [
        f"{line['what']:<56} {line['tokens']:>7} {line['bare_ms']:>10} {line['mine_ms']:>10} {line['factor']:>7}"
        for line in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the stores are made; decides the file system")
    parser.add_argument("--ansible", action="store_true", help="whole ansible-playbook runs as well")
    parser.add_argument("--file-loop", action="store_true", help="compare with a loop over ansible.builtin.file")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with collections_tree() as tree:
        from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

        _AnsibleCollectionFinder(paths=[str(tree)])._install()
        bench = Bench(arguments.directory, arguments.rounds)
        for count in arguments.counts:
            rows += bench.measure(count)
            if arguments.ansible:
                rows += whole_runs(bench, tree, count)
        if arguments.file_loop:
            rows += file_loop(bench, tree)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(table(rows))
    print(f"peak memory of this process: {peak} MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "peak_mib": peak}, indent=2) + "\n")


if __name__ == "__main__":
    main()
