#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_drain
short_description: Take a gate out of service and put it back
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - While the drain file is there, the gate refuses every handshake with 503 and leaves open sessions open.
  - With O(rate) the agent of the gate (role R(wssgate.nginx.token_store,
    ansible_collections.wssgate.nginx.token_store_role)) ends them besides, so many a second. It goes on by itself, over
    its own restarts too, until none is left, the file is removed, or 23 hours are over.
  - The module does not wait. M(wssgate.nginx.wss_order_info) tells how far it is.
options:
  path:
    description:
      - Absolute path of the drain file, as the gate was told it (C(wss_proxy_drain_path)).
      - A file that is there is left as it is.
    type: path
    default: /etc/nginx/wssgate.drain
  state:
    description:
      - V(present) refuses new sessions.
      - V(absent) accepts them again. No further session is ended, at once.
    type: str
    choices: [present, absent]
    default: present
  rate:
    description:
      - How many connections to end a second, from 0.1 to 100,000. V(0) ends none, and takes back what an earlier call
        has ordered.
      - All of nginx's clients are ended that are connected when it begins, in random order, those that the session log
        does not know too.
    type: float
    default: 0
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
  - module: wssgate.nginx.wss_rebalance
"""

EXAMPLES = r"""
- name: Refuse new sessions, and end fifty of the open ones a second
  wssgate.nginx.wss_drain:
    rate: 50
  register: drain

- name: Wait for ten minutes until all have gone
  wssgate.nginx.wss_order_info:
    order: "{{ drain.order }}"
    wait: 600
  when: drain.order is not none

- name: Take the host back into service
  wssgate.nginx.wss_drain:
    state: absent
"""

RETURN = r"""
connections:
  description: How many clients nginx was connected with when the module looked. V(0) where no nginx runs.
  returned: when O(state=present)
  type: int
  sample: 5000
order:
  description:
    - What the agent was ordered, for O(wssgate.nginx.wss_order_info#module:order). None without O(rate), in check mode,
      and where no client is connected.
  returned: when O(state=present)
  type: dict
  contains:
    id:
      description: Name of the order.
      type: str
    run:
      description: Tells it apart from earlier ones of that name.
      type: str
  sample: {id: drain, run: 8c5b0e6b1f2a4d77}
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent import orders
from ..module_utils._agent.causes import DRAINED
from ..module_utils._agent.install import HOMES
from ..module_utils._agent.orders import Order, OrderError, identity_of
from ..module_utils._host import files
from ..module_utils._host.error import HostError
from ..module_utils._nginx.connections import Clients
from ..module_utils._nginx.info import clients_of
from ..module_utils._sessions.selection import Selection

NAME = "drain"
TEXT = b"Drained by wssgate.nginx: new sessions are refused while this file is here. Playbook undrain removes it.\n"
# What the agent's unit does not let it see
HIDDEN = (*HOMES, "/tmp", "/var/tmp")
NO_AGENT = (
    "no agent of the gate is at work here, and nothing else ends sessions at a pace: have token_store_pruner: agent "
    "(which takes systemd) and run wssgate.nginx.site, or leave the rate out and wait for the sessions to end"
)


def check(path: str, rate: float) -> None:
    """Refuse what could not be done, before anything is."""
    orders.check_path("path", path)
    # As well what is no number
    if not (rate == 0 or 0.1 <= rate <= orders.RATE_AT_MOST):
        raise OrderError(f"rate is {rate:g}: it has to be 0, or from 0.1 to {orders.RATE_AT_MOST:g}")
    if not rate:
        return
    if any(path.startswith(folder + "/") for folder in HIDDEN):
        raise OrderError(
            f"the agent of the gate cannot see {path}: have the drain file (wss_proxy_drain_path) outside of "
            f"{', '.join(HIDDEN)}"
        )
    if not orders.has_agent(orders.STATE):
        raise OrderError(NO_AGENT)


def under_way(path: str, rate: float) -> t.Optional[Order]:
    """The order that is given already, if it is the one that is wanted."""
    order = orders.placed(orders.STATE, NAME)
    if order is None or order.rate != rate or order.while_path != path or order.while_file != identity_of(path):
        return None
    found = orders.result(orders.STATE, order.id, order.run)
    return None if found is not None and found.is_over else order


def drain(params: t.Mapping[str, t.Any], check_mode: bool) -> t.Dict[str, t.Any]:
    """Refuse new sessions, and have the open ones ended where that is asked for. Both, or none of it."""
    path = params["path"]
    check(path, params["rate"])
    is_new = identity_of(path) is None
    if is_new and not check_mode:
        files.write(path, TEXT)
    try:
        return drained(params, check_mode, is_new)
    except (HostError, OSError):
        # Who called learns of a failure, and leaves the gate to what it does now.
        if is_new and not check_mode:
            files.remove(path)
        raise


def drained(params: t.Mapping[str, t.Any], check_mode: bool, changed: bool) -> t.Dict[str, t.Any]:
    """Order the ends of sessions, with the file in place."""
    path, rate = params["path"], params["rate"]
    # Who came before that is counted.
    found = clients_of(params["binary"], params["main_file"], params["pid_file"]) or Clients(0)
    order: t.Optional[Order] = None
    if not rate:
        if check_mode:
            changed = changed or NAME in orders.names(orders.STATE)
        else:
            changed = orders.withdraw(orders.STATE, NAME) or changed
    elif found.number:
        order = under_way(path, rate)
        changed = changed or order is None
        if order is None and not check_mode:
            order = orders.place(
                orders.STATE,
                Order(
                    NAME,
                    Selection(),
                    expires=time.time() + orders.LIFE,
                    rate=rate,
                    cause=DRAINED,
                    ports=tuple(sorted(found.ports)),
                    while_path=path,
                    while_file=identity_of(path),
                ),
            )
    told = None if order is None else {"id": order.id, "run": order.run}
    return {"changed": changed, "connections": found.number, "order": told}


def undrain(path: str, check_mode: bool) -> t.Dict[str, t.Any]:
    """Accept new sessions again."""
    # nginx heeds a link to a file as well. The link goes, and what it points to stays.
    is_link = os.path.islink(path)
    is_there = is_link or files.check(path)
    if not check_mode and is_there:
        # The agent ends nothing more from that moment.
        (os.unlink if is_link else files.remove)(path)
    return {"changed": is_there}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/nginx/wssgate.drain"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "rate": {"type": "float", "default": 0},
            "binary": {"type": "path", "default": "/usr/sbin/nginx"},
            "main_file": {"type": "path", "default": "/etc/nginx/nginx.conf"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
        },
        supports_check_mode=True,
    )
    try:
        if module.params["state"] == "absent":
            orders.check_path("path", module.params["path"])
            result = undrain(module.params["path"], module.check_mode)
        else:
            result = drain(module.params, module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['path']}: {os.strerror(error.errno or 0)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
