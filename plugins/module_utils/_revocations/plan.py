# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was asked for about signed tokens, and what that changes in the folder of what was taken back."""

from __future__ import annotations

import re
import time
import typing as t

from .issuers import Issuers
from .store import (
    SUBJECTS,
    TIME_MAX,
    TOKENS,
    Entry,
    RevocationError,
    Revocations,
    id_of_subject,
    id_of_token,
    is_id,
    merged,
)

PRESENT, ABSENT = "present", "absent"
CREATED, UPDATED, REMOVED, UNCHANGED = "created", "updated", "removed", "unchanged"
# What is meant in milliseconds, or mistyped, is further ahead.
YEARS = 10
_AHEAD = YEARS * 366 * 86400
# As NOT_TEXT in jwt.js: no token that the gate takes has them.
_CONTROL = re.compile("[\0-\x1f\x7f\ufffd]")
_WHOLE_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\Z")
_ID_LENGTH_SHOWN = 12


class Request(t.NamedTuple):
    """What was asked for. None stands for what was not given."""

    state: str = PRESENT
    jti: t.Optional[t.Sequence[str]] = None
    issuer: t.Optional[str] = None
    token_ids: t.Optional[t.Sequence[str]] = None
    subject: t.Optional[t.Sequence[str]] = None
    issued_before: t.Optional[int] = None
    until: t.Optional[int] = None

    def check(self, now: float) -> None:
        """Raise RevocationError for what cannot be meant. What may be a token is not repeated."""
        lists = {"jti": self.jti, "token_ids": self.token_ids, "subject": self.subject}
        if all(values is None for values in lists.values()):
            raise RevocationError("nothing is asked for: give jti, token_ids or subject")
        for name, values in lists.items():
            _check_texts(name, values)
        for index, one in enumerate(self.jti or ()):
            if _WHOLE_TOKEN.match(one):
                raise RevocationError(f"jti[{index}] is a whole token: give its claim jti")
        for index, one in enumerate(self.token_ids or ()):
            if not is_id(one):
                raise RevocationError(
                    f"token_ids[{index}] is not the id of a token: 64 of the digits 0-9 and a-f are needed, as "
                    "token_id of the access log has them"
                )
        if self.issuer is not None and self.jti is None:
            raise RevocationError("issuer is for jti, which is not given: a subject is one of all issuers")
        self._check_times(now)

    def _check_times(self, now: float) -> None:
        if self.state == ABSENT:
            for name in ("issued_before", "until"):
                if getattr(self, name) is not None:
                    raise RevocationError(f"{name} is for state=present: what is taken back no more has no time")
            return
        if self.issued_before is not None and self.subject is None:
            raise RevocationError("issued_before is for subject, which is not given: a jti stands for one token")
        if self.issued_before is not None and not 1 <= self.issued_before <= TIME_MAX:
            raise RevocationError(f"issued_before must be in seconds since 1970, not {self.issued_before}")
        if self.issued_before is not None and self.issued_before > now + _AHEAD:
            raise RevocationError(f"issued_before is {self.issued_before}, more than {YEARS} years ahead")
        if self.until is None:
            return
        if self.until <= now:
            raise RevocationError(
                f"until is {self.until}, which has passed ({int(now)} is now): it is when the last of the tokens ends"
            )
        if self.until > now + _AHEAD:
            raise RevocationError(
                f"until is {self.until}, more than {YEARS} years ahead: is it in seconds since 1970? It is when the "
                "last of the tokens ends"
            )
        if self.issued_before is not None and self.until <= self.issued_before:
            raise RevocationError(
                f"until ({self.until}) must be later than issued_before ({self.issued_before}): tokens that are made "
                "before that time end after it"
            )

    def issuer_of(self, issuers: Issuers) -> str:
        """The issuer of jti, one of the gate's."""
        names = ", ".join(repr(name) for name in issuers.names)
        if self.issuer is None:
            if len(issuers.names) > 1:
                raise RevocationError(f"a jti counts with its issuer, and this gate has several: give one of {names}")
            return issuers.names[0]
        if self.issuer not in issuers.names:
            raise RevocationError(
                f"issuer {self.issuer!r} is none of this gate's, by the claim iss letter by letter: {names}"
            )
        return self.issuer

    def entries(self, issuers: Issuers, now: float) -> t.Iterator[Entry]:
        """What is asked for, as entries; each once."""
        ids = [id_of_token(self.issuer_of(issuers), one) for one in self.jti] if self.jti else []
        # What is made in this second counts, too: times of issue are whole seconds as a rule.
        before = int(now) + 1 if self.issued_before is None else self.issued_before
        end = int(now) + issuers.longest + 1
        for name in dict.fromkeys([*ids, *(self.token_ids or ())]):
            yield Entry(TOKENS, name, end if self.until is None else self.until)
        if self.until is None:
            end = max(end, before + issuers.longest)
        for name in dict.fromkeys(self.subject or ()):
            until = end if self.until is None else self.until
            if until <= before:
                raise RevocationError(
                    f"until is {until}: it must be later than now, when the last of the tokens is made"
                )
            yield Entry(SUBJECTS, id_of_subject(name), until, before)

    def cut_offs(self, entries: t.Iterable[Entry]) -> t.Dict[str, int]:
        """The time of each subject."""
        times = {one.id: one.issued_before for one in entries if one.kind == SUBJECTS}
        found = {}
        for subject in self.subject or ():
            before = times.get(id_of_subject(subject))
            if before is not None:
                found[subject] = before
        return found


def _check_texts(name: str, values: t.Optional[t.Sequence[str]]) -> None:
    if values is None:
        return
    if not values:
        raise RevocationError(f"{name} is empty: name at least one, or leave it out")
    for index, one in enumerate(values):
        if not one:
            raise RevocationError(f"{name}[{index}] is empty")
        if _CONTROL.search(one):
            raise RevocationError(f"{name}[{index}] has a control character, which no token has that the gate takes")


class Step(t.NamedTuple):
    """One entry as it was, None where there was none, and as it shall be."""

    before: t.Optional[Entry]
    after: t.Optional[Entry]

    @property
    def change(self) -> str:
        if self.before == self.after:
            return UNCHANGED
        return CREATED if self.before is None else REMOVED if self.after is None else UPDATED

    def as_dict(self) -> t.Dict[str, t.Any]:
        shown = self.after or self.before
        if shown is None:
            raise ValueError("an entry that was not there and shall not be")
        return {
            "kind": shown.kind,
            "id": shown.id,
            "issued_before": shown.issued_before,
            "until": shown.until,
            "change": self.change,
        }


class Plan:
    """What is to change, worked out before anything does."""

    def __init__(self, folder: t.Optional[Revocations], request: Request, issuers: Issuers, now: float) -> None:
        self.steps: t.List[Step] = []
        self.missing = 0  # those that were to go and are not there
        for wanted in request.entries(issuers, now):
            former = folder.entry(wanted.kind, wanted.id) if folder is not None else None
            if request.state == ABSENT:
                if former is None:
                    self.missing += 1
                else:
                    self.steps.append(Step(former, None))
            else:
                found = merged(wanted, former)
                if found is None or (former is not None and _is_the_same(found, former, request, issuers, now)):
                    found = former
                self.steps.append(Step(former, found))
        for step in self.steps:
            if step.change in (UPDATED, REMOVED) and step.before is not None and folder is not None:
                folder.check(step.before.kind, step.before.id)

    def count(self, change: str) -> int:
        """How many entries change in this way."""
        return sum(1 for step in self.steps if step.change == change) + (self.missing if change == UNCHANGED else 0)

    @property
    def is_change(self) -> bool:
        return any(step.change != UNCHANGED for step in self.steps)

    def apply(self, folder: Revocations) -> None:
        """Do it."""
        for step in self.steps:
            if step.change == REMOVED and step.before is not None:
                folder.remove(step.before.kind, step.before.id)
            elif step.change != UNCHANGED and step.after is not None:
                folder.put(step.after)

    def diff(self) -> t.Tuple[str, str]:
        """Before and after, one line an entry. There is nothing secret in it."""
        changed = [step for step in self.steps if step.change != UNCHANGED]
        before, after = ([_line(entry) for entry in side if entry] for side in zip(*changed)) if changed else ([], [])
        return "".join(before), "".join(after)


def _is_the_same(found: Entry, former: Entry, request: Request, issuers: Issuers, now: float) -> bool:
    """Whether nothing but an end is other that nobody asked for: by itself it moves on with each run.

    An entry whose end has passed is about to go, and has to stay. So has one that was given an earlier end than it
    would have had by itself, or that was made when tokens lived shorter.
    """
    if former.problem or request.until is not None or found.issued_before != former.issued_before:
        return False
    return former.until is None or (former.until > now and former.until >= int(former.changed_at) + issuers.longest)


def _line(entry: Entry) -> str:
    words = f"{entry.kind} {entry.id[:_ID_LENGTH_SHOWN]}"
    if entry.issued_before is not None:
        words += f" issued before {_time(entry.issued_before)}"
    if entry.problem:
        words += f" that {entry.problem}"
    return words + (" until it is removed\n" if entry.until is None else f" until {_time(entry.until)}\n")


def _time(moment: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    except (ValueError, OverflowError):
        return str(moment)
