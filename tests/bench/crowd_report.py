# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/crowd-figures.md and its picture from docs/crowd-figures.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from .agent_report import table, told
from .drawing import draw

JSON, PAGE, PICTURE = "crowd-figures.json", "crowd-figures.md", "crowd-figures.svg"


def failures(failed: dict[str, int]) -> str:
    if not failed:
        return "No attempt failed."
    names = ", ".join(f"{count:,} × {name}" for name, count in sorted(failed.items()))
    return f"Attempts that failed, and were made again a second later: {names}."


def evenly(spread: dict[str, int]) -> str:
    return (
        f"{spread['least']:,} to {spread['most']:,} descriptors, {spread['mean']:,} in the mean, two for each session"
    )


def ramp(figures: dict[str, Any]) -> list[str]:
    part = figures["ramp"]
    rows = [
        [f"{one['sessions']:,}", f"{one['mib']:,.0f}",
         f"{(one['mib'] - part['fresh_mib']) * 1024 / one['sessions']:.1f}",
         one["a_second"], one["p50_ms"], one["p99_ms"]]
        for one in part["steps"]
    ]  # fmt: skip
    lines = [
        "## On the way up", "",
        f"nginx takes {part['fresh_mib']:,.0f} MiB before the first session: each of its {figures['workers']} workers "
        "sets aside what it needs to get all sessions. Handshakes are full ones; a row's are those since the row "
        "before it.", "",
        *table(
            ["sessions", "nginx MiB", "KiB a session, over the fresh one", "handshakes /s", "p50 ms", "p99 ms"], rows
        ),
    ]  # fmt: skip
    if "spread" not in part:
        return lines
    return [
        *lines,
        f"In all {part['a_second']} handshakes a second, p50 {part['p50_ms']} ms, p99 {part['p99_ms']} ms. "
        f"{failures(part['failed'])} The workers have {evenly(part['spread'])}. With all open the agent takes "
        f"{part['agent_mib']:,.0f} MiB and the clients {part['clients_mib']:,.0f}; {part['available_mib']:,} MiB of "
        "the machine are left.", "",
        *(echo("With all open, 500 messages a second", part["echo"]) if "echo" in part else []),
    ]  # fmt: skip


def echo(when: str, figures: dict[str, Any]) -> list[str]:
    if not figures.get("messages"):
        return [f"{when}: no message came back.", ""]
    return [
        f"{when}: a message there and back takes {figures['p50_ms']} ms (p50), {figures['p99_ms']} ms (p99), "
        f"{figures['max_ms']} ms at most, of {figures['messages']:,}.", "",
    ]  # fmt: skip


def reload(figures: dict[str, Any]) -> list[str]:
    part = figures["reload"]
    return [
        "## A reload", "",
        f"With {part['open']:,} sessions open the new workers serve after {part['live_s']} s. nginx takes "
        f"{part['before_mib']:,.0f} MiB before it, {part['most_mib']:,.0f} at most, {part['after_mib']:,.0f} "
        f"while both generations live. {part['lost']} sessions were lost.", "",
        *echo("Afterwards", part["echo"]),
    ]  # fmt: skip


def revoke(figures: dict[str, Any]) -> list[str]:
    rows = [
        [f"{one['sessions']:,}", one["first_s"], one["half_s"], one["last_s"], one["agent_cpu_s"],
         one["others_closed"]]
        for one in figures["revoke"]
    ]  # fmt: skip
    return [
        "## Revoked", "",
        "By `wss_token`, by subject, beside the agent: seconds from its begin until the clients see their ends.", "",
        *table(
            ["sessions", "first s", "half s", "last s", "agent's processor s", "others closed"], rows
        ),
    ]  # fmt: skip


def herd(figures: dict[str, Any]) -> list[str]:
    part = figures["herd"]
    return [
        "## The herd comes back", "",
        f"All {figures['sessions']:,} clients begin at the same moment. All are in after {part['all_s']} s: "
        f"{part['a_second']:,} a second; one waits {part['p50_ms'] / 1000:.1f} s (p50), "
        f"{part['p99_ms'] / 1000:.1f} s (p99). {failures(part['failed'])} nginx takes {part['most_mib']:,.0f} MiB at "
        f"most and {part['after_mib']:,.0f} afterwards, and its workers have {evenly(part['spread'])}.", "",
    ]  # fmt: skip


def drain(figures: dict[str, Any]) -> list[str]:
    part = figures["drain"]
    return [
        "## Drained", "",
        f"The agent ends all {part['sessions']:,} sessions, {part['rate']:.0f} a second as it is told "
        f"(`drain_rate`): the first after {part['first_s']} s, the last after {part['last_s']} s, "
        f"{part['a_second']:,} a second; in a whole second {part['least_a_second']:,} to "
        f"{part['most_a_second']:,}. It takes {part['agent_cpu_s']} s of processor time.", "",
        *echo("Meanwhile, on those that are left", part["echo"]),
    ]  # fmt: skip


def limits(figures: dict[str, Any]) -> list[str]:
    part = figures["limits"]
    rows = [
        [name, f"{one['all_s']}", f"{one['a_second']:,}", f"{one['p50_ms'] / 1000:.1f}", f"{one['p99_ms'] / 1000:.1f}",
         f"{sum(one['failed'].values()):,}", f"{one['spread']['least']:,} to {one['spread']['most']:,}"]
        for name, one in part.items()
    ]  # fmt: skip
    count = next(iter(part.values()))["sessions"]
    return [
        "## A herd at other settings", "",
        f"{count:,} clients begin at the same moment, from {figures['addresses']} addresses; who is refused tries "
        "again a second later. The last column has the descriptors that the workers have then.", "",
        *table(["gate", "all in after s", "a second", "p50 s", "p99 s", "attempts refused", "workers"], rows),
    ]  # fmt: skip


def page(results: dict[str, Any]) -> str:
    about, part = results["machine"], results["crowd"]
    figures = part["figures"]
    lines = [
        "# A crowd: figures", "", "Made by `make bench NAME=crowd`; do not edit.", "",
        f"{figures['sessions']:,} live wss sessions on one gate, each with a token of its own: nginx of Debian 12 with "
        f"{figures['workers']} workers, because a process may have {part['descriptors']:,} descriptors here. "
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, Linux "
        f"{about['kernel']}; clients and upstream share them. Memory is the proportional set size of all of nginx's "
        f"processes. {told(part)}", "",
    ]  # fmt: skip
    if figures.get("ramp", {}).get("steps"):
        lines += [f"![Memory and handshakes of a crowd]({PICTURE})", ""]
    for section in (ramp, reload, revoke, herd, drain, limits):
        if figures.get(section.__name__):
            lines += section(figures)
    if not part["is_whole"]:
        lines += ["The rest was **not measured**: it failed, or the time was over.", ""]
    return wrapped("\n".join(lines))


def picture(results: dict[str, Any], path: Path) -> dict[str, Any]:
    steps = results["crowd"]["figures"]["ramp"]["steps"]
    return {
        "path": str(path),
        "kind": "panels",
        "x": "open sessions",
        "labels": [one["sessions"] for one in steps],
        "panels": [
            {"title": "memory of nginx", "unit": "MiB", "series": {"nginx": [one["mib"] for one in steps]}},
            {
                "title": "handshakes on the way up", "unit": "ms",
                "series": {name: [one[f"{name}_ms"] for one in steps] for name in ("p50", "p99")},
            },
        ],
    }  # fmt: skip


def write(folder: Path, is_drawn: bool = True) -> None:
    """Write the page and its picture from the figures in the same folder."""
    results = json.loads((folder / JSON).read_text())
    (folder / PAGE).write_text(page(results))
    if is_drawn and results["crowd"]["figures"].get("ramp", {}).get("steps"):
        draw([picture(results, folder / PICTURE)])
