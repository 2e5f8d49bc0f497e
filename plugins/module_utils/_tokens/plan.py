# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a call of wss_token asks for, compared with the store, as a plan.

A plan is made by looking only, so check mode and diff come from the very
object that is applied otherwise.
"""

from __future__ import annotations

import base64
import json
import os
import typing as t

from .._sessions.ending import Wanted
from .request import Request, time_text
from .record import (
    CORRUPT,
    LAST_SECOND,
    MANAGED,
    TOUCHED,
    Attributes,
    Draft,
    Foreign,
    Gone,
    StoreError,
    Token,
    document_of,
    fingerprint,
    full_fingerprint,
)
from .store import TokenStore

TOKEN_BYTES = 24
TOKEN_LENGTH = 32
CLOCK_TOLERANCE = 300  # seconds that the clocks of a group of proxies may differ


class Plan:
    """What is to be done to a store, in the order in which it is done."""

    def __init__(self) -> None:
        self.create: t.List[str] = []
        self.write: t.List[Draft] = []
        self.adjust: t.List[Token] = []
        self.remove: t.List[Token] = []
        self.quarantine: t.List[Token] = []
        self.generated: t.List[str] = []
        self.unchanged = 0
        self.foreign: t.List[Foreign] = []
        self.warnings: t.List[str] = []
        self.kept: t.List[Token] = []
        self.stuck: t.List[Token] = []  # those that could not be removed
        self.failures: t.List[str] = []  # what could not be done, while the rest was

    @property
    def is_change(self) -> bool:
        return bool(self.create or self.write or self.adjust or self.remove or self.quarantine)

    @property
    def created(self) -> t.List[str]:
        return self.create + [draft.name for draft in self.write if draft.replaces is None]

    @property
    def updated(self) -> t.List[str]:
        replaced = [draft.name for draft in self.write if draft.replaces is not None]
        return replaced + [token.name for token in self.adjust]

    def locked_out(self, request: Request) -> Wanted:
        """The tokens whose sessions are to end: also those named whose file somebody had removed before."""
        names = {token.name for token in (*self.remove, *self.quarantine, *self.stuck)}
        if request.state == "absent":
            names.update(request.tokens or ())
        return Wanted(names, request.fingerprints or ())

    def apply(self, store: TokenStore, wanted: Attributes, owed: bool = False) -> None:
        """Do it. New tokens first: a rotation never leaves a moment without a valid one.

        One token that cannot be removed or adjusted keeps no other from it; it is in `failures` then. With `owed`
        a removed token stays noted in the store until its sessions are gone.
        """
        if self.write:
            store.write(self.write, wanted)
        if self.create:
            try:
                store.create(self.create, wanted)
            except StoreError:
                store.remove([draft.name for draft in self.write if draft.replaces is None])
                raise
        for token in list(self.adjust):
            try:
                store.set_attributes(token, wanted)
            except StoreError as error:
                self.failures.append(str(error))
                self.adjust.remove(token)
        self.remove = self._done(self.remove, store.take_away([token.name for token in self.remove], owed))
        self.quarantine = self._done(self.quarantine, store.quarantine([token.name for token in self.quarantine], owed))

    def _done(self, tokens: t.List[Token], gone: Gone) -> t.List[Token]:
        if gone.problem():
            self.failures.append(gone.problem())
        self.stuck += [token for token in tokens if token.name in gone.failed]
        return [token for token in tokens if token.name not in gone.failed]

    def diff(self, wanted: Attributes, check_mode: bool) -> t.Tuple[t.List[str], t.List[str]]:
        """Lines before and after, told by fingerprint."""
        before: t.List[str] = []
        after: t.List[str] = []
        hidden = set(self.generated) if check_mode else set()
        for name in self.create:
            after.append(_line(name in hidden, name, TOUCHED, None, None))
        for draft in self.write:
            document = draft.document
            if draft.replaces is not None:
                before.append(_token_line(draft.replaces))
            if document is None:
                after.append(_line(False, draft.name, TOUCHED, None, None))
            else:
                after.append(
                    _line(draft.name in hidden, draft.name, MANAGED, document["subject"], document["expires_at"])
                )
        for token in self.adjust:
            before.append(_token_line(token) + _attributes(token.uid, token.gid, token.mode))
            after.append(
                _token_line(token)
                + _attributes(
                    token.uid if wanted.uid is None else wanted.uid,
                    token.gid if wanted.gid is None else wanted.gid,
                    token.mode if wanted.mode is None else wanted.mode,
                )
            )
        for token in self.remove:
            before.append(_token_line(token))
        for token in self.quarantine:
            before.append(_token_line(token))
            after.append(f"{token.fingerprint} quarantined")
        return sorted(before), sorted(after)


def _attributes(uid: int, gid: int, mode: int) -> str:
    return f" uid={uid} gid={gid} mode={mode:04o}"


def _token_line(token: Token) -> str:
    return _line(False, token.name, token.form, token.subject, token.expires_at)


def _line(hidden: bool, name: str, form: str, subject: t.Optional[str], ends: t.Optional[int]) -> str:
    about = "" if subject is None else f" subject={json.dumps(subject, ensure_ascii=False)}"
    until = "" if ends is None else f" expires={time_text(ends)}"
    return f"{'(new token)' if hidden else fingerprint(name)} {form}{about}{until}"


def new_tokens(number: int) -> t.List[str]:
    """Return random tokens, of 192 bits each."""
    # 24 bytes are 32 characters of base64 without a rest, so one call serves for all.
    text = base64.urlsafe_b64encode(os.urandom(TOKEN_BYTES * number)).decode("ascii")
    return [text[start : start + TOKEN_LENGTH] for start in range(0, len(text), TOKEN_LENGTH)]


def make_plan(store: TokenStore, request: Request, now: float) -> Plan:
    return _Planner(store, request, int(now)).make()


class _Planner:
    def __init__(self, store: TokenStore, request: Request, now: int) -> None:
        self.store = store
        self.request = request
        self.now = now
        self.plan = Plan()

    def make(self) -> Plan:
        if self.request.state == "absent":
            self._absent()
            return self.plan
        named = self.request.tokens is not None or self.request.generate is not None
        if self.request.subject is not None and not named:
            self._subject()
        else:
            self._named()
        return self.plan

    # present

    def _named(self) -> None:
        request = self.request
        wanted = dict.fromkeys(request.tokens or ())  # each once, in the given order
        if request.is_managed or request.attributes != Attributes():
            for name in wanted:
                self._present(name)
        else:
            # The plain case has no question beyond whether the file is there: one stat a token.
            self.plan.unchanged, others, missing = self.store.count_empty(wanted)
            self.plan.create = missing
            for name in others:
                self._present(name)
        if request.exclusive:
            present, self.plan.foreign = self.store.scan(skip=wanted, problems=self.plan.failures)
            mine = [token for token in present if request.subject in (None, token.subject)]
            self.plan.remove = mine
            self._check_clock(present)
        self._generate(request.generate or 0)

    def _present(self, name: str) -> None:
        token = self.store.look(name)
        if token is None:
            self._add(name)
            return
        self._check_clock((token,))
        if not self._suffices(token):
            self.plan.write.append(Draft(name, self._document(token), token))
        elif token.differs(self.request.attributes):
            self.plan.adjust.append(token)
        else:
            self.plan.unchanged += 1
            self.plan.kept.append(token)

    def _suffices(self, token: Token) -> bool:
        request = self.request
        if not token.is_valid(self.now):
            return False
        if not request.is_managed:
            return True
        if token.form != MANAGED or request.subject not in (None, token.subject):
            return False
        if request.expires_at is not None:
            return token.expires_at == request.expires_at
        if request.ttl is not None:
            return token.expires_at is not None and self._lasts(token)
        return True

    def _lasts(self, token: Token) -> bool:
        margin = self.request.renew_before or 0
        return token.expires_at is None or token.expires_at - self.now > margin

    def _subject(self) -> None:
        request = self.request
        mine = self._of_subject()
        lasting = [token for token in mine if token.is_valid(self.now) and self._lasts(token)]
        lasting.sort(key=_longest_first)
        count = request.count or 1
        surplus: t.List[Token] = []
        if request.exclusive:
            ended = [token for token in mine if not token.is_valid(self.now)]
            surplus = lasting[count:] + ended
            lasting = lasting[:count]
        for token in lasting:
            if token.differs(request.attributes):
                self.plan.adjust.append(token)
            else:
                self.plan.unchanged += 1
        self.plan.kept = lasting
        self.plan.remove = surplus
        self._generate(max(0, count - len(lasting)))

    def _generate(self, number: int) -> None:
        self.plan.generated = new_tokens(number)
        for name in self.plan.generated:
            self._add(name)

    def _add(self, name: str) -> None:
        if self.request.is_managed:
            self.plan.write.append(Draft(name, self._document(None)))
        else:
            self.plan.create.append(name)

    def _document(self, old: t.Optional[Token]) -> t.Optional[t.Dict[str, t.Any]]:
        request = self.request
        if not request.is_managed:
            return None
        ends = request.expires_at
        if request.ttl is not None:
            ends = self.now + request.ttl
        elif ends is None and old is not None and old.is_valid(self.now):
            ends = old.expires_at
        subject = request.subject
        if subject is None and old is not None:
            subject = old.subject
        return document_of(subject, self.now, ends)

    def _check_clock(self, tokens: t.Iterable[Token]) -> None:
        """A ttl counted from a clock that jumped back ends too early once the clock is right again."""
        newest: t.Optional[Token] = None
        for token in tokens:
            if token.issued_at == LAST_SECOND:
                continue  # no clock's time, but a mistake in the file
            if token.issued_at is not None and (newest is None or token.issued_at > (newest.issued_at or 0)):
                newest = token
        if newest is None or newest.issued_at is None or newest.issued_at <= self.now + CLOCK_TOLERANCE:
            return
        words = (
            f"the clock of this host ({time_text(self.now)}) is {newest.issued_at - self.now} s behind token "
            f"{newest.fingerprint}, issued {time_text(newest.issued_at)}"
        )
        if self.request.state == "present" and self.request.ttl is not None:
            raise StoreError(
                f"{words}: a ttl counted from it would be wrong; set the clock, or give expires_at, or remove that "
                "token"
            )
        self.plan.warnings.append(words)

    def _of_subject(self, problems: t.Optional[t.List[str]] = None) -> t.List[Token]:
        """The tokens of the subject. Each file is read, and of the others nothing is kept: there may be a million."""
        mine: t.List[Token] = []

        def noted() -> t.Iterator[Token]:
            for token in self.store.each(self.plan.foreign, problems=problems):
                if token.form == MANAGED and token.subject == self.request.subject:
                    mine.append(token)
                yield token

        self._check_clock(noted())
        return mine

    # absent

    def _absent(self) -> None:
        request = self.request
        if request.expired:
            self.plan.remove, self.plan.quarantine = self.store.due(self.now, self.plan.failures)
            return
        if request.subject is not None:
            self.plan.remove = self._of_subject(self.plan.failures)
            return
        names = dict.fromkeys(request.tokens or ())
        names.update(dict.fromkeys(self._by_fingerprint()))
        for name in names:
            try:
                token = self.store.look(name)
            except StoreError as error:
                self.plan.failures.append(str(error))
                continue
            if token is None:
                self.plan.unchanged += 1
            else:
                self.plan.remove.append(token)

    def _by_fingerprint(self) -> t.List[str]:
        wanted = list(dict.fromkeys(self.request.fingerprints or ()))
        if not wanted:
            return []
        found: t.Dict[str, t.List[str]] = {value: [] for value in wanted}
        for name, digest in self.store.like(wanted):
            for value in wanted:
                if digest.startswith(value):
                    found[value].append(name)
        for value, names in found.items():
            if len(names) > 1:
                raise StoreError(
                    f"fingerprint {value} matches {len(names)} tokens: give more of its 64 digits "
                    f"({', '.join(sorted(_distinct(names)))[:200]}); nothing was changed"
                )
        self.plan.unchanged += sum(1 for names in found.values() if not names)
        return [name for names in found.values() for name in names]


def _distinct(names: t.Sequence[str]) -> t.List[str]:
    """The shortest fingerprints, 12 digits at least, that tell the names apart."""
    digests = [full_fingerprint(name) for name in names]
    for length in range(12, 65, 4):
        if len({digest[:length] for digest in digests}) == len(digests):
            return [digest[:length] for digest in digests]
    return digests


def _longest_first(token: Token) -> t.Tuple[float, str]:
    ends = float("inf") if token.expires_at is None else float(token.expires_at)
    return (-ends, token.name)


def corrupt_warnings(tokens: t.Iterable[Token]) -> t.List[str]:
    return [f"token {token.fingerprint} holds no readable JSON" for token in tokens if token.form == CORRUPT]
