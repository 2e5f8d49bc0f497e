# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An authority of one's own on one host: its key never leaves it, and servers' keys never come to it."""

from __future__ import annotations

import datetime
import os
import stat
import typing as t

from .._host import files
from . import x509 as crypto
from .files import read_regular
from .model import Pair
from .store import write_pair
from .x509 import CertificateError

DIRECTORY_MODE = 0o700


class Request(t.NamedTuple):
    """What a server asks for."""

    name: str
    request: str
    names: t.Tuple[str, ...]
    common_name: t.Optional[str] = None
    days: int = 397


class Authority:
    """An authority in a folder: ca.pem, and ca.key for root alone."""

    def __init__(self, directory: str) -> None:
        """Look at what is there; raises when it is damaged or others could have read the key."""
        self.certificate_path = os.path.join(directory, "ca.pem")
        self.key_path = os.path.join(directory, "ca.key")
        self.certificate: t.Any = None
        self.key: t.Any = None
        self.pem: t.Optional[bytes] = None
        certificate, key = (read_regular(path, follow=False) for path in (self.certificate_path, self.key_path))
        if certificate is None and key is None:
            return
        # To make a new one would have every client of the old one refuse the gates
        if certificate is None or key is None:
            missing = self.certificate_path if certificate is None else self.key_path
            raise CertificateError(
                f"{missing} is gone: bring it back from a backup, or remove {directory} and have clients trust a new "
                "authority"
            )
        if os.stat(self.key_path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CertificateError(
                f"others than root have access to {self.key_path}: whoever read it can pose as the gates; see who, "
                "then set its mode to 0600"
            )
        self.certificate, self.key, self.pem = (
            crypto.load_certificates(certificate)[0],
            crypto.load_key(key),
            certificate,
        )
        if crypto.public_bytes(self.certificate.public_key()) != crypto.public_bytes(self.key.public_key()):
            raise CertificateError(f"{self.key_path} is not the key of {self.certificate_path}")

    def make(self, common_name: str, key_type: str, days: int, now: datetime.datetime) -> None:
        """Make the authority."""
        directory = os.path.dirname(self.key_path)
        files.make_folders(os.path.dirname(directory))
        files.make_folders(directory, DIRECTORY_MODE)
        self.key = crypto.new_key(key_type)
        self.certificate = crypto.new_authority(self.key, common_name, days, now)
        self.pem = crypto.certificate_pem(self.certificate)
        write_pair(self.certificate_path, self.key_path, Pair(self.pem, crypto.key_pem(self.key)))

    def sign(self, request: Request, now: datetime.datetime) -> bytes:
        """Return the certificate that a server asks for."""
        if crypto.not_after(self.certificate) <= now:
            raise CertificateError(f"the authority expired on {crypto.not_after(self.certificate):%Y-%m-%d}")
        public_key = crypto.load_request(request.request.encode()).public_key()
        common_name = crypto.common_name_for(request.names, request.common_name)
        certificate = crypto.new_certificate(
            public_key, request.names, common_name, request.days, now, self.key, self.certificate
        )
        return crypto.certificate_pem(certificate)
