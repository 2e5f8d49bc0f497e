# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens that must not pass, those beside them that must, and the reason of each: a table."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from .jwt_signing import CURVES, Signer, base64url, encoded, with_secret

NOW = 1_800_000_000
ISSUER = "https://id.example.com"
OTHER_ISSUER = "https://other.example.com"
ODD_ISSUER = "https://odd.example.com"
# The order of P-256's group: FIPS 186-4 D.1.2.3.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SKEW = 5
LIFETIME = 86400
TOKEN_LENGTH = 8192


class Row(NamedTuple):
    name: str
    token: str
    # Empty: it passes.
    reason: str
    # Names of issuers whose tokens count; empty: all.
    issuers: tuple[str, ...] = ()
    headers: dict[str, str] | None = None


class Signers:
    """The keys of two issuers, and one that nobody knows."""

    def __init__(self) -> None:
        self.es256, self.es384 = Signer("ES256", "ec-1"), Signer("ES384", "ec-2")
        self.rs256, self.ps256 = Signer("RS256", "rsa-1"), Signer("PS256", "rsa-2")
        self.pem, self.other = Signer("ES256"), Signer("ES256", "ec-1")
        self.stranger, self.strange_rsa = Signer("ES256", "ec-1"), Signer("RS256", "rsa-1")

    def options(self) -> list[dict[str, Any]]:
        """wss_proxy_issuers."""
        jwks = {
            "keys": [
                self.es256.jwk(alg="ES256", use="sig"),
                self.es384.jwk(),
                self.rs256.jwk(alg="RS256"),
                self.ps256.jwk(alg="PS256"),
            ]
        }
        common = {"audience": ["wss", "wss-admin"], "clock_skew": SKEW, "max_token_lifetime": LIFETIME}
        return [
            {
                "name": "main",
                "issuer": ISSUER,
                "keys": [{"content": json.dumps(jwks)}, {"content": self.pem.public_pem}],
                "headers": [
                    {"name": "X-User", "claim": "name"},
                    {"name": "X-Roles", "claim": ["realm_access", "roles"]},
                    {"name": "X-Odd", "claim": ["constructor", "name"]},
                ],
                **common,
            },
            {
                "name": "strict",
                "issuer": OTHER_ISSUER,
                "keys": [{"content": json.dumps({"keys": [self.other.jwk()]})}],
                "require": [
                    {"claim": "groups", "any_of": ["ops", "dev"]},
                    {"claim": ["realm_access", "roles"], "all_of": ["a", "b"]},
                    {"claim": "verified", "any_of": [True]},
                    {"claim": "tenant"},
                    {"scopes": ["wss", "chat"]},
                ],
                **common,
            },
            {
                "name": "odd",
                "issuer": ODD_ISSUER,
                "keys": [{"content": self.pem.public_pem}],
                "require": [{"claim": "toString"}],
                **common,
            },
        ]


def claims(**changes: Any) -> dict[str, Any]:
    """Good ones with changes; what is None is left out."""
    good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": NOW - 10, "exp": NOW + 300}
    return {name: value for name, value in (good | changes).items() if value is not None}


def raw(text_of: dict[str, Any], more: str) -> str:
    """An object's text with more members at its end."""
    return json.dumps(text_of)[:-1] + "," + more + "}"


def of_length(signer: Signer, length: int) -> str:
    """A good token of so many characters."""
    for spare in range(8):
        header = signer.header(x="x" * spare)
        short = len(signer.sign(claims(x=""), header))
        # Three bytes are four characters.
        for number in range((length - short) * 3 // 4 - 4, (length - short) * 3 // 4 + 4):
            token = signer.sign(claims(x="x" * number), header)
            if len(token) == length:
                return token
    raise LookupError(f"no token has {length} characters")


def revoke(store: Path) -> None:
    """What the rows about revocations go by: a token, and a subject's tokens from before a time."""
    # The latter is nobody's: a token without a jti has no such name.
    for jti in ("revoked-1", "undefined"):
        fingerprint = hashlib.sha256(f"{ISSUER}\n{jti}".encode()).hexdigest()
        (store / "jti" / fingerprint).touch()
    subjects = {"cut-off": f"{NOW - 100}\n", "broken": "soon\n", "Zoë\u2028": f"{NOW}"}
    subjects["two lines"] = f"{NOW - 100}\n\n"
    subjects |= {"behind a letter": f"x{NOW}\n", "empty": "", "a line's end": "\n", "too many digits": "1" * 13}
    subjects |= {"as many digits as may be": "1" * 12, "a digit": "5\n", "a sign": f"-{NOW}\n", "": f"{NOW}\n"}
    for subject, text in subjects.items():
        (store / "sub" / hashlib.sha256(subject.encode()).hexdigest()).write_text(text)


def rows(by: Signers) -> list[Row]:
    good = by.es256.sign(claims())
    return [
        *_good(by, good),
        *_algorithms(by),
        *_keys(by),
        *_signatures(by, good),
        *_form(by, good),
        *_json(by),
        *_headers(by),
        *_times(by),
        *_claims(by),
        *_requirements(by),
        *_upstream(by),
        *_revocations(by),
    ]


def _good(by: Signers, good: str) -> list[Row]:
    return [
        Row("good", good, ""),
        Row("ES384", by.es384.sign(claims()), ""),
        Row("RS256", by.rs256.sign(claims()), ""),
        Row("PS256", by.ps256.sign(claims()), ""),
        Row("a key without kid, and none named", by.pem.sign(claims()), ""),
        Row("a key without kid, and one named", by.pem.sign(claims(), {"alg": "ES256", "kid": "since yesterday"}), ""),
        Row("no typ", by.es256.sign(claims(), {"alg": "ES256", "kid": "ec-1"}), ""),
        Row("an access token", by.es256.sign(claims(), by.es256.header(typ="at+jwt")), ""),
        Row("a media type", by.es256.sign(claims(), by.es256.header(typ="application/at+JWT")), ""),
        Row("several audiences", by.es256.sign(claims(aud=["api", "wss-admin"])), ""),
        Row("no jti", by.es256.sign(claims(jti=None)), ""),
        Row("no sub", by.es256.sign(claims(sub=None)), ""),
        Row("no iat", by.es256.sign(claims(iat=None)), ""),
        Row("unknown claims, nested", by.es256.sign(claims(x={"a": [{"b": [1, -2.5e3, None, True, "}"]}]})), ""),
        Row("names that escape", by.es256.sign(claims(**{'"': 1, "\\": 2, "a:b": '":"', "": ""})), ""),
        Row("blanks between", by.es256.sign(json.dumps(claims(), indent=2) + "\n"), ""),
        *(
            Row(
                f"{blank!r} between",
                by.es256.sign(json.dumps(claims(x=[1, True]), separators=(f"{blank},{blank}", f"{blank}:{blank}"))),
                "",
            )
            for blank in " \t\r\n"
        ),
        Row("a name that is the text undefined", by.es256.sign(claims(undefined={"a": 1})), ""),
        Row("an exponent in capitals", by.es256.sign(raw(claims(), '"x": 1E5')), ""),
        Row("a key with a kid, and none named", by.es256.sign(claims(), {"alg": "ES256"}), ""),
        Row("several audiences, ours first", by.es256.sign(claims(aud=["wss", "api"])), ""),
        Row("as long as may be", of_length(by.es256, TOKEN_LENGTH), ""),
    ]


def _algorithms(by: Signers) -> list[Row]:
    spellings = ["none", "None", "NONE", "nOnE", "", " none", "none\u0000", "HS256", "HS384", "es256", "ES256 "]
    others = ["RS1", "ES512", "RS512", "PS512", "EdDSA", "ES256K", "dir", "__proto__", "constructor", "toString"]
    found = []
    for name in spellings + others:
        header = {"alg": name, "typ": "JWT", "kid": "ec-1"}
        signed = f"{encoded(header)}.{encoded(claims())}"
        found.append(Row(f"alg {name!r}, no signature", f"{signed}.", "jwt_malformed"))
        found.append(Row(f"alg {name!r}", by.es256.sign(claims(), header), "jwt_algorithm"))
    for value in (None, 7, ["ES256"], {"a": "ES256"}, True):
        header = {"alg": value, "kid": "ec-1"}
        found.append(Row(f"alg {value!r}", by.es256.sign(claims(), header), "jwt_algorithm"))
    found.append(Row("no alg", by.es256.sign(claims(), {"typ": "JWT"}), "jwt_algorithm"))
    for secret in (by.rs256.public_pem, by.rs256.public_pem.strip(), by.pem.public_pem, ""):
        forged = with_secret(claims(), {"alg": "HS256", "kid": "rsa-1"}, secret.encode())
        found.append(Row(f"a public key as the secret ({len(secret)})", forged, "jwt_algorithm"))
    rsa = by.rs256
    found += [
        Row("RS256's key by PS256", rsa.sign(claims(), rsa.header(alg="PS256"), "PS256"), "jwt_key"),
        Row("PS256's key by RS256", by.ps256.sign(claims(), by.ps256.header(alg="RS256"), "RS256"), "jwt_key"),
        Row("ES256 said of an RSA signature", rsa.sign(claims(), rsa.header(alg="ES256")), "jwt_key"),
        Row("RS256 said of an EC key", by.es256.sign(claims(), by.es256.header(alg="RS256")), "jwt_key"),
        Row("ES384 said of P-256", by.es256.sign(claims(), by.es256.header(alg="ES384")), "jwt_key"),
        Row("PS256 said of a PKCS1 signature", rsa.sign(claims(), {"alg": "PS256", "kid": "rsa-2"}), "jwt_signature"),
        Row("RS256 said of a PSS one", by.ps256.sign(claims(), {"alg": "RS256", "kid": "rsa-1"}), "jwt_signature"),
    ]
    return found


def _keys(by: Signers) -> list[Row]:
    found = []
    paths = ["../../../dev/null", "/etc/passwd", "ec-1' OR '1'='1", 'ec-1"', "ec-1\u0000", "EC-1", " ec-1", "ec-1 "]
    for kid in [
        *paths,
        "",
        "__proto__",
        "constructor",
        "0",
        "ec-2/../ec-1",
        "http://evil.example.com/jwks",
        "x" * 2000,
    ]:
        # Keys without a kid stand for any name.
        header = by.stranger.header(kid=kid)
        found.append(Row(f"kid {kid[:30]!r} of nobody", by.stranger.sign(claims(), header), "jwt_signature"))
        found.append(
            Row(f"kid {kid[:30]!r} for ec-1", by.es256.sign(claims(), by.es256.header(kid=kid)), "jwt_signature")
        )
    for kid in (1, None, ["ec-1"], {"kid": "ec-1"}, True):
        found.append(Row(f"kid {kid!r}", by.es256.sign(claims(), by.es256.header(kid=kid)), "jwt_header"))
    strange = by.stranger.jwk(kid="ec-1")
    embedded = {
        "jwk": strange,
        "jku": "https://evil.example.com/jwks.json",
        "x5u": "https://evil.example.com/chain.pem",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
    }
    for name, value in embedded.items():
        found.append(
            Row(
                f"{name} of the attacker's",
                by.stranger.sign(claims(), by.stranger.header(**{name: value})),
                "jwt_signature",
            )
        )
        header = by.es256.header(**{name: value})
        found.append(Row(f"{name} counts for nothing", by.es256.sign(claims(), header), ""))
    only_jwk = {"alg": "ES256", "jwk": strange}
    found += [
        Row("jwk and no kid", by.stranger.sign(claims(), only_jwk), "jwt_signature"),
        Row("signed by a stranger", by.stranger.sign(claims()), "jwt_signature"),
        Row("signed by a stranger's RSA key", by.strange_rsa.sign(claims()), "jwt_signature"),
        Row("the other issuer's key, of the same kid", by.other.sign(claims()), "jwt_signature"),
        Row("an issuer of another location", by.es256.sign(claims()), "jwt_issuer", ("strict",)),
        Row("this issuer's key for the other", by.es256.sign(claims(iss=OTHER_ISSUER)), "jwt_signature"),
    ]
    for issuer in (None, "", ISSUER + "/", ISSUER.upper(), 7, [ISSUER], {"a": 1}, True, ISSUER + "\u0000", "main"):
        found.append(Row(f"iss {issuer!r}", by.es256.sign(claims(iss=issuer)), "jwt_issuer"))
    return found


def _signatures(by: Signers, good: str) -> list[Row]:
    signed, _, signature = good.rpartition(".")
    head, _, body = signed.partition(".")
    r, s = (by.es256.signature(signed.encode())[i : i + 32] for i in (0, 32))
    order = P256_ORDER.to_bytes(32, "big")
    zero, one = bytes(32), bytes(31) + b"\x01"
    strange = {
        "r = s = 0 (psychic)": zero + zero,
        "r = 0": zero + s,
        "s = 0": r + zero,
        "r = s = 1": one + one,
        "r = s = n": order + order,
        "r = n": order + s,
        "s = n": r + order,
        "all ones": b"\xff" * 64,
        "a byte short": (r + s)[:-1],
        "a byte long": r + s + b"\x00",
        "padded halves": b"\x00" + r + b"\x00" + s,
        "one byte": b"\x00",
        "ES384's length": bytes(96),
        "2 KiB": bytes(2048),
        "halves swapped": s + r,
    }
    found = [Row(name, f"{signed}.{base64url(value)}", "jwt_signature") for name, value in strange.items()]
    from cryptography.hazmat.primitives.asymmetric import ec

    der = by.es256.key.sign(signed.encode(), ec.ECDSA(CURVES["ES256"][1]))
    flipped = bytearray(r + s)
    flipped[5] ^= 1
    rsa_signed, _, _ = by.rs256.sign(claims()).rpartition(".")
    found += [
        Row("DER in place of r and s", f"{signed}.{base64url(der)}", "jwt_signature"),
        Row("a bit of it", f"{signed}.{base64url(bytes(flipped))}", "jwt_signature"),
        Row("another body", f"{head}.{encoded(claims(sub='root'))}.{signature}", "jwt_signature"),
        Row("another head", f"{encoded(by.es256.header(x=1))}.{body}.{signature}", "jwt_signature"),
        Row("RSA: nothing but zeros", f"{rsa_signed}.{base64url(bytes(256))}", "jwt_signature"),
        Row("RSA: one", f"{rsa_signed}.{base64url(bytes(255) + b'1')}", "jwt_signature"),
        Row(
            "RSA: a byte long",
            f"{rsa_signed}.{base64url(b'0' + by.rs256.signature(rsa_signed.encode()))}",
            "jwt_signature",
        ),
    ]
    return found


def _form(by: Signers, good: str) -> list[Row]:
    head, body, signature = good.split(".")
    # Its last letter has four bits that stand for nothing; those of another value are another spelling.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelt = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    padding = "x" * (8193 - len(by.es256.sign(claims(x=""))))
    shapes = {
        "nothing": "",
        "a dot": ".",
        "dots": "..",
        "one part": head,
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts, as JWE has": f"{head}.{body}.{body}.{body}.{signature}",
        "an empty signature": f"{head}.{body}.",
        "an empty body": f"{head}..{signature}",
        "an empty head": f".{body}.{signature}",
        "padded": f"{head}=.{body}.{signature}",
        "padded behind": f"{good}==",
        "base64 and not base64url": good.replace("-", "+").replace("_", "/") + "+",
        "a blank before": f" {good}",
        "a line behind": f"{good}\n",
        "a NUL behind": f"{good}\0",
        "another spelling of the last letter": f"{head}.{body}.{respelt}",
        "a lone letter": f"{head}.{body}.{signature}A" if len(signature) % 4 == 0 else f"{head}.{body}.AAAAA",
        "a letter of another alphabet": f"{head}.{body}.\u0430{signature[1:]}",
        "JSON serialization": json.dumps({"protected": head, "payload": body, "signature": signature}),
        "too long": by.es256.sign(claims(x=padding + "xxxx")),
        "too long by a character": of_length(by.es256, TOKEN_LENGTH + 1),
        "far too long": "A" * 100_000,
        "Bearer": f"Bearer {good}",
    }
    return [Row(f"form: {name}", token, "jwt_malformed") for name, token in shapes.items()]


def _json(by: Signers) -> list[Row]:
    text = json.dumps(claims())
    bad = {
        "exp twice, the good one last": text.replace('"exp"', '"exp": 1, "exp"'),
        "exp twice, the good one first": raw(claims(), '"exp": 1'),
        "sub twice": raw(claims(), '"sub": "root"'),
        "sub twice, once escaped": raw(claims(), '"\\u0073ub": "root"'),
        "sub twice alike": raw(claims(), '"sub": "client-1"'),
        "twice within": raw(claims(), '"x": {"a": 1, "a": 2}'),
        "twice within a list": raw(claims(), '"x": [{"a": 1}, {"a": 1, "b": 2, "a": 3}]'),
        "__proto__ twice": raw(claims(), '"__proto__": {}, "__proto__": {"exp": 1}'),
        "an array": f"[{text}]",
        "text": json.dumps(text),
        "null": "null",
        "a number": "7",
        "empty": "",
        "a comma behind": text[:-1] + ",}",
        "a comma too many": text.replace(", ", ",, ", 1),
        "two objects": text + text,
        "something behind": text + "x",
        "a NUL behind": text + "\0",
        "a BOM": "\ufeff" + text,
        "a no-break space": "\u00a0" + text,
        "comments": text[:-1] + "/* */}",
        "single quotes": text.replace('"', "'"),
        "a number with a zero before": raw(claims(), '"x": 01'),
        "a number with a plus": raw(claims(), '"x": +1'),
        "a number with a lone dot": raw(claims(), '"x": 1.'),
        "a number that begins with a dot": raw(claims(), '"x": .5'),
        "a hexadecimal number": raw(claims(), '"x": 0x10'),
        "NaN": raw(claims(), '"x": NaN'),
        "Infinity": raw(claims(), '"x": -Infinity'),
        "undefined": raw(claims(), '"x": undefined'),
        "a raw line break": raw(claims(), '"x": "a\nb"'),
        "an unknown escape": raw(claims(), '"x": "\\x41"'),
        "too deep": raw(claims(), '"x": ' + "[" * 8 + "]" * 8),
        "far too deep": raw(claims(), '"x": ' + "[" * 2000 + "]" * 2000),
    }
    found = [Row(f"claims: {name}", by.es256.sign(value), "jwt_malformed") for name, value in bad.items()]
    for name, data in {
        "not UTF-8": b'{"iss":"\xff"}',
        "UTF-8 of a surrogate": b'{"iss":"\xed\xa0\x80"}',
        "overlong UTF-8": b'{"iss":"\xc0\xae"}',
        "UTF-16": text.encode("utf-16"),
    }.items():
        found.append(Row(f"claims: {name}", by.es256.sign(data), "jwt_malformed"))
    head = json.dumps(by.es256.header())
    for name, value in {
        "alg twice": raw(by.es256.header(), '"alg": "none"'),
        "alg twice, the good one last": '{"alg": "none",' + head[1:],
        "kid twice": raw(by.es256.header(), '"kid": "ec-1"'),
        "an array": f"[{head}]",
        "text": '"ES256"',
    }.items():
        found.append(Row(f"header: {name}", by.es256.sign(claims(), value), "jwt_malformed"))
    for name, value in {
        "no members": "{}",
        "nothing but texts": '{"a": "b"}',
        "nothing but a list": '{"a": []}',
    }.items():
        found.append(Row(f"claims: {name}", by.es256.sign(value), "jwt_issuer"))
    found.append(Row("header: no members", by.es256.sign(claims(), "{}"), "jwt_algorithm"))
    found.append(Row("as deep as may be", by.es256.sign(raw(claims(), '"x": ' + "[" * 7 + "]" * 7)), ""))
    found.append(
        Row("__proto__", by.es256.sign(raw(claims(exp=None), '"__proto__": {"exp": 1900000000}')), "jwt_claims")
    )
    return found


def _headers(by: Signers) -> list[Row]:
    bad = {
        "crit": {"crit": ["exp"], "exp": NOW},
        "an empty crit": {"crit": []},
        "b64": {"b64": False, "crit": ["b64"]},
        "b64 alone": {"b64": False},
        "a nested token": {"cty": "JWT"},
        "compressed": {"zip": "DEF"},
        "another type": {"typ": "JOSE"},
        "a logout token": {"typ": "logout+jwt"},
        "a proof": {"typ": "dpop+jwt"},
        "no text for a type": {"typ": ["JWT"]},
        "null for a type": {"typ": None},
        "a type with a line break": {"typ": "JWT\n"},
    }
    return [
        Row(f"header: {name}", by.es256.sign(claims(), by.es256.header(**members)), "jwt_header")
        for name, members in bad.items()
    ]


def _times(by: Signers) -> list[Row]:
    def row(name: str, reason: str, **changes: Any) -> Row:
        return Row(name, by.es256.sign(claims(**changes)), reason)

    found = [
        row("expired", "jwt_expired", exp=NOW - 300),
        row("expired this very second", "jwt_expired", exp=NOW - SKEW),
        row("not yet", "", exp=NOW - SKEW + 1),
        row("exp 0", "jwt_expired", exp=0),
        row("exp a fraction", "", exp=NOW + 0.5),
        row("as far as may be", "", exp=NOW + LIFETIME + SKEW),
        row("too far", "jwt_lifetime", exp=NOW + LIFETIME + SKEW + 1),
        row("the year 9999", "jwt_lifetime", exp=253402300799),
        row("begins later", "jwt_not_yet", nbf=NOW + SKEW + 1),
        row("begins about now", "", nbf=NOW + SKEW),
        row("made later", "jwt_not_yet", iat=NOW + SKEW + 1),
        row("made about now", "", iat=NOW + SKEW),
        row("no exp", "jwt_claims", exp=None),
    ]
    for name in ("exp", "nbf", "iat"):
        for value in (str(NOW + 300), "", [NOW + 300], {"a": 1}, True, -1, 253402300800, 10**30, -(10**30)):
            found.append(row(f"{name} {value!r}", "jwt_claims", **{name: value}))
        found.append(Row(f"{name} null", by.es256.sign(raw(claims(**{name: None}), f'"{name}": null')), "jwt_claims"))
        found.append(Row(f"{name} 1e400", by.es256.sign(raw(claims(**{name: None}), f'"{name}": 1e400')), "jwt_claims"))
    return found


def _claims(by: Signers) -> list[Row]:
    def row(name: str, reason: str, **changes: Any) -> Row:
        return Row(name, by.es256.sign(claims(**changes)), reason)

    found = [
        row("neither jti nor sub", "jwt_claims", jti=None, sub=None),
        row("a long sub", "jwt_claims", sub="x" * 257),
        row("a sub as long as may be", "", sub="x" * 256),
        row("no aud", "jwt_audience", aud=None),
        row("another aud", "jwt_audience", aud="api"),
        row("other auds", "jwt_audience", aud=["api", "wss2"]),
        row("no auds", "jwt_audience", aud=[]),
        row("part of an aud", "jwt_audience", aud="ws"),
        row("auds in one text", "jwt_audience", aud="wss wss-admin"),
        row("WSS", "jwt_audience", aud="WSS"),
        row("an aud that is a number", "jwt_claims", aud=7),
        row("an aud that is an object", "jwt_claims", aud={"wss": "wss"}),
        row("auds with a number", "jwt_claims", aud=["wss", 7]),
        row("auds within a list", "jwt_claims", aud=[["wss"]]),
        row("wildcard", "jwt_audience", aud="*"),
    ]
    for name in ("sub", "jti"):
        for value in (7, 0, "", [], ["client-1"], {"a": 1}, True, False, "a\0b", "a\nb", "\x7f", "a\ufffdb"):
            found.append(row(f"{name} {value!r}", "jwt_claims", **{name: value}))
        lone = raw(claims(**{name: None}), f'"{name}": "a\\ud800b"')
        found.append(Row(f"{name} with half a character", by.es256.sign(lone), "jwt_claims"))
        null = raw(claims(**{name: None}), f'"{name}": null')
        found.append(Row(f"{name} null", by.es256.sign(null), "jwt_claims"))
    return found


def _requirements(by: Signers) -> list[Row]:
    met = {
        "iss": OTHER_ISSUER,
        "groups": ["x", "ops"],
        "realm_access": {"roles": ["a", "c", "b"]},
        "verified": True,
        "scope": "chat wss",
        "tenant": 0,
    }

    def row(name: str, reason: str, **changes: Any) -> Row:
        return Row(f"required: {name}", by.other.sign(claims(**(met | changes))), reason)

    return [
        row("all of it", ""),
        row("a text for a list of one", "", groups="dev"),
        row("scopes in a list", "", scope=None, scp=["wss", "chat"]),
        row("scopes in scp", "", scope=None, scp="wss chat"),
        row("no claim", "jwt_required", groups=None),
        row("another group", "jwt_required", groups=["sales"]),
        row("no group", "jwt_required", groups=[]),
        row("part of a group", "jwt_required", groups="op"),
        row("groups in one text", "jwt_required", groups="ops dev"),
        row("a group's name as a name", "jwt_required", groups={"ops": True}),
        row("groups within a list", "jwt_required", groups=[["ops"]]),
        row("one of two", "jwt_required", realm_access={"roles": ["a"]}),
        row("one of two, twice", "jwt_required", realm_access={"roles": ["a", "a"]}),
        row("no roles", "jwt_required", realm_access={}),
        row("roles of a list", "jwt_required", realm_access=[{"roles": ["a", "b"]}]),
        row("roles of a text", "jwt_required", realm_access="roles"),
        row("text for true", "jwt_required", verified="true"),
        row("1 for true", "jwt_required", verified=1),
        row("false", "jwt_required", verified=False),
        row("no tenant", "jwt_required", tenant=None),
        Row("required: a method of JavaScript's", by.pem.sign(claims(iss=ODD_ISSUER)), "jwt_required"),
        Row("required: a claim of that name", by.pem.sign(claims(iss=ODD_ISSUER, toString="x")), ""),
        Row(
            "required: null for a tenant",
            by.other.sign(raw(claims(**(met | {"tenant": None})), '"tenant": null')),
            "jwt_required",
        ),
        row("one scope", "jwt_required", scope="wss"),
        row("scopes with a comma", "jwt_required", scope="wss,chat"),
        row("no scope", "jwt_required", scope=None),
        row("a scope that is an object", "jwt_required", scope={"wss": 1, "chat": 1}),
    ]


def _upstream(by: Signers) -> list[Row]:
    def row(name: str, value: Any, sent: str) -> Row:
        return Row(f"to the upstream: {name}", by.es256.sign(claims(name=value)), "", (), {"X-User": sent})

    return [
        row("a name", "Ann B. (x)", "Ann B. (x)"),
        row("a line break", "a\r\nX-Admin: 1", "a%0D%0AX-Admin: 1"),
        row("NUL", "a\0b", "a%00b"),
        row("not ASCII", "Zoë 😀", "Zo%C3%AB %F0%9F%98%80"),
        row("a percent", "100%0A", "100%250A"),
        row("a comma", "a,b", "a%2Cb"),
        row("a list", ["a", "b,c", 7, True], "a,b%2Cc,7,true"),
        row("blanks around", " a ", "%20a%20"),
        row("more blanks around", "  a  b  ", "%20%20a  b%20%20"),
        row("characters of URLs", "a&b=c+d/e?f'(*)~!", "a&b=c+d/e?f'(*)~!"),
        row("a tab", "\ta", "%09a"),
        row("a number", 12, "12"),
        row("false", False, "false"),
        row("an object", {"a": 1}, ""),
        row("nothing", None, ""),
        row("a variable of nginx's", "$remote_addr", "$remote_addr"),
        row("as long as may be", "x" * 1024, "x" * 1024),
        Row("to the upstream: no method of JavaScript's", by.es256.sign(claims()), "", (), {"X-Odd": ""}),
        Row("to the upstream: too long", by.es256.sign(claims(name="x" * 1025)), "jwt_claims"),
        Row("to the upstream: too long encoded", by.es256.sign(claims(name="ë" * 200)), "jwt_claims"),
        Row(
            "to the upstream: within",
            by.es256.sign(claims(realm_access={"roles": ["a", "b"]})),
            "",
            (),
            {"X-User": "", "X-Roles": "a,b"},
        ),
    ]


def _revocations(by: Signers) -> list[Row]:
    def row(name: str, reason: str, **changes: Any) -> Row:
        return Row(f"revoked: {name}", by.es256.sign(claims(**changes)), reason)

    met = {"iss": OTHER_ISSUER, "groups": "ops", "realm_access": {"roles": ["a", "b"]}, "verified": True, "tenant": "x"}
    return [
        row("this token", "jwt_revoked", jti="revoked-1"),
        row("a token of another name", "", jti="revoked-2"),
        Row(
            "revoked: another issuer's token of that name",
            by.other.sign(claims(**met, jti="revoked-1", scope="wss chat")),
            "",
        ),
        row("before the cut-off", "jwt_revoked", sub="cut-off", iat=NOW - 101),
        row("a moment before", "jwt_revoked", sub="cut-off", iat=NOW - 100.01),
        row("since the cut-off", "", sub="cut-off", iat=NOW - 100),
        row("without iat", "jwt_revoked", sub="cut-off", iat=None),
        row("without iat, another subject", "", sub="cut-on", iat=None),
        row("a cut-off that cannot be read", "jwt_store", sub="broken"),
        row("a cut-off of two lines", "jwt_store", sub="two lines"),
        row("a subject that is not ASCII", "jwt_revoked", sub="Zoë\u2028"),
        row("a path for a name", "", jti="../sub", sub="../../x"),
        row("a cut-off behind a letter", "jwt_store", sub="behind a letter"),
        row("an empty cut-off", "jwt_store", sub="empty"),
        row("a cut-off that is the end of a line", "jwt_store", sub="a line's end"),
        row("a cut-off of too many digits", "jwt_store", sub="too many digits"),
        row("a cut-off of as many as may be", "jwt_revoked", sub="as many digits as may be"),
        row("a cut-off of one digit", "", sub="a digit"),
        row("a cut-off with a sign", "jwt_store", sub="a sign"),
    ]
