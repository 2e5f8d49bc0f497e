# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hub_server
short_description: What role token_hub renders on this host
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Reads the variables of role C(token_hub), the groups C(wss_hubs) and C(wss_proxies), and what their hosts have told
    in this run.
  - Fails with one sentence for each mistake. It holds hashes of passwords and those that were given; keep it out of
    output.
options:
  _terms:
    description: None.
    type: list
    elements: str
    default: []
  current:
    description: The engine that the hub of this host runs, empty for none.
    type: str
    default: ''
  users:
    description: The file of users that is there.
    type: str
    default: ''
  primary:
    description: Host of the hub that is the primary now, empty for the first.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Show the port of the hub
  ansible.builtin.debug:
    msg: "{{ lookup('wssgate.nginx.hub_server').port }}"
"""

RETURN = r"""
_raw:
  description: The model that the templates of role C(token_hub) render.
  type: dict
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
        """Return the one model."""
        self.set_options(var_options=variables, direct=kwargs)
        problems = Problems()
        fleet, host = self.fleet(variables or {})
        facts = (variables or {}).get("ansible_facts") or {}
        name = engine.choose(str(host.value("token_hub_engine")), self.get_option("current"), facts)
        model = hosts.server(
            fleet,
            host,
            problems,
            engine.details(name, facts),
            self.get_option("users"),
            self.get_option("primary"),
        )
        self.check(problems)
        return [model]
