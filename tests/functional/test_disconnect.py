# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Revoking a token ends its open sessions, by whatever way they came, and nobody else's.

All of it, the gate too, is in a network namespace of its own: a fault in what is closed then cuts off nobody on this
machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.protection import release
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint

from lib import hold, wire
from lib.local_gate import LocalGate, free_port
from lib.network_namespace import own_network
from lib.processes import running, wait_for

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace, and closing other people's sockets, is for root"
)

ORIGIN = "https://app.example.com"
BALANCER = "127.0.0.2"
VISITOR, VISITOR_6 = "203.0.113.9", "2001:db8::9"
MINE, OTHER = "token-to-be-revoked-1", "token-of-a-bystander-1"
# What takes a second where nothing else runs may take so many beside the other tests.
SOON = 5.0
# As a host runs it: arguments in, one JSON object out.
MODULE = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.wssgate.nginx.plugins.modules import wss_token, wss_token_info
with patch_module_args(json.load(sys.stdin)):
    {module}.main()
"""


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except PermissionError:
            pytest.skip("no network namespace can be made here (CAP_SYS_ADMIN)")
        yield


@pytest.fixture(scope="module")
def ports(network: None) -> dict[str, int]:
    return {name: free_port() for name in ("straight", "proxy_protocol", "forwarded", "echo", "nobody")}


@pytest.fixture(scope="module")
def echo(ports: dict[str, int]) -> Iterator[None]:
    with running("echo_server", "--echo", f"127.0.0.1:{ports['echo']}"):
        yield


@pytest.fixture(scope="module")
def local_gate(ports: dict[str, int], echo: None) -> Iterator[LocalGate]:
    def location(path: str, **options: Any) -> dict[str, Any]:
        return {"path": path, "upstream": f"http://127.0.0.1:{ports['echo']}", "origins": [ORIGIN], **options}

    def server(name: str, *listen: dict[str, Any], **options: Any) -> dict[str, Any]:
        return {
            "name": name, "server_names": ["gate.example.com"], "listen": [{"tls": False, **entry} for entry in listen],
            "locations": [
                location("/wss"),
                location("/open", auth="none"),
                location("/dead", upstream=f"http://127.0.0.1:{ports['nobody']}"),
            ],
            **options,
        }  # fmt: skip

    local_gate = LocalGate([])
    local_gate.variables["wss_proxy_servers"] = [
        server(
            "straight",
            {"address": "127.0.0.1", "port": ports["straight"]},
            {"address": "::1", "port": ports["straight"]},
            {"unix": str(local_gate.root / "gate.sock")},
        ),
        server(
            "behind_proxy_protocol",
            {"address": "127.0.0.1", "port": ports["proxy_protocol"], "proxy_protocol": True},
            {"address": "::1", "port": ports["proxy_protocol"], "proxy_protocol": True},
            trusted_proxies=[BALANCER, "::1"],
        ),
        server("forwarded", {"address": "127.0.0.1", "port": ports["forwarded"]}, trusted_proxies=[BALANCER]),
    ]
    with local_gate:
        yield local_gate


class Way(NamedTuple):
    """How a client reaches the gate, and who the gate then takes it for."""

    server: str
    host: str = "127.0.0.1"
    source: str | None = None
    preamble: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    visitor: str = "127.0.0.1"


STRAIGHT = Way("straight")
WAYS = {
    "straight": STRAIGHT,
    "straight over IPv6": Way("straight", host="::1", visitor="::1"),
    "behind PROXY protocol": Way(
        "proxy_protocol",
        source=BALANCER,
        preamble=f"PROXY TCP4 {VISITOR} 198.51.100.1 40000 443\r\n".encode(),
        visitor=VISITOR,
    ),
    "behind PROXY protocol, the visitor over IPv6": Way(
        "proxy_protocol",
        source=BALANCER,
        preamble=f"PROXY TCP6 {VISITOR_6} 2001:db8::1 40000 443\r\n".encode(),
        visitor=VISITOR_6,
    ),
    "behind PROXY protocol, the balancer over IPv6": Way(
        "proxy_protocol",
        host="::1",
        preamble=f"PROXY TCP4 {VISITOR} 198.51.100.1 40000 443\r\n".encode(),
        visitor=VISITOR,
    ),
    "behind a PROXY header that is not believed": Way(
        "proxy_protocol", preamble=f"PROXY TCP4 {VISITOR} 198.51.100.1 40000 443\r\n".encode()
    ),
    "behind a trusted proxy": Way(
        "forwarded", source=BALANCER, headers=(("X-Forwarded-For", VISITOR),), visitor=VISITOR
    ),
    "past the trusted proxy, with a lie": Way("forwarded", headers=(("X-Forwarded-For", VISITOR),)),
}


class Gate:
    def __init__(self, local_gate: LocalGate, ports: dict[str, int], stack: contextlib.ExitStack) -> None:
        self.local_gate = local_gate
        self.ports = ports
        self.stack = stack

    def request(self, token: str | None, way: Way = STRAIGHT, path: str = "/wss") -> wire.Request:
        request = wire.Request(path=path, host="gate.example.com").origin(ORIGIN)
        for name, value in way.headers:
            request = request.adding(name, value)
        return request if token is None else request.token(token)

    def handshake(self, token: str | None, way: Way = STRAIGHT, path: str = "/wss") -> wire.Reply:
        endpoint = wire.Endpoint(port=self.ports[way.server], host=way.host, source=way.source, tls=False)
        return self.stack.enter_context(wire.handshake(endpoint, self.request(token, way, path), preamble=way.preamble))

    def open(self, token: str | None, way: Way = STRAIGHT, path: str = "/wss") -> wire.Session:
        reply = self.handshake(token, way, path)
        assert reply.status == 101 and reply.session is not None
        assert reply.session.echo("hello") == "hello"
        return reply.session

    def open_from(self, source_port: int, token: str | None, path: str = "/wss") -> wire.Session:
        """From a port of one's choice, which the close sets free at once."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.bind(("127.0.0.1", source_port))
        client.settimeout(10)
        client.connect(("127.0.0.1", self.ports["straight"]))
        client.sendall(self.request(token, path=path).encode())
        reply = wire.read_reply(client)
        assert reply.status == 101 and reply.session is not None
        self.stack.callback(reply.session.close)
        assert reply.session.echo("hello") == "hello"
        return reply.session

    def log(self) -> list[str]:
        return self.local_gate.session_log.read_text().splitlines()

    def revoke(self, *launcher: str, **options: Any) -> dict[str, Any]:
        return self.ask("wss_token", *launcher, tokens=[MINE], state="absent", disconnect=True, **options)

    def ask(self, module: str, *launcher: str, **options: Any) -> dict[str, Any]:
        arguments = {"path": str(self.local_gate.tokens), "session_log": str(self.local_gate.session_log), **options}
        import ansible_collections

        tree = str(Path(next(iter(ansible_collections.__path__))).parent)
        done = subprocess.run(
            [*launcher, sys.executable, "-c", MODULE.format(module=module)],
            input=json.dumps(arguments), capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": tree}, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        assert MINE not in done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def gate(local_gate: LocalGate, ports: dict[str, int]) -> Iterator[Gate]:
    for token in (MINE, OTHER):
        local_gate.issue(token)
    with contextlib.ExitStack() as stack:
        yield Gate(local_gate, ports, stack)


class Stopwatch:
    """The time between a moment that is looked for and the end of the last session as its client sees it."""

    def __init__(self, moment: Callable[[], bool], *sessions: wire.Session) -> None:
        self.started = self.ended = 0.0
        self._threads = [
            threading.Thread(target=self._wait, args=(sessions,)),
            threading.Thread(target=self._look, args=(moment,)),
        ]
        for thread in self._threads:
            thread.start()

    def _wait(self, sessions: Iterable[wire.Session]) -> None:
        if all(session.ended(20) for session in sessions):
            self.ended = time.monotonic()

    def _look(self, moment: Callable[[], bool]) -> None:
        wait_for(moment, 20)
        self.started = time.monotonic()

    def read(self) -> float:
        for thread in self._threads:
            thread.join()
        assert self.started and self.ended, "the session did not end"
        return self.ended - self.started


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_sessions_of_a_revoked_token_end_at_once_and_a_bystander_s_goes_on(gate: Gate, way: Way) -> None:
    session, bystander = gate.open(MINE, way), gate.open(OTHER, way)
    assert {line.split(" ")[9] for line in gate.log()[-2:]} == {way.visitor}, (
        "the way is not what the test takes it for"
    )
    watch = Stopwatch(lambda: not (gate.local_gate.tokens / MINE).exists(), session)
    result = gate.revoke()
    assert result["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
    assert watch.read() < SOON
    assert bystander.echo("still here") == "still here"
    assert gate.handshake(MINE, way).status == 403


def test_a_token_s_sessions_of_all_ways_end_in_one_call(gate: Gate) -> None:
    sessions = [gate.open(MINE, way) for way in WAYS.values() for _turn in range(10)]
    bystanders = [gate.open(OTHER, way) for way in WAYS.values()]
    assert gate.revoke()["sessions"] == {"found": len(sessions), "ended": len(sessions), "remaining": 0}
    assert all(session.ended(SOON) for session in sessions)
    assert all(bystander.echo("still here") == "still here" for bystander in bystanders)


def test_many_sessions_of_a_token_end_at_once(gate: Gate) -> None:
    sessions = [gate.open(MINE) for _turn in range(300)]
    bystander = gate.open(OTHER)
    watch = Stopwatch(lambda: not (gate.local_gate.tokens / MINE).exists(), *sessions)
    assert gate.revoke()["sessions"] == {"found": 300, "ended": 300, "remaining": 0}
    assert watch.read() < SOON
    assert bystander.echo("still here") == "still here"


def test_reloads_hide_no_session(gate: Gate) -> None:
    sessions, bystanders = [], []
    for _turn in range(3):
        sessions.append(gate.open(MINE))
        bystanders.append(gate.open(OTHER))
        gate.local_gate.reload()
    assert len(gate.local_gate.workers("nginx: worker process is shutting down")) == 3
    assert gate.revoke()["sessions"]["ended"] == 3
    assert all(session.ended(SOON) for session in sessions)
    assert all(bystander.echo("old worker") == "old worker" for bystander in bystanders)


def test_a_rotation_hides_no_session(gate: Gate) -> None:
    """As logrotate does it: the log is renamed, then nginx is told to open its logs, which its workers may not."""
    sessions = [gate.open(MINE)]
    bystander = gate.open(OTHER)
    rotated = gate.local_gate.session_log.with_name("sessions.log.1")
    # Where the file system has the attribute, nobody can rename it by mistake.
    release(str(gate.local_gate.session_log))
    gate.local_gate.session_log.rename(rotated)
    gate.local_gate.signal(signal.SIGUSR1)
    try:
        wait_for(gate.local_gate.session_log.exists)
        time.sleep(0.3)
        sessions.append(gate.open(MINE))
        gate.local_gate.reload()
        sessions.append(gate.open(MINE))
        assert len(gate.log()) == 1 and len(rotated.read_text().splitlines()) > 2, (
            "the logs are not as the test takes them for"
        )
        assert gate.revoke()["sessions"]["ended"] == 3
        assert all(session.ended(SOON) for session in sessions)
        assert bystander.echo("still here") == "still here"
    finally:
        release(str(rotated))
        rotated.unlink()


def test_a_signal_to_open_logs_anew_hides_no_session_and_shows_the_log_to_nobody(gate: Gate) -> None:
    session = gate.open(MINE)
    gate.local_gate.signal(signal.SIGUSR1)
    time.sleep(0.3)
    later = gate.open(MINE)
    as_worker = [
        "setpriv",
        "--reuid=www-data",
        "--regid=www-data",
        "--clear-groups",
        "cat",
        str(gate.local_gate.session_log),
    ]
    assert gate.local_gate.session_log.parent.stat().st_mode & 0o077 == 0
    assert subprocess.run(as_worker, capture_output=True, check=False).returncode != 0
    assert gate.revoke()["sessions"]["ended"] == 2
    assert session.ended(SOON) and later.ended(SOON)


def test_a_change_of_the_log_s_path_hides_no_session(gate: Gate) -> None:
    """The old workers go on writing to the former log, also when the path changes once more."""
    first = gate.local_gate.session_log
    sessions, bystander = [gate.open(MINE)], gate.open(OTHER)
    try:
        for name in ("second.log", "third.log"):
            gate.local_gate.session_log = first.with_name(name)
            gate.local_gate.apply(wss_proxy_session_log_path=str(gate.local_gate.session_log))
            sessions.append(gate.open(MINE))
            assert MINE not in "".join(gate.log()[:-1]), "the log has the former sessions: the test proves nothing"
        counted = gate.ask("wss_token_info", sessions=True)
        assert {token["fingerprint"]: token["sessions"] for token in counted["tokens"]} == {
            fingerprint(MINE): 3, fingerprint(OTHER): 1,
        }  # fmt: skip
        assert gate.revoke()["sessions"] == {"found": 3, "ended": 3, "remaining": 0}
        assert all(session.ended(SOON) for session in sessions)
        assert bystander.echo("still here") == "still here"
    finally:
        gate.local_gate.session_log = first
        gate.local_gate.apply(wss_proxy_session_log_path=str(first))


def test_a_lock_that_a_worker_holds_on_the_log_and_anybody_on_the_store_s_folder_stops_no_revocation(
    gate: Gate,
) -> None:
    session = gate.open(MINE)
    with gate.local_gate.session_log.open("rb") as log:
        # The worker's descriptor and its master's are one: a lock by either is a lock by both.
        fcntl.flock(log, fcntl.LOCK_EX)
        store = os.open(gate.local_gate.tokens, os.O_RDONLY)
        try:
            fcntl.flock(store, fcntl.LOCK_EX)
            assert gate.revoke()["sessions"] == {"found": 1, "ended": 1, "remaining": 0}
        finally:
            os.close(store)
    assert session.ended(SOON)


def test_a_port_used_again_by_another_token_is_left_alone(gate: Gate) -> None:
    port = free_port()
    gate.open_from(port, MINE).close()
    bystander = gate.open_from(port, OTHER)
    assert gate.revoke()["sessions"] == {"found": 0, "ended": 0, "remaining": 0}
    assert bystander.echo("still here") == "still here"


def test_a_port_used_again_without_a_token_is_left_alone(gate: Gate) -> None:
    port = free_port()
    gate.open_from(port, MINE).close()
    bystander = gate.open_from(port, None, "/open")
    assert gate.revoke()["sessions"]["found"] == 0
    assert bystander.echo("still here") == "still here"


def test_a_port_used_again_after_a_crash_that_nobody_could_log_is_left_alone(gate: Gate) -> None:
    port = free_port()
    session = gate.open_from(port, MINE)
    (worker,) = gate.local_gate.workers()
    os.kill(worker, signal.SIGKILL)
    assert session.ended(20)
    session.close()
    wait_for(lambda: (now := gate.local_gate.workers()) and worker not in now)
    bystander = gate.open_from(port, None, "/open")
    kind, _time, pid, *_rest = gate.log()[-1].split(" ")
    assert (kind, pid) == ("S", str(worker)), "the crash was logged: the test proves nothing"
    assert gate.revoke()["sessions"]["found"] == 0
    assert bystander.echo("still here") == "still here"


def test_a_connection_that_went_on_without_the_token_is_left_alone(gate: Gate) -> None:
    """The upstream of the first request is not there, and a connection is kept after a 502."""
    with socket.create_connection(("127.0.0.1", gate.ports["straight"]), timeout=10) as client:
        client.sendall(gate.request(MINE, path="/dead").encode())
        answer = b""
        while not answer.endswith(b"</html>\r\n"):
            answer += client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 502")
        client.sendall(gate.request(None, path="/open").encode())
        reply = wire.read_reply(client)
        assert reply.session is not None
        assert gate.revoke()["sessions"]["found"] == 0
        assert reply.session.echo("still here") == "still here"


def test_without_the_right_to_close_sockets_the_token_goes_and_the_call_fails_with_the_number(gate: Gate) -> None:
    sessions = [gate.open(MINE), gate.open(MINE)]
    result = gate.revoke("setpriv", "--bounding-set", "-net_admin")
    assert result["failed"]
    assert result["msg"].startswith("2 open session(s) could not be ended: ") and "not permitted" in result["msg"]
    assert result["sessions"] == {"found": 2, "ended": 0, "remaining": 2}
    assert gate.handshake(MINE).status == 403
    assert all(session.echo("still here") == "still here" for session in sessions)
    # Once the right is there, the sessions of a token that is gone can still be ended.
    assert gate.revoke()["sessions"] == {"found": 2, "ended": 2, "remaining": 0}


def test_where_ending_them_is_not_required_the_call_warns_with_the_number(gate: Gate) -> None:
    session = gate.open(MINE)
    result = gate.revoke("setpriv", "--bounding-set", "-net_admin", disconnect_required=False)
    assert "failed" not in result and result["removed"] == 1
    assert result["sessions"] == {"found": 1, "ended": 0, "remaining": 1}
    assert any("1 open session(s) could not be ended" in str(warning) for warning in result["warnings"])
    assert session.echo("still here") == "still here"


def test_a_session_over_a_unix_socket_is_told_as_one_that_cannot_be_ended(gate: Gate) -> None:
    endpoint = wire.Endpoint(unix=gate.local_gate.root / "gate.sock", tls=False)
    with wire.handshake(endpoint, gate.request(MINE)) as reply:
        assert reply.status == 101 and reply.session is not None
        result = gate.revoke()
        assert result["failed"] and "unix socket" in result["msg"]
        assert result["sessions"] == {"found": 1, "ended": 0, "remaining": 1}
        assert reply.session.echo("still here") == "still here"


def prune(gate: Gate) -> None:
    """One run of the pruner, as the timer starts it."""
    import ansible_collections

    tree = str(Path(next(iter(ansible_collections.__path__))).parent)
    code = (
        "import sys; from ansible_collections.wssgate.nginx.plugins.module_utils._agent.prune import main; "
        "sys.exit(main())"
    )
    subprocess.run(
        [
            sys.executable, "-c", code,
            "--store", str(gate.local_gate.tokens), "--session-log", str(gate.local_gate.session_log),
        ],
        env={**os.environ, "PYTHONPATH": tree}, check=True, timeout=60,
    )  # fmt: skip


def test_a_worker_held_up_between_its_look_at_the_token_and_its_line_in_the_log_opens_no_lasting_session(
    gate: Gate,
) -> None:
    """It found the file before it was removed, and logs the session long after the revocation has looked for it."""
    (worker,) = gate.local_gate.workers()
    replies: list[wire.Reply] = []
    waiting = threading.Thread(target=lambda: replies.append(gate.handshake(MINE)))
    with subprocess.Popen(
        [sys.executable, hold.__file__, str(worker), MINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdin
        assert holder.stdout.readline() == "ready\n"
        waiting.start()
        assert holder.stdout.readline() == "held\n"
        assert gate.revoke()["sessions"] == {"found": 0, "ended": 0, "remaining": 0}
        holder.stdin.close()
    waiting.join()
    (reply,) = replies
    assert reply.status == 101 and reply.session is not None, "it was not held where the test takes it to be"
    assert reply.session.echo("hello") == "hello"
    bystander = gate.open(OTHER)
    prune(gate)
    assert reply.session.ended(SOON)
    assert bystander.echo("still here") == "still here"


def test_a_gate_s_own_workers_find_nothing_among_removed_tokens(gate: Gate) -> None:
    gate.revoke()
    assert (gate.local_gate.tokens / ENDED / MINE).exists()
    for cookie in (MINE, f"{ENDED}/{MINE}", f"./{ENDED}/{MINE}", f"{ENDED}%2f{MINE}", ENDED):
        assert gate.handshake(cookie).status == 403
