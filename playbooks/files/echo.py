# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WebSocket server that sends everything back: the upstream of wssgate.nginx.quickstart.

Ansible managed by wssgate.nginx. It listens on the loopback alone: the gate stands in front of it.
Runs with the websockets library of the operating system's package, 9.1 and newer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging

import websockets


async def echo(connection, path=None):  # websockets before 10.1 hands over the path
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    parser = argparse.ArgumentParser(description="Send back what comes through a WebSocket.")
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    # Whoever looks whether the port is open shakes no hands, and would leave a traceback each time.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with websockets.serve(echo, "127.0.0.1", arguments.port):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
