# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that tells what differs between operating systems."""

from __future__ import annotations

import typing as t

from ..plugin_utils import _platforms


def platform(family: t.Any) -> t.Dict[str, t.Any]:
    return _platforms.platform(str(family))


class FilterModule:
    """Filters of the table of operating systems."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"platform": platform}
