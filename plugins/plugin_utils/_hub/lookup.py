# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hubs and gates of a play's inventory, for lookups."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from .._problems import Problems
from .hosts import GROUP, MONITORED, Fleet, Host


class HubLookup(LookupBase):
    """A lookup about the hub."""

    def fleet(self, variables: t.Mapping[str, t.Any]) -> t.Tuple[Fleet, Host]:
        """The fleet, and this host of it."""
        hostvars = variables.get("hostvars", {})
        # A host's own variables as the play has them now: what its tasks have set is among them.
        this = Host(str(variables.get("inventory_hostname", "")), self._own(variables))

        def hosts(names: t.Iterable[t.Any]) -> t.List[Host]:
            return [this if str(name) == this.name else Host(str(name), hostvars[str(name)]) for name in names]

        hubs = variables.get("groups", {}).get(GROUP, [])
        pattern = str(self._templar.template(variables.get("wssgate_hosts", "wss_proxies")))
        inventory = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        # Without a play, as ansible-lint templates tasks, there are no groups.
        gates = inventory.run([pattern], variables={"groups": {}, **variables})
        others = [name for name in variables.get("groups", {}).get("wss_proxies", []) if name not in gates]
        return Fleet(hosts(hubs), hosts(gates), hosts(others)), this

    def _own(self, variables: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
        names = ("token_store_hub", "ansible_host", "token_hub_hashes", "ansible_facts", MONITORED)
        return {
            name: self._templar.template(value)
            for name, value in variables.items()
            if name in names or name.startswith("token_hub_")
        }

    @staticmethod
    def check(problems: Problems) -> None:
        """Fail with all that is wrong."""
        if problems.found:
            raise AnsibleLookupError("; ".join(dict.fromkeys(problems.found)))
