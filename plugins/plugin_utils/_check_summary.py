# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates, balancers and the hub in one: what playbook check shows, and what it writes to a file, follows from it."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import _balancer_report, _check_report
from . import _check_levels as levels
from ._check_levels import CRITICAL, Finding
from ._hub import report as _hub_report

Summary = Mapping[str, Any]
KINDS = {"gates": "gate", "balancers": "balancer", "hubs": "server of the hub"}
# Plugins that pass Nagios's lines on cut long ones.
TEXT_WIDTH = 240
LABEL_WIDTH = 80


def summary(
    gates: Mapping[str, Any],
    balancers: Mapping[str, Any],
    hubs: Mapping[str, Any],
    days: int,
    now: datetime.datetime | None = None,
) -> dict[str, Any]:
    """Everything, and how bad it is. Balancers and the hub are in it where there are any."""
    found = _check_report.report(gates, days)
    if balancers:
        found["balancers"] = _balancer_report.report(balancers)
    if hubs:
        found["hubs"] = _hubs(hubs)
    status = levels.worst(problem["level"] for _kind, problem in problems(found))
    moment = now or datetime.datetime.now(datetime.timezone.utc)
    return {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "status": status,
        "exit_code": levels.EXIT_CODES[status],
        # For a program that has the file alone
        "asked": {"gates": sorted(gates), "balancers": sorted(balancers), "hubs": sorted(hubs)},
        **found,
    }


def _hubs(results: Mapping[str, Any]) -> dict[str, Any]:
    hosts: dict[str, Any] = {}
    found: list[dict[str, str]] = []
    for host, result in sorted(results.items()):
        if not isinstance(result, Mapping) or "server" not in result:
            found.append(levels.not_asked(result).entry(host))
            continue
        hosts[host] = {"server": dict(result["server"]), "line": _hub_report.line(result)}
        # Tokens are lost, or none can be issued; what is only about to be so is not told of a hub.
        found += [Finding(CRITICAL, "hub", "", problem).entry(host) for problem in result["problems"]]
    return {"hosts": hosts, "problems": found}


def problems(found: Summary) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All problems, the worst first, each with the kind of its host."""
    known = [("gates", problem) for problem in found["problems"]]
    for kind in ("balancers", "hubs"):
        known += [(kind, problem) for problem in found.get(kind, {}).get("problems", [])]
    yield from sorted(known, key=lambda entry: -levels.LEVELS.index(entry[1]["level"]))


def where(problem: Mapping[str, Any]) -> str:
    """Whose problem it is, in words."""
    words = problem["host"] or "the balancers"
    return f"{words}, server {problem['server']}" if problem.get("server") else words


def plain(text: Any) -> str:
    """A text of a host with nothing that changes how what is beside it is read: line ends, escapes, directions."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else f"\\u{ord(char):04x}" for char in str(text)
    )


def lines(found: Summary) -> list[str]:
    """The summary as text for a person."""
    text = _balancer_report.lines_of(found["balancers"]) if "balancers" in found else []
    for host, hub in found.get("hubs", {}).get("hosts", {}).items():
        text.append(f"{host}: {hub['line']}")
    text += [
        f"WRONG {problem['host']}: {problem['problem']}"
        for problem in found.get("hubs", {}).get("problems", [])
        if problem["host"] not in found["hubs"]["hosts"]
    ]
    return text + _check_report.lines_of(found)


def as_json(found: Summary) -> str:
    """The summary for a program."""
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


# Nagios and Icinga: https://www.monitoring-plugins.org/doc/guidelines.html


def counted(found: Summary) -> str:
    """How many hosts of each kind were to be asked."""
    words = []
    for kind, name in KINDS.items():
        count = len(found["asked"][kind])
        if count:
            many = name.replace("server", "servers") if kind == "hubs" else f"{name}s"
            words.append(f"{count} {name if count == 1 else many}")
    return ", ".join(words)


def nagios_line(found: Summary) -> str:
    """One line as a plugin of Nagios prints it: status, what is worst, and figures."""
    entries = list(problems(found))
    text = f"{counted(found)}: nothing will break within {found['days']} days"
    if entries:
        first = entries[0][1]
        text = plain(f"{where(first)}: {first['problem']}")
        text = text if len(text) <= TEXT_WIDTH else f"{text[: TEXT_WIDTH - 1]}…"
        text += f" ({counts_text(found)}; {counted(found)})"
    # Behind a bar are the figures, and some of those who show the line take it for HTML.
    text = text.translate({ord("|"): "/", ord("<"): "(", ord(">"): ")"})
    return f"WSSGATE {found['status'].upper()} - {text} | {' '.join(_figures(found))}"


def counts_text(found: Summary) -> str:
    """How many problems there are, in words."""
    words = (
        f"{count} {level}" + ("s" if level == levels.WARNING and count > 1 else "")
        for level, count in counts(found).items()
        if count
    )
    return ", ".join(words)


def counts(found: Summary) -> dict[str, int]:
    """How many problems there are of each level, the worst first."""
    known = [problem["level"] for _kind, problem in problems(found)]
    return {level: known.count(level) for level in reversed(levels.LEVELS) if level != levels.OK}


def _figures(found: Summary) -> Iterator[str]:
    for level, count in counts(found).items():
        yield _figure(level, count, least=0)
    # One of each name: gates mostly share their certificates, and the first to end is what matters.
    ends: dict[str, int] = {}
    for servers in found["hosts"].values():
        for server in servers:
            for certificate in server["certificates"]:
                if certificate.get("days_left") is not None:
                    name = _check_report.certificate_name(certificate)
                    ends[name] = min(certificate["days_left"], ends.get(name, certificate["days_left"]))
    for name, left in sorted(ends.items()):
        yield _figure(f"days_left {name}", left, warning=f"{found['days']}:", critical="0:")
    for host, state in found.get("balancers", {}).get("hosts", {}).items():
        haproxy = state["haproxy"]
        yield _figure(f"sessions {host}", haproxy["sessions"], least=0, most=haproxy["max_connections"] or "")
    for host, state in found.get("hubs", {}).get("hosts", {}).items():
        server = state["server"]
        if server:
            yield _figure(f"memory {host}", server["memory_used"], "B", least=0, most=server["memory_limit"] or "")


def _figure(
    label: str, value: int, unit: str = "", warning: str = "", critical: str = "", least: int | str = "", most: Any = ""
) -> str:
    # Some characters end a label, and each reader of such lines has others that it stumbles over.
    name = re.sub(r"[^\w .:/@-]", "_", plain(label))[:LABEL_WIDTH]
    return f"'{name}'={value}{unit};{warning};{critical};{least};{most}".rstrip(";")
