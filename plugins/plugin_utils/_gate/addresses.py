# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From which addresses clients may come to a server and to a location.

Not by nginx's allow and deny: under ``satisfy any`` an address that is allowed would count as a credential.
"""

from __future__ import annotations

import ipaddress
import typing as t

from .._problems import Problems
from .context import Gate
from .patterns import NETWORK

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

KINDS = ("allow", "deny")
# nginx's geo takes a client without an address, that of a unix socket, for this one: ngx_http_geo_cidr_variable().
NO_ADDRESS = ipaddress.IPv4Network("255.255.255.255")
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def read(gate: Gate, where: str, owner: str, what: str, options: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    """The lists of a server or a location; ``owner`` and ``what`` are whose, for variables and for readers of a file.

    nginx's variables begin with a word for each, so that no server's is that of another one's location.
    """
    found = []
    for kind in KINDS:
        networks = networks_of(gate.problems, where, f"{kind}_from", options[f"{kind}_from"])
        if networks:
            own = f"wss_{kind}_{owner}" if "path" in options else f"wss_server_{kind}_{owner}"
            lists = {
                "kind": kind,
                "variable": gate.alike(kind, frozenset(networks), own),
                "what": what,
                "networks": [str(network) for network in networks],
                "covers_none": any(isinstance(n, ipaddress.IPv4Network) and NO_ADDRESS.subnet_of(n) for n in networks),
            }
            found.append(lists)
            if lists["variable"] == own:
                gate.addresses.append(lists)
    return found


def networks_of(problems: Problems, where: str, key: str, given: t.Any) -> t.List[Network]:
    """A list of addresses and networks, as networks."""
    networks: t.List[Network] = []
    for index, item in enumerate(problems.items(where, key, given)):
        here = f"{where}, {key}[{index}]"
        text = str(item)
        try:
            if not NETWORK.fullmatch(text):
                raise ValueError("such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")
            network = _unmapped(ipaddress.ip_network(text))
        except ValueError as error:
            problems.add(here, f"{text!r} is not an address or a network in CIDR notation ({error})")
            continue
        if network == NO_ADDRESS:
            problems.add(here, f"{text!r} is the broadcast address, which no client has; leave it out")
        elif network in networks:
            problems.add(here, f"{text!r} is there twice; keep one")
        else:
            networks.append(network)
    return networks


def _unmapped(network: Network) -> Network:
    """An IPv4 network that is written as one of IPv6 (::ffff:192.0.2.0/120): nginx looks such clients up as IPv4."""
    if (
        isinstance(network, ipaddress.IPv6Network)
        and network.prefixlen >= MAPPED.prefixlen
        and network.subnet_of(MAPPED)
    ):
        address = int(network.network_address) & 0xFFFFFFFF
        return ipaddress.IPv4Network((address, network.prefixlen - MAPPED.prefixlen))
    return network


def lets_in(lists: t.Iterable[t.Mapping[str, t.Any]], address: str) -> bool:
    """Whether a client of that address passes all of them."""
    client = ipaddress.ip_address(address)
    mapped = getattr(client, "ipv4_mapped", None)
    return all(
        any((mapped or client) in ipaddress.ip_network(network) for network in item["networks"])
        == (item["kind"] == "allow")
        for item in lists
    )
