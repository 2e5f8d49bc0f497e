# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tokens cost, beside a bare Python loop that does the same to the same files.

    make bench NAME=tokens                             # all parts; 1,000, 10,000 and 100,000 tokens
    make bench NAME=tokens ARGS='--parts store --counts 10000 --rounds 7'
    make bench NAME=tokens ARGS='--parts large --large-counts 1 1000000'
    make bench NAME=tokens ARGS='--write docs'         # docs/tokens-figures.md, .json, .svg (requirements-bench.txt)

store       The bare loop runs in the same process, right before what it is compared with, and a round takes all of them
            in turn, so that a slow moment of the machine meets both. The module is the real one, from its arguments as
            JSON to its result as JSON; what it takes to find one token as it should be counts as fixed cost and is
            taken off. Figures are medians in milliseconds; `factor` is the median of the factors of the rounds.
memory      The highest resident size (ru_maxrss) of a process that does nothing but one call.
playbook    Whole `ansible-playbook` runs for 100 tokens: one task of wss_token, and a loop over ansible.builtin.file.
handshake   The gate as the roles render it, with 1 file in the store and with more; handshakes in turn.
large       A few tokens among very many: each call is a process of its own on one store, filled once. Up to 100,000 of
            the tokens have a session in the session log, of a worker that runs, and none has a socket. A million tokens
            take 5 GiB, of memory where the store is on a tmpfs, and some minutes.
ssh         One task of wss_token on a host in a container, reached over SSH (the image is made by make images).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from . import tokens_large, tokens_ssh
from .tokens_handshake import handshakes
from .tokens_report import handshake_table, machine, markdown, memory_table, picture, ssh_table, table
from .tokens_store import Bench, child, collections_tree, file_loop, file_system, install_loader, memory

PARTS = ("memory", "store", "playbook", "handshake", "large", "ssh")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument(
        "--large-counts", type=int, nargs="+", default=[1, 100000, 1000000], help="of parts handshake, large"
    )
    parser.add_argument("--ssh-counts", type=int, nargs="+", default=[1000, 100000, 1000000], help="of part ssh")
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
    parser.add_argument("--large", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, what, store, count = arguments.child
        child(kind, what, Path(store), int(count))
        return
    if arguments.large:
        what, place, count, turn = arguments.large
        tokens_large.child(what, Path(place), int(count), int(turn))
        return
    if arguments.draw:
        write_docs(json.loads((arguments.draw / "tokens-figures.json").read_text()), arguments.draw)
        return
    # Parts that do not run keep their figures, each with the day on which it ran.
    kept = arguments.write / "tokens-figures.json" if arguments.write else None
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.exists() else {}
    if arguments.write and not set(arguments.parts) | set(figures) >= set(PARTS):
        parser.error("--write needs every part that the page has no figures of yet")
    figures |= {
        "machine": machine(),
        "file_system": file_system(arguments.directory or Path(tempfile.gettempdir())),
        "rounds": arguments.rounds,
        "dates": {
            **figures.get("dates", {}),
            **dict.fromkeys(arguments.parts, time.strftime("%Y-%m-%d", time.gmtime())),
        },
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
            figures["handshake"] = handshakes(arguments.large_counts, arguments.rounds)
            print(handshake_table(figures["handshake"]), flush=True)
        if "ssh" in arguments.parts:
            figures["ssh"] = tokens_ssh.over_ssh(tree, arguments.ssh_counts)
            print(ssh_table(figures["ssh"]), flush=True)
        if "store" in arguments.parts:
            figures["store"] = [line for count in arguments.counts for line in bench.measure(count)]
            print(table(figures["store"]), flush=True)
    if "large" in arguments.parts:
        figures["large"] = {
            **tokens_large.large(arguments.large_counts, arguments.directory, lambda line: print(line, flush=True)),
            "file_system": figures["file_system"],
        }
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
