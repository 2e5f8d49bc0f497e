# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In the place of the Web Call Server, which cannot be had without its vendor: a session's first messages.

Usage: stand_in.py CERTIFICATE PROPERTIES RECORD. Each session that answered the server's ping is a line of JSON in
RECORD: the client's address, found as the settings tell, its Cookie and its version.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

CERTIFICATE, PROPERTIES, RECORD = map(Path, sys.argv[1:])


def settings() -> dict[str, str]:
    lines = (line.partition("=") for line in PROPERTIES.read_text().splitlines())
    return {name.strip(): value.strip() for name, _mark, value in lines}


async def converse(connection: ServerConnection) -> None:
    assert connection.request is not None
    headers = connection.request.headers
    found: dict[str, Any] = {
        "client": headers.get(settings()["ws.ip_forward_header"]),
        "cookie": headers.get("Cookie"),
    }
    async for text in connection:
        message = json.loads(text)
        if message["message"] == "connection":
            found["version"] = message["data"][0]["clientVersion"]
            await connection.send(json.dumps({"message": "ping", "data": []}))
        elif message["message"] == "pong":
            with RECORD.open("a") as record:
                record.write(json.dumps(found) + "\n")
            await connection.send(json.dumps({"message": "getUserData", "data": [{"authToken": "of-this-session"}]}))


async def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serve(converse, "127.0.0.1", 8443, ssl=context):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
