# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench NAME=agent` with small numbers: it measures everything, and what it measures is right.

Figures of a machine that is busy with other tests say nothing about time. That nothing ends that should not, and
everything that should, holds on any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")
def test_the_bench_of_the_agent_measures_each_part_and_ends_what_it_should(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.agent", "--scale", "0.002", "--hosts", "local", "--no-picture"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "agent-figures.json").read_text())
    ends, expiry = (found[part]["figures"]["local"] for part in ("ends", "expiry"))
    assert all(0 < ends[way]["p50_ms"] <= ends[way]["max_ms"] for way in ("rm", "module", "ss", "rm at once"))
    assert expiry["handshakes"] > expiry["got_in"] > 0
    assert (expiry["closed_early"], expiry["never_closed"], expiry["still_open"]) == (0, 0, 0)
    crowd = found["crowd"]["figures"]
    assert (crowd["one_by_one"]["closed_wrongly"], crowd["one_by_one"]["never_closed"]) == (0, 0)
    for way in ("by_subject", "by_removal"):
        assert crowd[way]["ended"] > 0 and crowd[way]["others_closed"] == 0
        assert crowd[way]["others_meanwhile"]["sent"] > 0
    rest = found["rest"]["figures"]
    assert rest["pss_mib"] > 0 and rest["handshakes"]["failed"] == 0 and rest["handshakes"]["cpu_us_a_session"] > 0
    assert [one["tokens"] for one in found["growth"]["figures"]] == [20, 20, 200, 2000]
    text = (tmp_path / "agent-figures.md").read_text()
    assert all(heading in text for heading in ("| memory at rest (PSS) | 40 MiB |", "## Growth", "revoked by subject"))
