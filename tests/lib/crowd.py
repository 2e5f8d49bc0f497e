# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client for thousands of sessions at little cost.

It sends one frame of four letters, with a mask that changes nothing (RFC 6455 5.3), so that it has no frames to parse.
"""

from __future__ import annotations

import asyncio
import resource
import ssl
import time
from dataclasses import dataclass, field

SENT, WANTED = b"\x81\x84\0\0\0\0echo", b"\x81\x04echo"
HEAD_END = b"\r\n\r\n"


def raise_limit() -> None:
    """As many descriptors as this process may have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Seen:
    """What a crowd of clients went through."""

    opened: int = 0
    echoes: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_handshake: float = 0.0
    slowest_echo: float = 0.0


@dataclass
class Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def echo(self) -> float:
        start = time.monotonic()
        self.writer.write(SENT)
        answer = await self.reader.readexactly(len(WANTED))
        if answer != WANTED:
            raise ConnectionError(f"echo {answer!r}")
        return time.monotonic() - start

    def drop(self) -> None:
        """No Close frame, no close_notify: as a client that crashed."""
        self.writer.transport.abort()


@dataclass
class Crowd:
    port: int
    request: bytes
    tls: ssl.SSLContext | None
    timeout: float = 30.0
    host: str = "127.0.0.1"
    seen: Seen = field(default_factory=Seen)

    async def open(self) -> Session | None:
        """A session, or a line in `seen.failed`."""
        start = time.monotonic()
        try:
            # Not wait_for, which before Python 3.12 can take a cancellation for itself: the session would go on for
            # ever.
            async with asyncio.timeout(self.timeout):
                session = await self._open()
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            self.seen.failed.append(str(error) or type(error).__name__)
            return None
        self.seen.opened += 1
        self.seen.slowest_handshake = max(self.seen.slowest_handshake, time.monotonic() - start)
        return session

    async def _open(self) -> Session:
        options = {"ssl": self.tls, "server_hostname": "gate.example.com"} if self.tls else {}
        reader, writer = await asyncio.open_connection(self.host, self.port, **options)
        try:
            writer.write(self.request)
            head = await reader.readuntil(HEAD_END)
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ConnectionError(head.split(b"\r\n")[0].decode("latin-1"))
        except BaseException:
            writer.transport.abort()
            raise
        return Session(reader, writer)

    async def open_all(self, count: int) -> list[Session]:
        """All at the same moment."""
        return [session for session in await asyncio.gather(*(self.open() for _number in range(count))) if session]

    async def echo_all(self, sessions: list[Session]) -> list[Session]:
        """Those that still answer."""

        async def one(session: Session) -> Session | None:
            try:
                async with asyncio.timeout(self.timeout):
                    seconds = await session.echo()
            except (OSError, EOFError) as error:
                self.seen.failed.append(f"echo: {str(error) or type(error).__name__}")
                return None
            self.seen.echoes += 1
            self.seen.slowest_echo = max(self.seen.slowest_echo, seconds)
            return session

        return [session for session in await asyncio.gather(*map(one, sessions)) if session]
