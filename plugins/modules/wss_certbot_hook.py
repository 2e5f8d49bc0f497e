#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_certbot_hook
short_description: Have certbot bring renewed certificates to nginx
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Installs the program C(/usr/local/sbin/wssgate-deploy-certificates), which certbot is to run after each attempt to
    renew (C(--post-hook)), and its configuration, C(/etc/letsencrypt/wssgate.json).
  - The program compares what certbot holds with what is installed, and that with what clients get. Where something
    differs it checks the pair, installs it, has nginx test its configuration and reloads once, with the lock and the
    proof of M(wssgate.nginx.nginx_config). What clients got before comes back where they do not get the new
    certificate.
  - The program is the same code as the modules of this collection, put on the host once. It needs Python and nothing of
    Ansible, and runs with the system's own Python (C(/usr/bin/python3), else another one of the system that is 3.8 or
    newer).
options:
  state:
    description:
      - V(absent) removes the program and its configuration. Certificates are not touched, nor what certbot holds.
    type: str
    choices: [present, absent]
    default: present
  certificates:
    description: The certificates to look after.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate, for messages.
        type: str
        required: true
      lineage:
        description: Name that certbot has for it (C(--cert-name)).
        type: str
        required: true
      certificate_path:
        description: Path of the certificate with its chain, as nginx reads it.
        type: path
        required: true
      key_path:
        description: Path of the key, as nginx reads it.
        type: path
        required: true
      server_name:
        description: Name by which a client asks for it.
        type: str
        required: true
      served_at:
        description: Addresses at which clients get it, each C(host:port).
        type: list
        elements: str
        required: true
  live_directory:
    description: Folder of certbot with a folder a certificate.
    type: path
    default: /etc/letsencrypt/live
  binary:
    description: nginx.
    type: path
    default: /usr/sbin/nginx
  directory:
    description: Folder of nginx's configuration, with C(nginx.conf) in it.
    type: path
    default: /etc/nginx
  pid_file:
    description: File with the number of nginx's master.
    type: path
    default: /run/nginx.pid
  live_timeout:
    description:
      - Seconds that new workers may take to serve, and that clients may take to get the new certificate after that.
    type: float
    default: 10
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    description: Returns what has changed. Of the program it returns the number of lines and the SHA-256 of each file.
    support: full
seealso:
  - module: wssgate.nginx.wss_certificate
  - module: wssgate.nginx.nginx_config
"""

EXAMPLES = r"""
- name: Have renewed certificates get to nginx
  wssgate.nginx.wss_certbot_hook:
    certificates:
      - name: wcs
        lineage: wcs
        certificate_path: /etc/nginx/certificates/wcs/fullchain.pem
        key_path: /etc/nginx/certificates/wcs/privkey.pem
        server_name: wcs.example.com
        served_at: [127.0.0.1:443]
"""

RETURN = r"""
program:
  description: What certbot is to run.
  returned: success
  type: str
  sample: /usr/local/sbin/wssgate-deploy-certificates
changed_files:
  description: The files that were written or removed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/letsencrypt/wssgate.json]
"""

import os
import sys
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._certificates import hook
from ..module_utils._host.diff import in_one_line
from ..module_utils._host.error import HostError, reason
from ..module_utils._host.shipped import choose_python

CERTIFICATE_OPTIONS: t.Dict[str, t.Dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "lineage": {"type": "str", "required": True},
    "certificate_path": {"type": "path", "required": True},
    "key_path": {"type": "path", "required": True, "no_log": False},
    "server_name": {"type": "str", "required": True},
    "served_at": {"type": "list", "elements": "str", "required": True},
}


def configuration_of(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What the program reads."""
    return {
        "nginx": [params["binary"], "-c", os.path.join(params["directory"], "nginx.conf")],
        "live_directory": params["live_directory"],
        "pid_path": params["pid_file"],
        "timeout": params["live_timeout"],
        "certificates": params["certificates"],
    }


def diff_of(change: hook.Change) -> t.Dict[str, str]:
    """A program's source is no configuration: of it the diff says only that it changes."""
    before, after = change.before or "", change.after.content if change.after else ""
    if hook.is_program(change.path):
        before, after = (in_one_line(text) if text else "" for text in (before, after))
    return {"before_header": change.path, "after_header": change.path, "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "certificates": {"type": "list", "elements": "dict", "default": [], "options": CERTIFICATE_OPTIONS},
            "live_directory": {"type": "path", "default": "/etc/letsencrypt/live"},
            "binary": {"type": "path", "default": "/usr/sbin/nginx"},
            "directory": {"type": "path", "default": "/etc/nginx"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
            "live_timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    wanted = {}
    try:
        if module.params["state"] == "present":
            wanted = hook.wanted_files(configuration_of(module.params), choose_python(sys.executable))
        found = hook.changes(wanted)
        if not module.check_mode:
            hook.apply(found)
            for change in found:
                if change.after is not None:
                    module.set_default_selinux_context(change.path, False)
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or hook.PROGRAM}: {reason(error)}")
    module.exit_json(
        changed=bool(found),
        program=hook.PROGRAM,
        changed_files=[change.path for change in found],
        diff=[diff_of(change) for change in found],
    )


if __name__ == "__main__":
    main()
