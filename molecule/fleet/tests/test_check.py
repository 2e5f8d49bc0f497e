# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check reports of a fleet with a hub and a balancer: for Nagios by each code, as JSON, as a page."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib.molecule.modules import run_playbook
from lib.processes import wait_for

HUB, FRONT = "wssgate-fleet-hub", "wssgate-fleet-front"
GATES = ("wssgate-fleet-gate1", "wssgate-fleet-gate2")
testinfra_hosts = [f"docker://{HUB}"]
PLUGIN = Path(__file__).resolve().parents[3] / "playbooks/files/check_wssgate.py"
FLEET = "2 gates, 1 balancer, 1 server of the hub"
ASKED = {"gates": sorted(GATES), "balancers": [FRONT], "hubs": [HUB]}


def plugin(*arguments: str) -> tuple[int, str]:
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    done = subprocess.run(
        [sys.executable, str(PLUGIN), "-i", inventory, *arguments], capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, done.stdout


@contextlib.contextmanager
def hub_away(host: Any) -> Iterator[None]:
    host.check_output("systemctl stop wssgate-hub")
    try:
        yield
    finally:
        host.check_output("systemctl start wssgate-hub")
        wait_for(lambda: plugin()[0] == 0, 120)


def test_a_fleet_that_is_well_is_ok_and_what_ends_soon_is_a_warning(host: Any) -> None:
    code, line = plugin()
    assert (code, line.partition(" | ")[0]) == (0, f"WSSGATE OK - {FLEET}: nothing will break within 14 days"), line
    assert re.search(rf"'sessions {FRONT}'=\d+;;;0;2000\b", line) and re.search(rf"'memory {HUB}'=\d+B;;;0;\d+", line)
    code, line = plugin("-e", "days=100")
    assert code == 1 and line.startswith(f"WSSGATE WARNING - {GATES[0]}, server wss: certificate "), line
    assert f"warnings; {FLEET}) | 'critical'=0;;;0 'unknown'=0;;;0 'warning'=" in line


def test_a_host_that_is_away_is_unknown(tmp_path: Path) -> None:
    away = tmp_path / "away.json"
    away.write_text(json.dumps({"all": {"hosts": {GATES[1]: {"ansible_host": "wssgate-no-such-container"}}}}))
    code, line = plugin("-i", str(away))
    assert code == 3 and line.startswith(f"WSSGATE UNKNOWN - {GATES[1]}: it could not be asked: "), line
    assert f"(1 unknown; {FLEET}) | 'critical'=0;;;0 'unknown'=1;;;0 'warning'=0;;;0" in line


def test_a_hub_that_does_not_answer_is_critical_and_the_json_has_all_hosts(host: Any, tmp_path: Path) -> None:
    report = tmp_path / "check.json"
    with hub_away(host):
        code, line = plugin()
        assert code == 2 and line.startswith("WSSGATE CRITICAL - ") and f"; {FLEET}) | 'critical'=" in line, line
        run = run_playbook("wssgate.nginx.check", tmp_path, output="json", report=str(report))
        assert run.returncode == 2
    found = json.loads(report.read_text(encoding="utf-8"))
    assert (found["status"], found["exit_code"], found["asked"]) == ("critical", 2, ASKED)
    assert [problem["host"] for problem in found["hubs"]["problems"]] == [HUB]
    assert list(found["balancers"]["hosts"]) == [FRONT] and found["balancers"]["problems"] == []


def test_the_page_has_all_hosts(host: Any, tmp_path: Path) -> None:
    report = tmp_path / "check.html"
    run = run_playbook("wssgate.nginx.check", tmp_path, output="html", report=str(report))
    assert run.returncode == 0, run.text[-3000:]
    text = html.unescape(re.sub(r"<[^>]*>", " ", report.read_text(encoding="utf-8")))
    assert [name for name in (*GATES, FRONT, HUB) if name not in text] == []
