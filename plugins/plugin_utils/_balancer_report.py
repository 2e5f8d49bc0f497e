# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check says of balancers: one line a host, and all of it for a program."""

from __future__ import annotations

import typing as t

from ..module_utils._balancer.rotation import BY_ORDER
from . import _check_levels as levels
from ._check_levels import CRITICAL, WARNING, Finding

Results = t.Mapping[str, t.Any]


def report(results: Results) -> t.Dict[str, t.Any]:
    """Everything, for a program; problems holds what is wrong."""
    hosts: t.Dict[str, t.Any] = {}
    problems: t.List[t.Dict[str, str]] = []
    for host, result in sorted(results.items()):
        if not isinstance(result, t.Mapping) or "haproxy" not in result:
            problems.append(levels.not_asked(result).entry(host))
            continue
        hosts[host] = {key: result[key] for key in ("haproxy", "keepalived")}
        problems += [finding.entry(host) for finding in _problems(result)]
    problems += _address_problems(hosts)
    return {"hosts": hosts, "problems": problems}


def _problems(result: t.Mapping[str, t.Any]) -> t.List[Finding]:
    haproxy, keepalived = result["haproxy"], result["keepalived"]
    if not haproxy["running"]:
        return [Finding(CRITICAL, "haproxy", "", "HAProxy does not answer: see journalctl -u haproxy")]
    found = []
    if not haproxy["services"]:
        found.append(Finding(CRITICAL, "haproxy", "", "HAProxy has no service: run site.yml"))
    for service in haproxy["services"]:
        name = service["name"]
        for gate in service["gates"]:
            if gate["state"] == "down":
                words = f"service {name}: gate {gate['name']} is down ({gate['check'] or gate['status']})"
                # The others have its sessions; where there are none, the next finding is the critical one.
                found.append(Finding(WARNING, "service", name, words))
            elif gate["status"].startswith(BY_ORDER):
                words = f"service {name}: gate {gate['name']} gets no new sessions, by an order that no check lifts"
                words += f" ({gate['status']}): playbook undrain for {gate['name']} takes it back"
                found.append(Finding(WARNING, "service", name, words))
        if not any(gate["state"] == "up" for gate in service["gates"]):
            found.append(Finding(CRITICAL, "service", name, f"service {name}: no gate takes new sessions"))
    if keepalived["addresses"] and not keepalived["running"]:
        words = "keepalived does not run: see journalctl -u keepalived"
        found.append(Finding(CRITICAL, "keepalived", "", words))
    return found


def _address_problems(hosts: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, str]]:
    holders: t.Dict[str, t.List[str]] = {}
    for host, state in hosts.items():
        for entry in state["keepalived"]["addresses"]:
            holders.setdefault(entry["address"], [])
            if entry["held"]:
                holders[entry["address"]].append(host)
    found = []
    for address, names in holders.items():
        words = ""
        if not names:
            words = f"no balancer that was asked has the address {address}"
        elif len(names) > 1:
            words = f"it has the address {address}, and so have others: {', '.join(names)}"
        if words:
            found.append(Finding(CRITICAL, "address", address, words).entry(names[0] if names else ""))
    return found


def _line(host: str, state: t.Mapping[str, t.Any]) -> str:
    haproxy, keepalived = state["haproxy"], state["keepalived"]
    words = [f"haproxy {haproxy['version'] or 'does not answer'}"]
    for service in haproxy["services"]:
        gates = ", ".join(
            f"{gate['name']} {gate['state']}" + (f" {gate['check']}" if gate["check"] else "") + f" {gate['sessions']}"
            for gate in service["gates"]
        )
        words.append(f"{service['name']}: {service['sessions']} sessions ({gates})")
    if keepalived["addresses"]:
        held = [entry["address"] for entry in keepalived["addresses"] if entry["held"]]
        state_word = "runs" if keepalived["running"] else "does not run"
        words.append(f"keepalived {state_word}, has {', '.join(held) or 'no address'}")
    return f"{host}: " + "; ".join(words)


def lines(results: Results) -> t.List[str]:
    """The same for a person."""
    return lines_of(report(results))


def lines_of(found: t.Mapping[str, t.Any]) -> t.List[str]:
    """A report for a person."""
    text = [_line(host, state) for host, state in found["hosts"].items()]
    return text + [
        f"WRONG {entry['host']}: {entry['problem']}" if entry["host"] else f"WRONG {entry['problem']}"
        for entry in found["problems"]
    ]
