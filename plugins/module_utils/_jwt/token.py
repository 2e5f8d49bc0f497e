# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a signed token says (JWT: RFC 7519), held to what a gate takes, and its text."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import typing as t

from .._host.error import HostError
from .keys import SigningKey, base64url

# All of these as roles/wss_proxy/files/jwt.js has them: what a gate refuses shall not be signed.
TOKEN_MAX_LENGTH = 8192
SUBJECT_MAX_LENGTH = 256
DEPTH_MAX = 8
NOT_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffd]")
TIME_MAX = 253402300799
VISIBLE = re.compile(r"[!-~]{1,255}")
AUDIENCE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
# Browsers keep a cookie of 4096 bytes, its name and attributes included in some.
COOKIE_LENGTH = 3900

# RFC 7519 4.1, and the option that each has here.
REGISTERED = {
    "iss": "issuer",
    "sub": "subject",
    "aud": "audience",
    "exp": "ttl or expires_at",
    "nbf": "not_before",
    "iat": "",
    "jti": "jti",
}


class TokenFaultError(HostError):
    """Says what is wrong with what was to be signed."""


class Wanted(t.NamedTuple):
    """What was asked for, in the module's words."""

    issuer: str
    audience: t.Sequence[str]
    subject: t.Optional[str] = None
    jti: t.Optional[str] = None
    ttl: t.Optional[int] = None
    expires_at: t.Optional[int] = None
    not_before: t.Optional[int] = None
    max_token_lifetime: int = 86400
    claims: t.Mapping[str, t.Any] = {}
    algorithm: t.Optional[str] = None
    kid: t.Optional[str] = None


class Draft(t.NamedTuple):
    """What is signed: both parts of a token, checked."""

    header: t.Mapping[str, t.Any]
    payload: t.Mapping[str, t.Any]

    @property
    def token_id(self) -> str:
        """The name that a token has in the log of a gate and among what was taken back."""
        return hashlib.sha256(f"{self.payload['iss']}\n{self.payload['jti']}".encode("utf-8")).hexdigest()


def draft(wanted: Wanted, key: SigningKey, now: int) -> Draft:
    """The parts of a token, or the first thing that is wrong with them."""
    _check_texts(wanted)
    payload = _claims(wanted.claims)
    audience = list(wanted.audience)
    payload.update(
        iss=wanted.issuer,
        aud=audience[0] if len(audience) == 1 else audience,
        iat=now,
        exp=_end(wanted, now),
        jti=wanted.jti or secrets.token_hex(16),
    )
    if wanted.subject:
        payload["sub"] = wanted.subject
    if wanted.not_before is not None:
        payload["nbf"] = wanted.not_before
    header = {"alg": _algorithm(wanted, key), "kid": wanted.kid or key.thumbprint(), "typ": "JWT"}
    return Draft(header, payload)


def sign(parts: Draft, key: SigningKey) -> str:
    """The token (RFC 7515 3.1)."""
    signed = f"{_encoded(parts.header)}.{_encoded(parts.payload)}"
    signature = key.sign(signed.encode("ascii"), str(parts.header["alg"]))
    token = f"{signed}.{base64url(signature)}"
    if len(token) > TOKEN_MAX_LENGTH:
        raise TokenFaultError(
            f"the token would be {len(token)} characters long, and a gate takes {TOKEN_MAX_LENGTH}; leave claims out"
        )
    return token


def _encoded(part: t.Mapping[str, t.Any]) -> str:
    return base64url(json.dumps(part, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8"))


def _check_texts(wanted: Wanted) -> None:
    if not VISIBLE.fullmatch(wanted.issuer):
        raise TokenFaultError("issuer must be 1 to 255 visible ASCII characters, such as https://id.example.com")
    if not wanted.audience:
        raise TokenFaultError("audience is empty; name what the gate's issuer has there")
    for audience in wanted.audience:
        if not AUDIENCE.fullmatch(audience):
            raise TokenFaultError(f"audience {audience!r} must be 1 to 255 visible ASCII characters")
    if wanted.kid is not None and not VISIBLE.fullmatch(wanted.kid):
        raise TokenFaultError("kid must be 1 to 255 visible ASCII characters")
    for name, value in (("subject", wanted.subject), ("jti", wanted.jti)):
        if value is not None and (not value or NOT_TEXT.search(value)):
            raise TokenFaultError(f"{name} must be text without control characters, and not empty")
        if value is not None and _logged_length(value) > SUBJECT_MAX_LENGTH:
            raise TokenFaultError(
                f"{name} is longer than {SUBJECT_MAX_LENGTH}; characters beyond ASCII count three for each byte"
            )


def _logged_length(value: str) -> int:
    """Characters that a text has in a header and a log, where %XX stands for each byte that is not plain."""
    plain = re.sub(r"[^ -$&-+\--~]+", lambda found: "%XX" * len(found[0].encode("utf-8")), value)
    return len(plain) + 2 * (len(plain) - len(plain.strip(" ")))


def _claims(claims: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The claims as JSON has them, where each name is a text and there once."""
    for name in claims:
        if name in REGISTERED:
            option = REGISTERED[name]
            raise TokenFaultError(
                f"claims has {name}, "
                + (f"which has an option of its own: {option}" if option else "which is the time of the signature")
            )
    try:
        text = json.dumps(claims, allow_nan=False, ensure_ascii=False)
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise TokenFaultError("claims holds what JSON has no form for; give texts, numbers, lists and so on") from error
    if _depth(claims) > DEPTH_MAX:
        raise TokenFaultError(f"claims has more than {DEPTH_MAX} levels within each other, and a gate takes no more")
    return t.cast(t.Dict[str, t.Any], json.loads(text))


def _depth(value: t.Any) -> int:
    if isinstance(value, t.Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, (list, tuple)):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _end(wanted: Wanted, now: int) -> int:
    if wanted.max_token_lifetime < 1:
        raise TokenFaultError(f"max_token_lifetime must be above 0, not {wanted.max_token_lifetime}")
    if wanted.expires_at is not None:
        ends = wanted.expires_at
        if not now < ends <= TIME_MAX:
            raise TokenFaultError(f"expires_at {ends} is not in the future; it is in seconds since 1970 UTC")
        name = "expires_at"
    else:
        ttl = 0 if wanted.ttl is None else wanted.ttl
        if ttl < 1:
            raise TokenFaultError(f"ttl must be a number of seconds above 0, not {ttl}")
        ends, name = now + ttl, "ttl"
    if ends > now + wanted.max_token_lifetime:
        raise TokenFaultError(
            f"{name} is {ends - now} seconds ahead, and max_token_lifetime is {wanted.max_token_lifetime}: a gate "
            "refuses what ends later; ask for less, or raise it here and at the gate's issuer"
        )
    if wanted.not_before is not None and not 0 <= wanted.not_before < ends:
        raise TokenFaultError(
            f"not_before {wanted.not_before} is not before the end, {ends}; both are in seconds since 1970 UTC"
        )
    return ends


def _algorithm(wanted: Wanted, key: SigningKey) -> str:
    if wanted.algorithm is None:
        return key.algorithms[0]
    if wanted.algorithm not in key.algorithms:
        raise TokenFaultError(
            f"algorithm {wanted.algorithm} does not fit the key, which is for {' and '.join(key.algorithms)}"
        )
    return wanted.algorithm
