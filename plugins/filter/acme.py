# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters behind provider acme of the certificates role."""

from __future__ import annotations

import typing as t

from ..plugin_utils._certificates.providers.acme import acme_deployment, certbot_command


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"certbot_command": certbot_command, "acme_deployment": acme_deployment}
