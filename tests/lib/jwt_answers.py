# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate is told of a signed token when it asks its own nginx: a table of requests and answers."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .jwt_attacks import ISSUER, OTHER_ISSUER, Signers
from .jwt_judge import Judge

# Between the moment when a token is made and the one when it is judged.
PATIENCE = 30


class Answer(NamedTuple):
    name: str
    location: str
    # Claims of a token of the first issuer, None for no token; times count from now.
    claims: Mapping[str, Any] | None
    asked: Mapping[str, str]
    status: int
    headers: Mapping[str, str]
    # Seconds that the session may last, at least and at most; or the text.
    lifetime: tuple[int, int] | str


def _passed(**claims: str) -> dict[str, str]:
    fingerprint = hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest()
    return {"Wssgate-Subject": "client-1", "Wssgate-Id": fingerprint} | claims


def _refused(reason: str) -> dict[str, str]:
    return {"Wssgate-Reason": reason}


CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
COOKIE, BEARER = {"Wssgate-Source": "cookie"}, {"Wssgate-Source": "bearer"}

ANSWERS = (
    Answer("passes", "main", {}, {}, 204, _passed(), (600, 600)),
    Answer("passes by a cookie", "main", {}, COOKIE, 204, _passed(), (600, 600)),
    Answer("passes by Authorization", "main", {}, BEARER, 204, _passed(), (600, 600)),
    Answer("passes where all issuers count", "all", {}, {}, 204, _passed(), (600, 600)),
    Answer(
        "passes with claims",
        "main",
        {"name": "Zoë", "realm_access": {"roles": ["a", "b"]}},
        {},
        204,
        _passed(**{"Wssgate-Claim-0": "Zo%C3%AB", "Wssgate-Claim-1": "a,b"}),
        (600, 600),
    ),
    Answer("passes without jti", "main", {"jti": None}, {}, 204, {"Wssgate-Subject": "client-1"}, (600, 600)),
    Answer(
        "passes without sub",
        "main",
        {"sub": None},
        {},
        204,
        {"Wssgate-Id": _passed()["Wssgate-Id"]},
        (600, 600),
    ),
    Answer("a shorter lifetime of the location", "main", {}, {"Wssgate-Lifetime": "30-60"}, 204, _passed(), "30-60"),
    Answer("the shortest lifetime of the location", "main", {}, {"Wssgate-Lifetime": "1-9"}, 204, _passed(), "1-9"),
    Answer("no lifetime of the location", "main", {}, {"Wssgate-Lifetime": "-"}, 204, _passed(), (600, 600)),
    Answer("a lifetime that ends later", "main", {}, {"Wssgate-Lifetime": "30-86400"}, 204, _passed(), (30, 600)),
    Answer("a lifetime that begins later", "main", {}, {"Wssgate-Lifetime": "80000-86400"}, 204, _passed(), (600, 600)),
    Answer("a lifetime of ten digits", "main", {}, {"Wssgate-Lifetime": "1-9999999999"}, 204, _passed(), (1, 600)),
    *(
        Answer(f"a lifetime that is none: {text}", "main", {}, {"Wssgate-Lifetime": text}, 204, _passed(), (600, 600))
        for text in ("30-60x", "x30-60", "30", "30-", "-60", "3060", "00000000030-60", "30-00000000060", "30_60")
    ),
    Answer("within the skew", "main", {"exp": -2}, {}, 204, _passed(), "1-1"),
    Answer("expired", "main", {"exp": -60}, {}, 403, _refused("jwt_expired"), "-"),
    Answer("expired, by a cookie", "main", {"exp": -60}, COOKIE, 403, _refused("jwt_expired"), "-"),
    Answer("expired, by Authorization", "main", {"exp": -60}, BEARER, 401, _refused("jwt_expired") | CHALLENGE, "-"),
    Answer(
        "refused, with a lifetime for a password",
        "main",
        {"exp": -60},
        {"Wssgate-Lifetime": "30-60"},
        403,
        _refused("jwt_expired"),
        "30-60",
    ),
    Answer("no token", "main", None, {}, 403, _refused("jwt_malformed"), "-"),
    Answer("no token, by Authorization", "main", None, BEARER, 401, _refused("jwt_malformed") | CHALLENGE, "-"),
    Answer("another location's issuer", "strict", {}, {}, 403, _refused("jwt_issuer"), "-"),
    Answer("an issuer that is not there", "all", {"iss": OTHER_ISSUER + "/"}, {}, 403, _refused("jwt_issuer"), "-"),
    Answer("a location that is not there", "nothing", {}, {}, 403, _refused("jwt_issuer"), "-"),
)


def complaint(judge: Judge, by: Signers, wanted: Answer) -> str:
    """What is wrong with the answer, or nothing."""
    asked = dict(wanted.asked)
    now = int(time.time())
    if wanted.claims is not None:
        good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": now - 10, "exp": now + 600}
        changes = {name: now + value if name == "exp" else value for name, value in wanted.claims.items()}
        asked["Wssgate-Token"] = by.es256.sign(
            {name: value for name, value in (good | changes).items() if value is not None}
        )
    status, headers, body = judge.asked(wanted.location, asked)
    found = {name: value for name, value in headers.items() if name.startswith(("Wssgate-", "WWW-")) and value}
    lifetime, issued = found.pop("Wssgate-Lifetime", ""), found.pop("Wssgate-Issued", None)
    # njs 0.7.9 has nginx write its own page, which goes no further than the gate.
    is_bodiless = not body or body.startswith(b"<html>")
    if (status, found, is_bodiless) != (wanted.status, dict(wanted.headers), True):
        return f"{wanted.name}: {status} {found} {body!r}"
    if issued != (str(now - 10) if wanted.status == 204 else None):
        return f"{wanted.name}: issued at {issued!r} instead of {now - 10}"
    if isinstance(wanted.lifetime, str):
        return "" if lifetime == wanted.lifetime else f"{wanted.name}: {lifetime!r} instead of {wanted.lifetime!r}"
    bounds = re.fullmatch("([0-9]+)-([0-9]+)", lifetime)
    for bound, most in zip(map(int, bounds.groups() if bounds else ()), wanted.lifetime, strict=False):
        if not (most - PATIENCE <= bound <= most if most == 600 else bound == most):
            return f"{wanted.name}: {lifetime!r} instead of {wanted.lifetime}"
    return "" if bounds else f"{wanted.name}: {lifetime!r} instead of {wanted.lifetime}"
