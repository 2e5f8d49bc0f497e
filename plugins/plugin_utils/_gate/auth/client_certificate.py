# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that the client shows in TLS.

The option auth does not name it: a server or a location asks for it besides, and TLS has verified it before anything
else is looked at.
"""

from __future__ import annotations

import typing as t

from ..context import Gate


# The answer to a client without one, whatever the location asks for besides.
ANSWERS = (403,)


def required(gate: Gate, where: str, client_certificates: t.Optional[t.Mapping[str, t.Any]], given: t.Any) -> bool:
    """What the location adds to the server's own demand."""
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
