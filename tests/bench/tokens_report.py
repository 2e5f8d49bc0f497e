# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables, the page and the picture of what tokens.py measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from .tokens_store import SHOWN


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
        f"{figures['machine']}; {figures['file_system']}; {figures['rounds']} rounds; measured "
        f"{', '.join(f'{part} {date}' for part, date in sorted(figures['dates'].items()))}.",
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
        "From connecting to the first byte of the answer, over the loopback without TLS, in microseconds, and what "
        f"nginx spends on it. The store is on {figures['handshake'][0]['file_system']}. Who is refused has a token "
        "that is not there, another one each time, which the file system has to look for.",
        "",
    ]
    lines += ["| answer | files in the store | handshakes | median | quartiles | nginx's processor |"]
    lines += ["|--:|--:|--:|--:|--:|--:|"]
    for r in figures["handshake"]:
        low, _median, high = r["quartiles_us"]
        lines.append(
            f"| {r['status']} | {r['files']:,} | {r['handshakes']:,} | {r['median_us']} | {low} to {high} | "
            f"{r['processor_us']} |"
        )
    return "\n".join(lines + large(figures["large"]) + ssh(figures["ssh"])) + "\n"


def large(figures: dict[str, list[dict[str, Any]]]) -> list[str]:
    # A call's rows stand together.
    order = list(dict.fromkeys(r["what"] for r in figures["calls"]))
    lines = [
        "",
        "## A few among very many",
        "",
        "Each call by a process of its own, with its highest resident size. `processor` is what it and the programs "
        "that it runs spend; the time beside it depends on what else the machine does. A call that revokes ends the "
        "sessions, too: up to 100,000 of the tokens have one in the session log.",
        "",
        "| | tokens | seconds | processor s | MiB | result, bytes |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r['what']} | {r['tokens']:,} | {r['seconds']} | {r['processor']} | {r['mib']} | {r['bytes']:,} |"
        for r in sorted(figures["calls"], key=lambda r: order.index(r["what"]))
    ]
    lines += [
        "",
        "The agent, from its start until it is ready, and its resident size then:",
        "",
        "| tokens | seconds | processor s | MiB |",
        "|--:|--:|--:|--:|",
    ]
    return lines + [f"| {r['tokens']:,} | {r['seconds']} | {r['processor']} | {r['mib']} |" for r in figures["agent"]]


def ssh(figures: list[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Many in one task, over SSH",
        "",
        "`ansible-playbook` with one task of `wss_token` that creates so many named tokens with a subject and an end "
        "on one host, start and end of Ansible included. MiB is the most that Ansible's processes had, and the module.",
        "",
        "| tokens | pipelining | seconds | Ansible: processor s | MiB | module: processor s | MiB |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    return lines + [
        f"| {r['tokens']:,} | {'yes' if r['pipelining'] else 'no'} | {r['seconds']} | {r['processor']} | "
        f"{r['mib']:,} | {r['module_processor']} | {r['module_mib']:,} |"
        for r in figures
    ]


def ssh_table(rows: list[dict[str, Any]]) -> str:
    return "\n".join(str(row) for row in rows)


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
