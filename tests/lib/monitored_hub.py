# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub's server on this machine with what role monitoring puts beside it: the exporter as its unit starts it, and
HAProxy, as the role renders it, in front of that.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _metrics_port, _role_variables
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import acl

from . import metrics
from .local_balancer import haproxy_binary
from .local_gate import free_port
from .local_hub import LocalHub
from .processes import end

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "roles/monitoring/templates"
USER, PASSWORD = "prometheus", "battery staple"
FILE = "/etc/nginx/.htpasswd-metrics"
# Of a host that serves metrics to a scraper on this machine.
VARIABLES: dict[str, Any] = {
    "monitoring_enabled": True,
    "monitoring_certificate": "front",
    "monitoring_allow_from": ["127.0.0.1"],
    "monitoring_htpasswd_file": FILE,
    "certificates_list": [{"name": "front"}],
    "htpasswd_files": [{"path": FILE, "users": [{"name": USER, "password": PASSWORD}]}],
}


def front_of(kind: str, port: int, pair: str, own: int, **variables: Any) -> str:
    """HAProxy's configuration of the port, in front of an exporter at ``own``."""
    values = {
        **{name: _role_variables.default_of(name) for name in _metrics_port.VARIABLES},
        "certificates_directory": "/etc/nginx/certificates",
        "monitoring_hub_exporter_port": own,
        "monitoring_listen": [{"port": port}],
        **VARIABLES,
        **variables,
    }
    made = _metrics_port.read(kind, "hub1", [_metrics_port.GROUPS[kind]], values, is_hashed=True)
    assert made["problems"] == []
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)), trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["comment"] = lambda text: f"# {text}"
    template = environment.get_template("front.cfg.j2")
    return template.render(ansible_managed="", front=made, has_ipv6=False, pair=pair, ca="", crl="")


class MonitoredHub:
    """Serves the metrics of a server, which somebody else starts and stops, at ``port``."""

    def __init__(self, server: LocalHub, folder: Path, pair: bytes) -> None:
        self.server, self.folder = server, folder
        self.port, self.exporter_port = free_port(), free_port()
        self._pair = pair
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> MonitoredHub:
        self.folder.mkdir(parents=True, exist_ok=True)
        # What the units hand over.
        (self.folder / acl.EXPORTER).write_text((self.server.folder / acl.EXPORTER).read_text())
        (self.folder / "ca.pem").write_bytes((self.server.credentials / "ca.pem").read_bytes())
        (self.folder / "pair.pem").write_bytes(self._pair)
        front = front_of("hub", self.port, str(self.folder / "pair.pem"), self.exporter_port)
        (self.folder / "front.cfg").write_text(front)
        self._run("exporter", self.command())
        self.start_front()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self._end(name)

    def command(self) -> list[str]:
        """The exporter's command line."""
        unit = (TEMPLATES / "hub-exporter.service.j2").read_text(encoding="utf-8")
        environment = jinja2.Environment()
        environment.filters["basename"] = os.path.basename
        line = environment.from_string(unit.partition("ExecStart=")[2].partition("\nRestart=")[0]).render(
            __monitoring_platform={
                "monitoring_hub": {
                    "redis_exporter": {"program": metrics.prometheus_program("prometheus-redis-exporter")}
                }
            },
            __monitoring_hub_exporter_port=self.exporter_port,
            __monitoring_hub_exporter_run=str(self.folder),
            __monitoring_hub_server={
                **self.server.model["exporter"],
                "password_path": acl.EXPORTER,
                "ca_path": "ca.pem",
            },
        )
        words = line.replace("\\\n", "").split()
        password = json.loads((self.folder / acl.EXPORTER).read_text())[self.server.model["exporter"]["url"]]
        assert password not in str(words)
        return words

    def start_front(self) -> None:
        """Start what serves the metrics to the scraper."""
        self._run("front", [str(haproxy_binary()), "-db", "-f", str(self.folder / "front.cfg")])

    def stop_front(self) -> None:
        self._end("front")

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / "log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        end([process.pid])
        process.wait()
