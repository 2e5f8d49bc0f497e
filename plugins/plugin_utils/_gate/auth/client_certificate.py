# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that the client shows in TLS.

A server or a location asks for it besides what auth says, or it is one of several in auth. TLS has verified it before
anything else is looked at.
"""

from __future__ import annotations

import typing as t

from ..context import Gate
from .method import Kind, Method

# The answer to a client without one, whatever the location asks for besides.
ANSWERS = (403,)


class _ClientCertificate(Method):
    name = "client_certificate"
    answers = ANSWERS


CLIENT_CERTIFICATE = _ClientCertificate()


def required(
    gate: Gate, where: str, client_certificates: t.Optional[t.Mapping[str, t.Any]], kind: Kind, given: t.Any
) -> bool:
    """What the location adds to the server's own demand. ``kind`` may have it as one of several ways in."""
    if kind.uses(CLIENT_CERTIFICATE):
        _check_choice(gate, where, client_certificates, given)
        return False
    if given is None:
        return False
    is_required = gate.problems.flag(where, "client_certificate_required", given)
    if is_required and not client_certificates:
        gate.problems.add(where, "client_certificate_required needs client_certificates on the server")
    if not is_required and client_certificates and client_certificates["required"]:
        gate.problems.add(
            where,
            "the server asks every path for a client certificate; set client_certificates.required: false there",
        )
    return is_required


def is_required(server: t.Mapping[str, t.Any], location: t.Mapping[str, t.Any]) -> bool:
    """Nobody gets to this location without."""
    certificates = server["client_certificates"]
    return bool(certificates and (certificates["required"] or location["client_certificate_required"]))


def _check_choice(gate: Gate, where: str, client_certificates: t.Optional[t.Mapping[str, t.Any]], given: t.Any) -> None:
    """Where it is one of several ways in, nobody may be kept out for the lack of it."""
    words = "auth has client_certificate as one of several ways in"
    if not client_certificates:
        gate.problems.add(where, f"{words}, which needs client_certificates with required: false on the server")
    elif client_certificates["required"]:
        gate.problems.add(
            where, f"{words}, and the server asks every path for one; set client_certificates.required: false there"
        )
    elif given is not None and gate.problems.flag(where, "client_certificate_required", given):
        gate.problems.add(where, f"{words}, and client_certificate_required asks everybody for one; leave that out")
