# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order `make test` starts its jobs: the long ones first, by what earlier runs took."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker", reason="scripts/run.py asks the Docker Engine")

RUN = runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "run.py"))
Job: Any = RUN["Job"]
TARGETS = ["sanity", "functional", "lint"]
SCENARIOS = ["molecule:uninstall", "molecule:sessions", "molecule:default"]


def ordered(names: list[str], durations: dict[str, float]) -> list[str]:
    return [job.name for job in RUN["long_ones_first"]([Job(name) for name in names], durations)]


def test_a_fresh_checkout_starts_targets_as_they_are_named_and_scenarios_by_their_size() -> None:
    by_size = ["molecule:sessions", "molecule:default", "molecule:uninstall"]
    assert ordered([*SCENARIOS, *TARGETS], {}) == [*TARGETS, *by_size]


def test_jobs_that_were_timed_start_by_their_durations() -> None:
    durations = {"lint": 30.0, "molecule:default": 100.0, "molecule:sessions": 50.0}
    assert ordered(["molecule:sessions", "lint", "molecule:default"], durations) == [
        "molecule:default",
        "molecule:sessions",
        "lint",
    ]


def test_a_job_that_was_never_timed_starts_before_those_that_were() -> None:
    assert ordered(["molecule:sessions", "molecule:uninstall"], {"molecule:sessions": 900.0}) == [
        "molecule:uninstall",
        "molecule:sessions",
    ]
