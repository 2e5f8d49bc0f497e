# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gate's files of nginx's configuration have for its locations, as role wss_proxy renders them."""

from __future__ import annotations

import os

from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from .._host import files
from .._host.error import HostError
from .syntax import directives

FOLDER = "wssgate.d"
FILE_LIMIT = 16 << 20
# Set in each location of the gate, for its logs
LOCATION = "$wss_location"


class GateFiles(NamedTuple):
    """Ports on which the gate's locations are, and the upstream of each location by port, server name and path."""

    ports: Set[int]
    upstreams: Dict[Tuple[Optional[int], str, str], str]

    def upstream(self, port: Optional[int], server_name: str, location: str) -> Optional[str]:
        """Return the upstream of a location as nginx passes to it; None where the files do not have it."""
        return self.upstreams.get((port, server_name.lower(), location))


def read_gate_files(directory: str) -> GateFiles:
    """Read them; what cannot be read is passed over, and so is a folder that is not there."""
    found = GateFiles(set(), {})
    folder = os.path.join(directory, FOLDER)
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith("server_") and name.endswith(".conf"))
    except OSError:
        return found
    for name in names:
        try:
            data = files.read(os.path.join(folder, name), FILE_LIMIT)
        except (OSError, HostError):
            continue
        for server in _servers((data or b"").decode("utf-8", "surrogateescape")):
            if server.upstreams:
                found.ports.update(port for port in server.ports if port is not None)
            for location, upstream in server.upstreams.items():
                for port in server.ports:
                    found.upstreams.setdefault((port, server.name, location), upstream)
    return found


class _Server:
    def __init__(self) -> None:
        self.name = ""
        self.ports: List[Optional[int]] = []
        self.upstreams: Dict[str, str] = {}


def _servers(text: str) -> List[_Server]:
    found: List[_Server] = []
    location = ""
    for directive in directives(text):
        word, *rest = directive.words
        if word == "server" and not directive.context:
            found.append(_Server())
        elif directive.context == ("server",) and found:
            if word == "listen" and rest:
                found[-1].ports.append(_port(rest[0]))
            elif word == "server_name" and rest:
                # nginx names a server by its first one, in small letters ($server_name).
                found[-1].name = rest[0].lower()
            elif word == "location":
                location = ""
        elif directive.context == ("server", "location") and found and rest:
            if word == "set" and rest[0] == LOCATION and len(rest) == 2:
                location = rest[1]
            elif word == "proxy_pass" and location:
                found[-1].upstreams.setdefault(location, rest[0])
    return found


def _port(listen: str) -> Optional[int]:
    if listen.startswith("unix:"):
        return None
    port = listen.rpartition(":")[2]
    return int(port) if port.isdigit() else 80
