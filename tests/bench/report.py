# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/performance.md and its pictures from the results."""

from __future__ import annotations

from pathlib import Path

from lib.prose import wrapped

from .drawing import draw
from .report_costs import controller, guards, instructions, refusing
from .report_sections import how, memory, reload, requests, traffic
from .report_sizing import sizing
from .report_tables import Page, Results

NOTES = Path(__file__).with_name("notes.md")
SECTIONS = (traffic, instructions, memory, guards, refusing, requests, reload, controller)
HEAD = (
    "# Performance\n\nMade by `make bench`, from `performance.json` beside this page; the prose below the tables is "
    "about the run of November 2026. What is compared was measured in turns, within the same seconds; **ratio** is the "
    "median of the rounds' own ratios to a bare `proxy_pass` on the same nginx, with the least and the greatest in "
    "brackets. Ratios are what to trust: the absolute figures are those of a small virtual machine that others used "
    "at the same time."
)


def notes() -> dict[str, str]:
    """What is said below the tables, by section."""
    sections = (section.split("\n", 1) for section in NOTES.read_text().split("\n@@ ")[1:])
    return {name: text.strip() for name, text in sections}


def performance(results: Results, folder: Path) -> Page:
    """The page, and what its pictures show."""
    page, said = Page(results, folder), notes()
    page.add(HEAD)
    how(page)
    for section in SECTIONS:
        section(page)
        if section.__name__ in said:
            page.add(said[section.__name__])
    page.add(said["sizing"])
    sizing(page)
    page.add(said["end"])
    return page


def write(results: Results, folder: Path) -> list[Path]:
    """Write the page and its pictures into a folder; return what was written."""
    page = performance(results, folder)
    path = folder / "performance.md"
    path.write_text(wrapped(page.text()))
    (folder / "performance").mkdir(exist_ok=True)
    draw(page.pictures)
    return [path, *(Path(picture["path"]) for picture in page.pictures)]
