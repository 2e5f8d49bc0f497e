# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench NAME=crowd` with few sessions: each part is measured, and nobody is lost who should not be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = 200


@pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")
def test_the_bench_of_a_crowd_measures_each_part_and_loses_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.crowd", "--sessions", str(SESSIONS), "--minutes", "4", "--no-picture"]
    done = subprocess.run(
        [*command, "--write", str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "crowd-figures.json").read_text())["crowd"]["figures"]
    assert found["sessions"] == SESSIONS
    assert (found["reload"]["open"], found["reload"]["lost"]) == (SESSIONS, 0)
    assert [one["sessions"] for one in found["revoke"]] == [1, 20, SESSIONS - 21]
    assert {one["others_closed"] for one in found["revoke"]} == {0}
    assert found["herd"]["a_second"] > 0
    drain = found["drain"]
    assert drain["sessions"] == SESSIONS and drain["echo"]["messages"] > 0
    assert {one["sessions"] for one in found["limits"].values()} == {SESSIONS // 10} and len(found["limits"]) == 3
    assert "## The herd comes back" in (tmp_path / "crowd-figures.md").read_text()


def test_a_machine_that_has_too_little_is_told_of(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.crowd", "--sessions", "900000000", "--write", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "900,000,000 sessions" in done.stderr and not list(tmp_path.iterdir())
