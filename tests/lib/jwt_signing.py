# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens of any shape, well-formed or not, for tests: the bytes of each part are the caller's."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CURVES = {"ES256": (ec.SECP256R1(), hashes.SHA256(), 32), "ES384": (ec.SECP384R1(), hashes.SHA384(), 48)}
JWK_CURVES = {"ES256": "P-256", "ES384": "P-384"}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, length: int) -> str:
    return base64url(value.to_bytes(length, "big"))


class Signer:
    """Whoever has a private key."""

    def __init__(self, algorithm: str, kid: str = "", bits: int = 2048) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.key: Any = (
            ec.generate_private_key(CURVES[algorithm][0])
            if algorithm in CURVES
            else rsa.generate_private_key(public_exponent=65537, key_size=bits)
        )

    @functools.cached_property
    def public_pem(self) -> str:
        key = self.key.public_key()
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @functools.cached_property
    def private_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key, as a member of a JSON Web Key Set."""
        numbers = self.key.public_key().public_numbers()
        if self.algorithm in CURVES:
            length = CURVES[self.algorithm][2]
            key = {"kty": "EC", "crv": JWK_CURVES[self.algorithm]}
            key |= {"x": number(numbers.x, length), "y": number(numbers.y, length)}
        else:
            key = {"kty": "RSA", "e": number(numbers.e, 3), "n": number(numbers.n, self.key.key_size // 8)}
        return key | ({"kid": self.kid} if self.kid else {}) | members

    def signature(self, signed: bytes, algorithm: str = "") -> bytes:
        algorithm = algorithm or self.algorithm
        if algorithm in CURVES:
            _, digest, length = CURVES[self.algorithm]
            r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(digest)))
            return r.to_bytes(length, "big") + s.to_bytes(length, "big")
        digest = hashes.SHA256()
        way = padding.PKCS1v15() if algorithm == "RS256" else padding.PSS(padding.MGF1(digest), 32)
        return bytes(self.key.sign(signed, way, digest))

    def header(self, **members: Any) -> dict[str, Any]:
        return {"alg": self.algorithm, "typ": "JWT"} | ({"kid": self.kid} if self.kid else {}) | members

    def sign(self, claims: Any, header: Any = None, algorithm: str = "") -> str:
        """A token. What is text already goes into it as it is."""
        parts = [encoded(self.header() if header is None else header), encoded(claims)]
        signed = ".".join(parts)
        return f"{signed}.{base64url(self.signature(signed.encode(), algorithm))}"


def encoded(part: Any) -> str:
    if isinstance(part, bytes):
        return base64url(part)
    text = part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))
    return base64url(text.encode("utf-8", "surrogatepass"))


def with_secret(claims: Any, header: Any, secret: bytes) -> str:
    """What HS256 makes of a secret, such as a public key that somebody takes for one."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{base64url(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
