# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_problems
short_description: What is wrong with a list of certificates
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Checks the value of C(certificates_list) of the role
    R(wssgate.nginx.certificates,ansible_collections.wssgate.nginx.certificates_role), the certificates and keys of the
    controller among it.
  - Messages name certificates and files, never a key.
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
  client_authorities:
    description: Value of C(certificates_client_authorities), to be checked as well.
    type: raw
    default: []
  authorities:
    description: Value of C(certificates_authorities), to be checked as well.
    type: raw
    default: []
"""

EXAMPLES = r"""
- name: Check the certificates
  ansible.builtin.assert:
    that: query('wssgate.nginx.certificate_problems', certificates_list) | length == 0
    fail_msg: "{{ query('wssgate.nginx.certificate_problems', certificates_list) | join('; ') }}"
"""

RETURN = r"""
_list:
  description: One sentence for each problem, empty when there is none.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase

from ..plugin_utils._certificates.authorities import ClientAuthorityList, authority_problems
from ..plugin_utils._certificates.certificates import CertificateList
from ..plugin_utils._controller_file import controller_file_reader


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the problems."""
        self.set_options(var_options=variables, direct=kwargs)
        read = controller_file_reader(self, variables or {})
        wrong = authority_problems(self.get_option("authorities"))
        names = None if wrong else [str(item["name"]) for item in self.get_option("authorities")]
        found = CertificateList(terms[0] if terms else None, self.get_option("directory"), read, names)
        return wrong + found.problems + ClientAuthorityList(self.get_option("client_authorities"), read).problems
