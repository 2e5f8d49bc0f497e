# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent does about signed tokens that were taken back, by a gate that only notes what it is asked."""

from __future__ import annotations

import os
import select
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import prune as prune_program
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import revocations
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.causes import REVOKED
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.duty import Turns
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.revocations import Revoked
from ansible_collections.wssgate.nginx.plugins.module_utils._host import locks
from ansible_collections.wssgate.nginx.plugins.module_utils._revocations import store
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import Session

NOW = int(time.time())


class Gate:
    def __init__(self) -> None:
        self.open: dict[tuple[str, str, str], Session] = {}
        self.ended: list[str] = []
        self.notes: dict[str, str] = {}
        self.said: list[str] = []

    def open_sessions(self) -> t.Mapping[tuple[str, str, str], Session]:
        return self.open

    def end(self, sessions: t.Iterable[Session], cause: str, *, latest: t.Any = None) -> int:
        assert cause == REVOKED
        self.ended += [session.key[1] for session in sessions]
        return 0

    def note(self, about: str, problem: str) -> None:
        self.notes[about] = problem

    def say(self, line: str) -> None:
        self.said.append(line)

    def begin(self, number: str, token_id: str = "", subject: str = "", issued: int | None = NOW - 10) -> Session:
        key = ("1", number, "1")
        self.open[key] = Session(key, float(NOW), None, "", "", b"", "a", "/", None, token_id, subject, issued)
        return self.open[key]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "PLACE", str(tmp_path / "locks"))
    path = tmp_path / "revoked"
    for kind in ("", *store.KINDS):
        (path / kind).mkdir(mode=0o710)
    return path


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def duty(gate: Gate, path: Path) -> Iterator[Revoked]:
    duty = Revoked(gate, str(path))
    yield duty
    duty.close()


def pause(duty: Revoked) -> float | None:
    moment = duty.next_turn()
    return None if moment is None else moment - time.monotonic()


def run(duty: Revoked, until: t.Callable[[], object]) -> None:
    """As the agent's loop does."""
    deadline = time.monotonic() + 5
    while not until():
        assert time.monotonic() < deadline
        left = pause(duty)
        select.select(duty.descriptors(), [], [], 0.5 if left is None else max(0.0, min(left, 0.5)))
        duty.turn()


A, B = "a" * 64, "b" * 64


def test_all_sessions_are_judged_at_the_start_and_each_new_one(gate: Gate, duty: Revoked, path: Path) -> None:
    store.revoke_token(A, NOW + 86400, str(path))
    store.cut_off_subject("ann", NOW, NOW + 86400, str(path))
    gate.begin("1", A)
    gate.begin("2", B)
    gate.begin("3", B, "ann")
    gate.begin("4", B, "ann", NOW)
    gate.begin("5", "", "ann", None)
    gate.begin("6")
    duty.turn()
    assert gate.ended == ["1", "3", "5"]
    # nginx judged it before the token was taken back, and logged it after the agent had heard of that.
    duty.started([gate.begin("7", A), gate.begin("8", B)])
    assert pause(duty) is not None and pause(duty) <= 0  # type: ignore[operator]
    duty.turn()
    assert gate.ended == ["1", "3", "5", "7"]
    left = pause(duty)
    assert left is not None and left > 900
    duty.turn()
    assert gate.ended == ["1", "3", "5", "7"]


def test_an_entry_ends_those_that_it_is_about(gate: Gate, duty: Revoked, path: Path) -> None:
    duty.turn()
    assert pause(duty) is None
    gate.begin("1", A, "ann")
    gate.begin("2", B, "bob")
    (path / "jti" / A).touch()
    run(duty, lambda: gate.ended == ["1"])
    store.cut_off_subject("bob", NOW, NOW + 86400, str(path))
    run(duty, lambda: gate.ended == ["1", "2"])


def test_without_inotify_it_looks_twice_a_second(gate: Gate, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations.Inotify, "or_none", lambda: None)
    duty = Revoked(gate, str(path))
    duty.turn()
    gate.begin("1", A)
    (path / "jti" / A).touch()
    assert 0.3 < (pause(duty) or 0) <= 0.5
    run(duty, lambda: gate.ended == ["1"])


def test_a_time_that_is_written_by_parts_is_waited_for(gate: Gate, duty: Revoked, path: Path) -> None:
    duty.turn()
    gate.begin("1", "", "ann", NOW - 10)
    with (path / "sub" / store.id_of_subject("ann")).open("w") as file:
        duty.turn()
        assert gate.ended == []
        file.write(f"{NOW - 100}\n")
    run(duty, lambda: pause(duty) is None)
    assert gate.ended == []
    (path / "sub" / store.id_of_subject("ann")).write_text("soon")
    run(duty, lambda: gate.ended == ["1"])


def test_a_folder_that_is_not_there_is_told_of_only_where_it_is_needed(gate: Gate, path: Path) -> None:
    duty = Revoked(gate, str(path / "none"))
    duty.turn()
    assert gate.notes["no revocations"] == ""
    assert 50 < (pause(duty) or 0) <= 60
    duty.started([gate.begin("1", A)])
    duty.turn()
    assert gate.notes["no revocations"].startswith(f"{path}/none is not whole")
    assert (pause(duty) or 0) <= 1
    path.rename(path.parent / "aside")
    path.mkdir()
    (path.parent / "aside").rename(path / "none")
    (path / "none" / "jti" / A).touch()
    run(duty, lambda: gate.ended == ["1"])
    assert gate.notes["no revocations"] == ""
    duty.close()


def test_a_watch_that_was_given_up_starts_nothing_over(gate: Gate, duty: Revoked, path: Path) -> None:
    duty.turn()
    (path / "sub").rename(path / "aside")
    (path / "aside").rename(path / "sub")
    run(duty, lambda: pause(duty) is None)
    turns = 0
    while turns < 5 and select.select(duty.descriptors(), [], [], 0.1)[0]:
        duty.turn()
        turns += 1
    assert turns < 5


def test_what_happened_before_there_was_a_watch_is_looked_at(
    gate: Gate, duty: Revoked, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: t.Any) -> int:
        raise OSError(28, "no watch is left")

    with monkeypatch.context() as patch:
        patch.setattr(revocations.Inotify, "add", refuse)
        duty.turn()
        gate.begin("1", A)
        (path / "jti" / A).touch()
    # The kernel has room again when a session comes.
    duty.started([gate.begin("2", B)])
    duty.turn()
    assert gate.ended == ["1"]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, revocations):
        monkeypatch.setattr(module, "STAYS", 0.2)


@pytest.mark.usefixtures("soon")
def test_what_is_over_goes_and_the_rest_stays(gate: Gate, duty: Revoked, path: Path) -> None:
    duty.turn()
    store.revoke_token(A, int(time.time()) + 1, str(path))
    store.cut_off_subject("ann", NOW, int(time.time()) + 1, str(path))
    store.revoke_token(B, NOW + 86400, str(path))
    (path / "jti" / ("c" * 64)).touch()
    (path / "sub" / store.id_of_subject("bob")).mkdir()
    (path / "jti" / ".wssgate-killed").touch()
    run(duty, lambda: gate.said)
    assert gate.said == ["removed 2 revocations of signed tokens whose time is over"]
    assert sorted(os.listdir(path / "jti")) == [B, "c" * 64]
    assert os.listdir(path / "sub") == [store.id_of_subject("bob")]
    assert (pause(duty) or 0) > 800


@pytest.mark.usefixtures("soon")
def test_what_cannot_be_removed_holds_up_no_end(
    gate: Gate, duty: Revoked, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: t.Any, **__: t.Any) -> None:
        raise PermissionError(1, "immutable")

    store.revoke_token(A, int(time.time()) + 1, str(path))
    turns = Turns(gate.note)
    monkeypatch.setattr(store.os, "unlink", refuse)
    deadline = time.monotonic() + 5
    while not gate.notes.get("old revocations"):
        assert time.monotonic() < deadline
        turns.do(duty)
        time.sleep(0.05)
    assert "cannot be removed: Operation not permitted" in gate.notes["old revocations"]
    assert 50 < (pause(duty) or 0) <= 60
    monkeypatch.undo()
    duty.started([gate.begin("1", A)])
    turns.do(duty)
    assert gate.ended == ["1"]


def test_an_end_is_that_of_the_token_and_the_gate_s_clock_may_be_late(path: Path) -> None:
    now = int(time.time())
    store.revoke_token(A, now + 100, str(path))
    for late in (0, 99, 100, 130, 159):
        assert store.prune(now + late, str(path)) == 0
    assert store.is_void(A, "", None, str(path))
    assert store.prune(now + 161, str(path)) == 1
    assert not store.is_void(A, "", None, str(path))
    assert store.prune(now, str(path / "none")) == 0


def test_the_pruner_does_it_where_no_agent_runs(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokens").mkdir(mode=0o700)
    store.revoke_token(A, int(time.time()) + 1, str(path))
    words = ["--store", str(tmp_path / "tokens"), "--revocations", str(path)]
    assert prune_program.main(words) == 0
    assert (capsys.readouterr().out, os.listdir(path / "jti")) == ("", [A])
    monkeypatch.setattr(store, "STAYS", -10.0)
    assert prune_program.main(words) == 0
    assert capsys.readouterr().out == "removed 1 revocations of signed tokens whose time is over\n"
    assert os.listdir(path / "jti") == []
    (path / "jti").rename(path / "aside")
    (path / "jti").symlink_to("aside")
    assert prune_program.main(words) == 3
    assert "is a symlink" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("former", "wanted", "found"),
    [
        ((100, 50), (100, 50), None),
        ((100, 50), (90, 40), None),
        ((100, 50), (90, 60), (100, 60)),
        ((100, 50), (110, 40), (110, 50)),
        ((None, 50), (110, 40), None),
        ((None, 50), (110, 60), (None, 60)),
    ],
)
def test_of_two_cut_offs_the_later_time_and_the_later_end_count(former: t.Any, wanted: t.Any, found: t.Any) -> None:
    entries = [store.Entry(store.SUBJECTS, A, *one) for one in (former, wanted)]
    result = store.merged(entries[1], entries[0])
    assert (None if result is None else (result.until, result.issued_before)) == found
