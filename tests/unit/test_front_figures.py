# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the front has what was measured, and tells what was not."""

from __future__ import annotations

from typing import Any

import pytest

from bench import front, front_report


def results(**part: Any) -> dict[str, Any]:
    drained = {
        "what": "a gate is drained by playbook `drain`", "sessions": 500, "took_s": 31.2, "cut": 0, "cuts": 0,
        "cuts_in_a_second": 0, "silent": 0, "longest_away_s": None, "half_back_s": None, "all_back_s": None,
        "attempts_failed": 0, "newcomers": 300, "newcomers_failed": 0, "are_all_back": True,
    }  # fmt: skip
    killed = {
        **drained, "what": "HAProxy is killed", "cut": 480, "cuts": 480, "cuts_in_a_second": 480, "silent": 3,
        "longest_away_s": 2.5, "half_back_s": 1.5, "all_back_s": 2.9, "newcomers_failed": 14, "are_all_back": False,
    }  # fmt: skip
    facts = {"date": "2026-11-30", "load_before": 1.5, "seconds": 600, "scale": 1, "is_whole": True}
    machine = {"cpu": "a processor", "cores": 2, "system": "Debian", "kernel": "6"}
    return {"front": {"figures": [drained, killed], **facts, **part}, "machine": machine}


def test_the_page_has_a_row_for_each_thing_that_happened() -> None:
    page = front_report.page(results())
    assert "| a gate is drained by playbook `drain` | 500 | 0 | 0 | - | - | - | 0 | 0 of 300 | all |" in page
    assert "| HAProxy is killed | 500 | 480 | 480 | 1.5 s | 2.9 s | 2.5 s | 0 | 14 of 300 | **not all** |" in page
    assert "2026-11-30, load 1.5 before it began" in page and "drain 31 s" in page and "not measured" not in page


def test_what_was_not_measured_is_told() -> None:
    assert "**not measured**" in front_report.page(results(is_whole=False))


@pytest.mark.parametrize(
    ("moments", "most"), [([], 0), ([5.0], 1), ([3.0, 0.0, 0.9, 1.8, 1.9], 3), ([0.0, 1.0], 2), ([0.0, 1.1], 1)]
)
def test_as_many_cuts_are_told_as_lie_within_a_second(moments: list[float], most: int) -> None:
    assert front.most_in_a_second(moments) == most
