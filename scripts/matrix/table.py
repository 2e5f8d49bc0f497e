# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as tables, on the screen and in docs/support.md, where rows of versions that did not run stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import plan

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
NOTE = "<!-- Written by `make matrix ARGS=--write`. Changes made between the markers are lost. -->"
LEFT_OUT = "Left out:"
# What was tried, and the checks; a column `ansible-core` says whose row it is.
CORES = (("ansible-core", "its Python", "run on"), ("unit tests", "sanity", "syntax"))
HOSTS = (("host", "nginx", "its Python", "ansible-core", "by"), ("site to drain",))
MODULES = (("Python of the host alone", "ansible-core"), ("unit tests of modules",))
TABLES = tuple((*tried, *checks) for tried, checks in (CORES, HOSTS, MODULES))
Row = tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One check: `row` names what was tried, `seconds` what it took."""

    row: Row
    check: str
    outcome: str
    seconds: float
    is_passed: bool = True

    @property
    def cell(self) -> str:
        return f"{self.outcome if self.is_passed else 'FAILED'}, {self.seconds:.0f} s"

    @property
    def columns(self) -> tuple[Row, Row]:
        return next(one for one in (CORES, HOSTS, MODULES) if self.check in one[1])


@dataclass
class Sheet:
    """What stands between the markers: rows by their table's heads, and what is left out, by ansible-core."""

    rows: dict[Row, list[Row]] = field(default_factory=lambda: {heads: [] for heads in TABLES})
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, results: Iterable[Result], left_out: Iterable[str]) -> Sheet:
        """A row for each that was tried, a cell for each check."""
        cells: dict[tuple[Row, Row], dict[str, str]] = {}
        for one in results:
            tried, checks = one.columns
            cells.setdefault(((*tried, *checks), one.row), dict.fromkeys(checks, ""))[one.check] = one.cell
        found = cls(left_out=list(left_out))
        for (heads, row), checked in cells.items():
            found.rows[heads].append((*row, *checked.values()))
        return found

    @classmethod
    def read(cls, content: str) -> Sheet:
        """What has been written before, also in a form of before: cells go by their columns' heads."""
        found = cls(left_out=[line[2:] for line in content.splitlines() if line.startswith("- ")])
        known = {heads[0]: heads for heads in TABLES}
        now: Row = ()
        for line in content.splitlines():
            cells = tuple(cell.strip() for cell in line.strip()[1:-1].split("|"))
            if not line.startswith("|"):
                now = ()
            elif not now:
                now = cells
            elif now[0] in known and not line.startswith("|---"):
                row = dict(zip(now, cells, strict=False))
                heads = known[now[0]]
                found.rows[heads].append(tuple(row.get(head, "") for head in heads))
        return found

    def replace(self, other: Sheet, names: Collection[str]) -> Sheet:
        """Rows of these versions come from another one, and those of versions that the plan has no longer go."""
        kept = [core.name for core in plan.CORES if core.name not in names]

        def both(mine: list, others: list, version: int | None) -> list:
            def core(one: Row | str) -> str:
                return plan.core_of(one.split()[1].rstrip(":,") if version is None else one[version])

            found = [one for one in mine if core(one) in kept] + [one for one in others if core(one) in names]
            order = [one.name for one in plan.CORES]
            return sorted(found, key=lambda one: order.index(core(one)))

        rows = {heads: both(self.rows[heads], other.rows[heads], heads.index("ansible-core")) for heads in TABLES}
        return Sheet(rows, both(self.left_out, other.left_out, None))

    @property
    def text(self) -> str:
        parts = []
        for heads, rows in self.rows.items():
            if rows:
                lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
                parts.append("\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]]))
        if self.left_out:
            parts.append("\n".join([LEFT_OUT, "", *(f"- {one}" for one in self.left_out)]))
        return "\n\n".join(parts)


def parts_of(path: Path) -> tuple[str, str, str]:
    """What a file has before, between and after the markers."""
    before, _begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    content, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has no markers {BEGIN} and {END}")
    return before, content, after


def write(path: Path, sheet: Sheet, names: Collection[str]) -> None:
    """Put these versions' rows between the markers of a file."""
    before, content, after = parts_of(path)
    text = Sheet.read(content).replace(sheet, names).text
    path.write_text(f"{before}{BEGIN}\n{NOTE}\n\n{text}\n\n{END}{after}", encoding="utf-8")
