# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Authorities whose clients a server lets in: their certificates and revocation lists on the disk of a host."""

from __future__ import annotations

import datetime
import typing as t

from .contents import authority_facts, client_authority_problems, with_newline
from .._host import files
from .files import read_regular, replace, wrong_attributes
from .pair import CERTIFICATE_MODE
from .x509 import CertificateError


class ClientAuthority(t.NamedTuple):
    """Who signs the certificates of clients, as it was asked for."""

    name: str
    certificate_path: str
    crl_path: str
    certificate_content: str
    crl_content: t.Optional[str] = None


class AuthorityPlan(t.NamedTuple):
    """What is to be done about the authority of clients: content by path, None for a file that is to go."""

    authority: ClientAuthority
    before: t.Dict[str, t.Optional[bytes]]
    after: t.Dict[str, t.Optional[bytes]]
    facts_before: t.Dict[str, t.Any]
    facts: t.Dict[str, t.Any]
    wrong_attributes: t.Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything on the disk is to change."""
        return self.before != self.after or bool(self.wrong_attributes)


def plan_client_authority(authority: ClientAuthority, now: datetime.datetime) -> AuthorityPlan:
    """Find out what has to change for one authority of clients; touches nothing."""
    certificate_path, crl_path = authority.certificate_path, authority.crl_path
    before = {path: read_regular(path, follow=False) for path in (certificate_path, crl_path)}
    after = {
        certificate_path: with_newline(authority.certificate_content),
        crl_path: with_newline(authority.crl_content) if authority.crl_content else None,
    }
    problems = client_authority_problems(after[certificate_path] or b"", after[crl_path], now)
    if problems:
        raise CertificateError("; ".join(problems))
    return AuthorityPlan(
        authority=authority,
        before=before,
        after=after,
        facts_before=authority_facts(before[certificate_path], before[crl_path], now),
        facts=authority_facts(after[certificate_path], after[crl_path], now),
        wrong_attributes=tuple(
            wrong_attributes({path: CERTIFICATE_MODE for path, content in after.items() if content is not None})
        ),
    )


def apply_client_authority(planned: AuthorityPlan) -> None:
    """Bring one authority of clients to the wanted state."""
    for path, content in planned.after.items():
        if content is not None:
            if content != planned.before[path] or path in planned.wrong_attributes:
                replace(path, content, CERTIFICATE_MODE)
        elif planned.before[path] is not None:
            files.remove(path)
