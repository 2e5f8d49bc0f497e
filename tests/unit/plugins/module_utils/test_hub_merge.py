# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the hub: what is read of them, whoever wrote them, and what follows from all of them together."""

from __future__ import annotations

import random
import typing as t

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import merge, records
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Merge, Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.records import (
    CutOff,
    Issue,
    Malformed,
    Revocation,
    TakenBack,
)
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import TOO_LONG
from ansible_collections.wssgate.nginx.tests.lib import hub_model

TOKEN, OTHER = "token-of-the-hub-1", "token-of-the-hub-2"
NOW = 1_800_000_000_000
RULES = {"one": Rules(60, ("app-",), 3), "two": Rules(3600)}
BOUNDS = {name: hub_model.Bounds(*rules) for name, rules in RULES.items()}


def sent(*words: str) -> list[bytes]:
    return [word.encode("utf-8", "surrogatepass") for word in words]


def entry(stream: str, place: records.Id, *words: str) -> records.Record:
    return records.read(stream, place, sent(*words))


def issued(
    place: int, token: str = TOKEN, subject: str = "app-a", ttl: int = 60, issuer: str = "one"
) -> records.Record:
    return entry(f"issue:{issuer}", (place, 0), "token", token, "subject", subject, "ttl", str(ttl))


def operated(place: int, *words: str) -> records.Record:
    return entry("operate", (place, 0), *words)


def revoked(place: int, token: str = TOKEN, gate: str = "g1") -> records.Record:
    return entry(f"revoked:{gate}", (place, 0), *records.revoke(merge.full_fingerprint(token)))


def fed(*given: records.Record, now: int = NOW) -> Merge:
    found = Merge(RULES)
    for one in given:
        found.feed(one, now)
    return found


# Records


def test_what_is_written_is_read() -> None:
    place = (NOW, 1)
    digest = merge.full_fingerprint(TOKEN)
    assert entry("operate", place, *records.issue(TOKEN, "ä b", 5)) == Issue("operate", place, TOKEN, "ä b", NOW + 5000)
    assert entry("operate", place, *records.issue(TOKEN, None, None, 7)) == Issue("operate", place, TOKEN, None, 7000)
    assert entry("operate", place, *records.issue(TOKEN)) == Issue("operate", place, TOKEN, None, None)
    assert entry("operate", place, *records.revoke(digest)) == Revocation("operate", place, digest)
    assert entry("operate", place, *records.cut_off("a")) == CutOff("operate", place, "a", None)
    assert entry("operate", place, *records.cut_off("a", 9)) == CutOff("operate", place, "a", 9)
    assert entry("operate", place, *records.cut_off("a", None, 8, 9)) == CutOff("operate", place, "a", None, 8, 9)
    adopted = Issue("operate", place, TOKEN, "a", 9000, 7)
    assert entry("operate", place, *records.adopt(TOKEN, "a", 7, 9)) == adopted
    assert entry("operate", place, *records.adopt(TOKEN, None, 0, None)).issued == 0
    for stream in ("operate", "revoked:g"):
        found = TakenBack(stream, place, "jti", digest, None, 5)
        assert entry(stream, place, *records.take_back("jti", digest, until=5)) == found
        found = TakenBack(stream, place, "sub", digest, 4, None)
        assert entry(stream, place, *records.take_back("sub", digest, before=4)) == found
    assert entry("revoked:g", place, *records.revoke(digest)) == Revocation("revoked:g", place, digest)
    cut = CutOff("operate", (5, 6), "a b", 7, 8, 9)
    again = records.cut_off_again(cut)
    assert entry("revoked:g", place, *again) == CutOff("revoked:g", place, "a b", 7, 8, 9, (5, 6))
    assert isinstance(entry("operate", place, *again), Malformed)
    assert entry("revoked:g", place, *records.void("one", (5, 6))) == records.Void("revoked:g", place, "one", (5, 6))


@pytest.mark.parametrize("ends", [None, 1_900_000_000])
@pytest.mark.parametrize("subject", [None, "two words"])
def test_so_is_what_stands_without_an_end(subject: str | None, ends: int | None) -> None:
    text = records.standing((NOW, 2), TOKEN, subject, ends).encode()
    found = records.read_standing(merge.full_fingerprint(TOKEN).encode(), text)
    assert found == Issue("operate", (NOW, 2), TOKEN, subject, None if ends is None else ends * 1000)
    assert isinstance(records.read_standing(merge.full_fingerprint(OTHER).encode(), text), Malformed)
    text = records.standing((NOW, 2), TOKEN, subject, ends, 7).encode()
    assert records.read_standing(merge.full_fingerprint(TOKEN).encode(), text) == found._replace(issued=7)
    for wrong in (None, TOO_LONG, b"", b"1-1", b"x - token-of-the-hub-1 a", b"1-1 x token-of-the-hub-1 a", b"\xff" * 9,
                  b"1-1,x - token-of-the-hub-1 a", b"1-1, - token-of-the-hub-1 a"):  # fmt: skip
        assert isinstance(records.read_standing(b"0" * 64, wrong), Malformed)


WRONG_ISSUES: list[t.Any] = [
    None, TOO_LONG, [], [b"token"], [TOO_LONG, b"x"], [b"token", None], [[b"token"], b"x"],
    sent("token", TOKEN, "subject", "app-a"),
    sent("token", TOKEN, "ttl", "5"),
    sent("subject", "app-a", "ttl", "5"),
    sent("token", TOKEN, "subject", "app-a", "ttl", "5", "type", "issue"),
    sent("token", TOKEN, "subject", "app-a", "ttl", "5", "ttl", "6"),
    sent("token", TOKEN, "subject", "app-a", "ttl", "5", "expires_at", "6"),
    *(sent("token", word, "subject", "app-a", "ttl", "5") for word in ("", "short", "a" * 129, "../" * 8, "x" * 15)),
    *(sent("token", TOKEN, "subject", word, "ttl", "5") for word in ("", "a" * 256, "a\n", "a\x00", "app-\u2028")),
    *(sent("token", TOKEN, "subject", "app-a", "ttl", word) for word in
      ("", "0", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "٣", "9" * 13, "1\n", "inf", "nan")),
    [b"token", TOKEN.encode(), b"subject", b"app-\xff", b"ttl", b"5"],
    [b"token", TOKEN.encode(), b"subject", b"app-\xed\xa0\x80", b"ttl", b"5"],
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG_ISSUES, ids=range(len(WRONG_ISSUES)))
def test_what_is_no_record_is_refused_and_counted_and_nothing_of_it_is_told(fields: t.Any) -> None:
    found = records.read("issue:one", (NOW, 0), fields)
    assert isinstance(found, Malformed)
    assert TOKEN not in found.why
    state = fed(found)
    assert sum(state.refused.values()) == 1
    assert list(state.tokens()) == []


@pytest.mark.parametrize(
    "words",
    [
        (), ("type", "revoke"), ("type", "revoke", "fingerprint", "0" * 11),
        ("type", "revoke", "fingerprint", "A" * 64),
        ("type", "revoke", "fingerprint", "0" * 65), ("type", "revoke", "fingerprint", "0" * 64, "token", TOKEN),
        ("type", "cut"), ("type", "cut", "subject", ""), ("type", "cut", "subject", "a", "before", "-1"),
        ("type", "grant", "token", TOKEN), ("type", "issue"),
        ("type", "adopt", "token", TOKEN), ("type", "adopt", "token", TOKEN, "issued_at", "-1"),
        ("type", "adopt", "token", TOKEN, "issued_at", "1", "ttl", "5"),
        ("type", "revoke", "token_id", "0" * 63), ("type", "revoke", "token_id", "0" * 64, "until", "0"),
        ("type", "revoke", "token_id", "0" * 64, "before", "5"),
        ("type", "revoke", "token_id", "0" * 64, "fingerprint", "0" * 64),
        ("type", "revoke", "subject_id", "0" * 64), ("type", "revoke", "subject_id", "../" * 21 + "0", "before", "5"),
        ("type", "cut", "subject", "a", "signed_before", "x"), ("type", "cut", "subject", "a", "until", "0"),
        ("type", "issue", "token", TOKEN, "ttl", "1", "expires_at", "2"),
    ],
)  # fmt: skip
def test_so_is_what_operators_mistype(words: tuple[str, ...]) -> None:
    assert isinstance(entry("operate", (NOW, 0), *words), Malformed)


@pytest.mark.parametrize(
    "words",
    [
        records.issue(TOKEN), records.cut_off("a"), records.adopt(TOKEN, "a", 0, None),
        ("token", TOKEN, "subject", "a", "ttl", "5"),
        ("type", "void", "issuer", "../x", "since", "1-1"), ("type", "void", "issuer", "one", "since", "1"),
        ("type", "cut", "subject", "a", "at", "1"), ("type", "cut", "at", "1-1"),
        ("type", "cut", "subject", "a", "at", "1-1", "token", TOKEN), ("type", "cut", "subject", "a", "before", "5"),
    ],
)  # fmt: skip
def test_a_gate_revokes_and_does_nothing_else(words: t.Sequence[str]) -> None:
    assert isinstance(entry("revoked:g1", (NOW, 0), *words), Malformed)


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "1-1-1", "a-1", "1-٣", " 1-1", "1-1\n", f"{2**64}-0", None, TOO_LONG, 5]
)
def test_an_id_is_two_numbers(text: t.Any) -> None:
    assert records.parse_id(text) is None
    assert records.parse_id(b"12-3") == (12, 3)


def test_no_bytes_at_all_are_more_than_no_record() -> None:
    source = random.Random(6)
    pieces = [b"type", b"issue", b"token", TOKEN.encode(), b"subject", b"ttl", b"5", b"", b"\xff", b"\x00", b"revoke",
              None, TOO_LONG, b"fingerprint", b"0" * 64, [b"x"], 7]  # fmt: skip
    state = Merge(RULES)
    for number in range(3000):
        stream = source.choice(["operate", "issue:one", "issue:none", "revoked:g1"])
        fields: t.Any = [source.choice(pieces) for _piece in range(source.randint(0, 8))]
        state.feed(records.read(stream, (NOW, number), fields), NOW)
    assert sum(state.refused.values()) > 2000


# What follows


def test_an_issue_counts_for_its_lifetime_from_the_hub_s_clock() -> None:
    found = fed(issued(NOW)).issue_of(TOKEN)
    assert found is not None
    assert (found.subject, found.ends) == ("app-a", NOW + 60_000)


@pytest.mark.parametrize("gates", ["operate", "revoked:g1"])
def test_a_revocation_wins_whatever_comes_first(gates: str) -> None:
    one, two = issued(NOW), entry(gates, (NOW - 5, 0), *records.revoke(merge.full_fingerprint(TOKEN)))
    for order in ([one, two], [two, one]):
        state = fed(*order)
        assert state.issue_of(TOKEN) is None
        assert state.is_barred(TOKEN)
        assert not state.is_barred(OTHER)


def test_only_a_later_issue_by_an_operator_lifts_it() -> None:
    digest = merge.full_fingerprint(TOKEN)
    taken = [issued(NOW), operated(NOW + 1, *records.revoke(digest)), revoked(NOW + 2)]
    assert fed(*taken, issued(NOW + 9)).issue_of(TOKEN) is None
    same = operated(NOW + 2, *records.issue(TOKEN))
    assert fed(*taken, same).issue_of(TOKEN) is None
    later = operated(NOW + 3, *records.issue(TOKEN, "me"))
    for order in ([*taken, later], [taken[0], taken[2], taken[1], later], [taken[1], later, taken[2], taken[0]]):
        found = fed(*order).issue_of(TOKEN)
        assert found is not None and found.subject == "me"
        assert not fed(*order).is_barred(TOKEN)
    assert fed(*taken, later, revoked(NOW + 4, gate="g2")).issue_of(TOKEN) is None


def test_a_cut_off_ends_what_was_issued_before_and_nothing_after() -> None:
    early, late = issued(NOW), issued(NOW + 5, OTHER)
    cut = operated(NOW + 1, *records.cut_off("app-a"))
    for order in ([early, late, cut], [cut, early, late]):
        state = fed(*order)
        assert state.issue_of(TOKEN) is None and state.is_barred(TOKEN)
        assert state.issue_of(OTHER) is not None
        assert state.is_cut_off("app-a", NOW // 1000 - 1) and state.is_cut_off("app-a", None)
        assert not state.is_cut_off("app-a", NOW // 1000 + 2) and not state.is_cut_off("app-b", 1)


def test_a_cut_off_that_is_ahead_of_its_record_locks_nobody_out_later() -> None:
    cut = operated(NOW, *records.cut_off("app-a", NOW // 1000 + 1000))
    state = fed(cut, issued(NOW + 1))
    assert state.issue_of(TOKEN) is not None
    assert not state.is_cut_off("app-a", NOW // 1000 + 1)


def test_what_was_adopted_lifts_no_revocation_and_is_as_old_as_it_is() -> None:
    digest = merge.full_fingerprint(TOKEN)
    adopted = operated(NOW + 5, *records.adopt(TOKEN, "app-a", NOW // 1000 - 100, None))
    assert fed(adopted).issue_of(TOKEN) is not None
    for taken in (operated(NOW, *records.revoke(digest)), operated(NOW, *records.cut_off("app-a")), revoked(NOW)):
        state = fed(taken, adopted)
        assert state.issue_of(TOKEN) is None and state.is_barred(TOKEN)
    unknown = operated(NOW + 5, *records.adopt(TOKEN, "app-a", 0, None))
    assert fed(operated(NOW, *records.cut_off("app-a")), unknown).is_barred(TOKEN)
    new = operated(NOW + 5, *records.adopt(TOKEN, "app-a", NOW // 1000 + 1, None))
    assert fed(operated(NOW, *records.cut_off("app-a")), new).issue_of(TOKEN) is not None


def test_what_is_taken_back_of_signed_tokens_adds_up_and_is_forgotten_in_the_end() -> None:
    name, seconds = "ab" * 32, NOW // 1000
    state = fed(operated(NOW, *records.take_back("jti", name, until=seconds + 5)))
    assert state.signed == {("jti", name): merge.Signed(seconds + 5)}
    touched = state.feed(entry("revoked:g1", (NOW, 0), *records.take_back("jti", name)), NOW)
    assert touched.signed == ("jti", name)
    assert state.signed == {("jti", name): merge.Signed(seconds + 86401)}
    state = fed(operated(NOW, *records.cut_off("a", None, seconds - 9, seconds + 5)))
    assert [kind for kind, _name in state.signed] == ["sub"]
    assert list(state.signed.values()) == [merge.Signed(seconds + 5, seconds - 9)]
    state.forget(NOW + 65_000)
    assert state.signed != {}
    state.forget(NOW + 66_000)
    assert state.signed == {}


@pytest.mark.parametrize("issuer", ["one", "two"])
def test_an_issue_neither_prolongs_nor_replaces(issuer: str) -> None:
    first, second = issued(NOW, ttl=5), issued(NOW + 1000, ttl=60, subject="app-b", issuer=issuer)
    # Of one stream they come in their order.
    for order in ([first, second], *([[second, first]] if issuer == "two" else [])):
        found = fed(*order).issue_of(TOKEN)
        assert found is not None and (found.subject, found.ends) == ("app-a", NOW + 5000)
    found = fed(issued(NOW, ttl=5), issued(NOW + 5000, ttl=60, subject="app-b", issuer=issuer)).issue_of(TOKEN)
    assert found is not None and found.subject == "app-b"


def test_an_issuer_has_no_more_than_its_bounds() -> None:
    assert fed(issued(NOW, ttl=61)).issue_of(TOKEN) is None
    assert fed(issued(NOW, subject="other")).issue_of(TOKEN) is None
    assert fed(issued(NOW, issuer="nobody")).issue_of(TOKEN) is None
    many = [issued(NOW + number, f"{TOKEN}{number}", ttl=60 if number else 1) for number in range(5)]
    state = fed(*many)
    assert [state.issue_of(f"{TOKEN}{number}") is not None for number in range(5)] == [True] * 3 + [False] * 2
    assert state.refused == {"its issuer has max_tokens": 2}
    # One has ended by then; two that were refused have not.
    assert fed(*many[:3], issued(NOW + 1000, OTHER)).issue_of(OTHER) is not None
    assert fed(*many, issued(NOW + 1000, OTHER)).issue_of(OTHER) is None


def test_what_is_ahead_of_the_hub_s_clock_never_counts_and_nothing_behind_it() -> None:
    ahead = issued(NOW + merge.TOLERANCE + 1)
    state = Merge(RULES)
    assert state.feed(issued(NOW, OTHER), NOW).void is None
    found = state.feed(ahead, NOW)
    assert found.void is not None and found.void.since == ahead.id
    state.feed(issued(ahead.id[0] + 5, TOKEN + "x"), NOW + 3_600_000)
    assert state.issue_of(TOKEN) is None and state.issue_of(TOKEN + "x") is None
    assert state.issue_of(OTHER) is not None
    # A gate that reads it later is told of it, and takes no other gate's word for more.
    word = records.void("one", ahead.id)
    later = NOW + 3_600_000
    for order in ([ahead, entry("revoked:g1", (NOW, 0), *word)], [entry("revoked:g1", (NOW, 0), *word), ahead]):
        assert fed(*order, now=later).issue_of(TOKEN) is None
    assert fed(ahead, entry("revoked:g1", (later, 0), *word), now=later).issue_of(TOKEN) is not None
    # What never counted is in nobody's way.
    anew = operated(ahead.id[0] + 1, *records.issue(TOKEN, "me"))
    found_anew = fed(ahead, entry("revoked:g1", (NOW, 0), *word), anew, now=later).issue_of(TOKEN)
    assert found_anew is not None and found_anew.subject == "me"


def test_a_record_counts_once() -> None:
    state = fed(*[issued(NOW + number, f"{TOKEN}{number}") for number in range(3)])
    for number in range(3):
        assert state.feed(issued(NOW + number, f"{TOKEN}{number}"), NOW) == merge.Touched()
    assert state.feed_standing(operated(NOW, *records.issue(OTHER))).tokens == [OTHER]
    assert state.feed(operated(NOW, *records.issue(OTHER)), NOW).tokens == ()
    assert state.refused == {}


def test_what_has_ended_long_ago_is_forgotten() -> None:
    state = fed(issued(NOW), operated(NOW, *records.issue(OTHER)))
    state.forget(NOW + 60_000)
    assert set(state.tokens()) == {TOKEN, OTHER}
    state.forget(NOW + 121_000)
    assert list(state.tokens()) == [OTHER]


@pytest.mark.parametrize("part", range(8))
def test_any_order_comes_to_what_the_slow_model_says(part: int) -> None:
    source = random.Random(f"merge {part}")
    for number in range(400):
        world = hub_model.random_world(source, NOW)
        expected = hub_model.states(world, BOUNDS, NOW)
        for _order in range(3):
            state = Merge(RULES)
            waiting = {stream: list(entries) for stream, entries in world.items() if entries}
            while waiting:
                stream = source.choice(list(waiting))
                place, fields = waiting[stream].pop(0)
                if not waiting[stream]:
                    del waiting[stream]
                flat = [word for pair in fields.items() for word in pair]
                state.feed(entry(stream, place, *flat), NOW)
            assert state.signed == hub_model.signed(world, 86400, NOW), f"world {part}/{number}: {world}"
            for token in (f"token-of-the-model-{one}" for one in range(4)):
                found = state.issue_of(token)
                wanted = expected.get(token)
                words = f"world {part}/{number}: {token} {world}"
                if isinstance(wanted, str) or wanted is None:
                    assert found is None, words
                else:
                    assert found is not None, words
                    assert (found.stream, found.id, found.subject) == (wanted.stream, wanted.id, wanted.subject), words
                    assert not state.is_barred(token), words
                if wanted == "barred":
                    assert state.is_barred(token), words


def test_what_a_record_changes_is_found() -> None:
    """By the record, or by the one look that many records share."""
    source = random.Random("touched")
    tokens = [f"token-of-the-model-{one}" for one in range(4)]
    for number in range(300):
        world = hub_model.random_world(source, NOW)
        state = Merge(RULES)
        given = [(stream, *one) for stream, entries in world.items() for one in entries]
        order = sorted(given, key=lambda one: (one[1], one[0]) if number % 2 else (one[0], one[1]))
        while order:
            size = source.randint(1, 4)
            some, order = order[:size], order[size:]
            before = [(state.issue_of(token), state.is_barred(token)) for token in tokens]
            touched = []
            for stream, place, fields in some:
                flat = [word for pair in fields.items() for word in pair]
                touched.append(state.feed(entry(stream, place, *flat), NOW))
            found = {token for one in touched for token in one.tokens} | set(state.tokens_of(touched))
            # Of a token that the hub never had, the fingerprint alone is known.
            named = tuple(one.fingerprint for one in touched if one.fingerprint)
            for token, was in zip(tokens, before):
                if (state.issue_of(token), state.is_barred(token)) != was:
                    assert token in found or merge.full_fingerprint(token).startswith(named), f"{number}: {world}"


class Looked(t.Dict[bytes, t.Any]):
    """Counts how often all of it is looked through."""

    looks = 0

    def items(self) -> t.Any:
        self.looks += 1
        return super().items()

    def values(self) -> t.Any:
        self.looks += 1
        return super().values()


def test_many_records_that_may_concern_any_token_cost_one_look_through_all() -> None:
    """A gate that was broken into may append as many as it likes, and an agent that starts reads those of two years."""
    later = NOW + 2 * 10**8
    ahead = issued(later, OTHER, "app-b")
    state = fed(*[issued(NOW + number, f"{TOKEN}{number}") for number in range(3)], ahead, now=later)
    state._issues = looked = Looked(state._issues)
    digest = merge.full_fingerprint(f"{TOKEN}1")
    touched = [state.feed(entry("revoked:g1", (NOW, number), *records.revoke(digest[:12])), NOW) for number in (1, 2)]
    touched += [state.feed(operated(NOW + number, *records.cut_off("app-a")), NOW) for number in (1, 2)]
    since = [(NOW + 10**9, 0), (NOW + 10**8, 0)]
    touched += [state.feed(entry("revoked:g2", (NOW, 1 + number), *records.void("one", place)), NOW)
                for number, place in enumerate(since)]  # fmt: skip
    assert looked.looks == 0
    assert set(state.tokens_of(touched[:2])) == {f"{TOKEN}1"}
    assert state.tokens_of(touched[4:]) == [OTHER]
    assert set(state.tokens_of(touched)) == {OTHER, *(f"{TOKEN}{number}" for number in range(3))} and looked.looks == 3
    assert state.tokens_of([merge.Touched(), merge.Touched(["a"], digest)]) == [] and looked.looks == 3


def test_a_revocation_is_lost_though_the_issue_was_trimmed_here_and_counts_there() -> None:
    """An agent that started after the issuer's stream was trimmed, and a hub that is restored from before both."""
    digest = merge.full_fingerprint(TOKEN)
    issue = issued(NOW)
    for revocation in (revoked(NOW + 5), operated(NOW + 5, *records.revoke(digest))):
        former = fed(revocation)
        assert former.lost_by(fed(issue)) == former.lost_by(fed()) == {digest}
        assert former.lost_by(fed(issue, revocation)) == set()
        # What an operator has issued later lifts it; what he had issued before does not.
        assert former.lost_by(fed(operated(NOW + 9, *records.issue(TOKEN)))) == set()
        assert former.lost_by(fed(operated(NOW + 1, *records.issue(TOKEN)))) == {digest}
        # An older revocation that the other one has, and that was lifted there, is not this one.
        before = [operated(NOW - 9, *records.revoke(digest)), operated(NOW - 5, *records.issue(TOKEN))]
        assert former.lost_by(fed(*before)) == {digest}
    part = fed(operated(NOW + 5, *records.revoke(digest[:12])))
    assert part.lost_by(fed(issue)) == {digest[:12]}


@pytest.mark.parametrize("known", [[issued(1)], []], ids=["with its issue", "whose issue was trimmed"])
def test_a_revocation_that_an_old_backup_has_not_is_lost(known: list[records.Record]) -> None:
    digest = merge.full_fingerprint(TOKEN)
    former = fed(*known, revoked(5))
    assert former.lost_by(fed(issued(1))) == former.lost_by(fed()) == {digest}
    assert former.lost_by(fed(issued(1), revoked(5))) == former.lost_by(fed(revoked(9, gate="g2"))) == set()


def test_one_of_several_revocations_may_be_lost_and_a_later_issue_is_none() -> None:
    again = operated(7, *records.issue(TOKEN, "app-a", 60))
    former = fed(revoked(5), revoked(9))
    assert former.lost_by(fed(revoked(5), again)) == {merge.full_fingerprint(TOKEN)}
    assert fed(revoked(5)).lost_by(fed(again)) == set()
    assert fed(revoked(5), again).lost_by(fed(issued(1))) == set()


@pytest.mark.parametrize("known", [[issued(1)], []], ids=["with its issue", "whose issue was trimmed"])
def test_a_cut_off_that_an_old_backup_has_not_is_told_for_each_of_its_tokens(known: list[records.Record]) -> None:
    former = fed(*known, operated(5, *records.cut_off("app-a")))
    later = issued(6, OTHER)
    assert former.lost_by(fed(issued(1), later)) == {merge.full_fingerprint(TOKEN)}
    assert former.lost_by(fed(issued(1), later, operated(5, *records.cut_off("app-a")))) == set()
    if not known:
        # It had ended, and was issued anew after the cut-off.
        assert former.lost_by(fed(issued(1), issued(70_000), now=NOW)) == set()


def told_again(place: int, at: int, subject: str = "app-a", gate: str = "g1") -> records.Record:
    return entry(f"revoked:{gate}", (place, 0), *records.cut_off(subject), "at", f"{at}-0")


def test_a_cut_off_that_the_hub_has_lost_counts_as_where_it_stood() -> None:
    """To the millisecond: who gets a token a moment later keeps it."""
    cut = operated(NOW + 5, *records.cut_off("app-a"))
    former, backup = fed(cut), fed(issued(NOW), issued(NOW + 6, OTHER))
    (lost,) = former.cut_offs_lost_by(backup)
    again = [entry(f"revoked:{gate}", (NOW + 900, 0), *records.cut_off_again(lost)) for gate in ("g1", "g2")]
    for one in again:
        touched = backup.feed(one, NOW)
        assert touched.subject == "app-a" and touched.signed is not None
    assert backup.is_barred(TOKEN) and backup.issue_of(OTHER) is not None
    assert backup.cut_offs() == former.cut_offs() and backup.signed == former.signed, "it is the same one, once"
    assert former.cut_offs_lost_by(backup) == []


def test_no_gate_locks_a_subject_out_and_no_gate_tells_of_it_for_ever() -> None:
    ahead = told_again(NOW + 10**9, NOW + merge.TOLERANCE + 1)
    state = fed(ahead, issued(NOW))
    assert state.issue_of(TOKEN) is not None and state.refused == {"its cut-off is ahead of the hub's clock": 1}
    # Ahead of its own record: as far as that
    assert fed(told_again(NOW, NOW + 50), issued(NOW + 1)).issue_of(TOKEN) is not None
    assert fed(told_again(NOW, NOW + 50), issued(NOW)).issue_of(TOKEN) is None
    many = [told_again(NOW + number, NOW - number) for number in range(merge.TOLD_AT_MOST + 5)]
    state = fed(*many, told_again(NOW, NOW - 9, gate="g2"), told_again(NOW + 900, NOW, "app-b"))
    assert len(state.cut_offs("app-a")) == merge.TOLD_AT_MOST and len(state.cut_offs("app-b")) == 1
    assert state.refused == {"its gate tells of too many cut-offs of a subject": 5}


def test_of_many_cut_offs_of_a_subject_the_last_one_is_told() -> None:
    cuts = [operated(NOW + number, *records.cut_off("app-a", *times)) for number, times in
            enumerate([(), (5,), (), (NOW // 1000 - 9,)])]  # fmt: skip
    former = fed(*cuts)
    assert [cut.id for cut in former.cut_offs_lost_by(fed())] == [(NOW + 2, 0), (NOW + 3, 0)]
    later = operated(NOW + 9, *records.cut_off("app-a"))
    assert former.cut_offs_lost_by(fed(later)) == []


def test_what_two_hubs_have_lost_of_signed_tokens_is_lost() -> None:
    name, seconds = "ab" * 32, NOW // 1000
    one = fed(operated(NOW, *records.take_back("jti", name, until=seconds + 5)))
    one.learn(fed(operated(NOW, *records.take_back("sub", name, seconds, seconds + 9))))
    wanted = {("jti", name): merge.Signed(seconds + 5), ("sub", name): merge.Signed(seconds + 9, seconds)}
    assert one.signed_lost_by(fed(), seconds) == wanted
    assert set(one.signed_lost_by(fed(), seconds + 5)) == {("sub", name)}
    less = fed(operated(NOW, *records.take_back("sub", name, seconds - 1, seconds + 9)))
    assert set(one.signed_lost_by(less, seconds)) == set(wanted) and one.signed_lost_by(one, seconds) == {}


def test_what_was_void_in_a_stream_stays_so_on_a_hub_that_lacks_the_word_of_it() -> None:
    """The issue was ahead of the clock; by now it is not."""
    later = NOW + 3_600_000
    ahead = issued(NOW + merge.TOLERANCE + 1)
    former = fed(entry("revoked:g1", (NOW, 0), *records.void("one", ahead.id)))
    assert former.lost_by(fed(ahead, now=later)) == {merge.full_fingerprint(TOKEN)}
