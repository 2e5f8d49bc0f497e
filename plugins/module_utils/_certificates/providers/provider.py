# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a provider of certificates is on the host."""

from __future__ import annotations

import datetime
import typing as t

from .. import x509 as crypto
from ..model import Pair, Plan, Spec
from ..x509 import CertificateError

Arguments = t.Dict[str, t.Dict[str, t.Any]]

# What providers take that make a certificate on the host, be it a placeholder. wss_certificate documents them.
MADE_HERE: Arguments = {
    "common_name": {"type": "str"},
    "key_type": {"type": "str", "choices": list(crypto.KEY_TYPES), "default": "P-256"},
    "days": {"type": "int", "default": 397},
    "renew_before_days": {"type": "int", "default": 30},
    "reuse_key": {"type": "bool", "default": False, "no_log": False},
}


class Wanted(t.NamedTuple):
    """The pair that shall be there, and why it is another than the one that is."""

    after: Pair
    reasons: t.Sequence[str] = ()
    # Why it has to be asked for elsewhere
    due: t.Sequence[str] = ()
    # Whether an authority of one's own has to sign first
    needs_request: bool = False


class Provider:
    """One way to come by a certificate and its key."""

    name = ""
    # Its arguments of wss_certificate; those that are fields of Spec are found there, the others in Spec.own.
    arguments: Arguments = {}
    # Those of them that are refused with a provider that does not take them
    refused_elsewhere: t.Tuple[str, ...] = ()

    def check(self, spec: Spec) -> None:
        """Raise when its arguments cannot be meant."""

    def plan(self, spec: Spec, before: Pair, now: datetime.datetime) -> Wanted:
        """Decide which pair shall be there; touch nothing."""
        raise NotImplementedError

    def request(self, planned: Plan) -> bytes:
        """Return what an authority of one's own has to sign, once ``needs_request`` said so."""
        raise CertificateError(f"provider {self.name} has nothing to sign")

    def after_install(self, spec: Spec) -> None:
        """Clear up once the new pair is in place."""

    def is_from_another(self, spec: Spec, authority: t.Optional[str]) -> bool:
        """Whether the certificate is there already, from another authority than the one that is asked now."""
        return False


def check_made_here(spec: Spec) -> None:
    """Refuse names and lifetimes with which no certificate can be made."""
    if not spec.names:
        raise CertificateError("subject_alt_names is empty: a certificate is for at least one name")
    if spec.days <= spec.renew_before_days:
        raise CertificateError(f"renew_before_days ({spec.renew_before_days}) has to be less than days ({spec.days})")
