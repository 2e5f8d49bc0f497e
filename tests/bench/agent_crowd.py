# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of sessions, each with a token of its own, in a process that notes each echo and each end with its time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from lib import crowd, load

OPENED_AT_ONCE = 100
PATIENCE = 120.0


class Window(NamedTuple):
    """Echoes that were sent within a time. Those without an answer count by how long they have waited."""

    sent: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float


class Client(asyncio.Protocol):
    def __init__(self, holder: Holder, token: str) -> None:
        self.holder, self.token = holder, token
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.holder.request(self.token))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self.opened.done():
            head, mark, rest = self._data.partition(crowd.HEAD_END)
            if mark:
                self._data = rest
                if head.startswith(b"HTTP/1.1 101 "):
                    self.opened.set_result(None)
                else:
                    self.opened.set_exception(ConnectionError(head.split(b"\r\n")[0].decode("latin-1")))
        elif len(self._data) >= len(crowd.WANTED):
            self._data = self._data[len(crowd.WANTED) :]
            now = time.monotonic()
            self.holder.echoes.append((self.sent_at, now - self.sent_at))
            self.sent_at = 0.0

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before the answer"))
        elif not self.holder.is_over:
            self.holder.closed[self.token] = time.monotonic()

    def echo(self) -> None:
        if not self.sent_at and not self.transport.is_closing():
            self.sent_at = time.monotonic()
            self.transport.write(crowd.SENT)


class Holder:
    """What the process does."""

    def __init__(self, pipe: Connection, plain: load.Target, tls: load.Target) -> None:
        self.pipe, self.plain, self.tls = pipe, plain, tls
        self.clients: dict[str, Client] = {}
        self.echoes: list[tuple[float, float]] = []
        self.closed: dict[str, float] = {}
        self.rate = 0.0
        self.is_over = False
        self._head = plain.request.removesuffix(crowd.HEAD_END)

    def request(self, token: str) -> bytes:
        return self._head + b"\r\nCookie: AUTH=" + token.encode() + crowd.HEAD_END

    async def _open(self, tokens: list[str], tls_every: int) -> float:
        begin = time.monotonic()
        gate = asyncio.Semaphore(OPENED_AT_ONCE)
        context = load.context()

        async def one(number: int, token: str) -> None:
            target = self.tls if tls_every and number % tls_every == 0 else self.plain
            options = {"ssl": context, "server_hostname": target.name} if target.tls else {}
            async with gate, asyncio.timeout(PATIENCE):
                _transport, client = await asyncio.get_running_loop().create_connection(
                    lambda: Client(self, token), "127.0.0.1", target.port, **options
                )
                await client.opened
            self.clients[token] = client

        await asyncio.gather(*(one(number, token) for number, token in enumerate(tokens)))
        return time.monotonic() - begin

    async def _echo(self) -> None:
        """So many echoes a second in all, by one session after the other: none is silent for long."""
        due, turn = time.monotonic(), 0
        while True:
            now = time.monotonic()
            if not self.rate:
                due = now
            while self.rate and due <= now:
                due += 1 / self.rate
                names = self._names
                if names:
                    turn += 1
                    self.clients[names[turn % len(names)]].echo()
            await asyncio.sleep(0.005)

    async def run(self) -> None:
        self._names: list[str] = []
        loop = asyncio.get_running_loop()
        commands: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        loop.add_reader(self.pipe.fileno(), lambda: commands.put_nowait(self.pipe.recv()))
        echoing = asyncio.create_task(self._echo())
        while True:
            name, what = await commands.get()
            if name == "open":
                self.pipe.send(await self._open(*what))
                self._names = list(self.clients)
            elif name == "rate":
                self.rate = what
                self.pipe.send(None)
            elif name == "closed":
                self.pipe.send(len(self.closed))
            elif name == "report":
                now = time.monotonic()
                waiting = [
                    (client.sent_at, now - client.sent_at)
                    for token, client in self.clients.items()
                    if client.sent_at and token not in self.closed
                ]
                self.pipe.send((self.echoes + waiting, self.closed))
            elif name == "forget":
                self._names, self.echoes = [], []
                self.clients = {token: one for token, one in self.clients.items() if token not in self.closed}
                self._names, self.closed = list(self.clients), {}
                self.pipe.send(None)
            else:
                break
        self.is_over = True
        echoing.cancel()
        for client in self.clients.values():
            client.transport.abort()
        await asyncio.sleep(0.1)
        self.pipe.send(None)


def hold(pipe: Connection, plain: load.Target, *, tls: load.Target) -> dict[str, Any]:
    crowd.raise_limit()
    asyncio.run(Holder(pipe, plain, tls).run())
    return {}


class Crowd:
    """The process, from outside."""

    def __init__(self, plain: load.Target, tls: load.Target) -> None:
        self._client = load.Client(hold, plain, tls=tls)

    def _ask(self, name: str, what: Any = None) -> Any:
        self._client.tell((name, what))
        return self._client.told()

    def open(self, tokens: list[str], tls_every: int = 0) -> float:
        """A session for each token; every so many-th over TLS. Returns the seconds that it took."""
        return float(self._ask("open", (tokens, tls_every)))

    def echo(self, rate: float) -> None:
        self._ask("rate", rate)

    def closed(self) -> int:
        return int(self._ask("closed"))

    def report(self) -> tuple[list[tuple[float, float]], dict[str, float]]:
        """Each echo by when it was sent and how long it took, and the ends by token."""
        found: tuple[list[tuple[float, float]], dict[str, float]] = self._ask("report")
        return found

    def forget(self) -> None:
        """Begin to note anew, without the sessions that have ended."""
        self._ask("forget")

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._ask("over")
        self._client.end()


@contextlib.contextmanager
def crowd_of(plain: load.Target, tls: load.Target) -> Iterator[Crowd]:
    one = Crowd(plain, tls)
    try:
        yield one
    finally:
        one.close()


def window(echoes: list[tuple[float, float]], spans: list[tuple[float, float]]) -> Window:
    """Of the echoes that were sent within these times."""
    times = sorted(took for sent, took in echoes if any(begin <= sent < end for begin, end in spans))
    if not times:
        return Window(0, 0.0, 0.0, 0.0)
    at = [times[min(len(times) - 1, int(len(times) * share))] * 1e3 for share in (0.5, 0.99, 1.0)]
    return Window(len(times), *(round(value, 1) for value in at))
