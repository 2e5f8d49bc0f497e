# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate needs of nginx's service and of its host: role nginx sees to it before there is a gate.

It is told to root's service manager, and perhaps before anybody has checked the servers. So what is wrong with an entry
is left to gate_errors, and that entry is left out here; all others count.
"""

from __future__ import annotations

import posixpath
import re
import typing as t
from functools import partial

from .._problems import Problems
from . import listeners, model
from .context import Gate
from .options import SERVER_DEFAULTS
from .patterns import is_loopback

# A file in /tmp or /var/tmp: a path, that of a socket, or one in raw directives.
_IN_TMP = re.compile(r"(?:\A|unix:|[\s\"'=])/+(?:var/+)?tmp/")
# What a client asks for, and not where a file is.
_URL_PATHS = ("path", "connection_check_path")

T = t.TypeVar("T")


def gate_needs(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
    """Sockets that nginx makes, ports that others connect to, folders that it writes to, whether they share /tmp, and
    whether it runs JavaScript.
    """
    gate = model.read(servers, context or {})
    sockets: t.List[t.Dict[str, t.Any]] = []
    ports: t.Set[int] = set()
    is_in_tmp = _is_in_tmp([gate.servers, list(gate.upstreams.values()), gate.context])
    for item in servers if isinstance(servers, (list, tuple)) else ():
        if not isinstance(item, t.Mapping):
            continue
        options = Problems().options("", item, SERVER_DEFAULTS)
        sound = _sound_listeners(gate, options["listen"])
        for entry in sound:
            socket = {"path": entry["unix"], "mode": entry["unix_mode"], "group": entry["unix_group"]}
            if entry["unix"] and socket not in sockets:
                sockets.append(socket)
            elif entry["port"] and not is_loopback(entry["address"]):
                ports.add(entry["port"])
        redirect = _if_sound(gate, partial(listeners.redirect, gate, "", sound, options))
        if redirect and not all(is_loopback(address.rpartition(":")[0]) for address in redirect["addresses"]):
            ports.add(redirect["port"])
    has_jwt = any(location["jwt"] for server in gate.servers for location in server["locations"])
    if has_jwt:
        # The workers are another user than the master, which makes it; its folder keeps everybody else out.
        sockets.append({"path": gate.context["jwt_socket_path"], "mode": "0666", "group": ""})
    if gate.metrics:
        ports.update(e["port"] for e in gate.metrics["listeners"] if e["port"] and not is_loopback(e["address"]))
        if gate.metrics["status_socket"]:
            # Counters, and nothing else: whoever is on the host may read them.
            sockets.append({"path": gate.metrics["status_socket"], "mode": "0666", "group": ""})
    files = [*(socket["path"] for socket in sockets), gate.context["access_log_path"], gate.context["session_log_path"]]
    return {
        "sockets": sockets,
        "ports": sorted(ports),
        "writable_paths": list(dict.fromkeys(posixpath.dirname(path) for path in files if path)),
        "shared_tmp": is_in_tmp,
        "javascript": has_jwt,
    }


def _if_sound(gate: Gate, read: t.Callable[[], T]) -> t.Optional[T]:
    """What is read, unless there is something wrong with it."""
    gate.problems = Problems()
    found = read()
    return None if gate.problems.found else found


def _sound_listeners(gate: Gate, given: t.Any) -> t.List[t.Dict[str, t.Any]]:
    found = []
    for item in given if isinstance(given, (list, tuple)) else ():
        # Whether there are trusted proxies is a question for the whole server.
        entries = _if_sound(gate, partial(listeners.read, gate, "", [item], has_trusted=True))
        found += entries or []
    return found


def _is_in_tmp(value: t.Any) -> bool:
    if isinstance(value, t.Mapping):
        return any(_is_in_tmp(inner) for key, inner in value.items() if key not in _URL_PATHS)
    if isinstance(value, (list, tuple)):
        return any(_is_in_tmp(inner) for inner in value)
    return isinstance(value, str) and _IN_TMP.search(value) is not None
