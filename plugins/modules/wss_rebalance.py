#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_rebalance
short_description: Shed a share of a gate's sessions, so that a load balancer spreads them anew
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Has the agent of the gate (role R(wssgate.nginx.token_store,
    ansible_collections.wssgate.nginx.token_store_role)) end a share of the open sessions, so many a second. Their
    clients connect again, and the balancer in front sends some of them to other gates.
  - Which sessions these are is left to chance. Those that begin after the call are spared.
  - Only sessions that the session log knows are ended.
  - A host that is being drained is left alone, since it is to have no sessions anyway.
  - The module does not wait. M(wssgate.nginx.wss_order_info) tells how far it is.
options:
  share:
    description: How many percent of the sessions to end, more than 0 and at most 100.
    type: float
    required: true
  rate:
    description: How many of them to end a second, from 0.1 to 100,000; V(0) ends them all at once.
    type: float
    default: 20
  session_log:
    description: Absolute path of the session log.
    type: path
    default: /var/log/nginx/wssgate/sessions.log
  drain_path:
    description: Absolute path of the drain file (C(wss_proxy_drain_path)). An empty text stands for none.
    type: str
    default: /etc/nginx/wssgate.drain
  main_file:
    description: Absolute path of nginx's main file; only a master that runs it is looked for.
    type: path
    default: /etc/nginx/nginx.conf
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.nginx
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_order_info
  - module: wssgate.nginx.wss_drain
"""

EXAMPLES = r"""
- name: End every fourth session, twenty a second
  wssgate.nginx.wss_rebalance:
    share: 25
    rate: 20
"""

RETURN = r"""
drained:
  description: Whether the host is being drained. Then nothing is done.
  returned: success
  type: bool
  sample: false
sessions:
  description: How many open sessions the session log knows that can be ended. V(0) on a drained host.
  returned: success
  type: int
  sample: 4000
chosen:
  description: How many of them are to end. The agent draws from those that are open when it begins.
  returned: success
  type: int
  sample: 1000
unseen:
  description: How many other clients nginx is connected with. They are left alone.
  returned: success
  type: int
  sample: 12
order:
  description:
    - What the agent was ordered, for O(wssgate.nginx.wss_order_info#module:order). None in check mode, and where no
      session is to end.
  returned: success
  type: dict
  contains:
    id:
      description: Name of the order.
      type: str
    run:
      description: Tells it apart from others.
      type: str
  sample: {id: rebalance-5e0c41f6, run: 8c5b0e6b1f2a4d77}
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent import orders
from ..module_utils._agent.orders import Order, OrderError, identity_of
from ..module_utils._host.error import HostError
from ..module_utils._nginx.connections import Clients
from ..module_utils._nginx.info import clients_of
from ..module_utils._sessions.ending import open_sessions
from ..module_utils._sessions.selection import Selection

PREFIX = "rebalance-"


def check(share: float, rate: float) -> None:
    """Refuse what could not be done."""
    if not 0 < share <= 100:
        raise OrderError(f"share is {share:g}: it has to be more than 0 and at most 100 percent")
    if not (rate == 0 or 0.1 <= rate <= orders.RATE_AT_MOST):
        raise OrderError(f"rate is {rate:g}: it has to be 0, or from 0.1 to {orders.RATE_AT_MOST:g}")
    if not orders.has_agent(orders.STATE):
        raise OrderError(
            "no agent of the gate is at work here, and nothing else sheds sessions: have token_store_pruner: agent "
            "(which takes systemd) and run wssgate.nginx.site"
        )
    for name in orders.names(orders.STATE):
        if name.startswith(PREFIX):
            raise OrderError(f"the order {name} is still under way here: wait until it is over")


def rebalance(params: t.Mapping[str, t.Any], check_mode: bool) -> t.Dict[str, t.Any]:
    """Have a share of the sessions ended."""
    result: t.Dict[str, t.Any] = {
        "changed": False, "drained": False, "sessions": 0, "chosen": 0, "unseen": 0, "order": None
    }  # fmt: skip
    if params["drain_path"] and identity_of(params["drain_path"]) is not None:
        return {**result, "drained": True}
    check(params["share"], params["rate"])
    now = time.time()
    sessions = [session for session in open_sessions(params["session_log"]) if session.pair is not None]
    clients = clients_of(params["binary"], params["main_file"], params["pid_file"]) or Clients(0)
    chosen = orders.share_of(len(sessions), params["share"])
    order: t.Optional[Order] = None
    if chosen and not check_mode:
        name = PREFIX + os.urandom(4).hex()
        order = orders.place(
            orders.STATE,
            Order(name, Selection(until=now), expires=now + orders.LIFE, rate=params["rate"], share=params["share"]),
        )
    return {
        **result,
        "changed": chosen > 0,
        "sessions": len(sessions),
        "chosen": chosen,
        "unseen": max(0, clients.number - len({session.pair for session in sessions})),
        "order": None if order is None else {"id": order.id, "run": order.run},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "share": {"type": "float", "required": True},
            "rate": {"type": "float", "default": 20},
            "session_log": {"type": "path", "default": "/var/log/nginx/wssgate/sessions.log"},
            "drain_path": {"type": "str", "default": "/etc/nginx/wssgate.drain"},
            "binary": {"type": "path", "default": "/usr/sbin/nginx"},
            "main_file": {"type": "path", "default": "/etc/nginx/nginx.conf"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
        },
        supports_check_mode=True,
    )
    try:
        result = rebalance(module.params, module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the sessions'}: {os.strerror(error.errno or 0)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
