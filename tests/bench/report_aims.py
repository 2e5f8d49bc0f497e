# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is aimed at: each aim with its figure, whether it is reached, and why."""

from __future__ import annotations

from typing import Any

from . import systems_report
from .report_sources import Sources, disturbed, is_before_fewer_processes
from .report_tables import Aim, Page, listed, median, shares, table

#: Of one handshake's instructions, to the bare one's.
HANDSHAKE = 1.03
#: To geerlingguy.nginx on so many hosts: seconds and processor of a run that changes nothing, seconds of the first.
HOSTS, SECONDS, CPU, FIRST = 20, 0.8, 1.2, 1.5
LOCATIONS_COUNT, SESSIONS = 1000, 100_000
Judged = tuple[Aim, str]


def aims(sources: Sources) -> list[Judged]:
    """Each aim, and why it is reached or not."""
    return [
        handshake(sources.performance),
        *by_system(sources.systems),
        locations(sources.locations),
        *controller(sources.performance),
        crowd(sources.crowd),
    ]


def handshake(results: dict[str, Any]) -> Judged:
    found = results.get("instructions", {}).get("figures", {}).get("tls", {})
    mine, bare = (found.get(name, {}).get("full") for name in ("gate", "bare"))
    aim = Aim(
        "instructions of a full handshake, gate to bare", "Debian 12", f"at most {HANDSHAKE:.2f}", HANDSHAKE,
        median(mine) / median(bare) if mine and bare else None,
    )  # fmt: skip
    saved = "one ticket instead of two and sessions in nginx's cache save more than the guards take"
    return aim, why(aim, saved, "the guards take more than the TLS settings save: [counted](#what-each-guard-costs)")


def by_system(results: dict[str, Any]) -> list[Judged]:
    return [(aim, why_of_a_system(aim, results)) for aim in systems_report.sought(results)]


def why_of_a_system(aim: Aim, results: dict[str, Any]) -> str:
    """In words that hold for every run; what a run was disturbed by is read from its results."""
    if aim.what.startswith("CPU"):
        noise = disturbed(results.get("messages", {}))
        if aim.is_reached:
            return noise
        # Of a small message nothing larger is expected to be won.
        return why(aim, "", noise or "see [each size](systems-figures.md#a-message)")
    if aim.unit:
        return why(aim, "", "nginx holds a buffer of that size in each direction")
    old = "OpenSSL 3.0 takes less of both, so that what nginx keeps of a handshake counts for more"
    new = "what takes the memory: [one setting at a time](systems-figures.md#what-takes-the-memory)"
    return why(aim, "smaller buffers and pools than nginx's own", old if aim.where == "Debian 12" else new)


def locations(results: dict[str, Any]) -> Judged:
    found = results.get("memory", {}).get("figures", {})
    mine, bare = (found.get(name, {}).get(str(LOCATIONS_COUNT), {}).get("kib") for name in ("gate", "bare"))
    limit = systems_report.MEMORY_RATIO
    aim = Aim(
        f"the same, with {LOCATIONS_COUNT:,} locations", "Debian 12", f"at most {limit:.2f}", limit,
        mine / bare if mine and bare else None,
    )  # fmt: skip
    grows = "as with one location, since none has a variable of its own"
    return aim, why(aim, "a location has no variable of its own", grows)


def controller(results: dict[str, Any]) -> list[Judged]:
    """Of each way to so many hosts that was measured, by the medians of the rounds' own ratios."""
    found = results.get("controller", {}).get("figures", {})
    ways = [way for way in sorted(found) if way.split()[0] == str(HOSTS)] or [str(HOSTS)]
    judged = []
    for way in ways:
        mine, other = (found.get(way, {}).get(name, {}) for name in ("site", "geerlingguy_nginx"))
        for what, key, limit in (
            ("a run without changes, time to geerlingguy.nginx", "second_s", SECONDS),
            ("the same, the controller's CPU", "second_cpu_s", CPU),
            ("a first run, time to geerlingguy.nginx", "first_s", FIRST),
        ):
            aim = Aim(what, f"{way} hosts", f"at most {limit:.1f}", limit, to_other(mine.get(key), other.get(key)))
            forked = f"{mine['forks']:g} processes a host" if "forks" in mine else ""
            judged.append((aim, why(aim, forked, why_it_takes_longer(key, mine))))
    return judged


def to_other(mine: Any, other: Any) -> float | None:
    """The ratio of two times, or of two lists of rounds that were made in turns."""
    if not mine or not other:
        return None
    return median(shares(mine, other)) if isinstance(mine, list) else mine / other


def why_it_takes_longer(key: str, mine: dict[str, Any]) -> str:
    if is_before_fewer_processes(mine):
        return "measured before site's tasks were put together"
    if key == "first_s":
        return "it installs more, and makes certificates"
    return "it checks all settings and renders a gate, which the other does not: [what is left](#the-controllers-side)"


def crowd(results: dict[str, Any]) -> Judged:
    """Attempts that failed until all were in; a run that was for fewer sessions, or was not whole, tells nothing."""
    figures = results.get("crowd", {}).get("figures", {})
    ramp = figures.get("ramp") or {}
    opened = max((step["sessions"] for step in ramp.get("steps", [])), default=0)
    is_measured = opened >= SESSIONS and "failed" in ramp
    aim = Aim(
        f"handshakes that fail until {SESSIONS:,} sessions are open", "Debian 12", "none", 0,
        sum(ramp["failed"].values()) if is_measured else None, "", digits=0,
    )  # fmt: skip
    if not is_measured:
        return aim, ""
    names = ", ".join(sorted(ramp["failed"]))
    return aim, why(aim, f"{figures['workers']} workers, {ramp['a_second']} handshakes a second", names)


def why(aim: Aim, reached: str, missed: str) -> str:
    """The reason, and by how much it is missed; nothing where nothing was measured."""
    if aim.value is None:
        return ""
    return reached if aim.is_reached else "; ".join(part for part in (aim.excess, missed) if part)


def section(page: Page, sources: Sources) -> None:
    judged = aims(sources)
    counts = {state: sum(aim.is_reached is state for aim, _why in judged) for state in (True, False, None)}
    told = [f"{counts[True]} of {len(judged)} are reached"]
    told += [f"**{counts[False]} missed** (in bold)"] if counts[False] else []
    told += [f"{counts[None]} not measured"] if counts[None] else []
    page.add(
        f"## Aims\n\nWhat this gate aims at, and what was found when it was last measured: {listed(told)}. A gate is "
        "measured beside a bare `proxy_pass` on the same system. `large` and `mixed`, the default, are a location's "
        "`messages`."
    )
    rows: list[list[Any]] = [[aim.what, aim.where, aim.asked, *aim.cells, reason] for aim, reason in judged]
    page.add(table(["aim", "where", "asked for", "found", "reached", "why"], rows).replace("---:", "---"))
