# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the store should have, of the records of all streams. Nothing here reads or writes anything.

A stream has its records in their order, and so they are fed. Between streams any order comes to the same:

- A revocation counts against every issue of its token but a later one by an operator. A cut-off counts against what was
  issued before it.
- An issue that was adopted, of a token that was there before the hub, lifts no revocation, and counts for a cut-off as
  issued when it was.
- An issue does not count while another one of the same token lasts that was there before, unless that had been taken
  back by then. So no issue prolongs or replaces a token. An issuer may name an id of before: operators' issues go
  before those of issuers, and a gate keeps a file that is there (see _agent/hub_store.py).
- What an issuer issues beyond its bounds does not count. Its number of tokens is that of all that it issued within them
  and that have not ended, whether they count or not: it follows from the stream alone, from twice its longest lifetime.
- From a place that was ahead of the hub's clock on, nothing of an issuer's stream counts, for any gate, ever.
- A cut-off that the hub has lost and a gate has told again counts as if it stood where it stood. No gate tells of one
  that is ahead of its own record or of the hub's clock, so that it locks nobody out who gets a token later.

What was taken back of signed tokens is added up: the later time of issue counts, and the later end.

An id of one stream is later than one of another if its millisecond is; in the same one the revocation wins.
"""

from __future__ import annotations

import collections
import heapq
import typing as t

from .._revocations.store import STAYS, SUBJECTS, id_of_subject
from .._tokens.record import LAST_SECOND, full_fingerprint
from .records import (
    END,
    ISSUE,
    LONGEST,
    OPERATE,
    START,
    CutOff,
    Id,
    Issue,
    Malformed,
    Record,
    Revocation,
    TakenBack,
    Void,
)

# Milliseconds by which the clocks of the hub's hosts may differ
TOLERANCE = 60000
# Digits of a whole fingerprint
WHOLE = 64
# Cut-offs of a subject that count of those that one gate tells again. It has to tell of the last one, as a rule.
TOLD_AT_MOST = 100


class Rules(t.NamedTuple):
    """What an issuer may. ``max_ttl`` in seconds."""

    max_ttl: int
    subjects: t.Tuple[str, ...] = ()
    max_tokens: int = 100000


class Touched(t.NamedTuple):
    """What a record may have changed: tokens whose state is to be looked at, and what to look for in the store.

    What may concern any token is said without them: Merge.tokens_of finds those of many records in one look.
    """

    tokens: t.Sequence[str] = ()
    fingerprint: str = ""
    subject: t.Optional[str] = None
    # For all gates: this one has found it.
    void: t.Optional[Void] = None
    # A stream, and from where on nothing of it counts
    since: t.Optional[t.Tuple[str, Id]] = None
    # Kind and name of what was taken back of signed tokens
    signed: t.Optional[t.Tuple[str, str]] = None


class Signed(t.NamedTuple):
    """What was taken back of signed tokens: until when that counts and, of a subject, those issued before when."""

    until: int
    before: t.Optional[int] = None


class Revoked(t.NamedTuple):
    """The last revocations of a token: of operators, and the millisecond of the gates'."""

    operated: Id = START
    millisecond: int = -1


class Merge:
    """The records of all streams, and what follows from them."""

    def __init__(self, issuers: t.Mapping[str, Rules], longest_signed: int = 86400) -> None:
        self.issuers = issuers
        # Seconds that a signed token lives at most
        self._longest_signed = longest_signed
        self.signed: t.Dict[t.Tuple[str, str], Signed] = {}
        # How many records were refused, by the reason
        self.refused: t.Counter[str] = collections.Counter()
        # Streams with issues that are beyond the bounds of their issuer, and may count once these are others
        self.refusing: t.Set[str] = set()
        self.last: t.Dict[str, Id] = {}
        self._issues: t.Dict[bytes, t.Tuple[Issue, ...]] = {}
        self._revoked: t.Dict[str, Revoked] = {}
        self._lengths: t.Set[int] = {WHOLE}
        self._cuts: t.Dict[str, t.Dict[CutOff, None]] = {}
        # How many of these are of a gate's stream alone
        self._told: t.Counter[t.Tuple[str, str]] = collections.Counter()
        self._voids: t.Dict[str, Id] = {}
        # The latest ends of what an issuer issued, as many as it may have
        self._ends: t.Dict[str, t.List[int]] = {}

    # Records

    def feed(self, record: Record, now: int) -> Touched:
        """Take a record; ``now`` is the hub's clock, in milliseconds. One that was fed before changes nothing."""
        stream, place = record.stream, record.id
        if place <= self.last.get(stream, START):
            return Touched()
        self.last[stream] = place
        if stream.startswith(ISSUE):
            issuer = stream[len(ISSUE) :]
            if place[0] > now + TOLERANCE and place < self._voids.get(issuer, (place[0] + 1, 0)):
                self.refused["its id is ahead of the hub's clock"] += 1
                found = Void("", START, issuer, place)
                return self._void(found)._replace(void=found)
        if isinstance(record, Malformed):
            self.refused[record.why] += 1
            return Touched()
        if isinstance(record, Issue):
            return self._issue(record)
        if isinstance(record, Revocation):
            return self._revoke(record)
        if isinstance(record, TakenBack):
            return Touched(signed=self._take_back(record))
        if isinstance(record, CutOff):
            return self._cut_off(record, now)
        if record.since[0] <= record.id[0] + TOLERANCE:
            self.refused["it voids what was not ahead of the hub's clock"] += 1
            return Touched()
        return self._void(record)

    def feed_standing(self, record: Record) -> Touched:
        """Take a token of `standing`: an operator's issue, which may be in the stream as well or no more."""
        if isinstance(record, Issue):
            return self._add(record)
        self.refused[record.why if isinstance(record, Malformed) else "it is no issue"] += 1
        return Touched()

    def _issue(self, record: Issue) -> Touched:
        if record.stream == OPERATE:
            return self._add(record)
        issuer = record.stream[len(ISSUE) :]
        rules = self.issuers.get(issuer)
        why = "its issuer is not known here" if rules is None else self._beyond(record, rules, issuer)
        if why:
            self.refused[why] += 1
            self.refusing.add(record.stream)
            return Touched()
        return self._add(record)

    def _beyond(self, record: Issue, rules: Rules, issuer: str) -> str:
        """Why an issue is beyond the bounds of its issuer; empty where it is within them."""
        if record.ends is None or record.ends - record.id[0] > rules.max_ttl * 1000:
            return "its ttl is longer than max_ttl"
        if rules.subjects and not (record.subject or "").startswith(rules.subjects):
            return "its subject begins with none of subjects"
        ends = self._ends.setdefault(issuer, [])
        if len(ends) < rules.max_tokens:
            heapq.heappush(ends, record.ends)
            return ""
        return "" if heapq.heappushpop(ends, record.ends) <= record.id[0] else "its issuer has max_tokens"

    def _add(self, record: Issue) -> Touched:
        digest = bytes.fromhex(full_fingerprint(record.token))
        before = self._issues.get(digest, ())
        if any(one.stream == record.stream and one.id == record.id for one in before):
            return Touched()
        self._issues[digest] = tuple(sorted((*before, record), key=_in_time)) if before else (record,)
        # An issue of a revoked token may lift that, or be what it now has to outlast.
        fingerprint = digest.hex()
        return Touched([record.token], fingerprint if fingerprint in self._revoked else "")

    def _revoke(self, record: Revocation) -> Touched:
        fingerprint = record.fingerprint
        is_operators = record.stream == OPERATE
        self.hold_revocation(
            fingerprint, Revoked(operated=record.id) if is_operators else Revoked(millisecond=record.id[0])
        )
        if len(fingerprint) == WHOLE:
            found = self._issues.get(bytes.fromhex(fingerprint))
            return Touched([found[0].token] if found else [], fingerprint)
        return Touched(fingerprint=fingerprint)

    def _cut_off(self, record: CutOff, now: int) -> Touched:
        found = record
        if record.at is not None:
            if record.at[0] > now + TOLERANCE:
                self.refused["its cut-off is ahead of the hub's clock"] += 1
                return Touched()
            # As the operator's own record, of which there is one then, however many gates tell of it.
            found = record._replace(stream=OPERATE, id=min(record.at, (record.id[0], record.at[1])), at=None)
            if found not in self._cuts.get(record.subject, ()):
                self._told[record.stream, record.subject] += 1
                if self._told[record.stream, record.subject] > TOLD_AT_MOST:
                    self.refused["its gate tells of too many cut-offs of a subject"] += 1
                    return Touched()
        return self.hold_cut_off(found)

    def hold_cut_off(self, cut: CutOff) -> Touched:
        """Take an operator's cut-off, wherever it is known from."""
        self._cuts.setdefault(cut.subject, {})[cut] = None
        return Touched(subject=cut.subject, signed=self._take_back(_signed_of(cut)))

    def _take_back(self, record: TakenBack) -> t.Tuple[str, str]:
        # One more, as the gate's own modules have it: times of issue are whole seconds as a rule.
        until = max(record.id[0] // 1000, record.before or 0) + self._longest_signed + 1
        key = (record.kind, record.name)
        self.hold_signed(key, Signed(until if record.until is None else record.until, record.before))
        return key

    def hold_signed(self, key: t.Tuple[str, str], found: Signed) -> None:
        """Take what was taken back of signed tokens."""
        former = self.signed.get(key)
        if former is not None:
            before = None if found.before is None else max(found.before, former.before or 0)
            found = Signed(max(found.until, former.until), before)
        self.signed[key] = found

    def hold_revocation(self, fingerprint: str, found: Revoked) -> None:
        """Take the last revocations of a token."""
        self._lengths.add(len(fingerprint))
        before = self._revoked.get(fingerprint, Revoked())
        self._revoked[fingerprint] = Revoked(
            max(before.operated, found.operated), max(before.millisecond, found.millisecond)
        )

    def hold_void(self, issuer: str, since: Id) -> None:
        """Take from where on nothing of an issuer's stream counts."""
        self._voids[issuer] = min(since, self._voids.get(issuer, since))

    def _void(self, record: Void) -> Touched:
        self.hold_void(record.issuer, record.since)
        return Touched(since=(ISSUE + record.issuer, self._voids[record.issuer]))

    def tokens_of(self, found: t.Sequence[Touched]) -> t.List[str]:
        """The tokens that these may have changed by a part of their fingerprint, a subject or a place in a stream."""
        starts = {one.fingerprint for one in found if 0 < len(one.fingerprint) < WHOLE}
        subjects = {one.subject for one in found if one.subject is not None}
        since: t.Dict[str, Id] = {}
        for stream, place in filter(None, (one.since for one in found)):
            since[stream] = min(place, since.get(stream, place))
        if not (starts or subjects or since):
            return []
        is_named = beginning_with(starts)
        return [
            issues[0].token
            for digest, issues in self._issues.items()
            if any(one.subject in subjects or one.id >= since.get(one.stream, END) for one in issues)
            or (starts and is_named(digest.hex()))
        ]

    def forget(self, now: int) -> None:
        """Forget what cannot count any more."""
        longest = {ISSUE + name: rules.max_ttl * 1000 for name, rules in self.issuers.items()}
        for digest, issues in list(self._issues.items()):
            if all(one.ends is not None and one.ends + longest.get(one.stream, LONGEST * 1000) < now for one in issues):
                del self._issues[digest]
        for key, signed in list(self.signed.items()):
            if (signed.until + STAYS) * 1000 < now:
                del self.signed[key]

    # What follows

    def issue_of(self, token: str) -> t.Optional[Issue]:
        """The issue that counts for a token, the last one of several. It may have ended."""
        return self._issue_of(full_fingerprint(token))

    def _issue_of(self, digest: str) -> t.Optional[Issue]:
        issues = self._issues.get(bytes.fromhex(digest), ())
        revoked = self._revocation(digest)
        for number in range(len(issues) - 1, -1, -1):
            issue = issues[number]
            if self._is_taken_back(issue, revoked):
                continue
            # What operators issue no issuer replaces, by an id of before.
            before = [one for one in issues[:number] if one.stream == OPERATE or issue.stream != OPERATE]
            if all(self._is_over(one, issue, revoked) for one in before):
                return issue
        return None

    def is_barred(self, token: str) -> bool:
        """Whether a token may not be in the store, whoever has put it there."""
        digest = full_fingerprint(token)
        if self._issue_of(digest) is not None:
            return False
        revoked = self._revocation(digest)
        return revoked is not None or any(
            self._is_taken_back(issue, None) for issue in self._issues.get(bytes.fromhex(digest), ())
        )

    def is_cut_off(self, subject: str, issued_at: t.Optional[int]) -> bool:
        """Whether a token of this subject is void that was not issued through the hub. Times are in seconds."""
        return any(
            issued_at is None or issued_at < min(-(-cut.id[0] // 1000), cut.before or LAST_SECOND)
            for cut in self._cuts.get(subject, ())
        )

    def has_cut_offs(self) -> bool:
        """Whether there are cut-offs at all."""
        return bool(self._cuts)

    def tokens(self) -> t.Iterator[str]:
        """All tokens that were ever issued, as far as that is remembered."""
        return (issues[0].token for issues in self._issues.values())

    def issues_of(self, token: str) -> t.Tuple[Issue, ...]:
        """All issues of a token, those that do not count as well."""
        return self._issues.get(bytes.fromhex(full_fingerprint(token)), ())

    def operated_at(self, fingerprint: str) -> int:
        """The millisecond of the last issue of a token by an operator; 0 where there is none."""
        issues = self._issues.get(bytes.fromhex(fingerprint), ()) if len(fingerprint) == WHOLE else ()
        return max((one.id[0] for one in issues if one.stream == OPERATE), default=0)

    def learn(self, other: Merge) -> None:
        """Take all issues of another one, and all that it knows as taken back, too."""
        for issues in other._issues.values():
            for issue in issues:
                self._add(issue)
        for fingerprint, found in other._revoked.items():
            self.hold_revocation(fingerprint, found)
        for cut in other.cut_offs():
            self.hold_cut_off(cut)
        for key, signed in other.signed.items():
            self.hold_signed(key, signed)
        for issuer, since in other._voids.items():
            self.hold_void(issuer, since)

    # What another one has lost

    def lost_by(self, other: Merge) -> t.Set[str]:
        """The fingerprints that are revoked here, and of which another one does not know that."""
        lost = {
            fingerprint for fingerprint, revoked in self._revoked.items() if self._is_lost(fingerprint, revoked, other)
        }
        for token in self.tokens():
            if self.is_barred(token) and not other.is_barred(token):
                lost.add(full_fingerprint(token))
        # Of an issue that a backup has and this one knows no more, the cut-off of its subject may be all that is known.
        # Another issue of the token may count, which came after that.
        for digest, issues in other._issues.items():
            if digest not in self._issues and any(self._is_taken_back(one, None) for one in issues):
                issue = other._issue_of(digest.hex())
                if issue is not None and self._is_taken_back(issue, None):
                    lost.add(digest.hex())
        return lost

    def cut_offs_lost_by(self, other: Merge) -> t.List[CutOff]:
        """The cut-offs that another one has not, without those that a later one of the same subject goes beyond."""
        lost = []
        for subject, cuts in self._cuts.items():
            theirs = other._cuts.get(subject, {})
            last = max((cut.id for cut in (*cuts, *theirs) if cut.before is None), default=START)
            lost += [cut for cut in cuts if cut not in theirs and cut.id >= last]
        return lost

    def signed_lost_by(self, other: Merge, now: int) -> t.Dict[t.Tuple[str, str], Signed]:
        """What is taken back here of signed tokens, and not there; ``now`` in seconds."""
        lost = {}
        for key, found in self.signed.items():
            theirs = other.signed.get(key, Signed(0))
            if found.until > now and (found.until > theirs.until or (found.before or 0) > (theirs.before or 0)):
                lost[key] = found
        return lost

    def _is_cut_off(self, issue: Issue) -> bool:
        return any(_covers(cut, issue) for cut in self._cuts.get(issue.subject or "", ()))

    def _is_lost(self, fingerprint: str, revoked: Revoked, other: Merge) -> bool:
        """Whether another one lacks this revocation, and the token was not issued anew after it."""
        theirs = other._revoked.get(fingerprint, Revoked())
        if theirs.operated >= revoked.operated and theirs.millisecond >= revoked.millisecond:
            return False  # as a rule, of hundreds of thousands
        if self.is_lifted(fingerprint):
            return False
        issue = other._issue_of(fingerprint) if len(fingerprint) == WHOLE else None
        # One of before may be there again: it had been trimmed, and an old backup has it.
        return fingerprint not in other._revoked if issue is None else not _lifts(issue, revoked)

    def is_revoked(self, fingerprint: str) -> bool:
        """Whether there is a revocation of just this fingerprint."""
        return fingerprint in self._revoked

    def is_named(self, token: str) -> bool:
        """Whether there is a revocation of a token by its fingerprint, or a part of that."""
        return self._revocation(full_fingerprint(token)) is not None

    def is_lifted(self, fingerprint: str) -> bool:
        """Whether a revoked token was issued anew by an operator."""
        return len(fingerprint) == WHOLE and self._issue_of(fingerprint) is not None

    def cut_offs(self, subject: t.Optional[str] = None) -> t.List[CutOff]:
        """All cut-offs, or those of a subject."""
        chosen = self._cuts.values() if subject is None else [self._cuts.get(subject, {})]
        return [cut for cuts in chosen for cut in cuts]

    def revocation_of(self, fingerprint: str) -> t.Optional[Revoked]:
        """The last revocations of just this fingerprint."""
        return self._revoked.get(fingerprint)

    def ends_of(self, fingerprint: str) -> t.List[t.Optional[int]]:
        """When the issues of a token end, as far as they are remembered."""
        issues = self._issues.get(bytes.fromhex(fingerprint), ()) if len(fingerprint) == WHOLE else ()
        return [issue.ends for issue in issues]

    def operated_ends(self, subjects: t.Container[str]) -> t.Iterator[t.Tuple[str, t.Optional[int]]]:
        """The ends of all that operators have issued for these subjects, in one look."""
        for issues in self._issues.values():
            for one in issues:
                if one.stream == OPERATE and one.subject is not None and one.subject in subjects:
                    yield one.subject, one.ends

    def voids(self) -> t.Dict[str, Id]:
        """From where on nothing of an issuer's stream counts, by issuer."""
        return dict(self._voids)

    def _revocation(self, digest: str) -> t.Optional[Revoked]:
        found = [self._revoked[digest[:length]] for length in self._lengths if digest[:length] in self._revoked]
        if not found:
            return None
        return Revoked(max(one.operated for one in found), max(one.millisecond for one in found))

    def is_taken_back(self, issue: Issue) -> bool:
        """Whether an issue was taken back, whether it counts or not."""
        return self._is_taken_back(issue, self._revocation(full_fingerprint(issue.token)))

    def _is_taken_back(self, issue: Issue, revoked: t.Optional[Revoked]) -> bool:
        if revoked is not None and not _lifts(issue, revoked):
            return True
        return self._is_cut_off(issue) or self._is_void(issue)

    def _is_void(self, issue: Issue) -> bool:
        since = self._voids.get(issue.stream[len(ISSUE) :]) if issue.stream.startswith(ISSUE) else None
        return since is not None and issue.id >= since

    def _is_over(self, before: Issue, issue: Issue, revoked: t.Optional[Revoked]) -> bool:
        """Whether an issue had ended, or was taken back, when another one of the same token came."""
        if before.ends is not None and before.ends <= issue.id[0]:
            return True
        if self._is_void(before) or (revoked is not None and not _lifts(before, revoked)):
            return True
        return any(
            _covers(cut, before) and _is_later(issue, cut.stream, cut.id)
            for cut in self._cuts.get(before.subject or "", ())
        )


def beginning_with(starts: t.AbstractSet[str]) -> t.Callable[[str], bool]:
    """Whether a fingerprint begins with one of these, which may be many."""
    lengths = {len(one) for one in starts}
    return lambda digest: any(digest[:length] in starts for length in lengths)


def _in_time(issue: Issue) -> t.Tuple[int, str, int]:
    return issue.id[0], issue.stream, issue.id[1]


def _is_later(issue: Issue, stream: str, place: Id) -> bool:
    return issue.id > place if issue.stream == stream else issue.id[0] > place[0]


def _lifts(issue: Issue, revoked: Revoked) -> bool:
    is_operators = issue.stream == OPERATE and issue.issued is None
    return is_operators and issue.id > revoked.operated and issue.id[0] > revoked.millisecond


def _signed_of(cut: CutOff) -> TakenBack:
    """What a cut-off takes back of signed tokens: without a time what was made in this second, too."""
    before = cut.before if cut.signed_before is None else cut.signed_before
    before = cut.id[0] // 1000 + 1 if before is None else before
    return TakenBack(cut.stream, cut.id, SUBJECTS, id_of_subject(cut.subject), before, cut.until)


def _covers(cut: CutOff, issue: Issue) -> bool:
    if issue.issued is not None:
        return issue.issued < min(-(-cut.id[0] // 1000), cut.before or LAST_SECOND)
    # A time that is ahead of the record locks nobody out who gets a token later.
    is_early = cut.before is None or issue.id[0] < cut.before * 1000
    return is_early and not _is_later(issue, cut.stream, cut.id)
