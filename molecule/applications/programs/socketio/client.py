# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python-socketio: 100 echoes, before and after the upgrade to a WebSocket, or by a WebSocket from the start
(TRANSPORT).
"""

from __future__ import annotations

import asyncio
import os

import aiohttp
import socketio
from common import MODE, URL, finish, headers, tell, tls

transport = os.environ.get("TRANSPORT")


async def main() -> None:
    # Headers for connect() go with the first request only; those of the session with every one.
    http = aiohttp.ClientSession(headers=headers(), connector=aiohttp.TCPConnector(ssl=tls()))
    client = socketio.AsyncClient(http_session=http, reconnection=False)

    async def disconnected(*_reason: str) -> None:
        if MODE == "hold":
            finish("ended")

    client.on("disconnect", disconnected)
    try:
        await client.connect(URL.geturl(), transports=[transport] if transport else None, wait_timeout=20)
    except socketio.exceptions.ConnectionError as error:
        finish("refused", message=str(error))
    if MODE == "hold":
        tell("open")
        await client.wait()
        finish("ended")
    seen = set()
    for number in range(100):
        answer, name = await client.call("echo", number, timeout=20)
        if answer != number:
            finish("failed", number=number, answer=answer)
        seen.add(name)
    await client.disconnect()
    finish("done", transports=sorted(seen))


asyncio.run(main())
