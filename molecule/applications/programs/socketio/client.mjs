// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// socket.io-client: 100 echoes, before and after the upgrade to a WebSocket,
// or by a WebSocket from the start (TRANSPORT).

import { io } from "socket.io-client";
import { finish, headers, mode, tell, url } from "../common.mjs";

const transports = process.env.TRANSPORT ? [process.env.TRANSPORT] : undefined;
const socket = io(url, { extraHeaders: headers, reconnection: false, ...(transports && { transports }) });
socket.on("connect_error", (error) =>
  finish("refused", { status: error.context?.status ?? null, message: error.message }));
socket.on("disconnect", () => finish("ended"));
const upgraded = new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
await new Promise((resolve) => socket.once("connect", resolve));

const seen = new Set();
async function echo(count) {
    for (let number = 0; number < count; number++) {
        const [data, transport] = await new Promise((resolve) => socket.emit("echo", number, (...all) => resolve(all)));
        if (data !== number) await finish("failed", { number, data });
        seen.add(transport);
    }
}

if (mode === "hold") {
    if (!transports) await upgraded;
    tell("open");
} else {
    await echo(1);
    if (!transports) await upgraded;
    await echo(99);
    socket.off("disconnect");
    socket.disconnect();
    await finish("done", { transports: [...seen], last: socket.io.engine?.transport?.name ?? null });
}
