# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault of a gate by itself: `make alerts`, ten minutes. Its alert fires once and resolves, and no other one does.

test_monitoring_faults.py has most of them at once, which is what `make test` runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lib import alert_faults, alerting
from lib.alert_faults import FAULTS, Fault, Ledger, Site

FACTOR = 60


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_an_alert_fires_by_its_fault_alone(fault: Fault, tmp_path: Path) -> None:
    with Site(tmp_path) as site, alerting.Watch(tmp_path / "watch", site.scrape_configs(), FACTOR) as watch:
        # An hour's wait is a minute, and a scrape that a busy machine does not get in time begins it anew.
        wait = 5 * alert_faults.PATIENCE
        alert_faults.at_rest(site, watch)
        ledger = Ledger(site, watch)
        ledger.begin(fault)
        ledger.until_over(fault, seconds=wait)
        watch.until(lambda: not watch.alerts("firing"), wait, lambda: "it does not come to rest")
        ledger.judge()
