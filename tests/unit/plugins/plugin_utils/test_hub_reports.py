# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the token playbooks say of the hub: who has confirmed, who has not, and what nobody has done."""

from __future__ import annotations

from typing import Any

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _token_report as tokens
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import report, settings
from ansible_collections.wssgate.nginx.plugins.plugin_utils._problems import Problems

HOSTS = {"g1": "gate-a", "g2": "gate-b", "g3": "gate-c"}
HUB: dict[str, Any] = {
    "gate_hosts": HOSTS,
    "position": "1-0",
    "problem": "",
    "confirmed": ["g1"],
    "unconfirmed": [{"gate": "g2", "silent": 61.25}, {"gate": "g3", "silent": None}],
}
DONE = {"removed": 1, "quarantined": 0, "fingerprints": {"removed": ["3b1f0a9c77de"], "quarantined": []}}


def test_who_was_asked_by_ansible_has_done_it_and_who_was_not_has_not() -> None:
    found = tokens.changes({"gate-b": DONE}, {}, HUB)
    assert found["hub"]["confirmed"] == ["gate-a"]
    assert found["hub"]["unconfirmed"] == {"gate-b": 61.25, "gate-c": None}
    words = "it has not confirmed what was revoked through the hub (it has never reported), and is not in this run"
    assert found["failures"] == [f"gate-c: {words}"]
    lines = tokens.change_lines({"gate-b": DONE}, {}, HUB)
    assert lines[:3] == [
        "Revoked through the hub and confirmed: gate-a",
        "gate-b: not confirmed through the hub, silent for 61.25 s",
        "gate-c: not confirmed through the hub, it has never reported",
    ]
    assert "gate-b: 1 removed (3b1f0a9c77de)" in lines


def test_who_could_not_be_asked_either_is_named_with_its_silence() -> None:
    (failure,) = tokens.changes({"gate-b": {"msg": "no route", "unreachable": True}}, {}, {
        **HUB, "unconfirmed": HUB["unconfirmed"][:1],
    })["failures"]  # fmt: skip
    assert failure == "gate-b: no route; it has not confirmed what was revoked through the hub (silent for 61.25 s)"


def test_a_hub_that_did_not_take_it_is_told() -> None:
    away = {**HUB, "position": "", "confirmed": [], "unconfirmed": [], "problem": "the hub's memory is full"}
    lines = tokens.change_lines({"gate-a": DONE}, {}, away)
    assert lines[0] == "The hub did not take it (the hub's memory is full), so each proxy is asked by Ansible."
    assert tokens.changes({"gate-a": DONE}, {}, away)["failures"] == []


def test_gates_that_are_behind_or_silent_are_named_and_no_others() -> None:
    def lines(*gates: tuple[str, Any, Any]) -> list[str]:
        found = [{"gate": gate, "silent": silent, "is_level": level} for gate, silent, level in gates]
        return report.gate_lines({"gates": found}, HOSTS)

    assert lines(("g1", 4.9, True), ("g2", "4.9", "True")) == []
    assert lines(("g1", None, False)) == ["gate-a has never reported to the hub"]
    assert lines(("g1", 1.0, False)) == ["gate-a has not done all that the hub has, and has been silent for 1 s"]
    assert lines(("g2", 61.5, True)) == ["gate-b had done all that the hub has, and has been silent for 61.5 s"]
    assert report.gate_lines({"msg": "it is away"}, HOSTS) == [
        "The hub does not tell how far the proxies are: it is away"
    ]


def test_what_was_adopted_is_told_by_fingerprints_and_what_was_not_by_its_reason() -> None:
    exports = {"gate-a": {"exported": [{"token": "x"}] * 3}, "gate-b": {"msg": "no route"}}
    left = [{"fingerprint": "ab", "reason": "the hub has it"}, {"fingerprint": "cd", "reason": "the hub has it"}]
    found = tokens.adoption({"adopted": ["ef"], "left_alone": left}, exports)
    assert found["proxies"] == {"gate-a": 3}
    assert found["lines"] == [
        "gate-a: 3 tokens",
        "1 was adopted (ef)",
        "2 left alone: the hub has it (ab, cd)",
        "FAILED gate-b: no route; run this again once it is there",
    ]
    assert tokens.adoption({"msg": "it is away"}, {})["failures"] == ["the hub has adopted nothing: it is away"]
    many = tokens.adoption({"adopted": [str(number) for number in range(25)]}, {}, is_dry=True)["lines"][0]
    assert many.startswith("25 would be adopted (0, 1, ") and many.endswith("18, 19 and 5 more)")


def test_a_gate_may_not_be_let_in_longer_than_it_may_be_without_the_hub() -> None:
    for grace, staleness, count in ((0, 0, 0), (30, 0, 0), (30, 31, 0), (30, 30, 1), (0, -1, 1)):
        problems = Problems()
        given = {"url": "rediss://hub", "startup_grace": grace, "max_staleness": staleness}
        settings.read(given, "gate", problems)
        assert len(problems.found) == count, problems.found
