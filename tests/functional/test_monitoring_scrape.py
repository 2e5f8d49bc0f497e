# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed for somebody's own Prometheus, and what a monitor gets, is what Prometheus and Alertmanager take."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import metrics, pki
from lib.monitor import PLAY_OF_ROLE

TOOL = metrics.prometheus_program("promtool")
AMTOOL = metrics.prometheus_program("amtool")
pytestmark = pytest.mark.skipif(TOOL is None, reason="make functional fetches promtool (WSSGATE_PROMETHEUS)")

ROOT = Path(__file__).resolve().parents[2]
SECRET = "sesame-of-the-scraper"
FOLDER = "/etc/prometheus/wssgate"
INVENTORY = {
    "all": {
        "vars": {
            "monitoring_scrape_username": "prometheus",
            "monitoring_scrape_password": SECRET,
            "monitoring_scrape_ca_source": "/srv/ca.pem",
            "monitoring_scrape_certificate_source": "/srv/client.pem",
            "monitoring_scrape_key_source": "/srv/client.key",
        }
    },
    "wss_proxies": {
        "hosts": {
            "gate1": {"ansible_host": "192.0.2.21", "monitoring_enabled": True},
            "gate2": {
                "ansible_host": "2001:db8::22",
                "monitoring_enabled": True,
                "monitoring_listen": [{"port": 9500}],
            },
            "gate3": {},
        }
    },
    "wss_hubs": {"hosts": {"hub1": {"monitoring_scrape_exporter_port": 9121}}},
}
# The whole file of a monitor, by the role's own template and variables.
RENDER = (
    PLAY_OF_ROLE
    + f"""\
    - name: Render them
      ansible.builtin.copy:
        content: "{{{{ lookup('ansible.builtin.template', '{ROOT}/roles/monitoring/templates/prometheus.yml.j2',
          template_vars={{'ansible_managed': __monitoring_managed}}) }}}}"
        dest: "{{{{ playbook_dir }}}}/whole.yml"
        mode: '0644'
    - name: Render what Alertmanager has without settings
      ansible.builtin.copy:
        content: "{{{{ __monitoring_alertmanager_default }}}}"
        dest: "{{{{ playbook_dir }}}}/alertmanager.yml"
        mode: '0644'
"""
)


def play(folder: Path, playbook: Path, inventory: dict[str, Any], *arguments: str) -> str:
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    command = ["ansible-playbook", "-i", str(folder / "inventory.yml"), str(playbook), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{result.returncode}\n{result.stdout}{result.stderr}"


def expected() -> list[dict[str, Any]]:
    gates = [("192.0.2.21:9443", "gate1"), ("[2001:db8::22]:9500", "gate2")]
    jobs = [("wssgate_log", "/metrics/log", gates), ("wssgate_agent", "/metrics/agent", gates)]
    jobs.append(("wssgate_hub", "/metrics", [("hub1:9121", "hub1")]))
    return [
        {
            "job_name": name,
            "scheme": "https",
            "metrics_path": path,
            "scrape_interval": "15s",
            "follow_redirects": False,
            "body_size_limit": "16MB",
            "sample_limit": 50000,
            "tls_config": {
                "ca_file": f"{FOLDER}/ca.pem",
                "cert_file": f"{FOLDER}/client.pem",
                "key_file": f"{FOLDER}/client.key",
            },
            "basic_auth": {"username": "prometheus", "password_file": f"{FOLDER}/password"},
            "static_configs": [{"targets": [target], "labels": {"instance": host}} for target, host in targets],
        }
        for name, path, targets in jobs
    ]


def test_what_is_written_for_ones_own_prometheus_has_all_hosts_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "scrape.yml"
    printed = play(tmp_path, ROOT / "playbooks/scrape_config.yml", INVENTORY, "--diff", "-e", f"file={file}")
    assert printed.startswith("0\n"), printed
    assert yaml.safe_load(file.read_text()) == {"scrape_configs": expected()}
    assert SECRET not in printed + file.read_text()


def test_an_inventory_without_metrics_is_told_what_is_missing(tmp_path: Path) -> None:
    printed = play(tmp_path, ROOT / "playbooks/scrape_config.yml", {"wss_proxies": {"hosts": {"gate1": {}}}})
    assert not printed.startswith("0\n")
    assert "No host of the inventory serves metrics: set monitoring_enabled for the gates." in printed


def test_prometheus_and_alertmanager_take_what_a_monitor_gets(tmp_path: Path) -> None:
    playbook = tmp_path / "render.yml"
    playbook.write_text(RENDER, encoding="utf-8")
    printed = play(tmp_path, playbook, INVENTORY)
    assert printed.startswith("0\n"), printed
    text = (tmp_path / "whole.yml").read_text()
    settings = yaml.safe_load(text)
    assert settings["scrape_configs"] == expected()
    assert settings["rule_files"] == [f"{FOLDER}/rules/*.yml"]
    assert settings["alerting"] == {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]}

    # Its files, where this machine may have some.
    own = tmp_path / "etc"
    (own / "rules").mkdir(parents=True)
    client = pki.issue("prometheus")
    files = {"ca.pem": client.pem, "client.pem": client.pem, "client.key": client.key_pem, "password": b"x"}
    for name, content in files.items():
        (own / name).write_bytes(content)
    for path in (ROOT / "roles/monitoring/files/rules").glob("*.yml"):
        (own / "rules" / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (own / "prometheus.yml").write_text(text.replace(FOLDER, str(own)), encoding="utf-8")
    command = [str(TOOL), "check", "config", str(own / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 rule files found" in result.stdout + result.stderr

    command = [str(AMTOOL), "check-config", str(tmp_path / "alertmanager.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
