#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_hub_gate_info
short_description: Tell how far gates are with the hub
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns what each gate has reported to the hub, without asking the gates. Runs on any host that reaches the hub,
    such as the controller. It needs nothing but Python.
options:
  gates:
    description: Names of the gates in the hub.
    type: list
    elements: str
    required: true
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.hub
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_hub_token
  - module: wssgate.nginx.wss_hub_info
"""

EXAMPLES = r"""
- name: Look which gates follow the hub
  wssgate.nginx.wss_hub_gate_info:
    server: {host: hub.example.com, port: 6379}
    password_path: /etc/wssgate/operator
    gates: [gate-a, gate-b]
  register: reported
  delegate_to: localhost
"""

RETURN = r"""
gates:
  description: The gates.
  returned: success
  type: list
  elements: dict
  contains:
    gate:
      description: Name of the gate.
      type: str
    silent:
      description: Seconds since its last report by the hub's clock, of which it makes one every 5 seconds. None where
        there is none.
      type: float
    is_level:
      description: Whether it has done all that operators have issued and revoked.
      type: bool
  sample: [{gate: gate-b, silent: 61.2, is_level: false}]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError
from ..module_utils._hub.client import reach
from ..module_utils._hub.operating import Operator
from ..module_utils._hub.parameters import connection_spec, settings_of


def argument_spec() -> t.Dict[str, t.Any]:
    return {**connection_spec(), "gates": {"type": "list", "elements": "str", "required": True}}


def run(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Ask the hub."""
    settings = settings_of(params)
    primary = reach(settings, params["password"] or "")
    try:
        found = Operator(primary.wire, settings.fleet).gates(params["gates"])
    finally:
        primary.wire.close()
    return {"gates": [one._asdict() for one in found]}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result: t.Dict[str, t.Any] = {}
    try:
        result = run(module.params)
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
