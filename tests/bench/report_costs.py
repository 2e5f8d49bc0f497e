# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections of docs/performance.md: instructions, guards, refusals, and the controller's side."""

from __future__ import annotations

from typing import Any

from .counts import spread
from .report_tables import Page, median, number, present, ratios, shares, table, thousands

REFUSALS = {
    "no_cookie_kept": "no cookie",
    "wrong_origin_kept": "wrong Origin",
    "no_cookie_new": "no cookie, new connection",
    "wrong_origin_new": "wrong Origin, new connection",
}


def furthest(found: dict[str, Any]) -> tuple[int, float]:
    """How many rounds instructions were counted in, and by which share these differ at most."""
    rounds = [
        values
        for part in ("tls", "plain")
        for one in found[part].values()
        for name, values in one.items()
        if not name.endswith("_calls")
    ]
    return len(rounds[0]), max(map(spread, rounds))


def counted(tls: dict[str, Any], name: str, key: str) -> list[str]:
    """Thousands of instructions, their ratio to the bare one's, and system calls."""
    mine = tls[name]
    if key not in mine:
        return ["", "", ""]
    value, base = median(mine[key]), median(tls.get("bare", {}).get(key, [0]))
    return [thousands(value), f"{value / base:.3f}" if base else "", f"{median(mine[f'{key}_calls']):.1f}"]


def instructions(page: Page) -> None:
    found = page.figures("instructions")
    if not found:
        return
    tls, (rounds, differ) = found["tls"], furthest(found)
    page.add(
        "## Instructions and system calls: what noise does not touch\n\nWhat one more handshake, from the connection "
        "to its end, makes nginx do: instructions outside the kernel, counted by valgrind "
        f"{found['valgrind']} (callgrind), and calls into the kernel, counted by strace, without waits and memory. "
        f"Median of {rounds} rounds, which differ by {differ:.2%} at most.".replace("%", " %")
    )
    head = ["contender"]
    for kind in ("full", "resumed"):
        head += [f"{kind}: thousand instructions", "ratio", "system calls"]
    rows = [
        [found["titles"][name], *counted(tls, name, "full"), *counted(tls, name, "resumed")] for name in present(tls)
    ]
    page.add(table(head, rows))
    refused_instructions(page, found)
    hidden_features(page, found["openssl_finds"])


def refused_instructions(page: Page, found: dict[str, Any]) -> None:
    tls = found["tls"]
    page.add("A refusal: the next request over a connection that stays open, and a whole new connection with TLS.")
    head = ["contender"]
    for title in REFUSALS.values():
        head += [f"{title}: thousand instructions", "system calls"]
    rows = [
        [found["titles"][name], *(cell for kind in REFUSALS for cell in counted(tls, name, kind)[::2])]
        for name in present(tls)
        if "no_cookie_kept" in tls[name]
    ]
    page.add(table(head, rows))


def hidden_features(page: Page, seen: dict[str, bool]) -> None:
    """What of the processor OpenSSL does not find below valgrind."""
    if not seen:
        return
    lost = [name for name, is_there in seen.items() if not is_there]
    page.add(
        f"Of this processor's features valgrind shows OpenSSL {', '.join(name for name in seen if name not in lost)}"
        + (f", and hides {', '.join(lost)}." if lost else ", which are all that it looks at.")
    )


def guards(page: Page) -> None:
    found = page.figures("guards")
    if not found:
        return
    one, many = found["one_token"], found["many_tokens"]
    page.add(
        "## What each guard costs\n\nWithout TLS, which would hide most of it: the whole gate, and the same with one "
        "thing taken out. **costs** is the median of the rounds' differences."
    )
    counts = (page.figures("instructions") or {"plain": {}})["plain"]
    order = sorted(found["titles"].items(), key=lambda item: ("plain_bare plain_gate".find(item[0]) % 99, item[0]))
    more = ["thousand instructions", "cost", "system calls", "cost"] if counts else []
    rows = [guard(one, counts, name, title) for name, title in order]
    page.add(table(["", "CPU per handshake µs", "costs µs", *more], rows))
    page.add(
        f"With 1 token in the store the gate takes {over_bare(one):.2f} times what bare `proxy_pass` takes without "
        f"TLS, with 100,000 tokens {over_bare(many):.2f} times: one look-up of a name, however many there are."
    )


def over_bare(figures: dict[str, Any]) -> float:
    return median(shares(figures["plain_gate"]["cpu_us"], figures["plain_bare"]["cpu_us"]))


def guard(figures: dict[str, Any], counts: dict[str, Any], name: str, title: str) -> list[Any]:
    """The row of what is left when one guard is taken out."""
    whole, spent = figures["plain_gate"]["cpu_us"], figures[name]["cpu_us"]
    is_whole = name == "plain_gate"
    cells = [
        number(median(spent)),
        "" if is_whole else number(median([a - b for a, b in zip(whole, spent, strict=True)])),
    ]
    if name in counts:
        for key, say in (("full", thousands), ("full_calls", lambda value: f"{value:.1f}")):
            value, most = median(counts[name][key]), median(counts["plain_gate"][key])
            cells += [say(value), "" if is_whole else say(most - value)]
    return [title if name in ("plain_bare", "plain_gate") else f"without {title}", *cells]


def refusing(page: Page) -> None:
    found = page.figures("refusing")
    if found:
        refusals(page, found["cost"])
        under_attack(page, found["felt"])


def refusals(page: Page, cost: dict[str, Any]) -> None:
    page.add(
        "## Refusing\n\nCPU in the proxy for one refusal over a connection that stays open, as an attacker in a hurry "
        "would send them, beside that of an accepted handshake in the same round; and for a refusal with a TLS "
        "handshake of its own, nearly all of which is TLS."
    )
    head = [
        "contender", "no cookie µs", "share of accepting", "wrong Origin µs", "share", "with a new connection µs",
        "share", "accepting µs",
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for name in present(cost):
        one, cells = cost[name], [page.titles[name]]
        for key in ("no_cookie_us", "wrong_origin_us", "new_connection_us"):
            cells += [number(median(one[key])), f"{median(shares(one[key], one['accepted_us'])):.3f}"]
        rows.append([*cells, number(median(one["accepted_us"]))])
    page.add(table(head, rows))


def under_attack(page: Page, felt: dict[str, Any]) -> None:
    page.add(
        "What an honest session feels (64 B, 200 messages a second, there and back) while three clients ask without a "
        "cookie as fast as they can:"
    )
    rows = [
        [
            page.titles[name],
            number(median(felt[name]["refused_per_second"])),
            *(
                number(median(felt[name][f"{when}_{key}_ms"]))
                for when in ("quiet", "attacked")
                for key in ("p50", "p99")
            ),
        ]
        for name in present(felt)
    ]
    page.add(table(["contender", "refused /s", "quiet p50 ms", "p99", "attacked p50 ms", "p99"], rows))


def controller(page: Page) -> None:
    found = page.figures("controller")
    if not found:
        return
    page.add(
        "## The controller's side\n\nRuns on containers of this machine, the last of them on "
        f"{page.results['controller']['date']}. Those that change nothing were made in turns: medians of the seconds "
        "by the clock and of the controller's processors, tasks in the play's output, processes that Ansible forks "
        "for each host, and commands run on each host (connections)."
    )
    head = [
        "what", "hosts", "first run s", "rounds", "no change s", "ratio to geerlingguy.nginx", "CPU s", "ratio",
        "tasks", "processes a host", "connections a host",
    ]  # fmt: skip
    rows = [
        runs(one, hosts, figures.get("geerlingguy_nginx"))
        for hosts, figures in sorted(found.items(), key=lambda item: (" " in item[0], int(item[0].split()[0])))
        for one in figures.values()
    ]
    page.add(table(head, rows))


def runs(one: dict[str, Any], hosts: str, base: dict[str, Any] | None) -> list[Any]:
    """The row of one contender on so many hosts."""
    cells = []
    for kind in ("s", "cpu_s"):
        cells += [
            f"{one[f'second_median_{kind}']:.1f}",
            "" if not base else ratios(one[f"second_{kind}"], base[f"second_{kind}"]),
        ]
    return [
        one["title"], hosts, f"{one['first_s']:.1f}", len(one["second_s"]), *cells, one["tasks"], one.get("forks", ""),
        one["connections"],
    ]  # fmt: skip
