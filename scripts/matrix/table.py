# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as tables, on the screen and in docs/support.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
NOTE = "<!-- Written by `make matrix ARGS=--write`. Changes made between the markers are lost. -->"


@dataclass(frozen=True)
class Result:
    """One check: `row` names what was tried, `seconds` what it took."""

    row: tuple[str, ...]
    check: str
    outcome: str
    seconds: float
    is_passed: bool = True

    @property
    def cell(self) -> str:
        return f"{self.outcome if self.is_passed else 'FAILED'}, {self.seconds:.0f} s"


def table(heads: tuple[str, ...], checks: tuple[str, ...], results: list[Result]) -> list[str]:
    """A row for each that was tried, a column for each check."""
    lines = ["| " + " | ".join([*heads, *checks]) + " |", "|---" * (len(heads) + len(checks)) + "|"]
    for row in dict.fromkeys(result.row for result in results):
        cells = {result.check: result.cell for result in results if result.row == row}
        lines.append("| " + " | ".join([*row, *(cells.get(check, "") for check in checks)]) + " |")
    return lines


def text(cores: list[Result], hosts: list[Result], modules: list[Result], left_out: list[str]) -> str:
    """What stands between the markers."""
    steps = ("site to drain",)
    lines = [
        *table(("ansible-core", "its Python"), ("unit tests", "sanity", "syntax"), cores),
        "",
        *table(("host", "nginx", "its Python", "ansible-core", "by"), steps, hosts),
    ]
    if modules:
        lines += ["", *table(("Python of the host alone", "ansible-core"), ("unit tests of modules",), modules)]
    if left_out:
        lines += ["", "Left out:", "", *(f"- {one}" for one in left_out)]
    return "\n".join(lines)


def write(path: Path, content: str) -> None:
    """Put it between the markers of a file."""
    before, _begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path} has no markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{NOTE}\n\n{content}\n\n{END}{after}", encoding="utf-8")
