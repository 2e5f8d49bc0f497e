# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where nginx is and how its master is found."""

    DOCUMENTATION = r"""
options:
  binary:
    description: Absolute path of nginx.
    type: path
    default: /usr/sbin/nginx
  pid_file:
    description:
      - Absolute path of nginx's pid file. It is a hint only. The master is recognised by its binary and its main file.
    type: path
    default: /run/nginx.pid
"""
