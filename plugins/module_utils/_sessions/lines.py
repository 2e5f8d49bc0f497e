# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of the session log: their fields, and which of them a reader may pass over who asks for certain tokens."""

from __future__ import annotations

import re
import typing as t

from .._tokens.pattern import TOKEN_PATTERN
from .sockets import Pair

# Kinds of lines. Each is one byte, so that one can be put in the place of another.
STARTED = "S"
ENDED = "E"
KEPT = "K"

# A field that says nothing
NONE = "-"

# What isdigit() takes for one may be no number to others.
_LIFETIME = re.compile(r"([0-9]{1,10})-([0-9]{1,10})\Z")
# By jwt.js, and what nginx makes of " and \ in a log
_ENCODED = re.compile(rb"(?:%|\\x)([0-9A-Fa-f]{2})")

# Whether sessions of a token are asked for: by the token, which is empty where none let the session in, and by the id
# of a signed token, which is empty as well where there is none.
Concerns = t.Callable[[str, str], bool]


class Start(t.NamedTuple):
    """The fields of a line for a token that has let a client in, in their order.

    A field that is added comes last and has a default: lines of sessions that began before it stand without.
    """

    kind: str
    msec: str
    worker: str
    connection: str
    request: str
    client: str
    client_port: str
    server: str
    server_port: str
    visitor: str
    token: str
    server_name: str = NONE
    location: str = NONE
    lifetime: str = NONE
    token_id: str = NONE
    issued: str = NONE
    subject: str = NONE


class End(t.NamedTuple):
    """The fields of a line for a request that is over, in their order."""

    kind: str
    msec: str
    worker: str
    connection: str
    request: str
    status: str


def are_of(line: t.Type[t.Any], fields: t.Sequence[str]) -> bool:
    """Whether a line of this kind may have so many fields."""
    return len(line._fields) - len(line._field_defaults) <= len(fields) <= len(line._fields)


def lifetime_of(text: str) -> t.Optional[t.Tuple[int, int]]:
    """The seconds that a session may last, at least and at most; None where the field names none."""
    found = _LIFETIME.match(text)
    return (int(found.group(1)), int(found.group(2))) if found else None


def subject_of(text: str) -> str:
    """The subject that a field has, which is encoded."""
    if text in (NONE, ""):
        return ""
    return _ENCODED.sub(lambda found: bytes([int(found.group(1), 16)]), text.encode("utf-8")).decode("utf-8", "replace")


# Passing over lines

_PORT = "(?:0|[1-9][0-9]{0,4})"
_ISSUED = "(?:-|[0-9]{1,12})"
_ANY = "[!-~]+"
# Whole lines as nginx writes them, and no others: of one that was torn, the fields behind the tear are of another kind
# than those that stand here. Whatever does not look so is read with care.
_PLAIN = re.compile(
    (
        r"([SKE]) [0-9]{1,11}\.[0-9]{3} ([0-9]{1,10} [0-9]{1,20} [0-9]{1,10}) "
        r"(?:"
        rf"(?:[0-9A-Fa-f.:]+|unix:[!-~]*) (-|{_PORT}) (?:[0-9A-Fa-f.:]+|unix:[!-~]*) (-|{_PORT}) {_ANY} "
        rf"({TOKEN_PATTERN}|-)"
        # Server, location, lifetime, id of a signed token, when it was made, its subject
        rf"(?: {_ANY}(?: {_ANY}(?: (?:-|[0-9]+-[0-9]+)(?: (-|[0-9a-f]{{64}})(?: {_ISSUED}(?: {_ANY})?)?)?)?)?)?"
        r"|([0-9]{3}))\Z"
    ).encode("ascii")
)


class Sieve:
    """Tells which lines do not matter to a reader who asks for certain tokens.

    Reading a line with care takes ten times as long, and on a busy gate nearly all are about others. A line about
    another token matters all the same where it may end a session that is known: by its name or its two ports.
    """

    def __init__(self, concerns: Concerns) -> None:
        self._concerns = concerns
        self._keys: t.Set[bytes] = set()
        self._ports: t.Set[t.Tuple[bytes, bytes]] = set()

    def note(self, key: bytes, pair: t.Optional[Pair]) -> None:
        """A session is known from now on: by its worker, connection and request, and by its connection."""
        self._keys.add(key)
        if pair is not None:
            (_server, server_port), (_client, client_port) = pair
            self._ports.add((b"%d" % client_port, b"%d" % server_port))

    def unconcerned(self, line: bytes) -> t.Optional[t.Tuple[str, bytes]]:
        """Return the kind of a line that can be passed over, and its session's name; None for one that has to be read.

        Addresses have several spellings, so that a connection is told by its ports alone: too much is read, no less.
        """
        found = _PLAIN.match(line)
        if found is None:
            return None
        kind, key, client_port, server_port, token, token_id, _status = found.groups()
        if key in self._keys:
            return None
        if token is None:
            return (ENDED, key) if kind == b"E" else None
        if kind == b"E" or (client_port, server_port) in self._ports:
            return None
        if self._concerns(_field(token), _field(token_id)):
            return None
        return kind.decode("ascii"), key


def _field(text: t.Optional[bytes]) -> str:
    return "" if text is None or text == b"-" else text.decode("ascii")
