# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""httpx and websockets. WORK: `upload` of 100 MB beside ten open WebSockets, or `events`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator

import httpx
import websockets
from common import MODE, URL, finish, headers, tell, tls
from httpx_sse import aconnect_sse

WORK = os.environ["WORK"]
HTTPS = URL.geturl()
WSS = HTTPS.replace("https:", "wss:", 1) + "echo"
CHUNK = secrets.token_bytes(1 << 20)
CHUNKS = 100
SOCKETS = 10
BOUNDARY = "boundary-of-the-parts"


async def form() -> AsyncIterator[bytes]:
    """A form with one file, never whole in memory."""
    disposition = 'form-data; name="file"; filename="large.bin"'
    yield f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    for _number in range(CHUNKS):
        yield CHUNK
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


async def talk(socket: websockets.ClientConnection, until: asyncio.Event) -> list[float]:
    """Echoes until the upload is done; how long each took."""
    seconds = []
    while not until.is_set():
        text, start = secrets.token_hex(8), time.monotonic()
        await socket.send(text)
        if await asyncio.wait_for(socket.recv(), 20) != text:
            finish("failed", message="another echo")
        seconds.append(time.monotonic() - start)
        await asyncio.sleep(0.01)
    return seconds


async def upload(client: httpx.AsyncClient) -> None:
    sockets = [await connect() for _number in range(SOCKETS)]
    is_done = asyncio.Event()
    talks = [asyncio.create_task(talk(socket, is_done)) for socket in sockets]
    start = time.monotonic()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    response = await client.post("upload", content=form(), headers=kind)
    took = time.monotonic() - start
    is_done.set()
    echoes = await asyncio.gather(*talks)
    if response.status_code != 200:
        finish("refused", status=response.status_code)
    digest = hashlib.sha256()
    for _number in range(CHUNKS):
        digest.update(CHUNK)
    finish(
        "done",
        size=response.json()["size"],
        same=response.json()["sha256"] == digest.hexdigest(),
        seconds=round(took, 2),
        echoes=[len(seconds) for seconds in echoes],
        slowest=round(max(max(seconds) for seconds in echoes), 3),
    )


async def events(client: httpx.AsyncClient) -> None:
    stream, count, numbers = secrets.token_hex(8), 50, []
    try:
        async with aconnect_sse(client, "GET", f"events/{stream}/{count}") as source:
            if source.response.status_code != 200:
                finish("refused", status=source.response.status_code)
            async for event in source.aiter_sse():
                if MODE == "hold":
                    tell("open")
                    continue
                numbers.append(int(event.data))
                await client.post(f"acknowledge/{stream}/{event.data}")
    except httpx.TransportError:
        finish("ended")
    finish("done", numbers=numbers)


async def connect() -> websockets.ClientConnection:
    try:
        return await websockets.connect(WSS, additional_headers=headers(), ssl=tls(), proxy=None)
    except websockets.InvalidStatus as error:
        finish("refused", status=error.response.status_code)


async def echo() -> None:
    async with await connect() as socket:
        tell("open")
        await socket.wait_closed()
        finish("ended")


async def main() -> None:
    async with httpx.AsyncClient(base_url=HTTPS, headers=headers(), verify=tls(), timeout=60) as client:
        if WORK == "upload":
            await upload(client)
        elif WORK == "events":
            await events(client)
        else:
            await echo()


asyncio.run(main())
