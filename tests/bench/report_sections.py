# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections of docs/performance.md: how it was measured, and what handshakes, messages and sessions take."""

from __future__ import annotations

from typing import Any

from .report_tables import ORDER, YARDSTICKS, Page, median, number, present, table, thousands, with_ratio


def how(page: Page) -> None:
    """Where and when it was measured, and who takes part."""
    parts = [(name, part) for name, part in page.results.items() if isinstance(part, dict) and "seconds" in part]
    machine = next(part["machine"] for _name, part in parts if "machine" in part)
    page.add(
        f"## How\n\n- Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, kernel {machine['kernel']}. Everything on loopback: client, proxy and upstream share "
        "these cores.\n"
        "- CPU is the processes' own account (`schedstat` of every thread, children too), memory the proportional set "
        "size (`smaps_rollup`) of all processes; what the kernel keeps for sockets is not in it.\n"
        "- One worker, thread or processor each (`GOMAXPROCS=1`, `--concurrency 1`). P-256 certificate, TLS 1.3, the "
        "same upstream (picows, plain ws) and client (Python's OpenSSL), an access log in a file.\n"
        + "\n".join(
            f"- Part *{name}*: {part['date']}, {part['rounds']} rounds, scale {part['scale']:g}, {part['seconds']} s, "
            f"load {part['load_before']:.1f} before it began."
            for name, part in parts
        )
        + "\n- In each, memory and reload are one measurement for each contender, guards seven rounds, sessions under "
        "attack and instructions three."
    )
    rows = [
        [facts["title"], facts["version"] or "", facts["check"]]
        for name, facts in sorted(page.results["contenders"].items(), key=lambda item: ORDER.index(item[0]))
        if name not in YARDSTICKS
    ]
    page.add(table(["contender", "version", "how it checks token and Origin"], rows).replace("---:", "---"))
    for name, why in page.results.get("missing", {}).items():
        page.add(f"Left out here: {name}: {why}")


def traffic(page: Page) -> None:
    found = page.figures("traffic")
    if found:
        handshakes(page, found)
        messages(page, found)


def handshakes(page: Page, found: dict[str, Any]) -> None:
    full, resumed, saturated = found["handshake_full"], found["handshake_resumed"], found["handshake_saturated"]
    page.add(
        "## A handshake\n\nTCP, TLS, request, 101, end. CPU in the proxy alone; times are the client's, which shares "
        "the cores."
    )
    head = [
        "contender", "CPU full µs", "ratio", "CPU resumed µs", "ratio", "p50 ms", "p99 ms", "at saturation /s", "ratio",
        "p50 ms", "p99 ms",
    ]  # fmt: skip
    rows: list[list[Any]] = [
        [
            page.titles[name],
            *(with_ratio(full, name, "cpu_us") if name != "direct" else ("", "")),
            *(with_ratio(resumed, name, "cpu_us") if name in resumed else ("", "")),
            number(median(full[name]["p50_ms"])),
            number(median(full[name]["p99_ms"])),
            *with_ratio(saturated, name, "per_second"),
            number(median(saturated[name]["p50_ms"])),
            number(median(saturated[name]["p99_ms"])),
        ]
        for name in present(full)
    ]
    page.add(table(head, rows))
    names = present(resumed)
    page.picture(
        "handshake",
        "CPU per wss handshake",
        "µs in the proxy",
        "bars",
        [page.titles[name] for name in names],
        {kind: [median(one[name]["cpu_us"]) for name in names] for kind, one in (("full", full), ("resumed", resumed))},
    )


def added(paced: dict[str, Any], name: str, key: str) -> str:
    """The time of a message, less that of the upstream without a proxy; nothing where that was not measured."""
    if "direct" not in paced:
        return ""
    return number(median([a - b for a, b in zip(paced[name][key], paced["direct"][key], strict=True)]))


def messages(page: Page, found: dict[str, Any]) -> None:
    page.add(
        "## A message\n\nCPU in the proxy for one message there and back, and what a session sees at 1,000 messages a "
        "second: the time there and back, less that of the upstream without a proxy. Where that is below zero the "
        "difference is noise."
    )
    names = present(found["message_64"])
    rows = []
    for name in names:
        cells: list[Any] = [page.titles[name]]
        for size in (64, 16384):
            cells += with_ratio(found[f"message_{size}"], name, "cpu_us")
            cells += [added(found[f"paced_{size}"], name, key) for key in ("p50_ms", "p99_ms")]
        rows.append(cells)
    head = [
        "contender", "64 B: CPU µs", "ratio", "added p50 ms", "added p99 ms", "16 KiB: CPU µs", "ratio", "added p50 ms",
        "added p99 ms",
    ]  # fmt: skip
    page.add(table(head, rows))
    page.picture(
        "message",
        "CPU per message, there and back",
        "µs in the proxy",
        "bars",
        [page.titles[name] for name in names],
        {
            "64 B": [median(found["message_64"][name]["cpu_us"]) for name in names],
            "16 KiB": [median(found["message_16384"][name]["cpu_us"]) for name in names],
        },
    )


def memory(page: Page) -> None:
    found = page.figures("memory")
    if not found:
        return
    steps = sorted({int(step) for figures in found.values() for step in figures if step.isdigit() and step != "0"})
    page.add(
        "## Memory\n\nKiB for each idle wss session, over what the fresh process had; and what was still held three "
        "seconds after all had closed, which is used again for the next."
    )
    rows = [
        [
            page.titles[name],
            number(found[name]["0"] / 1024),
            *(number((found[name][str(step)] - found[name]["0"]) / step) for step in steps),
            number((found[name]["after"] - found[name]["0"]) / 1024),
        ]
        for name in present(found)
    ]
    page.add(table(["contender", "fresh MiB", *(f"KiB at {step:,}" for step in steps), "still held MiB"], rows))
    page.picture(
        "memory",
        "Memory of idle wss sessions",
        "MiB",
        "lines",
        [0, *steps],
        {
            page.titles[name]: [found[name][str(step)] / 1024 for step in [0, *steps]]
            for name in present(found)
            if name not in YARDSTICKS
        },
    )


def requests(page: Page) -> None:
    found = page.figures("requests")
    if not found:
        return
    kept, new, saturated = found["kept"], found["new"], found["saturated"]
    page.add(
        "## A plain request\n\nWith `http` on: GET, answered with 1 KiB, with token and Origin like a handshake. "
        "Over a connection to the proxy that stays open, and with a connection and a TLS handshake of its own. "
        "Both nginx take a connection to the upstream for each request; the others keep theirs."
    )
    head = [
        "contender", "CPU kept µs", "ratio", "p50 ms", "p99 ms", "CPU new µs", "ratio", "at saturation /s", "ratio",
        "p99 ms",
    ]  # fmt: skip
    rows = [
        [
            page.titles[name],
            *with_ratio(kept, name, "cpu_us"),
            number(median(kept[name]["p50_ms"])),
            number(median(kept[name]["p99_ms"])),
            *with_ratio(new, name, "cpu_us"),
            *with_ratio(saturated, name, "per_second"),
            number(median(saturated[name]["p99_ms"])),
        ]
        for name in present(kept)
    ]
    page.add(table(head, rows))
    counted = found["instructions"]
    if {"bare", "gate"} <= set(counted):
        page.add(instructions_of_a_request(counted))


def instructions_of_a_request(counted: dict[str, Any]) -> str:
    shown = {key: (median(counted["gate"][key]), median(counted["bare"][key])) for key in ("new", "kept")}
    return (
        "Instructions of a request, the gate's and the bare one's: with a connection of its own "
        f"{thousands(shown['new'][0])} and {thousands(shown['new'][1])} "
        f"({shown['new'][0] / shown['new'][1]:.3f}), over one that stays "
        f"{thousands(shown['kept'][0])} and {thousands(shown['kept'][1])} "
        f"({shown['kept'][0] / shown['kept'][1]:.2f}): the token, the Origin and two log lines cost the same "
        "with or without TLS."
    )


def reload(page: Page) -> None:
    found = page.figures("reload")
    if not found:
        return
    page.add(
        "## A reload\n\nA configuration with one more port is taken up, with idle sessions open, while handshakes at "
        "40 a second go on. It is live when a session gets in on that port; kept are the sessions that were still "
        "there three seconds later."
    )
    head = [
        "contender", "sessions", "kept", "live after ms", "memory before MiB", "at most MiB", "after MiB",
        "handshakes failed", "p50 ms before", "p99", "p50 ms within 1.5 s", "p99",
    ]  # fmt: skip
    rows = [
        [
            page.titles[name],
            one["sessions"],
            one["kept"],
            number(one["live_ms"]),
            *(number(one[key] / 1024) for key in ("before_kib", "peak_kib", "after_kib")),
            one["failed"],
            *(number(one[key]) for key in ("calm_p50_ms", "calm_p99_ms", "reload_p50_ms", "reload_p99_ms")),
        ]
        for name, one in ((name, found[name]) for name in present(found))
    ]
    page.add(table(head, rows))
