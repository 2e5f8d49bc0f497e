# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths that nginx serves by one location, and that some upstreams read as the path of another one within it."""

from __future__ import annotations

import re
import typing as t

from . import auth

# A letter that is encoded one more time, for an upstream that decodes twice, or in overlong UTF-8.
ENCODED_LETTER = r"%(?:25)*[0-7][0-9a-f]|[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]"

# What decides who may connect, how long, and whether it is noted, with the methods of authentication's own fields.
GUARDS = (
    "auth",
    "http",
    *(name for method in auth.METHODS for name in method.guards),
    "client_certificate_required",
    "limits",
    "session_lifetime",
    "session_noted",
    "forward_credentials",
)


def _guards(location: t.Mapping[str, t.Any]) -> t.List[t.Any]:
    origins = location["origins"]
    lists = [(item["kind"], sorted(item["networks"])) for item in location["addresses"]]
    return [location[key] for key in GUARDS] + [sorted(origins["allowed"]), origins["missing"], lists]


def reading(path: str) -> str:
    """The regular expression (PCRE, without case) of what some upstreams read as this path, or as one below it.

    Some do without the case; some take parameters (``;v=1``) out of each part, and parts that are then empty; some take
    dots and blanks from its end, or the slash from the path's end. Some decode once more and then end at a ``?`` or
    ``#``.
    """
    parts = path.strip("/").split("/")
    slash = r"/(?:[. ]*(?:;[^/]*)?/)*"
    end = r"(?:[/?#]|$)" if path.endswith("/") else rf"(?:{slash}[. ]*(?:;[^/]*)?)?(?:[?#]|$)"
    return "^" + "".join(rf"{slash}{re.escape(part)}[. ]*(?:;[^/]*)?" for part in parts) + end


def readings(location: t.Mapping[str, t.Any], others: t.Iterable[t.Mapping[str, t.Any]]) -> t.List[str]:
    """What to refuse below this location: the paths of those within it that let others in, spelt otherwise."""
    within = [
        other["path"]
        for other in others
        if not location["exact"]
        and other["path"] != location["path"]
        and other["path"].startswith(location["path"])
        and _guards(other) != _guards(location)
    ]
    # What is read as a path below one of these is read as that one, too.
    nearest = [path for path in within if not any(path != p and p.endswith("/") and path.startswith(p) for p in within)]
    return [ENCODED_LETTER] * bool(nearest) + [reading(path) for path in nearest]
