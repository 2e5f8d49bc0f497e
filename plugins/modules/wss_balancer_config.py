#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_balancer_config
short_description: Bring the configuration of HAProxy and keepalived live in one transaction
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Writes the files of HAProxy and of keepalived where they differ, and has them taken up by a reload that keeps open
    sessions.
  - Both programs test a copy first. Nothing is changed where one refuses it.
  - A new process of HAProxy has to answer within O(live_timeout), else what was there before is put back.
  - HAProxy is restarted where it was started without the folder of services, which a reload cannot change. That is so
    once, when the package has just started it.
  - A main file of somebody else's is kept beside it, with C(.wssgate-saved) behind its name, and put back by
    O(state=absent).
options:
  state:
    description: Whether the files are there, or what was there before them.
    type: str
    choices: [present, absent]
    default: present
  haproxy_directory:
    description: Folder of HAProxy's configuration.
    type: path
    default: /etc/haproxy
  haproxy_files:
    description:
      - Files below it, C(haproxy.cfg) and those of C(wssgate.d), by their relative paths, with the content of each.
      - Others of this collection in C(wssgate.d) are removed.
    type: dict
    default: {}
  haproxy_private_files:
    description:
      - More files of C(wssgate.d), which hold secrets. They are root's alone, and no diff and no output shows them.
    type: dict
    default: {}
  haproxy_pairs:
    description:
      - Files of C(wssgate.d) that are made of a certificate and its key. They are root's alone, too, and made anew
        where the pair is another one.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Relative path of the file.
        type: str
        required: true
      certificate_path:
        description: File on the host with the certificate and those above it.
        type: path
        required: true
      key_path:
        description: File on the host with its key.
        type: path
        required: true
  haproxy_binary:
    description: The program.
    type: path
    default: /usr/sbin/haproxy
  haproxy_service:
    description: Its systemd service. Empty where none runs it.
    type: str
    default: haproxy
  haproxy_pid_file:
    description: Its pid file, needed without O(haproxy_service).
    type: path
    default: /run/haproxy.pid
  haproxy_socket:
    description: The stats socket that the configuration has.
    type: path
    required: true
  drop_in_path:
    description: File with settings of the systemd service. Empty for none.
    type: path
    default: ''
  drop_in:
    description: Its content.
    type: str
    default: ''
  keepalived_directory:
    description: Folder of keepalived's configuration.
    type: path
    default: /etc/keepalived
  keepalived_content:
    description: Content of C(keepalived.conf). Empty where keepalived is not to run.
    type: str
    default: ''
  keepalived_binary:
    description: The program.
    type: path
    default: /usr/sbin/keepalived
  keepalived_service:
    description: Its systemd service.
    type: str
    default: keepalived
  addresses:
    description:
      - Addresses in O(keepalived_content), which are refused where another host than those of O(peers) has one. Asked
        by ARP, before keepalived has it for the first time.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The IPv4 address.
        type: str
        required: true
      interface:
        description: Interface that is to have it.
        type: str
        required: true
  peers:
    description: IPv4 addresses of the other balancers.
    type: list
    elements: str
    default: []
  enabled:
    description: Have both services start with the system.
    type: bool
    default: false
  allow_restart:
    description: Restart HAProxy where a reload cannot do, which cuts every session.
    type: bool
    default: false
  live_timeout:
    description: Seconds within which a new process of HAProxy has to serve.
    type: int
    default: 10
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
    support: full
    details: Has installed programs test the files all the same, in a folder that is removed again.
  diff_mode:
    description: Shows the lines that change.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
    details: Linux.
seealso:
  - module: wssgate.nginx.wss_balancer_info
"""

EXAMPLES = r"""
- name: Bring the balancer's configuration live
  wssgate.nginx.wss_balancer_config:
    haproxy_files:
      haproxy.cfg: "{{ lookup('ansible.builtin.template', 'haproxy.cfg.j2') }}"
      wssgate.d/wcs.cfg: "{{ lookup('ansible.builtin.template', 'service.cfg.j2') }}"
    haproxy_socket: /run/haproxy/wssgate.sock
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were written.
  returned: success
  type: list
  elements: str
  sample: [/etc/haproxy/wssgate.d/wcs.cfg]
removed_files:
  description: Paths of the files that were removed.
  returned: success
  type: list
  elements: str
enabled_services:
  description: Services that did not start with the system before.
  returned: success
  type: list
  elements: str
haproxy:
  description: What was done to HAProxy, V(unchanged), V(started), V(reloaded) or V(restarted).
  returned: success
  type: str
  sample: reloaded
keepalived:
  description: What was done to keepalived, V(unchanged), V(started), V(reloaded), V(restarted) or V(stopped).
  returned: success
  type: str
  sample: unchanged
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._balancer.service import HAProxy, Keepalived
from ..module_utils._balancer.transaction import (
    HAPROXY_FILE,
    KEEPALIVED_FILE,
    SERVICES_FOLDER,
    Settings,
    Transaction,
)
from ..module_utils._host import files
from ..module_utils._host.error import HostError


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "haproxy_directory": {"type": "path", "default": "/etc/haproxy"},
        "haproxy_files": {"type": "dict", "default": {}},
        "haproxy_private_files": {"type": "dict", "default": {}, "no_log": True},
        "haproxy_pairs": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "certificate_path": {"type": "path", "required": True},
                "key_path": {"type": "path", "required": True, "no_log": False},
            },
        },
        "haproxy_binary": {"type": "path", "default": "/usr/sbin/haproxy"},
        "haproxy_service": {"type": "str", "default": "haproxy"},
        "haproxy_pid_file": {"type": "path", "default": "/run/haproxy.pid"},
        "haproxy_socket": {"type": "path", "required": True},
        "drop_in_path": {"type": "path", "default": ""},
        "drop_in": {"type": "str", "default": ""},
        "keepalived_directory": {"type": "path", "default": "/etc/keepalived"},
        "keepalived_content": {"type": "str", "default": ""},
        "keepalived_binary": {"type": "path", "default": "/usr/sbin/keepalived"},
        "keepalived_service": {"type": "str", "default": "keepalived"},
        "addresses": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "address": {"type": "str", "required": True},
                "interface": {"type": "str", "required": True},
            },
        },
        "peers": {"type": "list", "elements": "str", "default": []},
        "enabled": {"type": "bool", "default": False},
        "allow_restart": {"type": "bool", "default": False},
        "live_timeout": {"type": "int", "default": 10},
    }


def settings_of(given: t.Dict[str, t.Any], check: bool) -> Settings:
    present = given["state"] == "present"
    if present and HAPROXY_FILE not in given["haproxy_files"]:
        raise HostError(f"haproxy_files has no {HAPROXY_FILE}")
    secrets, lacking = secret_files(given) if present else ({}, [])
    return Settings(
        haproxy=HAProxy(
            given["haproxy_binary"],
            given["haproxy_directory"],
            HAPROXY_FILE,
            SERVICES_FOLDER,
            given["haproxy_socket"],
            given["haproxy_service"],
            given["haproxy_pid_file"],
        ),
        keepalived=Keepalived(
            given["keepalived_binary"], given["keepalived_directory"], KEEPALIVED_FILE, given["keepalived_service"]
        ),
        haproxy_files={**{name: str(text) for name, text in given["haproxy_files"].items()}, **secrets}
        if present
        else {},
        keepalived_files={KEEPALIVED_FILE: given["keepalived_content"]}
        if present and given["keepalived_content"]
        else {},
        drop_in_path=given["drop_in_path"],
        drop_in=given["drop_in"] if present else "",
        allow_restart=given["allow_restart"],
        live_timeout=given["live_timeout"],
        check=check,
        addresses=given["addresses"] if present and given["keepalived_content"] else (),
        peers=given["peers"],
        enabled=given["enabled"] and present,
        private=frozenset(secrets),
        lacking=lacking,
    )


def secret_files(given: t.Dict[str, t.Any]) -> t.Tuple[t.Dict[str, str], t.List[str]]:
    """Files that root alone may read, by their paths, and those of the host that are missing for them."""
    found = {name: str(text) for name, text in given["haproxy_private_files"].items()}
    lacking: t.List[str] = []
    for pair in given["haproxy_pairs"]:
        texts = []
        for path in (pair["certificate_path"], pair["key_path"]):
            # A certificate may be a link, as certbot's is.
            content = files.read(path, follow=True)
            if content is None:
                lacking.append(path)
            texts.append((content or b"").decode("utf-8", "replace").strip() + "\n")
        found[pair["name"]] = "".join(texts)
    return found, lacking


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        outcome = Transaction(settings_of(module.params, module.check_mode)).run()
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'the system'}: {os.strerror(error.errno or 0)}")
    module.exit_json(**outcome.result(), **({"diff": outcome.diff()} if module._diff else {}))


if __name__ == "__main__":
    main()
