# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/sizing.md: the one number that an operator gives, what follows from it, and what fails first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.prose import wrapped

from . import crowd_report, systems_report
from .report_sources import CROWD, PERFORMANCE, SYSTEMS, Sources, is_old
from .report_tables import Results, median, number, table

NOTES = Path(__file__).with_name("sizing_notes.md")
# Two sockets with an inode, a file and an epoll entry each, by the object sizes in /proc/slabinfo; empty buffers.
KERNEL_KIB = 8
#: Ports that Linux gives out towards one address, by default (32768 to 60999), and how many the table goes by.
PORTS, PORTS_ROUND = 28_232, 28_000
SESSIONS = (1000, 4000, 8000, 20_000, 28_000, 50_000, 100_000)
#: What nginx is set for in `make bench`, with one worker (contenders.py).
BENCH_SESSIONS = 8000
PROFILES = {"small": "`messages: small`", "mixed": "`mixed`, the default", "large": "`large`"}


@dataclass(frozen=True)
class Size:
    """What nginx takes with so many sessions, in MiB: with all of them, and before the first one."""

    sessions: int
    mib: float
    workers: int
    fresh_mib: float
    is_measured: bool

    @property
    def each_kib(self) -> float:
        """What a session takes over a fresh nginx."""
        return (self.mib - self.fresh_mib) * 1024 / self.sessions


def descriptors(sessions: int) -> int:
    return 2 * sessions + 1024


def connections(sessions: int) -> int:
    return 2 * sessions + 512


def crowd_figures(crowd: Results) -> dict[str, Any]:
    """What was measured of a crowd on its way up; empty where that is not there."""
    figures: dict[str, Any] = crowd.get("crowd", {}).get("figures", {})
    return figures if figures.get("ramp", {}).get("steps") else {}


def aside_kib(crowd: Results) -> float:
    """KiB that a worker sets aside for each of its connections, by the crowd's fresh nginx; 0 where none was."""
    figures = crowd_figures(crowd)
    if not figures:
        return 0.0
    fresh: float = figures["ramp"]["fresh_mib"]
    return fresh * 1024 / figures["workers"] / connections(figures["sessions"])


def one_worker(results: Results, crowd: Results) -> dict[int, Size]:
    """Measured as far as it was; beyond that what is fresh and a session's memory, for a worker of that size."""
    mine = results.get("memory", {}).get("figures", {}).get("gate")
    if not mine:
        return {}
    steps = sorted(int(step) for step in mine if step.isdigit() and step != "0")
    each = (mine[str(steps[-1])] - mine["0"]) / steps[-1]
    found = {step: Size(step, mine[str(step)] / 1024, 1, mine["0"] / 1024, True) for step in steps}
    for sessions in SESSIONS:
        if sessions not in found:
            more = max(0, connections(sessions) - connections(BENCH_SESSIONS)) * aside_kib(crowd)
            fresh = (mine["0"] + more) / 1024
            found[sessions] = Size(sessions, fresh + sessions * each / 1024, 1, fresh, False)
    return found


def many_workers(crowd: Results) -> dict[int, Size]:
    figures = crowd_figures(crowd)
    if not figures:
        return {}
    fresh = figures["ramp"]["fresh_mib"]
    return {
        step["sessions"]: Size(step["sessions"], step["mib"], figures["workers"], fresh, True)
        for step in figures["ramp"]["steps"]
    }


def sizes(results: Results, crowd: Results) -> list[Size]:
    """One for each number of sessions: of one worker where that was measured, else of the crowd, else computed."""
    one, many = one_worker(results, crowd), many_workers(crowd)
    found = []
    for sessions in SESSIONS:
        mine, other = one.get(sessions), many.get(sessions)
        if chosen := mine if mine and mine.is_measured else other or mine:
            found.append(chosen)
    return found


# -- the sections


def follows(results: Results, crowd: Results) -> list[str]:
    aside = aside_kib(crowd)
    own = f"about {aside:.2f} KiB for each of these" if aside else "something for each of these"
    traffic = results.get("traffic", {}).get("figures", {})
    lines = [
        "## What follows from it",
        "",
        "- descriptors (`worker_rlimit_nofile`, `LimitNOFILE`): 2 × sessions + 1024",
        "- connections of each worker, since any one may get them all (`worker_connections`): 2 × sessions + 512",
        f"- memory of a fresh nginx: each worker sets aside {own} connections; that is what many workers cost",
        "- memory of nginx for each session: the tables below",
        f"- memory of the kernel: about {KERNEL_KIB} KiB for the two sockets of an idle session; buffers of busy ones "
        "come on top",
        f"- ports towards the upstream: one a session. Linux gives out {PORTS:,} (32768 to 60999) for each address and "
        "port of an upstream",
    ]
    if "handshake_full" in traffic and "message_64" in traffic:
        lines.append(processor(*(median(traffic[name]["gate"]["cpu_us"]) for name in ("handshake_full", "message_64"))))
    return [*lines, ""]


def processor(handshake_us: float, message_us: float) -> str:
    share = (100 * handshake_us + 10_000 * message_us) / 1e6
    return (
        f"- processor: idle sessions need none. A full handshake took {number(handshake_us)} µs and a message of 64 "
        f"bytes there and back {number(message_us)} µs ([measured](performance.md#a-handshake)), so 100 handshakes and "
        f"10,000 such messages a second keep {share:.0%} of a core busy".replace("%", " %")
    )


def sizes_table(found: list[Size]) -> str:
    head = [
        "sessions", "nginx MiB", "of these before the first", "KiB a session", "workers", "kernel MiB, about",
        "descriptors", "`worker_connections`", "ports towards the upstream", "upstream addresses",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for one in found:
        mark = "" if one.is_measured else " (computed)"
        rows.append([
            f"{one.sessions:,}", f"{one.mib:,.0f}{mark}", f"{one.fresh_mib:,.0f}{mark}", f"{one.each_kib:.1f}",
            one.workers,
            f"{one.sessions * KERNEL_KIB / 1024:,.0f}", f"{descriptors(one.sessions):,}",
            f"{connections(one.sessions):,}", f"{one.sessions:,}", -(-one.sessions // PORTS_ROUND),
        ])  # fmt: skip
    return table(head, rows)


def told(found: list[Size], results: Results, crowd: Results) -> list[str]:
    """What the columns are, and which rows are of what."""
    old = " Rows with one worker are older than [the defaults of today](performance.md#summary)."
    lines = [
        "nginx's memory is measured where it is not marked as computed. The kernel's is computed from the sizes of its "
        "objects (`/proc/slabinfo`); the other columns follow from the formulas."
        + (old if is_old(results, "memory") else "")
    ]
    figures = crowd_figures(crowd)
    if not figures or all(one.workers == 1 for one in found):
        return lines
    aside, workers, fresh = aside_kib(crowd), figures["workers"], figures["ramp"]["fresh_mib"]
    return [
        *lines,
        f"Rows with {workers} workers are steps of [one run](crowd-figures.md) of an nginx set for "
        f"{figures['sessions']:,} sessions. A process might have {crowd['crowd']['descriptors']:,} descriptors there, "
        f"so it needed that many workers, and they set {fresh:,.0f} MiB aside before the first session, "
        f"{fresh / workers:.0f} each. For another number of workers take workers × `worker_connections` × {aside:.2f} "
        "KiB, and for each session what one takes, which hardly depends on the number of workers.",
        f"![Memory and handshakes of a crowd]({crowd_report.PICTURE})",
    ]


def on_top(crowd: Results) -> list[str]:
    """What a reload, a herd and the agent need beside that."""
    figures, lines = crowd_figures(crowd), []
    if reload := figures.get("reload"):
        share = f"{reload['most_mib'] / reload['before_mib'] - 1:.0%}".replace("%", " %")
        lines.append(
            "- A reload, while old workers keep their sessions and new ones start: with "
            f"{reload['open']:,} sessions nginx took {reload['before_mib']:,.0f} MiB before it and "
            f"{reload['most_mib']:,.0f} at most, {share} more."
        )
    if herd := figures.get("herd"):
        lines.append(
            f"- A herd: {figures['sessions']:,} clients that come back at the same moment are all in after "
            f"{herd['all_s']} s, {herd['a_second']:,} a second, and nginx takes {herd['most_mib']:,.0f} MiB at most. "
            f"{crowd_report.failures(herd['failed'])}"
        )
    if "agent_mib" in figures.get("ramp", {}):
        lines.append(
            f"- The agent, which ends sessions: {figures['ramp']['agent_mib']:,.0f} MiB with "
            f"{figures['sessions']:,} of them."
        )
    return ["## What comes on top", "", *lines, ""] if lines else []


def by_system(systems: Results) -> list[str]:
    memory = systems.get("memory", {}).get("figures", {})
    if not memory:
        return []
    rows = []
    for release in systems_report.releases(memory):
        each = {name: systems_report.held(memory, release, name) for name in PROFILES}
        carried = memory.get(f"{release} large", {}).get("carried")
        mixed = each["mixed"]
        rows.append([
            f"Debian {release}", *("not measured" if kib is None else f"{kib:.1f}" for kib in each.values()),
            "not measured" if carried is None else f"{carried:.1f}",
            "not measured" if mixed is None else f"{mixed * 10_000 / 1024:,.0f} (computed)",
        ])  # fmt: skip
    head = ["system", *PROFILES.values(), "`large`, after a message of 16 KiB", "MiB for 10,000 sessions, by default"]
    most = max(systems_report.steps(memory))
    return [
        "## By system", "",
        f"KiB of nginx for each idle session, of {most:,}, with the nginx of each Debian and each choice of a "
        "location's `messages` ([measured](systems-figures.md#memory)). The table above is of Debian 12.", "",
        table(head, rows),
    ]  # fmt: skip


def text(sources: Sources) -> str:
    """The whole page."""
    notes = dict(section.split("\n", 1) for section in NOTES.read_text().split("\n@@ ")[1:])
    found = sizes(sources.performance, sources.crowd)
    of_systems = by_system(sources.systems)
    lines = [
        "# How large a host", "",
        f"Made by `make bench`, from `{PERFORMANCE}`, `{CROWD}` and `{SYSTEMS}` beside this page; do not edit.", "",
        notes["begin"].strip(), "",
        *follows(sources.performance, sources.crowd),
        "## The table", "",
        *([sizes_table(found)] if found else ["**Not measured yet.**", ""]),
        "\n\n".join(told(found, sources.performance, sources.crowd)), "",
        *on_top(sources.crowd),
        *([*of_systems, notes["systems"].strip(), ""] if of_systems else []),
        notes["fails"].strip(), "",
    ]  # fmt: skip
    return wrapped("\n".join(lines))
