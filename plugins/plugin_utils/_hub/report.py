# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check tells of a hub."""

from __future__ import annotations

import typing as t


# Seconds: a gate reports every five.
SILENT = 15.0


def report(found: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What a program reads: what module wss_hub_info has returned."""
    return {"problems": list(found.get("problems") or []), "server": dict(found.get("server") or {})}


def gate_lines(found: t.Mapping[str, t.Any], hosts: t.Mapping[str, str]) -> t.List[str]:
    """The gates that are behind the hub or silent, of what wss_hub_gate_info has returned; one line each."""
    if "gates" not in found:
        return [f"The hub does not tell how far the proxies are: {found.get('msg') or 'no answer'}"]
    lines = []
    for one in found["gates"]:
        # Before 2.19 ansible-core hands filters the text of what was templated on the way.
        silent = None if one["silent"] in (None, "", "None") else float(one["silent"])
        is_level = str(one["is_level"]).lower() == "true"
        host = hosts.get(one["gate"], one["gate"])
        if silent is None:
            lines.append(f"{host} has never reported to the hub")
        elif not is_level or silent > SILENT:
            words = "has not done all that the hub has" if not is_level else "had done all that the hub has"
            lines.append(f"{host} {words}, and has been silent for {silent:g} s")
    return lines


def line(found: t.Mapping[str, t.Any]) -> str:
    """One line for a person."""
    told = report(found)
    server, problems = told["server"], told["problems"]
    if not server:
        return f"does not answer: {'; '.join(problems)}"
    words = [
        f"{server['engine']} {server['version']}",
        _role(server),
        f"{server['replicas']} replicas",
        f"memory {_memory(server)}",
        f"append-only file {_written(server)}",
        f"{server['clients']} clients",
    ]
    return ", ".join(words) + "".join(f"; {problem}" for problem in problems)


def facts(server: t.Mapping[str, t.Any]) -> t.List[t.Tuple[str, t.Any]]:
    """The same, each with a label."""
    if not server:
        return [("State", "does not answer")]
    return [
        ("Engine", f"{server['engine']} {server['version']}"),
        ("Role", _role(server)),
        ("Replicas", server["replicas"]),
        ("Memory", _memory(server)),
        ("Append-only file", _written(server)),
        ("Clients", server["clients"]),
    ]


def _role(server: t.Mapping[str, t.Any]) -> str:
    return server["role"] + ("" if server["is_linked"] else " without its primary")


def _memory(server: t.Mapping[str, t.Any]) -> str:
    limit = _size(server["memory_limit"]) if server["memory_limit"] else "no bound"
    return f"{_size(server['memory_used'])} of {limit}"


def _written(server: t.Mapping[str, t.Any]) -> str:
    return "fails" if server["writes_fail"] else "ok" if server["has_append_only_file"] else "off"


def _size(count: int) -> str:
    return f"{count / 1048576:.1f} MiB"
