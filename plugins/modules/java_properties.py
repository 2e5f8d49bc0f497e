#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: java_properties
short_description: Set keys of a file of Java properties
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Sets keys in a file that a Java program reads as properties, and leaves everything else in it byte for byte.
  - It reads the file as C(java.util.Properties.load) does, so that what it takes for set is what the program sees. That
    goes for any of C(=), C(:) and blanks after a key, escapes, lines that go on in the next one, and lines that end
    with a carriage return.
  - Of a key that is there several times the last one counts, and is what changes.
  - The file is written whole, in one step, with its owner, group and mode. A symlink is refused.
  - The content of the file stays on the host. Of the keys in O(settings) alone the values are returned and shown in a
    diff.
options:
  path:
    description: The file, at most 16 MiB. It has to be there.
    type: path
    required: true
  settings:
    description:
      - What shall be set. Values have to be strings, so V("true") needs its quotes.
    type: dict
    required: true
extends_documentation_fragment:
  - wssgate.nginx.attributes
attributes:
  diff_mode:
    support: full
    details: It shows the lines of the keys that change, not those around them.
seealso:
  - name: Class Properties of Java
    description: How such a file is read.
    link: https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html
"""

EXAMPLES = r"""
- name: Have the server read the client's address from the gate's header
  wssgate.nginx.java_properties:
    path: /usr/local/FlashphonerWebCallServer/conf/flashphoner.properties
    settings:
      ws.map_custom_headers: "true"
      ws.ip_forward_header: X-Client-IP
"""

RETURN = r"""
changes:
  description: The keys that were, or in check mode would be, set to another value.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: The key.
      type: str
      sample: ws.ip_forward_header
    before:
      description: Its value before. None where it was not set.
      type: str
      sample: X-Real-IP
    after:
      description: Its value now.
      type: str
      sample: X-Client-IP
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._host import files
from ..module_utils._host.error import HostError, Result, attempted, reason
from ..module_utils._host.java_properties import ENCODING, Change, changed, line_of

LIMIT = 16 << 20


def _read(path: str) -> t.Tuple[bytes, os.stat_result]:
    """Content and attributes of one and the same file, whatever is put in its place meanwhile."""
    with os.fdopen(files.open_file(path), "rb") as file:
        content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise HostError(f"{path} holds more than {LIMIT} bytes")
        return content, os.fstat(file.fileno())


def _shown(value: t.Optional[str]) -> t.Optional[str]:
    """As text, which a value of the file need not be: half of a character that is two escapes is a value, too."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def _settings(given: t.Mapping[t.Any, t.Any]) -> t.Dict[str, str]:
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise HostError(f"settings: {key} is {value!r}, which is no string; write it in quotes")
    return dict(given)


def _ensure(path: str, settings: t.Mapping[str, str], check_mode: bool) -> Result:
    content, status = _read(path)
    text = content.decode(ENCODING)
    try:
        after, changes = changed(text, settings)
    except HostError as error:
        raise HostError(f"{path}: {error}") from error
    if after != text and not check_mode:
        mode = status.st_mode & 0o7777
        files.write(path, after.encode(ENCODING), mode, status.st_uid, status.st_gid, follow=True)
    return {
        "changed": after != text,
        "changes": [{"key": one.key, "before": _shown(one.before), "after": one.after} for one in changes],
        "diff": _diff(path, changes),
    }


def _diff(path: str, changes: t.Iterable[Change]) -> t.Dict[str, str]:
    before = "".join(f"{line_of(one.key, one.before)}\n" for one in changes if one.before is not None)
    after = "".join(f"{line_of(one.key, one.after)}\n" for one in changes)
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "settings": {"type": "dict", "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    path: str = module.params["path"]
    result, problem = attempted(
        lambda: _ensure(path, _settings(module.params["settings"]), module.check_mode),
        lambda error: f"{path}: {reason(error)}",
    )
    if problem:
        module.fail_json(msg=problem)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
