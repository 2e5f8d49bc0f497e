# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private keys that sign tokens: read from a PEM, held to what a gate takes, and never written.

Needs cryptography 3.3 or newer, which ansible-core brings along on a controller.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import typing as t

from .._host.error import HostError

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    CRYPTOGRAPHY_ERROR: t.Optional[str] = None
except ImportError as error:
    CRYPTOGRAPHY_ERROR = str(error)

ALGORITHMS = ("ES256", "ES384", "RS256", "PS256")
# By the curve's name in cryptography: its name in a JWK, what a key on it signs, and bytes of a coordinate (RFC 7518
# 3.4, 6.2.1).
CURVES = {"secp256r1": ("P-256", "ES256", 32), "secp384r1": ("P-384", "ES384", 48)}
RSA_ALGORITHMS = ("RS256", "PS256")
# What a gate takes of a public key.
RSA_MIN_BITS, RSA_MAX_BITS = 2048, 8192
MAKE_ONE = "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out main.key"

PRIVATE_BLOCK = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----\s.*?-----END \1-----", re.DOTALL)
# PKCS #8, and what openssl wrote before.
ENCRYPTED = re.compile(r"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")
PUBLIC_LABELS = ("PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "CERTIFICATE REQUEST")


class KeyFaultError(HostError):
    """Says what is wrong with a private key. Its text holds nothing of the key."""


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _number(value: int, length: int = 0) -> str:
    """As a JWK has it. Without a length in as few bytes as it takes (RFC 7518 2, Base64urlUInt)."""
    return base64url(value.to_bytes(length or max(1, (value.bit_length() + 7) // 8), "big"))


class SigningKey(t.NamedTuple):
    """A private key that fits a gate."""

    key: t.Any
    algorithms: t.Tuple[str, ...]

    def jwk(self) -> t.Dict[str, str]:
        """The public key, with the members that a thumbprint is made of (RFC 7638 3.2) and no others."""
        numbers = self.key.public_key().public_numbers()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        name, _algorithm, length = CURVES[self.key.curve.name]
        return {"kty": "EC", "crv": name, "x": _number(numbers.x, length), "y": _number(numbers.y, length)}

    def thumbprint(self) -> str:
        """The name that a key has by itself (RFC 7638)."""
        text = json.dumps(self.jwk(), sort_keys=True, separators=(",", ":"))
        return base64url(hashlib.sha256(text.encode("ascii")).digest())

    def public_pem(self) -> str:
        public = self.key.public_key()
        text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return t.cast(str, text.decode("ascii"))

    def sign(self, data: bytes, algorithm: str) -> bytes:
        """As JWS has signatures (RFC 7518 3.3 to 3.5)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            digest = hashes.SHA256()
            way: t.Any = padding.PKCS1v15()
            if algorithm == "PS256":
                way = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return t.cast(bytes, self.key.sign(data, way, digest))
        length = CURVES[self.key.curve.name][2]
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(getattr(hashes, f"SHA{algorithm[2:]}")())))
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")


def read(text: str, passphrase: t.Optional[str]) -> SigningKey:
    """The private key of a PEM."""
    return _checked(_loaded(_block(text), passphrase))


def _block(text: str) -> str:
    """The one private key of a text that may have other things in it, as what openssl ecparam writes has."""
    if text.lstrip().startswith("$ANSIBLE_VAULT"):
        raise KeyFaultError(
            "it is still encrypted by ansible-vault; give its text as key: "
            "\"{{ lookup('ansible.builtin.unvault', 'FILE') }}\""
        )
    blocks = list(PRIVATE_BLOCK.finditer(text))
    if len(blocks) > 1:
        raise KeyFaultError(f"it has {len(blocks)} private keys; which one shall sign? Leave one in it")
    if blocks:
        if blocks[0][1] == "OPENSSH PRIVATE KEY":
            raise KeyFaultError(f"it is a key for SSH, in a form of its own; {MAKE_ONE}")
        return blocks[0][0]
    found = next((label for label in PUBLIC_LABELS if f"-----BEGIN {label}-----" in text), "")
    if found:
        raise KeyFaultError(f"it is a public key ({found}), with which nobody can sign; give the private one")
    raise KeyFaultError(f"it has no private key in PEM (-----BEGIN PRIVATE KEY-----); {MAKE_ONE}")


def _loaded(block: str, passphrase: t.Optional[str]) -> t.Any:
    is_encrypted = bool(ENCRYPTED.search(block))
    if is_encrypted and not passphrase:
        raise KeyFaultError("it is encrypted; give its passphrase in key_passphrase")
    if passphrase and not is_encrypted:
        raise KeyFaultError("it is not encrypted; leave key_passphrase out, or give the key that it is for")
    try:
        return serialization.load_pem_private_key(
            block.encode("utf-8"), passphrase.encode("utf-8") if passphrase else None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's own words may be about bytes of the key, so they stay out.
        if is_encrypted:
            raise KeyFaultError("it cannot be opened; is key_passphrase right, and the key whole?") from error
        raise KeyFaultError("it cannot be read as a private key; is it whole?") from error


def _checked(key: t.Any) -> SigningKey:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in CURVES:
            raise KeyFaultError(f"it is on the curve {key.curve.name}; a gate takes P-256 and P-384: {MAKE_ONE}")
        return SigningKey(key, (CURVES[key.curve.name][1],))
    if isinstance(key, rsa.RSAPrivateKey):
        if not RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS:
            raise KeyFaultError(
                f"it is RSA with {key.key_size} bits; a gate takes {RSA_MIN_BITS} to {RSA_MAX_BITS}: {MAKE_ONE}"
            )
        return SigningKey(key, RSA_ALGORITHMS)
    kind = type(key).__name__.lstrip("_").replace("PrivateKey", "")
    raise KeyFaultError(f"it is neither EC nor RSA but {kind}, which no gate takes: {MAKE_ONE}")
