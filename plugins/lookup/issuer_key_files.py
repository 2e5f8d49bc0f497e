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

import base64
import binascii
import typing as t

from ansible.plugins.lookup import LookupBase

from ..plugin_utils._certificates.reading import UnreadableError
from ..plugin_utils._controller_file import controller_file_reader


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the one dictionary."""
        self.set_options(var_options=variables, direct=kwargs)
        read = controller_file_reader(self, variables or {})
        found: t.Dict[str, t.Dict[str, str]] = {}
        for key in _keys(terms[0] if terms else None):
            source = key.get("source")
            if isinstance(source, str) and source:
                try:
                    found[f"source:{source}"] = {"content": str(read(source))}
                except UnreadableError as error:
                    found[f"source:{source}"] = {"problem": str(error)}
        for path, content in self.get_option("host_files").items():
            found[f"path:{path}"] = _of_host(path, content)
        return [found]


def _keys(issuers: t.Any) -> t.Iterator[t.Mapping[str, t.Any]]:
    """The entries as far as they are any; what is wrong with the rest, the check of all servers tells."""
    for issuer in issuers if isinstance(issuers, (list, tuple)) else ():
        keys = issuer.get("keys") if isinstance(issuer, t.Mapping) else None
        for key in keys if isinstance(keys, (list, tuple)) else ():
            if isinstance(key, t.Mapping):
                yield key


def _of_host(path: str, content: t.Any) -> t.Dict[str, str]:
    if not content:
        return {"problem": f"{path} is not on the host, or cannot be read there"}
    try:
        return {"content": base64.b64decode(content).decode("ascii")}
    except (binascii.Error, UnicodeDecodeError):
        return {"problem": f"{path} of the host is not text"}
