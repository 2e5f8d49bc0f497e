#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_revocation_info
short_description: List the signed tokens that were taken back
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Lists what was taken back of signed tokens (M(wssgate.nginx.wss_revocation)) and until when, and tells what is wrong
    with the folder of it.
  - The folder has fingerprints alone. Ask for a subject, or for a token, to find out about that.
options:
  jti:
    description:
      - Only the tokens with these claims C(jti), of O(issuer).
    type: list
    elements: str
  issuer:
    description:
      - The claim C(iss) of the tokens in O(jti), letter by letter. It is needed where the gate has several issuers.
    type: str
  token_ids:
    description:
      - Only these tokens, by C(token_id) of the gate's access log.
    type: list
    elements: str
  subject:
    description:
      - Only these subjects, by the claim C(sub).
    type: list
    elements: str
  path:
    description:
      - Absolute path of the folder of what was taken back, C(wss_proxy_revocations_path) of role wss_proxy.
    type: path
    default: /var/lib/nginx/revoked
  nginx_directory:
    description:
      - Absolute path of the folder of nginx's configuration, in which the gate has its issuers.
    type: path
    default: /etc/nginx
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: It changes nothing.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_revocation
"""

EXAMPLES = r"""
- name: List what was taken back
  wssgate.nginx.wss_revocation_info:
  register: revoked

- name: Look whether the tokens of client 42 are taken back
  wssgate.nginx.wss_revocation_info:
    subject: [client-42]
  register: revoked_of_client
"""

RETURN = r"""
takes_signed_tokens:
  description: Whether the gate takes signed tokens.
  returned: success
  type: bool
  sample: true
revocations:
  description: What is taken back, those that end first in front. At most 1,000.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The SHA-256 that names it; of a token it is C(token_id) of the access log.
      type: str
    issued_before:
      description: Tokens of the subject that were issued before this time are void. None for a token, and where the
        time cannot be read, which makes all tokens of the subject void.
      type: int
    kind:
      description: V(jti) for a token, V(sub) for a subject.
      type: str
    problem:
      description: Why it cannot be read. Empty when all is well.
      type: str
    until:
      description: When it ends, in seconds since 1970 UTC. None where it stays until somebody removes it.
      type: int
  sample:
    - id: 6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090
      issued_before:
      kind: jti
      problem: ''
      until: 1798761600
totals:
  description: Numbers of all, whatever was asked for.
  returned: success
  type: dict
  contains:
    subjects:
      description: Subjects that are cut off.
      type: int
    tokens:
      description: Tokens that are taken back.
      type: int
  sample: {subjects: 0, tokens: 1}
problems:
  description: What is wrong with the folder and with what is in it, for example who else may write there.
  returned: success
  type: list
  elements: str
  sample: []
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import attempted, named
from ..module_utils._revocations.issuers import Issuers, read_issuers
from ..module_utils._revocations.plan import Request
from ..module_utils._revocations.store import SUBJECTS, TOKENS, Entry, MissingRevocations, open_revocations

ENTRIES_AT_MOST = 1000
PROBLEMS_AT_MOST = 20
OPTIONS = ("jti", "token_ids", "subject")


def asked_for(params: t.Mapping[str, t.Any], issuers: t.Optional[Issuers]) -> t.Optional[t.Set[t.Tuple[str, str]]]:
    """The entries that are asked for; None where all are."""
    if params["issuer"] is None and all(params[name] is None for name in OPTIONS):
        return None
    now = time.time()
    request = Request(issuer=params["issuer"], **{name: params[name] for name in OPTIONS})
    request.check(now)
    return {(entry.kind, entry.id) for entry in request.entries(issuers, now)} if issuers else set()


def run(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What is taken back."""
    issuers = read_issuers(params["nginx_directory"])
    wanted = asked_for(params, issuers)
    problems: t.List[str] = []
    entries: t.List[Entry] = []
    try:
        with open_revocations(params["path"]) as folder:
            entries = list(folder.entries())
            problems = folder.problems()
    except MissingRevocations as error:
        # A gate without signed tokens has none.
        problems = [str(error)] if issuers else []
    entries.sort(key=lambda entry: (float("inf") if entry.until is None else entry.until, entry.kind, entry.id))
    shown = [entry for entry in entries if wanted is None or (entry.kind, entry.id) in wanted]
    more = len(problems) - PROBLEMS_AT_MOST
    return {
        "takes_signed_tokens": issuers is not None,
        "revocations": [
            {
                "kind": entry.kind,
                "id": entry.id,
                "issued_before": entry.issued_before,
                "until": entry.until,
                "problem": entry.problem,
            }
            for entry in shown[:ENTRIES_AT_MOST]
        ],
        "totals": {
            "tokens": sum(1 for entry in entries if entry.kind == TOKENS),
            "subjects": sum(1 for entry in entries if entry.kind == SUBJECTS),
        },
        "problems": [*problems[:PROBLEMS_AT_MOST], *([f"and {more} more problems"] if more > 0 else [])],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "jti": {"type": "list", "elements": "str"},
            "issuer": {"type": "str"},
            # They are in the access log, and open nothing.
            "token_ids": {"type": "list", "elements": "str", "no_log": False},
            "subject": {"type": "list", "elements": "str"},
            "path": {"type": "path", "default": "/var/lib/nginx/revoked"},
            "nginx_directory": {"type": "path", "default": "/etc/nginx"},
        },
        supports_check_mode=True,
    )
    result, failure = attempted(lambda: run(module.params), named)
    if failure is not None:
        module.fail_json(msg=failure)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
