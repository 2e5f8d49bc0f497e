# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/hub-figures.md from docs/hub-figures.json."""

from __future__ import annotations

from typing import Any

from lib.prose import wrapped

from .agent_report import table, told

JSON, PAGE = "hub-figures.json", "hub-figures.md"
# What is aimed at.
ISSUE_MS, REVOKE_MS = 100.0, 250.0
WAYS = {
    "hub": "one entry in the hub",
    "playbook with hub": "by Ansible, through the hub",
    "playbook": "by Ansible, without a hub",
}


def page(results: dict[str, Any]) -> str:
    about = results["machine"]
    lines = [
        "# The hub: figures",
        "",
        "Made by `make bench NAME=hub`; do not edit.",
        "",
        f"{about['cpu']}, {about['cores']} cores, {about['system']}, Linux {about['kernel']}. The hub, the gates, the "
        f"clients and Ansible are all on this machine, and share its cores. The hub is one {results['hub']} with TLS, "
        "as role `token_hub` configures it: each entry is on the disk before it is confirmed. Agents run by the files "
        "that a host gets. Where a load above 2 stands below, other work shared the cores at the time.",
        "",
    ]
    for part, write in (("times", times), ("rates", rates), ("new", new), ("confirm", confirm), ("flood", flood)):
        if part in results:
            lines += write(results[part])
    return wrapped("\n".join(lines).rstrip("\n") + "\n")


def ms(value: float) -> str:
    return f"{value / 1000:,.1f} s" if value >= 1000 else f"{value:,.0f} ms" if value >= 10 else f"{value:,.1f} ms"


def spread(figures: dict[str, float]) -> list[str]:
    return [ms(figures[name]) for name in ("p50_ms", "p99_ms", "max_ms")]


def aims(figures: dict[str, Any]) -> list[str]:
    """Each aim, and whether it was met."""
    found = []
    for what, name, aim in (("an issue", "issue", ISSUE_MS), ("a revocation", "revoke", REVOKE_MS)):
        is_met = figures["hub"][name]["p99_ms"] < aim
        found.append(f"p99 of {what} under {aim:g} ms: {'met' if is_met else '**not met**'}")
    return found


def times(part: dict[str, Any]) -> list[str]:
    figures = part["figures"]
    rows = [
        [f"{what}, {words}", figures[way]["tries"], *spread(figures[way][name])]
        for name, what in (("issue", "issue to admitted"), ("revoke", "revoke to closed"))
        for way, words in WAYS.items()
        if way in figures
    ]
    rows.insert(0, ["append to the hub alone", figures["hub"]["tries"], *spread(figures["hub"]["append"])])
    return [
        "## Until a token counts, and until it does not",
        "",
        f"On {figures['gates']} gates, each an nginx and an agent. **Issue to admitted**: from just before the token "
        "is sent until each gate has let a handshake with it in, which is tried again and again as soon as the sender "
        "has its answer. **Revoke to closed**: from just before the revocation is sent until the client sees that "
        "its session is gone on each gate. By Ansible it is from the start of `token_issue` and `token_revoke`, on the "
        "same gates, over local connections: by SSH it is longer. Of the tries by Ansible p99 is the slowest. "
        f"{told(part)}",
        "",
        *table(["", "tries", "p50", "p99", "slowest"], rows),
        f"Aims: {'; '.join(aims(figures))}.",
        "",
    ]


def rates(part: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"{one['asked_for']:,}",
            f"{one['a_second']:,}",
            f"{one['issued']:,}",
            f"{one['behind_s']:.1f} s",
            f"{one['done_after_s']:.1f} s" if one["is_done"] else f"not within {one['done_after_s']:.0f} s",
            f"{one['done_a_second']:,}",
            f"{one['agents_mib']:,.0f} MiB",
            f"{one['hub_mib']:,.0f} MiB",
        ]
        for one in part["figures"]
    ]
    return [
        "## Issues a second",
        "",
        "One application issues over one connection, up to 100 entries before it waits for the answers, and three "
        "agents follow. **Behind**: the greatest age of the newest token that the slowest of them had done, while "
        "there were newer ones. **Done**: when after the last issue all of them had written all files. "
        f"{told(part)}",
        "",
        *table(
            ["asked for", "taken", "issued", "behind", "done", "done a second", "largest agent", "hub's memory"], rows
        ),
    ]


def new(part: dict[str, Any]) -> list[str]:
    rows = [
        [
            f"{one['tokens']:,}",
            f"{one['lets_in_s']:.1f} s",
            f"{one['all_s']:.1f} s",
            f"{one['most_mib']:,.0f} MiB",
            f"{one['pss_mib']:,.0f} MiB",
            f"{one['hub_mib']:,.0f} MiB",
        ]
        for one in part["figures"]
    ]
    return [
        "## A new gate",
        "",
        "From the start of its agent, with an empty store, until the gate lets in (it has read everything and knows "
        "all revocations), and until all tokens are files in its store. Memory is the agent's proportional set size. "
        f"{told(part)}",
        "",
        *table(["tokens in the hub", "lets in", "has all", "memory at most", "afterwards", "hub's memory"], rows),
    ]


def confirm(part: dict[str, Any]) -> list[str]:
    rows = [
        [f"{one['gates']} gates: {what}", one["tries"], *spread(one[name]), f"{one['agents_mib']:,.0f} MiB"]
        for one in part["figures"]
        for name, what in (("gone", "the token is gone"), ("confirmed", "confirmed"))
        if name in one
    ]
    return [
        "## Confirmation",
        "",
        "From just before a revocation is sent until the token's file is gone on all gates, and until all of them have "
        "reported that, as `token_revoke` waits for it: it looks every 50 ms. The gates are agents without nginx. "
        f"{told(part)}",
        "",
        *table(["", "tries", "p50", "p99", "slowest", "memory of all agents"], rows),
    ]


def flood(part: dict[str, Any]) -> list[str]:
    figures = part["figures"]
    flooded = figures["flooded"]
    rows = [
        [f"{what}, {when}", figures[way]["tries"], *spread(figures[way][name])]
        for name, what in (("gone", "the token is gone on three gates"), ("confirmed", "three gates have confirmed"))
        for way, when in (("quiet", "before"), ("flooded", "under the flood"))
        if name in figures[way]
    ]
    return [
        "## An issuer that floods",
        "",
        f"A hub with {figures['memory_mib']} MiB, three agents, and an issuer that appends entries of up to 500 KB as "
        f"fast as it can: in {figures['seconds']:.0f} s the hub took {figures['entries']:,} of them with "
        f"{figures['mib']:,} MiB, and refused {figures['refused']:,}. It had {figures['used_mib']:g} MiB in use at "
        f"most, and {figures['resident_mib']:g} MiB as a process. All of {flooded['tries']} revocations got through; "
        f"{flooded['refused']} of them were refused for five seconds first, as the hub was full, and "
        f"{flooded['silent']} were done and not confirmed within a minute. "
        f"{told(part)}",
        "",
        *table(["a revocation", "tries", "p50", "p99", "slowest"], rows),
    ]
