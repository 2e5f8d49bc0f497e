# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What certificates and keys say, whether they belong together, and how new ones are made.

Everything here takes and returns bytes and objects in memory; files are the caller's business. It runs on the
managed host and, for checks before the first change, on the controller. Needs cryptography 3.3 or newer.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import typing as t

from .._host.error import HostError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.backends import default_backend
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    CRYPTOGRAPHY_ERROR: t.Optional[str] = None
except ImportError as error:
    CRYPTOGRAPHY_ERROR = str(error)

KEY_TYPES = ("P-256", "P-384", "RSA-2048", "RSA-3072", "RSA-4096")
# OpenSSL's default security level refuses less, and so would nginx
MIN_RSA_BITS = 2048
# Clocks differ: a certificate made a moment ago has to be good on a client that is a little behind
CLOCK_TOLERANCE = datetime.timedelta(hours=1)
_MAX_COMMON_NAME = 64

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_PEM_CRL = re.compile(rb"-----BEGIN X509 CRL-----\s.+?-----END X509 CRL-----", re.DOTALL)
_DNS_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class CertificateError(HostError):
    """Says what is wrong with a certificate, a key or what was asked for."""


def utc_now() -> datetime.datetime:
    """Return the time, to the second as certificates have it."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def not_before(certificate: t.Any) -> datetime.datetime:
    """Return when a certificate begins to be valid."""
    try:
        return certificate.not_valid_before_utc
    except AttributeError:
        # cryptography before 42
        return certificate.not_valid_before.replace(tzinfo=datetime.timezone.utc)


def not_after(certificate: t.Any) -> datetime.datetime:
    """Return when a certificate ends."""
    try:
        return certificate.not_valid_after_utc
    except AttributeError:
        # cryptography before 42
        return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def parse_name(text: str) -> str:
    """Return DNS:name or IP:address in its one right form."""
    kind, colon, value = text.partition(":")
    if not colon or kind.upper() not in ("DNS", "IP"):
        kind, value = "", text
    kind = kind.upper()
    value = value.strip()
    if kind != "DNS":
        try:
            return f"IP:{ipaddress.ip_address(value)}"
        except ValueError:
            if kind == "IP":
                raise CertificateError(f"{text!r} is not an IP address") from None
    value = value.lower().rstrip(".")
    labels = value.split(".")
    if labels[0] == "*" and len(labels) > 2:
        labels = labels[1:]
    if not value or len(value) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise CertificateError(
            f"{text!r} is neither a host name (beyond ASCII in its xn-- form) nor DNS:name nor IP:address"
        )
    return f"DNS:{value}"


def _general_name(name: str) -> t.Any:
    kind, _colon, value = name.partition(":")
    return x509.DNSName(value) if kind == "DNS" else x509.IPAddress(ipaddress.ip_address(value))


def names_of(certificate: t.Any) -> t.List[str]:
    """Return the names a certificate is for, in the form of parse_name."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    names = [f"DNS:{value.lower()}" for value in extension.value.get_values_for_type(x509.DNSName)]
    return names + [f"IP:{value}" for value in extension.value.get_values_for_type(x509.IPAddress)]


def missing_names(certificate: t.Any, wanted: t.Iterable[str]) -> t.List[str]:
    """Return the wanted names that a client would not accept this certificate for."""
    there = set(names_of(certificate))
    missing = []
    for name in wanted:
        # RFC 6125: a wildcard stands for exactly one label
        wildcard = "DNS:*." + name.partition(".")[2] if name.startswith("DNS:") else name
        if name not in there and wildcard not in there:
            missing.append(name)
    return missing


def key_type_of(public_key: t.Any) -> str:
    """Return P-256, RSA-2048 and the like."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA-{public_key.key_size}"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(
            public_key.curve.name, public_key.curve.name
        )
    return type(public_key).__name__.lstrip("_").replace("PublicKey", "")


def public_bytes(public_key: t.Any) -> bytes:
    """Return what two keys are compared by."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_certificates(pem: bytes) -> t.List[t.Any]:
    """Return the certificates of a PEM file in their order."""
    blocks = _PEM.findall(pem)
    if not blocks:
        raise CertificateError("there is no PEM certificate in it")
    certificates = []
    for number, block in enumerate(blocks, start=1):
        try:
            certificates.append(x509.load_pem_x509_certificate(block, default_backend()))
        except (ValueError, UnsupportedAlgorithm):
            raise CertificateError(f"certificate number {number} in it is damaged") from None
    return certificates


def load_revocation_lists(pem: bytes) -> t.List[t.Any]:
    """Return the revocation lists of a PEM file."""
    blocks = _PEM_CRL.findall(pem)
    if not blocks:
        raise CertificateError("there is no PEM revocation list in it")
    try:
        return [x509.load_pem_x509_crl(block, default_backend()) for block in blocks]
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("a revocation list in it is damaged") from None


def next_update(revoked: t.Any) -> t.Optional[datetime.datetime]:
    """Return until when a revocation list is good."""
    if hasattr(revoked, "next_update_utc"):
        return revoked.next_update_utc
    # cryptography before 42
    return revoked.next_update and revoked.next_update.replace(tzinfo=datetime.timezone.utc)


def load_key(pem: bytes) -> t.Any:
    """Return the private key of a PEM file."""
    if b"PRIVATE KEY-----" not in pem:
        raise CertificateError("there is no PEM private key in it")
    try:
        key = serialization.load_pem_private_key(pem, password=None, backend=default_backend())
    except TypeError:
        raise CertificateError(
            "the private key is protected by a passphrase, which nobody can type when nginx starts: remove it"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the private key is damaged, protected by a passphrase or of an unknown kind") from None
    return key


def key_pem(key: t.Any) -> bytes:
    """Return a private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_pem(certificate: t.Any) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def is_signed_by(certificate: t.Any, issuer: t.Any) -> bool:
    """Tell whether issuer's name and key are those behind a certificate."""
    if certificate.issuer != issuer.subject:
        return False
    public_key = issuer.public_key()
    signed = (certificate.signature, certificate.tbs_certificate_bytes)
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(*signed, padding.PKCS1v15(), certificate.signature_hash_algorithm)
        elif isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(*signed, ec.ECDSA(certificate.signature_hash_algorithm))
        elif hasattr(public_key, "verify"):
            public_key.verify(*signed)
    except InvalidSignature:
        # RSASSA-PSS (OID 1.2.840.113549.1.1.10) has parameters that old versions of cryptography do not tell;
        # there the names have to be enough.
        return certificate.signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.10"
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
    return True


def is_self_signed(certificate: t.Any) -> bool:
    """Tell whether a certificate vouches for itself."""
    return is_signed_by(certificate, certificate)


def describe(certificate: t.Any, now: datetime.datetime) -> t.Dict[str, t.Any]:
    """Return what people and programs want to know about a certificate; nothing of it is secret."""
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "subject_alt_names": names_of(certificate),
        "key_type": key_type_of(certificate.public_key()),
        "not_before": not_before(certificate).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": not_after(certificate).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": (not_after(certificate) - now).days,
        "self_signed": is_self_signed(certificate),
    }


def _chain_problems(chain: t.Sequence[t.Any]) -> t.Iterator[str]:
    for number in range(1, len(chain)):
        if is_signed_by(chain[number - 1], chain[number]):
            continue
        yield (
            f"the chain is out of order: certificate number {number} ({chain[number - 1].subject.rfc4514_string()}) "
            "was not "
            f"signed by number {number + 1} ({chain[number].subject.rfc4514_string()}); "
            "put the server's own first, then each one's issuer"
        )
        return


def pair_problems(chain: t.Sequence[t.Any], key: t.Any, names: t.Iterable[str], now: datetime.datetime) -> t.List[str]:
    """Return everything that would make clients or nginx refuse a certificate with its chain and key."""
    leaf = chain[0]
    wanted = public_bytes(key.public_key())
    positions = [
        number for number, certificate in enumerate(chain, start=1) if public_bytes(certificate.public_key()) == wanted
    ]
    if positions and positions[0] != 1:
        return [
            f"the chain is out of order: the certificate of the key is number {positions[0]}; "
            "put it first, then each one's issuer"
        ]
    problems = []
    if not positions:
        problems.append(f"the private key is not the key of the certificate {leaf.subject.rfc4514_string()}")
    problems.extend(_chain_problems(chain))
    for number, certificate in enumerate(chain, start=1):
        whose = "the certificate" if number == 1 else f"certificate number {number} of the chain"
        if not_after(certificate) <= now:
            problems.append(f"{whose} expired on {not_after(certificate):%Y-%m-%d %H:%M} UTC")
        if not_before(certificate) > now + CLOCK_TOLERANCE:
            problems.append(f"{whose} is valid only from {not_before(certificate):%Y-%m-%d %H:%M} UTC")
    missing = missing_names(leaf, names)
    if missing:
        there = ", ".join(names_of(leaf)) or "no name at all"
        problems.append(f"the certificate is not for {', '.join(missing)}; it is for {there}")
    key_type = key_type_of(leaf.public_key())
    if key_type.startswith("RSA-") and int(key_type[4:]) < MIN_RSA_BITS:
        problems.append(f"an {key_type} key is too weak, OpenSSL refuses it; use {MIN_RSA_BITS} bits or more, or P-256")
    return problems


def _is_list_of(revoked: t.Any, authority: t.Any) -> bool:
    if revoked.issuer != authority.subject:
        return False
    try:
        return revoked.is_signature_valid(authority.public_key())
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False


def may_sign(certificate: t.Any) -> bool:
    """Tell whether a certificate is one of an authority."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def client_authority_problems(
    authorities: t.Sequence[t.Any], lists: t.Sequence[t.Any], now: datetime.datetime
) -> t.List[str]:
    """Return everything that would make nginx refuse an authority of clients, or all of its clients."""
    problems = []
    for number, authority in enumerate(authorities, start=1):
        name = authority.subject.rfc4514_string() or f"number {number}"
        if not may_sign(authority):
            problems.append(f"{name} is not the certificate of an authority (basicConstraints CA)")
        if not_after(authority) <= now:
            problems.append(f"the authority {name} expired on {not_after(authority):%Y-%m-%d %H:%M} UTC")
        # nginx checks every link of a chain once it has a list (X509_V_FLAG_CRL_CHECK_ALL)
        if lists and not any(_is_list_of(revoked, authority) for revoked in lists):
            problems.append(f"there is no revocation list of {name}, without which nginx refuses all of its clients")
    for revoked in lists:
        issuer = revoked.issuer.rfc4514_string()
        if not any(_is_list_of(revoked, authority) for authority in authorities):
            problems.append(f"the revocation list of {issuer} was not signed by any of the authorities")
        end = next_update(revoked)
        if end is not None and end <= now:
            problems.append(
                f"the revocation list of {issuer} was good until {end:%Y-%m-%d %H:%M} UTC; "
                "nginx would refuse every client"
            )
    return problems


def new_key(key_type: str) -> t.Any:
    """Make a private key."""
    if key_type.startswith("RSA-"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(key_type[4:]), backend=default_backend())
    curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[key_type]
    return ec.generate_private_key(curve(), default_backend())


def _key_usage(**used: bool) -> t.Any:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})


def common_name_for(names: t.Sequence[str], given: t.Optional[str]) -> str:
    """Return the common name to use: the given one, or the first name if it fits; clients look at the other names."""
    if given:
        return given
    first = names[0].partition(":")[2]
    return first if len(first) <= _MAX_COMMON_NAME else ""


def _subject(common_name: str) -> t.Any:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def new_certificate(
    public_key: t.Any,
    names: t.Sequence[str],
    common_name: str,
    days: int,
    now: datetime.datetime,
    signing_key: t.Any,
    issuer: t.Optional[t.Any] = None,
) -> t.Any:
    """Make a server certificate, signed by its own key or by an issuer's."""
    subject = _subject(common_name)
    begin = now - CLOCK_TOLERANCE
    end = begin + datetime.timedelta(days=days)
    if issuer is not None:
        end = min(end, not_after(issuer))
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        # RFC 5280 4.2.1.6: without a subject the names are critical
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=not common_name)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=is_rsa), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    return builder.sign(signing_key, hashes.SHA256(), default_backend())


def new_authority(key: t.Any, common_name: str, days: int, now: datetime.datetime) -> t.Any:
    """Make the certificate of an authority that signs servers, and no other authorities."""
    subject = _subject(common_name)
    begin = now - CLOCK_TOLERANCE
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256(), default_backend())


def new_request(key: t.Any) -> bytes:
    """Make a request that proves that its sender has a key; what the certificate is for is said elsewhere."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256(), default_backend()).public_bytes(serialization.Encoding.PEM)


def load_request(pem: bytes) -> t.Any:
    """Return a request whose sender has its key."""
    try:
        request = x509.load_pem_x509_csr(pem, default_backend())
        is_good = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the request is damaged") from None
    if not is_good:
        raise CertificateError("the request was not made with its own key")
    return request


def due_reasons(
    certificate: t.Any, names: t.Sequence[str], key_type: str, renew_before_days: int, now: datetime.datetime
) -> t.List[str]:
    """Return why a certificate that was made here has to be made anew."""
    reasons = []
    left = (not_after(certificate) - now).days
    if left < renew_before_days:
        reasons.append(f"it has {left} days left" if left >= 0 else "it has expired")
    if sorted(names_of(certificate)) != sorted(names):
        reasons.append("its names differ")
    if key_type_of(certificate.public_key()) != key_type:
        reasons.append("its key type differs")
    return reasons


def lifetime_days(certificate: t.Any) -> int:
    """Return for how many days in all a certificate was made."""
    return (not_after(certificate) - not_before(certificate)).days


def common_name_of(certificate: t.Any) -> str:
    """Return the common name of a certificate, or nothing."""
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else ""
