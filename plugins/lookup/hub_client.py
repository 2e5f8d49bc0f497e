# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hub_client
short_description: What this host has to know to use the hub
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Completes C(token_store_hub) of this host, by the group C(wss_hubs) where that has hosts.
  - Fails with one sentence for each mistake.
options:
  _terms:
    description: None.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show where the hub is
  ansible.builtin.debug:
    msg: "{{ lookup('wssgate.nginx.hub_client').server }}"
"""

RETURN = r"""
_raw:
  description:
    - "One dictionary: C(is_enabled), whether there is a hub; C(is_own_server), whether it is one of the user's own;
      C(server), with C(host) and C(port), or none where there are C(sentinels), a list of the same, with C(service) and
      C(sentinel_auth); C(fleet), C(gate) and C(gates), the names in its keys; C(ca_path), empty for the system's;
      C(gate_hosts), the hosts of the inventory by C(gates); C(username); C(password), or where that is empty the file
      C(password_path) on the host; C(operator_username), C(operator_password), C(operator_ca_path) and, on hosts of
      C(hubs), C(operator_password_path); C(issuers)."
  type: dict
"""

import typing as t

from ..plugin_utils._hub import hosts
from ..plugin_utils._hub.lookup import HubLookup
from ..plugin_utils._problems import Problems


class LookupModule(HubLookup):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the one dictionary."""
        self.set_options(var_options=variables, direct=kwargs)
        problems = Problems()
        fleet, host = self.fleet(variables or {})
        found = hosts.client(fleet, host, problems)
        self.check(problems)
        return [found]
