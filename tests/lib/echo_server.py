# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WebSocket server behind the gate in tests: the `websockets` library, 8.1 and newer.

It echoes. It also tells what reached it: the head of every request, byte for byte, goes to
the file named by --record, one JSON object a line; and a session can ask for it with
`?report=headers` in its query or with the text `headers?`.

What it answers, listener by listener (each option may be given several times):

  --echo ADDRESS     an echo server, plain
  --tls ADDRESS      the same over TLS (--certificate and --key)
  --silent ADDRESS   accepts connections, reads, never answers
  --refuse ADDRESS   answers every handshake with 503
  --accel ADDRESS    an echo server whose answers tell nginx where to look instead (X-Accel-Redirect)
  --web ADDRESS      a WebSocket echo server and a web application on the same paths, see Web

ADDRESS is HOST:PORT, or the path of a unix socket. A request that asks for no WebSocket gets
200 from the echo server, as from the HTTP interface of any real one: a gate that lets such a
request through shows.

Texts that are commands: `headers?`, `send N` (a binary message of N bytes comes back),
`close CODE` (the server closes). Everything else is echoed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import http
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

try:
    from websockets.asyncio.server import ServerConnection as Base
    from websockets.asyncio.server import serve, unix_serve

    IS_LEGACY = False
except ImportError:
    try:  # websockets 10.4, as in Debian 12
        from websockets.legacy.server import WebSocketServerProtocol as Base
        from websockets.legacy.server import serve, unix_serve
    except ImportError:  # 8.1, as in Debian 11
        from websockets.server import WebSocketServerProtocol as Base
        from websockets.server import serve, unix_serve

    IS_LEGACY = True

from websockets.exceptions import ConnectionClosed

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT = 65536
# RFC 6455 1.3
HANDSHAKE_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# What nginx would do at an upstream's word. The path is one of the gate's own.
ACCEL_HEADERS = (
    ("X-Accel-Redirect", "/.wssgate/token/AUTH"),
    ("X-Accel-Expires", "60"),
    ("X-Accel-Limit-Rate", "1"),
    ("X-Accel-Buffering", "no"),
    ("X-Accel-Charset", "koi8-r"),
)


class Record:
    """Appends what each connection was asked to the record file, if there is one."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def add(self, mode: str, address: str, head: bytes) -> None:
        if self._path is None:
            return
        line = {"time": time.time(), "mode": mode, "address": address, **describe(head)}
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def describe(head: bytes) -> dict[str, Any]:
    """The request line and the header lines as they came, in order, repeated ones included."""
    first, *lines = head.split(HEAD_END)[0].decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return {"request": first, "headers": [[name, value.strip()] for name, _colon, value in pairs]}


def recording(mode: str, address: str, record: Record) -> type[Base]:
    class Recording(Base):  # type: ignore[misc, valid-type]
        head = b""
        is_head_complete = False

        def data_received(self, data: bytes) -> None:
            if not self.is_head_complete:
                self.head += data
                if HEAD_END in self.head or len(self.head) > HEAD_LIMIT:
                    self.is_head_complete = True
                    record.add(mode, address, self.head)
            super().data_received(data)

    return Recording


async def echo(connection: Any, _path: str = "") -> None:  # the path is there before websockets 10.1
    with contextlib.suppress(ConnectionClosed):
        await converse(connection)


async def converse(connection: Any) -> None:
    path = connection.path if IS_LEGACY else connection.request.path
    if "report=headers" in path:
        await connection.send(json.dumps(describe(connection.head)))
    async for message in connection:
        words = message.split() if isinstance(message, str) else []
        if words == ["headers?"]:
            await connection.send(json.dumps(describe(connection.head)))
        elif len(words) == 2 and words[0] == "send" and words[1].isdigit():
            await connection.send(os.urandom(int(words[1])))
        elif len(words) == 2 and words[0] == "close" and words[1].isdigit():
            await connection.close(int(words[1]))
        else:
            await connection.send(message)


def plain_answer(status: int, text: str, is_upgrade_answered: bool) -> Any:
    """A process_request for either interface of the library."""
    body = text.encode("utf-8")

    async def legacy(_path: str, headers: Any) -> Any:
        if not is_upgrade_answered and "Upgrade" in headers:
            return None
        return http.HTTPStatus(status), [("Content-Type", "text/plain")], body

    def current(connection: Any, request: Any) -> Any:
        if not is_upgrade_answered and "Upgrade" in request.headers:
            return None
        return connection.respond(status, text)

    return legacy if IS_LEGACY else current


def subprotocol_options(known: list[str]) -> dict[str, Any]:
    """The first subprotocol that both sides know, and none for a client that offers none."""
    if IS_LEGACY:
        return {"subprotocols": known}
    # Given plain names, websockets 13 and newer refuse a client that offers none.
    return {"select_subprotocol": lambda _connection, offered: next((s for s in offered if s in known), None)}


def header_options(headers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """More headers for the answer to a handshake."""
    if IS_LEGACY:
        return {"extra_headers": list(headers)}

    def add(_connection: Any, _request: Any, response: Any) -> None:
        for name, value in headers:
            response.headers[name] = value

    return {"process_response": add}


async def listen_websocket(mode: str, address: str, record: Record, tls: ssl.SSLContext | None) -> Any:
    is_refusing = mode == "refuse"
    options: dict[str, Any] = {
        "process_request": plain_answer(
            503 if is_refusing else 200,
            "upstream refuses\n" if is_refusing else "plain HTTP reached the upstream\n",
            is_refusing,
        ),
        "create_protocol" if IS_LEGACY else "create_connection": recording(mode, address, record),
        **subprotocol_options(["echo.wssgate", "chat.wssgate"]),
        **(header_options(ACCEL_HEADERS) if mode == "accel" else {}),
        # Sessions that tests hold open must be as idle as the tests want them.
        "ping_interval": None,
        "max_size": 1 << 26,
        "ssl": tls,
    }
    if address.startswith("/"):
        Path(address).unlink(missing_ok=True)
        server = await unix_serve(echo, address, **options)
        # The worker of nginx, another user, is to reach it.
        Path(address).chmod(0o666)
        return server
    host, port = split(address)
    return await serve(echo, host, port, **options)


class Web:
    """An application that answers plain requests of every method, keeps connections where it may, and echoes
    WebSockets.

    The answer is the request as it came, in JSON, with the number of bytes of its body. In the query: `status=N`
    answers with that status, `hold` sends the beginning of an answer and then nothing until the connection ends,
    `progress` answers with the number of bytes that have come, a line for each part of the body as soon as it is there.
    """

    def __init__(self, address: str, record: Record) -> None:
        self._address = address
        self._record = record

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        head = await reader.readuntil(HEAD_END)
        self._record.add("web", self._address, head)
        seen = describe(head)
        method, target, _version = seen["request"].split(" ")
        headers = {name.lower(): value for name, value in seen["headers"]}
        query = target.partition("?")[2]
        if headers.get("upgrade", "").lower() == "websocket":
            await self._echo(reader, writer, headers.get("sec-websocket-key", ""))
            return False
        if query in ("hold", "progress"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbegin\n")
            await writer.drain()
            if query == "progress":
                count = 0
                async for part in self._body(reader, headers):
                    count += len(part)
                    writer.write(b"%d\n" % count)
                    await writer.drain()
            else:
                await reader.read()
            return False
        seen["body_bytes"] = sum([len(part) async for part in self._body(reader, headers)])
        body = json.dumps(seen).encode()
        status = query.partition("status=")[2] or "200"
        is_kept = headers.get("connection", "").lower() != "close"
        writer.write(
            f"HTTP/1.1 {status} Answer\r\nContent-Length: {len(body)}\r\nConnection: "
            f"{'keep-alive' if is_kept else 'close'}\r\n"
            "Access-Control-Allow-Origin: https://app.example.com\r\n\r\n".encode()
            + (b"" if method == "HEAD" else body)
        )
        await writer.drain()
        return is_kept

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> Any:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await reader.readexactly(length)
                await reader.readexactly(2)
            await reader.readuntil(b"\r\n")
        left = int(headers.get("content-length", "0"))
        while left:
            part = await reader.read(min(left, 65536))
            if not part:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(part)
            yield part

    @staticmethod
    async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        """Messages of less than 64 KiB, each in one frame (RFC 6455 5.2)."""
        accept = base64.b64encode(hashlib.sha1((key + HANDSHAKE_GUID).encode()).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + HEAD_END
        )
        while True:
            first, second = await reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                length = int.from_bytes(await reader.readexactly(2), "big")
            mask = await reader.readexactly(4)
            data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(await reader.readexactly(length)))
            # A ping is answered by a pong, a close by a close, a message by itself.
            opcode = {0x9: 0xA}.get(first & 0x0F, first & 0x0F)
            size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
            writer.write(bytes([0x80 | opcode]) + size + data)
            await writer.drain()
            if opcode == 0x8:
                return


async def listen_web(address: str, record: Record) -> Any:
    host, port = split(address)
    return await asyncio.start_server(Web(address, record).converse, host, port)


async def listen_silent(address: str, record: Record) -> Any:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            record.add("silent", address, await reader.readuntil(HEAD_END))
            while await reader.read(65536):
                pass
        writer.close()

    if address.startswith("/"):
        Path(address).unlink(missing_ok=True)
        return await asyncio.start_unix_server(swallow, address)
    host, port = split(address)
    return await asyncio.start_server(swallow, host, port)


def split(address: str) -> tuple[str, int]:
    host, _colon, port = address.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A WebSocket server to put behind the gate in tests.")
    for mode, text in (
        ("echo", "plain echo server"),
        ("tls", "echo server over TLS"),
        ("silent", "accepts and never answers"),
        ("refuse", "answers each handshake with 503"),
        ("accel", "echo server that tells nginx where to look instead"),
        ("web", "echo server and web application"),
    ):
        parser.add_argument(f"--{mode}", metavar="ADDRESS", action="append", default=[], help=text)
    parser.add_argument("--certificate", help="PEM chain for --tls")
    parser.add_argument("--key", help="PEM key for --tls")
    parser.add_argument("--record", help="file that gets one JSON line for each request head")
    parser.add_argument("--pid-file", help="where to write the process id")
    parser.add_argument("--log", default=os.devnull, help="with --daemon: where stderr goes")
    parser.add_argument("--daemon", action="store_true", help="go to the background once every listener is open")
    options = parser.parse_args(arguments)
    if options.tls and not (options.certificate and options.key):
        parser.error("--tls needs --certificate and --key")
    if not (options.echo or options.tls or options.silent or options.refuse or options.accel or options.web):
        parser.error("name at least one listener")
    return options


async def run(options: argparse.Namespace, announce: Any) -> None:
    stop = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    tls = None
    if options.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate, options.key)
    record = Record(options.record)
    servers = [await listen_websocket("echo", address, record, None) for address in options.echo]
    servers += [await listen_websocket("tls", address, record, tls) for address in options.tls]
    servers += [await listen_websocket("refuse", address, record, None) for address in options.refuse]
    servers += [await listen_websocket("accel", address, record, None) for address in options.accel]
    servers += [await listen_web(address, record) for address in options.web]
    servers += [await listen_silent(address, record) for address in options.silent]
    if options.pid_file:
        Path(options.pid_file).write_text(f"{os.getpid()}\n", encoding="ascii")
    announce()
    await stop
    for server in servers:
        server.close()


def daemonize(log: str) -> Any:
    """Fork; the parent leaves once the child calls what is returned here."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        is_ready = os.read(reading, 1) == b"1"
        if not is_ready:
            print(f"the upstream did not start, see {log}", file=sys.stderr)
        os._exit(0 if is_ready else 1)
    os.close(reading)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(errors, 2)

    def announce() -> None:
        os.write(writing, b"1")
        os.close(writing)

    return announce


def main() -> None:
    options = parse(sys.argv[1:])
    announce = daemonize(options.log) if options.daemon else (lambda: print("ready", flush=True))
    asyncio.run(run(options, announce))


if __name__ == "__main__":
    main()
