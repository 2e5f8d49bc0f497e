# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that is made on the host, signed by its own key or by an authority of one's own."""

from __future__ import annotations

from .provider import Certificate, Provider


class _SelfSigned(Provider):
    name = "selfsigned"
    own = ("authority",)
    remedy = "a run of site.yml makes a new one once renew_before_days is reached"

    def check(self, certificate: Certificate) -> None:
        numbers, authority = certificate.numbers, certificate.item.get("authority")
        if numbers and numbers["days"] <= numbers["renew_before_days"]:
            certificate.note(
                f"renew_before_days ({numbers['renew_before_days']}) has to be less than days ({numbers['days']})"
            )
        if authority and certificate.authorities is not None and authority not in certificate.authorities:
            known = ", ".join(sorted(certificate.authorities)) or "none"
            certificate.note(f"authority {authority!r} is not in certificates_authorities (there: {known})")


SELFSIGNED = _SelfSigned()
