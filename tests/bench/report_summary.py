# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The beginning of docs/performance.md: a line for each contender, what the gate loses, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import systems_report
from .report_sources import Sources, disturbed, older
from .report_tables import Page, Results, listed, median, shares, table

CONTENDERS = ("gate", "bare", "recipe", "haproxy", "envoy", "caddy", "traefik")
SHORT = {"bare": "bare nginx", "recipe": "the published recipe"}
#: As far as the rounds of one contender lie apart, in either direction.
NOISE = 0.10
MEMORY_SESSIONS = 8000


@dataclass(frozen=True)
class Column:
    """What was measured of some contenders, round by round; ``to`` is whom it is a ratio to."""

    head: str
    # Within a sentence: the gate loses …
    words: str
    rounds: dict[str, list[float]]
    to: str = "bare"
    # What is said of a contender that has no such thing.
    instead: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str) -> float | None:
        """The median of the rounds' own ratios; None where one of the two was not measured."""
        if not self.rounds.get(name) or not self.rounds.get(self.to):
            return None
        return median(shares(self.rounds[name], self.rounds[self.to]))

    def loss(self, name: str) -> float | None:
        """How many times as much as a contender the gate takes, where that is more than noise."""
        if name == "gate" or not self.rounds.get(name) or not self.rounds.get("gate"):
            return None
        times = median(shares(self.rounds["gate"], self.rounds[name]))
        return times if times > 1 + NOISE else None

    def cell(self, name: str) -> str:
        value = self.ratio(name)
        if value is None:
            return self.instead.get(name, "not measured")
        seen = "1" if name == self.to else f"{value:.2f}"
        return f"**{seen}**" if self.loss(name) else seen


def part(results: Results, *names: str) -> dict[str, Any]:
    """What is below these names; empty where something is not there."""
    found: Any = results
    for name in names:
        found = found.get(name) or {}
    return found if isinstance(found, dict) else {}


def cpu(figures: dict[str, Any]) -> dict[str, list[float]]:
    return {name: one["cpu_us"] for name, one in figures.items() if "cpu_us" in one}


def columns(results: Results) -> list[Column]:
    traffic = part(results, "traffic", "figures")
    memory = part(results, "memory", "figures")
    sessions = {name: (one, max(int(step) for step in one if step.isdigit())) for name, one in memory.items()}
    most = max((step for _one, step in sessions.values()), default=MEMORY_SESSIONS)
    return [
        Column("full handshake", "a full handshake", cpu(part(traffic, "handshake_full"))),
        Column("resumed handshake", "a resumed handshake", cpu(part(traffic, "handshake_resumed"))),
        Column("message of 64 B", "a message of 64 bytes", cpu(part(traffic, "message_64"))),
        Column("message of 16 KiB", "a message of 16 KiB", cpu(part(traffic, "message_16384"))),
        Column(
            f"memory a session at {most:,}", "the memory of a session",
            {name: [(one[str(step)] - one["0"]) / step] for name, (one, step) in sessions.items() if step == most > 0},
        ),
        Column(
            "a refusal's share of accepting, **to this gate's**", "a refusal",
            {
                name: shares(one["no_cookie_us"], one["accepted_us"])
                for name, one in part(results, "refusing", "figures", "cost").items()
            },
            "gate",
            {"bare": "refuses nobody"},
        ),
        Column("plain request", "a plain request", cpu(part(results, "requests", "figures", "kept"))),
    ]  # fmt: skip


def rows(results: Results) -> list[list[str]]:
    titles = {name: facts["title"] for name, facts in results["contenders"].items()}
    of_columns = columns(results)
    return [[titles[name], *(one.cell(name) for one in of_columns)] for name in CONTENDERS if name in titles]


# -- the sentences


def costs(of_columns: list[Column]) -> str:
    told = [f"{ratio:.2f} for {one.words}" for one in of_columns if one.to == "bare" and (ratio := one.ratio("gate"))]
    return f"To a bare `proxy_pass`, which lets everybody in, this gate takes {listed(told)}." if told else ""


def losses(results: Results, of_columns: list[Column]) -> str:
    titles = {name: facts["title"] for name, facts in results["contenders"].items()} | SHORT
    told = []
    for one in of_columns:
        lost = [(name, times) for name in CONTENDERS if (times := one.loss(name))]
        if lost:
            told.append(f"{one.words} to {listed([f'{titles[name]} ({times:.2f})' for name, times in lost])}")
    if not told:
        return "It loses nothing by more than noise."
    return f"What it loses, and how many times as much it takes: {'; '.join(told)}."


def between(values: list[float], digits: int) -> str:
    least, most = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def messages(systems: Results) -> str:
    """What the choices of a location's `messages` change, by what was measured on each system."""
    of_16 = part(systems, "messages", "figures", str(systems_report.LARGE))
    memory = part(systems, "memory", "figures")
    cpu_of, more, less = [], [], []
    for release in systems_report.releases(of_16):
        cpu_of += [ratio for ratio in [systems_report.ratio(of_16, release, "large", "mixed")] if ratio is not None]
    for release in systems_report.releases(memory):
        small, mixed, large = (systems_report.held(memory, release, name) for name in ("small", "mixed", "large"))
        more += [large - mixed] if large is not None and mixed is not None else []
        less += [mixed - small] if small is not None and mixed is not None else []
    noise = disturbed(part(systems, "messages")) if cpu_of else ""
    noise = f"; {noise}" if noise else ""
    large_told = [f"{between(more, 1)} KiB more a session"] if more else []
    large_told += [f"{between(cpu_of, 2)} of the processor time of 16 KiB"] if cpu_of else []
    return (
        "What to do about it is chosen by location: `messages: large` where messages are above 8 KiB"
        + (f", which takes {' and '.join(large_told)} ([by system](systems-figures.md){noise})" if large_told else "")
        + "; `messages: small` where all are below 2 KiB"
        + (f", which takes {between(less, 1)} KiB less a session" if less else "")
        + ". `mixed` is the default."
    )


def links(folder: Path) -> str:
    known = {
        "sizing.md": "how large a host must be",
        "systems-figures.md": "each Debian's nginx",
        "crowd-figures.md": "100,000 sessions",
        "locations-figures.md": "many locations",
        "tokens-figures.md": "tokens by the thousand",
    }
    # This report makes the first of them.
    there = [f"[{what}]({name})" for name, what in known.items() if name == "sizing.md" or (folder / name).exists()]
    return f"Pages of their own have {listed(there)}; what was aimed at is [below](#aims)."


def section(page: Page, sources: Sources) -> None:
    results = sources.performance
    of_columns = columns(results)
    head = ["CPU and memory, ratio to a bare `proxy_pass`", *(one.head for one in of_columns)]
    page.add("## Summary")
    page.add(table(head, rows(results)))
    page.add(
        "**Bold** is what the gate loses to a contender: in the median of the rounds it takes more than "
        f"{1 + NOISE:.2f} times as much; less than that is within the noise. Below 1 is less than a bare `proxy_pass` "
        "takes. Each ratio is a median of its own, so two of them do not divide into the third."
    )
    told = [costs(of_columns), losses(results, of_columns), messages(sources.systems), links(page.folder)]
    page.add("\n\n".join(sentence for sentence in told if sentence))
    for sentence in older(results):
        page.add(sentence)
