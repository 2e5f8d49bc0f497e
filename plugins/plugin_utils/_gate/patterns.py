# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns that leave no way to smuggle a second directive in, and what a text says that fits one."""

from __future__ import annotations

import ipaddress
import re
import typing as t


# sun_path of struct sockaddr_un holds 108 bytes, the last of them NUL: unix(7).
UNIX_PATH_MAX_BYTES = 107


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
GROUP_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
LOCATION_PATH = re.compile(r"/[A-Za-z0-9._~@+,=:/-]*")
FILE_PATH = re.compile(r"/+[A-Za-z0-9._@+,=:-][A-Za-z0-9._@+,=:/-]*")
FILE_NAME = re.compile(r"[A-Za-z0-9._-]+")
# 46 characters at most: a longer one does not fit a bucket of 64 bytes (proxy_headers_hash_bucket_size).
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,45}")
COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# No empty label: nginx has no server of such a name, and the DNS no host.
HOST_NAME = re.compile(r"[A-Za-z0-9](?:\.?[A-Za-z0-9_-]){0,252}")
SERVER_NAME = re.compile(rf"_|(?:\*\.)?{HOST_NAME.pattern}")
HOST = rf"(?:{HOST_NAME.pattern}|\[[0-9A-Fa-f:.]+\])"
PORT = r"(?P<port>[0-9]{1,5})"
UNIX = r"unix:(?P<unix>/[A-Za-z0-9._@+,=/-]+)"
ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:(?P<below>\*\.)(?!\[))?(?P<host>{HOST})(?::{PORT})?")
UPSTREAM_URL = re.compile(
    rf"(?P<scheme>https?|wss?)://(?:{UNIX}|(?P<host>{HOST})(?::{PORT})?(?P<path>{LOCATION_PATH.pattern})?)"
)
AUTHORITY = re.compile(rf"(?P<host>{HOST})(?::{PORT})?")
PEER = re.compile(rf"{UNIX}|(?P<host>{HOST}):{PORT}")
# Python takes anything for the zone of an IPv6 address (fe80::1%anything), nginx none: hence no '%'.
ADDRESS = re.compile(r"[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\]")
BALANCER = re.compile(r"[A-Za-z0-9._:-]+")
NETWORK = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9.]+)?")
SIZE = re.compile(r"[0-9]{1,9}[kKmMgG]?")
REALM = re.compile(r"[A-Za-z0-9 ._,:()/-]{1,64}")
MODE = re.compile(r"0?[0-7]{3}")
HASH_KEY = re.compile(r"(?:\$[a-z_][a-z0-9_]*)+(?: consistent)?")


# Letters of a name within those of nginx's variables and zones.
SLUG_MAX_LENGTH = 16


# Below this path are the gate's own internal locations.
INTERNAL_PATH = "/.wssgate"


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def is_plain(path: str) -> bool:
    """No empty, '.' or '..' part; a / at the end is none."""
    return not {"", ".", ".."}.intersection(path.removesuffix("/").split("/")[1:])


def parsed(pattern: t.Pattern[str], text: str) -> t.Optional[t.Match[str]]:
    """The parts of a text with a host in it; none when it does not fit, or has brackets around what is no address."""
    match = pattern.fullmatch(text)
    return match if match and (not (match["host"] or "").startswith("[") or is_address(match["host"])) else None


def slug(text: str, taken: t.Iterable[str]) -> str:
    """A part of the names of nginx's variables and zones, unlike all taken ones: nginx ignores their case."""
    slug = base = re.sub(r"[^A-Za-z0-9]", "_", text)[:SLUG_MAX_LENGTH]
    others = {other.lower() for other in taken}
    number = 1
    while slug.lower() in others:
        number += 1
        slug = f"{base}_{number}"
    return slug
