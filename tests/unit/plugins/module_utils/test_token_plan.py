# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.report import Filters, listing
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.request import Request, check_request
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.plan import Plan, make_plan, new_tokens
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import (
    Attributes,
    Draft,
    StoreError,
    document_of,
    fingerprint,
    full_fingerprint,
    is_token,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store

ONE = "one-token-of-16ch"
TWO = "two-token-of-16ch"
THREE = "three-token-of-16"
NOW = 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = tmp_path / "tokens"
    store.mkdir(mode=0o710)
    return store


def plan_for(path: Path, now: float = NOW, apply: bool = True, **arguments: Any) -> Plan:
    request = Request(**arguments)
    check_request(request, now)
    with open_store(str(path)) as store:
        plan = make_plan(store, request, now)
        if apply:
            plan.apply(store, request.attributes)
    return plan


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def put(path: Path, name: str, subject: str | None = None, ends: int | None = None, issued: int = NOW) -> None:
    with open_store(str(path)) as store:
        store.write([Draft(name, document_of(subject, issued, ends))], Attributes())


def end_of(path: Path, name: str) -> int | None:
    with open_store(str(path)) as store:
        token = store.look(name)
    assert token is not None
    return token.expires_at


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tokens": [ONE, "short"]}, r"tokens\[1\] is not a token: it has 5 characters, at least 16"),
        ({"tokens": ["e"]}, r"tokens\[0\] is not a token: it has 1 character, at least 16"),
        ({"tokens": [ONE, "x" * 129]}, r"tokens\[1\] is not a token: it has 129 characters, at most 128"),
        ({"tokens": [ONE, TWO, "../../etc/passwd"]}, r"tokens\[2\] is not a token: it holds a character other than"),
        ({"tokens": [ONE + "\n"]}, r"tokens\[0\] is not a token"),
        ({"tokens": ["a", ONE, "b", "c"]}, r"tokens\[0\] .* \(and 2 more, at 2, 3\)"),
        ({"exclusive": True, "tokens": []}, "exclusive with an empty list would remove every token"),
        ({"exclusive": True}, "exclusive with an empty list would remove every token"),
        ({"exclusive": True, "generate": 0}, "exclusive with an empty list would remove every token"),
        ({}, "nothing is asked for"),
        ({"state": "absent"}, "nothing is asked for"),
        ({"ttl": 0, "subject": "x"}, "ttl must be a number of seconds above 0, not 0"),
        ({"ttl": -5, "subject": "x"}, "ttl must be a number of seconds above 0, not -5"),
        ({"ttl": 10**12, "subject": "x"}, "year 9999"),
        ({"ttl": 5, "expires_at": NOW + 5, "subject": "x"}, "ttl and expires_at exclude each other"),
        ({"expires_at": NOW, "subject": "x"}, "expires_at is in the past: 2027-01-15T08:00:00Z"),
        ({"expires_at": (NOW + 5) * 1000, "subject": "x"}, "seconds, not milliseconds"),
        ({"subject": ""}, "subject must not be empty"),
        ({"subject": "a\x00b"}, "control character at position 1"),
        ({"subject": "ab\n"}, "control character at position 2"),
        ({"subject": "a\x9bb"}, "control character at position 1"),
        ({"subject": "a\u2028b"}, "control character at position 1"),
        ({"subject": "\ud800"}, "UTF-8"),
        ({"subject": "x" * 256}, "subject is too long: 256 bytes"),
        ({"subject": "ä" * 128}, "subject is too long: 256 bytes"),
        ({"subject": "x", "count": 0}, "count must be 1 or more"),
        ({"generate": -1}, "generate must be 0 or more"),
        ({"tokens": [ONE], "count": 1}, "count needs subject"),
        ({"tokens": [ONE], "count": 1, "subject": "x"}, "count is for a subject alone"),
        ({"subject": "x", "renew_before": 5}, "renew_before needs ttl"),
        ({"subject": "x", "renew_before": 60, "ttl": 60}, "renew_before must be above 0 and below ttl"),
        ({"subject": "x", "renew_before": 0, "ttl": 60}, "renew_before must be above 0 and below ttl"),
        ({"tokens": [ONE], "fingerprints": ["0c0beacef887"]}, "fingerprints is for state=absent"),
        ({"subject": "x", "expired": True}, "expired is for state=absent"),
        ({"tokens": [ONE], "disconnect": True}, "disconnect is for state=absent and for exclusive"),
        ({"state": "absent", "fingerprints": ["0c0beac"]}, r"fingerprints\[0\] is not a fingerprint"),
        ({"state": "absent", "fingerprints": ["0C0BEACEF887"]}, r"fingerprints\[0\] is not a fingerprint"),
        ({"state": "absent", "fingerprints": [ONE]}, r"fingerprints\[0\] is not a fingerprint"),
        ({"state": "absent", "subject": "x", "expired": True}, "not several"),
        ({"state": "absent", "subject": "x", "tokens": [ONE]}, "not several"),
        ({"state": "absent", "subject": "x", "ttl": 5}, "ttl is for state=present"),
        ({"state": "absent", "subject": "x", "exclusive": True}, "exclusive is for state=present"),
        ({"state": "absent", "subject": "x", "generate": 1}, "generate is for state=present"),
    ],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(path: Path, arguments: dict[str, Any], words: str) -> None:
    put(path, THREE, "x")
    before = names(path)
    with pytest.raises(StoreError, match=words) as error:
        plan_for(path, **arguments)
    assert names(path) == before
    for token in arguments.get("tokens") or ():
        assert token not in str(error.value) or len(token) < 2


def test_the_longest_subject_is_accepted(path: Path) -> None:
    assert len(plan_for(path, subject="ä" * 127 + "x").created) == 1


# present, by token


def test_tokens_are_created_once(path: Path) -> None:
    first = plan_for(path, tokens=[ONE, TWO, ONE])
    assert (first.created, first.unchanged) == ([ONE, TWO], 0)
    second = plan_for(path, tokens=[ONE, TWO, ONE])
    assert (second.is_change, second.unchanged) == (False, 2)


def test_a_plan_changes_nothing_until_it_is_applied(path: Path) -> None:
    put(path, TWO, "x", NOW - 5)
    plan = plan_for(path, apply=False, tokens=[ONE], exclusive=True, subject="x", ttl=60)
    assert plan.is_change
    assert names(path) == {TWO}


def test_generated_tokens_are_new_and_of_192_bits(path: Path) -> None:
    plan = plan_for(path, generate=50)
    assert len(set(plan.generated)) == 50
    assert names(path) == set(plan.generated)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", token) for token in plan.generated)
    assert new_tokens(0) == []
    assert all(is_token(token) for token in new_tokens(9))


def test_tokens_and_generated_ones_go_together(path: Path) -> None:
    plan = plan_for(path, tokens=[ONE], generate=1)
    assert names(path) == {ONE, *plan.generated}


@pytest.mark.parametrize("count", [10, 1500])
def test_many_tokens_are_told_apart_from_what_is_there(path: Path, count: int) -> None:
    tokens = [f"token-number-{number:06d}" for number in range(count)]
    put(path, tokens[1], "x", NOW - 1)
    put(path, tokens[2], "x", NOW + 1)
    (path / tokens[3]).touch()
    plan = plan_for(path, tokens=tokens)
    assert (len(plan.created), plan.updated, plan.unchanged) == (count - 3, [tokens[1]], 2)
    assert not plan_for(path, tokens=tokens).is_change
    (path / tokens[4]).unlink()
    (path / tokens[4]).symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="symlink"):
        plan_for(path, tokens=tokens)


def test_exclusive_removes_every_other_token_and_nothing_else(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO])
    put(path, THREE, "x", NOW + 5)
    (path / "README").touch()
    plan = plan_for(path, tokens=[ONE], exclusive=True)
    assert {token.name for token in plan.remove} == {TWO, THREE}
    assert names(path) == {ONE, "README"}
    assert [thing.kind for thing in plan.foreign] == ["foreign name"]
    assert not plan_for(path, tokens=[ONE], exclusive=True).is_change


def test_exclusive_with_generate_rotates_every_token(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO])
    plan = plan_for(path, generate=1, exclusive=True)
    assert names(path) == set(plan.generated)


def test_exclusive_empties_the_store_only_when_that_is_allowed(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO])
    plan_for(path, tokens=[], exclusive=True, allow_empty=True)
    assert names(path) == set()


def test_exclusive_with_a_subject_leaves_other_subjects_alone(path: Path) -> None:
    put(path, ONE, "x", NOW + 60)
    put(path, TWO, "y", NOW + 60)
    plan_for(path, tokens=[THREE], subject="x", ttl=60, exclusive=True)
    assert names(path) == {TWO, THREE}


def test_an_empty_list_that_is_not_exclusive_changes_nothing(path: Path) -> None:
    assert not plan_for(path, tokens=[]).is_change


def test_a_valid_managed_token_is_left_as_it_is_when_only_its_presence_is_asked_for(path: Path) -> None:
    put(path, ONE, "x", NOW + 60)
    assert not plan_for(path, tokens=[ONE]).is_change
    assert end_of(path, ONE) == NOW + 60


@pytest.mark.parametrize("content", ['{"expires_at": 5}', "{broken"])
def test_an_ended_or_corrupt_token_asked_for_becomes_valid(path: Path, content: str) -> None:
    (path / ONE).write_text(content)
    plan = plan_for(path, tokens=[ONE])
    assert plan.updated == [ONE]
    assert (path / ONE).stat().st_size == 0
    assert not plan_for(path, tokens=[ONE]).is_change


def test_given_tokens_get_subject_and_end(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO], subject="x", expires_at=NOW + 60)
    assert end_of(path, ONE) == end_of(path, TWO) == NOW + 60
    assert not plan_for(path, now=NOW + 10, tokens=[ONE, TWO], subject="x", expires_at=NOW + 60).is_change


def test_another_end_or_subject_rewrites_a_given_token(path: Path) -> None:
    plan_for(path, tokens=[ONE], subject="x", expires_at=NOW + 60)
    assert plan_for(path, tokens=[ONE], subject="x", expires_at=NOW + 90).updated == [ONE]
    assert end_of(path, ONE) == NOW + 90
    assert plan_for(path, tokens=[ONE], subject="y").updated == [ONE]
    assert end_of(path, ONE) == NOW + 90


def test_a_touched_token_becomes_managed_only_when_named_with_subject_or_end(path: Path) -> None:
    (path / ONE).touch()
    assert not plan_for(path, tokens=[ONE]).is_change
    assert plan_for(path, tokens=[ONE], ttl=60).updated == [ONE]
    assert end_of(path, ONE) == NOW + 60


def test_a_ttl_does_not_prolong_a_valid_token_and_renewal_does(path: Path) -> None:
    plan_for(path, tokens=[ONE], ttl=100)
    assert not plan_for(path, now=NOW + 50, tokens=[ONE], ttl=100).is_change
    assert not plan_for(path, now=NOW + 50, tokens=[ONE], ttl=100, renew_before=49).is_change
    assert plan_for(path, now=NOW + 50, tokens=[ONE], ttl=100, renew_before=50).updated == [ONE]
    assert end_of(path, ONE) == NOW + 150


def test_attributes_of_files_that_are_there_follow(path: Path) -> None:
    (path / ONE).touch(mode=0o644)
    wanted = Attributes(mode=0o600)
    plan = plan_for(path, tokens=[ONE], attributes=wanted)
    assert plan.updated == [ONE]
    assert (path / ONE).stat().st_mode & 0o777 == 0o600
    assert not plan_for(path, tokens=[ONE], attributes=wanted).is_change


# present, by subject


def test_a_subject_has_one_token_and_keeps_it(path: Path) -> None:
    first = plan_for(path, subject="x", ttl=60)
    assert len(first.generated) == 1
    second = plan_for(path, now=NOW + 59, subject="x", ttl=60)
    assert (second.is_change, second.unchanged, second.generated) == (False, 1, [])


def test_a_subject_whose_token_has_ended_gets_another(path: Path) -> None:
    old = plan_for(path, subject="x", ttl=60).generated
    new = plan_for(path, now=NOW + 60, subject="x", ttl=60).generated
    assert len(new) == 1 and new != old
    assert names(path) == {*old, *new}  # pruning removes the old one


def test_a_subject_is_matched_exactly(path: Path) -> None:
    plan_for(path, subject="x", ttl=60)
    assert plan_for(path, subject="X", ttl=60).is_change
    assert plan_for(path, subject="x ", ttl=60).is_change


def test_a_subject_can_have_several_tokens(path: Path) -> None:
    assert len(plan_for(path, subject="x", count=3).generated) == 3
    assert len(plan_for(path, subject="x", count=5).generated) == 2
    assert not plan_for(path, subject="x", count=2).is_change


def test_exclusive_removes_what_a_subject_has_beyond_its_count_those_that_end_first(path: Path) -> None:
    put(path, ONE, "x", NOW + 10)
    put(path, TWO, "x", None)
    put(path, THREE, "x", NOW + 99)
    put(path, "ended-token-of-16", "x", NOW - 1)
    put(path, "other-token-of-16", "y", NOW + 5)
    plan_for(path, subject="x", count=2, exclusive=True)
    assert names(path) == {TWO, THREE, "other-token-of-16"}


def test_a_token_about_to_end_is_replaced_and_stays_valid_until_then(path: Path) -> None:
    old = plan_for(path, subject="x", ttl=100).generated[0]
    assert not plan_for(path, now=NOW + 79, subject="x", ttl=100, renew_before=20).is_change
    for exclusive in (False, True):
        plan_for(path, now=NOW + 80, subject="x", ttl=100, renew_before=20, exclusive=exclusive)
        assert old in names(path)
        assert len(names(path)) == 2
    assert end_of(path, old) == NOW + 100


def test_a_subject_without_end_is_never_renewed(path: Path) -> None:
    plan_for(path, subject="x")
    assert not plan_for(path, now=NOW * 2, subject="x", ttl=100, renew_before=20).is_change


def test_generate_with_a_subject_always_makes_new_ones(path: Path) -> None:
    plan_for(path, subject="x", ttl=60, generate=1)
    plan_for(path, subject="x", ttl=60, generate=1)
    assert len(names(path)) == 2


def test_a_corrupt_file_is_nobodys_token(path: Path) -> None:
    (path / ONE).write_text('{"subject": "x"')
    assert len(plan_for(path, subject="x").generated) == 1


# absent


def test_tokens_are_removed_once(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO])
    assert [token.name for token in plan_for(path, state="absent", tokens=[ONE, THREE]).remove] == [ONE]
    assert names(path) == {TWO}
    assert not plan_for(path, state="absent", tokens=[ONE]).is_change


def test_a_token_is_removed_by_its_fingerprint(path: Path) -> None:
    plan_for(path, tokens=[ONE, TWO])
    plan_for(path, state="absent", fingerprints=[fingerprint(ONE), "ffffffffffff"])
    assert names(path) == {TWO}
    plan_for(path, state="absent", fingerprints=[full_fingerprint(TWO)])
    assert names(path) == set()


def test_a_fingerprint_that_matches_two_tokens_removes_none(path: Path) -> None:
    # their SHA-256 begin with the same 8 digits
    pair = ["collision-0000008813", "collision-0000116081"]
    assert full_fingerprint(pair[0])[:8] == full_fingerprint(pair[1])[:8]
    plan_for(path, tokens=[*pair, ONE])
    with pytest.raises(StoreError, match="matches 2 tokens: give more of its 64 digits") as error:
        plan_for(path, state="absent", fingerprints=[fingerprint(ONE), full_fingerprint(pair[0])[:8]])
    assert names(path) == {*pair, ONE}
    assert fingerprint(pair[0]) in str(error.value) and pair[0] not in str(error.value)
    plan_for(path, state="absent", fingerprints=[fingerprint(pair[0])])
    assert names(path) == {pair[1], ONE}


def test_all_tokens_of_a_subject_are_removed(path: Path) -> None:
    put(path, ONE, "x", NOW + 5)
    put(path, TWO, "x", NOW - 5)
    put(path, THREE, "y", None)
    (path / "touched-token-16ch").touch()
    plan_for(path, state="absent", subject="x")
    assert names(path) == {THREE, "touched-token-16ch"}


def test_expired_removes_what_has_ended_and_sets_the_corrupt_aside(path: Path) -> None:
    put(path, ONE, "x", NOW)
    put(path, TWO, "x", NOW + 1)
    (path / THREE).write_text("{")
    (path / "touched-token-16ch").touch()
    plan = plan_for(path, state="absent", expired=True)
    assert [token.name for token in plan.remove] == [ONE]
    assert [token.name for token in plan.quarantine] == [THREE]
    assert names(path) == {TWO, ".corrupt-" + THREE, "touched-token-16ch"}


def test_a_symlink_named_as_a_token_is_not_removed_but_refused(path: Path) -> None:
    (path / ONE).symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="symlink"):
        plan_for(path, state="present", tokens=[TWO, ONE])
    (path / TWO).touch()
    plan = plan_for(path, state="absent", tokens=[ONE, TWO])
    assert [token.name for token in plan.remove] == [TWO] and "symlink" in plan.failures[0]
    assert names(path) == {ONE}


# The clock


def test_a_ttl_counted_from_a_clock_that_jumped_back_is_refused(path: Path) -> None:
    put(path, ONE, "y", NOW + 3600)
    with pytest.raises(StoreError, match="3600 s behind token .* a ttl counted from it would be wrong"):
        plan_for(path, now=NOW - 3600, subject="x", ttl=60)
    assert names(path) == {ONE}


def test_an_end_given_by_its_time_does_not_need_the_clock(path: Path) -> None:
    put(path, ONE, "y", NOW + 3600)
    plan = plan_for(path, now=NOW - 3600, subject="x", expires_at=NOW + 60)
    assert len(plan.generated) == 1
    assert any("behind" in warning for warning in plan.warnings)


def test_clocks_a_little_apart_are_fine(path: Path) -> None:
    put(path, ONE, "y", NOW + 3600)
    assert plan_for(path, now=NOW - 60, subject="x", ttl=60).warnings == []


def test_revoking_works_whatever_the_clock_says(path: Path) -> None:
    put(path, ONE, "y", NOW + 3600)
    plan_for(path, now=NOW - 10**8, state="absent", subject="y")
    assert names(path) == set()


# The diff


def test_a_diff_tells_by_fingerprint_what_the_plan_does(path: Path) -> None:
    put(path, ONE, "x", NOW + 60)
    (path / TWO).touch(mode=0o644)
    plan = plan_for(
        path, tokens=[TWO, THREE], exclusive=True, apply=False, attributes=Attributes(mode=0o600, uid=0, gid=0)
    )
    before, after = plan.diff(Attributes(mode=0o600, uid=0, gid=0), check_mode=True)
    text = "\n".join(before + after)
    assert not any(token in text for token in (ONE, TWO, THREE))
    assert f'{fingerprint(ONE)} managed subject="x" expires=2027-01-15T08:01:00Z' in before
    assert f"{fingerprint(THREE)} touched" in after
    assert [line for line in before if "mode=0644" in line] and [line for line in after if "mode=0600" in line]


def test_a_diff_in_check_mode_does_not_name_tokens_that_will_be_others(path: Path) -> None:
    plan = plan_for(path, apply=False, generate=1, subject="x", ttl=60)
    assert plan.diff(Attributes(), check_mode=True)[1] == [
        '(new token) managed subject="x" expires=2027-01-15T08:01:00Z'
    ]


# The list


def test_the_list_tells_all_about_a_token_but_its_name(path: Path) -> None:
    put(path, ONE, "x", NOW + 60)
    (path / TWO).touch()
    (path / THREE).write_text("{")
    (path / "README").touch()
    with open_store(str(path), write=False) as store:
        result = listing(store, Filters(), NOW + 10)
    assert result["tokens"][0] == {
        "fingerprint": fingerprint(ONE),
        "subject": "x",
        "form": "managed",
        "issued_at": NOW,
        "expires_at": NOW + 60,
        "seconds_left": 50,
        "valid": True,
    }
    assert result["totals"] == {
        "tokens": 3,
        "touched": 1,
        "managed": 1,
        "corrupt": 1,
        "expired": 0,
        "valid": 2,
        "subjects": 1,
        "foreign": 1,
    }
    assert not any(token in str(result) for token in (ONE, TWO, THREE, "README"))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(subjects=["x"]), {ONE, TWO}),
        (Filters(forms=["touched"]), {THREE}),
        (Filters(status="invalid"), {TWO}),
        (Filters(status="valid"), {ONE, THREE}),
        (Filters(expires_within=60), {ONE, TWO}),
        (Filters(expires_within=0), {TWO}),
        (Filters(fingerprints=[fingerprint(THREE)[:8]]), {THREE}),
        (Filters(subjects=["x"], status="valid"), {ONE}),
        (Filters(subjects=[]), set()),
    ],
)
def test_filters_narrow_the_list(path: Path, filters: Filters, expected: set[str]) -> None:
    put(path, ONE, "x", NOW + 60)
    put(path, TWO, "x", NOW - 60)
    (path / THREE).touch()
    with open_store(str(path), write=False) as store:
        found = {token["fingerprint"] for token in listing(store, filters, NOW)["tokens"]}
    assert found == {fingerprint(token) for token in expected}
