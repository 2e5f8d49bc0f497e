# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any or all of several methods: which there are, what a client may bring to each, and what has to come of it.

Worked out from role wss_proxy's table of answers and from nothing of the collection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

METHODS = ("basic", "client_certificate", "token", "jwt", "external")
GOOD, BAD, ABSENT = "good", "bad", "absent"
CARRIED = ("token", "jwt")


@dataclass(frozen=True)
class Combination:
    """What a location asks for. It takes tokens from ``sources``."""

    methods: tuple[str, ...]
    is_any: bool

    @property
    def path(self) -> str:
        return "/" + "-".join(["any" if self.is_any else "all", *self.methods])

    @property
    def auth(self) -> dict[str, list[str]]:
        return {"any" if self.is_any else "all": list(self.methods)}

    @property
    def has_both_tokens(self) -> bool:
        return set(CARRIED) <= set(self.methods)

    def sources(self, method: str) -> tuple[str, ...]:
        """Where this kind of token may come from, without the option of that name."""
        if self.has_both_tokens and not self.is_any:
            return ("cookie",) if method == "token" else ("bearer",)
        is_free = self.is_any or "basic" not in self.methods
        return ("cookie", "bearer") if "jwt" in self.methods and is_free else ("cookie",)


@dataclass(frozen=True)
class Case:
    """What a client brings: of each method a good credential, a bad one or none, and where its tokens are."""

    combination: Combination
    brings: dict[str, str] = field(hash=False)
    source: dict[str, str] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.combination.path} {self.brings} {self.source}"


@dataclass(frozen=True)
class Expected:
    status: int
    reason: str = ""
    challenges: frozenset[str] = frozenset()
    # What lets it in, as far as the session log has it: a token, a signed one, both.
    noted: tuple[str, ...] = ()
    # Whether a signed token was found to be good.
    is_signed: bool = False


def combinations() -> Iterator[Combination]:
    """Each that can be had of two and more methods."""
    for count in range(2, len(METHODS) + 1):
        for methods in itertools.combinations(METHODS, count):
            yield Combination(methods, True)
            # A password and a signed token would both be in Authorization.
            if not {"basic", "token", "jwt"} <= set(methods):
                yield Combination(methods, False)


def cases(combination: Combination) -> Iterator[Case]:
    carried = [method for method in combination.methods if method in CARRIED]
    for states in itertools.product((GOOD, BAD, ABSENT), repeat=len(combination.methods)):
        brings = dict(zip(combination.methods, states, strict=True))
        sent = [method for method in carried if brings[method] != ABSENT]
        for places in itertools.product(*(combination.sources(method) for method in sent)):
            # One Authorization, one cookie of that name.
            taken = [*places, *(["bearer"] * (brings.get("basic", ABSENT) != ABSENT))]
            if len(set(taken)) == len(taken):
                yield Case(combination, brings, dict(zip(sent, places, strict=True)))


SERVICE_CHALLENGE = "Service"
BASIC_CHALLENGE, BEARER_CHALLENGE = 'Basic realm="Restricted"', 'Bearer error="invalid_token"'
# What the operator's service says of what came, or did not come.
SERVICE = {GOOD: 204, BAD: 403, ABSENT: 401}


def expected(case: Case) -> Expected:
    combination, brings = case.combination, case.brings
    if brings.get("client_certificate") == BAD:
        return Expected(400, "client_certificate")
    if not combination.is_any and brings.get("client_certificate") == ABSENT:
        return Expected(403, "client_certificate")
    if combination.is_any and len(case.source) > 1:
        return Expected(400, "two_tokens")
    return _any(case) if combination.is_any else _all(case)


def _any(case: Case) -> Expected:
    methods, brings = case.combination.methods, case.brings
    for method in METHODS:
        if brings.get(method) == GOOD:
            return Expected(101, noted=(method,) if method in CARRIED else (), is_signed=method == "jwt")
    is_bearer = "bearer" in case.source.values()
    is_judged = brings.get("jwt") == BAD
    challenges = {BASIC_CHALLENGE} if "basic" in methods else set()
    answer = SERVICE[brings["external"]] if "external" in methods else 403
    if answer == 401:
        return Expected(401, "external_auth", frozenset(challenges | {SERVICE_CHALLENGE}))
    if is_bearer:
        challenges.add(BEARER_CHALLENGE)
    status = 401 if challenges else 403
    if is_judged:
        reason = "jwt_signature"
    elif "external" in methods:
        reason = "external_auth"
    elif is_bearer:
        reason = "token"
    elif status == 401:
        reason = "basic_auth"
    elif "token" in methods:
        reason = "token"
    else:
        reason = "jwt_missing"
    return Expected(status, reason, frozenset(challenges))


def _all(case: Case) -> Expected:
    methods, brings = case.combination.methods, case.brings
    if brings.get("basic", GOOD) != GOOD:
        return Expected(401, "basic_auth", frozenset({BASIC_CHALLENGE}))
    for method, reason in (("token", "token"), ("jwt", "jwt_signature")):
        if brings.get(method, GOOD) == GOOD:
            continue
        if brings[method] == ABSENT:
            return Expected(403, "token" if method == "token" else "jwt_missing")
        if case.source[method] == "bearer":
            return Expected(401, reason, frozenset({BEARER_CHALLENGE}))
        return Expected(403, reason)
    if brings.get("external", GOOD) != GOOD:
        status = SERVICE[brings["external"]]
        return Expected(
            status, "external_auth", frozenset({SERVICE_CHALLENGE} if status == 401 else ()), (), "jwt" in methods
        )
    return Expected(101, noted=tuple(m for m in CARRIED if m in methods), is_signed="jwt" in methods)
