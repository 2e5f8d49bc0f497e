#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_authority
short_description: Keep a private authority that signs the certificates of gates
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Makes an authority on the host where there is none, and signs what M(wssgate.nginx.wss_certificate) of other hosts
    asks for.
  - The key of the authority is C(ca.key) in O(directory), for root alone, and never leaves the host. The keys of
    servers never come to it.
  - An authority that is there is never replaced. What is left of a damaged one is an error, because a new one would
    have every client refuse the gates.
requirements:
  - python3-cryptography 3.3 or newer on the host
options:
  directory:
    description: Folder of the authority. Its parents may be read by everybody, the folder itself by root alone.
    type: path
    required: true
  common_name:
    description: Name of a new authority, as clients see it.
    type: str
    default: wssgate private authority
  key_type:
    description: Kind of the key of a new authority.
    type: str
    choices: [P-256, P-384, RSA-2048, RSA-3072, RSA-4096]
    default: P-256
  days:
    description: Lifetime of a new authority in days.
    type: int
    default: 3650
  requests:
    description: What to sign.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate, which comes back with it.
        type: str
        required: true
      request:
        description: The request as PEM. Only its key counts.
        type: str
        required: true
      subject_alt_names:
        description: Names the certificate is for.
        type: list
        elements: str
        required: true
      common_name:
        description: Common name of the subject. By default the first name.
        type: str
      days:
        description: Lifetime in days. It ends with the authority at the latest.
        type: int
        default: 397
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  check_mode:
    details: Nothing is signed.
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_certificate
"""

EXAMPLES = r"""
- name: Keep an authority for the gates
  wssgate.nginx.wss_authority:
    directory: /var/lib/wssgate/authorities/gates
  register: gates_authority
  delegate_to: ca.example.com
"""

RETURN = r"""
certificate:
  description: Certificate of the authority as PEM. None in check mode where there is none yet.
  returned: success
  type: str
subject:
  description: Subject.
  returned: when there is an authority
  type: str
fingerprint:
  description: SHA-256 of the certificate, hexadecimal.
  returned: when there is an authority
  type: str
not_after:
  description: When it ends, UTC.
  returned: when there is an authority
  type: str
days_left:
  description: Whole days until it ends.
  returned: when there is an authority
  type: int
issued:
  description: The certificates as PEM, by the name of the request.
  returned: success
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils._certificates import authority as _authority
from ..module_utils._certificates import x509 as crypto
from ..module_utils._host.error import HostError

REQUEST_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "request": {"type": "str", "required": True},
    "subject_alt_names": {"type": "list", "elements": "str", "required": True},
    "common_name": {"type": "str"},
    "days": {"type": "int", "default": 397},
}


def read_requests(given: t.Sequence[t.Dict[str, t.Any]]) -> t.List[_authority.Request]:
    """Turn the argument into what is asked for."""
    return [
        _authority.Request(
            item["name"],
            item["request"],
            tuple(crypto.parse_name(name) for name in item["subject_alt_names"]),
            item["common_name"],
            item["days"],
        )
        for item in given
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "common_name": {"type": "str", "default": "wssgate private authority"},
            "key_type": {"type": "str", "choices": list(crypto.KEY_TYPES), "default": "P-256"},
            "days": {"type": "int", "default": 3650},
            "requests": {"type": "list", "elements": "dict", "default": [], "options": REQUEST_OPTIONS},
        },
        supports_check_mode=True,
    )
    params = module.params
    if crypto.CRYPTOGRAPHY_ERROR is not None:
        if not module.check_mode:
            module.fail_json(msg=missing_required_lib("cryptography"), exception=crypto.CRYPTOGRAPHY_ERROR)
        module.exit_json(
            changed=True,
            certificate=None,
            issued={},
            msg="would look after the authority once python3-cryptography is installed",
        )
    now = crypto.utc_now()
    result: t.Dict[str, t.Any] = {"changed": False, "certificate": None, "issued": {}}
    try:
        requests = read_requests(params["requests"])
        authority = _authority.Authority(params["directory"])
        if authority.certificate is None:
            result["changed"] = True
            if not module.check_mode:
                authority.make(params["common_name"], params["key_type"], params["days"], now)
        if authority.pem is not None:
            facts = crypto.describe(authority.certificate, now)
            result.update({key: facts[key] for key in ("subject", "fingerprint", "not_after", "days_left")})
            result["certificate"] = authority.pem.decode("ascii")
            if not module.check_mode:
                result["issued"] = {request.name: authority.sign(request, now).decode("ascii") for request in requests}
        result["changed"] = result["changed"] or bool(requests)
    except HostError as error:
        module.fail_json(msg=f"authority in {params['directory']}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'a file'} could not be written: {error.strerror}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
