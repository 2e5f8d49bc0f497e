# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: issuer_key_files
short_description: What the files have that issuers of signed tokens name for their public keys
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Reads the files of the controller that C(keys) of C(wss_proxy_issuers) name with C(source), decrypted where they are
    vaulted, and takes those of the host, C(path), as they were read there.
options:
  _terms:
    description: Value of C(wss_proxy_issuers), as one term.
    type: list
    elements: raw
    required: true
  host_files:
    description: Files of the host by their paths, each in base64 as M(ansible.builtin.slurp) returns it, or none.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Read the public keys
  ansible.builtin.set_fact:
    key_files: "{{ lookup('wssgate.nginx.issuer_key_files', wss_proxy_issuers) }}"
"""

RETURN = r"""
_raw:
  description:
    - By C(source:) or C(path:) and the file, a dictionary with C(content), or with C(problem) where it cannot be read.
  type: dict
"""

import typing as t

from ansible.plugins.lookup import LookupBase

from ..plugin_utils._controller_file import controller_file_reader
from ..plugin_utils._gate.issuer_files import contents


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the one dictionary."""
        self.set_options(var_options=variables, direct=kwargs)
        read = controller_file_reader(self, variables or {})
        return [contents(terms[0] if terms else None, read, self.get_option("host_files"))]
