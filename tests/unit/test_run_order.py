# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How `make test` runs its jobs: the long ones first, by what earlier runs took, and once more alone what failed."""

from __future__ import annotations

import runpy
import sys
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


class Told:
    """Runs a job as Runner does; what it said."""

    def __init__(self, folder: Path, *outcomes: int) -> None:
        folder.mkdir(exist_ok=True)
        count = folder / "count"
        script = (
            "import pathlib, sys; count = pathlib.Path(sys.argv[1]);"
            "number = len(count.read_text()) if count.exists() else 0; count.write_text('x' * (number + 1));"
            "print(f'FAILED test_one, the run {number}'); sys.exit(int(sys.argv[2 + number]))"
        )

        class Scripted(Job):
            log = folder / "job.log"

            def command(self, is_second: bool = False) -> list[str]:
                return [sys.executable, "-c", script, str(count), *map(str, outcomes)]

        self.job = Scripted(f"job of {folder.name}")
        self.runner = RUN["Runner"](60)
        self.is_passed = self.runner.run(self.job)


def test_what_failed_runs_once_more_and_keeps_its_first_log(tmp_path: Path) -> None:
    told = Told(tmp_path / "one", 1, 0)
    assert not told.is_passed
    assert RUN["repeat"](told.runner, [told.job]) == [told.job]
    assert "the run 0" in told.job.first_log.read_text() and "the run 1" in told.job.log.read_text()


def test_what_fails_twice_has_failed(tmp_path: Path) -> None:
    told = Told(tmp_path / "one", 1, 1)
    assert RUN["repeat"](told.runner, [told.job]) == []
    assert (tmp_path / "one" / "count").read_text() == "xx"


def test_where_more_failed_nothing_runs_again(tmp_path: Path) -> None:
    told = [Told(tmp_path / str(number), 1, 0) for number in range(RUN["REPEATED_AT_MOST"] + 1)]
    assert RUN["repeat"](told[0].runner, [one.job for one in told]) == []
    assert {(tmp_path / str(number) / "count").read_text() for number in range(len(told))} == {"x"}


def test_of_tests_those_that_failed_run_again_and_of_the_rest_everything() -> None:
    assert Job("functional-gate").command(is_second=True)[-1].startswith("ARGS=--last-failed ")
    assert Job("roles").command(is_second=True)[-1].startswith("ARGS=--last-failed ")
    for name in ("sanity", "molecule:default"):
        assert Job(name).command(is_second=True) == Job(name).command()


def test_each_job_has_its_own_note_of_what_failed() -> None:
    caches = {Job(name).environment()["PYTEST_ADDOPTS"] for name in ("roles", "functional-gate", "functional-plays")}
    assert len(caches) == 3


def test_what_failed_is_read_off_a_log() -> None:
    log = """
FAILED tests/unit/test_one.py::test_a - AssertionError
        fatal: [gate]: FAILED! => {"msg": "no"}
FAILED tests/unit/test_one.py::test_a - AssertionError
that FAILED and was expected
make[1]: *** [Makefile:120: roles] Error 1
"""
    assert RUN["failures"](log) == [
        "FAILED tests/unit/test_one.py::test_a - AssertionError",
        'fatal: [gate]: FAILED! => {"msg": "no"}',
        "make[1]: *** [Makefile:120: roles] Error 1",
    ]
