# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The token store and its session log, for the modules that read them."""

    DOCUMENTATION = r"""
options:
  path:
    description:
      - Absolute path of the token store, a directory. A symlink is refused.
      - In check mode a store that does not exist yet counts as an empty one.
      - Before version 1.1.0 this option had no default.
    type: path
    default: /var/lib/nginx/tokens
  session_log:
    description:
      - Absolute path of the session log.
    type: path
    default: /var/log/nginx/wssgate/sessions.log
"""
