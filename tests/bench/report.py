# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/performance.md with its pictures, and docs/sizing.md, from the stored results."""

from __future__ import annotations

from pathlib import Path

from lib.prose import wrapped

from . import report_aims, report_sizing, report_summary
from .drawing import draw
from .report_costs import controller, guards, instructions, refusing
from .report_sections import how, memory, reload, requests, traffic
from .report_sources import Sources, is_old, read
from .report_tables import Page, Results

PAGE, SIZING = "performance.md", "sizing.md"
NOTES = Path(__file__).with_name("notes.md")
SECTIONS = (traffic, instructions, memory, guards, refusing, requests, reload, controller)
HEAD = (
    "# Performance\n\nMade by `make bench`, from `performance.json` and the other benches' figures beside this page; "
    "the prose below the tables is about the run of November 2026. What is compared was measured in turns, within the "
    "same seconds; **ratio** is the median of the rounds' own ratios to a bare `proxy_pass` on the same nginx, with "
    "the least and the greatest in brackets. Ratios are what to trust: the absolute figures are those of a small "
    "virtual machine that others used at the same time."
)


def notes() -> dict[str, str]:
    """What is said below the tables, by section."""
    sections = (section.split("\n", 1) for section in NOTES.read_text().split("\n@@ ")[1:])
    return {name: text.strip() for name, text in sections}


def performance(sources: Sources, folder: Path) -> Page:
    """The page, and what its pictures show."""
    page, said = Page(sources.performance, folder), notes()
    page.add(HEAD)
    report_summary.section(page, sources)
    how(page)
    for section in SECTIONS:
        name = section.__name__
        section(page)
        if name in said:
            page.add(said[name])
        # What is said as long as the figures are from before a change.
        if f"{name} before" in said and is_old(sources.performance, name):
            page.add(said[f"{name} before"])
    report_aims.section(page, sources)
    page.add(said["sizing"])
    page.add(said["end"])
    return page


def texts(sources: Sources, folder: Path) -> dict[str, str]:
    """Each page's name and text; ``folder`` is where the other benches' pages are looked for."""
    return {PAGE: wrapped(performance(sources, folder).text()), SIZING: report_sizing.text(sources)}


def write(results: Results, folder: Path) -> list[Path]:
    """Write the pages and their pictures into a folder that has the other benches' results; return what was written.

    Raises ValueError where one of these is no JSON, and subprocess.CalledProcessError where a picture is not drawn.
    """
    sources = read(results, folder)
    pictures = performance(sources, folder).pictures
    for name, text in texts(sources, folder).items():
        (folder / name).write_text(text)
    (folder / "performance").mkdir(exist_ok=True)
    draw(pictures)
    return [folder / PAGE, folder / SIZING, *(Path(picture["path"]) for picture in pictures)]
