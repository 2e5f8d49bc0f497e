# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The echo server for load: each message comes back. `python load_echo_server.py PORT` prints "ready" once it listens.

The benchmark runs it with a Python of its own, which has uvloop. Fragments and invalid text are echo_server.py's
business: this one has to cost as little as it can beside what is measured, and to hold thousands of sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys

import picows


class Echo(picows.WSListener):
    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


def raise_limit() -> None:
    """As many descriptors as this process may have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Page(asyncio.Protocol):
    """Answers every request with the same KiB. Requests have no body, and one is under way at a time."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        self._transport.write(self.ANSWER)
        if b"\r\nconnection: close" in self._head.lower():
            self._transport.close()
        self._head = b""


async def serve(port: int, page_port: int) -> None:
    server = await picows.ws_create_server(lambda _request: Echo(), "127.0.0.1", port, backlog=4096)
    if page_port:
        await asyncio.get_running_loop().create_server(Page, "127.0.0.1", page_port, backlog=4096)
    print("ready", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()


if __name__ == "__main__":
    raise_limit()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
