# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check reports of a fleet with a hub and a balancer: for Nagios by each code, and as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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


def test_a_hub_that_does_not_answer_is_critical_until_it_does(host: Any, tmp_path: Path) -> None:
    host.check_output("systemctl stop wssgate-hub")
    try:
        code, line = plugin()
        assert code == 2 and line.startswith("WSSGATE CRITICAL - ") and f"; {FLEET}) | 'critical'=" in line, line
    finally:
        host.check_output("systemctl start wssgate-hub")
    report = tmp_path / "check.json"

    def asked() -> dict[str, Any]:
        run_playbook("wssgate.nginx.check", tmp_path, output="json", report=str(report))
        return json.loads(report.read_text(encoding="utf-8"))

    found: dict[str, Any] = {}

    def is_well() -> bool:
        found.update(asked())
        return bool(found["status"] == "ok")

    wait_for(is_well, 120)
    assert (found["exit_code"], found["asked"]) == (0, ASKED)
    assert list(found["balancers"]["hosts"]) == [FRONT] and found["hubs"]["problems"] == []
