# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session that echoes until the gate ends it, or its time is over; all that happens to it is in a history."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from . import crowd, history, wire

HEAD_END = b"\r\n\r\n"


class HeldSession:
    """One by this name. ``facts`` stand beside its admission or refusal, ``limit`` is in seconds.

    ``learn`` has more facts from the head of the answer, which is empty where there is none.
    """

    def __init__(
        self,
        name: str,
        request: wire.Request,
        record: history.History,
        problems: list[str],
        limit: float,
        learn: Callable[[bytes], dict[str, Any]] = lambda head: {},
        **facts: Any,
    ) -> None:
        self.name, self.request, self.record, self.problems = name, request, record, problems
        self.limit, self.facts, self.learn = limit, facts, learn

    async def hold(self, port: int, span: float) -> None:
        """From the handshake on, for ``span`` seconds at most."""
        opened = await self._handshake(port)
        if opened is not None:
            reader, writer = opened
            try:
                await self._echo(reader, writer, time.monotonic() + span)
            finally:
                writer.transport.abort()

    async def _handshake(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        since, writer, head = time.monotonic(), None, b""
        try:
            async with asyncio.timeout(self.limit):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(self.request.encode())
                head = await reader.readuntil(HEAD_END)
        except (OSError, EOFError) as error:
            why = type(error).__name__
        else:
            self.facts |= self.learn(head)
            if head.startswith(b"HTTP/1.1 101 "):
                self.record.note(history.ADMITTED, self.name, since=since, **self.facts)
                return reader, writer
            why = head.split(b"\r\n")[0].decode("latin-1")
        if writer is not None:
            writer.transport.abort()
        self.facts |= self.learn(head)
        self.record.note(history.REFUSED, self.name, since=since, **self.facts, why=why)
        return None

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, until: float) -> None:
        try:
            while time.monotonic() < until:
                writer.write(crowd.SENT)
                if await reader.readexactly(len(crowd.WANTED)) != crowd.WANTED:
                    self.problems.append(f"{self.name} got another echo than its own")
                self.record.echo(self.name)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        # Nothing comes unasked: it is the end, and it is noticed at once.
                        if not await reader.read(1):
                            raise EOFError
        except (OSError, EOFError):
            self.record.note(history.CLOSED, self.name)
        except asyncio.CancelledError:
            self.record.note(history.LEFT, self.name)
            raise
        else:
            self.record.note(history.LEFT, self.name)
