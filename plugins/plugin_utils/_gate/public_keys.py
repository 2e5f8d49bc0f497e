# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys of those who sign tokens, from PEM (RFC 7468) or a JSON Web Key Set (RFC 7517).

nginx's module njs imports nothing but SubjectPublicKeyInfo (RFC 5480) in all of its versions: all keys become that
here, once, where somebody reads what is wrong with them.
"""

from __future__ import annotations

import base64
import json
import re
import typing as t

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
except ImportError:
    # ansible-core depends on it, and gates without signed tokens do without.
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

# What a key of a kind can sign. An RSA key's size is bounded: a signature costs nginx more with each bit.
EC_ALGORITHMS = {"secp256r1": ("ES256",), "secp384r1": ("ES384",)}
RSA_ALGORITHMS = ("RS256", "PS256")
RSA_MIN_BITS = 2048
RSA_MAX_BITS = 8192

ALGORITHMS = ("ES256", "ES384", "RS256", "PS256")

# The curve's name elsewhere, and bytes of a coordinate.
CURVES = {"P-256": ("SECP256R1", 32), "P-384": ("SECP384R1", 48)}
# Members of a JWK that only its owner may have: RFC 7518 6.2.2, 6.3.2, 6.4.
PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth")
KID = re.compile(r"[!-~]{1,255}")
BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


class KeyProblemError(ValueError):
    """Says what is wrong with a key, and what to do."""


class PublicKey(t.NamedTuple):
    kid: str
    algorithms: t.Tuple[str, ...]
    # SubjectPublicKeyInfo, in base64.
    spki: str


def read(text: str) -> t.List[PublicKey]:
    """The keys of a PEM or of a JWKS."""
    if not HAS_CRYPTOGRAPHY:
        raise KeyProblemError("the controller's Python has no library cryptography to read it with; install it there")
    if "PRIVATE KEY-----" in text:
        raise KeyProblemError(
            "it holds a private key, which stays with whoever signs; give the public one "
            "(openssl pkey -in private.pem -pubout)"
        )
    if text.lstrip()[:1] in ("{", "["):
        return _of_jwks(text)
    blocks = list(PEM_BLOCK.finditer(text))
    if not blocks:
        raise KeyProblemError("it is neither a PEM (-----BEGIN PUBLIC KEY-----) nor a JSON Web Key Set")
    return [_of_pem(block[1], block[0]) for block in blocks]


def _of_pem(label: str, block: str) -> PublicKey:
    try:
        if label == "CERTIFICATE":
            key: t.Any = x509.load_pem_x509_certificate(block.encode()).public_key()
        elif label in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            key = serialization.load_pem_public_key(block.encode())
        else:
            raise KeyProblemError(f"a PEM block {label} is no public key; give PUBLIC KEY or CERTIFICATE")
    except KeyProblemError:
        raise
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblemError(f"its PEM block {label} cannot be read as a key; is it whole?") from error
    return _checked(key, "", "")


def _of_jwks(text: str) -> t.List[PublicKey]:
    try:
        given = json.loads(text, object_pairs_hook=_unique)
    except KeyProblemError:
        raise
    except (ValueError, RecursionError) as error:
        raise KeyProblemError("it begins like a JSON Web Key Set and is no JSON") from error
    entries = given.get("keys", [given]) if isinstance(given, dict) else given
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KeyProblemError("it has no list 'keys' of keys, as a JSON Web Key Set has (RFC 7517 5)")
    # Providers publish keys for encryption in the same set.
    keys = [_of_jwk(entry, index) for index, entry in enumerate(entries) if _is_for_signatures(entry)]
    if not keys:
        raise KeyProblemError("it has no key for signatures")
    return keys


def _unique(pairs: t.List[t.Tuple[str, t.Any]]) -> t.Dict[str, t.Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise KeyProblemError("it is JSON with the same name twice in an object; which one counts?")
    return found


def _is_for_signatures(jwk: t.Mapping[str, t.Any]) -> bool:
    operations = jwk.get("key_ops")
    return jwk.get("use", "sig") == "sig" and (not isinstance(operations, list) or "verify" in operations)


def _of_jwk(jwk: t.Mapping[str, t.Any], index: int) -> PublicKey:
    kid = jwk.get("kid", "")
    name = f"key {kid!r}" if kid else f"key {index}"
    if not isinstance(kid, str) or (kid and not KID.fullmatch(kid)):
        raise KeyProblemError(f"key {index} has a kid that is not 1 to 255 visible ASCII characters")
    if jwk.get("kty") == "oct":
        raise KeyProblemError(
            f"{name} is a shared secret (oct), with which whoever checks tokens could sign them; have them signed with "
            "ES256 and give the public key"
        )
    if any(member in jwk for member in PRIVATE_MEMBERS):
        raise KeyProblemError(f"{name} is a private key, which stays with whoever signs; leave out d and what follows")
    if jwk.get("kty") == "EC":
        key: t.Any = _elliptic(jwk, name)
    elif jwk.get("kty") == "RSA":
        key = _rsa(jwk, name)
    else:
        raise KeyProblemError(
            f"{name} is of type {jwk.get('kty')!r}; nginx's module knows EC and RSA, for {', '.join(ALGORITHMS)}"
        )
    return _checked(key, name, kid, jwk.get("alg"))


def _elliptic(jwk: t.Mapping[str, t.Any], name: str) -> ec.EllipticCurvePublicKey:
    curve, length = CURVES.get(str(jwk.get("crv")), ("", 0))
    if not curve:
        raise KeyProblemError(f"{name} is on the curve {jwk.get('crv')!r}; give one on {' or '.join(CURVES)}")
    x, y = (_number(jwk, name, member, length) for member in "xy")
    try:
        return ec.EllipticCurvePublicNumbers(x, y, getattr(ec, curve)()).public_key()
    except ValueError as error:
        raise KeyProblemError(f"{name} is no point on {jwk['crv']}") from error


def _rsa(jwk: t.Mapping[str, t.Any], name: str) -> rsa.RSAPublicKey:
    modulus, exponent = (_number(jwk, name, member) for member in "ne")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise KeyProblemError(f"{name} is no RSA key: n and e do not go together") from error


def _number(jwk: t.Mapping[str, t.Any], name: str, member: str, length: int = 0) -> int:
    text = jwk.get(member)
    if not isinstance(text, str) or not text or not BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise KeyProblemError(f"{name} has no {member} in base64url (RFC 7518 6)")
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if length and len(value) != length:
        raise KeyProblemError(f"{name} has {len(value)} bytes for {member}; its curve has {length}")
    return int.from_bytes(value, "big")


def _checked(key: t.Any, name: str, kid: str, algorithm: t.Any = None) -> PublicKey:
    name = name or "the key"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in EC_ALGORITHMS:
            raise KeyProblemError(f"{name} is on the curve {key.curve.name}; give one on {' or '.join(CURVES)}")
        algorithms: t.Tuple[str, ...] = EC_ALGORITHMS[key.curve.name]
    elif isinstance(key, rsa.RSAPublicKey):
        if not RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS:
            raise KeyProblemError(
                f"{name} is RSA with {key.key_size} bits; give one with {RSA_MIN_BITS} to {RSA_MAX_BITS}"
            )
        algorithms = RSA_ALGORITHMS
    else:
        raise KeyProblemError(
            f"{name} is neither EC nor RSA: no version of nginx's module that was found knows Ed25519 and others; give "
            f"one for {', '.join(ALGORITHMS)}"
        )
    if algorithm is not None:
        if algorithm not in algorithms:
            raise KeyProblemError(
                f"{name} is for {algorithm!r}; a key of its kind is taken for {', '.join(algorithms)}"
            )
        algorithms = (algorithm,)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(kid, algorithms, base64.b64encode(der).decode())
