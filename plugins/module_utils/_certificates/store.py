# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pairs of certificate and key on the disk of a host: what is there, what has to change, and changing it.

Planning reads and checks everything and raises all problems at once; only then does anything get written. Which pair
shall be there is the provider's to say (providers/), how a pair is replaced is in pair.py.
"""

from __future__ import annotations

import datetime
import os
import time
import typing as t

from .._host import files
from .._host.error import HostError
from . import pair as pair_files
from .clients import AuthorityPlan, ClientAuthority, plan_client_authority
from .contents import pair_facts
from .files import read_regular, replace, wrong_attributes
from .model import Pair, Plan, Spec
from .pair import CERTIFICATE_MODE, KEY_MODE
from .providers.registry import PROVIDERS
from .x509 import CertificateError


def plan(spec: Spec, now: datetime.datetime) -> Plan:
    """Find out what has to change for one certificate; touches nothing."""
    follow = spec.symlinks_allowed or spec.remote
    paths = real_paths(spec)
    # A pair whose second half a killed run could not bring any more is completed first
    waiting = None if spec.remote else pair_files.pending_certificate(*paths)
    before = Pair(read_regular(waiting or spec.certificate_path, follow), read_regular(spec.key_path, follow))
    wanted = PROVIDERS[spec.provider].plan(spec, before, now)
    return Plan(
        spec=spec,
        before=before,
        after=wanted.after,
        facts_before=pair_facts(before, now),
        facts=pair_facts(wanted.after, now),
        reasons=tuple(wanted.reasons),
        wrong_attributes=()
        if spec.remote
        else tuple(wrong_attributes({spec.key_path: KEY_MODE, spec.certificate_path: CERTIFICATE_MODE})),
        due=tuple(wanted.due),
        needs_request=wanted.needs_request,
        interrupted=() if spec.remote else tuple(pair_files.interrupted(*paths)),
    )


def real_paths(spec: Spec) -> t.Tuple[str, str]:
    """Return where certificate and key are written."""
    if spec.symlinks_allowed:
        return os.path.realpath(spec.certificate_path), os.path.realpath(spec.key_path)
    return spec.certificate_path, spec.key_path


def plan_all(
    specs: t.Iterable[Spec], now: datetime.datetime, authorities: t.Iterable[ClientAuthority] = ()
) -> t.Tuple[t.List[Plan], t.List[AuthorityPlan]]:
    """Plan every certificate and every authority of clients, or raise with all that is wrong with any of them."""
    plans, authority_plans, problems = [], [], []
    owners: t.Dict[str, str] = {}
    for spec in specs:
        for path in (spec.certificate_path, spec.key_path):
            if path in owners and not spec.remote:
                problems.append(f"certificate {spec.name}: {path} is a file of certificate {owners[path]} too")
            owners[path] = spec.name
        try:
            plans.append(plan(spec, now))
        except CertificateError as error:
            problems.append(f"certificate {spec.name}: {error}")
    for authority in authorities:
        for path in (authority.certificate_path, authority.crl_path):
            if path in owners:
                problems.append(
                    f"client authority {authority.name}: {path} is a file of certificate {owners[path]} too"
                )
        try:
            authority_plans.append(plan_client_authority(authority, now))
        except CertificateError as error:
            problems.append(f"client authority {authority.name}: {error}")
    if problems:
        raise CertificateError("\n".join(problems))
    return plans, authority_plans


def request(planned: Plan) -> bytes:
    """Have the provider prepare what an authority of one's own has to sign, and return it."""
    return PROVIDERS[planned.spec.provider].request(planned)


def write_pair(certificate_path: str, key_path: str, wanted: Pair, name: str = "", follow: bool = False) -> None:
    """Put a new pair in place."""
    try:
        pair_files.replace(certificate_path, key_path, name, pair_files.PairFiles(*wanted), follow)
    except HostError as error:
        raise CertificateError(str(error)) from error


def _back_up(path: str, content: t.Optional[bytes], suffix: str) -> t.List[str]:
    if content is None:
        return []
    replace(path + suffix, content, KEY_MODE)
    return [path + suffix]


def apply(planned: Plan, backup: bool = False) -> t.List[str]:
    """Bring one certificate to the wanted state and return the copies that were kept of the old one."""
    spec, copies = planned.spec, []
    certificate_path, key_path = real_paths(spec)
    try:
        if planned.before != planned.after:
            # Before the copies are made
            pair_files.check_attributes(certificate_path, key_path)
        if planned.interrupted:
            pair_files.recover(certificate_path, key_path)
    except HostError as error:
        raise CertificateError(str(error)) from error
    if planned.before != planned.after:
        if backup:
            suffix = time.strftime(".%Y-%m-%dT%H%M%SZ~", time.gmtime())
            copies = _back_up(certificate_path, planned.before.certificate, suffix) + _back_up(
                key_path, planned.before.key, suffix
            )
        write_pair(certificate_path, key_path, planned.after, spec.name, spec.symlinks_allowed)
        PROVIDERS[spec.provider].after_install(spec)
    for path in planned.wrong_attributes:
        descriptor = files.open_file(path, follow=spec.symlinks_allowed)
        try:
            mode = KEY_MODE if path == spec.key_path else CERTIFICATE_MODE
            files.set_attributes(descriptor, mode, os.geteuid(), os.getegid())
        finally:
            os.close(descriptor)
    return copies
