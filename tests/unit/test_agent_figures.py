# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages about the agent have the figures that were measured."""

from __future__ import annotations

import json
from pathlib import Path

from bench import agent_report

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_pages_have_the_figures_of_the_last_measurement() -> None:
    results = json.loads((DOCS / agent_report.JSON).read_text())
    assert (DOCS / agent_report.PAGE).read_text() == agent_report.page(results), "make bench NAME=agent ARGS=--draw"
    guide = (DOCS / agent_report.GUIDE).read_text()
    assert guide == agent_report.in_guide(results, guide), "make bench NAME=agent ARGS=--draw"


def test_an_aim_that_is_missed_is_told() -> None:
    results = json.loads((DOCS / agent_report.JSON).read_text())
    results["rest"]["figures"]["pss_mib"] = agent_report.PSS_MIB + 1
    assert ["memory at rest (PSS)", "40 MiB", "41 MiB", "**no**"] in agent_report.aims(results)
