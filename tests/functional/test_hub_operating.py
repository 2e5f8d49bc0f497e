# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gates do with the hub beside opaque tokens: signed ones, a hub that is away for too long, trimmed streams."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.client import Primary
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.operating import Operator
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations import store as revocations
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint
from ansible_collections.wssgate.nginx.plugins.modules import wss_hub_token

from lib.hub_fleet import Fleet
from lib.hub_server import FLEET
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent is for root")

TOKEN, OTHER = "token-of-an-operator", "another-token-of-one"
YEAR = 31536000


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    fleets: list[Fleet] = []

    def made(**changes: object) -> Fleet:
        fleets.append(Fleet(tmp_path, **changes))
        return fleets[-1]

    yield made
    for one in fleets:
        one.close()


def operator(fleet: Fleet) -> Operator:
    return Operator(fleet.hub.enter(keys.OPERATOR), FLEET)


def test_a_signed_token_that_is_taken_back_anywhere_is_so_on_all_gates(make: Callable[..., Fleet]) -> None:
    fleet = make()
    fleet.start()
    one, two, three = (f"{number:064x}" for number in (1, 2, 3))
    end = int(time.time()) + 500
    place = operator(fleet).take_back(one, end)
    wait_for(lambda: fleet.confirmed(records.id_text(place)))
    for gate in fleet.gates.values():
        assert int((gate.revoked / "jti" / one).stat().st_mtime) == end
    # On one gate alone, by its own module or by Ansible
    revocations.revoke_token(two, end, str(fleet.one.revoked))
    revocations.cut_off_subject("ann", end - 600, end, str(fleet.one.revoked))
    subject = hashlib.sha256(b"ann").hexdigest()
    wait_for(lambda: fleet.two.taken_back() == sorted([one, two, subject]))
    assert (fleet.two.revoked / "sub" / subject).read_text() == f"{end - 600}\n"
    # A gate that was down, and a hub that has lost it all
    fleet.two.agent.kill()
    fleet.two.marker.unlink()
    copy = fleet.hub.backup()
    place = operator(fleet).take_back(three)
    wait_for(lambda: fleet.confirmed(records.id_text(place), fleet.one))
    fleet.hub.restore(copy)
    wait_for(lambda: fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) > 2, 60)
    fleet.start(fleet.two)
    wait_for(fleet.two.marker.exists)
    assert three in fleet.two.taken_back()


def test_a_gate_that_begins_to_take_signed_tokens_has_what_was_taken_back_before(make: Callable[..., Fleet]) -> None:
    fleet = make()
    name = f"{1:064x}"
    place = operator(fleet).take_back(name)
    shutil.rmtree(fleet.one.revoked)
    fleet.start(fleet.one)
    wait_for(lambda: fleet.confirmed(records.id_text(place), fleet.one))
    # As role wss_proxy makes them, once the agent has read everything
    for folder in ("", "jti", "sub"):
        (fleet.one.revoked / folder).mkdir(mode=0o710)
    wait_for(lambda: fleet.one.taken_back() == [name], 10)


def test_a_gate_without_signed_tokens_confirms_all_the_same(make: Callable[..., Fleet]) -> None:
    fleet = make()
    for kind in ("jti", "sub"):
        (fleet.one.revoked / kind).rmdir()
    fleet.one.revoked.rmdir()
    fleet.start(fleet.one)
    place = operator(fleet).take_back("ab" * 32)
    wait_for(lambda: fleet.confirmed(records.id_text(place), fleet.one))
    assert not fleet.one.revoked.exists()


def test_a_gate_that_is_without_the_hub_for_too_long_lets_nobody_in_until_it_has_caught_up(
    make: Callable[..., Fleet],
) -> None:
    fleet = make(max_staleness=2)
    fleet.hub.operate(*records.issue(TOKEN, "ann", 600))
    fleet.start(fleet.one)
    wait_for(fleet.one.marker.exists)
    fleet.hub.kill()
    wait_for(lambda: not fleet.one.marker.exists())
    wait_for(lambda: "max_staleness" in fleet.one.agent.status)
    assert fleet.one.tokens() == [TOKEN]
    # It is let in again by what it has applied, not by what it has seen.
    fleet.one.agent.stop()
    fleet.hub.start()
    place = fleet.hub.operate(*records.revoke(full_fingerprint(TOKEN)))
    fleet.one.agent.go_on()
    wait_for(fleet.one.marker.exists, 60)
    assert fleet.one.tokens() == []
    wait_for(lambda: fleet.confirmed(place, fleet.one) and "max_staleness" not in fleet.one.agent.status)


def test_an_agent_that_is_started_anew_knows_how_long_the_hub_has_been_away(make: Callable[..., Fleet]) -> None:
    fleet = make(max_staleness=3600)
    fleet.start(fleet.one)
    wait_for(fleet.one.marker.exists)
    long_ago = time.time() - 4000
    os.utime(fleet.one.marker, (long_ago, long_ago))
    # While the hub answers the time of the file follows.
    wait_for(lambda: fleet.one.marker.stat().st_mtime > long_ago + 3600)
    fleet.one.agent.kill()
    fleet.hub.kill()
    fleet.one.agent.start()
    assert fleet.one.marker.exists()
    fleet.one.agent.kill()
    os.utime(fleet.one.marker, (long_ago, long_ago))
    fleet.one.agent.start()
    wait_for(lambda: not fleet.one.marker.exists())


def test_what_was_trimmed_before_a_gate_has_read_it_is_told_by_another(make: Callable[..., Fleet]) -> None:
    fleet = make()
    fleet.hub.issue("app", TOKEN, "client-1", 600)
    fleet.hub.issue("app", OTHER, "client-1", 600)
    fleet.start()
    wait_for(lambda: all(len(gate.tokens()) == 2 for gate in fleet.gates.values()))
    fleet.two.agent.kill()
    place = fleet.hub.operate(*records.revoke(full_fingerprint(TOKEN)))
    wait_for(lambda: fleet.confirmed(place, fleet.one))
    assert fleet.hub.call("XTRIM", keys.operate(FLEET), "MAXLEN", 0) == 1
    wait_for(lambda: fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) == 1)
    fleet.start(fleet.two)
    assert fleet.two.tokens() == fleet.one.tokens() == [OTHER]
    # One that hung meanwhile goes past it, too, and reads what there is.
    fleet.two.agent.stop()
    place = fleet.hub.operate(*records.revoke(full_fingerprint(OTHER)))
    wait_for(lambda: fleet.confirmed(place, fleet.one))
    fleet.hub.call("XTRIM", keys.operate(FLEET), "MAXLEN", 0)
    wait_for(lambda: fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) == 2)
    fleet.two.agent.go_on()
    wait_for(lambda: fleet.two.tokens() == [])


def test_an_operator_trims_what_is_older_than_a_year_and_read_by_all_gates(make: Callable[..., Fleet]) -> None:
    fleet = make()
    now = int(time.time() * 1000)
    old, young = now - 1000 * (YEAR + 90000), now - 1000 * (YEAR - 90000)
    # As many as the server keeps in one block, for it trims whole ones.
    for number in range(300):
        fields = records.revoke(full_fingerprint(f"long-ago-{number}"))
        fleet.hub.append(keys.operate(FLEET), fields, place=f"{old}-{number}")
    fleet.hub.append(keys.operate(FLEET), records.cut_off("ann"), place=f"{young}-0")
    count = 301
    fleet.start(fleet.one)
    wait_for(lambda: fleet.confirmed(f"{young}-0", fleet.one))
    operator(fleet).trim([])
    operator(fleet).trim(["g1", "g2"])
    assert fleet.hub.call("XLEN", keys.operate(FLEET)) == count
    operator(fleet).trim(["g1"])
    left = fleet.hub.call("XLEN", keys.operate(FLEET))
    assert 1 <= left < count
    last = fleet.hub.call("XREVRANGE", keys.operate(FLEET), "+", "-", "COUNT", 1)
    assert last[0][0].decode() == f"{young}-0"
    # Nothing of it counted any more: nobody tells it again.
    place = fleet.hub.operate(*records.revoke(full_fingerprint(TOKEN)))
    wait_for(lambda: fleet.confirmed(place, fleet.one))
    assert fleet.hub.call("XLEN", keys.revoked(FLEET, "g1")) == 0


def test_what_a_gate_has_revoked_that_leaves_the_fleet_is_told_by_those_that_stay(make: Callable[..., Fleet]) -> None:
    fleet = make()
    fleet.start()
    place = records.id_text(operator(fleet).issue(TOKEN, "ann"))
    wait_for(lambda: fleet.one.tokens() == fleet.two.tokens() == [TOKEN])
    # Removed once each has noted that it had it
    wait_for(lambda: fleet.confirmed(place))
    (fleet.one.store / TOKEN).unlink()
    wait_for(lambda: fleet.two.tokens() == [])
    wait_for(lambda: "revoked:g1" in fleet.hub.reported("g2"))
    for gate in fleet.gates.values():
        gate.agent.kill()
    # As site leaves it once g1 is out of the inventory: nobody reads its stream.
    fleet.two.configure(fleet.hub.settings_of("g2", marker=str(fleet.two.marker), gates=("g2",)))
    fleet.start(fleet.two)
    wait_for(lambda: fleet.hub.call("XLEN", keys.revoked(FLEET, "g2")) == 1)
    assert fleet.two.tokens() == []


FAST = "import time; real = time.time; time.time = lambda: real() + 300\n"


def test_a_cut_off_ends_what_was_made_on_a_gate_whose_clock_is_ahead(make: Callable[..., Fleet]) -> None:
    fleet = make()
    gate = fleet.one
    gate.agent.command[2] = FAST + gate.agent.command[2]
    now = int(time.time()) + 300
    for name, issued_at in ((TOKEN, now - 5), (OTHER, now + 3000)):
        document = {"subject": "ann", "issued_at": issued_at, "expires_at": now + 3600}
        (gate.store / name).write_text(json.dumps(document))
    fleet.start(gate)
    time.sleep(6)  # so that it knows the hub's clock
    place = operator(fleet).cut_off("ann")
    wait_for(lambda: fleet.confirmed(records.id_text(place), gate))
    # The other one was made after it.
    assert gate.tokens() == [OTHER]


class LosesAnAnswer(Operator):
    """Its connection ends once a third token is in the hub, before that is told."""

    count = 0

    def issue(self, *arguments: Any) -> records.Id:
        place = super().issue(*arguments)
        self.count += 1
        if self.count == 3:
            raise HubError("the hub closes the connection")
        return place


def test_of_tokens_whose_answer_was_lost_none_is_left_that_nobody_has(
    make: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = make()
    params = {"generate": 5, "subject": "ann", "ttl": 600, "expires_at": None, "fleet": FLEET}
    with pytest.raises(HubError, match="^the hub closes the connection$"):
        wss_hub_token.issue(
            params,
            LosesAnAnswer(fleet.hub.enter(keys.OPERATOR), FLEET),
            False,
            lambda: Primary(fleet.hub.enter(keys.OPERATOR), ""),
        )
    merge = operator(fleet).merged({}, [])
    assert len(list(merge.tokens())) == 3 and all(merge.is_barred(token) for token in merge.tokens())

    def away() -> Primary:
        raise HubError("cannot be reached")

    # What cannot be revoked is named.
    monkeypatch.setattr(wss_hub_token, "WITHDRAWING", 0.0)
    losing = LosesAnAnswer(fleet.hub.enter(keys.OPERATOR), FLEET)
    with pytest.raises(HubError, match="^the hub closes .* revoke them: ([0-9a-f]{12}(, |$)){3}"):
        wss_hub_token.issue(params, losing, False, away)
