#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_session
short_description: End open sessions of a gate
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Ends those of the open sessions that meet all criteria. Of each criterion a session has to meet one value. The
    kernel resets the connections, nginx is not touched, and sessions that are not meant go on.
  - It takes no right away. A client whose token is valid may be back at once, and its new session is left alone. To
    keep it out, remove its token (M(wssgate.nginx.wss_token) with O(wssgate.nginx.wss_token#module:state=absent) and
    O(wssgate.nginx.wss_token#module:disconnect)).
  - The requests of one HTTP/2 connection end together, also those that do not meet the criteria.
  - Sessions over a unix socket cannot be ended.
requirements:
  - ss of iproute2 on the host, and the right to administer the network (C(CAP_NET_ADMIN))
options:
  state:
    description:
      - V(absent) ends the sessions. There is no other state.
    type: str
    choices: [absent]
    default: absent
  all:
    description:
      - End all open sessions. It excludes all criteria. Without it at least one is needed.
    type: bool
    default: false
  unlisted:
    description:
      - End the connections to the gate's ports, too, that the session log does not have
        (RV(wssgate.nginx.wss_session_info#module:unlisted)).
      - Nothing is known of them but the address of the other end, which behind a load balancer is that of the load
        balancer. So it needs O(clients) alone, or O(all).
    type: bool
    default: false
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.tokens
  - wssgate.nginx.token_store
  - wssgate.nginx.sessions
attributes:
  check_mode:
    details: Tells how many sessions would be ended, and ends none.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_session_info
  - module: wssgate.nginx.wss_token
    description: Removes a token, with its sessions. Its clients do not come back.
notes:
  - nginx and the module have to be in the same network namespace.
"""

EXAMPLES = r"""
- name: End what client 42 has open at one location
  wssgate.nginx.wss_session:
    state: absent
    subjects: [client-42]
    locations: [/wss]

- name: End whatever comes from one network
  wssgate.nginx.wss_session:
    state: absent
    clients: [203.0.113.0/24]
    unlisted: true

- name: End all sessions
  wssgate.nginx.wss_session:
    state: absent
    all: true
"""

RETURN = r"""
found:
  description: Number of open sessions that meet the criteria.
  returned: always, unless nothing was looked for
  type: int
  sample: 2
ended:
  description: How many of them were ended, in check mode how many would be.
  returned: always, unless nothing was looked for
  type: int
  sample: 2
remaining:
  description: How many could not be ended. With any the module fails.
  returned: always, unless nothing was looked for
  type: int
  sample: 0
reason:
  description: Why some could not be ended. Empty when none remains.
  returned: always, unless nothing was looked for
  type: str
  sample: ''
ids:
  description: The ids of those that were ended, or would be, the oldest first. At most 1,000.
  returned: always, unless nothing was looked for
  type: list
  elements: str
  sample: [812-4711-1, 813-12-1]
remaining_ids:
  description: The ids of those that could not be ended. At most 1,000.
  returned: always, unless nothing was looked for
  type: list
  elements: str
  sample: []
unlisted:
  description: What became of the connections that the session log does not have.
  returned: when O(unlisted=true)
  type: dict
  contains:
    found:
      description: How many there were.
      type: int
    ended:
      description: How many were ended, in check mode how many would be.
      type: int
    remaining:
      description: How many could not be ended.
      type: int
  sample: {ended: 0, found: 0, remaining: 0}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import attempted, unnamed
from ..module_utils._nginx.gate_files import read_gate_files
from ..module_utils._sessions import criteria
from ..module_utils._sessions.ending import Ended, end_present
from ..module_utils._sessions.listing import end_connections, look, open_subjects, unlisted_of
from ..module_utils._sessions.log import MissingLog, Session
from ..module_utils._sessions.selection import Selection, SelectionError, id_of

# Ansible looks at every string of a result.
IDS_AT_MOST = 1000


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        **criteria.argument_spec(),
        "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        "all": {"type": "bool", "default": False},
        "unlisted": {"type": "bool", "default": False},
    }


def check(params: t.Mapping[str, t.Any]) -> Selection:
    """The selection. Nothing given is no selection of everything."""
    named = criteria.given(params)
    if params["all"] and named:
        raise SelectionError(f"all=true names every session, {named[0]} names some: give one of them")
    if not params["all"] and not named:
        raise SelectionError(f"nothing is asked for: give {', '.join(criteria.OPTIONS)} or all=true")
    if params["unlisted"] and not params["all"] and named != ["clients"]:
        raise SelectionError(
            "unlisted=true needs clients alone, or all=true: of connections that the session log does not have, "
            "nothing is known but the address"
        )
    if not params["session_log"] and not params["unlisted"]:
        raise SelectionError(
            "without a session log (session_log is empty) only connections can be ended that are not listed: "
            "give unlisted=true, with clients or all=true"
        )
    return criteria.selection_of(params)


def end(module: AnsibleModule, selection: Selection, dry: bool) -> t.Tuple[Ended, t.List[Session], t.List[Session]]:
    """End the sessions of a selection; return what became of them, those that were found, and those that remain."""
    params = module.params
    if not params["session_log"]:
        return Ended(), [], []
    with open_subjects(params["path"], required=bool(selection.subjects) and not dry) as subjects:
        try:
            done = end_present(params["session_log"], selection.matcher(subjects), dry)
        except MissingLog:
            # In check mode on a bare host there is none yet.
            if not dry:
                raise
            done = Ended(), [], []
        if subjects.problem():
            module.warn(subjects.problem())
    return done


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    params, dry = module.params, module.check_mode
    selection = check(params)
    connections = []
    if params["unlisted"]:
        # Before the sessions are ended: a client that comes back after that is left alone.
        gate = read_gate_files(params["nginx_directory"])
        connections = unlisted_of(look(params["session_log"], gate.ports, missing_ok=dry), selection.networks())
    ended, found, left = end(module, selection, dry)
    remaining = {session.key for session in left}
    gone = [session for session in found if session.key not in remaining]
    # A dry run ends none, and none remains.
    result: t.Dict[str, t.Any] = {
        **ended.as_dict(),
        "reason": ended.reason if ended.remaining else "",
        "ids": _ids(gone),
        "remaining_ids": _ids(left if ended.remaining else ()),
    }
    if params["unlisted"]:
        others = end_connections(connections, dry)
        result["unlisted"] = others.as_dict()
        result["reason"] = result["reason"] or others.reason
    result["changed"] = bool(result["ended"] or (params["unlisted"] and result["unlisted"]["ended"]))
    return result


def _ids(sessions: t.Iterable[Session]) -> t.List[str]:
    return [id_of(session) for session in sorted(sessions, key=lambda session: session.started_at)][:IDS_AT_MOST]


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result, failure = attempted(lambda: run(module), unnamed)
    if failure is not None:
        module.fail_json(msg=failure)
    remaining = result["remaining"] + result.get("unlisted", {}).get("remaining", 0)
    if remaining:
        words = "1 session" if remaining == 1 else f"{remaining} sessions"
        module.fail_json(msg=f"{words} could not be ended: {result['reason']}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
