# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/systems-figures.md and its picture from docs/systems-figures.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from operator import sub, truediv
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from .agent_report import table
from .drawing import draw
from .report_tables import Aim, number, ratios, shares

JSON, PAGE, PICTURE = "systems-figures.json", "systems-figures.md", "systems-figures.svg"
NOTES = Path(__file__).with_name("systems_notes.md")
Results = dict[str, Any]
PROFILES = ("small", "mixed", "large")
# What the gate is measured on by default.
RELEASES = ("12", "13", "14")
CONTENDERS = {
    "bare": "bare `proxy_pass`",
    "small": "gate, `messages: small`",
    "mixed": "gate, `messages: mixed`",
    "large": "gate, `messages: large`",
    "haproxy": "HAProxy",
}
NAMES = {64: "64 B", 1024: "1 KiB", 4096: "4 KiB", 16384: "16 KiB", 65536: "64 KiB", 2**20: "1 MiB"}
# What is aimed at: CPU of 16 KiB to that of `mixed`, KiB more for it, how far 64 B may be off, memory to the bare one.
LARGE_RATIO, LARGE_KIB, UNCHANGED, MEMORY_RATIO = 0.60, 12.0, 0.05, 0.80
LARGE = 16384
AS_IT_IS = "the gate as the roles make it"
# What the settings were tried on that the roles' pools were chosen by.
AS_IT_WAS = "the gate with pools of 2k and 512 bytes, as it was"
BARE = "bare `proxy_pass`"


def releases(figures: dict[str, Any]) -> list[str]:
    """Those that names of contenders begin with."""
    return sorted({name.partition(" ")[0] for name in figures})


def ratio(figures: dict[str, Any], release: str, one: str, other: str, key: str = "cpu_us") -> float | None:
    """The median of the rounds' own ratios; None where one of the two was not measured."""
    names = [f"{release} {one}", f"{release} {other}"]
    if not all(name in figures for name in names):
        return None
    mine, others = (figures[name][key] for name in names)
    return statistics.median(shares(mine, others))


def each(figures: dict[str, float], sessions: int) -> float:
    """KiB of a session."""
    return (figures[str(sessions)] - figures["0"]) / sessions


def steps(figures: dict[str, dict[str, float]]) -> list[int]:
    return sorted({int(name) for one in figures.values() for name in one if name.isdigit() and name != "0"})


def held(figures: dict[str, dict[str, float]], release: str, name: str) -> float | None:
    """KiB of a session of a contender where most were open."""
    one = figures.get(f"{release} {name}")
    return None if one is None else each(one, max(steps(figures)))


# -- the summary


def sought(results: Results) -> list[Aim]:
    """Each aim by system, and what was found; of the releases that were measured, and of those that always are."""
    messages = results.get("messages", {}).get("figures", {})
    memory = results.get("memory", {}).get("figures", {})
    on = sorted({*RELEASES, *releases(memory), *(name for one in messages.values() for name in releases(one))})

    def quotient(size: int, release: str) -> float | None:
        return ratio(messages.get(str(size), {}), release, "large", "mixed")

    def kib(release: str, one: str, other: str, combined: Callable[[float, float], float]) -> float | None:
        values = held(memory, release, one), held(memory, release, other)
        return None if values[0] is None or values[1] is None else combined(values[0], values[1])

    return [
        *(Aim("CPU of 16 KiB, `large` to `mixed`", f"Debian {release}", f"at most {LARGE_RATIO:.2f}", LARGE_RATIO,
              quotient(LARGE, release)) for release in on),
        *(Aim("memory of an idle session, `large` over `mixed`", f"Debian {release}", f"at most {LARGE_KIB:.0f} KiB",
              LARGE_KIB, kib(release, "large", "mixed", sub), " KiB", 1) for release in on),
        *(Aim("CPU of 64 B, `large` to `mixed`", f"Debian {release}", f"at most {1 + UNCHANGED:.2f}",
              1 + UNCHANGED, quotient(64, release)) for release in on),
        *(Aim("memory of an idle session, gate to bare", f"Debian {release}", f"at most {MEMORY_RATIO:.2f}",
              MEMORY_RATIO, kib(release, "mixed", "bare", truediv)) for release in on),
    ]  # fmt: skip


def aims(results: Results) -> list[list[str]]:
    """Each aim that something was measured of, by system: what it is, what was found, whether it is reached."""
    return [[aim.what, aim.where, aim.asked, *aim.cells] for aim in sought(results) if aim.value is not None]


def summary(results: Results) -> list[str]:
    rows = aims(results)
    lost = [row for row in rows if row[-1] != "yes"]
    told = f"**{len(lost)} of {len(rows)} are missed**, in bold." if lost else "Each of them is reached."
    return [
        "## Summary", "", f"What is aimed at, and what was found. {told}", "",
        *table(["aim", "system", "asked for", "found", "reached"], rows),
        *([f"![Memory and large messages by system]({PICTURE})", ""] if "memory" in results else []),
    ]  # fmt: skip


def about(results: Results) -> list[str]:
    parts = {name: part for name, part in results.items() if isinstance(part, dict) and "seconds" in part}
    facts = next(part["machine"] for part in parts.values())
    rows = [
        [f"Debian {release}", one["nginx"], one["openssl"], one["libc"], one["haproxy"] or "not measured"]
        for release, one in sorted(results["versions"].items())
    ]
    return [
        "## How", "",
        f"- Machine: {facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB, {facts['system']}, Linux "
        f"{facts['kernel']}. A container for each release with its own packages, all on this machine's network; "
        "clients and the upstream are the same for all and run outside of them, on the loopback.",
        "- Rounds visit everybody in turns, in another order each time. A **ratio** is the median of the rounds' own "
        "to the one named, on the same system, with the least and the greatest in brackets.",
        "- CPU is the processes' own account (`schedstat`), memory the proportional set size of all processes over "
        "what they had before. One worker or thread each, a P-256 certificate, TLS 1.3. The client offers no ML-KEM.",
        *(
            f"- Part *{name}*: {part['date']}, {part['rounds']} rounds, scale {part['scale']:g}, {part['seconds']} s, "
            f"load {part['load_before']} before and {part['load_after']} after it."
            for name, part in parts.items()
        ),
        "",
        "Others used the machine at the same time where the load is above 2. Ratios of CPU and memory stand that; "
        "a p99 does not.", "",
        *table(["system", "nginx", "OpenSSL", "C library", "HAProxy"], rows),
    ]  # fmt: skip


# -- the parts


def handshakes(figures: dict[str, Any]) -> list[str]:
    rows = []
    for release in releases(figures):
        for name, title in CONTENDERS.items():
            key = f"{release} {name}"
            if key in figures:
                title = "gate" if name == "mixed" else title
                quotient = (
                    "1" if name == "bare" else ratios(figures[key]["cpu_us"], figures[f"{release} bare"]["cpu_us"])
                )
                rows.append([f"Debian {release}: {title}", number(statistics.median(figures[key]["cpu_us"])), quotient])
    return ["## A handshake", "", "Full, with TLS.", "", *table(["who", "CPU µs", "ratio to bare"], rows)]


def sizes(figures: dict[str, Any]) -> list[int]:
    return sorted(int(name) for name in figures)


def matrix(figures: dict[str, Any], key: str, to: str) -> list[list[Any]]:
    """A row for each contender of each system, with a figure and its ratio for each size."""
    rows: list[list[Any]] = []
    for release in releases(next(iter(figures.values()))):
        for name, title in CONTENDERS.items():
            own = f"{release} {name}"
            row: list[Any] = [f"Debian {release}: {title}"]
            for size in sizes(figures):
                one = figures[str(size)]
                if own in one:
                    row += [number(statistics.median(one[own][key]))]
                    row += ["1" if name == to else f"{ratio(one, release, name, to, key):.2f}"]
            if len(row) > 1:
                rows.append(row)
    return rows


def head_of(figures: dict[str, Any], unit: str) -> list[str]:
    return ["who", *(cell for size in sizes(figures) for cell in (f"{NAMES[size]}: {unit}", "ratio"))]


def messages(figures: dict[str, Any]) -> list[str]:
    of_bare = [
        [f"Debian {release}: {title}", *(
            ratios(figures[str(size)][f"{release} {name}"]["cpu_us"], figures[str(size)][f"{release} bare"]["cpu_us"])
            for size in (64, LARGE)
        )]
        for release in releases(figures["64"])
        for name, title in CONTENDERS.items()
        if name != "bare" and f"{release} {name}" in figures["64"]
    ]  # fmt: skip
    return [
        "## A message", "",
        "CPU in the proxy for a message there and back, and its ratio to that of the gate with `messages: mixed`, "
        "which is the default, on the same system.", "",
        *table(head_of(figures, "µs"), matrix(figures, "cpu_us", "mixed")),
        "The same beside a bare `proxy_pass`, as ratios:", "",
        *table(["who", "64 B", "16 KiB"], of_bare),
    ]  # fmt: skip


def times(figures: dict[str, Any]) -> list[str]:
    return [
        "## How long a message takes", "",
        "There and back at a steady rate over one session (500 a second, of 64 KiB 200, of 1 MiB 25): p99, and its "
        "ratio to that of `messages: mixed`. Of 1 MiB, of which there are few, it is the longest.", "",
        *table(head_of(figures, "p99 ms"), matrix(figures, "p99_ms", "mixed")),
    ]  # fmt: skip


def memory(figures: dict[str, dict[str, float]]) -> list[str]:
    counts, rows = steps(figures), []
    for release in releases(figures):
        for name, title in CONTENDERS.items():
            one = figures.get(f"{release} {name}")
            if one is None:
                continue
            bare, mine = held(figures, release, "bare"), held(figures, release, name)
            carried = one.get("carried")
            rows.append([
                f"Debian {release}: {title}", f"{one['0'] / 1024:.1f}", *(f"{each(one, step):.1f}" for step in counts),
                "" if not bare or mine is None else "1" if name == "bare" else f"{mine / bare:.2f}",
                "" if carried is None else f"{carried:.1f}", f"{one['after'] / 1024:.0f}",
            ])  # fmt: skip
    return [
        "## Memory", "",
        "KiB of an idle session; how that is to a bare `proxy_pass` where most are open; KiB of one that has carried a "
        "message of 16 KiB both ways and is idle again; and what is held after all have gone, which the next use.", "",
        *table(
            ["who", "fresh MiB", *(f"KiB at {step:,}" for step in counts), "ratio to bare", "after a message",
             "held after MiB"],
            rows,
        ),
    ]  # fmt: skip


def settings(figures: dict[str, dict[str, float | None]]) -> list[str]:
    on = sorted({release for one in figures.values() for release in one})
    base = figures.get(AS_IT_IS) or figures.get(AS_IT_WAS, {})
    first = {BARE: 0, AS_IT_WAS: 1, AS_IT_IS: 1}
    rows = []
    for title, one in sorted(figures.items(), key=lambda item: (first.get(item[0], 2), item[0])):
        row = [title]
        for release in on:
            value, as_is = one.get(release), base.get(release)
            row.append("" if release not in one else "not taken" if value is None else f"{value:.1f}")
            row.append("" if value is None or not as_is else f"{value - as_is:+.1f}")
        rows.append(row)
    return [
        "## What takes the memory", "",
        "One setting at a time on a copy of the gate, 300 idle sessions, one measurement each: KiB of a session, and "
        "how much that is more or less than the gate's own.", "",
        *table(["setting", *(cell for release in on for cell in (f"Debian {release}: KiB", "more or less"))], rows),
    ]  # fmt: skip


def tried(figures: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "## Tried for the processor", "",
        "One setting at a time on a copy of the gate, all in turns: CPU of a message there and back as a ratio to the "
        "gate's own.", "",
    ]  # fmt: skip
    for release, of_sizes in sorted(figures.items()):
        titles = list(dict.fromkeys(name.partition(" ")[2] for one in of_sizes.values() for name in one))
        rows = []
        for title in titles:
            row = [title]
            for size in sizes(of_sizes):
                one, own, base = of_sizes[str(size)], f"{release} {title}", f"{release} {AS_IT_IS}"
                row.append("1" if own == base else ratios(one[own]["cpu_us"], one[base]["cpu_us"]))
            rows.append(row)
        lines += table([f"Debian {release}", *(NAMES[size] for size in sizes(of_sizes))], rows)
    return lines


# -- the page


def page(results: Results) -> str:
    notes = dict(section.split("\n", 1) for section in NOTES.read_text().split("\n@@ ")[1:])
    lines = [
        "# The gate on each Debian: figures", "",
        "Made by `make bench NAME=systems`, from `systems-figures.json` beside this page. The gate on the nginx of "
        "Debian 12, 13 and 14, beside a bare `proxy_pass` on the same nginx and beside the same release's HAProxy; "
        "and large messages by each choice of a location's `messages`.", "",
        *summary(results),
        *([notes["summary"].strip(), ""] if notes.get("summary", "").strip() else []),
        *about(results),
    ]  # fmt: skip
    for section in (handshakes, messages, times, memory, settings, tried):
        name = section.__name__
        if name in results:
            lines += section(results[name]["figures"])
            if notes.get(name, "").strip():
                lines += [notes[name].strip(), ""]
    return wrapped("\n".join(lines))


def picture(results: Results, path: Path) -> dict[str, Any]:
    figures = results["memory"]["figures"]
    on = releases(figures)
    series = {
        title: [held(figures, release, name) or 0 for release in on]
        for name, title in CONTENDERS.items()
        if all(f"{release} {name}" in figures for release in on)
    }
    return {
        "path": str(path), "kind": "bars", "title": "Memory of an idle wss session", "unit": "KiB",
        "labels": [f"Debian {release}" for release in on], "series": series,
    }  # fmt: skip


def write(folder: Path, is_drawn: bool = True) -> list[Path]:
    """Write the page and its picture from the figures in the same folder; return what was written."""
    results = json.loads((folder / JSON).read_text())
    written = [folder / PAGE]
    written[0].write_text(page(results))
    if is_drawn and "memory" in results:
        written.append(folder / PICTURE)
        draw([picture(results, written[-1])])
    return written
