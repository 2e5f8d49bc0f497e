# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/locations-figures.md and its picture from docs/locations-figures.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from .agent_report import table
from .drawing import draw

JSON, PAGE, PICTURE = "locations-figures.json", "locations-figures.md", "locations-figures.svg"

#: Measured once in the same way, on this machine, while each location had a map of its own for its origins.
BEFORE = (
    "While each location had a map of its own for its origins, a session took 39.3 KiB with one location, 41.5 with a "
    "hundred and 55.0 with a thousand (600 sessions each).",
    "Before, a handshake without TLS took 82,896 instructions with one location and 100,089 with a thousand; with TLS "
    "2,599,197 and 2,612,096.",
    "Before, the configuration had 2,542 KiB; its times were taken while others used the machine.",
)


def told(part: dict[str, Any]) -> str:
    return f"{part['date']}, load {part['load_before']:.1f} before it began, {part['seconds']} s."


def counts_of(results: dict[str, Any], *names: str) -> list[str]:
    figures = results
    for name in names:
        figures = figures[name]
    return sorted(figures, key=int)


def memory(part: dict[str, Any]) -> list[str]:
    figures = part["figures"]
    rows = [
        [f"{int(count):,}", figures["gate"][count]["kib"], figures["bare"][count]["kib"],
         f"{figures['gate'][count]['kib'] / figures['bare'][count]['kib']:.2f}",
         figures["gate"][count]["fresh_mib"]]
        for count in counts_of(figures, "gate")
    ]  # fmt: skip
    return [
        "## Memory", "",
        f"KiB of nginx that each of {part['sessions']:,} idle wss sessions keeps, over what a fresh nginx has: the "
        "gate, and a bare `proxy_pass` with as many locations.", "",
        *table(["locations", "gate", "bare", "ratio", "fresh gate MiB"], rows),
        "nginx keeps 16 bytes a session for each variable that its configuration asks for, whether the session's "
        "location does or not. So a location compares the Origin itself, and what several "
        "locations have alike (lists of addresses, methods, realms, balancers) is one variable.", "",
        f"{BEFORE[0]} {told(part)}", "",
    ]  # fmt: skip


def instructions(part: dict[str, Any]) -> list[str]:
    figures = part["figures"]
    rows = [
        [f"{int(count):,}", *(f"{figures[way][name][count]:,.0f}" for way in ("tls", "plain")
                              for name in ("gate", "bare"))]
        for count in counts_of(figures, "plain", "gate")
    ]  # fmt: skip
    return [
        "## Instructions", "",
        "nginx's own instructions outside the kernel for a full handshake, by valgrind's callgrind "
        f"{figures['valgrind']}. nginx finds an exact path in a tree, so a thousand take ten comparisons.", "",
        *table(["locations", "gate, TLS", "bare, TLS", "gate", "bare"], rows),
        f"{BEFORE[1]} {told(part)}", "",
    ]  # fmt: skip


def times(part: dict[str, Any]) -> list[str]:
    rows = [
        [f"{int(count):,}", *(part["figures"][count][key] for key in
                              ("first_s", "again_s", "test_ms", "reload_ms", "configuration_kib"))]
        for count in counts_of(part, "figures")
    ]  # fmt: skip
    return [
        "## Until it serves", "",
        "Roles nginx and wss_proxy on this machine, without installing: the first run, and one that changes nothing. "
        "`nginx -t` and a reload, until the new workers serve, are medians of five.", "",
        *table(
            ["locations", "first run s", "no change s", "`nginx -t` ms", "reload ms", "configuration KiB"], rows
        ),
        f"{BEFORE[2]} {told(part)}", "",
    ]  # fmt: skip


def page(results: dict[str, Any]) -> str:
    about = next(iter(results.values()))["machine"]
    lines = [
        "# Many locations: figures", "", "Made by `make bench NAME=locations`; do not edit.", "",
        "One server with 1 to 1,000 locations, each with an exact path and an Origin of its own and all with tokens in "
        f"one cookie, by nginx of Debian 12. Clients ask for the last one. {about['cpu']}, {about['cores']} cores, "
        f"{about['memory_gib']} GiB, {about['system']}, Linux {about['kernel']}.", "",
    ]  # fmt: skip
    if {"memory", "instructions"} <= set(results):
        lines += [f"![Memory and instructions by the number of locations]({PICTURE})", ""]
    for section in (memory, instructions, times):
        if section.__name__ in results:
            lines += section(results[section.__name__])
    lines += [
        "## What still grows", "",
        "Each of these has variables of its own, 16 bytes a session each: a cookie's name (two, five where the token "
        "may come in Authorization instead), a list of addresses unlike all others, a folder that has stricter "
        "locations within it, a set of methods, a list of more than some thirty origins unlike all others.", "",
    ]  # fmt: skip
    return wrapped("\n".join(lines))


def picture(results: dict[str, Any], path: Path) -> dict[str, Any]:
    sizes, work = results["memory"]["figures"], results["instructions"]["figures"]["plain"]
    counts = counts_of(sizes, "gate")
    names = {"this gate": "gate", "bare proxy_pass": "bare"}
    return {
        "path": str(path),
        "kind": "panels",
        "x": "locations",
        "labels": [int(count) for count in counts],
        "panels": [
            {
                "title": "memory of an idle session", "unit": "KiB",
                "series": {title: [sizes[name][count]["kib"] for count in counts] for title, name in names.items()},
            },
            {
                "title": "a handshake without TLS", "unit": "thousand instructions",
                "series": {title: [work[name][count] / 1000 for count in counts] for title, name in names.items()},
            },
        ],
    }  # fmt: skip


def write(folder: Path) -> None:
    """Write the page and its picture from the figures in the same folder."""
    results = json.loads((folder / JSON).read_text())
    (folder / PAGE).write_text(page(results))
    if {"memory", "instructions"} <= set(results):
        draw([picture(results, folder / PICTURE)])
