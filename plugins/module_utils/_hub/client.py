# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the hub's primary."""

from __future__ import annotations

import typing as t

from .._host import files
from .._host.error import HostError, told
from .connection import Connection, Endpoint, parse_info, primary_of
from .error import HubError
from .settings import Settings
from .wire import PATIENCE, Wire

_LONGEST_PASSWORD = 4096
# Seconds that one of several may take: a host without power answers nothing, and the others know the way.
SHORT = 2.0


class Primary(t.NamedTuple):
    """A connection to the primary, and the run of the server: another one has perhaps lost what this one had.

    ``at``: which of the servers of the settings has shown the way.
    """

    wire: Wire
    run: str
    at: int = 0


def reach(settings: Settings, password: str = "", first: int = 0) -> Primary:
    """Connect to the primary and log in, with this password, or that of the file. Begin with this of the servers."""
    password = password or _password(settings)
    problem = HubError("the hub has no server")
    count = len(settings.servers)
    patience = SHORT if count > 1 else PATIENCE
    tried = set()
    for number in range(count):
        at = (first + number) % count
        host, port = settings.servers[at]
        one = Endpoint(host, port, settings.ca_path, settings.username, password)
        try:
            if settings.service:
                asked = one if settings.sentinel_auth else one._replace(username="", password="")
                host, port = primary_of(asked, settings.service, patience)
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
            raise HubError("the hub is a replica: its primary is another one by now")
    except HubError:
        connection.close()
        raise
    # From here on it may be busy.
    connection.wire.patience = PATIENCE
    return Primary(connection.wire, found.get("run_id", ""))


def _password(settings: Settings) -> str:
    try:
        data = files.read(settings.password_path, _LONGEST_PASSWORD)
    except (OSError, HostError) as error:
        raise HubError(f"{settings.password_path}, the password for the hub, cannot be read: {told(error)}") from None
    if not data or not data.strip():
        raise HubError(f"{settings.password_path}, the password for the hub, is not there: run wssgate.nginx.site")
    return data.strip().decode("utf-8", "surrogateescape")
