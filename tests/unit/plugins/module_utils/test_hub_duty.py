# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The duty that follows the hub, without a hub. tests/functional/test_hub_tokens.py has it with one."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub as hub_duty
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub_position
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.duty import Turns
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub import URGENT, FollowHub
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub_marker import Marker
from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import records
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.following import Reading
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Merge, Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.settings import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint


class Gate:
    """What the duty asks of the agent, noted."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, about: str, problem: str) -> None:
        self.notes.append((about, problem))

    def say(self, line: str) -> None:
        self.notes.append(("said", line))


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def duty(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FollowHub]:
    """One whose threads do nothing."""
    monkeypatch.setattr("threading.Thread.start", lambda self: None)
    (tmp_path / "tokens").mkdir()
    settings = Settings("f", "g1", (("localhost", 1),), "gate-g1", "/none")
    found = FollowHub(gate, settings, str(tmp_path / "tokens"), str(tmp_path))  # type: ignore[arg-type]
    yield found
    found.close()


def test_what_is_handed_over_during_a_pause_is_taken_and_keeps_nobody_awake(
    duty: FollowHub, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: FollowHub) -> None:
        raise HostError("the store is locked")

    monkeypatch.setattr(hub_duty.FollowHub, "_work", fail)
    turns = Turns(gate.note)
    for number in range(3):
        duty._inbox.put(URGENT, Reading(URGENT, 1, 1000 + number))
        turns.do(duty)
        assert select.select(duty.descriptors(), [], [], 0)[0] == []
    assert ("hub work", "hub: the store is locked") in gate.notes


def test_a_flood_of_what_is_refused_is_no_flood_of_notes(duty: FollowHub, gate: Gate) -> None:
    for number in range(1, 300):
        record = records.read(records.OPERATE, (number, 0), [b"type", b"nonsense"])
        duty._inbox.put(URGENT, Reading(URGENT, 1, 1000, [record]))
        duty.turn()
    said = {problem for about, problem in gate.notes if about == "hub records" and problem}
    assert 5 <= len(said) <= 9


def test_the_same_id_on_a_server_that_has_less_is_another_token_s(duty: FollowHub) -> None:
    """The clock of the new primary is behind that of the former one, so that ids are used a second time."""
    duty._store.before, duty._reached = {"issue:app": (2000, 0)}, {"issue:app": (2000, 0)}
    duty._take(Reading(URGENT, 1, 1000, targets={"issue:app": (900, 0), records.OPERATE: (10, 0)}))
    new = records.Issue("issue:app", (1500, 0), "token-of-the-new-server", None, None)
    old = records.Issue("issue:app", (800, 0), "token-of-both-servers-", None, None)
    assert not duty._store._was_written(new), "it was never here: taking it for removed would revoke it everywhere"
    assert duty._store._was_written(old) and duty._reached == {"issue:app": (900, 0)}


POSITION = {"fleet": "f", "store": None, "done": [["operate", [5, 0]]], "pending": ["a" * 64], "mark": "b"}


@pytest.mark.parametrize(
    "wrong", [{"store": [float("inf")]}, {"done": [["operate", [float("inf"), 0]]]}, {"pending": 5}, {"done": [[]]}]
)
def test_a_damaged_position_is_told_and_ends_no_agent(tmp_path: Path, wrong: dict[str, object]) -> None:
    file = tmp_path / hub_position.POSITION
    file.write_text(json.dumps({**POSITION, **wrong}))
    with pytest.raises(HostError, match="holds no position"):
        hub_position.load(str(tmp_path), "f")
    file.write_text(json.dumps({name: value for name, value in POSITION.items() if name != "mark"}))
    found = hub_position.load(str(tmp_path), "f")
    assert found is not None and (found.pending, found.mark) == (("a" * 64,), "")


def test_what_waits_for_a_store_that_is_away_keeps_nobody_awake(duty: FollowHub, tmp_path: Path) -> None:
    fields = [word.encode() for word in records.revoke("a" * 64)]
    duty._inbox.put(URGENT, Reading(URGENT, 1, 1000, [records.read(records.OPERATE, (1, 0), fields)]))
    (tmp_path / "tokens").rmdir()
    duty.turn()
    found = duty.next_turn()
    assert found is not None and duty._has_urgent and found > time.monotonic() + 0.5


def test_what_is_told_again_is_in_one_file_and_not_in_that_which_is_written_whole(
    duty: FollowHub, tmp_path: Path
) -> None:
    former = Merge({})
    former.feed(records.read(records.OPERATE, (1, 0), [word.encode() for word in records.revoke("a" * 64)]), 1000)
    duty._append_lost(former)
    duty._revoke(["b" * 64])
    found = hub_position.load(str(tmp_path), "f")
    assert found is not None and found.pending == ("b" * 64,) and duty._store.pending == {"a" * 64, "b" * 64}


def test_positions_count_in_the_hub_that_they_are_of(duty: FollowHub) -> None:
    for mark, before in ((duty._hub_mark, {"operate": (5, 0)}), ("", {}), ("of another gate", {})):
        duty._store.before, duty._reached = {"operate": (5, 0)}, {"operate": (5, 0)}
        duty._take(Reading(URGENT, 1, 1000, targets={"operate": (9, 0)}, mark=mark))
        assert duty._store.before == duty._reached == before


def test_a_marker_that_somebody_has_removed_is_made_anew_once_the_hub_answers(duty: FollowHub, tmp_path: Path) -> None:
    marker = tmp_path / "caught-up"
    duty._marker, duty._number, duty.is_caught_up = Marker(str(marker)), 1, True
    duty.turn()
    assert marker.exists()
    marker.unlink()
    duty.turn()
    assert not marker.exists(), "without a word of the hub nobody knows whether the gate may let anybody in"
    duty._inbox.put(URGENT, Reading(URGENT, 1, 1000))
    duty.turn()
    assert marker.exists()


def test_what_was_revoked_on_a_server_that_has_gone_before_all_was_read_is_told_to_the_next_one(
    duty: FollowHub,
) -> None:
    """A hub that fails over twice, or is restored while it fails over."""
    tokens = [f"token-of-the-hub-{number}" for number in range(4)]
    digests = [full_fingerprint(token) for token in tokens]

    def entry(place: int, *words: str) -> records.Record:
        return records.read(records.OPERATE, (place, 0), [word.encode() for word in words])

    issues = [entry(number + 1, *records.issue(token, token[-1])) for number, token in enumerate(tokens)]

    def read(generation: int, *given: records.Record, is_all: bool) -> None:
        last = given[-1].id if is_all else (99, 0)
        duty._inbox.put(URGENT, Reading(URGENT, generation, 1000, given, targets={records.OPERATE: last}))
        duty.turn()

    # Without files: nothing is to be removed.
    duty._store.apply = lambda *_arguments: set()  # type: ignore[method-assign]
    read(1, *issues, entry(10, *records.revoke(digests[0])), is_all=True)
    assert duty.is_caught_up and duty._store.pending == set()
    # By the fingerprint, by a part of it and by the subject
    taken_back = [records.revoke(digests[1]), records.revoke(digests[2][:20]), records.cut_off("3")]
    read(2, *issues, *(entry(11 + number, *words) for number, words in enumerate(taken_back)), is_all=False)
    assert not duty.is_caught_up
    read(3, *issues, is_all=False)
    read(4, *issues, is_all=True)
    assert duty.is_caught_up and duty._store.pending == {*digests[:3], digests[2][:20]}
    told = [fields for _what, fields, _least in duty._writer._queue.queue]
    assert records.cut_off("3") + ["at", "13-0"] in told and duty._merge.is_barred(tokens[3])


def test_what_was_refused_and_counts_later_was_not_removed(duty: FollowHub) -> None:
    """Its issuer may have more by now, or other entries of it were trimmed."""
    duty._merge = Merge({"app": Rules(60, max_tokens=1), "other": Rules(60)})
    for issuer in ("app", "other"):
        for number in (1, 2) if issuer == "app" else (1,):
            token = f"token-of-{issuer}-{number}".ljust(20, "-")
            fields = [word.encode() for word in ("token", token, "subject", "a", "ttl", "60")]
            duty._merge.feed(records.read(f"issue:{issuer}", (number, 0), fields), 1000)
    duty.is_caught_up = True
    duty._settle()
    assert duty._merge.refusing == {"issue:app"}
    assert duty._reached == {"issue:other": (1, 0)}
