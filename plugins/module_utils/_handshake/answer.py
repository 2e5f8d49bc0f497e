# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With which status a gate answers a handshake, asked from the gate itself. Needs nothing but Python."""

from __future__ import annotations

import base64
import contextlib
import os
import re

from .served import Address, connect, session, trusting_context

NO_ANSWER = -1
_HEAD_LIMIT = 65536


def answer(
    address: Address, path: str, timeout: float, origin: str = "", cookie: str = "", authorization: str = ""
) -> int:
    """Return the status with which a handshake is answered."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {address.server_name}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode('ascii')}",
    ]
    lines += [f"Origin: {origin}"] if origin else []
    lines += [f"Cookie: {cookie}"] if cookie else []
    lines += [f"Authorization: {authorization}"] if authorization else []
    request = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")
    received = b""
    try:
        with contextlib.ExitStack() as stack:
            opened = (
                session(address, timeout, trusting_context())
                if address.tls
                else contextlib.closing(connect(address, timeout))
            )
            connection = stack.enter_context(opened)
            connection.sendall(request)
            while b"\r\n" not in received and len(received) < _HEAD_LIMIT:
                more = connection.recv(4096)
                if not more:
                    break
                received += more
    except OSError:
        return NO_ANSWER
    match = re.match(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]", received)
    return int(match.group(1)) if match else NO_ANSWER
