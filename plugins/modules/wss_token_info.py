#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token_info
short_description: List the tokens that open the gate, by fingerprint
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Lists the tokens of a token store with subject and end. It shows fingerprints, never a token.
options:
  subjects:
    description:
      - List only the tokens of these subjects.
    type: list
    elements: str
  fingerprints:
    description:
      - List only the tokens whose SHA-256 begins with one of these, of 8 to 64 hexadecimal digits.
    type: list
    elements: str
  forms:
    description:
      - List only tokens of these forms. V(touched) is an empty file, V(managed) one with a readable JSON object,
        V(corrupt) any other.
    type: list
    elements: str
    choices: [touched, managed, corrupt]
  status:
    description:
      - List only tokens that are valid, or only those that are expired or corrupt.
    type: str
    choices: [any, valid, invalid]
    default: any
  expires_within:
    description:
      - List only tokens with this many seconds left, or fewer. One that is expired has none left.
    type: int
  limit:
    description:
      - How many tokens to list at most, those that end first. RV(totals) has the numbers of the whole store all the
        same.
      - Each takes some 200 bytes of the result. Ansible holds all of it in memory several times, on the host and on the
        controller, which for a million tokens are gigabytes. So in a large store set it, or list by a filter.
    type: int
    version_added: 1.1.0
  sessions:
    description:
      - Count the open sessions of each token. It needs the session log that the gate writes and C(ss) of iproute2.
    type: bool
    default: false
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.attributes.tokens
  - wssgate.nginx.token_store
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token
"""

EXAMPLES = r"""
- name: List all tokens
  wssgate.nginx.wss_token_info:
  register: all_tokens

- name: List the tokens of one client that end within an hour
  wssgate.nginx.wss_token_info:
    subjects: [client-42]
    expires_within: 3600
  register: ending_tokens

- name: Count the tokens of a large store, and list none
  wssgate.nginx.wss_token_info:
    limit: 0
  register: token_numbers
"""

RETURN = r"""
tokens:
  description: The tokens that pass the filters, those that end first in front.
  returned: success
  type: list
  elements: dict
  contains:
    expires_at:
      description: End in seconds since 1970 UTC. None when it has no end.
      type: int
    fingerprint:
      description: First 12 hexadecimal digits of the token's SHA-256.
      type: str
    form:
      description: V(touched), V(managed) or V(corrupt).
      type: str
    issued_at:
      description: Start in seconds since 1970 UTC. None when the file does not say.
      type: int
    seconds_left:
      description: Seconds until the end, V(0) when it has passed. None when it has no end.
      type: int
    sessions:
      description: Number of open sessions. Only with O(sessions=true).
      type: int
    subject:
      description: Whom it is for. None when the file does not say.
      type: str
    valid:
      description: Whether it has not ended and can be read.
      type: bool
  sample:
    - expires_at: 1798761600
      fingerprint: 3b1f0a9c77de
      form: managed
      issued_at: 1798675200
      seconds_left: 51200
      subject: client-42
      valid: true
totals:
  description: Numbers of the whole store, whatever the filters.
  returned: success
  type: dict
  contains:
    corrupt:
      description: Tokens whose file holds no readable JSON.
      type: int
    expired:
      description: Tokens whose end has passed.
      type: int
    foreign:
      description: Things that are no tokens.
      type: int
    sessions:
      description: Open sessions of all tokens, also of tokens that are gone. Only with O(sessions=true).
      type: int
    managed:
      description: Tokens with a readable JSON object.
      type: int
    subjects:
      description: Different subjects.
      type: int
    tokens:
      description: All tokens.
      type: int
    touched:
      description: Tokens that are empty files.
      type: int
    valid:
      description: Tokens that are neither expired nor corrupt.
      type: int
  sample:
    {corrupt: 0, expired: 0, foreign: 0, managed: 1, subjects: 1, tokens: 1, touched: 0, valid: 1}
foreign:
  description:
    What was found in the store that is no token's file. A name may hold a token, so it is told by its inode (C(find
    STORE -inum N)).
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
now:
  description: The host's clock in seconds since 1970 UTC.
  returned: success
  type: int
  sample: 1798710400
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError, attempted, unnamed
from ..module_utils._sessions.ending import open_sessions
from ..module_utils._tokens.record import StoreError
from ..module_utils._tokens.report import Filters, count_sessions, listing
from ..module_utils._tokens.request import check_fingerprints
from ..module_utils._tokens.store import open_store


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "path": {"type": "path", "default": "/var/lib/nginx/tokens"},
        "subjects": {"type": "list", "elements": "str"},
        "fingerprints": {"type": "list", "elements": "str"},
        "forms": {"type": "list", "elements": "str", "choices": ["touched", "managed", "corrupt"]},
        "status": {"type": "str", "choices": ["any", "valid", "invalid"], "default": "any"},
        "expires_within": {"type": "int"},
        "limit": {"type": "int"},
        "sessions": {"type": "bool", "default": False},
        "session_log": {"type": "path", "default": "/var/log/nginx/wssgate/sessions.log"},
    }


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    params = module.params
    check_fingerprints(params["fingerprints"] or ())
    if params["limit"] is not None and params["limit"] < 0:
        raise StoreError(f"limit must be 0 or more, not {params['limit']}")
    filters = Filters(
        subjects=params["subjects"],
        fingerprints=params["fingerprints"],
        forms=params["forms"],
        status=params["status"],
        expires_within=params["expires_within"],
    )
    sessions: t.Optional[t.Dict[str, int]] = None
    if params["sessions"]:
        try:
            sessions = count_sessions(open_sessions(params["session_log"]))
        except HostError as error:
            module.warn(f"open sessions are not counted: {error}")
    with open_store(params["path"], write=False, missing_ok=module.check_mode) as store:
        result = listing(store, filters, int(time.time()), sessions, params["limit"])
    for token in result["tokens"]:
        if token["form"] == "corrupt":
            module.warn(f"token {token['fingerprint']} holds no readable JSON")
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result, failure = attempted(lambda: run(module), unnamed)
    if failure is not None:
        module.fail_json(msg=failure)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
