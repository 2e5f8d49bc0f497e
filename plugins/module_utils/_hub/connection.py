# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to one server that somebody has named, logged in, with replies as text; and what the Sentinels tell."""

from __future__ import annotations

import re
import typing as t

from . import wire
from .error import HubError
from .wire import RefusedError, Reply, Word

# The longest text that a server has to say of itself: INFO has some 8 kB.
LONGEST = 1 << 20
# A name or an address, as nothing else is connected to or shown.
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}\Z")

# By the name that it has in info.py and the modules
Refused = RefusedError


class Endpoint(t.NamedTuple):
    """Where a server is, how it is trusted, and who logs in."""

    host: str
    port: int
    ca_path: str = ""
    username: str = ""
    password: str = ""

    def shown(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection:
    """One connection, logged in."""

    def __init__(self, endpoint: Endpoint, patience: float = wire.PATIENCE) -> None:
        self.endpoint = endpoint
        self.wire = wire.connect(endpoint.host, endpoint.port, endpoint.ca_path, patience)
        if endpoint.username or endpoint.password:
            try:
                self.ask("AUTH", endpoint.username, endpoint.password)
            except RefusedError as error:
                self.close()
                if error.code in ("WRONGPASS", "ERR", "NOAUTH"):
                    raise HubError(
                        f"{endpoint.shown()} does not let user {endpoint.username} in: user or password are not right"
                    ) from None
                raise

    def ask(self, *words: Word) -> Reply:
        """The answer to one command, with str instead of bytes. Raises RefusedError where it is an error."""
        try:
            return _as_text(self.wire.call(*words, longest=LONGEST))
        except RefusedError:
            raise
        except HubError as error:
            raise HubError(f"{self.endpoint.shown()}: {error}") from None

    def close(self) -> None:
        """Give it back."""
        self.wire.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _as_text(reply: Reply) -> Reply:
    if isinstance(reply, list):
        return [_as_text(one) for one in reply]
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


def parse_info(text: str) -> t.Dict[str, str]:
    """The fields of an answer to INFO."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _colon, value in lines}


def number(info: t.Mapping[str, str], name: str) -> int:
    """A field of it that is a number; 0 where it is none."""
    value = info.get(name, "")
    return int(value) if value.isdigit() else 0


def primary(sentinels: t.Sequence[Endpoint], service: str, patience: float = wire.PATIENCE) -> t.Tuple[str, int]:
    """Where the Sentinels say that the primary is; the first that answers counts."""
    problems = []
    for one in sentinels:
        try:
            return primary_of(one, service, patience)
        except HubError as error:
            problems.append(str(error))
    raise HubError("no Sentinel tells where the primary is: " + "; ".join(problems))


def primary_of(sentinel: Endpoint, service: str, patience: float = wire.PATIENCE) -> t.Tuple[str, int]:
    """Where this Sentinel says that the primary is."""
    with Connection(sentinel, patience) as connection:
        return _address(sentinel, service, connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service))


def _address(sentinel: Endpoint, service: str, reply: Reply) -> t.Tuple[str, int]:
    """What a Sentinel has answered. It is connected to with verified TLS, and nothing is sent there without."""
    if reply is None:
        raise HubError(f"{sentinel.shown()} knows no service {service}")
    if isinstance(reply, list) and len(reply) == 2 and all(isinstance(one, str) for one in reply):
        host, port = reply
        if _HOST.match(host) and re.match(r"[0-9]{1,5}\Z", port) and 0 < int(port) < 65536:
            return host, int(port)
    raise HubError(f"{sentinel.shown()} answers with no address")
