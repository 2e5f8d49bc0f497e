# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module supports. A module adds its C(diff_mode), and whatever else is its own."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what would change without changing it.
    support: full
  diff_mode:
    description: Returns what has changed, or what would change in check mode.
  platform:
    description: Systems the module runs on.
    support: full
    platforms: posix
    details: Linux.
"""

    # A module of the action group `tokens`.
    TOKENS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/wssgate.nginx.tokens) in C(module_defaults) to set the token store of these modules once.
    support: full
    membership:
      - wssgate.nginx.tokens
    version_added: 1.1.0
"""

    # A module whose action plugin waits on the controller.
    WAITING = r"""
options: {}
attributes:
  action:
    description: Has an action plugin of the same name on the controller, which does the waiting.
    support: full
"""
