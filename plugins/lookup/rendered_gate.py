# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rendered_gate
short_description: A gate and the files of its configuration
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Works a gate out from its servers, and renders all its files by the templates of role wss_proxy. A task for each
    file would cost the controller a process for each host.
  - For tasks of this role, where Ansible finds its templates. With headers that upstreams get the result has secrets.
options:
  _terms:
    description: The servers, as O(wssgate.nginx.wss_proxy#role:main:wss_proxy_servers) has them.
    type: list
    elements: raw
    required: true
  context:
    description: What is not said of each server, as for filter P(wssgate.nginx.gate_model#filter).
    type: dict
    required: true
  first_line:
    description: What each file has in its first line, for the next run to know its own files by.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Render the gate
  ansible.builtin.set_fact:
    rendered: >-
      {{ lookup('wssgate.nginx.rendered_gate', wss_proxy_servers, context=context,
      first_line='Ansible managed by wssgate.nginx') }}
"""

RETURN = r"""
_list:
  description:
    - One dictionary. C(gate) is what filter P(wssgate.nginx.gate_model#filter) returns. C(files), C(secret_files) and
      C(sockets) are what module M(wssgate.nginx.nginx_config) takes by these names.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ..plugin_utils._gate import files, model, needs

MAY_READ = ("__wss_proxy_", "ansible_search_path")
CHECK_PAGE = {"__wss_proxy_check_script": "connection_check.js", "__wss_proxy_check_style": "connection_check.css"}


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the gate and its files."""
        self.set_options(var_options=variables, direct=kwargs)
        (servers,) = terms
        # Not as Ansible hands it over, which works each value out whenever it is looked at.
        context = dict(self.get_option("context").items())
        try:
            gate = model.gate_model(servers, context)
            headers = model.gate_upstream_headers(servers, context)
        except model.GateError as error:
            raise AnsibleLookupError(str(error)) from error
        # Ansible copies what a template may read: what is not of the role stays out.
        found = {name: value for name, value in (variables or {}).items() if name.startswith(MAY_READ)}
        common = {"ansible_managed": self.get_option("first_line"), "__wss_proxy_gate": gate}
        if any(server["connection_check"] for server in gate["servers"]):
            # Only these very bytes may run on the page: its Content-Security-Policy has their hashes.
            common.update({name: self._read(path, found) for name, path in CHECK_PAGE.items()})
        return [
            {
                "gate": gate,
                "files": [self._rendered(file, common, found) for file in files.of_gate(gate)],
                "secret_files": [self._rendered(file, common, found) for file in files.of_headers(headers)],
                "sockets": needs.gate_needs(servers, context)["sockets"],
            }
        ]

    def _rendered(
        self, file: files.File, common: t.Mapping[str, t.Any], variables: t.Dict[str, t.Any]
    ) -> t.Dict[str, str]:
        if file.is_copy:
            text = f"// {common['ansible_managed']}\n{self._read(file.source, variables, rstrip=False)}"
        else:
            text = self._looked_up("template", file.source, variables, template_vars={**common, **file.variables})
        return {"path": file.path, "content": text}

    def _read(self, path: str, variables: t.Dict[str, t.Any], rstrip: bool = True) -> str:
        return self._looked_up("file", path, variables, rstrip=rstrip)

    def _looked_up(self, kind: str, name: str, variables: t.Dict[str, t.Any], **options: t.Any) -> str:
        lookup = lookup_loader.get(f"ansible.builtin.{kind}", loader=self._loader, templar=self._templar)
        (text,) = lookup.run([name], variables=variables, **options)
        return str(text)
