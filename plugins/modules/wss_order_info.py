#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_order_info
short_description: Tell how far the agent of a gate is with ending sessions
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Looks what has become of an order that M(wssgate.nginx.wss_drain) or M(wssgate.nginx.wss_rebalance) gave.
  - With O(wait) it comes back when the order is over or the time is, and says on standard error meanwhile how many are
    left.
options:
  order:
    description: The order, as the other module returned it.
    type: dict
    required: true
    suboptions:
      id:
        description: Name of the order.
        type: str
        required: true
      run:
        description: Tells it apart from earlier ones of that name.
        type: str
        required: true
  wait:
    description: How many seconds to wait until the order is over. In check mode nothing is waited for.
    type: float
    default: 0
  interval:
    description: Seconds between two looks while it waits, at least 0.5.
    type: float
    default: 5
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.waiting
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_drain
  - module: wssgate.nginx.wss_rebalance
"""

EXAMPLES = r"""
- name: End every fourth session, twenty a second
  wssgate.nginx.wss_rebalance:
    share: 25
    rate: 20
  register: rebalance

- name: Wait until they have gone
  wssgate.nginx.wss_order_info:
    order: "{{ rebalance.order }}"
    wait: 600
  when: rebalance.order is not none
"""

RETURN = r"""
state:
  description:
    - V(waiting) before the agent has seen the order, V(working) while it is at it, V(done) when all have gone.
    - V(void) when it was taken back, replaced by another one, or the host is drained no more.
    - V(expired) when its time was over before all had gone.
  returned: success
  type: str
  sample: working
found:
  description: How many connections it is about.
  returned: success
  type: int
  sample: 5000
ended:
  description: How many of them have gone by now.
  returned: success
  type: int
  sample: 3766
remaining:
  description: How many of them are still there.
  returned: success
  type: int
  sample: 1234
reason:
  description: What else there is to say, such as why it is over. Often empty.
  returned: success
  type: str
  sample: ""
agent_running:
  description: Whether an agent is at work. Without one nothing is ended.
  returned: success
  type: bool
  sample: true
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent import orders
from ..module_utils._agent.orders import VOID, OrderError, Result

WAITING = "waiting"


def look(name: str, run: str) -> t.Dict[str, t.Any]:
    """What has become of an order."""
    found = orders.result(orders.STATE, name, run)
    if found is None:
        order = orders.placed(orders.STATE, name)
        is_there = order is not None and order.run == run
        # Between the two looks it may have been taken up.
        found = orders.result(orders.STATE, name, run) or Result(
            run, state=WAITING if is_there else VOID, reason="" if is_there else "there is no such order any more"
        )
    return {
        "state": found.state,
        "found": found.found,
        "ended": found.ended,
        "remaining": found.remaining,
        "reason": found.reason,
        "agent_running": orders.has_agent(orders.STATE),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "order": {
                "type": "dict",
                "required": True,
                "options": {"id": {"type": "str", "required": True}, "run": {"type": "str", "required": True}},
            },
            # The action plugin does the waiting.
            "wait": {"type": "float", "default": 0},
            "interval": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    if not module.params["wait"] >= 0 or not module.params["interval"] >= 0.5:
        module.fail_json(msg="wait has to be 0 or more, and interval 0.5 or more")
    order = module.params["order"]
    try:
        orders.check_name(order["id"], order["run"])
    except OrderError as error:
        module.fail_json(msg=f"order: {error}")
    module.exit_json(changed=False, **look(order["id"], order["run"]))


if __name__ == "__main__":
    main()
