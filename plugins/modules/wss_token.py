#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token
short_description: Create, renew and revoke the tokens that open the gate
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - A token is a file in the token store. Its name is the token. The gate lets a client in when the file of its token is
    there, so that a new token works on the next handshake and a removed one stops working on the next handshake. nginx
    is never reloaded.
  - An empty file is valid until it is removed, however it came there (C(touch) and C(rm) by hand stay valid ways in and
    out). With O(subject), O(ttl) or O(expires_at) the file holds a JSON object with C(subject), C(issued_at) and
    C(expires_at), in seconds since 1970 UTC, and its modification time is the end of the token.
  - One call handles many tokens. A new managed file is complete and on the disk before it gets the name of the token.
    Calls at the same time wait for each other. What a killed call left is cleared by the next one.
  - Symlinks, directories and names that are no tokens are never followed and never removed.
  - A token that cannot be removed or adjusted, such as an immutable file, keeps no other from it. The call does what it
    can, ends the sessions, and then fails with the fingerprint and the reason of each that it left.
  - A token is shown in no output, diff, error or log. Its fingerprint stands for it, the first 12 hexadecimal digits of
    its SHA-256. The one exception is RV(tokens), so set C(no_log) on a task that generates some.
options:
  state:
    description:
      - V(present) creates what is missing.
      - V(absent) removes the tokens named by O(tokens) or O(fingerprints), those of O(subject), or those that are
        O(expired).
    type: str
    choices: [present, absent]
    default: present
  tokens:
    description:
      - The tokens, each of 16 to 128 characters out of C(A-Z), C(a-z), C(0-9), C(_) and C(-).
      - With O(subject), O(ttl) or O(expires_at) a file that says something else is rewritten. Without them a valid file
        is left as it is.
    type: list
    elements: str
  encoded_tokens:
    description:
      - The same as O(tokens), each in base64 (filter P(ansible.builtin.b64encode#filter)).
      - For a play that shows a token afterwards, on purpose. From ansible-core 2.22 on, Ansible replaces whatever a
        module was given as a secret in everything that it prints later. In base64 it looks for something else than
        the token.
    type: list
    elements: str
  generate:
    description:
      - How many new random tokens to create, of 192 bits each. Every call creates new ones.
    type: int
  subject:
    description:
      - Whom the token is for, for example the name of a user or a client. 1 to 255 bytes of UTF-8 without control
        characters.
      - With O(state=present) and neither O(tokens) nor O(generate), a valid token of this subject stays and otherwise
        one is generated.
      - With O(state=absent), all tokens of this subject are removed.
    type: str
  count:
    description:
      - How many valid tokens O(subject) has. The default is 1. More than that stay unless O(exclusive=true).
    type: int
  ttl:
    description:
      - Life of a new token in seconds.
      - It does not change a token that is valid already. See O(renew_before).
    type: int
  expires_at:
    description:
      - End of a new token in seconds since 1970 UTC.
    type: int
  renew_before:
    description:
      - A token with this many seconds left, or fewer, no longer counts. With O(subject) alone a new one is generated
        beside it and the old one stays valid until its end. With O(tokens) the end of the same token is moved to O(ttl)
        from now.
      - Must be below O(ttl).
    type: int
  exclusive:
    description:
      - Remove all other tokens. With O(subject), only the other tokens of that subject.
    type: bool
    default: false
  allow_empty:
    description:
      - Let O(exclusive) remove every token when no token is named.
    type: bool
    default: false
  fingerprints:
    description:
      - The tokens to remove, by 8 to 64 digits of the SHA-256 of each. One that matches two tokens is an error.
    type: list
    elements: str
  expired:
    description:
      - Remove the tokens whose end has passed.
      - A file that holds no readable JSON is taken out of the gate's sight. It is renamed to C(.corrupt-) and its name,
        and reported. Files changed within the last 10 seconds are left for the next call. Where the name is taken, a
        number is put behind it.
    type: bool
    default: false
  disconnect:
    description:
      - End the open sessions of the tokens that are removed, within a second. Sessions of other tokens go on.
      - Sessions are also ended of tokens named by O(tokens) or O(fingerprints) whose files are gone already.
      - Where the agent gives an application time to close sessions
        (O(wssgate.nginx.wss_token_pruner#module:notify_grace)), the call waits for that, two seconds beyond the grace
        at most.
      - A removed token is kept in C(.wssgate-ended) in the store, where it opens nothing, for 30 seconds at least and
        until none of its sessions is left. Each run of the pruner (M(wssgate.nginx.wss_token_pruner)) looks for them
        again, and so does a call with O(expired=true). So a session that could not be ended, or that nginx logged late,
        ends later.
      - It needs the session log that the gate writes (role R(wssgate.nginx.token_store,
        ansible_collections.wssgate.nginx.token_store_role)), C(ss) of iproute2 and the right to administer the network
        (C(CAP_NET_ADMIN)). Sessions over a unix socket cannot be ended.
    type: bool
    default: false
  disconnect_required:
    description:
      - Fail when an open session could not be ended. Its token is removed all the same, and the pruner tries again.
    type: bool
    default: true
  owner:
    description:
      - Owner of the token files. Files already there are changed too. Without it a new file belongs to the user that
        runs the module.
    type: str
  group:
    description:
      - Group of the token files. As for O(owner).
    type: str
  mode:
    description:
      - Mode of the token files, for example V('0600'). New ones get V('0600') without it, which is enough for nginx.
        Files already there keep theirs.
    type: raw
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.tokens
  - wssgate.nginx.token_store
attributes:
  diff_mode:
    description: Returns what has changed, by fingerprint.
    support: full
seealso:
  - module: wssgate.nginx.wss_token_info
notes:
  - A token is also seen by whoever may list the store, by default root alone.
"""

EXAMPLES = r"""
- name: Let two known tokens in
  wssgate.nginx.wss_token:
    tokens: "{{ vault_tokens }}"

- name: Have exactly these tokens
  wssgate.nginx.wss_token:
    tokens: "{{ vault_tokens }}"
    exclusive: true

- name: Have one token for client 42, a day long, replaced an hour before its end
  wssgate.nginx.wss_token:
    subject: client-42
    ttl: 86400
    renew_before: 3600
  register: client_token
  no_log: true

- name: Generate ten tokens that end together
  wssgate.nginx.wss_token:
    generate: 10
    expires_at: 1798761600
  register: guest_tokens
  no_log: true

- name: Lock client 42 out, and end its open sessions
  wssgate.nginx.wss_token:
    subject: client-42
    state: absent
    disconnect: true

- name: Remove a token known by its fingerprint
  wssgate.nginx.wss_token:
    fingerprints: [3b1f0a9c77de]
    state: absent

- name: Have a token in a store of another place, which is named once for all tasks of the block
  module_defaults:
    group/wssgate.nginx.tokens:
      path: /srv/gate/tokens
  block:
    - name: Let two known tokens in
      wssgate.nginx.wss_token:
        tokens: "{{ vault_tokens }}"

    - name: List all tokens
      wssgate.nginx.wss_token_info:
      register: all_tokens
"""

RETURN = r"""
created:
  description: Number of tokens created.
  returned: success
  type: int
  sample: 2
updated:
  description: Number of tokens whose file was rewritten or got another owner, group or mode.
  returned: success
  type: int
  sample: 0
removed:
  description: Number of tokens removed.
  returned: success
  type: int
  sample: 0
quarantined:
  description: Number of files without readable JSON that were taken out of the gate's sight.
  returned: success
  type: int
  sample: 0
unchanged:
  description: Number of tokens that were as wanted.
  returned: success
  type: int
  sample: 1
fingerprints:
  description:
    Fingerprints of the tokens that changed, at most 1,000 in a list. In check mode without those that would be
    generated.
  returned: success
  type: dict
  contains:
    created:
      description: Of the created tokens.
      type: list
      elements: str
    updated:
      description: Of the updated tokens.
      type: list
      elements: str
    removed:
      description: Of the removed tokens.
      type: list
      elements: str
    quarantined:
      description: Of the quarantined tokens.
      type: list
      elements: str
  sample:
    created: [3b1f0a9c77de]
    updated: []
    removed: []
    quarantined: []
tokens:
  description: The generated tokens, the only ones ever shown.
  returned: when tokens were generated
  type: list
  elements: str
expires_at:
  description: End of the tokens created by this call, in seconds since 1970 UTC. None for tokens without one.
  returned: when tokens with subject or end were created
  type: int
  sample: 1798761600
sessions:
  description: The open sessions of the removed tokens. In check mode those that would be ended.
  returned: when O(disconnect) is true
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
signed:
  description:
    - Signed tokens (JWT) that have open sessions, by the O(fingerprints) that no token of the store has.
    - They are in no store and stay as they are. M(wssgate.nginx.wss_revocation) takes them back, and
      M(wssgate.nginx.wss_session) ends sessions.
  returned: when O(fingerprints) is given
  type: list
  elements: dict
  contains:
    token_id:
      description: What to take it back by.
      type: str
    sessions:
      description: How many of its sessions are open.
      type: int
  version_added: 1.1.0
  sample: []
foreign:
  description:
    - What was found in the store that is no token's file. A name may hold a token, so it is told by its inode (C(find
      STORE -inum N)).
    - Only the forms that read the whole store report it, which are O(exclusive) and those by O(subject) alone.
  returned: success
  type: list
  elements: dict
  contains:
    fingerprint:
      description: Fingerprint of the name.
      type: str
    inode:
      description: Number of the inode.
      type: int
    kind:
      description: What it is, for example V(symlink), V(directory), V(foreign name) or V(quarantined token).
      type: str
  sample: []
"""

import base64
import grp
import itertools
import pwd
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.prune import owed_of, settle, wanted_of
from ..module_utils._host.error import HostError
from ..module_utils._agent.revoking import end_in_grace, sessions_before
from ..module_utils._sessions.ending import Ended, signed_like
from ..module_utils._sessions.log import Key
from ..module_utils._tokens.request import Request, check_request
from ..module_utils._tokens.plan import Plan, make_plan
from ..module_utils._tokens.record import (
    Attributes,
    Owed,
    StoreError,
    fingerprint,
    full_fingerprint,
)
from ..module_utils._tokens.store import open_store

# Ansible looks at every string of a result, which for many takes longer than the files themselves.
FINGERPRINTS_AT_MOST = 1000
FAILURES_AT_MOST = 20
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
SECRET_OPTIONS = ("tokens", "encoded_tokens")


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "path": {"type": "path", "default": "/var/lib/nginx/tokens"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "tokens": {"type": "list", "elements": "str", "no_log": True},
        "encoded_tokens": {"type": "list", "elements": "str", "no_log": True},
        "generate": {"type": "int"},
        "subject": {"type": "str"},
        "count": {"type": "int"},
        "ttl": {"type": "int"},
        "expires_at": {"type": "int"},
        "renew_before": {"type": "int"},
        "exclusive": {"type": "bool", "default": False},
        "allow_empty": {"type": "bool", "default": False},
        "fingerprints": {"type": "list", "elements": "str"},
        "expired": {"type": "bool", "default": False},
        "disconnect": {"type": "bool", "default": False},
        "disconnect_required": {"type": "bool", "default": True},
        "session_log": {"type": "path", "default": "/var/log/nginx/wssgate/sessions.log"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "mode": {"type": "raw"},
    }


def parse_mode(mode: t.Any) -> t.Optional[int]:
    if mode is None:
        return None
    # YAML turns 0600 without quotes into 384, which is the same mode; 600 without quotes is another one.
    try:
        value = mode if isinstance(mode, int) and not isinstance(mode, bool) else int(str(mode), 8)
    except ValueError:
        raise StoreError(f"mode must be octal digits in quotes such as '0600', not {mode!r}") from None
    if not 0 <= value <= 0o777 or value & 0o022:
        raise StoreError(f"mode must be within 0777 and writable by nobody but the owner, not {value:04o} ({mode!r})")
    return value


def _id(module: AnsibleModule, option: str, look_up: t.Callable[[str], int]) -> t.Optional[int]:
    name = module.params[option]
    if name is None:
        return None
    if name.isdigit():
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        if module.check_mode:
            module.warn(f"{option} {name!r} does not exist yet")
            return None
        raise StoreError(f"{option} {name!r} does not exist on this host") from None


def wanted_attributes(module: AnsibleModule) -> Attributes:
    return Attributes(
        uid=_id(module, "owner", lambda name: pwd.getpwnam(name).pw_uid),
        gid=_id(module, "group", lambda name: grp.getgrnam(name).gr_gid),
        mode=parse_mode(module.params["mode"]),
    )


def given_tokens(params: t.Mapping[str, t.Any]) -> t.Optional[t.List[str]]:
    if params["encoded_tokens"] is None:
        return t.cast(t.Optional[t.List[str]], params["tokens"])
    tokens = []
    for index, value in enumerate(params["encoded_tokens"]):
        try:
            tokens.append(base64.b64decode(value, validate=True).decode("ascii"))
        except ValueError:
            # Not repeated: whoever mixes up the two options gives a token here.
            raise StoreError(f"encoded_tokens[{index}] is not a token in base64; nothing was changed") from None
    return tokens


def wanted(module: AnsibleModule) -> Request:
    params = module.params
    return Request(
        state=params["state"],
        tokens=given_tokens(params),
        generate=params["generate"],
        subject=params["subject"],
        count=params["count"],
        ttl=params["ttl"],
        expires_at=params["expires_at"],
        renew_before=params["renew_before"],
        exclusive=params["exclusive"],
        allow_empty=params["allow_empty"],
        fingerprints=params["fingerprints"],
        expired=params["expired"],
        disconnect=params["disconnect"],
        attributes=wanted_attributes(module),
    )


def _fingerprints(names: t.Iterable[str]) -> t.List[str]:
    return [fingerprint(name) for name in itertools.islice(names, FINGERPRINTS_AT_MOST)]


def result_of(plan: Plan, check_mode: bool) -> t.Dict[str, t.Any]:
    unknown = set(plan.generated) if check_mode else set()
    result: t.Dict[str, t.Any] = {
        "changed": plan.is_change,
        "created": len(plan.created),
        "updated": len(plan.updated),
        "removed": len(plan.remove),
        "quarantined": len(plan.quarantine),
        "unchanged": plan.unchanged,
        "foreign": [thing.as_dict() for thing in plan.foreign],
        "fingerprints": {
            "created": _fingerprints(name for name in plan.created if name not in unknown),
            "updated": _fingerprints(plan.updated),
            "removed": _fingerprints(token.name for token in plan.remove),
            "quarantined": _fingerprints(token.name for token in plan.quarantine),
        },
    }
    if plan.generated and not check_mode:
        result["tokens"] = plan.generated
    for draft in plan.write:
        if draft.document is not None:
            result["expires_at"] = draft.document["expires_at"]
    return result


def _problem(ended: Ended, noted: bool) -> str:
    later = "; each run of the pruner tries again" if noted else ""
    if ended.remaining:
        return f"{ended.remaining} open session(s) could not be ended: {ended.reason}{later}"
    return f"open sessions could not be ended: {ended.reason}{later}"


def _note(path: str, names: t.FrozenSet[str], ended: Ended) -> bool:
    """Have the pruner end what is left, also of tokens whose files were gone before; return whether all is noted."""
    try:
        with open_store(path) as store:
            noted = {record.name for record in store.owed()}
            left = names if ended.tokens is None else ended.tokens
            return not store.owe([name for name in left if name not in noted])
    except HostError:
        return False


def end(module: AnsibleModule, request: Request, plan: Plan, owed: t.Sequence[Owed], before: t.FrozenSet[Key]) -> Ended:
    """End the sessions of what was removed; where the call is for what has expired, also of what was removed before."""
    places = (module.params["path"], module.params["session_log"])
    locked_out = plan.locked_out(request)
    removed = {token.name for token in (*plan.remove, *plan.quarantine)}
    if not request.expired:
        return end_in_grace(*places, locked_out, removed, module.check_mode, before)
    removed.update(record.name for record in owed)
    ended = end_in_grace(*places, wanted_of(owed, locked_out.names), removed, module.check_mode, before)
    if not module.check_mode:
        plan.failures += settle(module.params["path"], owed, ended)
    return ended


def _signed(session_log: str, request: Request, plan: Plan) -> t.List[t.Dict[str, t.Any]]:
    """The signed tokens that fingerprints may have meant: session_list shows them alike."""
    removed = [full_fingerprint(token.name) for token in plan.remove]
    others = [one for one in request.fingerprints or () if not any(name.startswith(one) for name in removed)]
    found = signed_like(session_log, others)
    return [{"token_id": name, "sessions": count} for name, count in sorted(found.items())]


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    now = time.time()
    request = wanted(module)
    check_request(request, now)
    owed: t.List[Owed] = []
    open_before: t.FrozenSet[Key] = frozenset()
    with open_store(module.params["path"], write=not module.check_mode, missing_ok=module.check_mode) as store:
        plan = make_plan(store, request, now)
        if not module.check_mode:
            if request.disconnect:
                places = (module.params["path"], module.params["session_log"])
                open_before = sessions_before(*places, plan.locked_out(request))
            plan.apply(store, request.attributes, owed=request.disconnect)
        if request.disconnect and request.expired:
            owed = owed_of(store, plan.failures)
    ended = Ended()
    problem = ""
    if request.disconnect:
        ended = end(module, request, plan, owed, open_before)
        if ended.reason:
            noted = not module.check_mode and _note(module.params["path"], plan.locked_out(request).names, ended)
            problem = _problem(ended, noted)
    result = result_of(plan, module.check_mode)
    if request.disconnect:
        result["sessions"] = ended.as_dict()
        result["changed"] = result["changed"] or ended.found > 0
    if request.fingerprints is not None:
        result["signed"] = _signed(module.params["session_log"], request, plan)
    if problem:
        result["problem"] = problem
    if plan.failures:
        result["failures"] = plan.failures
    if module._diff:
        before, after = plan.diff(request.attributes, module.check_mode)
        result["diff"] = {
            "before_header": f"{module.params['path']} (by fingerprint)",
            "after_header": f"{module.params['path']} (by fingerprint)",
            "before": "".join(line + "\n" for line in before),
            "after": "".join(line + "\n" for line in after),
        }
    for warning in plan.warnings:
        module.warn(warning)
    for thing in plan.foreign:
        if thing.kind not in ("foreign name", "quarantined token"):
            module.warn(
                f"the store holds a {thing.kind} (inode {thing.inode}), which is never removed: the gate may take "
                "its name for a token"
            )
    return result


def _first(failures: t.Sequence[str]) -> t.List[str]:
    more = len(failures) - FAILURES_AT_MOST
    return [*failures[:FAILURES_AT_MOST], *([f"and {more} more"] if more > 0 else [])]


class TokenModule(AnsibleModule):
    """Keeps tokens out of results by not putting them there, instead of by looking for them.

    No result of this module is made from a given token, so there is nothing to find. The search would
    take the square of the number of tokens, and a wrong token of one character would be cut out of
    every word of the error message about it.
    """

    def _log_invocation(self) -> None:
        # Called at the end of __init__, after errors about arguments were told with the search still on.
        # The log has NOT_LOGGING_PARAMETER for tokens because of the argument's own no_log.
        self.no_log_values: t.Set[str] = set()
        super()._log_invocation()

    def invocation(self) -> t.Dict[str, t.Any]:
        arguments = dict(self.params)
        for option in SECRET_OPTIONS:
            if arguments[option] is not None:
                arguments[option] = HIDDEN
        return {"module_args": arguments}


def main() -> None:
    module = TokenModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[SECRET_OPTIONS],
        supports_check_mode=True,
    )
    module.no_log_values = set()  # also where a later Ansible calls _log_invocation no more
    invocation = module.invocation()
    failure: t.Optional[str] = None
    result: t.Dict[str, t.Any] = {}
    try:
        result = run(module)
    except HostError as error:
        failure = str(error)
    except OSError as error:
        # Its text would name a file, and a file's name is a token.
        failure = f"unexpected operating system error {error.errno}"
    if failure is not None:
        module.fail_json(msg=failure, invocation=invocation)
    problem = result.pop("problem", None)
    failures = result.pop("failures", [])
    if failures:
        # What could be done was done, so it is reported along with what could not.
        module.fail_json(
            msg="; ".join([*_first(failures), *([problem] if problem else [])]), invocation=invocation, **result
        )
    if problem is not None and module.params["disconnect_required"] and not module.check_mode:
        module.fail_json(msg=problem, invocation=invocation, **result)
    if problem is not None:
        module.warn(problem)
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
