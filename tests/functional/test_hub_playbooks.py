# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token playbooks on two gates that share a hub: a real Redis, two agents, and Ansible on this machine.

The hub is one of the user's own, so that its module runs on the controller; scenario hub has one of role token_hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint, full_fingerprint

from lib.hub_fleet import GATES, ISSUER, Fleet, answer
from lib.hub_server import FLEET
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent is for root")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path)
    try:
        yield found
    finally:
        found.close()


def test_a_token_is_issued_while_all_gates_are_down_and_revoked_on_those_that_are_up(fleet: Fleet) -> None:
    for gate in fleet.gates.values():
        gate.is_away = True
    code, text = fleet.play("token_issue", "-vvv", subject="client-42", ttl=600, output="json")
    assert code == 0, text
    told = answer(text)
    (token,) = told["tokens"]
    assert text.count(token) == 1 and told["proxies"] == list(GATES)
    assert abs(told["expires_at"] - time.time() - 600) < 120
    fleet.start()
    wait_for(lambda: all(gate.tokens() == [token] for gate in fleet.gates.values()))

    # One that has no agent is asked by Ansible.
    fleet.one.is_away = fleet.two.is_away = False
    fleet.two.agent.kill()
    code, text = fleet.play("token_revoke", fingerprint=fingerprint(token), ack_timeout=1)
    assert code == 0, text
    assert "Revoked through the hub and confirmed: g1" in text
    assert re.search(r"g2: not confirmed through the hub, silent for [0-9.]+ s", text)
    assert f"g2: 1 removed ({fingerprint(token)})" in text and "g1: " not in text.split("TASK [Show what")[1]
    assert [gate.tokens() for gate in fleet.gates.values()] == [[], []]
    code, text = fleet.play("token_list")
    assert code == 0, text
    assert re.search(r"g2 has not done all that the hub has, and has been silent for [0-9.]+ s", text)
    assert "g1 has " not in text and "No tokens." in text


def test_the_run_fails_while_a_gate_of_the_inventory_has_done_nothing_and_it_does_it_when_it_is_back(
    fleet: Fleet,
) -> None:
    for gate in fleet.gates.values():
        (gate.store / "token-made-by-hand").write_text(
            json.dumps({"subject": "ann", "issued_at": 1, "expires_at": None})
        )
    fleet.start(fleet.one)
    fleet.two.is_away = True
    code, text = fleet.play("token_revoke", subject="ann", issued_before=int(time.time()) - 60, ack_timeout=1)
    assert code != 0
    assert re.search(
        r"FAILED g2: .*it has not confirmed what was revoked through the hub \(it has never reported\)", text
    )
    name = hashlib.sha256(b"ann").hexdigest()
    assert (fleet.one.tokens(), fleet.one.taken_back()) == ([], [name])
    # Opaque tokens by now, signed ones by the time that was given
    assert int((fleet.one.revoked / "sub" / name).read_text()) <= time.time() - 60
    assert fleet.two.tokens() == ["token-made-by-hand"]
    fleet.start(fleet.two)
    wait_for(lambda: (fleet.two.tokens(), fleet.two.taken_back()) == ([], [name]))
    code, text = fleet.play("token_revoke", "--limit", "g1", jti="t-1", output="json")
    assert code == 0, text
    assert answer(text)["hub"]["confirmed"] == list(GATES)
    name = hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest()
    assert all((gate.revoked / "jti" / name).exists() for gate in fleet.gates.values())


def test_while_the_hub_is_away_nothing_is_issued_and_what_is_revoked_goes_to_each_gate(fleet: Fleet) -> None:
    place = fleet.hub.operate(*records.issue("token-of-an-operator", "client-1", 600))
    fleet.start()
    wait_for(lambda: all(gate.tokens() for gate in fleet.gates.values()))
    assert records.parse_id(place) is not None
    fleet.hub.kill()
    code, text = fleet.play("token_issue", subject="client-42", ttl=600)
    assert code != 0 and "The hub issues no token now, and no proxy was asked: " in text
    code, text = fleet.play("token_revoke", fingerprint=fingerprint("token-of-an-operator"))
    assert code == 0, text
    assert "The hub did not take it (" in text and "so each proxy is asked by Ansible." in text
    assert text.count("1 removed") == 2
    assert [gate.tokens() for gate in fleet.gates.values()] == [[], []]


def test_tokens_of_before_the_hub_are_adopted_once_and_are_revoked_as_all_others(fleet: Fleet) -> None:
    (fleet.one.store / "made-by-hand-on-one-gate").touch()
    ends = int(time.time()) + 1000
    for gate, until in ((fleet.one, ends), (fleet.two, ends + 5)):
        document = {"subject": "ann", "issued_at": ends - 2000, "expires_at": until}
        (gate.store / "on-both-for-a-while").write_text(json.dumps(document))
        (gate.store / "revoked-meanwhile").touch()
    fleet.start(fleet.one)
    fleet.hub.issue("app", "token-of-the-application", "client-1", 600)
    fleet.hub.operate(*records.revoke(full_fingerprint("revoked-meanwhile")))
    names = ["made-by-hand-on-one-gate", "on-both-for-a-while", "token-of-the-application"]
    wait_for(lambda: fleet.one.tokens() == names)
    before = fleet.hub.call("XLEN", keys.operate(FLEET))
    code, text = fleet.play("token_adopt", "--check")
    assert code == 0 and "2 would be adopted" in text, text
    assert fleet.hub.call("XLEN", keys.operate(FLEET)) == before
    # The agent of the other gate does not run: what it has is read all the same.
    code, text = fleet.play("token_adopt", "-vvv")
    assert code == 0, text
    assert "2 were adopted" in text and "1 left alone: the hub has it" in text
    assert "1 left alone: it was revoked through the hub" in text
    assert not any(name in text for name in (*names, "revoked-meanwhile"))
    fleet.start(fleet.two)
    wait_for(lambda: fleet.two.tokens() == names)
    for gate in fleet.gates.values():
        found = json.loads((gate.store / names[1]).read_text())
        assert found == {"subject": "ann", "issued_at": ends - 2000, "expires_at": ends}
    assert (fleet.one.store / names[0]).read_text() == ""
    # What is removed on one gate is so on the other, from now on.
    (fleet.one.store / names[0]).unlink()
    wait_for(lambda: fleet.two.tokens() == names[1:])
    fleet.two.is_away = True
    code, text = fleet.play("token_adopt", output="json")
    told = answer(text)
    assert code != 0 and told["adopted"] == [] and told["proxies"] == {"g1": 2}
    assert [failure[:3] for failure in told["failures"]] == ["g2:"]
