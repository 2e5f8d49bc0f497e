# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What wss_token_info reports about a store."""

from __future__ import annotations

import typing as t

from .._sessions.log import Session
from .record import (
    CORRUPT,
    MANAGED,
    TOUCHED,
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
    store: TokenStore, filters: Filters, now: int, sessions: t.Optional[t.Mapping[str, int]] = None
) -> t.Dict[str, t.Any]:
    tokens, foreign = store.scan()
    listed = [token for token in tokens if filters.passes(token, now)]
    listed.sort(key=_soonest_first)
    described = [describe(token, now) for token in listed]
    total: t.Dict[str, int] = totals(tokens, len(foreign), now)
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


def totals(tokens: t.Sequence[Token], foreign: int, now: int) -> t.Dict[str, int]:
    forms = [token.form for token in tokens]
    return {
        "tokens": len(tokens),
        "touched": forms.count(TOUCHED),
        "managed": forms.count(MANAGED),
        "corrupt": forms.count(CORRUPT),
        "expired": sum(1 for token in tokens if token.is_expired(now)),
        "valid": sum(1 for token in tokens if token.is_valid(now)),
        "subjects": len({token.subject for token in tokens if token.subject is not None}),
        "foreign": foreign,
    }


def _soonest_first(token: Token) -> t.Tuple[float, str, str]:
    ends = float("inf") if token.expires_at is None else float(token.expires_at)
    return (ends, token.subject or "", token.fingerprint)
