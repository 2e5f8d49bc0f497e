# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A way from one process to a server that a test can cut off, or make swallow everything."""

from __future__ import annotations

import asyncio
import contextlib

PART = 1 << 16


class Forwarder:
    """Listens on the loopback and passes on what comes, both ways. For one event loop."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._is_cut = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset what is connected, and whoever connects."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def swallow(self) -> None:
        """Keep all connections, take new ones, and pass nothing on: as a network that drops every packet."""
        self._passes.clear()

    def heal(self) -> None:
        """Pass on again, what came meanwhile too."""
        self._is_cut = False
        self._passes.set()

    async def close(self) -> None:
        self._is_cut = True
        self._passes.set()
        for writer in list(self._writers):
            writer.transport.abort()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            if self._is_cut:
                return
            with contextlib.suppress(OSError):
                far, other = await asyncio.open_connection(*self.target)
                self._writers.add(other)
                ways = [asyncio.create_task(self._pass(reader, other)), asyncio.create_task(self._pass(far, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        except asyncio.CancelledError:
            # At the end of the loop, which would tell of it.
            return
        finally:
            for one in (writer, other):
                if one is not None:
                    one.transport.abort()
                    self._writers.discard(one)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PART):
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
