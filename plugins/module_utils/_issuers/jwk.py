# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is a public key that signed tokens may be checked with: JSON Web Keys (RFC 7517, RFC 7518).

nginx's module njs imports nothing but SubjectPublicKeyInfo (RFC 5480) in all of its versions: all keys become that
here, once, where somebody reads what is wrong with them.
"""

from __future__ import annotations

import base64
import json
import re
import typing as t

from .._host.error import HostError

# What a key of a kind can sign. An RSA key's size is bounded: a signature costs nginx more with each bit.
EC_ALGORITHMS = {"P-256": ("ES256",), "P-384": ("ES384",)}
RSA_ALGORITHMS = ("RS256", "PS256")
RSA_MIN_BITS = 2048
RSA_MAX_BITS = 8192
# OpenSSL takes no larger one with a modulus of more than 3072 bits.
RSA_MAX_EXPONENT_BITS = 64

ALGORITHMS = ("ES256", "ES384", "RS256", "PS256")
# Keys of one set. A provider has two or three for each algorithm.
KEYS_MAX = 64

# Members of a JWK that only its owner may have: RFC 7518 6.2.2, 6.3.2, 6.4.
PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth")
KID = re.compile(r"[!-~]{1,255}\Z")
BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")

# Object identifiers in DER: RFC 5480 2.1.1, RFC 8017 A.1.
_ID_EC = bytes.fromhex("06072a8648ce3d0201")
_ID_RSA = bytes.fromhex("06092a864886f70d0101010500")


class Curve(t.NamedTuple):
    """A curve y² = x³ - 3x + b over a prime field (FIPS 186-4 D.1.2); bytes of a coordinate; its identifier in DER."""

    prime: int
    b: int
    length: int
    identifier: bytes


CURVES = {
    "P-256": Curve(
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        32,
        bytes.fromhex("06082a8648ce3d030107"),
    ),
    "P-384": Curve(
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        48,
        bytes.fromhex("06052b81040022"),
    ),
}


class KeyProblemError(HostError):
    """Says what is wrong with a key, and what to do."""


class NotTakenError(KeyProblemError):
    """A key that nothing is wrong with, of a kind that the gate does not take."""


class PublicKey(t.NamedTuple):
    """A key with what it may have signed."""

    kid: str
    algorithms: t.Tuple[str, ...]
    # SubjectPublicKeyInfo, in base64.
    spki: str
    # The JWK without its kid and algorithms
    members: t.Tuple[t.Tuple[str, str], ...]

    def jwk(self) -> t.Dict[str, str]:
        """The key as a JWK that has nothing but what counts."""
        found = dict(self.members)
        if self.kid:
            found["kid"] = self.kid
        if len(self.algorithms) == 1:
            found["alg"] = self.algorithms[0]
        return found

    def rendered(self, chosen: t.Sequence[str] = ()) -> t.Optional[t.Dict[str, t.Any]]:
        """As jwt.js reads it, for some algorithms only; None where it is for none of them."""
        algorithms = [name for name in self.algorithms if name in (chosen or self.algorithms)]
        return {"kid": self.kid, "algorithms": algorithms, "spki": self.spki} if algorithms else None


class KeySet(t.NamedTuple):
    """The keys for signatures of a JSON Web Key Set, and what was left out of it and why."""

    keys: t.List[PublicKey]
    left_out: t.List[str]


def read_set(text: str, leaves_out: bool = False) -> KeySet:
    """Read a JSON Web Key Set, a list of keys, or one key.

    ``leaves_out``: leave out keys of a kind that the gate does not take, which providers publish beside others, in
    place of refusing the set.
    """
    try:
        given = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except KeyProblemError:
        raise
    except (ValueError, RecursionError):
        raise KeyProblemError("it begins like a JSON Web Key Set and is no JSON") from None
    entries = given.get("keys", [given]) if isinstance(given, dict) else given
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KeyProblemError("it has no list 'keys' of keys, as a JSON Web Key Set has (RFC 7517 5)")
    keys: t.List[PublicKey] = []
    left_out: t.List[str] = []
    for index, entry in enumerate(entries):
        # Providers publish keys for encryption in the same set.
        if not _is_for_signatures(entry):
            left_out.append(f"{_name(entry, index)} is not for signatures")
            continue
        try:
            keys.append(_of_jwk(entry, index))
        except NotTakenError as error:
            if not leaves_out:
                raise
            left_out.append(str(error))
    if not keys:
        raise KeyProblemError("it has no key for signatures" + (f" that is taken: {left_out[0]}" if left_out else ""))
    return KeySet(keys, left_out)


def check_together(keys: t.Sequence[PublicKey], what: str = "keys") -> None:
    """Refuse keys that no token could tell apart."""
    kids = [key.kid for key in keys if key.kid]
    for kid in sorted({kid for kid in kids if kids.count(kid) > 1}):
        raise KeyProblemError(f"two keys have the kid {kid!r}, and a token would name both; keep one")
    if len({key.spki for key in keys}) < len(keys):
        raise KeyProblemError(f"{what} has the same key twice; keep one")
    if len(keys) > KEYS_MAX:
        raise KeyProblemError(f"{what} has {len(keys)} keys for signatures, and {KEYS_MAX} are taken")


def _unique(pairs: t.List[t.Tuple[str, t.Any]]) -> t.Dict[str, t.Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise KeyProblemError("it is JSON with the same name twice in an object; which one counts?")
    return found


def _no_number(text: str) -> t.Any:
    """NaN and Infinity, which Python takes and JSON has not."""
    raise ValueError(text)


def _is_for_signatures(jwk: t.Mapping[str, t.Any]) -> bool:
    operations = jwk.get("key_ops")
    return jwk.get("use", "sig") == "sig" and (not isinstance(operations, list) or "verify" in operations)


def _name(jwk: t.Mapping[str, t.Any], index: int) -> str:
    kid = jwk.get("kid", "")
    return f"key {kid!r}" if isinstance(kid, str) and KID.match(kid) else f"key {index}"


def _of_jwk(jwk: t.Mapping[str, t.Any], index: int) -> PublicKey:
    kid = jwk.get("kid", "")
    name = _name(jwk, index)
    if not isinstance(kid, str) or (kid and not KID.match(kid)):
        raise KeyProblemError(f"key {index} has a kid that is not 1 to 255 visible ASCII characters")
    if jwk.get("kty") == "oct":
        raise KeyProblemError(
            f"{name} is a shared secret (oct), with which whoever checks tokens could sign them; have them signed with "
            "ES256 and give the public key"
        )
    if any(member in jwk for member in PRIVATE_MEMBERS):
        raise KeyProblemError(f"{name} is a private key, which stays with whoever signs; leave out d and what follows")
    if jwk.get("kty") == "EC":
        curve = str(jwk.get("crv"))
        _check_curve(name, curve)
        x, y = (_number(jwk, name, member, CURVES[curve].length) for member in "xy")
        return elliptic(name, kid, curve, x, y, jwk.get("alg"))
    if jwk.get("kty") == "RSA":
        modulus, exponent = (_number(jwk, name, member) for member in "ne")
        return rsa(name, kid, modulus, exponent, jwk.get("alg"))
    raise NotTakenError(
        f"{name} is of type {str(jwk.get('kty'))[:32]!r}; nginx's module knows EC and RSA, for {', '.join(ALGORITHMS)}"
    )


def _number(jwk: t.Mapping[str, t.Any], name: str, member: str, length: int = 0) -> int:
    text = jwk.get(member)
    if not isinstance(text, str) or not text or not BASE64URL.match(text) or len(text) % 4 == 1:
        raise KeyProblemError(f"{name} has no {member} in base64url (RFC 7518 6)")
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if length and len(value) != length:
        raise KeyProblemError(f"{name} has {len(value)} bytes for {member}; its curve has {length}")
    return int.from_bytes(value, "big")


def _check_curve(name: str, curve: str) -> None:
    if curve not in CURVES:
        raise NotTakenError(f"{name} is on the curve {curve[:32]!r}; give one on {' or '.join(CURVES)}")


def elliptic(name: str, kid: str, curve: str, x: int, y: int, algorithm: t.Any = None) -> PublicKey:
    """A key on an elliptic curve, by its point."""
    _check_curve(name, curve)
    prime, b, length, identifier = CURVES[curve]
    if not (0 <= x < prime and 0 <= y < prime) or (y * y - (x * x * x - 3 * x + b)) % prime:
        raise KeyProblemError(f"{name} is no point on {curve}")
    point = b"\x04" + x.to_bytes(length, "big") + y.to_bytes(length, "big")
    spki = _sequence(_sequence(_ID_EC + identifier) + _tagged(0x03, b"\x00" + point))
    members = (("kty", "EC"), ("crv", curve), ("x", _base64url(x, length)), ("y", _base64url(y, length)))
    algorithms = _algorithms(name, EC_ALGORITHMS[curve], algorithm)
    return PublicKey(kid, algorithms, base64.b64encode(spki).decode("ascii"), members)


def rsa(name: str, kid: str, modulus: int, exponent: int, algorithm: t.Any = None) -> PublicKey:
    """An RSA key."""
    if not 3 <= exponent < modulus or not exponent % 2 or not modulus % 2:
        raise KeyProblemError(f"{name} is no RSA key: n and e do not go together")
    bits = modulus.bit_length()
    if not RSA_MIN_BITS <= bits <= RSA_MAX_BITS:
        raise KeyProblemError(f"{name} is RSA with {bits} bits; give one with {RSA_MIN_BITS} to {RSA_MAX_BITS}")
    if exponent.bit_length() > RSA_MAX_EXPONENT_BITS:
        raise KeyProblemError(f"{name} is RSA with an e of {exponent.bit_length()} bits; 65537 is usual")
    numbers = _sequence(_integer(modulus) + _integer(exponent))
    spki = _sequence(_sequence(_ID_RSA) + _tagged(0x03, b"\x00" + numbers))
    members = (("kty", "RSA"), ("n", _base64url(modulus)), ("e", _base64url(exponent)))
    algorithms = _algorithms(name, RSA_ALGORITHMS, algorithm)
    return PublicKey(kid, algorithms, base64.b64encode(spki).decode("ascii"), members)


def _algorithms(name: str, possible: t.Tuple[str, ...], chosen: t.Any) -> t.Tuple[str, ...]:
    """What a key is for: all that its kind is for, or the one that it names."""
    if chosen is None:
        return possible
    if chosen not in possible:
        raise NotTakenError(f"{name} is for {str(chosen)[:32]!r}; a key of its kind is taken for {', '.join(possible)}")
    return (str(chosen),)


# DER (X.690)


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _base64url(value: int, length: int = 0) -> str:
    data = value.to_bytes(length or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
