# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upstream that shows which request reached it, byte for byte."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading

from .http_client import HEAD_END, LIMIT, receive_head, stop_listening


class HeadEcho:
    """Answers 101 to what asks for an Upgrade and 200 to the rest, sends back the head that it got, and closes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.count = 0
        # The last ones that came.
        self.heads: collections.deque[bytes] = collections.deque(maxlen=8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        stop_listening(self._listener)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(LIMIT)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = receive_head(connection)
        self.count += 1
        self.heads.append(head)
        if b"\r\nupgrade:" not in head.lower():
            shown = b"" if head.startswith(b"HEAD ") else head.partition(HEAD_END)[0]
            length = b"" if head.startswith(b"HEAD ") else b"Content-Length: %d\r\n" % len(shown)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"Connection: close" + HEAD_END + shown)
            return
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            + head.partition(HEAD_END)[0]
        )
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
