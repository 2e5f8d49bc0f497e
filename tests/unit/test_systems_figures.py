# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the gate on each Debian has the figures that were measured."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from bench import systems_report

DOCS = Path(__file__).resolve().parents[2] / "docs"
RESULTS = json.loads((DOCS / systems_report.JSON).read_text())


def test_the_page_has_the_figures_of_the_last_measurement() -> None:
    text = (DOCS / systems_report.PAGE).read_text()
    assert text == systems_report.page(RESULTS), "make bench NAME=systems ARGS=--report"


def test_an_aim_that_is_missed_is_in_bold_and_one_that_is_reached_is_not() -> None:
    results = copy.deepcopy(RESULTS)
    memory = results["memory"]["figures"]
    most = max(systems_report.steps(memory))
    for release, share in (("12", 0.80), ("13", 0.81)):
        for name, kib in (("bare", 100), ("mixed", 100 * share)):
            memory[f"{release} {name}"] |= {"0": 0, str(most): kib * most}
    rows = {row[1]: row for row in systems_report.aims(results) if row[0].endswith("gate to bare")}
    assert rows["Debian 12"][3:] == ["0.800", "yes"]
    assert rows["Debian 13"][3:] == ["**0.810**", "**no**"]
