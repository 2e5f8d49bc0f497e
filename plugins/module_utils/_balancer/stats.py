# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What HAProxy tells by its stats socket."""

from __future__ import annotations

import csv
import socket
import typing as t

from .error import BalancerError

TIMEOUT = 5.0
_LIMIT = 8 << 20
# The port of role monitoring, as plugin_utils/_metrics_port.py names it: it is no service.
METRICS = "wssgate-metrics"

# As HAProxy calls a server in rotation, one that gets no new sessions, and one that is dead.
UP, DRAINING, DOWN = "up", "draining", "down"


def ask(path: str, command: str, timeout: float = TIMEOUT) -> str:
    """The answer to one command. Raises OSError where nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(command.encode("ascii") + b"\n")
        parts: t.List[bytes] = []
        while sum(map(len, parts)) <= _LIMIT:
            part = connection.recv(65536)
            if not part:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(part)
    raise BalancerError(f"HAProxy's answer at {path} is longer than {_LIMIT} bytes")


def info(path: str) -> t.Dict[str, str]:
    """The process that answers: its number (Pid), Version and more. Empty where nobody answers."""
    try:
        answer = ask(path, "show info")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in answer.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def pid(path: str) -> t.Optional[int]:
    """The number of the process that answers."""
    number = info(path).get("Pid", "")
    return int(number) if number.isdigit() else None


def _kind(status: str) -> str:
    word = status.partition(" ")[0]
    if word in ("UP", "no"):
        return UP
    return DRAINING if word in ("NOLB", "DRAIN") else DOWN


def _check(status: str, code: str) -> str:
    # While a check is under way the code is 0, and the status that of the one before.
    return status.lstrip("* ") + (f"/{code}" if code not in ("", "0") else "")


def services(path: str) -> t.List[t.Dict[str, t.Any]]:
    """Each service with its gates: whether they are in rotation, why, and how many sessions they have."""
    answer = ask(path, "show stat")
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for row in csv.DictReader(answer.lstrip("# ").splitlines()):
        if row["pxname"] == METRICS:
            continue
        service = found.setdefault(row["pxname"], {"name": row["pxname"], "sessions": 0, "gates": []})
        if row["svname"] == "FRONTEND":
            service["sessions"] = int(row["scur"] or 0)
        elif row["svname"] != "BACKEND":
            service["gates"].append(
                {
                    "name": row["svname"],
                    "state": _kind(row["status"]),
                    "status": row["status"],
                    # As HAProxy puts it, such as L7OK/403 or L6RSP: its manual, 9.1, check_status.
                    "check": _check(row["check_status"], row["check_code"].strip()),
                    # Whether a check is under way, so that what is told is that of the one before.
                    "checking": row["check_status"].startswith("*"),
                    "sessions": int(row["scur"] or 0),
                    "weight": int(row["weight"] or 0),
                }
            )
    return list(found.values())
