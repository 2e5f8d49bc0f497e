# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook check with a report: where it may be, what it has when hosts are away, and how it looks in a browser."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _check_page, _check_summary
from playwright.sync_api import Browser, sync_playwright

from lib import check_sample, report_page
from lib.local_gate import free_port

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "playbooks" / "files" / "check_wssgate.py"


class Fleet:
    """A gate that is this machine and where nobody listens, and a gate and a server of the hub that are away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory.json"
        port = free_port()
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        # Nobody listens there.
        away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port()}
        server = {
            "name": "wcs",
            "server_names": ["gate.example.com"],
            "certificate": "gate",
            "listen": [{"port": port, "address": "127.0.0.1"}],
            "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": "none"}],
        }
        variables = {
            "certificates_list": [
                {"name": "gate", "provider": "selfsigned", "subject_alt_names": ["DNS:gate.example.com"]}
            ],
            "certificates_directory": str(folder / "certificates"),
            "wss_proxy_servers": [server],
        }
        groups = {
            "wss_proxies": {"hosts": {"here": here, "away": away}, "vars": variables},
            "wss_hubs": {"hosts": {"hub": away}},
        }
        self.inventory.write_text(json.dumps(groups))

    def run(self, *command: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, "-i", str(self.inventory)],
            cwd=self.folder,
            env={
                **os.environ,
                "PWD": str(self.folder),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_INJECT_FACT_VARS": "false",
                "ANSIBLE_NOCOWS": "1",
                "ANSIBLE_FORCE_COLOR": "0",
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def check(self, *arguments: str, **variables: Any) -> tuple[int, str]:
        return self.run("ansible-playbook", "wssgate.nginx.check", *arguments, "-e", json.dumps(variables))

    def plugin(self, *arguments: str) -> tuple[int, str]:
        return self.run(sys.executable, str(PLUGIN), *arguments)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"output": "html"}, "output=html is a page, which goes to a file: name it with -e report=FILE"),
        ({"output": "json", "report": "none/check.json"}, "none is not there on the controller: make it first"),
        ({"output": "html", "report": "link.html"}, "link.html is a symlink, which is not followed"),
    ],
)
def test_a_report_that_cannot_be_is_refused_before_a_host_is_asked(
    fleet: Fleet, given: dict[str, str], words: str
) -> None:
    (fleet.folder / "target.html").write_text("mine")
    (fleet.folder / "link.html").symlink_to("target.html")
    status, output = fleet.check(**given)
    assert status != 0 and words in output, output[-2000:]
    assert "Look at the hub" not in output and (fleet.folder / "target.html").read_text() == "mine"


def test_hosts_that_are_away_are_in_the_report_and_end_nothing(fleet: Fleet) -> None:
    # The folder of the command counts, not the playbook's.
    status, output = fleet.check(output="json", report="check.json")
    assert status == 4 and "listed in" in output, output[-2000:]
    report = fleet.folder / "check.json"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["asked"] == {"gates": ["away", "here"], "balancers": [], "hubs": ["hub"]}
    problems = found["problems"] + found["hubs"]["problems"]
    levels = {entry["host"]: entry["level"] for entry in problems}
    assert levels == {"here": "critical", "away": "unknown", "hub": "unknown"}, problems
    assert found["status"] == "critical"
    (away,) = [entry for entry in found["problems"] if entry["host"] == "away"]
    assert away["problem"].startswith("it could not be asked: Failed to connect to the host via ssh:")


def test_the_plugin_reports_that_nobody_could_be_asked(fleet: Fleet) -> None:
    code, line = fleet.plugin("--limit", "away")
    assert code == 3 and line.startswith("WSSGATE UNKNOWN - away: it could not be asked: Failed to connect"), line
    assert "(1 unknown; 1 gate) | 'critical'=0;;;0 'unknown'=1;;;0" in line


def test_the_plugin_reports_why_there_is_no_result(fleet: Fleet) -> None:
    code, line = fleet.plugin("-e", "days=soon")
    assert code == 3 and line.startswith("WSSGATE UNKNOWN - the check came to no result: "), line
    assert "days is 'soon'" in line


# -- in a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "this test drives Debian's package chromium; install it"
    with sync_playwright() as playwright:
        # Its own sandbox does not start for root.
        browser = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.getuid() != 0, args=["--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("fleet", check_sample.fleet()),
        ("hostile", check_sample.hostile()),
        ("long", check_sample.hostile(check_sample.LONG)),
    ],
)
def test_the_page_is_read_on_a_phone_and_a_screen_by_day_and_by_night(
    chromium: Browser, tmp_path: Path, name: str, results: tuple[Any, Any, Any]
) -> None:
    path = tmp_path / "check.html"
    path.write_text(_check_page.page(_check_summary.summary(*results, check_sample.DAYS, check_sample.NOW)))
    report_page.look(chromium, path.as_uri(), name)
