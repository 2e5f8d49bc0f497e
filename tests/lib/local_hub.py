# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub on this machine: role token_hub's model and templates, and a Redis of this machine that runs them.

Three of them are a hub with Sentinel, at addresses of the loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import passwords
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import Connection, Endpoint
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import acl, hosts
from ansible_collections.wssgate.nginx.plugins.plugin_utils._problems import Problems

from . import pki
from .local_gate import free_port
from .processes import wait_for

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "roles/token_hub/templates"
# redis-tools has the server under this name; which program it is it takes from the name that it is called by.
BINARY = "/usr/bin/redis-check-rdb"
GATES = ("one", "two")
ISSUERS = ("app", "shop")


def render(template: str, model: Mapping[str, Any]) -> str:
    """A template of the role."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["comment"] = lambda text: f"# {text}"
    return environment.get_template(template).render(__token_hub_model=model, ansible_managed="Ansible managed")


class LocalHub:
    """One server, with its Sentinel where there are three."""

    def __init__(self, folder: Path, name: str, port: int, sentinel_port: int) -> None:
        self.name = name
        self.folder = folder
        self.port = port
        self.sentinel_port = sentinel_port
        self.credentials = folder / "credentials"
        self.data = folder / "data"
        self.log = folder / "log"
        self.model: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.sentinel: subprocess.Popen[bytes] | None = None
        for one in (self.credentials, self.data):
            one.mkdir(parents=True)

    def write(self, model: dict[str, Any], extra_users: Sequence[str] = (), extra_lines: Sequence[str] = ()) -> None:
        """What the role renders, with the folders that systemd would make, in this one."""
        self.model = {
            **model,
            "folder": str(self.folder),
            "data": str(self.data),
            "sentinel_data": str(self.data),
            "credentials": str(self.credentials),
            "sentinel_credentials": str(self.credentials / "sentinel"),
        }
        if self.model["is_replicated"]:
            (self.credentials / "sentinel").mkdir(exist_ok=True)
            for name in ("ca.pem", "fullchain.pem", "privkey.pem"):
                (self.credentials / "sentinel" / name).write_bytes((self.credentials / name).read_bytes())
            for source, target in (
                ("sentinel-users.acl.j2", "sentinel-users.acl"),
                ("sentinel.conf.j2", "../../sentinel.conf"),
            ):
                (self.credentials / "sentinel" / target).write_text(render(source, self.model))
            (self.credentials / "sentinel" / "sentinel").write_text((self.folder / "sentinel").read_text())
            (self.credentials / "replica").write_text((self.folder / "replica").read_text())
            (self.data / "hub.conf").write_text(render("replication.conf.j2", self.model))
        configuration = render("hub.conf.j2", self.model) + "".join(f"{line}\n" for line in extra_lines)
        (self.folder / "hub.conf").write_text(configuration)
        users = render("users.acl.j2", self.model) + "".join(f"{line}\n" for line in extra_users)
        (self.credentials / "users.acl").write_text(users)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = ["redis-server", str(self.folder / "hub.conf")]
        if self.model["is_replicated"]:
            command = ["redis-server", str(self.data / "hub.conf"), "--include", str(self.folder / "hub.conf")]
        self.process = self._run(command)

    def start_sentinel(self) -> None:
        """Start its Sentinel."""
        self.sentinel = self._run(["redis-server", str(self.folder / "sentinel.conf"), "--sentinel"])

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(command, executable=BINARY, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def endpoint(self, user: str = "", password: str | None = None) -> Endpoint:
        """Where it is, and who logs in."""
        found = self.password(user) if user and password is None else password or ""
        return Endpoint(self.model["host"], self.port, str(self.credentials / "ca.pem"), user, found)

    def password(self, user: str) -> str:
        """A user's, as the hosts' files have it; a host's own user's is in its own folder."""
        for path in (self.folder / user, *self.folder.parent.glob(f"*/{user}")):
            if path.is_file():
                text = path.read_text()
                # The exporter's, by where it logs in
                return str(next(iter(json.loads(text).values()))) if text.startswith("{") else text.split()[-1]
        raise FileNotFoundError(user)

    def connect(self, user: str, seconds: float = 20.0) -> Connection:
        """A connection, once the server takes it."""

        def attempt() -> Connection | None:
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(HubError):
                connection = Connection(self.endpoint(user))
                # Not while it reads its file. The exporter's user may ask for nothing but what is answered even then.
                if user != acl.EXPORTER:
                    connection.ask("PING")
                elif "loading:0" not in str(connection.ask("INFO", "persistence")):
                    connection.close()
                    return None
                return connection
            return None

        return wait_for(attempt, seconds)

    def kill(self) -> None:
        """As a power cut does, as far as a process can see it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self) -> None:
        """It and its Sentinel hang until :meth:`go_on`, as in a machine that nobody reaches, and know nothing of it."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in (self.process, self.sentinel):
            if process is not None and process.poll() is None:
                process.send_signal(number)

    def stop(self) -> None:
        """End both, in whatever state they are."""
        for process in (self.sentinel, self.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def make(
    folder: Path,
    count: int = 1,
    extra_users: Sequence[str] = (),
    gates: Sequence[str] = GATES,
    issuers: Sequence[str] = ISSUERS,
    fleet_name: str = "main",
    name: str = "127.0.0.1",
    extra_lines: Sequence[str] = (),
    **variables: Any,
) -> list[LocalHub]:
    """Hubs as the role would make them; none is started yet. ``extra_lines`` are more of their configuration."""
    names = [name] if count == 1 else [f"127.0.0.{number}" for number in range(2, 2 + count)]
    nodes = [LocalHub(folder / f"hub{number}", name, free_port(), free_port()) for number, name in enumerate(names)]
    option = {"fleet": fleet_name, "issuers": [{"name": issuer} for issuer in issuers]}
    values = [
        {
            "token_store_hub": option,
            "token_hub_address": node.name,
            "token_hub_port": node.port,
            "token_hub_sentinel_port": node.sentinel_port,
            "token_hub_bind": ["127.0.0.1" if node.name == "localhost" else node.name],
            **variables,
        }
        for node in nodes
    ]
    authority = pki.issue("hub authority", ca=True)
    gate_hosts = []
    for gate in gates:
        wanted = passwords.Wanted(f"gate-{gate}", str(folder / "gates" / f"gate-{gate}"))
        made = {"token_hub_hashes": {wanted.user: passwords.ensure(wanted).sha256}, "token_store_hub": option}
        gate_hosts.append(hosts.Host(gate, made))

    def models() -> list[dict[str, Any]]:
        fleet = hosts.Fleet(
            [hosts.Host(node.name, value) for node, value in zip(nodes, values, strict=True)], gate_hosts
        )
        found = []
        for host in fleet.hubs:
            problems = Problems()
            found.append(hosts.server(fleet, host, problems, {"name": "redis", "server": BINARY}))
            assert problems.found == [], problems.found
        return found

    for node, value, model in zip(nodes, values, models(), strict=True):
        hashes = {}
        for item in model["passwords_of_host"]:
            item = {**item, "path": str(node.folder / item["user"])}
            wanted = passwords.Wanted(item["user"], item["path"], item["content"], item["text"], item["kept"])
            hashes[item["user"]] = passwords.ensure(wanted).sha256
        value["token_hub_hashes"] = hashes
        identity = pki.issue(node.name, authority, [node.name])
        for file, content in (
            ("ca.pem", authority.pem), ("fullchain.pem", identity.pem), ("privkey.pem", identity.key_pem)
        ):  # fmt: skip
            (node.credentials / file).write_bytes(content)
    for node, model in zip(nodes, models(), strict=True):
        node.write(model, extra_users, extra_lines)
    return nodes


def is_installed() -> bool:
    """Whether this machine has the program (Debian's redis-tools)."""
    return os.access(BINARY, os.X_OK)
