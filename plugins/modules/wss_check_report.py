#!/usr/bin/python

# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The action plugin of the same name does it, on the controller. No host runs this file.

from __future__ import annotations

DOCUMENTATION = r"""
module: wss_check_report
short_description: Write what playbook check found to a file of the controller
version_added: 1.1.0
author:
  - wssgate contributors (@wssgate)
description:
  - Writes a page of HTML, JSON, a line for Nagios or text. The playbook C(wssgate.nginx.check) does it.
  - The file is replaced in one step, so that who reads it has all of the old report or all of the new one.
  - A new file has mode 0600. One that is there keeps its mode, which is how a web server gets to read it.
  - No host is asked for anything.
options:
  path:
    description:
      - Absolute path of the file on the controller. Its folder has to be there.
      - A symlink is refused, and so is anything else that is not a regular file.
    type: path
    required: true
  output:
    description: What to write.
    type: str
    choices: [html, json, nagios, text]
    required: true
  summary:
    description: What the filter P(wssgate.nginx.check_summary#filter) returns.
    type: dict
    required: true
attributes:
  check_mode:
    description: Can run in check mode and say what would change without changing it.
    support: full
    details: Nothing is written, and the result is changed.
  diff_mode:
    description: Would show what has changed.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
    details: The controller.
seealso:
  - module: wssgate.nginx.wss_gate_info
"""

EXAMPLES = r"""
- name: Write the page
  wssgate.nginx.wss_check_report:
    path: /srv/www/wssgate/check.html
    output: html
    summary: "{{ {'a': hostvars['a'].found} | wssgate.nginx.check_summary({}, {}, 14) }}"
  run_once: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/www/wssgate/check.html
"""
