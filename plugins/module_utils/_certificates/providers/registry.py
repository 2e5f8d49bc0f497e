# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to come by a certificate on a host. A new one is a file here and an entry in PROVIDERS."""

from __future__ import annotations

import typing as t

from .acme import ACME
from .files import FILES
from .provider import Arguments, Provider
from .selfsigned import SELFSIGNED

# In the order in which messages and the documentation name them
PROVIDERS: t.Dict[str, Provider] = {provider.name: provider for provider in (SELFSIGNED, FILES, ACME)}


def arguments() -> Arguments:
    """Return what the providers take of wss_certificate, each with its type and default."""
    return {name: given for provider in PROVIDERS.values() for name, given in provider.arguments.items()}


def refused(provider: Provider, given: t.Mapping[str, t.Any]) -> t.List[str]:
    """Return what was given of another provider's that this one does not take."""
    return [
        name
        for other in PROVIDERS.values()
        for name in other.refused_elsewhere
        if given.get(name) and name not in provider.arguments
    ]
