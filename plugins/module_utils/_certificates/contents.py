# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with certificates, keys and revocation lists that somebody brings, and what they say.

Bytes in, words out. Hosts use it for what they install, the controller for what it is about to send.
"""

from __future__ import annotations

import datetime
import typing as t

from . import x509 as crypto
from .model import Pair
from .x509 import CertificateError


def with_newline(content: str) -> bytes:
    """Return a text of somebody's as it is put in a file."""
    return (content.strip() + "\n").encode("utf-8", "surrogateescape")


def pair_facts(pair: Pair, now: datetime.datetime) -> t.Dict[str, t.Any]:
    """Describe a certificate; an empty dictionary stands for one that is not there or damaged."""
    try:
        return crypto.describe(crypto.load_certificates(pair.certificate or b"")[0], now)
    except (CertificateError, ValueError):
        return {}


def loaded_pair(pair: Pair) -> t.Tuple[t.Any, t.Any]:
    """Return certificate and key of a pair that belongs together, or raise."""
    if pair.certificate is None or pair.key is None:
        raise CertificateError("there is none yet")
    certificate = crypto.load_certificates(pair.certificate)[0]
    key = crypto.load_key(pair.key)
    if crypto.public_bytes(certificate.public_key()) != crypto.public_bytes(key.public_key()):
        raise CertificateError("its key is another certificate's")
    return certificate, key


def file_problems(certificate: bytes, key: bytes, names: t.Iterable[str], now: datetime.datetime) -> t.List[str]:
    """Return what is wrong with a certificate and a key that somebody brings."""
    problems = []
    chain: t.List[t.Any] = []
    loaded_key = None
    try:
        chain = crypto.load_certificates(certificate)
    except CertificateError as error:
        problems.append(f"the certificate cannot be used: {error}")
    try:
        loaded_key = crypto.load_key(key)
    except CertificateError as error:
        problems.append(f"the key cannot be used: {error}")
    if chain and loaded_key is not None:
        problems.extend(crypto.pair_problems(chain, loaded_key, names, now))
    return problems


def client_authority_problems(certificate: bytes, crl: t.Optional[bytes], now: datetime.datetime) -> t.List[str]:
    """Return what is wrong with an authority of clients and its revocation lists."""
    problems = []
    authorities: t.List[t.Any] = []
    lists: t.List[t.Any] = []
    # One file for both is a mistake easily made, and everybody may read this one
    if b"PRIVATE KEY-----" in certificate:
        problems.append("there is a private key beside the certificate, and nginx needs none: take it out")
    try:
        authorities = crypto.load_certificates(certificate)
    except CertificateError as error:
        problems.append(f"the certificate cannot be used: {error}")
    if crl is not None:
        try:
            lists = crypto.load_revocation_lists(crl)
        except CertificateError as error:
            problems.append(f"the revocation list cannot be used: {error}")
    return problems or crypto.client_authority_problems(authorities, lists, now)


def authority_facts(
    certificate: t.Optional[bytes], crl: t.Optional[bytes], now: datetime.datetime
) -> t.Dict[str, t.Any]:
    """Describe an authority of clients; an empty dictionary stands for one that is not there or damaged."""
    try:
        described = crypto.describe(crypto.load_certificates(certificate or b"")[0], now)
        facts = {key: described[key] for key in ("subject", "fingerprint", "not_after", "days_left")}
        lists = crypto.load_revocation_lists(crl) if crl else []
    except (CertificateError, ValueError):
        return {}
    ends = [end for end in map(crypto.next_update, lists) if end is not None]
    facts["revoked"] = sum(len(revoked) for revoked in lists)
    facts["crl_next_update"] = min(ends).strftime("%Y-%m-%dT%H:%M:%SZ") if ends else None
    facts["crl_days_left"] = (min(ends) - now).days if ends else None
    return facts
