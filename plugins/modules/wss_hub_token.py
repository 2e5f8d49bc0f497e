#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_hub_token
short_description: Issue, adopt and revoke tokens through the hub
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Issues tokens on all gates that follow the hub, whether they are up or not, or revokes them, signed tokens (JWT)
    too, and waits until the gates have done it. A revocation is written each time, and so always a change.
  - It is what M(wssgate.nginx.wss_token), M(wssgate.nginx.wss_revocation) and M(wssgate.nginx.wss_session) are on one
    gate. The sessions of what is revoked end on all gates, too.
  - Runs on any host that reaches the hub, such as the controller. It needs nothing but Python.
  - A revocation that not all gates of O(gates) have confirmed within O(ack_timeout) is in the hub all the same, and the
    module fails and names them. A gate that is down does it when it comes back, before it lets anybody in.
options:
  state:
    description: V(present) issues, V(absent) revokes.
    type: str
    choices: [present, absent]
    default: present
  generate:
    description: Number of tokens to issue, 1 to 1000.
    type: int
    default: 1
  subject:
    description:
      - With O(state=present) whom they are for. With O(state=absent) whose tokens are revoked, all of them that were
        issued by now, and the signed ones as far as O(issued_before) goes.
    type: str
  ttl:
    description: Their life in seconds, by the hub's clock. Without it and O(expires_at) they have no end.
    type: int
  expires_at:
    description: Their end, in seconds since 1970 UTC.
    type: int
  fingerprints:
    description:
      - Tokens to revoke, by the first 12 to 64 hexadecimal digits of their SHA-256, as playbook
        C(wssgate.nginx.token_list) shows them.
    type: list
    elements: str
  tokens:
    description: Tokens to revoke.
    type: list
    elements: str
  jti:
    description: The claims C(jti) of signed tokens of O(issuer) to take back.
    type: list
    elements: str
  issuer:
    description: The claim C(iss) of the tokens in O(jti), letter by letter.
    type: str
  token_ids:
    description:
      - Signed tokens to take back by their ids, 64 hexadecimal digits, as C(token_id) of the gate's access log has
        them.
    type: list
    elements: str
  issued_before:
    description:
      - Time, in seconds since 1970 UTC, before which signed tokens of O(subject) must have been issued to be taken
        back.
      - Default is the next full second, so that whatever was issued by now is void.
    type: int
  until:
    description:
      - When the last of the signed tokens expires (C(exp)), in seconds since 1970 UTC.
      - Default is the longest C(max_token_lifetime) of each gate's issuers from now, or from O(issued_before) where
        that is later.
    type: int
  adopt:
    description:
      - Tokens that were on gates before the hub, as M(wssgate.nginx.wss_token_export) returns them, each with
        C(token), C(subject), C(issued_at) and C(expires_at). The list is given as JSON in base64. Each gate gets those
        that the hub does not have yet.
      - What was revoked through the hub stays so. Where gates differ, the earliest end counts; a token of different
        subjects is left alone.
    type: str
  issuers:
    description:
      - With O(adopt), each issuer of the hub with C(name), C(max_ttl), C(subjects) and C(max_tokens), as
        C(token_store_hub.issuers) has them, so that what they issued is known.
    type: list
    elements: dict
    default: []
  gates:
    description: Names of the gates in the hub that have to confirm a revocation.
    type: list
    elements: str
    default: []
  ack_timeout:
    description: Seconds that they have, 0 to 600.
    type: int
    default: 5
  ack_required:
    description: Fail when one of O(gates) has not confirmed.
    type: bool
    default: true
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.hub
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token
  - module: wssgate.nginx.wss_revocation
  - module: wssgate.nginx.wss_token_export
"""

EXAMPLES = r"""
- name: Issue a token for an hour on all gates
  wssgate.nginx.wss_hub_token:
    server: {host: hub.example.com, port: 6379}
    password_path: /etc/wssgate/operator
    subject: client-42
    ttl: 3600
  register: issued
  delegate_to: localhost
  no_log: true

- name: Revoke all tokens of a client
  wssgate.nginx.wss_hub_token:
    server: {host: hub.example.com, port: 6379}
    password_path: /etc/wssgate/operator
    state: absent
    subject: client-42
    gates: [gate-a, gate-b]
  delegate_to: localhost

- name: Take one signed token back on all gates
  wssgate.nginx.wss_hub_token:
    sentinels:
      - {host: hub-a.example.com, port: 26379}
      - {host: hub-b.example.com, port: 26379}
      - {host: hub-c.example.com, port: 26379}
    password_path: /etc/wssgate/operator
    state: absent
    jti: [0b7f6f2e]
    issuer: https://id.example.com
    gates: [gate-a, gate-b]
  delegate_to: localhost
"""

RETURN = r"""
tokens:
  description: The tokens that were issued.
  returned: with O(state=present), but not in check mode
  type: list
  elements: str
fingerprints:
  description: Their fingerprints, or those that were revoked.
  returned: success
  type: list
  elements: str
  sample: [3b1f0a9c77de]
expires_at:
  description: When they end, in seconds since 1970 UTC; none where they do not.
  returned: with O(state=present), but not in check mode
  type: int
  sample: 1798761600
token_ids:
  description: The ids of the signed tokens that were taken back.
  returned: with O(jti) or O(token_ids)
  type: list
  elements: str
adopted:
  description: Fingerprints of the tokens that the hub has now and had not before, in check mode of those it would have.
  returned: with O(adopt)
  type: list
  elements: str
left_alone:
  description: Those of O(adopt) that were not adopted, with the reason.
  returned: with O(adopt)
  type: list
  elements: dict
  sample: [{fingerprint: 3b1f0a9c77de, reason: the hub has it}]
hub_problem:
  description: Why the hub could not be asked, or refused. What is wrong with the arguments is none.
  returned: on such a failure
  type: str
request_problem:
  description: What is wrong with the arguments. The hub was not asked.
  returned: on such a failure
  type: str
position:
  description: Where the last record stands in the hub.
  returned: when something was written
  type: str
  sample: 1798761600000-0
confirmed:
  description: The gates that have revoked.
  returned: with O(state=absent), but not in check mode
  type: list
  elements: str
unconfirmed:
  description: Those that have not confirmed, with the seconds since their last report, none where there is none.
  returned: with O(state=absent), but not in check mode
  type: list
  elements: dict
  sample: [{gate: gate-b, silent: 61.2}]
"""

import base64
import json
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError
from ..module_utils._hub import records
from ..module_utils._hub.adopting import Adoption
from ..module_utils._hub.client import Primary, reach
from ..module_utils._hub.error import HubError
from ..module_utils._hub.merge import Rules
from ..module_utils._hub.operating import Operator
from ..module_utils._hub.parameters import connection_spec, settings_of
from ..module_utils._hub.wire import RefusedError
from ..module_utils._revocations.plan import Request as SignedRequest
from ..module_utils._revocations.store import id_of_token
from ..module_utils._tokens.plan import new_tokens
from ..module_utils._tokens.record import fingerprint, full_fingerprint
from ..module_utils._tokens.request import Request, check_request

MOST = 1000
# Seconds within which a hub that was lost has to be back for what nobody has to be revoked
WITHDRAWING = 10.0


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "generate": {"type": "int", "default": 1},
        "subject": {"type": "str"},
        "ttl": {"type": "int"},
        "expires_at": {"type": "int"},
        "fingerprints": {"type": "list", "elements": "str"},
        "tokens": {"type": "list", "elements": "str", "no_log": True},
        "jti": {"type": "list", "elements": "str"},
        "issuer": {"type": "str"},
        # They are in the access log, and open nothing.
        "token_ids": {"type": "list", "elements": "str", "no_log": False},
        "issued_before": {"type": "int"},
        "until": {"type": "int"},
        # One secret: Ansible would hide each number of a list of them wherever it is printed.
        "adopt": {"type": "str", "no_log": True},
        "issuers": {"type": "list", "elements": "dict", "default": []},
        **connection_spec(),
        "gates": {"type": "list", "elements": "str", "default": []},
        "ack_timeout": {"type": "int", "default": 5},
        "ack_required": {"type": "bool", "default": True},
    }


def check(params: t.Mapping[str, t.Any], now: float) -> None:
    """Refuse what contradicts itself, before anything is written."""
    is_issue = params["state"] == "present"
    if is_issue and not 1 <= params["generate"] <= MOST:
        raise HubError(f"generate must be 1 to {MOST}, not {params['generate']}")
    if not 0 <= params["ack_timeout"] <= 600:
        raise HubError(f"ack_timeout must be 0 to 600, not {params['ack_timeout']}")
    _check_signed(params, now)
    if params["adopt"] is not None:
        _check_adoption(params)
        return
    if params["jti"] is not None or params["token_ids"] is not None:
        return
    check_request(
        Request(
            state=params["state"],
            tokens=params["tokens"],
            generate=params["generate"] if is_issue else None,
            subject=params["subject"],
            ttl=params["ttl"],
            expires_at=params["expires_at"],
            fingerprints=params["fingerprints"],
        ),
        now,
    )
    if is_issue and params["tokens"] is not None:
        raise HubError("tokens is for state=absent: what is issued is generated")
    for index, value in enumerate(params["fingerprints"] or ()):
        if len(value) < records.LEAST_FINGERPRINT:
            raise HubError(f"fingerprints[{index}] must have {records.LEAST_FINGERPRINT} digits or more")


def _check_signed(params: t.Mapping[str, t.Any], now: float) -> None:
    """What is about signed tokens, by the rules of wss_revocation."""
    names = ("jti", "issuer", "token_ids", "issued_before", "until")
    given = [name for name in names if params[name] is not None]
    if params["state"] == "present":
        if given:
            raise HubError(f"{given[0]} is for state=absent")
        return
    if params["jti"] is not None or params["token_ids"] is not None:
        others = [name for name in ("subject", "fingerprints", "tokens") if params[name] is not None]
        if others:
            raise HubError(f"give signed tokens (jti, token_ids) or {others[0]}, not both")
        if params["jti"] is not None and params["issuer"] is None:
            raise HubError("jti needs issuer: it counts with the claim iss of its token")
    elif params["subject"] is None:
        if given:
            raise HubError(f"{given[0]} is for signed tokens: it needs jti, token_ids or subject")
        return
    subject = None if params["subject"] is None else [params["subject"]]
    SignedRequest(subject=subject, **{name: params[name] for name in names}).check(now)


def _check_adoption(params: t.Mapping[str, t.Any]) -> None:
    others = [name for name in ("subject", "ttl", "expires_at", "fingerprints", "tokens") if params[name] is not None]
    if params["state"] != "present" or others:
        raise HubError("adopt is for state=present, and nothing else is to be asked for with it")
    adoptable(params["adopt"])


def issue(
    params: t.Mapping[str, t.Any], operator: Operator, is_dry: bool, again: t.Callable[[], Primary]
) -> t.Dict[str, t.Any]:
    """Issue new tokens. ``again`` connects anew: all or none are issued, as nobody would have some of them."""
    if is_dry:
        return {"changed": True, "fingerprints": []}
    tokens = new_tokens(params["generate"])
    place = records.START
    done: t.List[str] = []
    ends = params["expires_at"]
    try:
        for token in tokens:
            place = operator.issue(token, params["subject"], params["ttl"], params["expires_at"])
            done.append(token)
            if params["ttl"] is not None:
                ends = min(-(-place[0] // 1000) + params["ttl"], ends or records.LAST_SECOND)
    except HubError as error:
        # What is refused was not issued. Of a lost answer nobody knows what it was about.
        count = len(done) + (not isinstance(error, RefusedError))
        raise HubError(f"{error}{withdrawn(tokens[:count], params['fleet'], again)}") from None
    return {
        "changed": True,
        "tokens": tokens,
        "fingerprints": [fingerprint(token) for token in tokens],
        "expires_at": ends,
        "position": records.id_text(place),
    }


def withdrawn(tokens: t.Sequence[str], fleet: str, again: t.Callable[[], Primary]) -> str:
    """Revoke what may have been issued, by a new connection; return the words for what could not be."""
    left = [full_fingerprint(token) for token in tokens]
    until = time.monotonic() + WITHDRAWING
    while left:
        try:
            wire = again().wire
            try:
                operator = Operator(wire, fleet)
                while left:
                    operator.revoke(left[-1])
                    left.pop()
            finally:
                wire.close()
        except HubError:
            if time.monotonic() >= until:
                break
            time.sleep(0.2)
    named = ", ".join(one[:12] for one in left)
    return f"; these may have been issued all the same, and nobody has them, so revoke them: {named}" if left else ""


def adoptable(text: str) -> t.List[t.Mapping[str, t.Any]]:
    """The tokens in base64. No message repeats anything of them."""
    try:
        found = json.loads(base64.b64decode(text, validate=True).decode("utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise HubError("adopt is not the base64 of a JSON list of dictionaries")
    return found


def adopt(params: t.Mapping[str, t.Any], operator: Operator, is_dry: bool) -> t.Dict[str, t.Any]:
    """Have tokens in the hub that were there before it."""
    try:
        issuers = {
            str(one["name"]): Rules(int(one["max_ttl"]), tuple(map(str, one["subjects"])), int(one["max_tokens"]))
            for one in params["issuers"]
        }
    except (KeyError, TypeError, ValueError):
        raise HubError("issuers: each must have name, max_ttl, subjects and max_tokens") from None
    adoption = Adoption(adoptable(params["adopt"]), operator.merged(issuers, params["gates"]), operator.now() // 1000)
    place = None
    for one in () if is_dry else adoption.wanted:
        place = operator.adopt(*one)
    result: t.Dict[str, t.Any] = {
        "changed": bool(adoption.wanted),
        "adopted": [fingerprint(one.token) for one in adoption.wanted],
        "left_alone": adoption.left_alone,
    }
    if place is not None:
        result["position"] = records.id_text(place)
    return result


def revoke(params: t.Mapping[str, t.Any], operator: Operator, is_dry: bool) -> t.Dict[str, t.Any]:
    """Revoke, and wait for the gates."""
    wanted = list(dict.fromkeys([*(params["fingerprints"] or ()), *map(full_fingerprint, params["tokens"] or ())]))
    ids = [id_of_token(params["issuer"], one) for one in params["jti"] or ()]
    ids = list(dict.fromkeys([*ids, *(params["token_ids"] or ())]))
    result: t.Dict[str, t.Any] = {"changed": True, "fingerprints": [one[:12] for one in wanted]}
    if ids:
        result["token_ids"] = ids
    if is_dry:
        return result
    place = records.START
    if params["subject"] is not None:
        place = operator.cut_off(params["subject"], params["issued_before"], params["until"])
    for one in wanted:
        place = operator.revoke(one)
    for one in ids:
        place = operator.take_back(one, params["until"])
    left = operator.wait(place, params["gates"], params["ack_timeout"])
    names = [one.gate for one in left]
    result["position"] = records.id_text(place)
    result["confirmed"] = [gate for gate in params["gates"] if gate not in names]
    result["unconfirmed"] = [one._asdict() for one in left]
    return result


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Do what was asked for; what fails of the hub itself is in ``hub_problem``."""
    params = module.params
    settings = settings_of(params)
    check(params, time.time())
    try:
        primary = reach(settings, params["password"] or "")
    except HubError as error:
        return {"hub_problem": str(error)}
    try:
        operator = Operator(primary.wire, settings.fleet)
        if params["adopt"] is not None:
            return adopt(params, operator, module.check_mode)
        if params["state"] == "absent":
            result = revoke(params, operator, module.check_mode)
        else:
            # By the hub's clock, from which the life of the tokens is counted.
            now = operator.now() / 1000
            if params["expires_at"] is not None and params["expires_at"] <= now:
                raise HubError("expires_at is in the past, by the hub's clock")
            result = issue(params, operator, module.check_mode, lambda: reach(settings, params["password"] or ""))
        if not module.check_mode:
            operator.trim(params["gates"])
        return result
    except HubError as error:
        return {"hub_problem": str(error)}
    finally:
        primary.wire.close()


def words_of(unconfirmed: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The gates that have not confirmed."""
    words = []
    for one in unconfirmed:
        silent = "no report yet" if one["silent"] is None else f"silent for {one['silent']} s"
        words.append(f"{one['gate']} ({silent})")
    return ", ".join(words)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result: t.Dict[str, t.Any] = {}
    try:
        result = run(module)
    except HostError as error:
        module.fail_json(msg=str(error), request_problem=str(error))
    if "hub_problem" in result:
        module.fail_json(msg=result["hub_problem"], **result)
    left = result.get("unconfirmed")
    if left and module.params["ack_required"]:
        module.fail_json(
            msg=f"it is revoked in the hub, and these gates have not confirmed: {words_of(left)}", **result
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
