#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token_export
short_description: Return the tokens of a store, for the hub to adopt
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Returns the valid tokens of a token store themselves, so set C(no_log) on the task. Playbook
    C(wssgate.nginx.token_adopt) gives them to M(wssgate.nginx.wss_hub_token). To look at a store take
    M(wssgate.nginx.wss_token_info), which shows no token.
options:
  path:
    description:
      - Absolute path of the token store, a directory. A symlink is refused.
      - In check mode a store that does not exist yet counts as an empty one.
    type: path
    default: /var/lib/nginx/tokens
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_hub_token
  - module: wssgate.nginx.wss_token_info
"""

EXAMPLES = r"""
- name: Read the tokens of this gate
  wssgate.nginx.wss_token_export:
  register: exported
  no_log: true
"""

RETURN = r"""
exported:
  description:
    - The valid tokens, each with C(token), C(subject), C(issued_at) and C(expires_at). Subject and end are none where
      the file does not have them; the time of issue of a file that was made by hand is that of its last change.
  returned: success
  type: list
  elements: dict
skipped:
  description: Number of files that are no valid tokens.
  returned: success
  type: int
  sample: 0
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import attempted, unnamed
from ..module_utils._tokens.store import open_store


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "path": {"type": "path", "default": "/var/lib/nginx/tokens"},
    }


def run(module: AnsibleModule) -> t.Dict[str, t.Any]:
    """Read the store."""
    now = time.time()
    with open_store(module.params["path"], write=False, missing_ok=module.check_mode) as store:
        tokens, foreign = store.scan()
    valid = [token for token in tokens if token.is_valid(now)]
    return {
        "exported": [
            {
                "token": token.name,
                "subject": token.subject,
                "issued_at": int(token.changed_at) if token.issued_at is None else token.issued_at,
                "expires_at": token.expires_at,
            }
            for token in valid
        ],
        "skipped": len(tokens) - len(valid) + len(foreign),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    result, failure = attempted(lambda: run(module), unnamed)
    if failure is not None:
        module.fail_json(msg=failure)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
