# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gate has to know of the hub. Nothing here needs TLS, so that an agent without a hub does not load it."""

from __future__ import annotations

import json
import os
import typing as t

from .._host import files
from . import keys
from .error import HubError
from .merge import Rules
from .records import ISSUE, OPERATE, REVOKED

NAME, PASSWORD_NAME = "hub.json", "hub-password"
# On a host. It goes with a reboot, and not with the agent: nginx asks for it.
MARKER = "/run/wssgate-hub/caught-up"


class Settings(t.NamedTuple):
    """The hub of a gate. ``servers``: the one hub, or its Sentinels where ``service`` is the name that they have."""

    fleet: str
    gate: str
    servers: t.Tuple[t.Tuple[str, int], ...]
    username: str
    password_path: str
    service: str = ""
    sentinel_auth: bool = True
    ca_path: str = ""
    issuers: t.Tuple[t.Tuple[str, Rules], ...] = ()
    # All gates of the fleet, this one among them
    gates: t.Tuple[str, ...] = ()
    # The file that is made once the gate has caught up, for nginx; and seconds after which it is made in any case
    marker: str = ""
    startup_grace: int = 0
    # Seconds without a sight of the hub after which that file is removed; 0 for never
    max_staleness: int = 0
    # Seconds that a signed token lives at most which this gate takes
    longest_signed: int = 86400

    def key(self, stream: str) -> str:
        """The hub's key of a stream."""
        if stream.startswith(ISSUE):
            return keys.issue(self.fleet, stream[len(ISSUE) :])
        if stream.startswith(REVOKED):
            return keys.revoked(self.fleet, stream[len(REVOKED) :])
        return keys.operate(self.fleet)

    def urgent(self) -> t.List[str]:
        """The streams that may revoke."""
        return [OPERATE, *(REVOKED + name for name in dict.fromkeys([*self.gates, self.gate]))]

    def issuing(self) -> t.List[str]:
        """The streams of issuers."""
        return [ISSUE + name for name, _rules in self.issuers]


def text_of(settings: Settings) -> str:
    """What the file of the agent holds. The password is in a file of its own."""
    return json.dumps({**settings._asdict(), "issuers": [[name, rules._asdict()] for name, rules in settings.issuers]})


def load(folder: str) -> t.Optional[Settings]:
    """The settings in the agent's folder; None where there is no hub."""
    path = os.path.join(folder, NAME)
    data = files.read(path)
    if data is None:
        return None
    try:
        found = json.loads(data.decode("utf-8"))
        found["servers"] = tuple((str(host), int(port)) for host, port in found["servers"])
        found["issuers"] = tuple(
            (str(name), Rules(int(rules["max_ttl"]), tuple(map(str, rules["subjects"])), int(rules["max_tokens"])))
            for name, rules in found["issuers"]
        )
        found["gates"] = tuple(map(str, found["gates"]))
        settings = Settings(**found)
    except (ValueError, KeyError, TypeError):
        raise HubError(f"{path} holds no settings of the hub: run wssgate.nginx.site") from None
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raise HubError for what cannot be in a key, and where no server is named."""
    names = [(keys.FLEET, settings.fleet), (keys.GATE, settings.gate), *((keys.GATE, one) for one in settings.gates)]
    names += [(keys.ISSUER, name) for name, _rules in settings.issuers]
    if not settings.servers or not all(pattern.fullmatch(name) for pattern, name in names):
        raise HubError("the settings of the hub name no server, or have a name that no key can have")
