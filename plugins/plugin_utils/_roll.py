# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the hosts of a fleet get a change: one first, then the rest by so many at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._nginx.answers import is_bad, words

PARTS = re.compile(r"([0-9]{1,4})(%?)\Z")


def size_of(serial: object, hosts: int) -> int:
    """How many hosts get a change at once; serial is a number of hosts, or a share of them in percent.

    Raises ValueError, with words for users, for what is neither.
    """
    found = PARTS.match(str(serial)) if not isinstance(serial, bool) else None
    if found is None or not int(found[1]) or (found[2] and int(found[1]) > 100):
        raise ValueError(
            f"wssgate_serial is {serial!r}: it has to be a number of hosts, 1 or more, or a share of them such as 25%"
        )
    return int(found[1]) if not found[2] else max(1, hosts * int(found[1]) // 100)


def batches(hosts: Sequence[str], serial: object, canaries: Sequence[str] | None = None) -> list[list[str]]:
    """The hosts in the order in which they get a change.

    The first of ``canaries`` comes first: what it answers afterwards shows what the change does. Where none of them is
    there, hosts come one by one. None: any host is as good.
    """
    size = size_of(serial, len(hosts))
    if canaries is None:
        canaries = hosts
    first = [host for host in hosts if host in canaries][:1]
    if not first:
        return [[host] for host in hosts]
    rest = [host for host in hosts if host not in first]
    return [first] + [list(rest[at : at + size]) for at in range(0, len(rest), size)]


def _gates(found: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """What balancers that answered tell of gates, by the gate's name, then by balancer and service."""
    gates: dict[str, dict[str, dict[str, Any]]] = {}
    for result in found.get("results", []):
        balancer = result.get(result.get("ansible_loop_var", "item"), "")
        for service in (result.get("haproxy") or {}).get("services", []):
            for gate in service["gates"]:
                where = f"HAProxy on {balancer}, service {service['name']}"
                gates.setdefault(gate["name"], {})[where] = gate
    return gates


def in_rotation(hosts: Sequence[str], found: Mapping[str, Any]) -> list[str]:
    """Those of the hosts that a balancer gives sessions to, and those that no balancer that answers knows."""
    gates = _gates(found)
    return [host for host in hosts if host not in gates or any(gate["state"] == "up" for gate in gates[host].values())]


def _is_good(gate: Mapping[str, Any]) -> bool:
    # The last check counts as well: it takes some that fail until HAProxy takes a gate out of rotation.
    return gate["state"] == "up" and gate["check"].partition("/")[0] in ("L4OK", "L6OK", "L7OK")


def worse_gates(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[str]]:
    """Which gates balancers had in rotation before and do not find well now, each with sentences for people.

    Both are results of wss_balancer_info in a loop over the balancers.
    """
    then, now = _gates(before), _gates(after)
    worse: dict[str, list[str]] = {}
    for host, gates in then.items():
        for where, gate in gates.items():
            found = now.get(host, {}).get(where)
            if found is not None and _is_good(gate) and not _is_good(found):
                told = f"{where}: it was {gate['status']} ({gate['check']}) before and is {found['status']}"
                worse.setdefault(host, []).append(f"{told} ({found['check'] or 'no check'}) now")
    return worse


def worse_answers(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which locations answered well before and do not now, by two results of wss_gate_info, in words for people."""
    known = {
        (target["name"], location["path"]): location["without_token"]
        for target in before["targets"]
        for location in target["locations"]
    }
    found = []
    for target in after["targets"]:
        for location in target["locations"]:
            then, now = known.get((target["name"], location["path"])), location["without_token"]
            if then is not None and is_bad(now) and not is_bad(then):
                where = f"{target['server_name']}{location['path']}"
                found.append(f"{where} answered {then} before and {words(now)} now")
    return found


def takes_sessions(look: Mapping[str, Any]) -> bool:
    """Whether clients are answered well by one location at least, by a result of wss_gate_info; true without any."""
    answers = [location["without_token"] for target in look.get("targets", []) for location in target["locations"]]
    return not answers or not all(map(is_bad, answers))


def problem(
    batch: Sequence[str],
    connections: Mapping[str, int],
    capacities: Mapping[str, int],
    looks: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Why the other hosts cannot take over the sessions of a batch; empty where they can, or where nobody knows.

    connections: how many clients each host has. capacities: how many sessions each of them was asked to carry, 0 where
    it was not asked. looks: the last result of wss_gate_info of each host. One that is drained or fails has no room.
    """
    taking = {host for host in connections if takes_sessions((looks or {}).get(host, {}))}
    others = [host for host in connections if host not in batch]
    ready = [host for host in others if host in taking]
    if others and not ready and taking.intersection(batch):
        return (
            f"none of the other gates takes new sessions ({', '.join(others)} are drained or do not answer), so that "
            f"clients would have nowhere to go without {', '.join(batch)}: take them back (playbook undrain) or repair "
            "them first (playbook check tells what is wrong), or set roll_capacity_required: false"
        )
    wanted = sum(connections[host] for host in batch if host in connections)
    if not wanted or any(not capacities.get(host) for host in ready):
        return ""
    room = sum(max(0, capacities[host] - connections[host]) for host in ready)
    if wanted <= room:
        return ""
    return (
        f"{', '.join(batch)} carry {wanted} sessions, and the other gates have room for {room} by nginx_sessions: roll "
        "fewer at once (roll_serial), raise nginx_sessions, or set roll_capacity_required: false to cut them all the "
        "same"
    )
