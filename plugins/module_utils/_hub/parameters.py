# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parameters by which a module reaches the hub as operator; fragment hub documents them."""

from __future__ import annotations

import typing as t

from . import keys
from .error import HubError
from .settings import Settings


def connection_spec() -> t.Dict[str, t.Any]:
    """What argument_spec has of them."""
    return {
        "server": {"type": "dict"},
        "sentinels": {"type": "list", "elements": "dict", "default": []},
        "service": {"type": "str", "default": "wssgate"},
        "sentinel_auth": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "fleet": {"type": "str", "default": "main"},
        "username": {"type": "str", "default": "operator"},
        "password": {"type": "str", "no_log": True},
        "password_path": {"type": "path", "no_log": False},
    }


def settings_of(params: t.Mapping[str, t.Any]) -> Settings:
    """The hub that they name. ``gates`` has the names of gates in it."""
    places = params["sentinels"] or [params["server"] or {}]
    try:
        servers = tuple((str(place["host"]), int(place["port"])) for place in places)
    except (KeyError, TypeError, ValueError):
        raise HubError("server, or each of sentinels, must have host and port") from None
    if not keys.FLEET.fullmatch(params["fleet"]):
        raise HubError("fleet must be 1 to 64 of a-z, 0-9, '-', '_' and '.', the first a letter or digit")
    for gate in params["gates"]:
        if not keys.GATE.fullmatch(gate):
            raise HubError(f"gates: {gate!r} cannot be the name of a gate in the hub")
    if bool(params["password"]) == bool(params["password_path"]):
        raise HubError("password or password_path is needed, one of them")
    return Settings(
        params["fleet"],
        "",
        servers,
        params["username"],
        params["password_path"] or "",
        params["service"] if params["sentinels"] else "",
        params["sentinel_auth"],
        params["ca_path"] or "",
    )
