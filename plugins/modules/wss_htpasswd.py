#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_htpasswd
short_description: Keep password files for nginx
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Writes password files whole, all in one task, each in one step.
  - nginx reads them at each request, so no reload is needed.
  - All files are looked at before the first is written.
  - A symlink in the place of a file is replaced by the file. Nothing is written to what it points to.
  - The content of a file, in which the hashes of passwords are, is in no result, no diff and no message.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path of the file. Its folder has to be there.
        type: path
        required: true
      content:
        description:
          - The whole text, a line C(name:hash) for each user, as P(wssgate.nginx.htpasswd_content#filter) makes it.
        type: str
        required: true
      owner:
        description: Name of the owner, or a number in quotes.
        type: str
        default: root
      group:
        description: Name of the group, or a number in quotes. nginx's workers have to be in it.
        type: str
        required: true
      mode:
        description: Permissions, as an octal number in quotes.
        type: str
        default: '0640'
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
    support: full
  diff_mode:
    description: Shows owner, group, mode and the number of users of each file that changes, and not its content.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
    details: Linux.
seealso:
  - plugin: wssgate.nginx.htpasswd_content
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Keep a password file
  wssgate.nginx.wss_htpasswd:
    files:
      - path: /etc/nginx/.htpasswd
        content: "{{ operators | wssgate.nginx.htpasswd_content(inventory_hostname) }}"
        group: www-data
  no_log: true
  vars:
    operators:
      path: /etc/nginx/.htpasswd
      users:
        - name: operator
          password: "{{ vault_operator_password }}"
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were written, or given another owner, group or mode.
  returned: success
  type: list
  elements: str
  sample: [/etc/nginx/.htpasswd]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import files, owned
from ..module_utils._host.error import HostError
from ..module_utils._host.owned import ABSENT, FILE, FOLDER

File = t.Dict[str, t.Any]


def argument_spec() -> t.Dict[str, t.Any]:
    return {
        "files": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "path": {"type": "path", "required": True},
                "content": {"type": "str", "required": True, "no_log": True},
                "owner": {"type": "str", "default": "root"},
                "group": {"type": "str", "required": True},
                "mode": {"type": "str", "default": "0640"},
            },
        }
    }


def attributes_of(module: AnsibleModule, wanted: File, path: str) -> t.Dict[str, t.Any]:
    return module.load_file_common_arguments(wanted, path)


def content_of(wanted: File) -> bytes:
    # As Ansible hands over what is no UTF-8.
    return wanted["content"].encode("utf-8", "surrogateescape")


def users_in(content: bytes) -> str:
    count = sum(1 for line in content.splitlines() if line.strip() and not line.startswith(b"#"))
    return "1 user" if count == 1 else f"{count} users"


def refuse_what_cannot_be(module: AnsibleModule, wanted: File, found: owned.Found) -> None:
    path = wanted["path"]
    if not os.path.isabs(path):
        raise HostError(f"{path} is not an absolute path")
    if found.kind == FOLDER:
        raise HostError(f"{path} is a folder: name a file, or remove it")
    # A dry run cannot know what an earlier task of the play would make.
    if module.check_mode:
        return
    if not os.path.isdir(os.path.dirname(path)):
        raise HostError(f"{os.path.dirname(path)}, the folder of {path}, is not there: install nginx, or make it first")
    for database, option in (("passwd", "owner"), ("group", "group")):
        if not owned.is_known(database, wanted[option]):
            raise HostError(f"{option} {wanted[option]} of {path} is not on this host: make it first, or name another")


def keep(module: AnsibleModule, wanted: File, found: owned.Found) -> t.Optional[t.Dict[str, str]]:
    """Have one file as wanted; return the diff, or nothing where it was so already."""
    path, content = wanted["path"], content_of(wanted)
    before = owned.Found(ABSENT) if found.kind != FILE else found
    is_other = before.kind != FILE or before.content != content
    if is_other:
        changed = True
        if not module.check_mode:
            files.write(
                path,
                content,
                files.PRIVATE,
                follow=True,
                replaces_link=True,
                finish=lambda staged: module.set_fs_attributes_if_different(
                    attributes_of(module, wanted, staged), False
                ),
            )
    else:
        changed = module.set_fs_attributes_if_different(attributes_of(module, wanted, path), False)
    if not changed:
        return None
    described = f"{wanted['owner']}:{wanted['group']} {wanted['mode']}, {users_in(content)}"
    return {
        "before_header": path,
        "after_header": path,
        "before": f"{before.shown()}, {users_in(before.content)}\n" if before.kind == FILE else "",
        "after": described + (", new content\n" if is_other and before.kind == FILE else "\n"),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    diff: t.List[t.Dict[str, str]] = []
    path = ""
    try:
        found = [(wanted, owned.look(wanted["path"])) for wanted in module.params["files"]]
        for wanted, there in found:
            refuse_what_cannot_be(module, wanted, there)
        for wanted, there in found:
            path = wanted["path"]
            changes = keep(module, wanted, there)
            diff += [changes] if changes else []
    except HostError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{path}: {os.strerror(error.errno or 0)}")
    module.exit_json(
        changed=bool(diff),
        changed_files=[changes["after_header"] for changes in diff],
        **({"diff": diff} if module._diff else {}),
    )


if __name__ == "__main__":
    main()
