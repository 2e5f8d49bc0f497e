#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_balancer_gate
short_description: Have HAProxy send no new sessions to a gate, or leave that to its checks
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - HAProxy finds by its next check that a gate is drained. Clients that come before would be refused by it. This module
    closes the gap, together with M(wssgate.nginx.wss_drain).
  - Open sessions go on. What is set here is forgotten by HAProxy's next reload.
options:
  haproxy_socket:
    description: HAProxy's stats socket.
    type: path
    required: true
  gate:
    description: Name of the gate, as HAProxy has it.
    type: str
    required: true
  state:
    description:
      - V(out) has no new session sent to the gate, in all services where it is in rotation now. RV(services) names
        them.
      - V(refusing) waits until a check has found that the gate refuses handshakes (503), and leaves it to the checks
        then.
      - V(checked) leaves it to the checks at once.
      - V(up) leaves it to the checks and waits until it gets new sessions.
      - V(ready) leaves it to the checks in all services where an order keeps new sessions from it, whoever gave that. A
        run that was killed in between leaves one behind. RV(services) names them.
    type: str
    choices: [out, refusing, checked, up, ready]
    required: true
  services:
    description: Services that this is about, as O(state=out) returned them. Not needed there and with O(state=ready).
    type: list
    elements: str
    default: []
  grace:
    description: Seconds that O(state=out) waits afterwards for handshakes that are under way.
    type: float
    default: 2
  timeout:
    description: Seconds to wait. The task fails where O(state=up) is not reached within them.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
    support: full
    details: Waits for nothing then.
  diff_mode:
    description: Has nothing to show.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
    details: Linux.
seealso:
  - module: wssgate.nginx.wss_balancer_info
  - module: wssgate.nginx.wss_drain
"""

EXAMPLES = r"""
- name: Have nobody sent to the gate
  wssgate.nginx.wss_balancer_gate:
    haproxy_socket: /run/haproxy/wssgate.sock
    gate: gate1
    state: out
  register: gate1_out

- name: Leave it to the checks, which have seen by now that it is drained
  wssgate.nginx.wss_balancer_gate:
    haproxy_socket: /run/haproxy/wssgate.sock
    gate: gate1
    state: refusing
    services: "{{ gate1_out.services }}"
"""

RETURN = r"""
services:
  description: The services that this was about. Empty where HAProxy does not answer.
  returned: success
  type: list
  elements: str
  sample: [wcs]
reached:
  description: Whether what was waited for came to be.
  returned: success
  type: bool
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._balancer import rotation, stats
from ..module_utils._balancer.error import BalancerError
from ..module_utils._host.error import HostError


def done(given: t.Mapping[str, t.Any], check: bool) -> t.Dict[str, t.Any]:
    """Do it and return what the module returns."""
    socket, gate, state = given["haproxy_socket"], given["gate"], given["state"]
    if not stats.info(socket):
        return {"changed": False, "services": [], "reached": False}
    if state == "out":
        services = rotation.take_out(socket, gate, check, given["grace"])
        return {"changed": bool(services), "services": services, "reached": True}
    if state == "ready":
        services = rotation.release(socket, gate, check)
        return {"changed": bool(services), "services": services, "reached": True}
    services = list(given["services"])
    if check or not services:
        return {"changed": bool(services), "services": services, "reached": True}
    reached = rotation.leave_to_checks(socket, gate, services, state == "refusing", given["timeout"])
    if state == "up":
        missing = rotation.await_up(socket, gate, services, given["timeout"])
        if missing:
            raise BalancerError(
                f"HAProxy sends no new sessions to {gate} after {given['timeout']:g} seconds, in {', '.join(missing)}: "
                "playbook check tells why"
            )
    return {"changed": True, "services": services, "reached": reached}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "haproxy_socket": {"type": "path", "required": True},
            "gate": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["out", "refusing", "checked", "up", "ready"], "required": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "grace": {"type": "float", "default": 2},
            "timeout": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    try:
        result = done(module.params, module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['haproxy_socket']}: {os.strerror(error.errno or 0)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
