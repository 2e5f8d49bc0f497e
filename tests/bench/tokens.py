# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tokens cost, beside a bare Python loop that does the same to the same files.

    make bench NAME=tokens                             # all parts; 1,000, 10,000 and 100,000 tokens
    make bench NAME=tokens ARGS='--parts store --counts 10000 --rounds 7'
    make bench NAME=tokens ARGS='--write docs'         # docs/tokens-figures.md, .json, .svg (requirements-bench.txt)

store       The bare loop runs in the same process, right before what it is compared with, and a round takes all of them
            in turn, so that a slow moment of the machine meets both. The module is the real one, from its arguments as
            JSON to its result as JSON; what it takes to find one token as it should be counts as fixed cost and is
            taken off. Figures are medians in milliseconds; `factor` is the median of the factors of the rounds.
memory      The highest resident size (ru_maxrss) of a process that does nothing but one call.
playbook    Whole `ansible-playbook` runs for 100 tokens: one task of wss_token, and a loop over ansible.builtin.file.
handshake   The gate as the roles render it, once with 1 file in the store and once with the most; handshakes in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import platform
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lib.prose import wrapped

CHECKOUT = Path(__file__).resolve().parents[2]
PREFIX = "ansible_collections.wssgate.nginx.plugins"
BASELINE = 1
HANDSHAKES = 60
PARTS = ("memory", "store", "playbook", "handshake")
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


# Handshakes


def handshakes(count: int, rounds: int) -> list[dict[str, Any]]:
    """Two gates side by side that differ in the number of files in their store only."""
    from lib.head_echo import HeadEcho
    from lib.local_gate import LocalGate, free_port

    head_echo = HeadEcho()
    samples: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        gates = []
        for files in (1, count):
            port = free_port()
            local_gate = LocalGate([])
            upstream = f"http://127.0.0.1:{head_echo.port}"
            local_gate.variables["wss_proxy_servers"] = [{
                "name": "gate", "server_names": ["gate.example.com"],
                "listen": [{"address": "127.0.0.1", "port": port, "tls": False}],
                "locations": [
                    {"path": "/wss", "upstream": upstream, "origins": ["https://app.example.com"]}
                ],
            }]  # fmt: skip
            stack.enter_context(local_gate)
            bare_loop(local_gate.tokens, names(files))
            gates.append((files, port))
        choose = random.Random(1)
        for turn in range(rounds * 5):
            for files, port in gates if turn % 2 else reversed(gates):
                for status, form in ((101, "bench-token-{:08d}"), (403, "other-token-{:08d}")):
                    for _handshake in range(HANDSHAKES):
                        token = form.format(choose.randrange(files if status == 101 else count))
                        samples.setdefault((str(status), files), []).append(one_handshake(port, token, status))
    head_echo.close()
    return [
        {
            "status": int(status), "files": files, "handshakes": len(found),
            "median_us": round(statistics.median(found) * 1e6, 1),
            "quartiles_us": [round(value * 1e6, 1) for value in statistics.quantiles(found, n=4)],
        }
        for (status, files), found in sorted(samples.items())
    ]  # fmt: skip


def one_handshake(port: int, token: str, status: int) -> float:
    request = (
        "GET /wss HTTP/1.1\r\nHost: gate.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Origin: https://app.example.com\r\nCookie: AUTH={token}\r\n\r\n"
    ).encode()
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        answer = client.recv(4096)
        taken = time.perf_counter() - started
    if not answer.startswith(b"HTTP/1.1 %d " % status):
        raise RuntimeError(f"expected {status}, got {answer[:60]!r}")
    return taken


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'what':<56} {'tokens':>7} {'bare ms':>10} {'mine ms':>10} {'factor':>7}"]
    lines += [
        f"{line['what']:<56} {line['tokens']:>7} {line['bare_ms']:>10} {line['mine_ms']:>10} {line['factor']:>7}"
        for line in rows
    ]
    return "\n".join(lines)


def memory_table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'memory at its highest':<56} {'tokens':>7} {'bare MiB':>10} {'mine MiB':>10}"]
    lines += [f"{line['what']:<56} {line['tokens']:>7} {line['bare_mib']:>10} {line['mine_mib']:>10}" for line in rows]
    return "\n".join(lines)


def handshake_table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'handshake, answered':<56} {'files':>7} {'median us':>10} {'quartiles':>21}"]
    lines += [
        (
            f"{line['status']:<56} {line['files']:>7} {line['median_us']:>10} {line['quartiles_us'][0]:>10} "
            f"{line['quartiles_us'][2]:>10}"
        )
        for line in rows
    ]
    return "\n".join(lines)


# For docs/


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next(
            (line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown processor"
        )
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def markdown(figures: dict[str, Any]) -> str:
    lines = [
        "# What tokens cost",
        "",
        "Written by `tests/bench/tokens.py --write docs`; what each figure means stands in its first lines. "
        f"{figures['machine']}; {figures['file_system']}; {figures['rounds']} rounds; {figures['date']}.",
        "",
        "![Time and memory by the number of tokens](tokens-figures.svg)",
        "",
        "## Time, beside a bare Python loop",
        "",
        (
            "Medians in milliseconds. `factor` is how many times the bare loop's time a call takes. The loop takes "
            "no care; the module looks at each "
            "file before it touches it, writes a managed one elsewhere and on the disk before it gets its name, "
            "and reports fingerprints."
        ),
        "",
        "| | tokens | bare loop | module | factor |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r['what']} | {r['tokens']:,} | {r['bare_ms']:,} | {r['mine_ms']:,} | {r['factor']} |"
        for r in figures["store"]
    ]
    lines += ["", "## Memory", "", "The highest resident size in MiB of a process that makes one call.", ""]
    lines += ["| | tokens | bare loop | module |", "|---|--:|--:|--:|"]
    lines += [f"| {r['what']} | {r['tokens']:,} | {r['bare_mib']} | {r['mine_mib']} |" for r in figures["memory"]]
    lines += [
        "",
        "## 100 tokens with `ansible-playbook`",
        "",
        "Whole runs, start and end of Ansible included, in milliseconds.",
        "",
    ]
    lines += ["| | loop over `ansible.builtin.file` | one task of `wss_token` |", "|---|--:|--:|"]
    for r in figures["playbook"]:
        lines.append(f"| {r['what'].split(', ')[1].split(' (')[0]} | {r['bare_ms']:,} | {r['mine_ms']:,} |")
    lines += [
        "",
        "## A handshake",
        "",
        "From connecting to the first byte of the answer, over the loopback without TLS, in microseconds.",
        "",
    ]
    lines += ["| answer | files in the store | handshakes | median | quartiles |", "|--:|--:|--:|--:|--:|"]
    for r in figures["handshake"]:
        low, _median, high = r["quartiles_us"]
        lines.append(f"| {r['status']} | {r['files']:,} | {r['handshakes']:,} | {r['median_us']} | {low} to {high} |")
    return "\n".join(lines) + "\n"


def picture(figures: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "wssgate"
    from matplotlib import pyplot

    drawing, (time_axes, memory_axes) = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for number, what in enumerate(SHOWN):
        rows = [line for line in figures["store"] if line["what"] == what]
        counts = [line["tokens"] for line in rows]
        time_axes.plot(counts, [line["mine_ms"] for line in rows], "o-", color=f"C{number}", label=what)
        time_axes.plot(counts, [line["bare_ms"] for line in rows], ":", color=f"C{number}")
        rows = [line for line in figures["memory"] if line["what"] == what]
        memory_axes.plot(
            [line["tokens"] for line in rows], [line["mine_mib"] for line in rows], "o-", color=f"C{number}", label=what
        )
        memory_axes.plot(
            [line["tokens"] for line in rows], [line["bare_mib"] for line in rows], ":", color=f"C{number}"
        )
    time_axes.set(
        xscale="log", yscale="log", xlabel="tokens", ylabel="milliseconds", title="Time (dotted: a bare Python loop)"
    )
    memory_axes.set(
        xlabel="tokens", ylabel="MiB", title="Memory at its highest (dotted: a bare Python loop)", ylim=(0, None)
    )
    memory_axes.xaxis.set_major_formatter("{x:,.0f}")
    for axes in (time_axes, memory_axes):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    drawing.savefig(path, metadata={"Date": None})


def install_loader(tree: Path) -> None:
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    _AnsibleCollectionFinder(paths=[str(tree)])._install()


def file_system(directory: Path) -> str:
    done = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(directory)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the stores are made; decides the file system")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--write", type=Path, metavar="DOCS", help="write tokens-figures.md, .json and .svg to this folder"
    )
    parser.add_argument(
        "--draw", type=Path, metavar="DOCS", help="only make .md and .svg anew from tokens-figures.json"
    )
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, what, store, count = arguments.child
        child(kind, what, Path(store), int(count))
        return
    if arguments.draw:
        write_docs(json.loads((arguments.draw / "tokens-figures.json").read_text()), arguments.draw)
        return
    if arguments.write and set(arguments.parts) != set(PARTS):
        parser.error("--write needs every part")
    figures: dict[str, Any] = {
        "machine": machine(),
        "file_system": file_system(arguments.directory or Path(tempfile.gettempdir())),
        "rounds": arguments.rounds,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    # First, while this process is small.
    if "memory" in arguments.parts:
        figures["memory"] = memory(arguments.counts, arguments.directory)
        print(memory_table(figures["memory"]), flush=True)
    with collections_tree() as tree:
        install_loader(tree)
        bench = Bench(arguments.directory, arguments.rounds)
        if "playbook" in arguments.parts:
            figures["playbook"] = file_loop(bench, tree)
            print(table(figures["playbook"]), flush=True)
        if "handshake" in arguments.parts:
            figures["handshake"] = handshakes(max(arguments.counts), arguments.rounds)
            print(handshake_table(figures["handshake"]), flush=True)
        if "store" in arguments.parts:
            figures["store"] = [line for count in arguments.counts for line in bench.measure(count)]
            print(table(figures["store"]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.write:
        (arguments.write / "tokens-figures.json").write_text(json.dumps(figures, indent=1) + "\n")
        write_docs(figures, arguments.write)


def write_docs(figures: dict[str, Any], folder: Path) -> None:
    (folder / "tokens-figures.md").write_text(wrapped(markdown(figures)))
    picture(figures, folder / "tokens-figures.svg")


if __name__ == "__main__":
    main()
