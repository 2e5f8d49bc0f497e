#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_info
version_added: 1.0.0
short_description: Tell which nginx is installed and running
description:
  - Tells version, package and build of nginx and which of its processes run. It does not fail where nginx is missing.
options:
  main_file:
    description: Absolute path of the main file; only a master that runs it is looked for.
    type: path
    default: /etc/nginx/nginx.conf
  connections:
    description:
      - Whether to count the clients that nginx's workers are connected with. That takes root.
    type: bool
    default: false
  packages:
    description: Names of packages to look for.
    type: list
    elements: str
    default: []
  service:
    description: Name of nginx's systemd service, to tell its state. An empty text asks for none.
    type: str
    default: ''
  paths:
    description: Absolute paths of files and folders whose owner, group, mode and content are asked for.
    type: list
    elements: path
    default: []
  compared_files:
    description: Files to compare with what they should be. Nothing is written.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      path:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: The whole text that it should have.
        type: str
        required: true
      owner:
        description: Name of the owner that it should have.
        type: str
        default: root
      group:
        description: Name of the group that it should have.
        type: str
        default: root
      mode:
        description: Permissions that it should have, as four octal digits in quotes.
        type: str
        default: '0644'
extends_documentation_fragment:
  - wssgate.nginx.attributes
  - wssgate.nginx.nginx
attributes:
  diff_mode:
    support: none
seealso:
  - module: wssgate.nginx.nginx_config
author:
  - wssgate contributors (@wssgate)
"""

EXAMPLES = r"""
- name: Look at nginx
  wssgate.nginx.nginx_info:
  register: nginx

- name: Say which one it is
  ansible.builtin.debug:
    msg: "nginx {{ nginx.version }} from package {{ nginx.package_version }}"
  when: nginx.installed
"""

RETURN = r"""
installed:
  description: Whether O(binary) is there.
  returned: always
  type: bool
version:
  description: Version that the binary says it is. Empty when it is not installed, like all the texts that follow.
  returned: always
  type: str
  sample: 1.22.1
openssl_version:
  description:
    - Version of the OpenSSL that the binary is loaded with, which may be newer than the one that it was built with.
    - Empty when it has none, or another library in its place.
  returned: always
  type: str
  sample: 3.5.9
package_version:
  description: Version of the distribution's package. Empty when nginx does not come from one.
  returned: always
  type: str
  sample: 1.22.1-9+deb12u9
packages:
  description: Those of O(packages) that are installed.
  returned: always
  type: list
  elements: str
  sample: [nginx]
service:
  description: State of O(service); everything is V(false) without systemd.
  returned: always
  type: dict
  contains:
    enabled:
      description: Whether it starts with the system.
      type: bool
    reload_needed:
      description: Whether one of its unit files has changed since systemd read it.
      type: bool
paths:
  description:
    - Those of O(paths) that are regular files or folders, by path. Others, symlinks among them, are left out.
    - Owner and group are names, or numbers in quotes where there is no name; C(sha256) is of a file's content.
  returned: always
  type: dict
  sample:
    /etc/systemd/system/nginx.service.d/wssgate.conf:
      kind: file
      sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
      owner: root
      group: root
      mode: '0644'
    /var/lib/nginx/tokens:
      kind: directory
      owner: root
      group: www-data
      mode: '0710'
differing_files:
  description:
    - Paths of those of O(compared_files) that are missing, no regular files, or differ in content, owner, group or
      mode.
  returned: always
  type: list
  elements: str
  sample: [/etc/systemd/system/nginx.service.d/wssgate.conf]
  version_added: 1.1.0
effective_user_id:
  description: Number of the account that looked. Some of the rest takes root, V(0).
  returned: always
  type: int
  sample: 0
  version_added: 1.1.0
configure_arguments:
  description: What the binary was configured with.
  returned: always
  type: list
  elements: str
  sample: ['--with-http_ssl_module', '--with-stream=dynamic']
modules:
  description:
    Names of optional modules in the binary, without C(--with-) and C(_module). Those that have to be loaded are not
    here.
  returned: always
  type: list
  elements: str
  sample: [http_auth_request, http_realip, http_ssl]
dynamic_modules:
  description: Names of modules that were built to be loaded, whether or not they are installed.
  returned: always
  type: list
  elements: str
  sample: [stream]
prefix:
  description: Folder that relative paths outside the configuration start from.
  returned: always
  type: str
  sample: /usr/share/nginx
main_file:
  description: Main file that the binary reads when it is not told another.
  returned: always
  type: str
  sample: /etc/nginx/nginx.conf
pid_file:
  description: Pid file that it writes when it is not told another.
  returned: always
  type: str
  sample: /run/nginx.pid
user:
  description: User that its workers run as when it is not told another.
  returned: always
  type: str
  sample: nobody
running:
  description: Whether a master runs O(main_file).
  returned: always
  type: bool
master_pid:
  description: Process id of the master, 0 when there is none.
  returned: always
  type: int
  sample: 4710
workers:
  description: Its workers.
  returned: always
  type: list
  elements: dict
  contains:
    pid:
      description: Process id.
      type: int
      sample: 4711
    started:
      description: When it started, in seconds since 1970.
      type: float
      sample: 1793610000.12
    shutting_down:
      description: Whether it only sees its open sessions through.
      type: bool
    descriptors:
      description: How many files it may have open, as the system has it.
      type: int
      sample: 9024
connections:
  description:
    - How many clients the workers are connected with, those that are shutting down included. Each open session is one,
      and so is each plain HTTP connection that is kept alive.
    - The connections of a worker that is shutting down, to a port that is no longer listened on, count only when the
      port is below C(net.ipv4.ip_local_port_range).
  returned: when O(connections=true)
  type: int
  sample: 1200
missing_fixes:
  description:
    - Security fixes that matter to a gate and that this nginx is known to lack. The module warns of each.
    - Of packages of other distributions than Debian 12 and 13 nothing is known; of builds that are no distribution's,
      nginx's own version tells.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the fix.
      type: str
      sample: CVE-2026-42533
    what:
      description: What it is about.
      type: str
      sample: buffer overflow in maps with regular expressions
    fixed_in:
      description: The first version that has it, of the package or of nginx.
      type: str
      sample: 1.22.1-9+deb12u10
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host.error import HostError
from ..module_utils._nginx.info import differing_files, gather, installed_packages, path_states, service_state


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "binary": {"type": "path", "default": "/usr/sbin/nginx"},
            "main_file": {"type": "path", "default": "/etc/nginx/nginx.conf"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
            "connections": {"type": "bool", "default": False},
            "packages": {"type": "list", "elements": "str", "default": []},
            "service": {"type": "str", "default": ""},
            "paths": {"type": "list", "elements": "path", "default": []},
            "compared_files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
        },
        supports_check_mode=True,
    )
    values = module.params
    try:
        found = gather(
            values["binary"],
            values["main_file"],
            values["pid_file"],
            os.access(values["binary"], os.X_OK),
            values["connections"],
        )
    except HostError as error:
        module.fail_json(msg=str(error), nginx_output=getattr(error, "nginx_output", ""))
    found["effective_user_id"] = os.geteuid()
    found["packages"] = installed_packages(values["packages"])
    found["service"] = service_state(values["service"])
    found["paths"] = path_states(values["paths"])
    found["differing_files"] = differing_files(values["compared_files"])
    for fix in found["missing_fixes"]:
        module.warn(
            f"nginx {found['package_version'] or found['version']} lacks the fix for {fix['name']} "
            f"({fix['what']}); {fix['fixed_in']} has it"
        )
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
