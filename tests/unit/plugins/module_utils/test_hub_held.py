# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of what a gate has taken back. tests/functional/test_hub_restored.py has it with a hub."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import hub_held
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.hub_held import HeldFile
from ansible_collections.wssgate.nginx.plugins.module_utils._host import files
from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import held, records
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Merge, Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import full_fingerprint

NOW = 1_800_000_000
TTL = 600
RULES = {"app": Rules(TTL)}
YEAR = records.LONGEST
UNKNOWN = 2 * TTL + 3600
OTHER_DIGITS = str.maketrans("0123456789abcdef", "123456789abcdef0")


def token(number: int) -> str:
    return f"token-of-the-file-{number:06}"


def digest(number: int) -> str:
    return full_fingerprint(token(number))


class Gate:
    """A merge and the file, as the duty has them."""

    def __init__(self, folder: Path, fleet: str = "f") -> None:
        self.merge = Merge(RULES)
        self.file = HeldFile(str(folder), fleet)
        self.path = folder / hub_held.NAME
        self.place = 0

    def take(self, *given: tuple[str, Sequence[str]], at: int = NOW) -> None:
        """Records of streams, one after the other, at a second."""
        found = []
        for stream, words in given:
            self.place += 1
            found.append(records.read(stream, (at * 1000, self.place), [word.encode() for word in words]))
        self.file.note(found, [self.merge.feed(one, at * 1000) for one in found])

    def keep(self, now: int = NOW) -> None:
        while self.file.is_behind:
            self.file.keep(self.merge, now)

    def former(self, now: int = NOW) -> Merge:
        """What an agent has that starts now."""
        return HeldFile(str(self.path.parent), "f").former(Merge(RULES), now) or Merge(RULES)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def issued(number: int, ttl: int = TTL) -> tuple[str, list[str]]:
    return "issue:app", ["token", token(number), "subject", f"client-{number}", "ttl", str(ttl)]


def revoked(number: int, stream: str = records.OPERATE) -> tuple[str, list[str]]:
    return stream, records.revoke(digest(number))


def operated(words: list[str]) -> tuple[str, list[str]]:
    return records.OPERATE, words


def test_what_is_taken_back_is_on_the_disk_and_known_by_the_next_agent(gate: Gate) -> None:
    name = "ab" * 32
    void = "revoked:g1", records.void("app", ((NOW + 70) * 1000, 0))
    gate.take(
        issued(1), revoked(1), revoked(2, "revoked:g1"), operated(records.revoke(digest(3)[:12])),
        operated(records.cut_off("client with blanks  ä")), operated(records.cut_off("b", NOW - 5, NOW - 6, NOW + 7)),
        operated(records.take_back("jti", name, until=NOW + 9)), void,
    )  # fmt: skip
    assert gate.file.is_behind and not gate.path.exists()
    gate.keep()
    assert stat.S_IMODE(gate.path.stat().st_mode) == 0o600
    found = gate.former()
    for fingerprint in (digest(1), digest(2), digest(3)[:12]):
        assert found.revocation_of(fingerprint) is not None
        assert found.revocation_of(fingerprint) == gate.merge.revocation_of(fingerprint)
    assert set(found.cut_offs()) == set(gate.merge.cut_offs()) and len(found.cut_offs()) == 2
    assert found.signed == gate.merge.signed and found.voids() == gate.merge.voids()
    assert token(1) not in gate.path.read_text() and found.lost_by(gate.merge) == set()


def test_each_goes_with_the_end_of_what_it_concerns(gate: Gate) -> None:
    name = "cd" * 32
    standing = operated(records.issue(token(4), "d"))
    gate.take(
        issued(1, 60), revoked(1), revoked(2), standing, revoked(4), operated(records.revoke(digest(3)[:12])),
        operated(records.cut_off("client-1")), operated(records.cut_off("d", None, None, NOW + 7)),
        operated(records.take_back("jti", name, until=NOW + 9)),
    )  # fmt: skip
    gate.keep()

    def has(now: int) -> set[str]:
        found = gate.former(now)
        there = {f"token {number}" for number in (1, 2, 4) if found.revocation_of(digest(number))}
        there |= {"part"} if found.revocation_of(digest(3)[:12]) else set()
        return there | {cut.subject for cut in found.cut_offs()} | {kind for kind, _name in found.signed}

    everything = {"token 1", "token 2", "token 4", "part", "client-1", "d", "jti", "sub"}
    assert has(NOW) == everything
    assert has(NOW + 59) == everything - {"jti"}, "the signed ones of a cut-off go with it"
    # By a minute clocks may differ.
    assert has(NOW + 122) == everything - {"jti", "token 1"}
    # One whose issue nobody knows lasts as long as an issuer's stream has it.
    assert has(NOW + UNKNOWN - 1) == has(NOW + 122)
    assert has(NOW + UNKNOWN + 1) == {"token 4", "part", "d", "sub"}, "the token has no end"
    assert has(NOW + 2 * YEAR - 1) == has(NOW + UNKNOWN + 1) and has(NOW + 2 * YEAR + 1) == set()
    # And from the file itself, too, with the look through the store
    size = gate.path.stat().st_size
    gate.file.tidy(NOW + UNKNOWN + 1)
    assert gate.path.stat().st_size < size * 0.6 and has(NOW) == {"token 4", "part", "d", "sub"}


def test_an_end_that_is_learned_later_counts_and_one_that_nobody_knows_any_more_stays(gate: Gate) -> None:
    gate.take(revoked(1), revoked(2))
    gate.keep()
    gate.take(issued(1, 60))
    gate.take(operated(records.issue(token(3), None, 9 * UNKNOWN)), revoked(3))
    gate.keep()
    assert gate.former(NOW + 122).revocation_of(digest(1)) is None
    assert gate.former(NOW + 122).revocation_of(digest(2)) is not None
    # An agent that is started once the issue was trimmed
    later = Gate(gate.path.parent)
    later.take(revoked(3), at=NOW + 1)
    later.keep()
    assert gate.former(NOW + 8 * UNKNOWN).revocation_of(digest(3)) is not None
    assert gate.former(NOW + 10 * UNKNOWN).revocation_of(digest(3)) is None


def test_what_an_operator_has_issued_anew_is_not_told_as_revoked(gate: Gate) -> None:
    gate.take(issued(1), revoked(1))
    gate.keep()
    gate.take(operated(records.issue(token(1), "a", 100)), at=NOW + 1)
    gate.keep()
    backup = Merge(RULES)
    backup.feed(records.read("issue:app", (NOW * 1000, 1), [word.encode() for word in issued(1)[1]]), NOW * 1000)
    assert gate.former().lost_by(backup) == set()


def test_a_cut_off_lasts_as_long_as_what_was_adopted_after_it(gate: Gate) -> None:
    gate.take(operated(records.cut_off("a")))
    gate.keep()
    gate.take(operated(records.adopt(token(1), "a", NOW - 50, None)), at=NOW + 1)
    gate.keep()
    assert [cut.subject for cut in gate.former(NOW + YEAR).cut_offs()] == ["a"]


def test_a_batch_is_appended_and_what_is_there_already_is_not(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.take(*(revoked(number) for number in range(1000)))
    gate.keep()
    before = gate.path.read_bytes()
    whole: list[str] = []
    write = files.write
    monkeypatch.setattr(files, "write", lambda path, *rest, **more: (whole.append(path), write(path, *rest, **more)))
    for number in range(1000, 1010):
        gate.take(revoked(number))
        gate.keep()
    after = gate.path.read_bytes()
    assert whole == [] and after.startswith(before) and after.count(b"\n") == before.count(b"\n") + 10
    # All is read anew: by the same agent, and by the next one.
    for one in (gate, Gate(gate.path.parent)):
        one.merge, one.place = Merge(RULES), 0
        one.take(*(revoked(number) for number in range(1010)))
        one.keep()
    assert gate.path.read_bytes() == after and whole == []


def test_a_turn_brings_so_many_to_the_disk(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_held, "AT_A_TIME", 10)
    gate.take(*(revoked(number) for number in range(25)))
    for left in (True, True, False):
        gate.file.keep(gate.merge, NOW)
        assert gate.file.is_behind == left
    assert all(gate.former().revocation_of(digest(number)) for number in range(25))


def test_the_file_is_written_anew_once_half_of_it_is_over(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_held, "SMALL", 2000)
    sizes = []
    for number in range(400):
        gate.take(operated(records.take_back("jti", "ab" * 32, until=NOW + 10 + number)), at=NOW)
        gate.keep()
        sizes.append(gate.path.stat().st_size)
    assert max(sizes) <= 2000 and gate.former().signed[("jti", "ab" * 32)].until == NOW + 409


def test_it_has_bounds_and_what_ends_first_is_left_out(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("KEPT", 20_000), ("LARGEST", 40_000), ("SMALL", 1000)):
        monkeypatch.setattr(hub_held, name, size)
    sizes = []
    for number in range(600):
        gate.take(issued(number, number + 1), revoked(number))
        gate.keep()
        sizes.append(gate.path.stat().st_size)
    assert max(sizes) <= 40_000
    assert "that end first are not in it" in gate.file.problem
    found = gate.former()
    there = [number for number in range(600) if found.revocation_of(digest(number))]
    assert there == list(range(there[0], 600)) and len(there) > 100


@pytest.mark.parametrize(
    "harm", ["cut off", "a digit", "lines in between", "no head", "zeros at the end", "not text", "another newer kind"]
)
def test_a_damaged_file_is_told_and_what_is_whole_of_it_counts(gate: Gate, harm: str) -> None:
    gate.take(*(revoked(number) for number in range(10)))
    gate.keep()
    data = gate.path.read_bytes()
    middle = data.index(b"\n", len(data) // 2)
    lost, harmed = {
        "cut off": (1, data[:-5]),
        "a digit": (1, data.replace(digest(4).encode(), digest(4).translate(OTHER_DIGITS).encode())),
        "lines in between": (0, data[: middle + 1] + b"\n\nx y z\n" + b"9" * 5000 + b"\n" + data[middle + 1 :]),
        "no head": (0, data[data.index(b"\n") + 1 :] + b"x"),
        "zeros at the end": (0, data + bytes(4096)),
        "not text": (0, data + b"\xff\xfe\x00\n"),
        "another newer kind": (0, data + held.line_of(b"newer", NOW * 2, "x")),
    }[harm]
    gate.path.write_bytes(harmed)
    again = HeldFile(str(gate.path.parent), "f")
    assert str(gate.path) in again.problem and "is damaged" in again.problem and len(again.problem) < 300
    found = again.former(Merge(RULES), NOW)
    assert found is not None
    assert sum(found.revocation_of(digest(number)) is not None for number in range(10)) == 10 - lost
    # The next one that is written is whole.
    later = Gate(gate.path.parent)
    later.take(revoked(11))
    later.keep()
    last = HeldFile(str(gate.path.parent), "f")
    assert last.problem == "" and last.former(Merge(RULES), NOW) is not None
    assert sum(gate.former().revocation_of(digest(number)) is not None for number in range(12)) == 11 - lost


def test_any_damage_is_survived(gate: Gate) -> None:
    gate.take(*(revoked(number) for number in range(3)), operated(records.cut_off("a", 5)))
    gate.keep()
    data = gate.path.read_bytes()
    for place in range(len(data)):
        for wrong in (data[:place], data[:place] + b"\x00" + data[place + 1 :], data[:place] + data[place + 1 :]):
            gate.path.write_bytes(wrong)
            found = HeldFile(str(gate.path.parent), "f")
            assert found.problem or wrong[-1:] == b"\n" or wrong == b""
            found.former(Merge(RULES), NOW)


def test_one_of_another_fleet_is_told_and_does_not_count(gate: Gate) -> None:
    gate.take(revoked(1))
    gate.keep()
    other = Gate(gate.path.parent, "other")
    assert "of another fleet" in other.file.problem and other.file.former(Merge(RULES), NOW) is None
    other.take(revoked(2))
    other.keep()
    assert HeldFile(str(gate.path.parent), "other").problem == ""
    assert digest(1) not in gate.path.read_text()


@pytest.mark.parametrize("what", ["a link", "a folder", "too large"])
def test_what_is_no_file_of_ours_is_told_and_not_followed(
    gate: Gate, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_text("somebody's\n")
    if what == "a link":
        gate.path.symlink_to(target)
    elif what == "a folder":
        gate.path.mkdir()
    else:
        monkeypatch.setattr(hub_held, "LARGEST", 1000)
        gate.path.write_bytes(b"x" * 1001)
    found = Gate(tmp_path)
    assert str(gate.path) in found.file.problem and "revoke" in found.file.problem
    assert found.file.former(Merge(RULES), NOW) is None
    found.take(revoked(1))
    if what == "too large":
        found.keep()
        assert gate.former().revocation_of(digest(1))
        return
    with pytest.raises((HostError, OSError)):
        found.keep()
    assert found.file.is_behind, "it is tried again, and nothing is confirmed meanwhile"
    assert target.read_text() == "somebody's\n"
    gate.path.rmdir() if what == "a folder" else gate.path.unlink()
    found.keep()
    assert gate.former().revocation_of(digest(1))


def test_a_file_that_somebody_has_removed_or_changed_is_written_anew(gate: Gate) -> None:
    gate.take(revoked(1))
    gate.keep()
    for number, harm in enumerate((gate.path.unlink, lambda: gate.path.write_bytes(b"half of")), 2):
        harm()
        gate.take(revoked(number))
        gate.keep()
        found = HeldFile(str(gate.path.parent), "f")
        assert found.problem == ""
        assert all(gate.former().revocation_of(digest(one)) for one in range(1, number + 1))


def test_what_anybody_may_append_to_a_stream_can_be_read_back(gate: Gate) -> None:
    """Ids of streams may be as large as they like."""
    last = (2**64 - 1, 2**64 - 1)
    for stream in (records.OPERATE, "revoked:g1"):
        found = records.read(stream, last, [word.encode() for word in records.revoke(digest(1))])
        gate.file.note([found], [gate.merge.feed(found, NOW * 1000)])
    gate.keep()
    assert HeldFile(str(gate.path.parent), "f").problem == ""
    assert gate.former().revocation_of(digest(1)) == gate.merge.revocation_of(digest(1))
