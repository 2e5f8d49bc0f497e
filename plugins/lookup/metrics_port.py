# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: metrics_port
short_description: The port by which a balancer's or a hub's metrics are read
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Reads the variables of this host, and those of the roles that it has no value for. It connects to no host.
  - Roles C(balancer) and C(monitoring) render it. With O(hashes) keep it out of output.
options:
  _terms:
    description: V(balancer) or V(hub).
    type: list
    elements: str
    required: true
  hashes:
    description:
      - Have the hashes of passwords, too, which take a while. Without it they are empty.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check what is set
  ansible.builtin.assert:
    that: lookup('wssgate.nginx.metrics_port', 'balancer').problems | length == 0
"""

RETURN = r"""
_list:
  description:
    - One dictionary for each term. C(is_served) is whether there is such a port, C(problems) has a sentence for each
      mistake, and the rest is what templates render.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ..plugin_utils import _metrics_port, _role_variables


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the ports."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        host = str(known.get("inventory_hostname", ""))
        groups = [str(name) for name, hosts in (known.get("groups") or {}).items() if host in hosts]
        values = {name: self._value(name, known) for name in _metrics_port.VARIABLES}
        for kind in terms:
            if kind not in _metrics_port.GROUPS:
                raise AnsibleLookupError(f"metrics_port: {kind!r} is neither balancer nor hub")
        return [_metrics_port.read(str(kind), host, groups, values, self.get_option("hashes")) for kind in terms]

    def _value(self, name: str, variables: t.Mapping[str, t.Any]) -> t.Any:
        given = variables[name] if variables.get(name) is not None else _role_variables.default_of(name)
        return self._templar.template(given)
