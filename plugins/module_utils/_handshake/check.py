# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients of a gate meet: certificates, versions of TLS, and answers to handshakes; seen from the gate itself.

Nothing here raises for what a listener does or does not do. Needs what _certificates/x509.py needs.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ssl
import typing as t
import warnings

from .._certificates import x509 as crypto
from .._certificates.contents import authority_facts, client_authority_problems, file_problems
from . import key_exchange
from .served import Address, certificates, connect, plain_address, session, trusting_context

_VERSIONS = ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3")


def client_address(address: Address, timeout: float) -> t.Optional[str]:
    """Return the address that this host comes from; None when nothing listens."""
    try:
        with connect(address, timeout) as connection:
            return plain_address(str(connection.getsockname()[0]))
    except OSError:
        return None


def tls_versions(address: Address, timeout: float) -> t.List[str]:
    """Return the versions of TLS that a listener speaks."""
    spoken = []
    for name in _VERSIONS:
        try:
            with warnings.catch_warnings():
                # Python rightly warns of the old ones, which are tried in order to tell that they are refused
                warnings.simplefilter("ignore", DeprecationWarning)
                context = trusting_context()
                context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, name)
            # OpenSSL 3 does not offer the old ones itself at its default level
            context.set_ciphers("ALL:@SECLEVEL=0")
            with session(address, timeout, context):
                spoken.append(name.replace("_", "."))
        except (OSError, ValueError):
            continue
    return spoken


def key_exchange_group(address: Address, timeout: float) -> t.Optional[str]:
    """Return the group that a listener chooses of those that browsers offer; None without TLS 1.3."""
    received = b""
    try:
        with connect(address, timeout) as connection:
            connection.sendall(key_exchange.client_hello(address.server_name))
            while key_exchange.missing(received):
                more = connection.recv(key_exchange.missing(received))
                if not more:
                    break
                received += more
    except OSError:
        return None
    return key_exchange.chosen_group(received)


def served_fingerprints(address: Address, timeout: float) -> t.List[str]:
    """Return the SHA-256 of each certificate that clients get."""
    return sorted(hashlib.sha256(served).hexdigest() for served in certificates(address, timeout))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(1024 * 1024)
    except OSError as error:
        raise crypto.CertificateError(f"{path} cannot be read: {error.strerror}") from None


def certificate(
    certificate_path: str, key_path: str, server_names: t.Sequence[str], served: t.Sequence[str], now: datetime.datetime
) -> t.Dict[str, t.Any]:
    """Describe a certificate of a server, and say what is wrong with it."""
    found: t.Dict[str, t.Any] = {"certificate_path": certificate_path, "problems": []}
    try:
        pem, key = _content(certificate_path), _content(key_path)
        names = []
        for name in server_names:
            with contextlib.suppress(crypto.CertificateError):
                names.append(crypto.parse_name(name))
        found["problems"] = file_problems(pem, key, names, now)
        found.update(crypto.describe(crypto.load_certificates(pem)[0], now))
    except crypto.CertificateError as error:
        found["problems"].append(str(error))
        return found
    found["served"] = found["fingerprint"] in served
    return found


def client_authority(ca_path: str, crl_path: str, now: datetime.datetime) -> t.Dict[str, t.Any]:
    """Describe an authority of clients, and say what is wrong with it."""
    try:
        ca = _content(ca_path)
        crl = _content(crl_path) if crl_path else None
        problems = client_authority_problems(ca, crl, now)
        return {"ca_path": ca_path, "crl_path": crl_path, "problems": problems, **authority_facts(ca, crl, now)}
    except crypto.CertificateError as error:
        return {"ca_path": ca_path, "crl_path": crl_path, "problems": [str(error)]}
