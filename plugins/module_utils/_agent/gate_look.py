# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at nginx, for metrics: its processes, what its configuration names, and its connections.

By the same code as the modules that playbook check runs. The configuration is read where it has changed.
"""

from __future__ import annotations

import os
import re
import time
import typing as t

from .._certificates import x509 as crypto
from .._host.error import HostError
from .._nginx.capacity import descriptors, open_descriptors, worker_connections
from .._nginx.connections import connections, ephemeral_ports
from .._nginx.live import changed_at, newest_change
from .._nginx.process import Finder, Process, read_processes, started_at
from .._nginx.syntax import Tree, directives, read_tree
from .session_counts import Place
from .settings import Metrics

CERTIFICATE_LIMIT = 1 << 20
_CERTIFICATES = ("ssl_certificate", "ssl_client_certificate")
_SCHEME = re.compile(r"https?://")


class Named(t.NamedTuple):
    """What nginx's configuration names."""

    tree: Tree
    changed_at: float
    certificates: t.Tuple[str, ...]
    # Where each location leads, as the configuration has it
    upstreams: t.Mapping[Place, str]
    worker_connections: int


class Look(t.NamedTuple):
    """What was found. None stands for what cannot be told."""

    is_live: bool = False
    upstreams: t.Mapping[Place, str] = {}
    # When each ends, in seconds since 1970; 0 where there is none in the file
    certificates: t.Mapping[str, float] = {}
    old_workers: t.FrozenSet[str] = frozenset()
    oldest: float = 0.0  # seconds since the one that was replaced first was
    connections: t.Optional[int] = None
    connections_limit: t.Optional[int] = None
    descriptors: t.Optional[int] = None
    descriptors_limit: t.Optional[int] = None
    ports: t.Mapping[str, int] = {}
    ports_limit: int = 0


class GateLook:
    """Looks again and again at one nginx."""

    def __init__(self, settings: Metrics) -> None:
        self.main = settings.main_file
        self._finder = Finder(settings.binary, settings.main_file, settings.pid_file)
        self._named: t.Optional[Named] = None
        self._ends: t.Dict[str, t.Tuple[float, float]] = {}

    def look(self) -> Look:
        """Look at all of it."""
        named = self._read()
        first, last = ephemeral_ports()
        found = Look(upstreams=named.upstreams, certificates=self._certificates(named), ports_limit=last - first + 1)
        processes = read_processes()
        master = self._finder.master(processes)
        if master is None:
            return found
        children = [process for process in processes if process.parent == master.pid]
        workers = [child for child in children if child.is_worker]
        old = [child for child in children if child.is_shutting_down]
        all_connections = connections(master.pid, [child.pid for child in (*workers, *old)])
        ports = {_text(*peer): count for peer, count in all_connections.upstreams.items()}
        # The one that is nearest to its limit
        open_files = [(open_descriptors(worker.pid) or 0, descriptors(worker.pid) or 0) for worker in workers]
        used, limit = max(open_files, key=lambda one: one[0] / (one[1] or 1), default=(0, 0))
        return found._replace(
            is_live=bool(workers) and all(started_at(worker) >= named.changed_at for worker in workers),
            old_workers=frozenset(str(child.pid) for child in old),
            oldest=max((_age(child, children) for child in old), default=0.0),
            connections=all_connections.clients.number + sum(ports.values()),
            connections_limit=named.worker_connections * len(workers),
            descriptors=used or None,
            descriptors_limit=limit or None,
            ports=ports,
        )

    def _read(self) -> Named:
        folder = os.path.dirname(self.main)
        if self._named is not None and newest_change(self._named.tree, folder)[0] == self._named.changed_at:
            return self._named
        tree = read_tree(self.main)
        certificates: t.Dict[str, None] = {}
        upstreams: t.Dict[Place, str] = {}
        for path in tree.files:
            _read_names(path, folder, certificates, upstreams)
        self._named = Named(
            tree, newest_change(tree, folder)[0], tuple(certificates), upstreams, worker_connections(self.main)
        )
        return self._named

    def _certificates(self, named: Named) -> t.Dict[str, float]:
        if crypto.CRYPTOGRAPHY_ERROR is not None:
            return {}
        for path in named.certificates:
            changed = changed_at(path)
            if self._ends.get(path, (None, 0.0))[0] != changed:
                self._ends[path] = (changed, _end_of(path))
        return {path: self._ends[path][1] for path in named.certificates}


def _end_of(path: str) -> float:
    try:
        with open(path, "rb") as stream:
            return crypto.not_after(crypto.load_certificates(stream.read(CERTIFICATE_LIMIT))[0]).timestamp()
    except (OSError, ValueError, HostError):
        return 0.0


def _read_names(path: str, folder: str, certificates: t.Dict[str, None], upstreams: t.Dict[Place, str]) -> None:
    """Add what a file of the configuration names."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
    except OSError:
        return
    server = location = ""
    for directive in directives(text):
        name, arguments = directive.words[0], directive.words[1:]
        if name in _CERTIFICATES and arguments:
            if "$" not in arguments[0] and not arguments[0].startswith(("data:", "engine:", "store:")):
                certificates[os.path.join(folder, arguments[0])] = None
        elif name == "server" and not arguments:
            server = location = ""
        elif name == "server_name" and arguments:
            server = arguments[0]
        elif name == "location":
            location = ""
        elif name == "set" and arguments[:1] == ("$wss_location",):
            location = arguments[-1]
        elif name == "proxy_pass" and arguments and location:
            upstreams.setdefault((server, location), _upstream(arguments[0]))


def _upstream(url: str) -> str:
    """Where a URL leads, without its scheme and path."""
    rest = _SCHEME.sub("", url)
    return rest.rstrip(":/") if rest.startswith("unix:") else rest.partition("/")[0]


def _age(old: Process, children: t.Sequence[Process]) -> float:
    """Seconds since the first worker started that is younger."""
    younger = [child for child in children if child.started > old.started]
    return max(0.0, time.time() - started_at(min(younger, key=lambda child: child.started))) if younger else 0.0


def _text(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
