# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus scrapes follows from the variables of the hosts."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _scrape


def found(*gates: t.Tuple[str, t.Dict[str, t.Any]], **others: t.Any) -> t.Dict[str, t.List[str]]:
    """Targets by the names of their jobs."""
    return {
        job["name"]: [f"{target['instance']}={target['address']}" for target in job["targets"]]
        for job in _scrape.jobs(gates, others)
    }


def test_a_gate_has_its_log_and_its_agent() -> None:
    assert found(("gate1", {"monitoring_enabled": True})) == {
        "wssgate_log": ["gate1=gate1:9443"],
        "wssgate_agent": ["gate1=gate1:9443"],
    }


def test_one_without_metrics_is_left_out() -> None:
    gates = ("gate1", {}), ("gate2", {"monitoring_enabled": "false", "monitoring_node_exporter_enabled": True})
    assert found(*gates) == {}
    assert found(*gates, ("gate3", {"monitoring_enabled": "yes"}))["wssgate_log"] == ["gate3=gate3:9443"]


def test_exporters_are_scraped_where_they_are() -> None:
    node = {"monitoring_enabled": True, "monitoring_node_exporter_enabled": "true"}
    nginx = {"monitoring_enabled": True, "monitoring_nginx_exporter_enabled": True}
    jobs = found(("gate1", node), ("gate2", nginx))
    assert jobs["wssgate_node"] == ["gate1=gate1:9443"]
    assert jobs["wssgate_nginx"] == ["gate2=gate2:9443"]
    assert jobs["wssgate_agent"] == ["gate1=gate1:9443", "gate2=gate2:9443"]


def test_paths_are_those_of_the_sources() -> None:
    given = {"monitoring_enabled": True, "monitoring_nginx_exporter_enabled": True}
    hub = ("hub1", {"monitoring_scrape_exporter_port": "9121"})
    paths = {job["name"]: job["path"] for job in _scrape.jobs([("gate1", given)], {"wss_hubs": [hub]})}
    assert paths == {
        "wssgate_log": "/metrics/log",
        "wssgate_agent": "/metrics/agent",
        "wssgate_nginx": "/metrics/nginx",
        "wssgate_hub": "/metrics",
    }


def test_balancers_and_hubs_are_scraped_where_they_serve_or_have_an_exporter() -> None:
    own, on, both = (
        {"monitoring_scrape_exporter_port": 8404},
        {"monitoring_enabled": "yes"},
        {"monitoring_enabled": True},
    )
    both["monitoring_scrape_exporter_port"] = 8405
    fronts = [
        ("front1", own),
        ("front2", on),
        ("front3", both),
        ("front4", {}),
        ("front5", {"monitoring_enabled": "no"}),
    ]
    assert found(wss_balancers=fronts, wss_hubs=[("hub1", on)]) == {
        "wssgate_balancer": ["front1=front1:8404", "front2=front2:9443", "front3=front3:8405"],
        "wssgate_hub": ["hub1=hub1:9443"],
    }


def test_each_kind_has_its_own_port() -> None:
    given = {
        "monitoring_enabled": True,
        "monitoring_listen": [{"port": 9500}],
        "monitoring_balancer_listen": [{"port": 9501}],
        "monitoring_hub_listen": [{"port": "9502"}],
    }
    host = ("one", given)
    assert found(host, wss_balancers=[host], wss_hubs=[host]) == {
        "wssgate_log": ["one=one:9500"],
        "wssgate_agent": ["one=one:9500"],
        "wssgate_balancer": ["one=one:9501"],
        "wssgate_hub": ["one=one:9502"],
    }
    with pytest.raises(_scrape.ScrapeError, match="one: monitoring_hub_listen has no port"):
        found(wss_hubs=[("one", {**given, "monitoring_hub_listen": [{}]})])


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "gate1:9443"),
        ({"ansible_host": "192.0.2.21"}, "192.0.2.21:9443"),
        ({"ansible_host": "2001:db8::21"}, "[2001:db8::21]:9443"),
        ({"ansible_host": "[2001:db8::21]"}, "[2001:db8::21]:9443"),
        ({"ansible_host": "192.0.2.21", "monitoring_scrape_address": "gate1.example.com"}, "gate1.example.com:9443"),
        ({"monitoring_scrape_address": ""}, "gate1:9443"),
        ({"monitoring_listen": [{"port": 9500}, {"port": 9501}]}, "gate1:9500"),
        ({"monitoring_listen": [{"port": "9500", "address": "192.0.2.21"}]}, "gate1:9500"),
    ],
)
def test_where_a_host_is_scraped(given: t.Dict[str, t.Any], address: str) -> None:
    assert found(("gate1", {"monitoring_enabled": True, **given}))["wssgate_log"] == [f"gate1={address}"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"monitoring_enabled": "ja"}, "gate1: monitoring_enabled is 'ja'; it must be true or false"),
        ({"monitoring_listen": []}, r"gate1: monitoring_listen has no port; it must be a list such as"),
        ({"monitoring_listen": "9443"}, "gate1: monitoring_listen has no port"),
        ({"monitoring_listen": [{"address": ""}]}, "gate1: monitoring_listen has no port"),
        (
            {"monitoring_listen": [{"port": "many"}]},
            r"gate1: monitoring_listen\[0\].port is 'many'; it must be a whole",
        ),
        ({"monitoring_listen": [{"port": 0}]}, "gate1: 0 is no port that Prometheus could scrape"),
        ({"monitoring_listen": [{"port": 65536}]}, "gate1: 65536 is no port that Prometheus could scrape"),
        ({"monitoring_scrape_address": "a b"}, "gate1: 'a b' is no name and no address"),
        ({"monitoring_scrape_address": "a\n  - b"}, "is no name and no address"),
        ({"monitoring_scrape_address": "a:1"}, "gate1: 'a:1' is no name and no address"),
        ({"ansible_host": "https://a"}, "is no name and no address; set monitoring_scrape_address"),
    ],
)
def test_a_mistake_is_told_with_the_name_of_the_host(given: t.Dict[str, t.Any], problem: str) -> None:
    with pytest.raises(_scrape.ScrapeError, match=problem):
        found(("gate1", {"monitoring_enabled": True, **given}))


def test_a_mistake_of_a_hub_is_told_too() -> None:
    with pytest.raises(
        _scrape.ScrapeError, match="hub1: monitoring_scrape_exporter_port is 'many'; it must be a whole"
    ):
        found(wss_hubs=[("hub1", {"monitoring_scrape_exporter_port": "many"})])
