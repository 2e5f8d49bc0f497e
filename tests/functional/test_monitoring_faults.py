# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alerts fire by real faults of a real gate, once, and resolve when it is repaired: nginx, the agent, mtail, a hub,
and Prometheus with the role's own rules.

All faults at once here, which takes a minute; `make alerts` has each one by itself, and looks that no other alert
fires. What the rules wait for is divided by FACTOR; their thresholds are what they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lib import alert_faults, alerting, metrics
from lib.alert_faults import FAULTS, Ledger, Site

FACTOR = 60

pytestmark = [
    pytest.mark.skipif(
        metrics.prometheus_program("prometheus") is None, reason="make functional fetches it (WSSGATE_PROMETHEUS)"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root"),
]
RULES = "".join(path.read_text(encoding="utf-8") for path in alerting.RULES.glob("*.yml"))


def test_quicker_rules_differ_from_the_role_s_in_time_spans_alone() -> None:
    found = alerting.quicker(RULES, 60)
    spans = re.compile(r"(?<=for: )\d+(?:ms|[smhd])\b|(?<=offset )\d+(?:ms|[smhd])\b|\[\d+[a-z]+(?::\d+[a-z]+)?\]")
    assert spans.sub("SPAN", found) == spans.sub("SPAN", RULES)
    before, after = spans.findall(RULES), spans.findall(found)
    assert all(span.rstrip("]").endswith("ms") for span in after)

    def milliseconds(span: str) -> list[int]:
        units = {"ms": 1, **{unit: seconds * 1000 for unit, seconds in alerting.UNITS.items()}}
        return [int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", span)]

    assert [[one // 60 for one in milliseconds(span)] for span in before] == [milliseconds(span) for span in after]
    # Each rule waits, and the spans of expressions are among them.
    assert len(re.findall(r"(?m)^ +for: \d+ms$", found)) == RULES.count("- alert: ") > 10
    assert {"[5000ms:500ms]", "[1440000ms]", "[15000ms]"} <= set(after)
    assert "> 86400" in found and "14 * 86400" in found and "5 minutes" in found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


def test_every_alert_on_a_gate_has_a_fault() -> None:
    rules = yaml.safe_load((alerting.RULES / "wssgate.yml").read_text(encoding="utf-8"))
    # A balancer's and a hub's metrics are their own exporters'.
    alerts = {
        rule["alert"]
        for group in rules["groups"]
        for rule in group["rules"]
        if not re.search(r"\b(haproxy|redis)_", rule["expr"])
    }
    assert set().union(*(fault.alerts for fault in FAULTS)) == alerts


def test_each_alert_fires_once_and_resolves(site: Site, tmp_path: Path) -> None:
    by_name = {fault.name: fault for fault in FAULTS}
    hangs, down = by_name.pop("the agent hangs"), by_name.pop("the gate is down")
    # An hour's wait is for `make alerts`; the other certificate goes by the same rule with another number.
    del by_name["a certificate is near its end"]
    # Whose certificate is put right has all read anew, and by a clock that is ahead every worker has read it.
    changed = by_name.pop("the configuration is changed and not live")
    together = list(by_name.values())
    with alerting.Watch(tmp_path / "watch", site.scrape_configs(), FACTOR) as watch:
        alert_faults.at_rest(site, watch)
        ledger = Ledger(site, watch)
        ledger.begin(*together)
        ledger.until_over(*together)
        ledger.begin(changed)
        ledger.until_over(changed)
        ledger.begin(hangs)
        ledger.until_over(hangs)
        ledger.begin(down)
        ledger.until_over(down)
        watch.until(lambda: not watch.alerts("firing"), alert_faults.PATIENCE, lambda: "it does not come to rest")
        ledger.judge()
