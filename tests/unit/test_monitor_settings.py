# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the settings of a monitor is told in a sentence before anything changes."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _role_variables

ROLE = Path(__file__).resolve().parents[2] / "roles" / "monitoring"
GATE = {"gate1": {"monitoring_enabled": True}}


def loaded(name: str) -> t.Dict[str, t.Any]:
    return yaml.safe_load((ROLE / name / "main.yml").read_text(encoding="utf-8"))


def trusted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return _role_variables.trust_as_template(value) if isinstance(value, str) else value


def problems(hosts: t.Optional[t.Dict[str, t.Any]] = None, **given: t.Any) -> t.List[str]:
    hosts = GATE if hosts is None else hosts
    variables = {
        **trusted(loaded("defaults")),
        **trusted(loaded("vars")),
        "ansible_facts": {"os_family": "Debian", "service_mgr": "systemd"},
        "inventory_hostname": "monitor1",
        "groups": {"wss_proxies": list(hosts)},
        "hostvars": hosts,
        **given,
    }
    rules = Templar(loader=DataLoader(), variables=variables).template(variables["__monitoring_monitor_rules"])
    return [rule["words"] for rule in rules if rule["is_broken"]]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"monitoring_scrape_username": "prometheus", "monitoring_scrape_password": "secret"},
        {"monitoring_scrape_certificate_source": "/a.pem", "monitoring_scrape_key_source": "/a.key"},
        {"monitoring_prometheus_listen": "[::1]:9090", "monitoring_prometheus_retention": "2y"},
        {"monitoring_scrape_interval": "5"},
        {"monitoring_prometheus_listen": "255.249.199.0:65535", "monitoring_alertmanager_listen": "localhost:1"},
        {"monitoring_prometheus_retention": "99999d"},
    ],
)
def test_what_can_be_set(given: t.Dict[str, t.Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ansible_facts": {"os_family": "RedHat", "service_mgr": "systemd"}}, "monitor1 is another system"),
        ({"ansible_facts": {"os_family": "Debian", "service_mgr": "runit"}}, "monitor1 is another system"),
        ({"monitoring_scrape_interval": 4}, "monitoring_scrape_interval is 4"),
        ({"monitoring_prometheus_retention": "30"}, "monitoring_prometheus_retention is 30:"),
        ({"monitoring_prometheus_retention": "30d --web.enable-lifecycle"}, "it has to be a number and h, d, w or y"),
        ({"monitoring_prometheus_retention": "30d\n"}, "monitoring_prometheus_retention is 30d"),
        ({"monitoring_alertmanager_listen": "127.0.0.1:9093\n"}, "monitoring_alertmanager_listen is 127.0.0.1:9093"),
        ({"monitoring_prometheus_retention": "0d"}, "monitoring_prometheus_retention is 0d"),
        ({"monitoring_prometheus_retention": "293y"}, "monitoring_prometheus_retention is 293y"),
        ({"monitoring_prometheus_listen": "127.0.0.1:65536"}, "monitoring_prometheus_listen is 127.0.0.1:65536"),
        ({"monitoring_prometheus_listen": "127.0.0.256:1"}, "monitoring_prometheus_listen is 127.0.0.256:1"),
        ({"monitoring_alertmanager_listen": "127.0.0.1:99999"}, "monitoring_alertmanager_listen is 127.0.0.1:99999"),
        ({"monitoring_prometheus_listen": ":9090"}, "monitoring_prometheus_listen is :9090"),
        ({"monitoring_prometheus_listen": "127.0.0.1"}, "monitoring_prometheus_listen is 127.0.0.1:"),
        ({"monitoring_prometheus_listen": "127.0.0.1:9090 --a"}, "monitoring_prometheus_listen is 127.0.0.1:9090 --a"),
        ({"monitoring_alertmanager_listen": "127.0.0.1:x"}, "monitoring_alertmanager_listen is 127.0.0.1:x"),
        ({"monitoring_alertmanager_listen": "127.0.0.1:9090"}, "are both 127.0.0.1:9090"),
        ({"monitoring_scrape_username": "a"}, "monitoring_scrape_username and monitoring_scrape_password go together"),
        ({"monitoring_scrape_password": "sesame"}, "go together, and one of them is empty"),
        ({"monitoring_scrape_key_source": "/a.key"}, "monitoring_scrape_certificate_source and monitoring_scrape_key"),
        ({"hosts": {}}, "No host of the inventory serves metrics"),
        ({"hosts": {"gate1": {}}}, "No host of the inventory serves metrics"),
    ],
)
def test_what_cannot_be_set_is_told(given: t.Dict[str, t.Any], words: str) -> None:
    (problem,) = problems(**given)
    assert words in problem
    assert "sesame" not in problem
