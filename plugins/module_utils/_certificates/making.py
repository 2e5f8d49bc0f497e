# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and self-signed certificates that are made on the host."""

from __future__ import annotations

import datetime
import typing as t

from . import x509 as crypto
from .model import Pair, Spec
from .x509 import CertificateError


def key_for(spec: Spec, before: Pair) -> t.Tuple[t.Any, bytes]:
    """Return the key there is, where it is to stay and can, or a new one."""
    key, key_bytes = None, None
    if spec.reuse_key and before.key is not None:
        try:
            key, key_bytes = crypto.load_key(before.key), before.key
        except CertificateError:
            key = None
        if key is not None and crypto.key_type_of(key.public_key()) != spec.key_type:
            key = None
    if key is None or key_bytes is None:
        key = crypto.new_key(spec.key_type)
        key_bytes = crypto.key_pem(key)
    return key, key_bytes


def self_signed(spec: Spec, before: Pair, now: datetime.datetime) -> Pair:
    """Make a certificate that vouches for itself, with its key."""
    key, key_bytes = key_for(spec, before)
    common_name = crypto.common_name_for(spec.names, spec.common_name)
    certificate = crypto.new_certificate(key.public_key(), spec.names, common_name, spec.days, now, key)
    return Pair(crypto.certificate_pem(certificate), key_bytes)
