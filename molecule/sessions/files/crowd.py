# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many sessions that echo once a second, until SIGTERM; then a report of what happened to them. Standard library only.

With --newcomers, twenty handshakes a second beside them: each opens, echoes once and leaves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import time
from pathlib import Path
from typing import Any

REQUEST = (
    b"GET /wss HTTP/1.1\r\nHost: wcs.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.example.com\r\nCookie: "
    b"AUTH=token-of-the-whole-crowd\r\n\r\n"
)
# A text of four letters: masked, with a mask that changes nothing (RFC 6455 5.2), and as it comes back.
SENT, WANTED = b"\x81\x84\0\0\0\0echo", b"\x81\x04echo"
# No test takes as long.
LIMIT = 1800.0
PATIENCE = 10.0


class Crowd:
    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.report: dict[str, Any] = {
            "sessions": 0,
            "echoes": 0,
            "slowest": 0.0,
            "slowest_direct": 0.0,
            "dropped": [],
            "handshakes": 0,
            "slowest_handshake": 0.0,
            "refused": [],
        }
        self.tls = ssl.create_default_context()
        # The certificate is renewed on the way; whether it is the right one is tested elsewhere.
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    async def open(self, is_direct: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if is_direct:
            reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
        else:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", 443, ssl=self.tls, server_hostname="wcs.example.com"
            )
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head.split(b"\r\n")[0].decode())
        return reader, writer

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        start = time.monotonic()
        writer.write(SENT)
        answer = await reader.readexactly(len(WANTED))
        if answer != WANTED:
            raise ConnectionError(repr(answer))
        return time.monotonic() - start

    async def wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    async def stay(self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], delay: float) -> None:
        await self.wait(delay)
        while not self.stop.is_set():
            try:
                seconds = await asyncio.wait_for(self.echo(*connection), PATIENCE)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                self.report["dropped"].append({"time": time.time(), "error": repr(error)})
                return
            self.report["echoes"] += 1
            self.report["slowest"] = max(self.report["slowest"], seconds)
            await self.wait(1 - min(seconds, 1))
        connection[1].transport.abort()

    async def measure(self) -> None:
        """What an echo takes without the gate, on this machine at this time."""
        connection = await self.open(is_direct=True)
        while not self.stop.is_set():
            self.report["slowest_direct"] = max(self.report["slowest_direct"], await self.echo(*connection))
            await self.wait(0.02)
        connection[1].transport.abort()

    async def visit(self) -> None:
        start = time.monotonic()
        try:
            reader, writer = await asyncio.wait_for(self.open(), PATIENCE)
            await asyncio.wait_for(self.echo(reader, writer), PATIENCE)
            writer.transport.abort()
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            self.report["refused"].append({"time": time.time(), "error": repr(error)})
        self.report["handshakes"] += 1
        self.report["slowest_handshake"] = max(self.report["slowest_handshake"], time.monotonic() - start)

    async def run(self, count: int, has_newcomers: bool, path: Path) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.call_later(LIMIT, self.stop.set)
        connections = [await self.open() for _ in range(count)]
        self.report["sessions"] = count
        tasks = [
            asyncio.create_task(self.stay(connection, index / count)) for index, connection in enumerate(connections)
        ]
        sessions = asyncio.gather(*tasks)
        sessions.add_done_callback(lambda _sessions: path.with_name(path.name + ".over").touch())
        tasks.append(asyncio.create_task(self.measure()))
        path.with_name(path.name + ".ready").touch()
        while has_newcomers and not self.stop.is_set():
            await self.visit()
            await self.wait(0.05)
        await self.stop.wait()
        await asyncio.gather(*tasks)
        path.write_text(json.dumps(self.report))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--newcomers", action="store_true")
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(Crowd().run(options.sessions, options.newcomers, options.report))


if __name__ == "__main__":
    main()
