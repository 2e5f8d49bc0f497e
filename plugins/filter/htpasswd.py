# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters behind the htpasswd role: what is wrong with its input, and what goes into a file."""

from __future__ import annotations

import typing as t

from ..plugin_utils._htpasswd import htpasswd_content, htpasswd_problems, htpasswd_written


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {
            "htpasswd_content": htpasswd_content,
            "htpasswd_problems": htpasswd_problems,
            "htpasswd_written": htpasswd_written,
        }
