# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate of molecule/attacks on this machine: its configuration by the roles, its upstream, both on free ports."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.wssgate.nginx.plugins.plugin_utils._sha512_crypt import sha512_crypt

from . import attacks
from .local_gate import LocalGate, LocalNginx, free_port
from .processes import running

ROOT = Path(__file__).resolve().parents[2]
GATE = ROOT / "molecule/attacks/vars/gate.yml"


class AttackGate(LocalGate):
    """Use it as a context manager, as any LocalGate."""

    def __init__(self) -> None:
        self.port = free_port()
        self.echo, self.silent, self.refuse, self.gone, self.accel, self.web = (
            f"127.0.0.1:{free_port()}" for _number in range(6)
        )
        # By what the file calls them.
        self.tls = {
            address: f"127.0.0.1:{free_port()}"
            for address in sorted(set(re.findall(r"127\.0\.0\.1:84\d\d", GATE.read_text())))
        }
        super().__init__([])
        # Not below the root, which a copy of the gate has elsewhere.
        self._behind = tempfile.TemporaryDirectory(prefix="wssgate-upstream-")
        behind = Path(self._behind.name)
        behind.chmod(0o755)
        self.socket = behind / "upstream.sock"
        self.record = behind / "upstream.jsonl"
        (self.etc / "wssgate.caught-up").touch()
        password = self.etc / "htpasswd"
        password.write_text(f"{attacks.USERNAME}:{sha512_crypt(attacks.PASSWORD.encode(), 'salt')}\n")
        certificate = self.certificate(names=(attacks.HOST,))
        upstream = self.certificate("upstream", names=("upstream.example.com",))
        self._upstream_certificate = upstream["certificate_path"], upstream["key_path"]
        described = self._described(str(password), upstream["certificate_path"])
        self.variables["nginx_http_extra_directives"] += "\n" + described["nginx_http_extra_directives"]
        self.variables |= {
            "wss_proxy_servers": described["wss_proxy_servers"],
            "wss_proxy_hub_marker_path": described["wss_proxy_hub_marker_path"],
            "wss_proxy_certificates": [certificate],
            "wss_proxy_htpasswd_files": [{"path": str(password)}],
        }

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._behind.cleanup()

    def _described(self, password: str, upstream_certificate: str) -> dict[str, Any]:
        text = GATE.read_text()
        for old, new in (
            ("[{port: 443}]", f"[{{address: 127.0.0.1, port: {self.port}}}]"),
            ("127.0.0.1:8080", self.echo),
            *self.tls.items(),
            ("127.0.0.1:8081", self.silent),
            ("127.0.0.1:8082", self.refuse),
            ("127.0.0.1:8083", self.gone),
            ("127.0.0.1:8084", self.accel),
            ("127.0.0.1:8085", self.web),
            ("/run/upstream.sock", str(self.socket)),
            ("/etc/nginx/wssgate.caught-up", str(self.etc / "wssgate.caught-up")),
            ("/etc/nginx/.htpasswd", password),
            ("/etc/ssl/upstream/fullchain.pem", upstream_certificate),
        ):
            assert old in text, f"{old} is not in {GATE}"
            text = text.replace(old, new)
        described: dict[str, Any] = yaml.safe_load(text)
        return described

    @property
    def upstream_chain(self) -> str:
        return self._upstream_certificate[0]

    def site(self, nginx: LocalNginx | None = None, port: int | None = None) -> attacks.Site:
        """What to try the table on: this gate, or a copy of it."""
        nginx = nginx or self
        return attacks.Site(
            port=port or self.port,
            access_log=str(nginx.access_log),
            error_log=str(nginx.log / "error.log"),
            record=str(self.record),
            token_store=str(self.tokens),
            drain=str(nginx.etc / "wssgate.drain"),
            caught_up=str(nginx.etc / "wssgate.caught-up"),
        )

    @contextmanager
    def upstream(self) -> Iterator[None]:
        chain, key = self._upstream_certificate
        arguments = ["--echo", self.echo, "--echo", str(self.socket), "--certificate", chain, "--key", key]
        arguments += [
            "--silent",
            self.silent,
            "--refuse",
            self.refuse,
            "--accel",
            self.accel,
            "--web",
            self.web,
            "--record",
            str(self.record),
        ]
        for address in self.tls.values():
            arguments += ["--tls", address]
        with running("echo_server", *arguments):
            yield
