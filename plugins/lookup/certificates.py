# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificates
short_description: Certificates with the content of the files they name
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the items of the list as M(wssgate.nginx.wss_certificate) takes them, with files of the controller read, and
    decrypted where they are vaulted.
  - Fails when anything is wrong with the list. P(wssgate.nginx.certificate_problems#lookup) says what.
options:
  _terms:
    description: The list of certificates, as one term.
    type: list
    elements: raw
    required: true
  directory:
    description: Folder of the certificates that have no path of their own.
    type: str
    default: /etc/nginx/certificates
"""

EXAMPLES = r"""
- name: Look after the certificates
  wssgate.nginx.wss_certificate:
    certificates: "{{ query('wssgate.nginx.certificates', certificates_list) }}"
"""

RETURN = r"""
_list:
  description: The certificates. They hold private keys, so keep them out of output.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils._certificates.certificates import CertificateList
from ..plugin_utils._list_lookup import ListLookup


class LookupModule(ListLookup):
    """The lookup."""

    def read(self, given: t.Any, read_file: t.Callable[[str], str]) -> t.Tuple[t.List[t.Any], t.List[str]]:
        """Return the certificates, and what is wrong with them."""
        found = CertificateList(given, self.get_option("directory"), read_file)
        return found.certificates, found.problems
