# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate that is made on the host, signed by its own key or by an authority of one's own."""

from __future__ import annotations

import datetime
import os
import typing as t

from .. import making
from .. import x509 as crypto
from ..contents import file_problems, loaded_pair, with_newline
from ..files import read_regular, replace
from ..model import Pair, Plan, Spec
from ..pair import KEY_MODE
from ..x509 import CertificateError
from .provider import MADE_HERE, Provider, Wanted, check_made_here


class _SelfSigned(Provider):
    name = "selfsigned"
    arguments = {**MADE_HERE, "authority": {"type": "str"}}
    refused_elsewhere = ("authority",)

    def check(self, spec: Spec) -> None:
        check_made_here(spec)

    def plan(self, spec: Spec, before: Pair, now: datetime.datetime) -> Wanted:
        if spec.issued is not None:
            return Wanted(_signed(spec, now), [f"the authority {spec.authority} has signed it"])
        reasons = _reasons(spec, before, now)
        if spec.authority is not None:
            # Its authority has to be asked first; until then what is there stays
            return Wanted(before, reasons, needs_request=bool(reasons))
        return Wanted(making.self_signed(spec, before, now) if reasons else before, reasons)

    def request(self, planned: Plan) -> bytes:
        """Make the key that a new certificate is for, have it wait beside the old one, and return the request."""
        spec = planned.spec
        key, key_bytes = making.key_for(spec, planned.before)
        path = spec.next_key_path
        replace(os.path.realpath(path) if spec.symlinks_allowed else path, key_bytes, KEY_MODE)
        return crypto.new_request(key)

    def after_install(self, spec: Spec) -> None:
        if spec.issued is not None:
            os.unlink(spec.next_key_path)


def _reasons(spec: Spec, before: Pair, now: datetime.datetime) -> t.List[str]:
    """Say why a self-signed certificate has to be made, or nothing when the one there is good."""
    try:
        certificate, _key = loaded_pair(before)
    except CertificateError as error:
        return [str(error)]
    reasons = crypto.due_reasons(certificate, spec.names, spec.key_type, spec.renew_before_days, now)
    issuer = None
    if spec.authority is None:
        if not crypto.is_self_signed(certificate):
            reasons.append("it is not self-signed")
    elif spec.issuer is None:
        reasons.append(f"there is no authority {spec.authority} yet")
    else:
        issuer = crypto.load_certificates(spec.issuer.encode())[0]
        if not crypto.is_signed_by(certificate, issuer):
            reasons.append(f"the authority {spec.authority} did not sign it")
    if crypto.common_name_of(certificate) != crypto.common_name_for(spec.names, spec.common_name):
        reasons.append("its common name differs")
    # No certificate outlives its authority
    is_cut = issuer is not None and crypto.not_after(certificate) == crypto.not_after(issuer)
    if crypto.lifetime_days(certificate) != spec.days and not is_cut:
        reasons.append("its lifetime differs")
    return reasons


def _signed(spec: Spec, now: datetime.datetime) -> Pair:
    """Return the pair of what an authority has just signed and the key that waits for it."""
    key = read_regular(spec.next_key_path, spec.symlinks_allowed)
    if key is None:
        raise CertificateError(f"{spec.next_key_path}, the key of the request, is gone")
    pair = Pair(with_newline(spec.issued or ""), key)
    problems = file_problems(pair.certificate or b"", key, spec.names, now)
    if problems:
        raise CertificateError("; ".join(problems))
    return pair


SELFSIGNED = _SelfSigned()
