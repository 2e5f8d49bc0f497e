# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that an ACME authority issues through certbot: it is kept here, and certbot asks for it."""

from __future__ import annotations

import datetime
import os
import typing as t

from .. import making
from .. import x509 as crypto
from ..contents import loaded_pair
from ..model import Pair, Spec
from ..x509 import CertificateError
from .provider import MADE_HERE, Provider, Wanted, check_made_here

CERTBOT_RENEWAL = "/etc/letsencrypt/renewal"
_PLACEHOLDER = "there is only a placeholder"


class _Acme(Provider):
    name = "acme"
    arguments = MADE_HERE

    def check(self, spec: Spec) -> None:
        check_made_here(spec)

    def plan(self, spec: Spec, before: Pair, now: datetime.datetime) -> Wanted:
        """Keep what an authority issued, however old; where nothing is, have a placeholder, so that nginx starts."""
        try:
            certificate, _key = loaded_pair(before)
        except CertificateError as error:
            return Wanted(making.self_signed(spec, before, now), [f"{error}: a placeholder is made"], [_PLACEHOLDER])
        reasons = crypto.due_reasons(certificate, spec.names, spec.key_type, spec.renew_before_days, now)
        if not crypto.is_self_signed(certificate):
            return Wanted(before, due=reasons)
        return Wanted(making.self_signed(spec, before, now) if reasons else before, reasons, [_PLACEHOLDER])

    def is_from_another(self, spec: Spec, authority: t.Optional[str]) -> bool:
        return bool(authority) and certbot_server(spec.name) not in (None, authority)


def certbot_server(lineage: str) -> t.Optional[str]:
    """Return the directory URL of the authority that certbot has a certificate from, or None when it has none."""
    try:
        with open(os.path.join(CERTBOT_RENEWAL, f"{lineage}.conf"), encoding="utf-8") as stream:
            for line in stream:
                key, equals, value = line.partition("=")
                if equals and key.strip() == "server":
                    return value.strip()
    except FileNotFoundError:
        return None
    return None


ACME = _Acme()
