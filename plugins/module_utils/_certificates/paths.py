# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where certificates and keys are: the one place that has their folder and their names."""

from __future__ import annotations

import os
import typing as t

DIRECTORY = "/etc/nginx/certificates"
CERTIFICATE, KEY = "fullchain.pem", "privkey.pem"
AUTHORITY, REVOKED = "ca.pem", "crl.pem"


class PairPaths(t.NamedTuple):
    certificate: str
    key: str


class AuthorityPaths(t.NamedTuple):
    certificate: str
    crl: str


def pair_paths(directory: str, name: str, certificate: t.Any = None, key: t.Any = None) -> PairPaths:
    """Paths of a certificate and its key: the given ones, else in a folder of the certificate's name."""
    own = os.path.join(directory, name)
    return PairPaths(str(certificate or os.path.join(own, CERTIFICATE)), str(key or os.path.join(own, KEY)))


def authority_paths(directory: str, name: str) -> AuthorityPaths:
    """Paths of the certificate of an authority of clients and of its revocation lists."""
    own = os.path.join(directory, name)
    return AuthorityPaths(os.path.join(own, AUTHORITY), os.path.join(own, REVOKED))
