# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where HTTP requests go: what a URL names."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import typing as t

from .error import HostError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?\Z")
_TARGET = re.compile(r"/[!-~]*\Z")


class UrlError(HostError):
    """What is wrong with a URL. It holds nothing of it, as there may be a secret in it."""


class Endpoint(t.NamedTuple):
    """Where requests go: to a host, or to a unix socket."""

    host: str
    port: int
    target: str
    is_tls: bool = False
    socket: str = ""

    @property
    def shown(self) -> str:
        """For messages. The rest of a URL may hold a secret."""
        if self.socket:
            return f"unix:{self.socket}"
        return f"{self._host}:{self.port}"

    @property
    def header(self) -> str:
        """For header Host."""
        usual = (0, 443) if self.is_tls else (0, 80)
        return self._host if self.port in usual else f"{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_url(url: str, option: str, schemes: t.Sequence[str] = ("http", "https")) -> Endpoint:
    """Return what a URL names; ``option`` is the name of the option that it was given by."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in schemes:
        raise UrlError(f"{option} must begin with {' or '.join(f'{one}://' for one in schemes)}")
    place, slash, target = rest.partition("/")
    target = parse_target(slash + target, option)
    if "@" in place:
        raise UrlError(f"{option} must hold no user and no password")
    host, _colon, port = place.rpartition(":") if re.search(r":[^\]]*\Z", place) else (place, "", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        # Without an interface: it has no place in header Host, and from Python 3.9 on it may be any text.
        with contextlib.suppress(ValueError):
            ipaddress.IPv6Address(host if "%" not in host else "")
            return Endpoint(host, _port(scheme, port, option), target, scheme == "https")
        raise UrlError(f"{option} holds [ ] around what is no IPv6 address")
    # None of its parts is longer than DNS has them.
    if not _HOST.match(host) or len(host) > 253 or ".." in host or max(map(len, host.split("."))) > 63:
        raise UrlError(f"{option} must have the name or the address of a host after ://, an IPv6 address in [ ]")
    return Endpoint(host, _port(scheme, port, option), target, scheme == "https")


def _port(scheme: str, text: str, option: str) -> int:
    if not text:
        return 443 if scheme == "https" else 80
    if not re.match(r"[0-9]{1,5}\Z", text) or not 1 <= int(text) <= 65535:
        raise UrlError(f"{option} must have a port of 1 to 65535, or none")
    return int(text)


def parse_target(text: str, option: str) -> str:
    """Return what is asked for at a host."""
    text = text or "/"
    if not _TARGET.match(text) or "#" in text:
        raise UrlError(f"{option} must hold printable ASCII only, without blanks and #: encode the rest with %")
    return text
