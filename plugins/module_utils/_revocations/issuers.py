# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The issuers whose tokens a gate takes, as its configuration has them."""

from __future__ import annotations

import json
import os
import typing as t

from .._host import files
from .._host.error import HostError, reason
from .store import RevocationError

# Below the folder of nginx's configuration
NAME = "wssgate.d/jwt.json"
# Thousands of keys
SIZE_AT_MOST = 1 << 24


class Issuers(t.NamedTuple):
    """The claims iss, and the longest that a token may live, in seconds."""

    names: t.Tuple[str, ...]
    longest: int


def read_issuers(nginx_directory: str) -> t.Optional[Issuers]:
    """What the gate takes signed tokens of; None where it takes none."""
    path = os.path.join(nginx_directory, NAME)
    try:
        text = files.read(path, SIZE_AT_MOST, follow=True)
    except (OSError, HostError) as error:
        raise RevocationError(f"{path} cannot be read: {_words(error)}") from None
    if text is None:
        return None
    try:
        found = json.loads(text.decode("utf-8"))["issuers"].values()
        names = tuple(str(issuer["issuer"]) for issuer in found)
        longest = max((int(issuer["max_token_lifetime"]) for issuer in found), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RevocationError(f"{path} does not have the gate's issuers: run wssgate.nginx.site") from None
    return Issuers(names, longest) if names else None


def _words(error: t.Union[OSError, HostError]) -> str:
    return reason(error) if isinstance(error, OSError) else str(error)
