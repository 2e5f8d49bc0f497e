# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How an operator reaches the hub, for the modules that do."""

    DOCUMENTATION = r"""
options:
  server:
    description: Where the hub is, with C(host) and C(port).
    type: dict
  sentinels:
    description: Its Sentinels, each with C(host) and C(port), instead of O(server).
    type: list
    elements: dict
    default: []
  service:
    description: Name that the Sentinels have for it.
    type: str
    default: wssgate
  sentinel_auth:
    description: Whether to log in to the Sentinels.
    type: bool
    default: true
  ca_path:
    description: File with the authorities that may vouch for the hub, in PEM. Without it the system's.
    type: path
  fleet:
    description: Name of the fleet in the hub's keys.
    type: str
    default: main
  username:
    description: User of the hub.
    type: str
    default: operator
  password:
    description: Its password.
    type: str
  password_path:
    description: File with its password, instead of O(password).
    type: path
"""
