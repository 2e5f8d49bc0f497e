# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of FastAPI: an upload, a stream of events, a WebSocket, all below one path."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator

from fastapi import FastAPI, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

app = FastAPI()
# By stream: what its reader acknowledged
acknowledged: defaultdict[str, asyncio.Queue[int]] = defaultdict(asyncio.Queue)


@app.post("/app/upload")
async def upload(file: UploadFile) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    while chunk := await file.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/app/events/{stream}/{count}")
async def events(stream: str, count: int) -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(count):
            yield f"data: {number}\n\n"
            # The next one only after this one has arrived: whatever holds events back stops the stream.
            await acknowledged[stream].get()

    return StreamingResponse(numbers(), media_type="text/event-stream")


@app.post("/app/acknowledge/{stream}/{number}")
async def acknowledge(stream: str, number: int) -> dict[str, int]:
    acknowledged[stream].put_nowait(number)
    return {"number": number}


@app.websocket("/app/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
