# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses that move between balancers: in a network of the host, nobody else's, each with a number of its own."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .hosts import plain_address

if t.TYPE_CHECKING:
    from .model import Reading

ADDRESS_DEFAULTS: t.Dict[str, t.Any] = {"address": "", "router_id": None, "interface": "", "outside_allowed": False}
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,14}")
# The highest of them counts as the address's owner: RFC 5798, 5.2.4.
PRIORITY = 200

Network = t.Tuple[str, ipaddress.IPv4Network]


def networks(facts: t.Mapping[str, t.Any]) -> t.Tuple[t.List[str], t.List[Network]]:
    """The interfaces of a host, and their IPv4 networks. An address that keepalived added is a network of its own."""
    names = [str(name) for name in facts.get("interfaces") or [] if name != "lo"]
    found: t.List[Network] = []
    for name in names:
        link = facts.get(re.sub(r"[-.:@]", "_", name)) or {}
        primary = link.get("ipv4") or {}
        for entry in [primary, *(link.get("ipv4_secondaries") or [])]:
            try:
                network = ipaddress.IPv4Network(f"{entry['address']}/{entry['netmask']}", strict=False)
            except (KeyError, TypeError, ValueError):
                continue
            if network.prefixlen < 32 and (name, network) not in found:
                found.append((name, network))
    return names, found


def own_addresses(facts: t.Mapping[str, t.Any]) -> t.List[t.Tuple[str, str]]:
    """Interfaces of a host and their IPv4 addresses, but for those that keepalived adds (with /32)."""
    found = []
    for name in facts.get("interfaces") or []:
        link = facts.get(re.sub(r"[-.:@]", "_", str(name))) or {}
        for entry in [link.get("ipv4") or {}, *(link.get("ipv4_secondaries") or [])]:
            if entry.get("address") and entry.get("netmask") != "255.255.255.255":
                found.append((str(name), str(entry["address"])))
    return found


def read(reading: Reading) -> t.List[t.Dict[str, t.Any]]:
    """The addresses as the template takes them."""
    problems = reading.problems
    found: t.List[t.Dict[str, t.Any]] = []
    given = problems.entries("balancer", "balancer_addresses", reading.context["addresses"])
    if given and len(reading.balancers) < 2:
        problems.add(
            "balancer",
            "balancer_addresses are for two balancers and more, and the group wss_balancers has "
            f"{len(reading.balancers)}; put another into it, or leave balancer_addresses out",
        )
    if given and ":" in reading.address:
        problems.add(
            f"balancer {reading.host!r}",
            f"its address {reading.address} is of IPv6, and the balancers of IPv4 addresses talk by IPv4; set "
            "balancer_address",
        )
    numbers: t.Dict[int, str] = {}
    for here, item in given:
        entry = _address(reading, here, item)
        if not entry:
            continue
        where = f"address {entry['address']}"
        if any(other["address"] == entry["address"] for other in found):
            problems.add(where, "it is in balancer_addresses twice; keep one")
        other = numbers.setdefault(entry["router_id"], entry["address"])
        if other != entry["address"]:
            problems.add(where, f"router_id {entry['router_id']} is that of {other}; give each its own")
        found.append(entry)
    return found


def _address(reading: Reading, here: str, item: t.Mapping[str, t.Any]) -> t.Optional[t.Dict[str, t.Any]]:
    problems = reading.problems
    options = problems.options(here, item, ADDRESS_DEFAULTS)
    text = plain_address(options["address"])
    if not text or ":" in text:
        problems.add(here, f"address {str(options['address'])!r} is not an IPv4 address, such as 192.0.2.10")
        return None
    where = f"address {text}"
    address = ipaddress.IPv4Address(text)
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        problems.add(where, "no client can connect to an address of this kind; name another")
    owners = [("balancer", *one) for one in reading.balancers]
    owners += [("gate", gate["name"], gate["address"]) for gate in reading.gates]
    for kind, name, other in owners:
        if other == text:
            problems.add(where, f"it is {kind} {name!r}'s own; an address that moves is nobody's, name a free one")
    router_id = options["router_id"]
    if router_id is None and text.endswith(".0"):
        problems.add(where, "no router_id follows from it; set one from 1 to 255")
    return {
        "address": text,
        "router_id": problems.number(
            where, "router_id", (int(text.rpartition(".")[2]) or 1) if router_id is None else router_id, 1, 255
        ),
        "interface": _interface(reading, where, address, options),
        "priority": _priority(reading),
    }


def _interface(reading: Reading, where: str, address: ipaddress.IPv4Address, options: t.Mapping[str, t.Any]) -> str:
    problems = reading.problems
    wanted = str(options["interface"] or "")
    allowed = problems.flag(where, "outside_allowed", options["outside_allowed"])
    names, known = networks(reading.context["facts"])
    # What a host calls an interface goes into a configuration as well.
    known = [(name, network) for name, network in known if INTERFACE.fullmatch(name)]
    names = [name for name in names if INTERFACE.fullmatch(name)]
    if wanted and wanted not in names:
        problems.add(where, f"{reading.host} has no interface {wanted!r}; there are {', '.join(names) or 'none'}")
        return wanted
    for name, own in own_addresses(reading.context["facts"]):
        if own == str(address):
            problems.add(
                where, f"{reading.host} has it on {name} by itself; an address that moves is nobody's, name a free one"
            )
    if allowed and not wanted:
        problems.add(where, "outside_allowed needs interface; name it")
    fitting = [(name, network) for name, network in known if address in network and wanted in ("", name)]
    for _name, network in fitting:
        if network.prefixlen < 31 and address in (network.network_address, network.broadcast_address):
            problems.add(where, f"it stands for the whole of {network}, not for a host; name another")
    if fitting or (allowed and wanted):
        return wanted or fitting[0][0]
    shown = ", ".join(f"{network} ({name})" for name, network in known) or "none"
    problems.add(
        where,
        f"it is in no network of {wanted or 'an interface'} of {reading.host} ({shown}), so nobody finds it there; "
        "name one of these networks, or set interface and outside_allowed: true where a router sends it here",
    )
    return wanted


def _priority(reading: Reading) -> int:
    """All alike: whoever has the address keeps it. Where the first is to have it, it is the highest."""
    if not reading.context["preempt_enabled"]:
        return PRIORITY
    names = [name for name, _address in reading.balancers]
    return PRIORITY - min(names.index(reading.host) if reading.host in names else 0, 49)
