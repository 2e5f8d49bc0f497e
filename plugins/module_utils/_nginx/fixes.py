# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which security fixes that matter to a gate an nginx lacks.

Only what touches what the gate uses is listed: maps with regular expressions, https upstreams, TLS 1.3 and its tickets,
and HTTP/2, which a server may have. What does not, and why, is in docs/reliability.md. A distribution puts a fix into
an old version, so its package version decides, as its changelog has it; nginx's own version tells only of builds that
are no distribution's.
"""

from __future__ import annotations

import re

from typing import Dict, List, NamedTuple, Tuple


class Fix(NamedTuple):
    """A fix, and where it came in: first upstream versions of the branches, and Debian's package versions by release.

    A release that never had the fault is not among ``debian``; ``since`` is the first of nginx's versions that had it.
    """

    name: str
    what: str
    upstream: Tuple[Tuple[int, ...], ...]
    debian: Dict[str, Tuple[str, int]]
    since: Tuple[int, ...] = ()


# From nginx's security advisories and the changelogs of the packages, the newest first.
FIXES = (
    Fix(
        "CVE-2026-118899",
        "a client over TLS 1.3 keeps a worker busy for ever while the body of its request is read",
        ((1, 30, 7), (1, 31, 9)),
        {"deb12": ("1.22.1-9", 11), "deb13": ("1.26.3-3", 11)},
        (1, 13, 0),
    ),
    Fix(
        "CVE-2026-123007",
        "overflow of a flow control window in HTTP/2, where http2_enabled is set",
        ((1, 30, 7), (1, 31, 9)),
        {"deb12": ("1.22.1-9", 11), "deb13": ("1.26.3-3", 11)},
        (1, 9, 5),
    ),
    Fix(
        "CVE-2026-123633",
        "use after free in HTTP/2 when connections run out, where http2_enabled is set",
        ((1, 30, 7), (1, 31, 9)),
        {"deb12": ("1.22.1-9", 11), "deb13": ("1.26.3-3", 11)},
        (1, 9, 5),
    ),
    # Keys of tickets rotate from 1.23.2 on: Debian 12's never do, so the gate gives no tickets there
    Fix(
        "CVE-2026-97629",
        "TLS sessions can be forged with a ticket key that was never set",
        ((1, 30, 6), (1, 31, 7)),
        {"deb13": ("1.26.3-3", 10)},
        (1, 23, 2),
    ),
    Fix(
        "CVE-2026-42533",
        "buffer overflow in maps with regular expressions",
        ((1, 30, 4), (1, 31, 3)),
        {"deb12": ("1.22.1-9", 10), "deb13": ("1.26.3-3", 8)},
    ),
    Fix(
        "CVE-2026-1642",
        "plain text injected into the answer of an https upstream",
        ((1, 28, 2), (1, 29, 5)),
        {"deb12": ("1.22.1-9", 4), "deb13": ("1.26.3-3", 2)},
    ),
)
# The Debian release that has this version, whatever its revision.
_DEBIAN_BASE = {base: release for fix in FIXES for release, (base, _revision) in fix.debian.items()}
_DEBIAN = re.compile(r"(?P<base>[0-9.]+-[0-9]+)(?:\+(?P<release>deb[0-9]+)u(?P<revision>[0-9]+))?\Z")
# nginx.org's own packages are built from its releases as they are: 1.28.0-1~bookworm, 1.28.0-1.el9.ngx.
_FROM_NGINX_ORG = re.compile(r"[0-9.]+-[0-9]+(?:~[a-z]+|\.[a-z0-9_]+\.ngx)\Z")


def missing_fixes(version: str, package_version: str) -> List[Dict[str, str]]:
    """Return the fixes that this nginx is known to lack; of a package of an unknown distribution nothing is known."""
    debian = _DEBIAN.match(package_version)
    if debian:
        release = debian.group("release") or _DEBIAN_BASE.get(debian.group("base"), "")
        return [
            {
                "name": fix.name,
                "what": fix.what,
                "fixed_in": f"{fix.debian[release][0]}+{release}u{fix.debian[release][1]}",
            }
            for fix in FIXES
            if release in fix.debian
            and debian.group("base") == fix.debian[release][0]
            and int(debian.group("revision") or 0) < fix.debian[release][1]
        ]
    if package_version and not _FROM_NGINX_ORG.match(package_version):
        return []
    numbers = _numbers(version)
    return [
        {
            "name": fix.name,
            "what": fix.what,
            "fixed_in": " and ".join(".".join(map(str, first)) for first in fix.upstream),
        }
        for fix in FIXES
        if numbers and numbers >= fix.since and not _has(numbers, fix.upstream)
    ]


def _numbers(version: str) -> Tuple[int, ...]:
    found = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _has(version: Tuple[int, ...], upstream: Tuple[Tuple[int, ...], ...]) -> bool:
    """Whether a release has what came into these branches: theirs from then on, and all that are newer than the
    newest.
    """
    if version >= max(upstream):
        return True
    return any(version[:2] == first[:2] and version >= first for first in upstream)
