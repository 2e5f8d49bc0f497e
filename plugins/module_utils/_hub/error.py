# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of whatever has to do with the hub."""

from __future__ import annotations

from .._host.error import HostError


class HubError(HostError):
    """The hub cannot be used; the text says why and holds no secret."""
