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
SESSIONS = (1000, 4000, 8000, 20_000, 50_000, 100_000)
#: The host that is summed up, as an example.
EXAMPLE_SESSIONS, EXAMPLE_WORKERS = 40_000, 4
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
        f"- memory of a fresh nginx: each worker sets aside {own} connections; that is what many workers cost. A gate "
        "has one worker for each processor (`nginx_worker_processes: auto`)",
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
        "sessions", "workers", "nginx MiB", "of these before the first", "KiB a session", "kernel MiB, about",
        "descriptors", "`worker_connections`", "ports towards the upstream", "upstream addresses",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for one in found:
        mark = "" if one.is_measured else " (computed)"
        rows.append([
            f"{one.sessions:,}", one.workers, f"{one.mib:,.0f}{mark}", f"{one.fresh_mib:,.0f}{mark}",
            f"{one.each_kib:.1f}",
            f"{one.sessions * KERNEL_KIB / 1024:,.0f}", f"{descriptors(one.sessions):,}",
            f"{connections(one.sessions):,}", f"{one.sessions:,}", -(-one.sessions // PORTS_ROUND),
        ])  # fmt: skip
    return table(head, rows)


def told(found: list[Size], results: Results, crowd: Results) -> list[str]:
    """What the columns are, and which rows are of what."""
    old = (
        " Rows with one worker were measured before [the defaults of today](performance.md#summary), which take some "
        "0.3 KiB less a session."
    )
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
    """What a reload, a herd and the agent need beside that, and how long it takes to end sessions."""
    figures, lines = crowd_figures(crowd), []
    if reload := figures.get("reload"):
        more = reload["most_mib"] - reload["before_mib"]
        lines.append(
            "- A reload, while old workers keep their sessions and new ones start: one fresh nginx more, and one for "
            "each reload before it whose old workers still have sessions. That is workers × `worker_connections` × "
            f"{aside_kib(crowd):.2f} KiB; with {reload['open']:,} sessions and {figures['workers']} workers nginx took "
            f"{reload['before_mib']:,.0f} MiB before it and {reload['most_mib']:,.0f} at most, {more:,.0f} more."
        )
    if herd := figures.get("herd"):
        lines.append(
            f"- A herd: {figures['sessions']:,} clients that come back at the same moment are all in after "
            f"{herd['all_s']} s, {herd['a_second']:,} a second, and nginx takes {herd['most_mib']:,.0f} MiB at most. "
            f"{crowd_report.failures(herd['failed'])}"
        )
    if "agent_mib" in figures.get("ramp", {}):
        lines.append(
            f"- The agent (`wssgate-agent`), which ends sessions: {figures['ramp']['agent_mib']:,.0f} MiB with "
            f"{figures['sessions']:,} of them."
        )
    if revoke := figures.get("revoke"):
        each = ", ".join(f"{one['last_s']:,.1f} s for {one['sessions']:,}" for one in revoke)
        lines.append(
            f"- Time: a revocation ends its sessions one after the other. With {figures['sessions']:,} open, on two "
            f"busy cores, the last one's client saw its end after {each}. With thousands open it is [far "
            "less](agent-figures.md)."
        )
    return ["## What comes on top", "", *lines, ""] if lines else []


def example(crowd: Results) -> list[str]:
    """One host, summed up from what was measured."""
    figures = crowd_figures(crowd)
    if not figures:
        return []
    sessions, workers, steps = EXAMPLE_SESSIONS, EXAMPLE_WORKERS, figures["ramp"]["steps"]
    each_kib = (steps[-1]["mib"] - figures["ramp"]["fresh_mib"]) * 1024 / steps[-1]["sessions"]
    fresh = workers * connections(sessions) * aside_kib(crowd) / 1024
    parts = {
        f"a fresh nginx: {workers} × {connections(sessions):,} × {aside_kib(crowd):.2f} KiB": fresh,
        f"its sessions: {sessions:,} × {each_kib:.1f} KiB": sessions * each_kib / 1024,
        f"the kernel: {sessions:,} × {KERNEL_KIB} KiB": sessions * KERNEL_KIB / 1024,
        "a reload: one fresh nginx more": fresh,
    }
    if agent := figures["ramp"].get("agent_mib"):
        parts["the agent, in proportion"] = agent * sessions / figures["sessions"]
    rows: list[list[Any]] = [[name, f"{mib:,.0f}"] for name, mib in parts.items()]
    rows.append(["together, with Debian 12 and `mixed`", f"**{sum(parts.values()):,.0f}**"])
    return [
        "## One host, summed up", "",
        f"A host with {workers} processors for {sessions:,} sessions, by these figures. None of it was measured on "
        "such a host.", "",
        table(["what", "MiB"], rows),
    ]  # fmt: skip


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
        f"Made by `make bench`, from `{PERFORMANCE}`, `{CROWD}` and `{SYSTEMS}` beside this page, which tell when and "
        "on what machine each was measured; do not edit.", "",
        notes["begin"].strip(), "",
        *follows(sources.performance, sources.crowd),
        "## The table", "",
        *([sizes_table(found)] if found else ["**Not measured yet.**", ""]),
        "\n\n".join(told(found, sources.performance, sources.crowd)), "",
        *on_top(sources.crowd),
        *example(sources.crowd),
        *([*of_systems, notes["systems"].strip(), ""] if of_systems else []),
        notes["fails"].strip(), "",
    ]  # fmt: skip
    return wrapped("\n".join(lines))
