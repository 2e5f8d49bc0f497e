# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole inventory of docs/monitoring.md, as it stands there: each role's checks take it, and Prometheus is told of
every host in it. All hosts are this machine, which stays as it is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lib import guide, metrics, pki

ROOT = Path(__file__).resolve().parents[2]
HEADING = "All of it in one inventory"
PASSWORD = "sesame-of-the-scraper"
TOOL = metrics.prometheus_program("promtool")
CHECKS = {
    "wss_balancers": ["balancer"],
    "wss_hubs": ["token_hub", "monitoring/hub_preflight", "certificates"],
    "wss_proxies": ["nginx", "certificates", "htpasswd", "monitoring", "token_store", "wss_proxy"],
}
PLAY = """\
- hosts: {group}
  gather_facts: true
  gather_subset: ['!all', min, network]
  any_errors_fatal: true
  tasks:
    # The tests' machine need not run systemd.
    - ansible.builtin.set_fact: {{service_mgr: systemd, cacheable: true}}
"""
ROLE = "    - ansible.builtin.import_role: {{name: wssgate.nginx.{role}, tasks_from: {entry}}}\n"


def playbook() -> str:
    text = ""
    # Balancers and gates are told of each other's addresses.
    for group, roles in CHECKS.items():
        text += PLAY.format(group=group)
        for role, _, entry in (name.partition("/") for name in roles):
            text += ROLE.format(role=role, entry=entry or "preflight")
    return text


def block() -> str:
    page = guide.blocks(ROOT / "docs/monitoring.md")
    (found,) = [one for one in page if (one.heading, one.language) == (HEADING, "yaml")]
    assert found.name == "inventory.yml"
    return found.content


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yml").write_text(block())
    (tmp_path / "group_vars/all").mkdir(parents=True)
    own = {
        "vault_scrape_password": PASSWORD,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        # Where nothing of this machine's own is looked at.
        "nginx_directory": str(tmp_path / "etc"),
    }
    (tmp_path / "group_vars/all/vault.yml").write_text(yaml.safe_dump(own))
    # What the first of the page's two runs brings.
    (tmp_path / "authorities").mkdir()
    (tmp_path / "authorities/fleet.pem").write_bytes(pki.issue("authority", ca=True).pem)
    return tmp_path


def run(folder: Path, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.yml", name, *arguments],
        env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0"},
        cwd=folder, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


def test_each_role_takes_the_inventory(project: Path) -> None:
    (project / "play.yml").write_text(playbook())
    told = run(project, "play.yml")
    looked_at = dict(re.findall(r"^(\w+) +: ok=(\d+) +changed=0 ", told, re.MULTILINE))
    assert set(looked_at) == {"gate1", "gate2", "hub1", "front1"}


def test_prometheus_is_told_of_every_host_of_the_inventory(project: Path) -> None:
    run(project, "wssgate.nginx.scrape_config", "-e", f"file={project / 'scrape.yml'}")
    text = (project / "scrape.yml").read_text()
    found = {
        (job["job_name"], target)
        for job in yaml.safe_load(text)["scrape_configs"]
        for one in job["static_configs"]
        for target in one["targets"]
    }
    gates = [(name, f"192.0.2.2{number}:9443") for name in ("wssgate_agent", "wssgate_log") for number in (1, 2)]
    assert found == {*gates, ("wssgate_balancer", "192.0.2.11:9443"), ("wssgate_hub", "192.0.2.31:9443")}
    if TOOL is not None:
        (project / "password").write_text(PASSWORD)
        own = text.replace("/etc/prometheus/wssgate/ca.pem", str(project / "authorities/fleet.pem"))
        own = own.replace("/etc/prometheus/wssgate", str(project))
        (project / "prometheus.yml").write_text(own)
        command = [str(TOOL), "check", "config", str(project / "prometheus.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
