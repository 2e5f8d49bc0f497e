# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The providers of certificates, as certificates_list names them.

A new provider is a file here and one in module_utils/_certificates/providers/, and an entry in PROVIDERS here and
in registry.py there.
"""

from __future__ import annotations

import typing as t

from .acme import ACME
from .files import FILES
from .provider import Provider
from .selfsigned import SELFSIGNED

# In the order in which messages and the documentation name them
PROVIDERS: t.Dict[str, Provider] = {provider.name: provider for provider in (SELFSIGNED, FILES, ACME)}


def refused(provider: Provider) -> t.List[str]:
    """Return what a provider does not take, because it is another's."""
    return [key for other in PROVIDERS.values() if other is not provider for key in other.own]
