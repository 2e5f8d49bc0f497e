# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What TLS tells about the other side: its certificate and the group of the key exchange."""

from __future__ import annotations

import datetime
import ssl
import typing as t


def certificate_facts(tls: ssl.SSLSocket, now: float) -> t.Optional[t.Dict[str, t.Any]]:
    """None when the certificate was not verified and nothing here can read it."""
    verified = tls.getpeercert()
    if verified:
        return facts_of_verified(verified, now)
    encoded = tls.getpeercert(binary_form=True)
    return facts_of_der(encoded, now) if encoded else None


def facts_of_verified(certificate: t.Mapping[str, t.Any], now: float) -> t.Dict[str, t.Any]:
    kinds = {"IP Address": "IP"}
    return _facts(
        [pair for group in certificate.get("subject", ()) for pair in group],
        [pair for group in certificate.get("issuer", ()) for pair in group],
        [f"{kinds.get(kind, kind)}:{value}" for kind, value in certificate.get("subjectAltName", ())],
        ssl.cert_time_to_seconds(certificate["notAfter"]),
        now,
    )


def facts_of_der(encoded: bytes, now: float) -> t.Optional[t.Dict[str, t.Any]]:
    try:
        from cryptography import x509
    except ImportError:
        return None
    try:
        certificate = x509.load_der_x509_certificate(encoded)
    except ValueError:
        return None
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    else:
        names = [f"DNS:{name}" for name in alternatives.get_values_for_type(x509.DNSName)]
        names += [f"IP:{address}" for address in alternatives.get_values_for_type(x509.IPAddress)]
    end = getattr(certificate, "not_valid_after_utc", None)
    if end is None:  # cryptography before 42
        end = certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)
    return _facts(
        [(_attribute_name(attribute), attribute.value) for attribute in certificate.subject],
        [(_attribute_name(attribute), attribute.value) for attribute in certificate.issuer],
        names,
        end.timestamp(),
        now,
    )


def _attribute_name(attribute: t.Any) -> str:
    # The library offers the long name (commonName) nowhere else.
    return getattr(attribute.oid, "_name", attribute.oid.dotted_string)


def _facts(
    subject: t.Iterable[t.Tuple[str, t.Any]],
    issuer: t.Iterable[t.Tuple[str, t.Any]],
    subject_alt_names: t.List[str],
    end: float,
    now: float,
) -> t.Dict[str, t.Any]:
    return {
        "subject": _joined(subject),
        "issuer": _joined(issuer),
        "subject_alt_names": subject_alt_names,
        "not_after": datetime.datetime.fromtimestamp(end, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": int((end - now) // 86400),
    }


def _joined(pairs: t.Iterable[t.Tuple[str, t.Any]]) -> t.Dict[str, str]:
    joined: t.Dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]}, {value}" if name in joined else str(value)
    return joined


def group_of(tls: ssl.SSLSocket) -> t.Optional[str]:
    """Python has it from 3.15 on, where its OpenSSL is 3.2 or newer."""
    try:
        group: t.Optional[str] = tls.group()  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):
        return None
    return group
