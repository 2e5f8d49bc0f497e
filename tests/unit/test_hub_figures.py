# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the hub has the figures that were measured."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from bench import hub_report

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_hub_s_page_has_the_figures_of_the_last_measurement() -> None:
    results = json.loads((DOCS / hub_report.JSON).read_text())
    text = (DOCS / hub_report.PAGE).read_text()
    assert text == hub_report.page(results), "make bench NAME=hub ARGS='--report --write docs'"


def test_an_aim_of_the_hub_that_is_missed_is_told() -> None:
    figures = copy.deepcopy(json.loads((DOCS / hub_report.JSON).read_text())["times"]["figures"])
    figures["hub"]["issue"]["p99_ms"] = hub_report.ISSUE_MS
    figures["hub"]["revoke"]["p99_ms"] = hub_report.REVOKE_MS - 1
    assert hub_report.aims(figures) == [
        "p99 of an issue under 100 ms: **not met**", "p99 of a revocation under 250 ms: met"
    ]  # fmt: skip
