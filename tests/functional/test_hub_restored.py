# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub that is restored from an old backup while every agent is down: nothing that was revoked since comes back.

The hub is a real Redis, the agents are processes. What a gate knows as revoked is in a file beside its position.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub_held import NAME
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub_position import POSITION
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations.store import SUBJECTS, TOKENS, id_of_subject
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint

from lib.hub_fleet import Fleet, Gate
from lib.hub_server import FLEET
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="closing the sockets of others is for root")


# What a cut-off has that is told again
CUT = ("at", "subject", "type")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path)
    try:
        yield found
    finally:
        found.close()


def token(number: int | str) -> str:
    return f"token-of-the-backup-{number}"


def issue(fleet: Fleet, *numbers: int | str, ttl: int = 1000) -> None:
    for number in numbers:
        fleet.hub.issue("app", token(number), f"client-{number}", ttl)
    wait_for(lambda: all(gate_has(gate, *numbers) for gate in fleet.gates.values()))


def gate_has(gate: Gate, *numbers: int | str) -> bool:
    return {token(number) for number in numbers} <= set(gate.tokens())


def revoke(number: int | str) -> list[str]:
    return records.revoke(full_fingerprint(token(number)))


def down(fleet: Fleet, *gates: Gate) -> None:
    """As hosts that start again: without an agent, and without what was in /run."""
    for gate in gates or fleet.gates.values():
        gate.agent.kill()
        gate.marker.unlink(missing_ok=True)


def come_back(fleet: Fleet, copy: Path) -> None:
    """The hub, as it was before any of these gates had reported to it, so that their positions are of no use there."""
    fleet.hub.restore(copy)
    for name in fleet.gates:
        fleet.hub.call("DEL", keys.gate(FLEET, name))


def restored(fleet: Fleet, copy: Path) -> None:
    """The hub is an old one before any agent has seen it."""
    down(fleet)
    come_back(fleet, copy)
    fleet.start()
    for gate in fleet.gates.values():
        wait_for(gate.marker.exists)


def own(fleet: Fleet, name: str) -> list[dict[str, str]]:
    """What is in a gate's own stream."""
    found = []
    for _place, fields in fleet.hub.call("XRANGE", keys.revoked(FLEET, name), "-", "+"):
        words = [one.decode() for one in fields]
        found.append(dict(zip(words[::2], words[1::2], strict=True)))
    return found


def all_told(fleet: Fleet) -> list[dict[str, str]]:
    return [fields for name in fleet.gates for fields in own(fleet, name)]


def test_nothing_comes_back_of_what_was_revoked_though_all_agents_were_down(fleet: Fleet) -> None:
    fleet.start()
    issue(fleet, *range(5))
    copy = fleet.hub.backup()
    now = int(time.time())
    jti = hashlib.sha256(b"a jti").hexdigest()
    fleet.hub.operate(*revoke(0))
    fleet.hub.operate(*records.revoke(full_fingerprint(token(1))[:16]))
    fleet.hub.operate(*records.take_back(TOKENS, jti, until=now + 800))
    place = fleet.hub.operate(*records.cut_off("client-2"))
    wait_for(lambda: fleet.confirmed(place))
    (fleet.one.store / token(3)).unlink()
    wait_for(lambda: not gate_has(fleet.two, 3))
    wait_for(lambda: fleet.hub.reported("g2").get("revoked:g1", "0-0") != "0-0")
    restored(fleet, copy)
    for gate in fleet.gates.values():
        assert gate.tokens() == [token(4)]
        assert gate.taken_back() == sorted([jti, id_of_subject("client-2")])
    # And not for a gate that comes new, or has lost all that it had.
    down(fleet, fleet.two)
    for path in (*fleet.two.store.glob("token-*"), *fleet.two.revoked.glob("*/*")):
        path.unlink()
    for name in (NAME, POSITION):
        (fleet.two.agent.state / name).unlink()
    wait_for(lambda: len(own(fleet, "g1")) >= 5)
    fleet.start(fleet.two)
    wait_for(fleet.two.marker.exists)
    wait_for(lambda: fleet.two.tokens() == [token(4)])
    wait_for(lambda: fleet.two.taken_back() == sorted([jti, id_of_subject("client-2")]))


def test_a_signed_token_is_told_again_by_a_gate_that_takes_none(fleet: Fleet) -> None:
    """It has no folder of what was taken back: the file alone knows."""
    for path in (fleet.one.revoked / "jti", fleet.one.revoked / "sub", fleet.one.revoked):
        path.rmdir()
    fleet.start(fleet.one)
    copy = fleet.hub.backup()
    jti, until = hashlib.sha256(b"another jti").hexdigest(), int(time.time()) + 800
    place = fleet.hub.operate(*records.take_back(TOKENS, jti, until=until))
    wait_for(lambda: fleet.confirmed(place, fleet.one))
    down(fleet, fleet.one)
    come_back(fleet, copy)
    fleet.start()
    wait_for(lambda: fleet.two.taken_back() == [jti])
    assert int((fleet.two.revoked / TOKENS / jti).stat().st_mtime) == until
    assert all_told(fleet) == [{"type": "revoke", "token_id": jti, "until": str(until)}]


def test_a_cut_off_is_told_again_for_tokens_that_the_backup_has_not(fleet: Fleet) -> None:
    """A gate that was away has one of them; by hand, so that the hub never had it."""
    fleet.start()
    issue(fleet, 1)
    down(fleet, fleet.two)
    copy = fleet.hub.backup()
    (fleet.two.store / token("old")).write_text(
        f'{{"format": 1, "subject": "client-1", "issued_at": {int(time.time()) - 50}, "expires_at": null}}'
    )
    cut = fleet.hub.operate(*records.cut_off("client-1"))
    # One moment later the same subject has another one.
    late = fleet.hub.issue("app", token("late"), "client-1", 1000)
    wait_for(lambda: fleet.confirmed(cut, fleet.one) and gate_has(fleet.one, "late"))
    down(fleet, fleet.one)
    come_back(fleet, copy)
    # It is issued anew, as the hub has lost it: at the same moment as before.
    fleet.hub.issue("app", token("late"), "client-1", 1000, late)
    fleet.start()
    wait_for(lambda: fleet.one.tokens() == fleet.two.tokens() == [token("late")])
    assert {"type": "cut", "subject": "client-1", "at": cut} in all_told(fleet)
    # A gate of the next version that starts with nothing knows it of the hub.
    for gate in fleet.gates.values():
        assert (gate.revoked / SUBJECTS / id_of_subject("client-1")).exists()


def test_a_gate_confirms_nothing_that_is_not_on_its_disk(fleet: Fleet) -> None:
    fleet.start()
    issue(fleet, 1, 2)
    file = fleet.one.agent.state / NAME
    file.unlink(missing_ok=True)
    file.mkdir()
    place = fleet.hub.operate(*revoke(1))
    wait_for(lambda: fleet.confirmed(place, fleet.two) and not gate_has(fleet.one, 1))
    wait_for(lambda: str(file) in fleet.one.agent.status)
    assert not fleet.confirmed(place, fleet.one)
    file.rmdir()
    wait_for(lambda: fleet.confirmed(place, fleet.one), 40)
    assert file.is_file() and stat.S_IMODE(file.stat().st_mode) == 0o600
    wait_for(lambda: str(file) not in fleet.one.agent.status)
    words = file.read_text()
    assert full_fingerprint(token(1)) in words and token(1) not in words


def test_a_damaged_file_is_told_and_what_is_whole_of_it_still_counts(fleet: Fleet) -> None:
    fleet.start()
    issue(fleet, 1, 2, 3)
    copy = fleet.hub.backup()
    fleet.hub.operate(*revoke(1))
    place = fleet.hub.operate(*revoke(2))
    wait_for(lambda: fleet.confirmed(place))
    down(fleet)
    for gate in fleet.gates.values():
        file = gate.agent.state / NAME
        text = file.read_bytes()
        # The host lost its power while it wrote.
        file.write_bytes(b"\xff" * 20 + text.replace(b"token", b"taken") if gate is fleet.one else text[:-9])
    come_back(fleet, copy)
    fleet.start()
    for gate in fleet.gates.values():
        wait_for(gate.marker.exists)
        assert "is damaged" in gate.agent.status and str(gate.agent.state / NAME) in gate.agent.status
    wait_for(lambda: all(len(gate.tokens()) == 2 for gate in fleet.gates.values()))
    assert fleet.one.tokens() == fleet.two.tokens() and gate_has(fleet.one, 3)


def test_what_has_ended_is_not_told_again_and_goes_from_the_file(fleet: Fleet) -> None:
    fleet.start()
    jti = hashlib.sha256(b"a short one").hexdigest()
    issue(fleet, 1)
    copy = fleet.hub.backup()
    end = int(time.time()) + 4
    fleet.hub.operate(*records.take_back(TOKENS, jti, until=end))
    place = fleet.hub.operate(*revoke(1))
    wait_for(lambda: fleet.confirmed(place))
    assert all(jti in (gate.agent.state / NAME).read_text() for gate in fleet.gates.values())
    wait_for(lambda: time.time() > end + 0.5)
    restored(fleet, copy)
    assert {"type": "revoke", "fingerprint": full_fingerprint(token(1))} in all_told(fleet)
    assert not any("token_id" in fields for fields in all_told(fleet))
    for gate in fleet.gates.values():
        # With the first look through the store
        wait_for(lambda gate=gate: jti not in (gate.agent.state / NAME).read_text())


def test_what_an_operator_has_issued_anew_stays(fleet: Fleet) -> None:
    fleet.start()
    copy = fleet.hub.backup()
    fleet.hub.operate(*records.issue(token(1), "client-1", 500))
    wait_for(lambda: gate_has(fleet.one, 1) and gate_has(fleet.two, 1))
    fleet.hub.operate(*revoke(1))
    wait_for(lambda: fleet.one.tokens() == fleet.two.tokens() == [])
    place = fleet.hub.operate(*records.issue(token(1), "client-1", 500))
    wait_for(lambda: fleet.confirmed(place))
    restored(fleet, copy)
    assert gate_has(fleet.one, 1) and gate_has(fleet.two, 1) and all_told(fleet) == []


def test_what_is_told_again_is_told_once_and_starts_are_quiet(fleet: Fleet) -> None:
    fleet.start()
    issue(fleet, 1, 2)
    copy = fleet.hub.backup()
    fleet.hub.operate(*revoke(1))
    place = fleet.hub.operate(*records.cut_off("client-2"))
    wait_for(lambda: fleet.confirmed(place))
    before = {name: (gate.agent.state / NAME).read_bytes() for name, gate in fleet.gates.items()}
    # All is read anew, and is there already.
    down(fleet)
    fleet.start()
    for gate in fleet.gates.values():
        wait_for(gate.marker.exists)
    assert all_told(fleet) == []
    assert {name: (gate.agent.state / NAME).read_bytes() for name, gate in fleet.gates.items()} == before
    restored(fleet, copy)
    wait_for(lambda: {tuple(sorted(fields)) for fields in all_told(fleet)} == {("fingerprint", "type"), CUT})
    down(fleet)
    fleet.start()
    for gate in fleet.gates.values():
        wait_for(gate.marker.exists)
    assert all(own(fleet, name).count(fields) == 1 for name in fleet.gates for fields in own(fleet, name))
    assert len(all_told(fleet)) <= 4
