# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong around a gate, done to it: upstreams that die, clients that hang, workers that are killed, limits
reached.

WSSGATE_CLIENTS=2000 is the long form of the crowd that comes back at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.info import gather

from lib import crowd, wire
from lib.http_client import receive_head, stop_listening
from lib.local_gate import LocalGate, LocalNginx, free_port
from lib.processes import start, wait_for

TOKEN = "token-of-the-faults-01"
ORIGIN = "https://app.example.com"
NAME = "gate.example.com"
CLIENTS = int(os.environ.get("WSSGATE_CLIENTS", "300"))
IDLE = 2
# The crowd's own, and those of the other tests.
SESSIONS = CLIENTS + 100
# A machine that is busy with the other tests takes its time; a gate that hangs takes for ever.
TIMEOUT = 20.0
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Echo:
    """The echo server in a process of its own, which can be killed."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = start("load_echo_server", str(self.port))

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Echo:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class ScriptedUpstream:
    """An upstream whose answer to each connection is a function; what it saw of the end of it is kept."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.behave = lambda connection: None
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        stop_listening(self._listener)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            receive_head(connection)
            self.behave(connection)


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with Echo() as echo:
        yield echo


@pytest.fixture(scope="module")
def spare() -> Iterator[Echo]:
    with Echo() as echo:
        yield echo


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    scripted = ScriptedUpstream()
    yield scripted
    scripted.close()


@pytest.fixture(scope="module")
def unaccepted_port() -> Iterator[int]:
    """A port whose connections nobody ever accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def strict_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(
    echo: Echo, spare: Echo, scripted: ScriptedUpstream, unaccepted_port: int, port: int, strict_port: int
) -> Iterator[LocalGate]:
    local_gate = LocalGate([], nginx_worker_processes=2, nginx_sessions=SESSIONS)
    common = {"origins": [ORIGIN], "idle_timeout": IDLE}
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_upstreams": [
            {
                "name": "group",
                "servers": [{"address": f"127.0.0.1:{echo.port}"}, {"address": f"127.0.0.1:{spare.port}"}],
            }
        ],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": [NAME],
                "certificate": "gate",
                "listen": [{"address": "127.0.0.1", "port": port}],
                "locations": [
                    {"path": "/wss", "upstream": f"http://127.0.0.1:{echo.port}", "origins": [ORIGIN]},
                    {"path": "/idle", "upstream": f"http://127.0.0.1:{echo.port}", **common},
                    {"path": "/group", "upstream": "group", **common},
                    {
                        "path": "/scripted",
                        "upstream": f"http://127.0.0.1:{scripted.port}",
                        **common,
                        "extra_directives": "send_timeout 2s;",
                    },
                    {"path": "/unaccepted", "upstream": f"http://127.0.0.1:{unaccepted_port}", **common},
                ],
            },
            {
                "name": "strict",
                "server_names": [NAME],
                "certificate": "gate",
                "listen": [{"address": "127.0.0.1", "port": strict_port}],
                # nginx's own 60 s, for tests that cannot wait.
                "extra_directives": "client_header_timeout 2s;",
                "locations": [{"path": "/wss", "upstream": f"http://127.0.0.1:{echo.port}", "origins": [ORIGIN]}],
            },
        ],
    }
    local_gate.issue(TOKEN)
    with local_gate:
        yield local_gate


@pytest.fixture(scope="module")
def tls(local_gate: LocalGate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(local_gate.etc / "certificates" / "gate" / "fullchain.pem"))


def asked(path: str = "/wss") -> wire.Request:
    return wire.Request(path, host=NAME).origin(ORIGIN).token(TOKEN)


def attempt(port: int, path: str = "/wss", timeout: float = TIMEOUT) -> wire.Reply:
    return wire.handshake(wire.Endpoint(port=port, server_name=NAME), asked(path), timeout)


def is_served(port: int, path: str = "/wss") -> bool:
    """Whether a handshake and an echo work, as they would for anybody at this moment."""
    with contextlib.suppress(OSError, wire.WireError):
        with attempt(port, path) as reply:
            if reply.session is None:
                return False
            reply.session.socket.sendall(crowd.SENT)
            return reply.session.receive(TIMEOUT).text == "echo"
    return False


def echoes(session: wire.Session) -> bool:
    session.socket.sendall(crowd.SENT)
    return session.receive(TIMEOUT).text == "echo"


def reasons(local_gate: LocalGate, path: str) -> list[str]:
    lines = [json.loads(line) for line in local_gate.access_log.read_text().splitlines()]
    return [line["reason"] for line in lines if line["location"] == path]


def clients(nginx: LocalNginx) -> int:
    return int(gather(nginx.binary, str(nginx.etc / "nginx.conf"), str(nginx.pid_path), True, True)["connections"])


@pytest.fixture(autouse=True)
def nothing_is_left_behind(local_gate: LocalGate, port: int) -> Iterator[None]:
    """After each fault the gate serves, and has let go of every client."""
    yield
    assert wait_for(lambda: is_served(port), TIMEOUT)
    wait_for(lambda: clients(local_gate) == 0, TIMEOUT)


# -- upstreams
# -----------------------------------------------------------------------------------------------------------


def test_an_upstream_that_is_killed_ends_its_sessions_and_is_taken_back_at_once(
    local_gate: LocalGate, port: int, echo: Echo
) -> None:
    with attempt(port) as reply:
        assert reply.session is not None and echoes(reply.session)
        echo.kill()
        assert reply.session.ended(TIMEOUT)
    assert attempt(port).status == 502
    wait_for(lambda: reasons(local_gate, "/wss")[-1] == "upstream_unreachable")
    echo.start()
    assert is_served(port)


def test_the_others_of_a_group_serve_while_one_is_gone(local_gate: LocalGate, port: int, echo: Echo) -> None:
    echo.kill()
    try:
        assert all(is_served(port, "/group") for _number in range(6))
    finally:
        echo.start()


def test_an_upstream_that_never_answers_is_given_up_and_holds_up_nobody(local_gate: LocalGate, port: int) -> None:
    replies: list[int] = []
    waiting = [
        threading.Thread(target=lambda: replies.append(attempt(port, "/unaccepted").status)) for _number in range(20)
    ]
    for thread in waiting:
        thread.start()
    assert is_served(port)
    for thread in waiting:
        thread.join(TIMEOUT)
    assert replies == [504] * 20
    wait_for(lambda: reasons(local_gate, "/unaccepted") == ["upstream_silent"] * 20)


def test_an_upstream_that_closes_in_the_middle_of_a_frame_ends_the_session_there(
    port: int, scripted: ScriptedUpstream
) -> None:
    scripted.behave = lambda connection: connection.sendall(SWITCHING + b"\x82\x7e\x10\x00" + b"x" * 100)
    with attempt(port, "/scripted") as reply:
        assert reply.session is not None
        with pytest.raises(wire.WireError, match="3996 bytes before the end"):
            reply.session.receive(TIMEOUT)


def test_an_upstream_that_resets_ends_the_session(port: int, scripted: ScriptedUpstream) -> None:
    def reset(connection: socket.socket) -> None:
        connection.sendall(SWITCHING)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    scripted.behave = reset
    with attempt(port, "/scripted") as reply:
        assert reply.session is None or reply.session.ended(TIMEOUT)


# -- clients
# -------------------------------------------------------------------------------------------------------------


def test_a_client_that_vanished_is_let_go_after_the_idle_time(local_gate: LocalGate, port: int) -> None:
    """Nothing comes from it and nothing tells that it is gone, as with a cable that was pulled."""
    start = time.monotonic()
    with attempt(port, "/idle") as reply:
        assert reply.session is not None
        assert clients(local_gate) == 1
        assert reply.session.ended(TIMEOUT)
    assert time.monotonic() - start > IDLE - 0.5


def test_a_client_that_reads_nothing_is_let_go_and_its_upstream_told(port: int, scripted: ScriptedUpstream) -> None:
    ended = threading.Event()

    def pour(connection: socket.socket) -> None:
        connection.sendall(SWITCHING)
        try:
            while True:
                connection.sendall(b"\x82\x7e\x10\x00" + b"x" * 4096)
        except OSError:
            ended.set()

    scripted.behave = pour
    with attempt(port, "/scripted") as reply:
        assert reply.session is not None
        assert ended.wait(TIMEOUT)


def test_handshakes_that_come_byte_by_byte_are_given_up_and_hold_up_nobody(
    local_gate: LocalGate, strict_port: int, tls: ssl.SSLContext
) -> None:
    port = strict_port
    head = asked().encode()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(
                tls.wrap_socket(socket.create_connection(("127.0.0.1", port), TIMEOUT), server_hostname=NAME)
            )
            for _n in range(40)
        ]
        # And some that do not even begin to speak TLS.
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT)) for _n in range(40)]
        answers: dict[int, bytes] = {}
        for position in range(len(head)):
            for index, connection in enumerate(slow):
                if index not in answers:
                    try:
                        connection.sendall(head[position : position + 1])
                    except OSError:
                        answers[index] = b""
            if position == 3:
                assert is_served(port)
            time.sleep(0.25)
            if time.monotonic() - start > 4:
                break
        for index, connection in enumerate(slow):
            connection.settimeout(TIMEOUT)
            with contextlib.suppress(OSError):
                answers[index] = connection.recv(65536)
        assert not any(answer.startswith(b"HTTP/1.1 101") for answer in answers.values())
        assert wire_ended(silent)


def wire_ended(connections: list[socket.socket]) -> bool:
    for connection in connections:
        connection.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionResetError):
            if connection.recv(1):
                return False
    return True


def test_a_whole_crowd_comes_back_at_once(local_gate: LocalGate, port: int, tls: ssl.SSLContext) -> None:
    crowd.raise_limit()

    async def twice() -> list[crowd.Crowd]:
        crowds = [crowd.Crowd(port, asked().encode(), tls, 60) for _time in range(2)]
        for clients in crowds:
            sessions = await clients.echo_all(await clients.open_all(CLIENTS))
            # All are gone at the same moment, and back in the next.
            for session in sessions:
                session.drop()
        return crowds

    for clients in asyncio.run(twice()):
        print(dataclasses.replace(clients.seen, failed=clients.seen.failed[:3]))
        assert sorted(set(clients.seen.failed)) == []
        assert clients.seen.opened == clients.seen.echoes == CLIENTS


# -- nginx
# ---------------------------------------------------------------------------------------------------------------


def test_a_killed_worker_takes_its_own_sessions_with_it_and_is_replaced(local_gate: LocalGate, port: int) -> None:
    with contextlib.ExitStack() as stack:
        # Which worker gets a connection is the kernel's choice.
        sessions = [stack.enter_context(attempt(port)).session for _number in range(40)]
        before = local_gate.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(local_gate.workers()) == 2 and before[0] not in local_gate.workers())
        assert is_served(port)
        alive = [session is not None and session.is_open_still() for session in map(Watched, sessions)]
        assert before[1] in local_gate.workers()
        # Those of the other worker did not notice; where one worker had them all, it is the one or the other.
        wait_for(lambda: clients(local_gate) == alive.count(True))


class Watched:
    def __init__(self, session: wire.Session | None) -> None:
        self._session = session

    def is_open_still(self) -> bool:
        assert self._session is not None
        # In a thread of its own: with OpenSSL 3.5 a connection that is gone leaves its errors to the next ones there.
        with concurrent.futures.ThreadPoolExecutor(1) as thread, contextlib.suppress(OSError, wire.WireError):
            return thread.submit(echoes, self._session).result()
        return False


@pytest.fixture
def altered(local_gate: LocalGate, port: int, strict_port: int) -> Iterator[Callable[..., tuple[LocalNginx, int]]]:
    """The same gate on another port, with something else in its configuration."""
    with contextlib.ExitStack() as stack:

        def alter(*changes: tuple[str, str]) -> tuple[LocalNginx, int]:
            done = set()

            def edit(_name: str, text: str) -> str:
                for pattern, replacement in changes:
                    text, count = re.subn(pattern, replacement, text)
                    done.update({pattern} if count else {})
                return text

            own = free_port()
            copy = stack.enter_context(local_gate.copy(edit, {port: own, strict_port: free_port()}))
            assert done == {pattern for pattern, _replacement in changes}
            wait_for(lambda: is_served(own), TIMEOUT)
            return copy, own

        yield alter


ONE_WORKER = (r"worker_processes 2;", "worker_processes 1;")


def test_a_worker_out_of_descriptors_keeps_its_sessions_and_recovers(
    altered: Callable[..., tuple[LocalNginx, int]],
) -> None:
    nginx, port = altered(ONE_WORKER, (r"worker_rlimit_nofile \d+;", "worker_rlimit_nofile 40;"))
    statuses: list[int] = []
    with attempt(port) as first, contextlib.ExitStack() as stack:
        assert first.session is not None
        for _number in range(20):
            with contextlib.suppress(OSError, wire.WireError):
                # There is room for the first few, however long it takes; who comes later may wait for ever.
                reply = attempt(port, timeout=TIMEOUT if len(statuses) < 4 else 0.5)
                statuses.append(reply.status)
                if reply.session is not None:
                    stack.callback(reply.session.close)
        # Who came at the limit got a clear answer, or waited in the kernel's queue. Nobody got a session that does not
        # work.
        assert statuses.count(101) > 3
        assert len(statuses) < 20 or set(statuses) > {101}
        assert set(statuses) <= {101, 500}
        assert echoes(first.session)
        stack.close()
        assert wait_for(lambda: is_served(port), TIMEOUT)
        assert echoes(first.session)
    # Each C library has its own words for EMFILE.
    assert re.search(r"(accept4|socket)\(\) failed \(24:", nginx.error_log())


def test_a_worker_out_of_connections_keeps_its_sessions_and_says_so(
    altered: Callable[..., tuple[LocalNginx, int]],
) -> None:
    # A session takes two connections: where one is left, the newcomer gets an answer, else its connection is ended.
    seen = {
        full(*altered(ONE_WORKER, (r"worker_connections \d+;", f"worker_connections {count};"))) for count in (32, 33)
    }
    assert seen == {"", "full"}


def full(nginx: LocalNginx, port: int) -> str:
    """Opens sessions until the worker has no connection left; the reason in its log for who came then."""
    with contextlib.ExitStack() as stack:
        sessions, statuses = [], set()
        for _number in range(33):
            with contextlib.suppress(OSError, wire.WireError):
                reply = stack.enter_context(attempt(port))
                statuses.add(reply.status)
                sessions += [reply.session] if reply.session else []
        assert len(sessions) > 8
        assert statuses <= {101, 500}
        assert all(echoes(session) for session in sessions)
    assert wait_for(lambda: is_served(port), TIMEOUT)
    assert "worker_connections are not enough" in nginx.error_log()
    told = [json.loads(line) for line in nginx.access_log.read_text().splitlines()]
    reasons = {line["reason"] for line in told if line["status"] == 500}
    assert bool(reasons) == (500 in statuses)
    assert len(reasons) <= 1
    return "".join(reasons)


def test_a_full_log_disk_stops_neither_sessions_nor_refusals(altered: Callable[..., tuple[LocalNginx, int]]) -> None:
    nginx, port = altered((r"access_log \S+/(wss_access|sessions)\.log", r"access_log /dev/full"))
    with attempt(port) as reply:
        assert reply.session is not None
        assert all(is_served(port) for _number in range(5))
        assert (
            wire.handshake(wire.Endpoint(port=port, server_name=NAME), asked().without("Cookie"), TIMEOUT).status == 403
        )
        assert echoes(reply.session)
    wait_for(lambda: "No space left on device" in nginx.error_log())


def test_a_gate_that_is_full_refuses_at_once_keeps_what_it_has_and_recovers(
    altered: Callable[..., tuple[LocalNginx, int]], tls: ssl.SSLContext
) -> None:
    # Two connections a session, and a few for nginx itself.
    nginx, port = altered(ONE_WORKER, (r"worker_connections \d+;", "worker_connections 200;"))
    crowd.raise_limit()

    async def fill() -> tuple[crowd.Seen, crowd.Seen, crowd.Seen]:
        first, more, after = (crowd.Crowd(port, asked().encode(), tls, TIMEOUT) for _number in range(3))
        held = await first.open_all(90)
        refused = await more.open_all(40)
        held = await first.echo_all(held)
        for session in refused + held[:60]:
            session.drop()
        await asyncio.to_thread(wait_for, lambda: clients(nginx) == 30)
        held += await after.echo_all(await after.open_all(40))
        for session in held:
            session.drop()
        return first.seen, more.seen, after.seen

    first, more, after = asyncio.run(fill())
    assert (first.opened, first.echoes, first.failed) == (90, 90, [])
    # Each of them was told: refused with a status, or the connection was ended.
    assert more.failed and "TimeoutError" not in more.failed, more
    assert (after.opened, after.echoes, after.failed) == (40, 40, [])
    assert "worker_connections are not enough" in nginx.error_log()


def test_the_test_client_would_notice_a_session_that_is_dropped(port: int) -> None:
    async def one() -> crowd.Seen:
        clients = crowd.Crowd(port, asked("/idle").encode(), None, 5)
        # Plain text to a TLS port is refused.
        await clients.open_all(3)
        return clients.seen

    assert len(asyncio.run(one()).failed) == 3
