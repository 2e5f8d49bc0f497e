# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter behind the authorities of one's own of the certificates role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_KEYS = ("name", "subject_alt_names", "common_name", "days")


def signing_requests(
    looked_at: Sequence[Mapping[str, Any]], certificates: Sequence[Mapping[str, Any]], authority: str
) -> list[dict[str, Any]]:
    """Return what an authority is to sign of what wss_certificate asked for."""
    asked = {item["name"]: item["request"] for item in looked_at if item.get("request")}
    return [
        {**{key: item[key] for key in _KEYS if item.get(key) is not None}, "request": asked[item["name"]]}
        for item in certificates
        if item.get("authority") == authority and item["name"] in asked
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"signing_requests": signing_requests}
