# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: role_variable
short_description: The value of a variable of this collection's roles
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns what the variable is for this host, and the role's default where nobody has set it.
  - Playbooks and roles read variables of other roles so, and each default stands once.
options:
  _terms:
    description: Names of variables of this collection's roles.
    type: list
    elements: str
    required: true
  or_default:
    description: Return the role's default for a variable that is set and empty, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the file by which this host is drained
  ansible.builtin.debug:
    msg: "{{ lookup('wssgate.nginx.role_variable', 'wss_proxy_drain_path') }}"
"""

RETURN = r"""
_list:
  description: The values, in the order of the names.
  type: list
  elements: raw
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ..plugin_utils import _role_variables


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the values."""
        self.set_options(var_options=variables, direct=kwargs)
        return [self._value(str(name), variables or {}) for name in terms]

    def _value(self, name: str, variables: t.Mapping[str, t.Any]) -> t.Any:
        if name in variables:
            value = self._templar.template(variables[name])
            if not self.get_option("or_default") or value not in (None, ""):
                return value
        try:
            default = _role_variables.default_of(name)
        except KeyError:
            raise AnsibleLookupError(f"role_variable: no role has a variable {name} with a default") from None
        return self._templar.template(default)
