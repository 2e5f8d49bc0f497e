# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities, certificates and revocation lists; `python pki.py FOLDER` writes a set of good and bad ones."""

from __future__ import annotations

import datetime
import ipaddress
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def issue(
    common_name: str,
    issuer: Identity | None = None,
    names: Sequence[str] = (),
    ca: bool = False,
    begin: int = -1,
    end: int = 90,
) -> Identity:
    """A certificate that is good from the day `begin` to the day `end`, seen from today.

    It has the extensions of RFC 5280 that Python asks for from 3.13 on.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin * DAY)
        .not_valid_after(NOW + end * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    of_issuer = (issuer.key if issuer else key).public_key()
    for extension in (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(of_issuer),
    ):
        builder = builder.add_extension(extension, critical=False)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    builder = builder.add_extension(
        x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), critical=True
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def self_signed(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate for these names that clients may trust as their authority, and its key, as files of a folder."""
    identity = issue(names[0], names=names, ca=True, end=2)
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    chain.write_bytes(identity.pem)
    key.write_bytes(identity.key_pem)
    return chain, key


def revocation_list(issuer: Identity, *revoked: Identity, end: int = 30) -> bytes:
    """A list of the issuer with the certificates that are revoked."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW - 40 * DAY)
        .next_update(NOW + end * DAY)
    )
    for identity in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(identity.certificate.serial_number)
            .revocation_date(NOW - DAY)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write(folder: Path) -> None:
    """A folder with everything the tests bring to a host."""
    root = issue("root", ca=True, end=1000)
    intermediate = issue("intermediate", root, ca=True, end=500)
    server = issue("shop.example.com", intermediate, ["shop.example.com"])
    expired = issue("shop.example.com", intermediate, ["shop.example.com"], begin=-20, end=-10)
    clients = issue("clients", ca=True, end=500)
    alice, mallory = issue("alice", clients), issue("mallory", clients)
    carol = issue("carol", clients, begin=-20, end=-10)
    stranger = issue("stranger", issue("strangers", ca=True))
    # Another authority of the same name: what goes by names takes the one for the other.
    namesakes = issue("clients", ca=True, end=500)
    bob = issue("bob", namesakes)
    files = {
        "root.pem": root.pem,
        "shop.pem": server.pem + intermediate.pem,
        "shop.key": server.key_pem,
        "other.key": expired.key_pem,
        "upside_down.pem": intermediate.pem + server.pem,
        "expired.pem": expired.pem + intermediate.pem,
        "clients.pem": clients.pem,
        "clients.crl": revocation_list(clients, mallory),
        "none_revoked.crl": revocation_list(clients),
        "old.crl": revocation_list(clients, end=-10),
        "alice.pem": alice.pem + alice.key_pem,
        "carol.pem": carol.pem + carol.key_pem,
        "mallory.pem": mallory.pem + mallory.key_pem,
        "stranger.pem": stranger.pem + stranger.key_pem,
        "namesakes.pem": namesakes.pem,
        "bob.pem": bob.pem + bob.key_pem,
    }
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
