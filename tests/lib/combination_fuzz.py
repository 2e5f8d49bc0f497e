# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random locations that combine methods, random requests for them, and what the gate has to answer.

`combinations` has what has to come of a credential that is good, bad or absent. Here is what comes before: where which
kind of token may stand, which of several things a client has brought is one, addresses, origins, plain requests.
Worked out from role wss_proxy's table of answers and its part on several credentials, and from nothing of the
collection.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .combinations import ABSENT, BAD, CARRIED, GOOD, Case, Combination, Expected, combinations, expected

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 8))
NETWORKS = ("127.0.0.2/32", "127.0.0.4/31", "127.0.0.0/29", "127.0.0.0/8", "192.0.2.0/24")
COOKIES = ("AUTH", "s.id", "__Host-ID")
# Of what decides before any credential is looked at, and of each credential.
HOW_OFTEN_LET_IN, HOW_OFTEN_GOOD = 0.95, 0.7


@dataclass(frozen=True)
class Place:
    """A location of the gate, as its operator describes it."""

    combination: Combination
    path: str
    # As the operator writes them: the order says nothing.
    listed: tuple[str, ...]
    cookie: str
    # Empty: the option is left out.
    sources: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    is_missing_origin_allowed: bool = False
    has_pages: bool = False

    @property
    def options(self) -> dict[str, Any]:
        found = {
            "path": self.path,
            "auth": {"any" if self.combination.is_any else "all": list(self.listed)},
            "cookie_name": self.cookie,
            "sources": list(self.sources),
            "allow_from": list(self.allow),
            "deny_from": list(self.deny),
            "allow_missing_origin": self.is_missing_origin_allowed,
            "http": self.has_pages,
        }
        return {name: value for name, value in found.items() if value}

    def taken_from(self, method: str) -> tuple[str, ...]:
        """Where a token of this kind counts."""
        if method not in self.combination.methods:
            return ()
        return self.sources or self.combination.sources(method)

    def lets_in(self, address: str) -> bool:
        def is_in(networks: tuple[str, ...]) -> bool:
            return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)

        return not is_in(self.deny) and (not self.allow or is_in(self.allow))


@dataclass(frozen=True)
class Asked:
    """What a client sends. Cookies and Authorization hold the names of Stock's credentials."""

    place: Place
    address: str
    certificate: str = ABSENT
    word: str = ABSENT
    # The place's own cookie, as often as it is sent.
    cookies: tuple[str, ...] = ()
    # Basic or Bearer, and what of.
    authorization: tuple[str, str] = ("", "")
    # None: there is none.
    origin: bool | None = True
    is_plain: bool = False


@dataclass(frozen=True)
class Stock:
    """Credentials by name: how each is written, and what is said of it as a token, and as a signed one."""

    texts: Mapping[str, str]
    good_tokens: frozenset[str]
    # What a signed one is refused for; of the good ones nothing.
    signed: Callable[[str], str]
    passwords: tuple[str, ...] = (GOOD, BAD)
    honest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def is_of_signed_form(self, name: str) -> bool:
        return self.texts[name].count(".") == 2


def places(source: random.Random) -> list[Place]:
    """Each combination once, with other things around it in each run.

    Drawn again until some allow and some deny an address: without those nobody could miss either rule.
    """
    while True:
        found = [_place(source, number, combination) for number, combination in enumerate(combinations())]
        pairs = [(place, replace(place, deny=()), address) for place in found for address in ADDRESSES]
        has_allow = any(not without.lets_in(address) for _all, without, address in pairs)
        has_deny = any(without.lets_in(address) and not place.lets_in(address) for place, without, address in pairs)
        if has_allow and has_deny:
            return found


def _place(source: random.Random, number: int, combination: Combination) -> Place:
    carried = [method for method in combination.methods if method in CARRIED]
    sources: tuple[str, ...] = ()
    if carried and (combination.is_any or len(carried) < 2):
        choices = [(), (), ("cookie",)]
        if combination.is_any or "basic" not in combination.methods:
            choices += [("bearer",), ("cookie", "bearer")]
        sources = source.choice(choices)
    return Place(
        combination,
        f"/random/{number}",
        tuple(source.sample(combination.methods, len(combination.methods))),
        source.choice(COOKIES) if carried else "AUTH",
        sources,
        tuple(source.sample(NETWORKS, source.choice((0, 0, 0, 0, 0, 2)))),
        tuple(source.sample(NETWORKS[:2], source.choice((0, 0, 0, 1)))),
        source.random() < 0.3,
        source.random() < 0.3,
    )


def asked(source: random.Random, place: Place, stock: Stock) -> Asked:
    """What an honest client would send, spoilt here and there."""

    def is_honest() -> bool:
        return source.random() < HOW_OFTEN_GOOD

    methods = place.combination.methods
    names = list(stock.texts)
    found = Asked(place, source.choice(ADDRESSES), is_plain=place.has_pages and source.random() < 0.4)
    if source.random() > HOW_OFTEN_LET_IN:
        # A page without an origin may be asked for all the same, by a method that changes nothing.
        found = replace(found, origin=source.choice((False, True) if found.is_plain else (False, None)))
    if "client_certificate" in methods or source.random() < 0.1:
        found = replace(found, certificate=GOOD if is_honest() else source.choice((BAD, ABSENT, ABSENT, ABSENT)))
    if "external" in methods or source.random() < 0.1:
        found = replace(found, word=GOOD if is_honest() else source.choice((BAD, ABSENT)))
    if "basic" in methods and source.random() < 0.7:
        found = replace(found, authorization=("Basic", GOOD if is_honest() else source.choice(stock.passwords)))
    # Where any of them will do, a second one in the same place takes the place of the first.
    for method in source.sample(CARRIED, len(CARRIED)):
        for where in source.sample(place.taken_from(method), min(1, len(place.taken_from(method)))):
            name = source.choice(stock.honest[method]) if is_honest() else source.choice(names)
            found = _carrying(found, where, name)
    if source.random() < 0.2:
        found = _carrying(found, source.choice(("cookie", "bearer")), source.choice(names))
    if source.random() < 0.1:
        found = replace(found, cookies=source.choice(((), (*found.cookies, source.choice(names)))))
    if source.random() < 0.1:
        found = replace(found, authorization=("", ""))
    return found


def _carrying(found: Asked, where: str, name: str) -> Asked:
    if where == "cookie":
        return replace(found, cookies=(name,))
    return found if found.authorization[0] else replace(found, authorization=("Bearer", name))


def verdict(request: Asked, stock: Stock) -> Expected:
    """In the order of that table."""
    place, combination = request.place, request.place.combination
    if request.certificate == BAD:
        return Expected(400, "client_certificate")
    if not place.lets_in(request.address):
        return Expected(403, "address")
    if request.origin is False or (request.origin is None and not place.is_missing_origin_allowed):
        return Expected(403, "origin")
    if not combination.is_any and "client_certificate" in combination.methods and request.certificate == ABSENT:
        return Expected(403, "client_certificate")
    scheme, name = request.authorization
    sources = {where for method in CARRIED for where in place.taken_from(method)}
    has_one_place = combination.is_any or not combination.has_both_tokens
    if has_one_place and sources == {"cookie", "bearer"} and request.cookies and scheme == "Bearer":
        return Expected(400, "two_tokens")
    brings = {"client_certificate": request.certificate, "external": request.word, "basic": ABSENT}
    if scheme == "Basic":
        brings["basic"] = name
    found: dict[str, tuple[str, str]] = {}
    for method in CARRIED:
        came = _came(request, place.taken_from(method))
        # One value is one kind of token, where any of them will do.
        is_other = (
            bool(came)
            and combination.is_any
            and combination.has_both_tokens
            and stock.is_of_signed_form(came[1]) != (method == "jwt")
        )
        if came and not is_other:
            found[method] = came
    why = stock.signed(stock.texts[found["jwt"][1]]) if "jwt" in found else ""
    brings["token"] = _state(found.get("token"), lambda one: one in stock.good_tokens)
    brings["jwt"] = _state(found.get("jwt"), lambda _one: not why)
    case = Case(
        combination,
        {method: brings[method] for method in combination.methods},
        {method: where for method, (where, _name) in found.items()},
    )
    answer = expected(case)
    reason = why if answer.reason == "jwt_signature" else answer.reason
    status = 200 if request.is_plain and answer.status == 101 else answer.status
    return replace(answer, status=status, reason=reason)


def _came(request: Asked, sources: Sequence[str]) -> tuple[str, str] | None:
    """Where from, and what. A cookie that came twice is none."""
    scheme, name = request.authorization
    if "bearer" in sources and scheme == "Bearer":
        return "bearer", name
    return ("cookie", request.cookies[0]) if "cookie" in sources and len(request.cookies) == 1 else None


def _state(came: tuple[str, str] | None, is_good: Callable[[str], bool]) -> str:
    return ABSENT if came is None else GOOD if is_good(came[1]) else BAD
