# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/front-figures.md from docs/front-figures.json."""

from __future__ import annotations

from typing import Any

from lib.prose import wrapped

from .agent_report import table, told

JSON, PAGE = "front-figures.json", "front-figures.md"
PLAYBOOKS = ("drain", "undrain", "site", "roll")
# Sessions that `roll` ends a second
RATE = 50


def page(results: dict[str, Any]) -> str:
    about, part = results["machine"], results["front"]

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    rows = [
        [
            one["what"], one["sessions"], one["cut"], one["cuts_in_a_second"], seconds(one["half_back_s"]),
            seconds(one["all_back_s"]), seconds(one["longest_away_s"]), one["attempts_failed"],
            f"{one['newcomers_failed']} of {one['newcomers']}",
            "all" if one["are_all_back"] else "**not all**",
        ]
        for one in part["figures"]
    ]  # fmt: skip
    lines = [
        "# The front: figures",
        "",
        "Made by `make bench NAME=front`; do not edit.",
        "",
        f"{about['cpu']}, {about['cores']} cores, {about['system']}, Linux {about['kernel']}: three gates and two "
        "balancers of Debian 12 in containers, and all clients, share them. Each session echoes twice a second; one "
        "that is cut connects again at once. One that has heard nothing for three seconds counts as cut. Besides "
        f"somebody new comes ten times a second. {told(part)}",
        "",
        *table(
            [
                "what happens", "sessions", "cut", "cut within a second", "half are back after", "all after",
                "longest away", "attempts that failed", "newcomers that failed", "back",
            ],
            rows,
        ),
        f"Times are from the beginning of what happens. The runs of playbooks took {took(part['figures'])}. `roll` "
        f"drains each gate, ends {RATE} of its sessions a second, as it was told to, restarts nginx and goes on when "
        "the balancers send the gate new sessions again. A session that went to a gate whose turn came later is cut "
        "there once more, and counts once under *cut*. "
        f"{sum(one['silent'] for one in part['figures'])} of all cuts were three seconds of silence, without an end of "
        "the connection.",
        "",
    ]  # fmt: skip
    if not part["is_whole"]:
        lines += ["The rest was **not measured**: it failed, or the time was over.", ""]
    return wrapped("\n".join(lines))


def took(figures: list[dict[str, Any]]) -> str:
    runs = [f"{word} {one['took_s']:.0f} s" for one in figures for word in PLAYBOOKS if f"`{word}`" in one["what"]]
    return ", ".join(runs)
