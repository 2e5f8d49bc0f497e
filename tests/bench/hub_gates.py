# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub on this machine and the gates that follow it, to measure them. An agent runs by the files that a host gets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, records, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.connection import parse_info
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.operating import Operator
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.records import Id
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import Wire
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release

from lib import chaos_fleet, crowd, hub_fleet, usage, wire
from lib.hub_server import FLEET, HubServer
from lib.local_gate import LocalNginx
from lib.processes import wait_for

from .agent_hosts import AgentProcess

APP, FLOODER = "app", "shop"
TTL = 86400
# More than are issued here, so that no bound of an issuer is what is measured.
MOST_TOKENS = 4_000_000
MEMORY = 8 << 30
# Entries that an application sends before it waits for the answers
AT_ONCE = 100
# Seconds until a client that was refused asks again
AGAIN = 0.002
PATIENCE = 30.0
LONGEST_INFO = 1 << 16


class Gate:
    """An agent on a store of its own, with or without an nginx beside it."""

    def __init__(self, folder: Path, name: str, hub: HubServer, store: Path, log: Path, marker: Path) -> None:
        self.name, self.hub, self.store, self.log, self.marker, self.folder = name, hub, store, log, marker, folder
        self.agent = AgentProcess(folder, store, log)
        self._settings = folder / "state" / settings.NAME
        self._settings.parent.mkdir(mode=0o700)
        self._is_started = False

    def start(self, is_alone: bool = False) -> None:
        """Have the agent follow the hub, or be one that has none."""
        self.stop()
        if is_alone:
            self._settings.unlink(missing_ok=True)
            # The nginx still asks for it.
            self.marker.touch()
        else:
            found = self.hub.settings_of(self.name, marker=str(self.marker))
            self._settings.write_text(settings.text_of(found))
            self._settings.chmod(0o600)
        self.agent.__enter__()
        self._is_started = True

    def stop(self) -> None:
        if self._is_started:
            self._is_started = False
            self.agent.__exit__()

    def place(self, stream: str) -> Id:
        """How far it has reported to be."""
        return records.parse_id(self.hub.reported(self.name).get(stream, "")) or records.START

    def memory(self) -> float:
        """MiB of its agent."""
        return usage.memory_kib([self.agent.pid]) / 1024


class Fleet:
    """A hub of one server, and its gates. ``memory`` is the bound of the hub's."""

    def __init__(self, root: Path, names: Sequence[str], memory: int = MEMORY) -> None:
        self.root = root
        rules = {APP: Rules(TTL, (), MOST_TOKENS), FLOODER: Rules(TTL, (), 1000)}
        self.hub = HubServer(root / "hub", list(names), rules, [f"maxmemory {memory}"])
        self.hub.start()
        self.gates: dict[str, Gate] = {}
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.hub.kill)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, *names: str) -> list[Gate]:
        """Gates without nginx."""
        found = []
        for name in names:
            folder = self.root / name
            store, log = folder / "tokens", folder / "log" / "sessions.log"
            folder.mkdir(mode=0o700)
            store.mkdir(mode=0o710)
            log.parent.mkdir(mode=0o700)
            log.touch(mode=0o600)
            # After the agent has ended, which has made it append-only and would do so again.
            self._stack.callback(release, str(log))
            found.append(self._added(Gate(folder, name, self.hub, store, log, folder / "caught-up")))
        return found

    def add_served(self, served: Mapping[str, LocalNginx]) -> None:
        """Gates with nginx."""
        for name, nginx in served.items():
            folder = nginx.root / "agent"
            folder.mkdir(mode=0o700)
            self._added(Gate(folder, name, self.hub, nginx.tokens, nginx.session_log, nginx.root / "hub" / "caught-up"))

    def _added(self, gate: Gate) -> Gate:
        self.gates[gate.name] = gate
        self._stack.callback(gate.stop)
        return gate

    def start(self) -> None:
        for gate in self.gates.values():
            gate.start()
        wait_for(lambda: all(gate.marker.exists() for gate in self.gates.values()), 60)

    @contextlib.contextmanager
    def entered(self, user: str) -> Iterator[Wire]:
        with contextlib.closing(self.hub.enter(user)) as found:
            yield found

    @contextlib.contextmanager
    def operator(self) -> Iterator[Operator]:
        with self.entered(keys.OPERATOR) as found:
            yield Operator(found, FLEET)

    def await_place(self, stream: str, place: Id, seconds: float) -> bool:
        """Whether all gates have reported in time that they are there."""
        end = time.monotonic() + seconds
        while not all(gate.place(stream) >= place for gate in self.gates.values()):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def memory(self) -> dict[str, int]:
        """Bytes that the hub's server has in use, and that its process has."""
        text = self.hub.call("INFO", "memory").decode()
        found = parse_info(text)
        return {"used": int(found["used_memory"]), "resident": int(found["used_memory_rss"])}

    def version(self) -> str:
        found = parse_info(self.hub.call("INFO", "server").decode())
        return f"{'Valkey' if 'valkey_version' in found else 'Redis'} {found['redis_version']}"

    def play(self, playbook: str, has_hub: bool, **variables: Any) -> Any:
        """Run a playbook on the gates, as an operator on this machine does; what it shows for programs."""
        hosts = {
            name: {
                "ansible_connection": "local",
                "token_store_path": str(gate.store),
                "token_store_session_log": str(gate.log),
                "nginx_directory": str(gate.log.parents[2] / "etc"),
            }
            for name, gate in self.gates.items()
        }
        common: dict[str, Any] = {"ansible_become": False, "ansible_python_interpreter": sys.executable}
        if has_hub:
            common["token_store_hub"] = {
                "url": f"rediss://localhost:{self.hub.port}",
                "fleet": FLEET,
                "ca_path": str(self.hub.ca),
                "operator_password": self.hub.password_file(keys.OPERATOR).read_text().strip(),
            }
        inventory = {"wss_proxies": {"hosts": hosts, "vars": common}}
        code, text = hub_fleet.play(self.root, playbook, inventory, output="json", **variables)
        if code:
            raise RuntimeError(f"{playbook} ended with {code}: {text[-3000:]}")
        return hub_fleet.answer(text)


def new_token() -> str:
    return secrets.token_urlsafe(24)


def entry(token: str) -> list[str | int]:
    """What an application sends."""
    return ["XADD", keys.issue(FLEET, APP), "*", "token", token, "subject", "client-42", "ttl", TTL]


def fill(connection: Wire, count: int) -> Id:
    """Issue so many tokens, as fast as the hub takes them; the place of the last one."""
    reply: Any = b""
    for first in range(0, count, AT_ONCE):
        reply = connection.calls([entry(new_token()) for _ in range(min(AT_ONCE, count - first))])[-1]
    return records.parse_id(reply) or records.START


async def admitted(port: int, token: str) -> tuple[crowd.Session, float]:
    """Ask a gate until it lets the token in; the session, and when it had come about."""
    request = wire.Request("/wss", host=chaos_fleet.NAME).origin(chaos_fleet.ORIGIN).token(token).encode()
    opener = crowd.Crowd(port, request, None, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while (session := await opener.open()) is None:
            await asyncio.sleep(AGAIN)
    return session, time.monotonic()


async def closed(session: crowd.Session) -> float:
    """When the other side has ended it."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(OSError):
            while await session.reader.read(4096):
                pass
    moment = time.monotonic()
    session.drop()
    return moment
