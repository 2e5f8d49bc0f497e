# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: variable_problems
short_description: What is wrong with the variables of this collection
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Checks, for a role, that its variables have the types and choices of its C(argument_specs.yml), in all that
    ansible-core itself would check when a play comes to the role, that the play has
    gathered the facts that it needs, that the role knows the operating system, and that no variable of the host is
    probably one of the role's misspelt.
  - Warns about other variables that begin with C(token_store_), C(wss_proxy_) or C(wcs_), for which nobody else has a
    use, and about deprecated ones.
  - Messages name variables and show values of booleans, numbers and choices only.
options:
  _terms:
    description: Names of roles of this collection.
    type: list
    elements: str
    default: []
  parameters:
    description:
      - Types, V(bool), V(int) or V(str), or lists of choices, of variables to be checked by name where they are set.
        The playbooks have their parameters checked so.
      - A variable of the command line (C(-e)) that is nearly spelt like one of them is a problem, too.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check the variables of role nginx
  ansible.builtin.assert:
    that: query('wssgate.nginx.variable_problems', 'nginx') | length == 0
    fail_msg: "{{ query('wssgate.nginx.variable_problems', 'nginx') | join('; ') }}"
"""

RETURN = r"""
_list:
  description: One sentence for each problem, empty when there is none.
  type: list
  elements: str
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

from ..plugin_utils import _role_variables

display = Display()


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the problems."""
        self.set_options(var_options=variables, direct=kwargs)
        found = variables or {}
        template = self._templar.template
        parameters = self.get_option("parameters")
        problems = _role_variables.parameter_problems(parameters, found, template)
        if parameters:
            problems += _role_variables.misspelt_parameters(parameters, load_extra_vars(self._loader), found, template)
        for role in terms:
            problems += _role_variables.fact_problems(role, found)
            problems += _role_variables.platform_problems(role, found)
            problems += _role_variables.misspelt_names(role, found, template)
            problems += _role_variables.value_problems(role, found, template)
            problems += [] if problems else _role_variables.shape_problems(role, found, template)
            problems += _role_variables.serial_problems(found, template) if role == "wss_proxy" else []
            for name in _role_variables.unknown_names(role, found, template):
                display.warning(
                    f"{name} is no variable of role {role} and counts for nothing. If it is yours, name it in "
                    f"{_role_variables.OTHER_VARIABLES}."
                )
            for name in _role_variables.deprecated_names(role, found, template):
                display.deprecated(
                    f"{name}: {_role_variables.DEPRECATED[name]}.", version="2.0.0", collection_name="wssgate.nginx"
                )
        return problems
