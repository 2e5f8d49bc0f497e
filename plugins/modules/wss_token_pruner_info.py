#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_token_pruner_info
short_description: Report whether a host removes expired tokens by itself
version_added: 1.0.0
author:
  - wssgate contributors (@wssgate)
description:
  - Looks whether the pruner that M(wssgate.nginx.wss_token_pruner) installed is there, whether its timer or cron runs,
    and whether its last run did all that it had to.
  - A token whose end has passed is let in until the pruner removes it, so a pruner that does not run is a way in.
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.wss_token_pruner
"""

EXAMPLES = r"""
- name: Look whether expired tokens are removed
  wssgate.nginx.wss_token_pruner_info:
  register: pruner

- name: Fail when they are not
  ansible.builtin.assert:
    that: pruner.problems | length == 0
    fail_msg: "{{ pruner.problems | join('; ') }}"
"""

RETURN = r"""
scheduler:
  description: What runs the pruner, V(systemd), V(cron) or V(none).
  returned: success
  type: str
  sample: systemd
problems:
  description:
    - What is wrong with it, one text each. Empty where it runs and works.
    - With cron nothing is known of the last run. The pruner is then started once with an option that changes nothing.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._agent.state import look
from ..module_utils._host.error import HostError


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        state = look()
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the pruner'}: {os.strerror(error.errno or 0)}")
    module.exit_json(changed=False, scheduler=state.scheduler, problems=state.problems)


if __name__ == "__main__":
    main()
