# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hub_problems
short_description: What is wrong with the settings of the hub
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Checks C(token_store_hub), and on a host of C(wss_hubs) the variables of role C(token_hub), the engine that is on
    each of them, and whether the hosts go together.
  - Messages name users, never a password.
options:
  _terms:
    description: V(client) or V(server), what this host is.
    type: list
    elements: str
    required: true
  found:
    description: What is on each host of the hub, C(current) and C(installed) by host.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check token_store_hub
  ansible.builtin.assert:
    that: query('wssgate.nginx.hub_problems', 'client') | length == 0
    fail_msg: "{{ query('wssgate.nginx.hub_problems', 'client') | join('; ') }}"
"""

RETURN = r"""
_list:
  description: One sentence for each problem, empty when there is none.
  type: list
  elements: str
"""

import typing as t

from ..plugin_utils._hub import engine, hosts
from ..plugin_utils._hub.lookup import HubLookup
from ..plugin_utils._problems import Problems


class LookupModule(HubLookup):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the problems."""
        self.set_options(var_options=variables, direct=kwargs)
        problems = Problems()
        fleet, host = self.fleet(variables or {})
        for kind in terms:
            if kind == "client":
                hosts.client(fleet, host, problems)
                continue
            hosts.server(fleet, host, problems, {})
            problems.found += self._engine_problems(fleet)
            there = self.get_option("found").get(host.name) or {}
            problems.found += hosts.left_out(fleet, str(there.get("users") or ""))
        return list(dict.fromkeys(problems.found))

    def _engine_problems(self, fleet: hosts.Fleet) -> t.List[str]:
        found = self.get_option("found")
        problems: t.List[str] = []
        engines: t.Dict[str, t.Tuple[str, str]] = {}
        for hub in fleet.hubs:
            facts = hub.variables.get("ansible_facts") or {}
            # A host that is not in this run is no matter here.
            if "os_family" not in facts or hub.name not in found:
                continue
            there = found[hub.name]
            wanted = str(hub.value("token_hub_engine"))
            problems += engine.problems(hub.name, wanted, there, facts)
            name = engine.choose(wanted, str(there.get("current") or ""), facts)
            engines[hub.name] = (name, str((there.get("installed") or {}).get(name, "")))
        return problems + engine.mixed(engines)
