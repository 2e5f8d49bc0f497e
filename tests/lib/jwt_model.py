# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gate has to say of a signed token, by joserfc and the gate's own rules on top.

It goes by the guide to signed tokens, and imports nothing of the collection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

ALGORITHMS = {"ES256": "P-256", "ES384": "P-384", "RS256": "RSA", "PS256": "RSA"}
TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
BEYOND_TIME = 253402300800


class RefusedError(Exception):
    """The reason is its text."""


class _Registry(jws.JWSRegistry):
    """What a header has is looked at before, or counts for nothing: for a URL in jku, for example."""

    max_header_length = max_payload_length = 8192

    def check_header(self, header: Mapping[str, Any]) -> None:
        pass


class Model:
    """Judges for issuers as wss_proxy_issuers has them."""

    def __init__(self, issuers: Sequence[Mapping[str, Any]], store: Path) -> None:
        self.issuers = {issuer["issuer"]: issuer for issuer in issuers}
        self.keys = {issuer["issuer"]: _keys(issuer) for issuer in issuers}
        # As a gate has it: an upstream's header has one place, whichever issuer it is of.
        self.headers = [*dict.fromkeys(header["name"] for issuer in issuers for header in issuer.get("headers", []))]
        self.store = store

    def judged(self, token: str, now: float) -> dict[str, Any]:
        try:
            return self._judged(token, now)
        except RefusedError as refused:
            return {"reason": str(refused)}

    def _judged(self, token: str, now: float) -> dict[str, Any]:
        if len(token) > 8192 or not re.fullmatch(r"(?:[A-Za-z0-9_-]+\.){2}[A-Za-z0-9_-]+", token):
            raise RefusedError("jwt_malformed")
        head, body, signature = token.split(".")
        header = _object(head)
        _check_header(header)
        _bytes(signature)
        claims = _object(body)
        name = claims.get("iss")
        if not isinstance(name, str) or name not in self.issuers:
            raise RefusedError("jwt_issuer")
        issuer = self.issuers[name]
        self._check_signature(token, header, name)
        _check_identity(claims)
        _check_claims(claims, issuer, now)
        for rule in issuer.get("require", []):
            _check_rule(claims, rule)
        # A field of the session log, in which - stands for nothing.
        subject = _encoded(claims.get("sub", "")).replace(" ", "%20")
        subject = "%2D" if subject == "-" else subject
        if len(subject) > 256:
            raise RefusedError("jwt_claims")
        sent = {self._answer(header["name"]): _sent(claims, header["claim"]) for header in issuer.get("headers", [])}
        if any(len(text) > 1024 for text in sent.values()):
            raise RefusedError("jwt_claims")
        identifier = hashlib.sha256(f"{name}\n{claims['jti']}".encode()).hexdigest() if "jti" in claims else ""
        self._check_revocations(claims, identifier)
        expires = math.floor(claims["exp"])
        issued = str(math.floor(claims["iat"])) if "iat" in claims else "-"
        return {
            "reason": "", "subject": subject, "id": identifier, "expires": expires, "issued": issued, "headers": sent,
        }  # fmt: skip

    def _answer(self, name: str) -> str:
        return f"Wssgate-Claim-{self.headers.index(name)}"

    def _check_signature(self, token: str, header: Mapping[str, Any], issuer: str) -> None:
        keys = self.keys[issuer]
        if "kid" in header:
            named = [entry for entry in keys if entry[0] and entry[0] == header["kid"]]
            keys = named or [entry for entry in keys if not entry[0]]
        fitting = [key for _, algorithms, key in keys if header["alg"] in algorithms]
        if not 1 <= len(fitting) <= 4:
            raise RefusedError("jwt_key")
        registry = _Registry(algorithms=[header["alg"]])
        for key in fitting:
            try:
                if jws.deserialize_compact(token, key, registry=registry):
                    return
            except (JoseError, ValueError):
                continue
        raise RefusedError("jwt_signature")

    def _check_revocations(self, claims: Mapping[str, Any], identifier: str) -> None:
        if identifier and (self.store / "jti" / identifier).exists():
            raise RefusedError("jwt_revoked")
        if "sub" in claims:
            path = self.store / "sub" / hashlib.sha256(claims["sub"].encode()).hexdigest()
            if path.exists():
                digits = path.read_text().removesuffix("\n")
                if not re.fullmatch("[0-9]{1,12}", digits):
                    raise RefusedError("jwt_store")
                before = int(digits)
                if "iat" not in claims or claims["iat"] < before:
                    raise RefusedError("jwt_revoked")


def _keys(issuer: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], Any]]:
    found = []
    for entry in issuer["keys"]:
        if entry["content"].lstrip().startswith("{"):
            for jwk in json.loads(entry["content"])["keys"]:
                kind = jwk.get("crv", "RSA")
                fits = tuple(name for name, key in ALGORITHMS.items() if key == kind)
                algorithms = (jwk["alg"],) if "alg" in jwk else fits
                plain = {name: value for name, value in jwk.items() if name not in ("alg", "use", "kid")}
                found.append((jwk.get("kid", ""), algorithms, (RSAKey if kind == "RSA" else ECKey).import_key(plain)))
        else:
            key = ECKey.import_key(entry["content"])
            found.append(("", tuple(name for name, kind in ALGORITHMS.items() if kind == key["crv"]), key))
    return found


def _bytes(part: str) -> bytes:
    if len(part) % 4 == 1:
        raise RefusedError("jwt_malformed")
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
        raise RefusedError("jwt_malformed")
    return data


def _object(part: str) -> dict[str, Any]:
    try:
        text = _bytes(part).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError("jwt_malformed") from None
    if not isinstance(value, dict) or _depth(value) > 8:
        raise RefusedError("jwt_malformed")
    return _whole(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # To the gate, every half of a character is the same.
    if len({_whole(name) for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _depth(value: Any) -> int:
    """Level by level: from Python 3.12 on `json` reads what is deeper than Python's functions may call each other."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return depth


def _whole(value: Any) -> Any:
    """With U+FFFD for each half of a character that JSON may spell."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _check_header(header: Mapping[str, Any]) -> None:
    if {"crit", "b64", "cty", "zip"}.intersection(header):
        raise RefusedError("jwt_header")
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower() not in TYPES or not isinstance(header.get("kid", ""), str):
        raise RefusedError("jwt_header")
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise RefusedError("jwt_algorithm")


def _check_identity(claims: Mapping[str, Any]) -> None:
    given = [claims[name] for name in ("sub", "jti") if name in claims]
    for value in given:
        if not isinstance(value, str) or not value or re.search("[\x00-\x1f\x7f\ufffd]", value):
            raise RefusedError("jwt_claims")
    if not given:
        raise RefusedError("jwt_claims")


def _check_claims(claims: Mapping[str, Any], issuer: Mapping[str, Any], now: float) -> None:
    skew = issuer.get("clock_skew", 5)
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        # joserfc takes null for a claim that is not there, and true for 1.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < BEYOND_TIME:
            raise RefusedError("jwt_claims")
    times = JWTClaimsRegistry(now=now, leeway=skew, exp={"essential": True})
    _validate(times, {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}, "jwt_not_yet")
    if claims["exp"] > now + issuer.get("max_token_lifetime", 86400) + skew:
        raise RefusedError("jwt_lifetime")
    audience = claims.get("aud", [])
    texts = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(text, str) for text in texts):
        raise RefusedError("jwt_claims")
    wanted = JWTClaimsRegistry(now=now, aud={"essential": True, "values": list(issuer["audience"])})
    _validate(wanted, {"aud": claims["aud"]} if "aud" in claims else {}, "jwt_audience")


def _validate(registry: JWTClaimsRegistry, claims: dict[str, Any], reason: str) -> None:
    try:
        registry.validate(claims)
    except ExpiredTokenError:
        raise RefusedError("jwt_expired") from None
    except MissingClaimError:
        raise RefusedError(reason if "aud" in reason else "jwt_claims") from None
    except InvalidClaimError:
        raise RefusedError(reason) from None


def _at(claims: Any, path: str | Sequence[str]) -> Any:
    for name in [path] if isinstance(path, str) else path:
        if not isinstance(claims, dict) or name not in claims:
            return None
        claims = claims[name]
    return claims


def _check_rule(claims: Mapping[str, Any], rule: Mapping[str, Any]) -> None:
    if "scopes" in rule:
        found: list[Any] = []
        for name in ("scope", "scp"):
            value = claims.get(name, [])
            found += value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else []
        wanted, is_met = rule["scopes"], all
    else:
        value = _at(claims, rule["claim"])
        if value is None:
            raise RefusedError("jwt_required")
        found = value if isinstance(value, list) else [value]
        wanted, is_met = rule.get("any_of") or rule.get("all_of") or [], all if "all_of" in rule else any
    # To Python, True is 1.
    kinds = [(isinstance(value, bool), value) for value in found]
    if wanted and not is_met((isinstance(value, bool), value) in kinds for value in wanted):
        raise RefusedError("jwt_required")


def _sent(claims: Mapping[str, Any], path: str | Sequence[str]) -> str:
    value = _at(claims, path)
    return ",".join(map(_encoded, value)) if isinstance(value, list) else _encoded(value)


def _encoded(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        return ""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"%," else f"%{byte:02X}" for byte in value.encode())
    inner = plain.strip(" ")
    first = plain.find(inner) if inner else len(plain)
    return "%20" * first + inner + "%20" * (len(plain) - first - len(inner))
