# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: balancer_hosts
short_description: The gates and the balancers of the inventory, as role balancer needs them
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the hosts of the groups C(wss_balancers) and C(wss_proxies) (or of C(wssgate_hosts)) with their addresses,
    and with the servers of each gate.
  - The address of a host is C(balancer_address) of a balancer and C(balancer_gate_address) of a gate; else
    C(ansible_host), or the host's name, where it is an IP address and not the loopback's; else that of the host's
    default route, where its facts are known. Empty where none of these is known.
options:
  _terms:
    description:
      - V(balancers), V(gates) or V(authorities), which are the files of the controller that O(services) name.
      - V(sources) are the addresses of the balancers alone, and the name of one whose address is not known.
    type: list
    elements: str
    required: true
  services:
    description: The services, for V(authorities).
    type: raw
    default: []
"""

EXAMPLES = r"""
- name: Show where the balancers come from
  ansible.builtin.debug:
    msg: "{{ query('wssgate.nginx.balancer_hosts', 'sources') }}"
"""

RETURN = r"""
_list:
  description:
    - The hosts of one term, dictionaries with C(name) and C(address), and C(weight) and C(servers) of a gate.
    - For V(authorities), one dictionary of files with their content or what is wrong with them.
  type: list
  elements: raw
"""

import os
import typing as t

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ..plugin_utils._balancer.hosts import BALANCERS, GATES, address_of, plain_address
from ..plugin_utils._certificates.reading import UnreadableError
from ..plugin_utils._controller_file import controller_file_reader

Variables = t.Mapping[str, t.Any]
# What the same run would bring, but not before the balancers are checked.
FETCHED_LATER = (
    ". A run brings it from the gates, once they have the authority: run playbook site with --limit '!wss_balancers' "
    "first"
)
ADDRESS_VARIABLES = ("ansible_host", "ansible_facts", "balancer_address", "balancer_gate_address")


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return what the one term stands for."""
        self.set_options(var_options=variables, direct=kwargs)
        found = variables or {}
        kinds: t.Dict[str, t.Callable[[Variables], t.List[t.Any]]] = {
            "balancers": self._balancers,
            "gates": self._gates,
            "authorities": self._authorities,
            "sources": self._sources,
        }
        if len(terms) != 1 or terms[0] not in kinds:
            raise AnsibleLookupError(f"balancer_hosts takes one term of {', '.join(kinds)}")
        return kinds[terms[0]](found)

    def _balancers(self, variables: Variables) -> t.List[t.Dict[str, t.Any]]:
        return [
            {
                "name": host,
                "address": address_of(host, self._of(host, variables, *ADDRESS_VARIABLES), "balancer_address"),
            }
            for host in (variables.get("groups") or {}).get(BALANCERS, [])
        ]

    def _sources(self, variables: Variables) -> t.List[str]:
        return [plain_address(host["address"]) or host["name"] for host in self._balancers(variables)]

    def _gates(self, variables: Variables) -> t.List[t.Dict[str, t.Any]]:
        found = []
        for host in self._hosts(str(self._templar.template(variables.get("wssgate_hosts") or GATES)), variables):
            own = self._of(host, variables, *ADDRESS_VARIABLES, "balancer_gate_weight", "wss_proxy_servers")
            servers = own.get("wss_proxy_servers") or []
            found.append(
                {
                    "name": host,
                    "address": address_of(host, own, "balancer_gate_address"),
                    "weight": own.get("balancer_gate_weight", 100),
                    "servers": servers if isinstance(servers, (list, tuple)) else [],
                }
            )
        return found

    def _hosts(self, pattern: str, variables: Variables) -> t.List[str]:
        if pattern == GATES:
            # Ansible warns of a group that is not there.
            return list((variables.get("groups") or {}).get(GATES, []))
        inventory = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return [str(host) for host in inventory.run([pattern], variables=variables)]

    @staticmethod
    def _of(host: str, variables: Variables, *names: str) -> t.Dict[str, t.Any]:
        theirs = variables["hostvars"][host]
        found = {}
        for name in names:
            try:
                found[name] = theirs[name]
            except KeyError:
                continue
            except AnsibleError as error:
                raise AnsibleLookupError(f"{name} of {host} cannot be worked out: {error}") from error
        return found

    def _authorities(self, variables: Variables) -> t.List[t.Dict[str, t.Dict[str, str]]]:
        read = controller_file_reader(self, dict(variables))
        services = self.get_option("services")
        found: t.Dict[str, t.Dict[str, str]] = {}
        for service in services if isinstance(services, (list, tuple)) else []:
            source = service.get("ca_source") if isinstance(service, t.Mapping) else None
            if source:
                try:
                    found[str(source)] = {"content": read(str(source))}
                except UnreadableError as error:
                    hint = FETCHED_LATER if self._is_fetched(str(source), variables) else ""
                    found[str(source)] = {"problem": f"{error}{hint}"}
        return [found]

    def _is_fetched(self, source: str, variables: Variables) -> bool:
        """Whether role certificates brings this file from a gate once the gate has the authority."""
        names = ("certificates_authorities", "certificates_authorities_fetch_directory")
        for gate in self._hosts(str(self._templar.template(variables.get("wssgate_hosts") or GATES)), variables):
            own = self._of(gate, variables, *names)
            authorities, folder = own.get(names[0]), own.get(names[1])
            for authority in authorities if folder and isinstance(authorities, (list, tuple)) else []:
                name = authority.get("name") if isinstance(authority, t.Mapping) else None
                if os.path.normpath(source) == os.path.normpath(os.path.join(str(folder), f"{name}.pem")):
                    return True
        return False
