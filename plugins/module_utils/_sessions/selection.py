# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which sessions are meant, when some are listed or ended."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._host.error import HostError
from .._tokens.record import full_fingerprint
from .log import Session

_ID = re.compile(r"[0-9]{1,10}-[0-9]{1,20}-[0-9]{1,10}\Z")
_FINGERPRINT = re.compile(r"[0-9a-f]{4,64}\Z")
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class SelectionError(HostError):
    """What was asked for names no sessions."""


def id_of(session: Session) -> str:
    """How a session is named: worker, connection and request, as the session log has them."""
    return "-".join(session.key)


class Selection(t.NamedTuple):
    """The sessions that fit each criterion that is given; without any, all sessions.

    ids: see :func:`id_of`. subjects: those of their tokens. fingerprints: the beginning of the token's SHA-256, at
    least four digits, or of a signed token's id. addresses: addresses and networks of the client, as a load balancer
    names it where there is one. server_names and locations: as the gate's configuration has them. until: seconds since
    1970, those that began later are not meant.
    """

    ids: t.Tuple[str, ...] = ()
    subjects: t.Tuple[str, ...] = ()
    fingerprints: t.Tuple[str, ...] = ()
    addresses: t.Tuple[str, ...] = ()
    server_names: t.Tuple[str, ...] = ()
    locations: t.Tuple[str, ...] = ()
    until: t.Optional[float] = None

    def check(self) -> None:
        """Raise SelectionError, with words that help, for what can name no session."""
        # Neither is repeated: whoever mixes up two parameters gives a token here.
        for index, one in enumerate(self.ids):
            if not _ID.match(one):
                raise SelectionError(
                    f"ids[{index}] is not a session's id: three numbers with - between are needed, as session_list "
                    "shows them"
                )
        for index, one in enumerate(self.fingerprints):
            if not _FINGERPRINT.match(one):
                raise SelectionError(
                    f"fingerprints[{index}] is not a fingerprint: 4 to 64 digits of 0-9 and a-f are needed"
                )
        self.networks()

    def networks(self) -> t.List[Network]:
        """The addresses as networks."""
        found: t.List[Network] = []
        for one in self.addresses:
            try:
                found.append(_plain(ipaddress.ip_network(one)))
            except ValueError as error:
                raise SelectionError(f"{one!r} is no address and no network: {error}") from None
        return found

    def matcher(self, subject_of: t.Callable[[str], t.Optional[str]]) -> t.Callable[[Session], bool]:
        """Return what tells whether a session is meant. ``subject_of`` tells the subject of a token."""
        networks = self.networks()
        ids, subjects, locations = frozenset(self.ids), frozenset(self.subjects), frozenset(self.locations)
        # As nginx has them, which knows no capital letters in a name.
        server_names = frozenset(name.lower() for name in self.server_names)

        def is_meant(session: Session) -> bool:
            return (
                (not ids or id_of(session) in ids)
                and (not server_names or session.server_name.lower() in server_names)
                and (not locations or session.location in locations)
                and (self.until is None or session.started_at <= self.until)
                and (not networks or is_within(session.visitor, networks))
                and (
                    not self.fingerprints
                    or (bool(session.token) and full_fingerprint(session.token).startswith(self.fingerprints))
                    or (bool(session.token_id) and session.token_id.startswith(self.fingerprints))
                )
                # Last: it takes a look at the token's file.
                and (
                    not subjects
                    or (subject_of(session.token) if session.token else session.subject or None) in subjects
                )
            )

        return is_meant


def _plain(network: Network) -> Network:
    """Of IPv4 addresses in their IPv6 spelling, the IPv4 network."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def is_within(address: str, networks: t.Sequence[Network]) -> bool:
    """Whether the address is in one of the networks; an IPv4 address counts as one in its IPv6 spelling, too."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # of a unix socket
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped in network for network in networks)
