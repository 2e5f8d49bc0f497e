# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet on this machine: three hub servers with Sentinel, and gates, each an nginx and an agent of its own.

An agent reaches the hub through forwarders that a test can cut, and has a clock that a test can set.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.error import HubError
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.wire import Wire, connect
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release

from . import chaos_front, local_hub
from .agent_process import AgentProcess
from .forwarder import Forwarder
from .local_gate import GateCopy, LocalGate, LocalNginx, free_port
from .local_hub import LocalHub
from .processes import running, wait_for

FLEET, SERVICE = "main", "wssgate"
APP, FLOODER = "app", "shop"
ISSUERS = ((APP, Rules(7200, ("client-",), 100000)), (FLOODER, Rules(7200, ("client-",), 200)))
ORIGIN, NAME = "https://app.example.com", "gate.example.com"
# A user of the test alone
ADMIN = "judge"
ADMIN_LINE = f"user {ADMIN} on >{ADMIN * 5} ~* &* +@all"
PATIENCE = 2.0
MEMORY = 64 << 20

# The agent's part: where it connects to instead, and by how much its clock is wrong.
PRELUDE = """
import json, socket, time
def _bend(folder):
    with open(folder + "/ways") as stream:
        ways = {(host, port): other for host, port, other in json.load(stream)}
    connect, clock = socket.create_connection, time.time
    def create_connection(address, *arguments, **options):
        other = ways.get(tuple(address))
        return connect(("127.0.0.1", other) if other else address, *arguments, **options)
    def skewed():
        try:
            with open(folder + "/skew") as stream:
                return clock() + float(stream.read())
        except (OSError, ValueError):
            return clock()
    socket.create_connection, time.time = create_connection, skewed
"""


class Hubs:
    """Three servers and three Sentinels."""

    def __init__(self, root: Path, gates: Sequence[str]) -> None:
        self.root = root
        self.nodes = local_hub.make(
            root, 3, extra_users=[ADMIN_LINE], gates=gates, token_hub_down_after=1, token_hub_memory=MEMORY
        )
        self.ca = str(self.nodes[0].credentials / "ca.pem")

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        wait_for(lambda: self.replicas(first) == 2, 60)
        for node in self.nodes:
            node.start_sentinel()
        wait_for(self.know_each_other, 60)
        wait_for(self.is_whole, 60)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def password(self, user: str) -> str:
        return ADMIN * 5 if user == ADMIN else self.nodes[0].password(user)

    def enter(self, user: str, host: str, port: int) -> Wire:
        wire = connect(host, port, self.ca, PATIENCE)
        try:
            wire.call("AUTH", user, self.password(user))
        except HubError:
            wire.close()
            raise
        return wire

    def primary(self, user: str) -> tuple[str, int]:
        """As an application asks for it."""
        problem = HubError("no Sentinel answers")
        for node in self.nodes:
            try:
                with contextlib.closing(self.enter(user, node.name, node.sentinel_port)) as wire:
                    host, port = wire.call("SENTINEL", "get-master-addr-by-name", SERVICE)
                    return host.decode(), int(port)
            except HubError as error:
                problem = error
        raise problem

    def primary_node(self) -> LocalHub:
        _host, port = self.primary(keys.OPERATOR)
        return next(node for node in self.nodes if node.port == port)

    def replicas(self, node: LocalHub) -> int:
        """How many follow a server; -1 where it is no primary or is away."""
        with contextlib.suppress(HubError), contextlib.closing(self.enter(ADMIN, node.name, node.port)) as wire:
            text = wire.call("INFO", "replication", longest=1 << 16).decode()
            return text.count("state=online") if "role:master" in text else -1
        return -1

    def know_each_other(self) -> bool:
        counts = []
        with contextlib.suppress(HubError):
            for node in self.nodes:
                with contextlib.closing(self.enter("gate-one", node.name, node.sentinel_port)) as wire:
                    for word in ("sentinels", "replicas"):
                        counts.append(len(wire.call("SENTINEL", word, SERVICE, longest=1 << 16)))
        return counts == [2] * 6

    def is_whole(self) -> bool:
        """Whether the primary takes entries, and both others have them."""
        with contextlib.suppress(HubError, StopIteration):
            node = self.primary_node()
            if self.replicas(node) == 2:
                with contextlib.closing(self.enter(ADMIN, node.name, node.port)) as wire:
                    return is_replicated(wire)
        return False

    def empty(self) -> None:
        """As if nothing had happened yet."""
        with contextlib.closing(self.enter(ADMIN, *self.primary(keys.OPERATOR))) as wire:
            wire.call("FLUSHALL")

    def records(self) -> str:
        """All streams, an entry a line, for whoever wants to know what happened."""
        lines = []
        with contextlib.closing(self.enter(ADMIN, *self.primary(keys.OPERATOR))) as wire:
            streams = wire.call("KEYS", f"{keys.prefix(FLEET)}*", longest=1 << 20)
            for key in streams:
                if wire.call("TYPE", key) == b"stream":
                    for place, fields in wire.call("XRANGE", key, "-", "+"):
                        words = [word.decode("utf-8", "replace") for word in fields]
                        lines.append(" ".join([key.decode(), place.decode(), *words]) + "\n")
        return "".join(lines)

    def fail_over(self) -> None:
        """As an administrator may, by the Sentinels' own user."""
        node = self.nodes[0]
        with contextlib.closing(self.enter("sentinel", node.name, node.sentinel_port)) as wire:
            wire.call("SENTINEL", "FAILOVER", SERVICE)

    def backup(self) -> Path:
        """What the disk of the primary has now."""
        copy = self.root / "backup"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.primary_node().data / "appendonlydir", copy)
        return copy

    def restore(self, copy: Path) -> None:
        """End all three, and begin again with what a disk had once."""
        running_now = [node for node in self.nodes if node.process is not None and node.process.poll() is None]
        # Who is asked which one is the primary has to live.
        first = self.primary_node()
        for node in running_now:
            node.kill()
        for node in [first, *(node for node in self.nodes if node is not first)]:
            shutil.rmtree(node.data / "appendonlydir")
            shutil.copytree(copy, node.data / "appendonlydir")
            node.start()

    def forget(self, gates: Sequence[str]) -> None:
        """As if the backup were of a time before these gates had reported anything."""
        with contextlib.closing(self.enter(ADMIN, *self.primary(keys.OPERATOR))) as wire:
            wire.calls([("DEL", keys.gate(FLEET, gate)) for gate in gates])

    def settings_of(self, gate: str, gates: Sequence[str], marker: str) -> settings.Settings:
        user = keys.gate_user(gate)
        return settings.Settings(
            FLEET, gate, tuple((node.name, node.sentinel_port) for node in self.nodes), user,
            str(self.root / "gates" / user), SERVICE, True, self.ca, ISSUERS, tuple(gates), marker,
        )  # fmt: skip

    def operator(self) -> settings.Settings:
        return self.settings_of("one", (), "")._replace(
            username=keys.OPERATOR, password_path=str(self.nodes[0].folder / keys.OPERATOR)
        )


def is_replicated(wire: Wire, count: int = 2) -> bool:
    """Whether what was written to a server so far is on its replicas; ADMIN's connection."""
    wire.call("SET", "written-by-a-test", "1")
    return bool(wire.call("WAIT", count, 1000, wait=2) >= count)


class Gate:
    """An nginx, a store and an agent."""

    def __init__(self, name: str, nginx: LocalNginx, port: int, hubs: Hubs, gates: Sequence[str], bug: str) -> None:
        self.name, self.nginx, self.port, self.hubs = name, nginx, port, hubs
        self.store = nginx.tokens
        self.marker = nginx.root / "hub" / "caught-up"
        self.folder = Path(tempfile.mkdtemp(prefix="agent-", dir=nginx.root))
        self.skew = self.folder / "skew"
        self.agent = AgentProcess(
            self.folder, self.store, nginx.session_log, prelude=f"{PRELUDE}\n_bend({str(self.folder)!r})\n{bug}"
        )
        file = self.agent.state / settings.NAME
        file.write_text(settings.text_of(hubs.settings_of(name, gates, str(self.marker))))
        file.chmod(0o600)
        self.ways: list[Forwarder] = []

    async def connect(self) -> None:
        """Make its ways to the hub, in the loop that runs."""
        places = [(node.name, port) for node in self.hubs.nodes for port in (node.port, node.sentinel_port)]
        self.ways = [Forwarder(*place) for place in places]
        for way in self.ways:
            await way.start()
        (self.folder / "ways").write_text(json.dumps([[*way.target, way.port] for way in self.ways]))

    def tokens(self) -> set[str]:
        with os.scandir(self.store) as found:
            return {one.name for one in found if not one.name.startswith(".")}

    def follows(self) -> bool:
        return "follows the hub" in self.agent.status and self.marker.exists()

    def clear(self) -> None:
        """Without agent and tokens, as before the first one started."""
        if self.agent.is_running:
            self.agent.kill()
        self.marker.unlink(missing_ok=True)
        for name in self.tokens():
            (self.store / name).unlink()


Standing = tuple[Hubs, dict[str, LocalNginx], dict[str, int]]


@contextlib.contextmanager
def front(gates: dict[str, LocalNginx]) -> Iterator[chaos_front.Front]:
    """A balancer before them."""
    found = re.findall(
        rf"{re.escape(chaos_front.address(0))}:(\d+)", "".join(next(iter(gates.values())).configuration().values())
    )
    check = {"server_name": NAME, "path": "/wss", "origin": ORIGIN}
    with chaos_front.Front(list(gates), int(found[0]), check).running() as made:
        yield made


@contextlib.contextmanager
def standing(root: Path, names: Sequence[str] = ("one", "two", "three")) -> Iterator[Standing]:
    """The hub, and an nginx for each gate; agents are not there yet."""
    hubs = Hubs(root, names)
    with contextlib.ExitStack() as stack:
        stack.callback(hubs.stop)
        # It waits, and the roles work.
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        starting = pool.submit(hubs.start)
        gates, ports = stack.enter_context(nginxes(names))
        starting.result()
        yield hubs, gates, ports


@contextlib.contextmanager
def nginxes(names: Sequence[str]) -> Iterator[tuple[dict[str, LocalNginx], dict[str, int]]]:
    """An nginx for each gate, that waits for the marker of its agent, and the port of each.

    Each has a listener for balancers besides, at an address of its own: :mod:`lib.chaos_front`.
    """
    port, echo_port, front_port = free_port(), free_port(), free_port()
    server = {
        "name": "gate",
        "server_names": [NAME],
        "listen": [{"address": "127.0.0.1", "port": port, "tls": False}, chaos_front.listener(0, front_port)],
        "locations": [
            {
                "path": "/wss",
                "upstream": f"http://127.0.0.1:{echo_port}",
                "origins": [ORIGIN],
                "extra_directives": chaos_front.header_of(names[0]),
            }
        ],
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(running("load_echo_server", str(echo_port)))
        first = LocalGate([server])
        (first.root / "hub").mkdir()
        first.variables["wss_proxy_hub_marker_path"] = str(first.root / "hub" / "caught-up")
        first.variables["wss_proxy_balancers"] = [chaos_front.OWN_ADDRESS]
        stack.enter_context(first)
        stack.callback(release, str(first.session_log))
        gates: dict[str, LocalNginx] = {names[0]: first}
        ports = {names[0]: port}
        for number, name in enumerate(names[1:], 1):
            ports[name] = free_port()
            words = {
                chaos_front.address(0): chaos_front.address(number),
                chaos_front.header_of(names[0]): chaos_front.header_of(name),
            }
            gates[name] = _copy(first, {port: ports[name]}, words)
            stack.enter_context(gates[name])
            stack.callback(release, str(gates[name].session_log))
        yield gates, ports


def _copy(first: LocalGate, ports: dict[int, int], words: dict[str, str]) -> GateCopy:
    """The same gate with a store of its own."""
    copy = first.copy(lambda _name, text: text, ports)
    for name, text in copy.configuration().items():
        for old, new in {str(first.tokens): str(copy.root / "tokens"), **words}.items():
            text = text.replace(old, new)
        (copy.etc / name).write_text(text)
    copy.tokens = copy.root / "tokens"
    (copy.root / "hub").mkdir()
    copy.tokens.mkdir(mode=0o710)
    copy.session_log.parent.chmod(0o700)
    shutil.chown(copy.tokens, "root", "www-data")
    return copy
