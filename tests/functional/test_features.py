# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate of the attack table lacks, on the newest nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib.features import CHECKS, Check, FeaturesGate, Site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with FeaturesGate() as local_gate:
        yield local_gate.site()


@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_the_gate_with_all_features_passes_the_check(site: Site, check: Check) -> None:
    check(site)
