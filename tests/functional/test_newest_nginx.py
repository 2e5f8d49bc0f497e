# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack table on the newest nginx. molecule/attacks tries the same on Debian's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib import attacks, mtail
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


def test_what_mtail_counts_is_what_the_log_has(
    local_gate: AttackGate, seen: dict[str, attacks.Observation], tmp_path: Path
) -> None:
    """To the unit, and no series more: random paths, hosts, origins and tokens make none."""
    assert len(seen) == len(attacks.CASES)
    lines = [json.loads(line) for line in local_gate.access_log.read_text().splitlines()]
    expected: Counter[tuple[str, mtail.Labels]] = Counter()
    for line in lines:
        where = {"server": line["server"], "location": line["location"]}
        for direction, field in (("in", "bytes_from_client"), ("out", "bytes_to_client")):
            expected["wssgate_bytes_total", _labels(where, direction=direction)] += line[field]
        if line["reason"]:
            words = {"status": str(line["status"]), "reason": line["reason"]}
            expected["wssgate_handshakes_total", _labels(where, **words)] += 1
        elif line["status"] == 101:
            expected["wssgate_session_duration_seconds_count", _labels(where)] += 1
    found = mtail.counted(tmp_path, local_gate.access_log)
    assert dict(expected) == {
        key: value for key, value in found.items() if not key[0].endswith(("seconds_bucket", "seconds_sum"))
    }
    locations = {dict(labels).get("location", "") for _name, labels in found}
    assert len(locations) > 10
    assert locations <= {
        "", *(location["path"] for server in local_gate.variables["wss_proxy_servers"]
        for location in server["locations"])
    }  # fmt: skip


def _labels(where: dict[str, str], **more: str) -> mtail.Labels:
    return tuple(sorted((name, value) for name, value in {**where, **more}.items() if value))
