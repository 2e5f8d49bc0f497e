#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_hub_password
short_description: Keep passwords of the hub's users on the host that uses them
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Makes a password of 256 random bits where there is none, in a file for root alone, and returns its SHA-256, which is
    all that the hub needs. The password itself never leaves the host.
  - A symlink in the place of a file is refused.
options:
  passwords:
    description: The passwords.
    type: list
    elements: dict
    required: true
    suboptions:
      user:
        description: User of the hub.
        type: str
        required: true
      path:
        description: Absolute path of the file. Its folder is made for root alone.
        type: path
        required: true
      content:
        description:
          - What the password shall be, 16 to 512 characters without blanks. Without it one is made, or the one that is
            there stays.
        type: str
      text:
        description: What stands in the file, with V({}) for the password.
        type: str
        default: '{}'
      kept:
        description: Make no password where there is no file. The hub has its SHA-256, and somebody took the file away.
        type: bool
        default: false
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_hub_info
"""

EXAMPLES = r"""
- name: Have a password of this gate
  wssgate.nginx.wss_hub_password:
    passwords:
      - user: gate-one
        path: /etc/wssgate/hub/password
  register: hub_password
"""

RETURN = r"""
hashes:
  description:
    - SHA-256 of the passwords that this host has made, hexadecimal, by user. Those that were given are not among them.
      In check mode one that is not made yet is missing.
  returned: success
  type: dict
  sample: {gate-one: 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4}
changed_files:
  description: The files that were written.
  returned: success
  type: list
  elements: str
  sample: [/etc/wssgate/hub/password]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError
from ..module_utils._hub.passwords import Wanted, ensure

OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "user": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "no_log": True},
    "text": {"type": "str", "default": "{}"},
    "kept": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "passwords": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS, "no_log": False}
        },
        supports_check_mode=True,
    )
    hashes: t.Dict[str, str] = {}
    written: t.List[str] = []
    for item in module.params["passwords"]:
        wanted = Wanted(item["user"], item["path"], item["content"] or "", item["text"], item["kept"])
        try:
            if not wanted.path.startswith("/") or "{}" not in wanted.text:
                module.fail_json(msg=f"{wanted.path}: path must be absolute, and text must have {{}} in it")
            result = ensure(wanted, module.check_mode)
        except HostError as error:
            module.fail_json(msg=f"password of {wanted.user}: {error}")
        except OSError as error:
            module.fail_json(msg=f"password of {wanted.user}: {error.filename or wanted.path}: {error.strerror}")
        if result.changed:
            written.append(wanted.path)
        if result.sha256:
            hashes[wanted.user] = result.sha256
    module.exit_json(changed=bool(written), hashes=hashes, changed_files=written)


if __name__ == "__main__":
    main()
