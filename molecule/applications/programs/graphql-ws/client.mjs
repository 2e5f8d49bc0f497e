// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// graphql-ws: a subscription of 100 events, or one that never ends.

import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { finish, headers, mode, tell, url } from "../common.mjs";

// graphql-ws opens sockets with what it is given; headers are up to that.
class Socket extends WebSocket {
    constructor(address, protocols) {
        super(address, protocols, { headers });
        this.on("unexpected-response", (_request, response) => finish("refused", { status: response.statusCode }));
    }
}

const client = createClient({
    url,
    webSocketImpl: Socket,
    retryAttempts: 0,
    on: { closed: () => finish("ended") },
});
if (mode === "hold") {
    for await (const _event of client.iterate({ query: "subscription { silence }" })) tell("open");
} else {
    const numbers = [];
    for await (const { data } of client.iterate({ query: "subscription { countdown(from: 100) }" })) {
        numbers.push(data.countdown);
    }
    await finish("done", { numbers });
}
