#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_revocation
short_description: Take signed tokens back
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Takes signed tokens (JWT) back before they expire, one by its C(jti) or all of a subject that were issued before a
    time. The gate refuses them from then on, without a reload, and their open sessions end.
  - Opaque tokens are taken back by M(wssgate.nginx.wss_token). The playbook C(wssgate.nginx.token_revoke) does both.
  - What is taken back is a file in a folder for root alone. It is removed some seconds after O(until), by the agent or
    the pruner of the host (M(wssgate.nginx.wss_token_pruner)).
requirements:
  - ss of iproute2 on the host, and the right to administer the network (C(CAP_NET_ADMIN)), for O(disconnect)
options:
  state:
    description:
      - V(present) takes tokens back.
      - V(absent) lets them count again, as far as they have not expired.
    type: str
    choices: [present, absent]
    default: present
  jti:
    description:
      - The claims C(jti) of tokens. Each stands for one token of O(issuer).
    type: list
    elements: str
  issuer:
    description:
      - The claim C(iss) of the tokens in O(jti), letter by letter. It is needed where the gate has several issuers.
    type: str
  token_ids:
    description:
      - Ids of tokens, 64 hexadecimal digits, as C(token_id) of the gate's access log has them. An id stands for one
        token, whose C(iss) and C(jti) need not be known.
    type: list
    elements: str
  subject:
    description:
      - The claims C(sub) of tokens, of all issuers. With O(state=present) all tokens of each are void that were issued
        (C(iat)) before O(issued_before), and those that do not say when.
    type: list
    elements: str
  issued_before:
    description:
      - Time, in seconds since 1970 UTC, before which tokens of O(subject) must have been issued to be taken back.
      - Default is the next full second, so that whatever was issued by now is void.
      - An earlier time than the one that is there changes nothing; the later one counts.
    type: int
  until:
    description:
      - When the last of the tokens expires (C(exp)), in seconds since 1970 UTC. What stands for them is removed then.
      - Default is the longest C(max_token_lifetime) of the gate's issuers from now, or from O(issued_before) where
        that is later. What is there already stays as long as it was to stay.
      - An issuer that signs tokens for longer than C(max_token_lifetime) needs it here. The gate refuses such a token
        until the rest of its life is no longer than that, and would take it then.
    type: int
  issuers_required:
    description:
      - Whether it is an error where the gate takes no signed tokens. With V(false) nothing changes there.
    type: bool
    default: true
  disconnect:
    description:
      - End the open sessions of what is taken back, and wait for that. The agent of the host ends them in any case.
      - A session that began before version 1.1.0 was deployed is not found.
    type: bool
    default: true
  disconnect_required:
    description:
      - Fail when a session could not be ended. The tokens are taken back all the same.
    type: bool
    default: true
  path:
    description:
      - Absolute path of the folder of what was taken back, C(wss_proxy_revocations_path) of role wss_proxy.
    type: path
    default: /var/lib/nginx/revoked
  session_log:
    description:
      - Absolute path of the session log, for O(disconnect).
    type: path
    default: /var/log/nginx/wssgate/sessions.log
  store:
    description:
      - Absolute path of the token store, which the agent of the host is about. Where that gives an application time to
        close sessions, they end after it.
    type: path
    default: /var/lib/nginx/tokens
  nginx_directory:
    description:
      - Absolute path of the folder of nginx's configuration, in which the gate has its issuers.
    type: path
    default: /etc/nginx
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: Tells how many sessions would be ended, too.
  diff_mode:
    details: Entries are shown by the beginning of their id.
    support: full
seealso:
  - module: wssgate.nginx.wss_revocation_info
  - module: wssgate.nginx.wss_token
    description: For opaque tokens.
"""

EXAMPLES = r"""
- name: Take one token back
  wssgate.nginx.wss_revocation:
    jti: [0b7f6f2e]
    issuer: https://id.example.com
    until: 1798761600

- name: Take all tokens back that client 42 has by now
  wssgate.nginx.wss_revocation:
    subject: [client-42]

- name: Let what client 42 has count again
  wssgate.nginx.wss_revocation:
    subject: [client-42]
    state: absent
"""

RETURN = r"""
takes_signed_tokens:
  description: Whether the gate takes signed tokens. Where it does not, nothing is taken back.
  returned: success
  type: bool
  sample: true
created:
  description: Number of tokens and subjects that are taken back now and were not before.
  returned: success
  type: int
  sample: 1
updated:
  description: Number of those whose time or end is a later one now.
  returned: success
  type: int
  sample: 0
removed:
  description: Number of those that are not taken back any more.
  returned: success
  type: int
  sample: 0
unchanged:
  description: Number of those that were as wanted.
  returned: success
  type: int
  sample: 0
entries:
  description: What was asked for as it is now, and in check mode as it would be. At most 1,000.
  returned: success
  type: list
  elements: dict
  contains:
    change:
      description: V(created), V(updated), V(removed) or V(unchanged).
      type: str
    id:
      description: The SHA-256 that names it; of a token it is C(token_id) of the access log.
      type: str
    issued_before:
      description: Tokens of the subject that were issued before this time are void. None for a token.
      type: int
    kind:
      description: V(jti) for a token, V(sub) for a subject.
      type: str
    until:
      description: When it ends, in seconds since 1970 UTC. None where it stays until somebody removes it.
      type: int
  sample:
    - change: created
      id: 6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090
      issued_before:
      kind: jti
      until: 1798761600
sessions:
  description: The open sessions of what is taken back. In check mode those that would be ended.
  returned: when O(disconnect) is true and O(state) is V(present)
  type: dict
  contains:
    ended:
      description: How many were ended.
      type: int
    found:
      description: How many were open.
      type: int
    remaining:
      description: How many could not be ended.
      type: int
  sample: {ended: 1, found: 1, remaining: 0}
"""

import contextlib
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.revoking import TakenBack, end_taken_back, open_sessions_of
from ..module_utils._host.error import attempted, named
from ..module_utils._revocations.issuers import NAME, read_issuers
from ..module_utils._revocations.plan import CREATED, PRESENT, REMOVED, UNCHANGED, UPDATED, Plan, Request
from ..module_utils._revocations.store import (
    TOKENS,
    MissingRevocations,
    RevocationError,
    Revocations,
    open_revocations,
)
from ..module_utils._sessions.ending import Ended
from ..module_utils._sessions.log import Key

# Ansible looks at every string of a result.
ENTRIES_AT_MOST = 1000
CHANGES = (CREATED, UPDATED, REMOVED, UNCHANGED)


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "jti": {"type": "list", "elements": "str"},
        "issuer": {"type": "str"},
        # They are in the access log, and open nothing.
        "token_ids": {"type": "list", "elements": "str", "no_log": False},
        "subject": {"type": "list", "elements": "str"},
        "issued_before": {"type": "int"},
        "until": {"type": "int"},
        "issuers_required": {"type": "bool", "default": True},
        "disconnect": {"type": "bool", "default": True},
        "disconnect_required": {"type": "bool", "default": True},
        "path": {"type": "path", "default": "/var/lib/nginx/revoked"},
        "session_log": {"type": "path", "default": "/var/log/nginx/wssgate/sessions.log"},
        "store": {"type": "path", "default": "/var/lib/nginx/tokens"},
        "nginx_directory": {"type": "path", "default": "/etc/nginx"},
    }


@contextlib.contextmanager
def opened(module: AnsibleModule) -> t.Iterator[t.Optional[Revocations]]:
    """The folder; None in a dry run on a host that does not have it yet."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(open_revocations(module.params["path"], write=not module.check_mode))
        except MissingRevocations:
            if not module.check_mode:
                raise
            yield None
        else:
            yield folder


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Do what was asked for; ``problem`` of the result has what became of sessions that are left."""
    params, now = module.params, time.time()
    names = ("state", "jti", "issuer", "token_ids", "subject", "issued_before", "until")
    request = Request(**{name: params[name] for name in names})
    request.check(now)
    issuers = read_issuers(params["nginx_directory"])
    is_present = request.state == PRESENT
    does_end = is_present and params["disconnect"]
    result: t.Dict[str, t.Any] = {"changed": False, "takes_signed_tokens": issuers is not None}
    if issuers is None:
        if params["issuers_required"] and not module.check_mode:
            raise RevocationError(
                f"this gate takes no signed tokens: there is no {params['nginx_directory']}/{NAME}. Is it another "
                "host, or is nginx_directory another one?"
            )
        result.update({**dict.fromkeys(CHANGES, 0), "entries": []})
        if does_end:
            result["sessions"] = Ended().as_dict()
        return result
    before: t.FrozenSet[Key] = frozenset()
    with opened(module) as folder:
        plan = Plan(folder, request, issuers, now)
        steps = [step.after for step in plan.steps if step.after is not None]
        wanted = TakenBack((one.id for one in steps if one.kind == TOKENS), request.cut_offs(steps))
        if folder is not None and not module.check_mode:
            if does_end:
                before = open_sessions_of(params["session_log"], wanted)
            plan.apply(folder)
    result["changed"] = plan.is_change
    result.update({change: plan.count(change) for change in CHANGES})
    result["entries"] = [step.as_dict() for step in plan.steps[:ENTRIES_AT_MOST]]
    if does_end:
        ended = end_taken_back(params["store"], params["session_log"], wanted, before, module.check_mode)
        result["sessions"] = ended.as_dict()
        result["changed"] = result["changed"] or ended.found > 0
        if ended.reason:
            count = f"{ended.remaining} open session(s)" if ended.remaining else "open sessions"
            result["problem"] = f"{count} could not be ended: {ended.reason}"
    if module._diff:
        texts = plan.diff()
        header = f"{params['path']} (by id)"
        result["diff"] = {
            "before_header": header, "after_header": header, "before": texts[0], "after": texts[1],
        }  # fmt: skip
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result, failure = attempted(lambda: run(module), named)
    if failure is not None:
        module.fail_json(msg=failure)
    problem = result.pop("problem", None)
    if problem is not None and module.params["disconnect_required"] and not module.check_mode:
        module.fail_json(msg=problem, **result)
    if problem is not None:
        module.warn(problem)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
