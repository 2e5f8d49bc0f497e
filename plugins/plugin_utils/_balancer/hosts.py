# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of other groups: their addresses, and the variables that another host's configuration follows from."""

from __future__ import annotations

import ipaddress
import typing as t

GATES, BALANCERS = "wss_proxies", "wss_balancers"


def plain_address(value: t.Any) -> str:
    """The value in one spelling, where it is an IP address; else nothing."""
    try:
        return str(ipaddress.ip_address(str(value).strip("[]")))
    except ValueError:
        return ""


def _fact(facts: t.Any, family: str) -> str:
    found = facts.get(f"default_{family}") if isinstance(facts, t.Mapping) else None
    return plain_address(found.get("address")) if isinstance(found, t.Mapping) else ""


def address_of(host: str, variables: t.Mapping[str, t.Any], name: str) -> str:
    """Where other hosts reach a host: as the variable says; else as Ansible does; else as its facts have it.

    A loopback address is where Ansible reaches it, perhaps through a tunnel, and nobody else.
    """
    given = variables.get(name)
    if given not in (None, ""):
        return plain_address(given) or str(given)
    for candidate in (variables.get("ansible_host"), host):
        found = plain_address(candidate)
        if found and not ipaddress.ip_address(found).is_loopback:
            return found
    facts = variables.get("ansible_facts")
    return _fact(facts, "ipv4") or _fact(facts, "ipv6")
