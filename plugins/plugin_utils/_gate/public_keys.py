# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys of those who sign tokens, from PEM (RFC 7468) or a JSON Web Key Set (RFC 7517).

What a key has to be is in module_utils/_issuers/jwk.py, as the gate itself checks the sets that it fetches.
"""

from __future__ import annotations

import re
import typing as t

from ...module_utils._issuers import jwk
from ...module_utils._issuers.jwk import KeyProblemError, PublicKey, check_together

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

__all__ = ("KeyProblemError", "PublicKey", "check_together", "read")

# The curves' names in the library
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}
PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)


def read(text: str) -> t.List[PublicKey]:
    """The keys of a PEM or of a JWKS."""
    if "PRIVATE KEY-----" in text:
        raise KeyProblemError(
            "it holds a private key, which stays with whoever signs; give the public one "
            "(openssl pkey -in private.pem -pubout)"
        )
    if text.lstrip()[:1] in ("{", "["):
        return jwk.read_set(text).keys
    blocks = list(PEM_BLOCK.finditer(text))
    if not blocks:
        raise KeyProblemError("it is neither a PEM (-----BEGIN PUBLIC KEY-----) nor a JSON Web Key Set")
    if not HAS_CRYPTOGRAPHY:
        raise KeyProblemError("the controller's Python has no library cryptography to read it with; install it there")
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
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise KeyProblemError(f"the key is on the curve {key.curve.name}; give one on {' or '.join(jwk.CURVES)}")
        point = key.public_numbers()
        return jwk.elliptic("the key", "", CURVES[key.curve.name], point.x, point.y)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return jwk.rsa("the key", "", numbers.n, numbers.e)
    raise KeyProblemError(
        "the key is neither EC nor RSA: no version of nginx's module that was found knows Ed25519 and others; give "
        f"one for {', '.join(jwk.ALGORITHMS)}"
    )
