# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sections of docs/performance.md share: the order of contenders, numbers, ratios, tables and pictures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Results = dict[str, Any]
ORDER = [
    "direct",
    "bare",
    "bare_tls",
    "bare_sized",
    "bare_smallest",
    "recipe",
    "gate",
    "gate_newest",
    "haproxy",
    "caddy",
    "traefik",
    "envoy",
]
# Measured in one part only, to tell what the gate's figure is made of.
YARDSTICKS = ("bare_sized", "bare_smallest")


def median(values: list[float]) -> float:
    return statistics.median(values)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def thousands(value: float) -> str:
    return f"{value / 1000:,.1f}"


def row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: list[str], rows: list[list[Any]]) -> str:
    return "\n".join([row(*head), row("---", *["---:"] * (len(head) - 1)), *(row(*cells) for cells in rows)]) + "\n"


def shares(mine: list[float], others: list[float]) -> list[float]:
    """The quotient of each round."""
    return [a / b for a, b in zip(mine, others, strict=True)]


def ratios(mine: list[float], others: list[float]) -> str:
    """The median of the rounds' own, with the least and the greatest."""
    each = shares(mine, others)
    return f"{median(each):.2f} ({min(each):.2f}–{max(each):.2f})"


def listed(items: list[str]) -> str:
    """The items, as a sentence has them."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def present(figures: dict[str, Any]) -> list[str]:
    return [name for name in ORDER if name in figures]


def with_ratio(figures: dict[str, dict[str, list[float]]], name: str, key: str, to: str = "bare") -> tuple[str, str]:
    """The median, and the median of the rounds' own ratios to bare nginx."""
    value = number(median(figures[name][key]))
    if to not in figures:
        return value, ""
    return value, "1" if name == to else ratios(figures[name][key], figures[to][key])


@dataclass(frozen=True)
class Aim:
    """What is aimed at, and what was found: ``value`` is at most ``limit``, or None where nothing was measured."""

    what: str
    where: str
    asked: str
    limit: float
    value: float | None = None
    unit: str = ""
    # Where two would hide whether it is reached.
    digits: int = 3

    @property
    def is_reached(self) -> bool | None:
        """None where nothing was measured."""
        return None if self.value is None else self.value <= self.limit

    @property
    def cells(self) -> tuple[str, str]:
        """What was found and whether that is reached, in bold where it is not."""
        if self.value is None:
            return "not measured", ""
        seen = f"{self.value:.{self.digits}f}{self.unit}"
        return (seen, "yes") if self.is_reached else (f"**{seen}**", "**no**")

    @property
    def excess(self) -> str:
        """By how much it is missed; nothing where it is reached, or the limit is nothing."""
        if self.value is None or self.value <= self.limit or not self.limit:
            return ""
        if self.unit:
            return f"{self.value - self.limit:.1f}{self.unit} too much"
        return f"{self.value / self.limit - 1:.1%} too much".replace("%", " %")


class Page:
    """The page as it grows: its parts, and the pictures that belong to them."""

    def __init__(self, results: Results, folder: Path) -> None:
        self.results, self.folder = results, folder
        self.titles = {name: facts["title"] for name, facts in results["contenders"].items()}
        self.pictures: list[dict[str, Any]] = []
        self.parts: list[str] = []

    def add(self, text: str) -> None:
        self.parts.append(text.rstrip() + "\n")

    def figures(self, part: str) -> Any:
        """What was measured of a part; None where it was not."""
        return self.results.get(part, {}).get("figures")

    def picture(
        self, name: str, title: str, unit: str, kind: str, labels: list[Any], series: dict[str, list[float]]
    ) -> None:
        path = self.folder / "performance" / f"{name}.svg"
        self.pictures.append(
            {"path": str(path), "title": title, "unit": unit, "kind": kind, "labels": labels, "series": series}
        )
        self.add(f"![{title}](performance/{name}.svg)")

    def text(self) -> str:
        return "\n".join(self.parts)
