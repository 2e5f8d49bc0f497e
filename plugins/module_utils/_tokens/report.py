# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What wss_token_info reports about a store."""

from __future__ import annotations

import typing as t
from heapq import nsmallest

from .._sessions.log import Session
from .record import (
    CORRUPT,
    MANAGED,
    TOUCHED,
    Foreign,
    Token,
    full_fingerprint,
)
from .store import TokenStore


class Filters(t.NamedTuple):
    """Which tokens to list; None lets every token pass."""

    subjects: t.Optional[t.Sequence[str]] = None
    fingerprints: t.Optional[t.Sequence[str]] = None
    forms: t.Optional[t.Sequence[str]] = None
    status: str = "any"
    expires_within: t.Optional[int] = None

    def passes(self, token: Token, now: int) -> bool:
        if self.subjects is not None and token.subject not in self.subjects:
            return False
        if self.forms is not None and token.form not in self.forms:
            return False
        if self.status != "any" and token.is_valid(now) != (self.status == "valid"):
            return False
        if self.expires_within is not None and (
            token.expires_at is None or token.expires_at - now > self.expires_within
        ):
            return False
        return self.fingerprints is None or full_fingerprint(token.name).startswith(tuple(self.fingerprints))


def count_sessions(sessions: t.Iterable[Session]) -> t.Dict[str, int]:
    """How many each token has; sessions that no token let in are nobody's."""
    counts: t.Dict[str, int] = {}
    for session in sessions:
        if session.token:
            counts[session.token] = counts.get(session.token, 0) + 1
    return counts


def listing(
    store: TokenStore,
    filters: Filters,
    now: int,
    sessions: t.Optional[t.Mapping[str, int]] = None,
    limit: t.Optional[int] = None,
) -> t.Dict[str, t.Any]:
    """The tokens that pass, those that end first in front and at most so many; what else the store holds is counted."""
    foreign: t.List[Foreign] = []
    totals = _Totals(now)
    passing = (token for token in totals.of_each(store.each(foreign)) if filters.passes(token, now))
    if limit is None:
        listed = sorted(passing, key=_soonest_first)
    else:
        # Of none nsmallest() would look at none, and nothing would be counted.
        listed = nsmallest(limit or 1, passing, key=_soonest_first)[:limit]
    described = [describe(token, now) for token in listed]
    total = totals.as_dict(len(foreign))
    if sessions is not None:
        for entry, token in zip(described, listed):
            entry["sessions"] = sessions.get(token.name, 0)
        total["sessions"] = sum(sessions.values())
    return {
        "now": now,
        "tokens": described,
        "totals": total,
        "foreign": [thing.as_dict() for thing in foreign],
    }


def describe(token: Token, now: int) -> t.Dict[str, t.Any]:
    return {
        "fingerprint": token.fingerprint,
        "subject": token.subject,
        "form": token.form,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "seconds_left": None if token.expires_at is None else max(0, token.expires_at - now),
        "valid": token.is_valid(now),
    }


class _Totals:
    """Numbers of a store whose tokens pass by: of a million no more is kept than their subjects."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._forms = dict.fromkeys((TOUCHED, MANAGED, CORRUPT), 0)
        self._expired = self._valid = 0
        self._subjects: t.Set[str] = set()

    def of_each(self, tokens: t.Iterable[Token]) -> t.Iterator[Token]:
        for token in tokens:
            self._forms[token.form] += 1
            self._expired += token.is_expired(self._now)
            self._valid += token.is_valid(self._now)
            if token.subject is not None:
                self._subjects.add(token.subject)
            yield token

    def as_dict(self, foreign: int) -> t.Dict[str, int]:
        return {
            "tokens": sum(self._forms.values()),
            "touched": self._forms[TOUCHED],
            "managed": self._forms[MANAGED],
            "corrupt": self._forms[CORRUPT],
            "expired": self._expired,
            "valid": self._valid,
            "subjects": len(self._subjects),
            "foreign": foreign,
        }


def _soonest_first(token: Token) -> t.Tuple[float, str, str]:
    ends = float("inf") if token.expires_at is None else float(token.expires_at)
    return (ends, token.subject or "", token.fingerprint)
