// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// Janode, the Janus team's own client: a session, a handle of the echo test, an answer of it, a keepalive.

import "./without_unix_sockets.mjs";
import { finish, headers, mode, tell, url } from "../common.mjs";

// After that one has its effect.
const { default: Janode } = await import("janode");
const { default: EchoTest } = await import("janode/plugins/echotest");
Janode.Logger.setLevel("none");

let connection;
try {
    connection = await Janode.connect({ address: { url }, max_retries: 0, ws_options: { headers } });
} catch (error) {
    await finish("refused", { message: error.message });
}
for (const event of [Janode.EVENT.CONNECTION_ERROR, Janode.EVENT.CONNECTION_CLOSED])
    connection.on(event, () => finish("ended"));
const session = await connection.create();
const handle = await session.attach(EchoTest);
if (mode === "hold") {
    tell("open");
} else {
    // Its start() wants an offer, which takes a WebRTC stack.
    const { plugindata } = await handle.message({ audio: true, video: false });
    const { janus } = await session.sendRequest({ janus: "keepalive" });
    await finish("done", { session: session.id > 0, handle: handle.id > 0,
  result: plugindata.data.result, keepalive: janus });
}
