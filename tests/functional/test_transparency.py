# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Once a session is open, the gate is a wire: what goes in on one side comes out on the other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import hypothesis
import kosoku
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from lib import wire
from lib.http_client import HEAD_END, receive_head, stop_listening
from lib.local_gate import LocalGate, LocalNginx, free_port, temporary_paths
from lib.processes import running

TOKEN = "transparency-token-0001"
ORIGIN = "https://app.example.com"
SEED = int(os.environ.get("WSSGATE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
EXAMPLES = int(os.environ.get("WSSGATE_TUNNEL_EXAMPLES", "40"))
# Of Autobahn's cases: some (255), all (517; 230 of them send a thousand messages each, which takes half an hour) or
# none.
SUITE = os.environ.get("WSSGATE_AUTOBAHN") or "some"
if SUITE not in ("some", "all", "none"):
    raise ValueError(f"WSSGATE_AUTOBAHN is some, all or none, not {SUITE!r}")
IS_WHOLE_SUITE = SUITE == "all"
CASES = [f"{part}.*" for part in (1, 2, 3, 4, 5, 6, 7, 10)]
# A thousand messages or large ones.
CASES += (
    ["9.*", "12.*", "13.*"]
    if IS_WHOLE_SUITE
    else ["9.1.1", "9.2.1", "9.5.1", "9.7.1", "12.1.1", "12.2.3", "13.1.1", "13.7.1"]
)

# Speaks plain WebSocket to the client, and to the gate what a browser with a token would.
ADAPTER = """\
pid {root}/nginx.pid;
error_log {root}/log/error.log;
user www-data www-data;
events {{
    worker_connections 512;
}}
http {{
    access_log off;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass https://127.0.0.1:{gate};
            proxy_http_version 1.1;
            proxy_ssl_name gate.example.com;
            proxy_ssl_server_name on;
            proxy_set_header Host gate.example.com;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection Upgrade;
            proxy_set_header Cookie AUTH={token};
            proxy_set_header Origin {origin};
        }}
    }}
}}
"""


class Wire:
    """An upstream that answers 101, then sends the given bytes, and keeps those that it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.to_client: list[bytes] = []
        self.expected = 0
        self.got = b""
        self.done = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def expect(self, count: int, to_client: list[bytes]) -> None:
        self.to_client, self.expected, self.got = to_client, count, b""
        self.done.clear()

    def close(self) -> None:
        stop_listening(self._listener)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    self._exchange(connection)
                except ConnectionError:
                    continue
            self.done.set()

    def _exchange(self, connection: socket.socket) -> None:
        self.got = receive_head(connection).partition(HEAD_END)[2]
        # The head and the first bytes in one go: they may not be lost between the two.
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        sender = threading.Thread(
            target=send_all, args=(connection, [head + b"".join(self.to_client[:1]), *self.to_client[1:]])
        )
        sender.start()
        while len(self.got) < self.expected:
            part = connection.recv(65536)
            if not part:
                break
            self.got += part
        sender.join(10)


def send_all(connection: socket.socket, parts: list[bytes]) -> None:
    for part in parts:
        connection.sendall(part)


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    port = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{port}"):
        yield port


@pytest.fixture(scope="module")
def raw() -> Iterator[Wire]:
    raw = Wire()
    yield raw
    raw.close()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(echo: int, raw: Wire, port: int) -> Iterator[LocalGate]:
    local_gate = LocalGate([])
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": ["gate.example.com"],
                "certificate": "gate",
                "listen": [{"address": "127.0.0.1", "port": port}],
                "locations": [
                    {"path": "/wss", "upstream": f"http://127.0.0.1:{echo}", "origins": [ORIGIN]},
                    {"path": "/raw", "upstream": f"http://127.0.0.1:{raw.port}", "origins": [ORIGIN]},
                ],
            }
        ],
    }
    local_gate.issue(TOKEN)
    with local_gate:
        yield local_gate


@pytest.fixture(scope="module")
def adapter(local_gate: LocalGate, port: int) -> Iterator[int]:
    own = free_port()
    with LocalNginx() as nginx:
        nginx.binary = local_gate.binary
        for folder in (nginx.etc, nginx.log):
            folder.mkdir()
        (nginx.etc / "nginx.conf").write_text(
            ADAPTER.format(
                root=nginx.root, port=own, gate=port, token=TOKEN, origin=ORIGIN, temporary=temporary_paths(nginx.root)
            )
        )
        nginx.start()
        yield own


def in_one_thread(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test's coroutine, for a minute at most: a machine that is busy with the other tests takes its time.

    OpenSSL's connections are not made for a reader and a writer at the same moment (SSL_read(3), threads(7ossl)). The
    `websockets` library's client of two threads lost 5 of 9,500 handshakes through the gate, most likely where TLS
    1.3's session tickets arrive, and its client of one thread none of 24,000.
    """

    @functools.wraps(test)
    def run(**arguments: object) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), 60))

    return run


def opened(local_gate: LocalGate, port: int, **options: object) -> connect:
    trust = ssl.create_default_context(cafile=str(local_gate.etc / "certificates" / "gate" / "fullchain.pem"))
    values = {
        "host": "127.0.0.1",
        "port": port,
        "server_hostname": "gate.example.com",
        "ssl": trust,
        "additional_headers": {"Cookie": f"AUTH={TOKEN}"},
        "origin": ORIGIN,
        "max_size": 1 << 25,
        "proxy": None,
        "open_timeout": 60,
    }
    return connect("wss://gate.example.com/wss", **values | options)


# -- Autobahn
# ------------------------------------------------------------------------------------------------------------


def results(port: int, path: str, cases: list[str]) -> dict[str, tuple[object, ...]]:
    async def run() -> list[object]:
        return await asyncio.wait_for(
            kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}{path}", cases, concurrency=2),
            3600 if IS_WHOLE_SUITE else 300,
        )

    try:
        found = asyncio.run(run())
    except kosoku.FailureError as error:
        # The upstream's own failures are not the gate's: what counts is that they are the same.
        found = error.results
    return {
        case.case_id: (
            passed(case.behavior.value),
            case.behavior_close.value,
            case.remote_close_code,
            case.remote_close_reason,
        )
        for case in found
    }


def passed(behavior: str) -> str:
    """The suite passes both.

    A bad frame that arrives together with the message before it may be answered without an echo of that message.
    """
    return "OK" if behavior == "NON-STRICT" else behavior


@pytest.mark.skipif(SUITE == "none", reason="WSSGATE_AUTOBAHN is none")
def test_every_autobahn_case_ends_as_without_the_gate(echo: int, adapter: int) -> None:
    start = time.monotonic()
    direct = results(echo, "/", CASES)
    middle = time.monotonic()
    through = results(adapter, "/wss", CASES)
    print(
        f"{len(direct)} cases: direct in {middle - start:.1f} s, through the gate in {time.monotonic() - middle:.1f} s"
    )
    assert len(direct) == (517 if IS_WHOLE_SUITE else 255)
    # The suite gives a peer a second to close, which a machine that is busy with the other tests may need for itself,
    # gate or not. What a gate does to a case it does each time.
    for _attempt in range(2):
        if differing := [name for name in direct if direct[name] != through.get(name)]:
            print(f"tried again: {differing}")
            direct |= results(echo, "/", differing)
            through |= results(adapter, "/wss", differing)
    assert {name: (direct[name], through.get(name)) for name in direct if direct[name] != through.get(name)} == {}


# -- what applications use
# -------------------------------------------------------------------------------------------------


@in_one_thread
async def test_permessage_deflate_is_agreed_on_and_used(local_gate: LocalGate, port: int) -> None:
    async with opened(local_gate, port) as session:
        assert "permessage-deflate" in session.response.headers["Sec-WebSocket-Extensions"]
        text = "again and again " * 5000
        await session.send(text)
        assert await session.recv() == text


@in_one_thread
async def test_no_compression_comes_in_where_none_was_asked_for(local_gate: LocalGate, port: int) -> None:
    async with opened(local_gate, port, compression=None) as session:
        assert "Sec-WebSocket-Extensions" not in session.response.headers


@pytest.mark.parametrize("wanted", ["echo.wssgate", "chat.wssgate"])
@in_one_thread
async def test_a_subprotocol_is_agreed_on(local_gate: LocalGate, port: int, wanted: str) -> None:
    async with opened(local_gate, port, subprotocols=["unknown", wanted]) as session:
        assert session.subprotocol == wanted


@in_one_thread
async def test_a_message_of_16_mib_comes_back(local_gate: LocalGate, port: int) -> None:
    message = os.urandom(1 << 24)
    async with opened(local_gate, port, compression=None) as session:
        await session.send(message)
        assert await session.recv() == message


@in_one_thread
async def test_a_message_in_many_frames_comes_back(local_gate: LocalGate, port: int) -> None:
    parts = ["one ", "", "two ", "x" * 70000, " three"]
    async with opened(local_gate, port) as session:
        await session.send(iter(parts))
        assert await session.recv() == "".join(parts)


@pytest.mark.parametrize("payload", [b"", b"p", os.urandom(125)])
def test_a_ping_brings_its_own_pong(port: int, payload: bytes) -> None:
    endpoint = wire.Endpoint(port=port, server_name="gate.example.com")
    with wire.handshake(endpoint, wire.Request("/wss", host="gate.example.com").origin(ORIGIN).token(TOKEN)) as reply:
        assert reply.session is not None and reply.session.ping(payload, 5)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
@in_one_thread
async def test_a_close_code_arrives_from_either_side(local_gate: LocalGate, port: int, code: int) -> None:
    async with opened(local_gate, port) as session:
        await session.send(f"close {code}")
        with pytest.raises(ConnectionClosed) as closed:
            await session.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == code
    async with opened(local_gate, port) as session:
        await session.close(code, "because")
        # The upstream's library sends back the code that it got.
        assert session.close_code == code


# -- byte for byte
# ---------------------------------------------------------------------------------------------------------

# Bytes that are no WebSocket frames at all, of sizes around those of the buffers on the way.
lengths = st.sampled_from((0, 1, 2, 125, 1399, 4095, 4096, 4097, 8192, 16383, 16384, 16385, 65536, 300000))
parts = st.lists(
    st.binary(max_size=64)
    | st.builds(lambda size, seed: random.Random(seed).randbytes(size), lengths, st.integers(0, 9)),
    max_size=6,
)


def test_the_tunnel_passes_every_byte_in_order(local_gate: LocalGate, port: int, raw: Wire) -> None:
    context = ssl.create_default_context(cafile=str(local_gate.etc / "certificates" / "gate" / "fullchain.pem"))
    head = wire.Request("/raw", host="gate.example.com").origin(ORIGIN).token(TOKEN).encode()

    # One thread, for the reason that in_one_thread() names.
    async def talk(parts: list[bytes]) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="gate.example.com"
        )
        writer.write(head)
        answer = await reader.readuntil(HEAD_END)

        async def send() -> None:
            # The upstream hangs up once it has everything, which drain() may meet; what it got is looked at below.
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()

        _sent, got = await asyncio.gather(send(), reader.read())
        writer.transport.abort()
        return answer, got

    @hypothesis.seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @hypothesis.given(parts, parts)
    def agree(to_upstream: list[bytes], to_client: list[bytes]) -> None:
        sent, wanted = b"".join(to_upstream), b"".join(to_client)
        raw.expect(len(sent), to_client)
        answer, got = asyncio.run(asyncio.wait_for(talk(to_upstream), 20))
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert raw.done.wait(10)
        assert got == wanted
        assert raw.got == sent

    print(f"WSSGATE_FUZZ_SEED={SEED}")
    agree()
