# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: gate_hosts
short_description: The hosts of a play, or an error when there are none
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the pattern that it is given, for C(hosts) of a play. Fails when no host of the inventory matches it, or
    none is left of them by C(--limit). Ansible itself skips such a play and reports success.
  - Does not fail when Ansible only lists hosts, tasks or tags, or checks the syntax.
options:
  _terms:
    description: One pattern of hosts.
    type: list
    elements: str
    required: true
  others:
    description: A group whose hosts have a part in the run as well, so that C(--limit) may leave them alone.
    type: str
    default: ''
    version_added: 1.1.0
  required:
    description: Fail when no host matches.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Do something on the gates
  hosts: "{{ query('wssgate.nginx.gate_hosts', wssgate_hosts | default('wss_proxies')) }}"
  tasks: []
"""

RETURN = r"""
_list:
  description: The pattern.
  type: list
  elements: str
"""

import typing as t

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.module_utils.common.validation import check_type_bool
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ..plugin_utils import _preload


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the pattern, if it matches a host."""
        _preload.load()
        required = check_type_bool(kwargs.get("required", True))
        patterns = [str(term) for term in terms]
        if not required or any(context.CLIARGS.get(key) for key in ("syntax", "listhosts", "listtasks", "listtags")):
            return patterns
        pattern = ":".join(patterns)
        hosts = self._hosts(patterns, variables or {})
        if not hosts:
            raise AnsibleLookupError(
                f"No host of the inventory matches {pattern!r}, so nothing would be done. Put the hosts that are to "
                "have a gate into "
                "the group wss_proxies, or name a group or a pattern of yours in wssgate_hosts"
            )
        others = (variables or {}).get("groups", {}).get(str(kwargs.get("others") or ""), [])
        limit = str(context.CLIARGS.get("subset") or "")
        if (
            limit
            and not limit.startswith("@")
            and not {*hosts, *others}.intersection(self._hosts([limit], variables or {}))
        ):
            raise AnsibleLookupError(
                f"--limit {limit} leaves none of the hosts that match {pattern!r} ({', '.join(hosts[:10])}), so "
                "nothing would be done. "
                "Limit the run to some of these, or put the host into the group wss_proxies"
            )
        return patterns

    def _hosts(self, patterns: t.List[str], variables: t.Dict[str, t.Any]) -> t.List[str]:
        inventory = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return [str(host) for host in inventory.run(patterns, variables=variables)]
