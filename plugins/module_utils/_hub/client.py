# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the hub's primary."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._host import files
from .._host.error import HostError, told
from .connection import Connection, Endpoint, number, parse_info, primary_of
from .connection import primary as primary_of_some
from .error import HubError
from .settings import Settings
from .wire import PATIENCE, Wire

_LONGEST_PASSWORD = 4096
# Of a server, about its replicas: some hundred bytes each
_LONGEST_INFO = 1 << 16
_REPLICA = "the hub is a replica: its primary is another one by now"
# Seconds that one of several may take: a host without power answers nothing, and the others know the way.
SHORT = 2.0


class Primary(t.NamedTuple):
    """A connection to the primary, and the run of the server: another one has perhaps lost what this one had.

    ``at``: which of the servers of the settings has shown the way. ``place``: where it is.
    """

    wire: Wire
    run: str
    at: int = 0
    place: t.Tuple[str, int] = ("", 0)


class Succession:
    """Whether the server that a gate reads from is the primary still, where Sentinels choose it.

    One that was away for a moment, or hung, takes itself for the primary for some ten seconds after another has its
    place, and nobody writes to it. By then it has no replica any more: that is asked of it once a second, and the
    Sentinels only where it is so.
    """

    EVERY = 1.0

    def __init__(self, settings: Settings, primary: Primary) -> None:
        self._settings = settings
        self._primary = primary
        self._next = 0.0

    def look(self) -> None:
        """Ask, where it is time. Raises HubError where another one is the primary, or the server is none."""
        if not self._settings.service or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.EVERY
        text = self._primary.wire.call("INFO", "replication", longest=_LONGEST_INFO)
        found = parse_info(text.decode("utf-8", "replace") if isinstance(text, bytes) else "")
        if found.get("role") != "master":
            raise HubError(_REPLICA)
        if number(found, "connected_slaves"):
            return
        if _named(self._settings, self._primary.at) not in (None, self._primary.place):
            raise HubError("the hub has another primary by now")


def _named(settings: Settings, first: int) -> t.Optional[t.Tuple[str, int]]:
    """Where a Sentinel says that the primary is; None where none answers."""
    password = _password(settings) if settings.sentinel_auth else ""
    count = len(settings.servers)
    with contextlib.suppress(HubError):
        asked = [_asked(settings, (first + step) % count, password) for step in range(count)]
        return primary_of_some(asked, settings.service, SHORT)
    return None


def _asked(settings: Settings, at: int, password: str) -> Endpoint:
    """One of the servers of the settings, as a Sentinel is asked, which may know no users."""
    host, port = settings.servers[at]
    username = settings.username if settings.sentinel_auth else ""
    return Endpoint(host, port, settings.ca_path, username, password if settings.sentinel_auth else "")


def reach(settings: Settings, password: str = "", first: int = 0) -> Primary:
    """Connect to the primary and log in, with this password, or that of the file. Begin with this of the servers."""
    password = password or _password(settings)
    problem = HubError("the hub has no server")
    count = len(settings.servers)
    patience = SHORT if count > 1 else PATIENCE
    tried = set()
    for step in range(count):
        at = (first + step) % count
        host, port = settings.servers[at]
        one = Endpoint(host, port, settings.ca_path, settings.username, password)
        try:
            if settings.service:
                host, port = primary_of(_asked(settings, at, password), settings.service, patience)
            # A Sentinel that was cut off may name one that is the primary no more: then the next one is asked.
            if (host, port) not in tried:
                tried.add((host, port))
                return _entered(one._replace(host=host, port=port), patience)._replace(at=at)
        except HubError as error:
            problem = error
    raise problem


def _entered(endpoint: Endpoint, patience: float) -> Primary:
    connection = Connection(endpoint, patience)
    try:
        text = connection.ask("INFO")
        found = parse_info(text if isinstance(text, str) else "")
        if found.get("role", "master") != "master":
            raise HubError(_REPLICA)
    except HubError:
        connection.close()
        raise
    # From here on it may be busy.
    connection.wire.patience = PATIENCE
    return Primary(connection.wire, found.get("run_id", ""), place=(endpoint.host, endpoint.port))


def _password(settings: Settings) -> str:
    try:
        data = files.read(settings.password_path, _LONGEST_PASSWORD)
    except (OSError, HostError) as error:
        raise HubError(f"{settings.password_path}, the password for the hub, cannot be read: {told(error)}") from None
    if not data or not data.strip():
        raise HubError(f"{settings.password_path}, the password for the hub, is not there: run wssgate.nginx.site")
    return data.strip().decode("utf-8", "surrogateescape")
