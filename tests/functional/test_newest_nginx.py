# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack table on the newest nginx. molecule/attacks tries the same on Debian's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib import attacks
from lib.attack_gate import AttackGate


@pytest.fixture(scope="module")
def local_gate() -> Iterator[AttackGate]:
    local_gate = AttackGate()
    with local_gate, local_gate.upstream():
        yield local_gate


@pytest.fixture(scope="module")
def seen(local_gate: AttackGate) -> dict[str, attacks.Observation]:
    return {observation.name: observation for observation in attacks.run(local_gate.site())}


@pytest.mark.parametrize("case", attacks.CASES, ids=lambda case: case.name)
def test_the_gate_does_as_the_table_says(
    case: attacks.Case, local_gate: AttackGate, seen: dict[str, attacks.Observation]
) -> None:
    complaints = attacks.complaints(local_gate.site(), case, seen[case.name])
    assert not complaints, "\n".join(complaints)


def test_refusals_of_one_status_cannot_be_told_apart(seen: dict[str, attacks.Observation]) -> None:
    assert attacks.differences(seen.values()) == []


def test_no_two_cases_have_one_name() -> None:
    names = [case.name for case in attacks.CASES]
    assert sorted(names) == sorted(set(names))
