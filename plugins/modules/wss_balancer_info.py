#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_balancer_info
short_description: Look at a balancer
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Asks HAProxy by its stats socket which gates get new sessions, and the system which of the addresses that move
    between balancers this host has.
options:
  haproxy_socket:
    description: HAProxy's stats socket.
    type: path
    required: true
  addresses:
    description: Addresses that move between balancers.
    type: list
    elements: str
    default: []
  keepalived_service:
    description: Service of keepalived.
    type: str
    default: keepalived
  check_delay:
    description:
      - Seconds to wait first, within which each gate is checked once more, and then until no check is under way, 15
        seconds at most. A fifth more than C(balancer_check_interval) will do. Nothing is waited for where HAProxy does
        not answer.
    type: float
    default: 0
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
    details: Linux.
seealso:
  - module: wssgate.nginx.wss_balancer_config
"""

EXAMPLES = r"""
- name: Look at the balancer
  wssgate.nginx.wss_balancer_info:
    haproxy_socket: /run/haproxy/wssgate.sock
    addresses: [192.0.2.10]
  register: balancer
"""

RETURN = r"""
haproxy:
  description: HAProxy.
  returned: success
  type: dict
  contains:
    running:
      description: Whether it answers.
      type: bool
    version:
      description: Its version.
      type: str
      sample: 2.6.12-1+deb12u4
    sessions:
      description: How many clients are connected.
      type: int
    max_connections:
      description: How many it takes at a time.
      type: int
    services:
      description: Its services, each with C(name), C(sessions) and C(gates).
      type: list
      elements: dict
      sample:
        - name: wcs
          sessions: 12
          gates:
            - {name: gate1, state: up, status: UP, check: L7OK/403, checking: false, sessions: 12, weight: 100}
keepalived:
  description: keepalived.
  returned: success
  type: dict
  contains:
    running:
      description: Whether it runs, where there are addresses.
      type: bool
    addresses:
      description: The addresses, each with C(held), which is whether this host has it.
      type: list
      elements: dict
      sample:
        - {address: 192.0.2.10, held: true}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._balancer import state
from ..module_utils._host.error import HostError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "haproxy_socket": {"type": "path", "required": True},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "keepalived_service": {"type": "str", "default": "keepalived"},
            "check_delay": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        state.await_checks(given["haproxy_socket"], given["check_delay"])
        found = state.look(given["haproxy_socket"], given["addresses"], given["keepalived_service"])
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{given['haproxy_socket']}: {os.strerror(error.errno or 0)}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
