# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts on balancers and hubs fire by real faults, each by itself, and resolve when it is repaired: HAProxy in front
of two gates, a hub of three servers with its exporters, Prometheus with the role's own rules, and Alertmanager with the
configuration of the role, which tells a receiver of each once and of its end once.

What the rules wait for, and Alertmanager before it tells, is divided by FACTOR; thresholds are what they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
import yaml

from lib import alerting, front_faults, local_hub, metrics, monitor
from lib.front_faults import FAULTS, Fault, FrontSite
from lib.local_balancer import haproxy_binary
from lib.monitor import Monitor

FACTOR = 60
PATIENCE = 60.0

pytestmark = [
    pytest.mark.skipif(haproxy_binary() is None, reason="make functional fetches HAProxy (WSSGATE_HAPROXY)"),
    pytest.mark.skipif(metrics.prometheus_program("prometheus") is None, reason="make functional fetches it"),
    pytest.mark.skipif(not local_hub.is_installed(), reason="redis-tools is not there; make images brings it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the gates' worker is another user"),
]


def test_a_quicker_alertmanager_differs_in_its_waits_alone() -> None:
    text = monitor.content_of_page("https://chat.example.com/hooks/gates")
    before, after = yaml.safe_load(text), yaml.safe_load(monitor.quicker_alertmanager(text, 60))
    waits = {name: after["route"].pop(name) for name in monitor.WAITS}
    assert before == after
    assert waits == {"group_wait": "500ms", "group_interval": "5000ms", "repeat_interval": "240000ms"}


def test_every_alert_on_a_balancer_or_a_hub_has_a_fault() -> None:
    rules = yaml.safe_load((alerting.RULES / "wssgate.yml").read_text(encoding="utf-8"))
    alerts = {
        rule["alert"]
        for group in rules["groups"]
        for rule in group["rules"]
        if re.search(r"\b(haproxy|redis)_|\bup\b", rule["expr"])
    }
    assert {name for fault in FAULTS for name, _host in fault.alerts} == alerts


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontSite]:
    with FrontSite(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def watch(site: FrontSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    folder = tmp_path_factory.mktemp("monitor") / "monitor"
    with Monitor(folder, site.hosts(), site.variables(), site.files(), FACTOR) as watch:
        watch.until(lambda: watch.number("up") == 4 and watch.number("redis_up") == 3, PATIENCE, lambda: "not scraped")
        watch.until(lambda: not watch.alerts(), PATIENCE, lambda: "a healthy fleet has alerts")
        yield watch


def test_only_the_fleet_is_scraped(site: FrontSite, watch: Monitor) -> None:
    assert watch.number('haproxy_server_status{instance="front1",service="wss",state="UP"}') == len(front_faults.GATES)
    assert watch.number('redis_master_link_up{instance!="hub1"}') == 2
    assert watch.told.words() == {}


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_an_alert_fires_by_its_fault_alone_and_its_receiver_is_told_once_of_each(
    fault: Fault, site: FrontSite, watch: Monitor
) -> None:
    before = watch.told.words()
    assert not watch.alerts(), "it does not come to rest"

    def told() -> dict[tuple[str, str], list[str]]:
        """What the receiver was told since."""
        found = {key: words[len(before.get(key, [])) :] for key, words in watch.told.words().items()}
        return {key: words for key, words in found.items() if words}

    fault.begin(site)
    watch.until(lambda: set(told()) >= fault.alerts, PATIENCE, lambda: f"told: {told()}")
    fault.repair(site)
    watch.until(lambda: not watch.alerts(), PATIENCE, lambda: f"it does not end; told: {told()}")
    watch.until(lambda: all("resolved" in told()[key] for key in fault.alerts), PATIENCE, lambda: f"not told: {told()}")
    assert told() == dict.fromkeys(fault.alerts, ["firing", "resolved"])
