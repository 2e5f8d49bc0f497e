# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/agent-figures.md, its picture and a part of docs/reliability.md from docs/agent-figures.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from .drawing import draw

JSON, PAGE, PICTURE = "agent-figures.json", "agent-figures.md", "agent-figures.svg"
# The part of this page between the two marks is written anew.
GUIDE, BEGIN, END = "reliability.md", "<!-- agent-figures: begin -->", "<!-- agent-figures: end -->"
Results = dict[str, Any]
# What is aimed at.
P99_MS, LATE_MS, CPU_SHARE, PSS_MIB = 250.0, 1000.0, 0.002, 40.0
WAYS = {
    "rm": "`rm` of the token's file",
    "module": "revoked by `wss_token`",
    "ss": "bare `ss -K`, to compare",
    "rm at once": "`rm` right after the handshake",
}


def row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: list[str], rows: list[list[Any]]) -> list[str]:
    return [row(*head), row("---", *["--:"] * (len(head) - 1)), *(row(*cells) for cells in rows), ""]


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def told(part: dict[str, Any]) -> str:
    """When and under what circumstances a part was measured."""
    scale = "" if part["scale"] == 1 else f", scale {part['scale']:g}"
    return f"{part['date']}, load {part['load_before']} before it began, {part['seconds']} s{scale}."


def aims(results: Results) -> list[list[str]]:
    """Each aim, what was seen at worst, and whether that is within it."""
    found: list[list[str]] = []

    def add(what: str, aim: str, seen: float, limit: float, words: str) -> None:
        found.append([what, aim, words, "yes" if seen < limit else "**no**"])

    for way, what in (("rm", "from `rm` to the closed socket, p99"), ("module", "from a revocation to it, p99")):
        if "ends" in results:
            worst = max(figures[way]["p99_ms"] for figures in results["ends"]["figures"].values())
            add(what, f"{P99_MS:g} ms", worst, P99_MS, f"{worst:g} ms")
    if "expiry" in results:
        hosts = results["expiry"]["figures"].values()
        worst = max(figures["closed"]["max_ms"] for figures in hosts)
        add("from the end of a token to its last session's", f"{LATE_MS:g} ms", worst, LATE_MS, f"{worst:g} ms")
        worst = max(figures["latest_accepted_ms"] for figures in hosts)
        add("from the end of a token to its last handshake", f"{LATE_MS:g} ms", worst, LATE_MS, f"{worst:g} ms")
    if "rest" in results:
        figures = results["rest"]["figures"]
        share, memory = figures["cpu_share_with_scans"], figures["pss_mib"]
        add("processor at rest", percent(CPU_SHARE), share, CPU_SHARE, percent(share))
        add("memory at rest (PSS)", f"{PSS_MIB:g} MiB", memory, PSS_MIB, f"{memory:g} MiB")
    return found


def ends(part: dict[str, Any]) -> list[str]:
    lines = [
        "## From a removal to the closed socket",
        "",
        "In milliseconds, from just before the token's file is removed, or `wss_token` begins, or `ss` is started, "
        "until "
        "the client sees that its connection is gone. Sessions over TLS, ended one by one, the ways in random order. "
        "The last row is about a session that nginx logs when its token has gone already: the agent reads the log ten "
        f"times a second. {told(part)}",
        "",
    ]
    rows = [
        [
            f"{host['title']}, nginx {host['nginx']}",
            words,
            f"{one['tries']:,}",
            one["p50_ms"],
            one["p99_ms"],
            one["max_ms"],
        ]
        for host in part["figures"].values()
        for way, words in WAYS.items()
        if (one := host.get(way))
    ]
    return [*lines, *table(["host", "ended by", "tries", "p50", "p99", "max"], rows)]


def expiry(part: dict[str, Any]) -> list[str]:
    lines = [
        "## Tokens that end",
        "",
        "Tokens end at random seconds, each with a session, and are tried in handshakes from shortly before. "
        "Milliseconds "
        f"after the end of the token. {told(part)}",
        "",
    ]
    rows = []
    for host in part["figures"].values():
        closed = host["closed"]
        rows.append([
            f"{host['title']}, nginx {host['nginx']}", f"{host['tokens']:,} in {host['seconds']} s", closed["p50_ms"],
            closed["p99_ms"], closed["max_ms"], f"{host['handshakes']:,}", host["latest_accepted_ms"],
            host["closed_early"] + host["never_closed"] + host["still_open"],
        ])  # fmt: skip
    head = ["host", "tokens", "closed p50", "p99", "max", "handshakes", "latest accepted", "closed early or never"]
    return [*lines, *table(head, rows)]


def crowd(part: dict[str, Any]) -> list[str]:
    found = part["figures"]
    one = found["one_by_one"]
    lines = [
        f"## {found['sessions']:,} sessions of as many tokens",
        "",
        f"One of ten over TLS, and {found['bystanders']} sessions of another subject, on one gate on this machine, "
        "which "
        "has the clients and the upstream, too. "
        f"{told(part)}",
        "",
        f"One session was ended at a time, {one['times']} times, while all echoed, {one['rate']:,} times a second in "
        "all: "
        f"by `rm` it was closed after {one['rm']['p50_ms']:g} ms ({one['rm']['max_ms']} ms at most), by `wss_token` "
        "after "
        f"{one['module']['p50_ms']:g} ms ({one['module']['max_ms']} ms at most). {one['closed_wrongly']} others were "
        "closed. Echoes, in milliseconds:",
        "",
        *table(
            ["", "echoes", "p50", "p99", "slowest"],
            [
                [words, f"{one[key]['sent']:,}", *(one[key][name] for name in ("p50_ms", "p99_ms", "slowest_ms"))]
                for key, words in (("quiet", "nothing ends"), ("while_one_ends", "one ends at the beginning"))
            ],
        ),
        "All at once. In seconds until sessions were closed, and in milliseconds what the sessions of the other "
        "subject "
        "felt, five seconds before and meanwhile:",
        "",
    ]
    rows = []
    for key, words in (("by_subject", "revoked by subject"), ("by_removal", "files removed by `rm`")):
        all_of = found[key]
        quiet, meanwhile = all_of["others_quiet"], all_of["others_meanwhile"]
        rows.append([
            words, f"{all_of['ended']:,}", all_of["first_s"], all_of["half_s"], all_of["last_s"],
            f"{quiet['p99_ms']:g} / {quiet['slowest_ms']:g}", f"{meanwhile['p99_ms']:g} / {meanwhile['slowest_ms']:g}",
            all_of["others_closed"],
        ])  # fmt: skip
    head = ["", "sessions", "first", "half", "last", "echo before: p99 / slowest", "meanwhile", "others closed"]
    return [*lines, *table(head, rows)]


def rest(part: dict[str, Any]) -> list[str]:
    found = part["figures"]
    scan, pruner, busy = found["scan"], found["pruner"], found["handshakes"]
    return [
        "## At rest",
        "",
        f"{found['tokens']:,} tokens, {found['sessions']:,} open sessions, {found['seconds']:g} s in which nothing "
        "happens. The agent looks through the whole store, in parts, every "
        f"{scan['every_s']:g} s: that takes {scan['cpu_s'] * 1e3:.0f} ms of a core, and its share is counted as well. "
        "The pruner is "
        f"what a timer ran every {pruner['every_s']:g} s before there was an agent, on the same store. {told(part)}",
        "",
        *table(
            ["", "processor", "wake-ups a second", "memory MiB"],
            [
                [
                    "agent",
                    percent(found["cpu_share"]),
                    f"{found['wakeups_a_second']:.2f}",
                    f"{found['pss_mib']:g} (PSS)",
                ],
                ["… with its looks through the store", percent(found["cpu_share_with_scans"]), "", ""],
                ["pruner", percent(pruner["cpu_share"]), "", ""],
            ],
        ),
        f"While {busy['a_second']:,} sessions begin and end a second ({busy['failed']} of them failed) the agent takes "
        f"{percent(busy['cpu_share'])} of a core: {busy['cpu_us_a_session']:g} µs a session. It has "
        f"{busy['pss_mib']:g} MiB after that.",
        "",
    ]


def growth(part: dict[str, Any]) -> list[str]:
    lines = [
        "## Growth",
        "",
        f"No session, ends within a month, nothing happens. {told(part)}",
        "",
        f"![Start, memory and processor by the number of tokens]({PICTURE})",
        "",
    ]
    rows = [
        [
            f"{one['tokens']:,}", f"{one['ready_s']:.2f}", f"{one['pss_mib']:g}", f"{one['scan']['cpu_s'] * 1e3:,.0f}",
            percent(one["cpu_share"]), percent(one["cpu_share_with_scans"]),
        ]
        for one in part["figures"]
    ]  # fmt: skip
    head = [
        "tokens",
        "ready after s",
        "PSS MiB",
        "one look through all, ms of a core",
        "processor at rest",
        "with the looks",
    ]
    return [*lines, *table(head, rows)]


SECTIONS = {"ends": ends, "expiry": expiry, "crowd": crowd, "rest": rest, "growth": growth}


def page(results: Results) -> str:
    machine = results["machine"]
    lines = [
        "# What the agent does in time, and what it costs",
        "",
        "Made by `make bench NAME=agent` from `agent-figures.json` beside this page. What each figure means stands in "
        "the "
        f"first lines of `tests/bench/agent.py`. {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, kernel {machine['kernel']}; gate, clients and upstream "
        "share "
        "them.",
        "",
        *table(["", "aim", "seen at worst", "within"], aims(results)),
    ]
    for name, why in results.get("missing", {}).items():
        lines += [f"Left out: {name}: {why}", ""]
    for name, section in SECTIONS.items():
        if name in results:
            lines += section(results[name])
    return wrapped("\n".join(lines).rstrip() + "\n")


def panels(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """What plots.py draws of the growth."""
    return {
        "kind": "panels",
        "x": "tokens",
        "labels": [one["tokens"] for one in figures],
        "panels": [
            {
                "title": "Time",
                "unit": "seconds",
                "log": True,
                "series": {
                    "until it is ready": [one["ready_s"] for one in figures],
                    "one look through all (of a core)": [one["scan"]["cpu_s"] for one in figures],
                },
            },
            {
                "title": "Memory",
                "unit": "MiB (PSS)",
                "series": {"agent": [one["pss_mib"] for one in figures]},
                "aim": PSS_MIB,
            },
            {
                "title": "Processor at rest",
                "unit": "percent of a core",
                "log": True,
                "series": {"agent": [one["cpu_share_with_scans"] * 100 for one in figures]},
                "aim": CPU_SHARE * 100,
            },
        ],
    }


def in_guide(results: Results, text: str) -> str:
    """The page about reliability with these figures in it."""
    before, _begin, rest = text.partition(BEGIN)
    _former, _end, after = rest.partition(END)
    lines = ["", "", *table(["", "aim", "seen at worst", "within"], aims(results))]
    if "ends" in results:
        rows = [
            [
                f"{host['title']}, nginx {host['nginx']}",
                f"{host['rm']['tries']:,}",
                *(f"{host[way]['p50_ms']:g} / {host[way]['p99_ms']:g}" for way in ("rm", "module", "ss")),
            ]
            for host in results["ends"]["figures"].values()
        ]
        head = ["p50 / p99 in ms", "tries", *(WAYS[way] for way in ("rm", "module", "ss"))]
        lines += table(head, rows)
    return before + BEGIN + "\n".join(lines) + "\n" + END + after


def write(folder: Path, is_drawn: bool = True) -> list[Path]:
    results: Results = json.loads((folder / JSON).read_text())
    (folder / PAGE).write_text(page(results))
    written = [folder / PAGE]
    guide = folder / GUIDE
    if guide.exists():
        guide.write_text(in_guide(results, guide.read_text()))
        written.append(guide)
    if is_drawn and "growth" in results:
        picture = panels(results["growth"]["figures"]) | {"path": str(folder / PICTURE)}
        draw([picture])
        written.append(folder / PICTURE)
    return written
