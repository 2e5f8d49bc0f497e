# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two gates of this machine that share a hub of the user's own, and the inventory that Ansible has of them.

A gate is a store, a folder of what was taken back, and an agent that is a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release

from .agent_process import AgentProcess
from .hub_server import FLEET, HubServer
from .local_gate import free_port
from .processes import wait_for

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
ISSUER = "https://id.example.com"
GATES = ("g1", "g2")


class Gate:
    """A store, a folder of what was taken back, and an agent that follows the hub."""

    def __init__(self, root: Path, name: str, hub: HubServer, **changes: Any) -> None:
        self.root = root / name
        self.store, self.revoked, self.log = self.root / "tokens", self.root / "revoked", self.root / "log/sessions.log"
        for folder in (
            self.root,
            self.store,
            self.revoked,
            self.revoked / "jti",
            self.revoked / "sub",
            self.log.parent,
        ):
            folder.mkdir(mode=0o710)
        self.log.touch(mode=0o600)
        (self.root / "etc/wssgate.d").mkdir(parents=True)
        rules = {"issuers": {"main": {"issuer": ISSUER, "max_token_lifetime": 900}}}
        (self.root / "etc/wssgate.d/jwt.json").write_text(json.dumps(rules))
        self.agent = AgentProcess(self.root / "agent", self.store, self.log, self.revoked)
        self.marker = self.root / "caught-up"
        self.configure(hub.settings_of(name, marker=str(self.marker), longest_signed=900, **changes))
        # Whether Ansible can reach it
        self.is_away = False

    def configure(self, found: settings.Settings) -> None:
        (self.agent.state / settings.NAME).write_text(settings.text_of(found))
        (self.agent.state / settings.NAME).chmod(0o600)

    def tokens(self) -> list[str]:
        return sorted(path.name for path in self.store.iterdir() if not path.name.startswith("."))

    def taken_back(self) -> list[str]:
        return sorted(path.name for path in self.revoked.glob("*/*"))

    def close(self) -> None:
        if self.agent.is_running:
            self.agent.kill()
        release(str(self.log))


class Fleet:
    """The hub, the gates and their inventory. `changes` are settings of the agents."""

    def __init__(self, root: Path, **changes: Any) -> None:
        self.root = root
        self.hub = HubServer(root / "hub", GATES, {"app": Rules(3600)})
        self.hub.start()
        self.password = self.hub.password_file(keys.OPERATOR).read_text().strip()
        self.gates = {name: Gate(root, name, self.hub, **changes) for name in GATES}
        self.one, self.two = self.gates.values()

    def start(self, *gates: Gate) -> None:
        for gate in gates or self.gates.values():
            gate.agent.start()
        for gate in gates or self.gates.values():
            wait_for(lambda gate=gate: "follows the hub" in gate.agent.status)

    def confirmed(self, place: str, *gates: Gate) -> bool:
        """Whether these gates have reported that they are past an operator's record."""
        wanted = records.parse_id(place) or records.END
        names = [name for name, gate in self.gates.items() if gate in (gates or self.gates.values())]
        found = [records.parse_id(self.hub.reported(name).get(records.OPERATE, "")) for name in names]
        return all(one is not None and one >= wanted for one in found)

    def play(self, playbook: str, *arguments: str, **variables: Any) -> tuple[int, str]:
        hosts: dict[str, dict[str, Any]] = {
            name: {
                "token_store_path": str(gate.store),
                "token_store_session_log": str(gate.log),
                "nginx_directory": str(gate.root / "etc"),
                "wss_proxy_revocations_path": str(gate.revoked),
                # Nobody listens there.
                **({"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_port()}
                   if gate.is_away else {"ansible_connection": "local"}),
            }
            for name, gate in self.gates.items()
        }  # fmt: skip
        common = {
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "wss_proxy_issuers": [{"name": "main", "issuer": ISSUER}],
            "token_store_hub": {
                "url": f"rediss://localhost:{self.hub.port}",
                "fleet": FLEET,
                "ca_path": str(self.hub.ca),
                "operator_password": self.password,
                "issuers": [{"name": "app", "max_ttl": 3600}],
            },
        }
        code, text = play(
            self.root, playbook, {"wss_proxies": {"hosts": hosts, "vars": common}}, *arguments, **variables
        )
        assert self.password not in text
        return code, text

    def close(self) -> None:
        for gate in self.gates.values():
            gate.close()
        self.hub.kill()


def play(root: Path, playbook: str, inventory: dict[str, Any], *arguments: str, **variables: Any) -> tuple[int, str]:
    """Run a playbook of the collection; its exit code, and what it has printed."""
    path = root / "inventory.yml"
    path.write_text(yaml.safe_dump(inventory))
    options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(path),
            str(PLAYBOOKS / f"{playbook}.yml"), *options, *arguments,
        ],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout


def answer(text: str) -> Any:
    """What a playbook has shown for a program."""
    return json.JSONDecoder().raw_decode(text, text.index('{\n    "msg": {'))[0]["msg"]
