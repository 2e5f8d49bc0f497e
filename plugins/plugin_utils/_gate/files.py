# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a gate has, and by which template and variables each of them is made."""

from __future__ import annotations

import typing as t

FOLDER = "wssgate.d"


class File(t.NamedTuple):
    """A file of the configuration: its path below nginx's directory, the role's template or, where ``is_copy``, file
    that it is made of, and the variables that this template has besides the gate (``__wss_proxy_gate``).
    """

    path: str
    source: str
    variables: t.Mapping[str, t.Any] = {}
    is_copy: bool = False


def of_gate(model: t.Mapping[str, t.Any]) -> t.List[File]:
    """The files of a gate, as filter gate_model has it."""
    found = [File(f"{FOLDER}/{name}", f"{name}.j2") for name in ("gate.conf", "handshake.inc", "tls.inc")]
    if model["jwt"] is not None:
        found.append(File(f"{FOLDER}/jwt.js", "jwt.js", is_copy=True))
        found.append(File(f"{FOLDER}/jwt.json", "jwt.json.j2"))
    if model["metrics"] is not None:
        found.append(File(f"{FOLDER}/metrics.conf", "metrics.conf.j2"))
    for server in model["servers"]:
        its_own = {"__wss_proxy_server": server}
        found.append(File(f"{FOLDER}/server_{server['name']}.conf", "server.conf.j2", its_own))
        if server["connection_check"]:
            found.append(File(f"{FOLDER}/check_{server['name']}.html", "connection_check.html.j2", its_own))
    return found


def of_headers(headers: t.Iterable[t.Mapping[str, t.Any]]) -> t.List[File]:
    """The files of the headers that upstreams get, as filter gate_upstream_headers has them."""
    return [File(f"{FOLDER}/{one['file']}", "headers.inc.j2", {"__wss_proxy_headers": one}) for one in headers]
