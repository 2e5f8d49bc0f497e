# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: client_authorities
short_description: Authorities of clients with the content of the files they name
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the items of the list as O(wssgate.nginx.wss_certificate#module:client_authorities) takes them, with files
    of the controller read.
  - Fails when anything is wrong with the list. P(wssgate.nginx.certificate_problems#lookup) says what.
options:
  _terms:
    description: The list of authorities, as one term.
    type: list
    elements: raw
    required: true
"""

EXAMPLES = r"""
- name: Have the gate know whose clients it lets in
  wssgate.nginx.wss_certificate:
    certificates: []
    client_authorities: "{{ query('wssgate.nginx.client_authorities', certificates_client_authorities) }}"
"""

RETURN = r"""
_list:
  description: The authorities. Nothing of them is secret.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils._certificates.authorities import ClientAuthorityList
from ..plugin_utils._list_lookup import ListLookup


class LookupModule(ListLookup):
    """The lookup."""

    def read(self, given: t.Any, read_file: t.Callable[[str], str]) -> t.Tuple[t.List[t.Any], t.List[str]]:
        """Return the authorities, and what is wrong with them."""
        found = ClientAuthorityList(given, read_file)
        return found.authorities, found.problems
