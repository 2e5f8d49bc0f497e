# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: scrape_jobs
short_description: What Prometheus scrapes of the inventory's hosts
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the jobs of Prometheus for the gates of group C(wss_proxies) (or of C(wssgate_hosts)) that have
    C(monitoring_enabled), and for the hosts of C(wss_balancers) and C(wss_hubs) that have this or
    C(monitoring_scrape_exporter_port). Jobs without a target are left out.
  - Reads variables alone, and connects to no host.
options:
  _terms:
    description: None.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show what would be scraped
  ansible.builtin.debug:
    msg: "{{ query('wssgate.nginx.scrape_jobs') }}"
"""

RETURN = r"""
_list:
  description:
    - Jobs, dictionaries with C(name), C(path) and C(targets). A target has C(instance), the name of the host in the
      inventory, and C(address), its name or IP address with the port.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ..plugin_utils import _scrape
from ..plugin_utils._balancer.hosts import GATES


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: t.List[t.Any], variables: t.Optional[t.Dict[str, t.Any]] = None, **kwargs: t.Any
    ) -> t.List[t.Any]:
        """Return the jobs."""
        found = variables or {}
        groups = found.get("groups") or {}
        pattern = str(self._templar.template(found.get("wssgate_hosts") or GATES))
        try:
            return _scrape.jobs(
                self._hosts(self._matching(pattern, groups, found), found),
                {group: self._hosts(groups.get(group, []), found) for group in _scrape.GROUPS},
            )
        except _scrape.ScrapeError as error:
            raise AnsibleLookupError(str(error)) from error

    def _matching(self, pattern: str, groups: t.Mapping[str, t.Any], variables: t.Dict[str, t.Any]) -> t.List[str]:
        if pattern == GATES:
            # Ansible warns of a group that is not there.
            return list(groups.get(GATES, []))
        inventory = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return [str(host) for host in inventory.run([pattern], variables=variables)]

    @staticmethod
    def _hosts(names: t.Iterable[str], variables: t.Mapping[str, t.Any]) -> t.List[_scrape.Host]:
        found: t.List[_scrape.Host] = []
        for host in names:
            theirs = variables["hostvars"][host]
            own: t.Dict[str, t.Any] = {}
            for name in _scrape.VARIABLES:
                try:
                    own[name] = theirs[name]
                except KeyError:
                    continue
                except AnsibleError as error:
                    raise AnsibleLookupError(f"{name} of {host} cannot be worked out: {error}") from error
            found.append((host, own))
        return found
