// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// mqtt.js: publishes 1,000 messages at QoS 1 to a topic to which it subscribes, and waits until all are back.

import { randomUUID } from "node:crypto";
import mqtt from "mqtt";
import { finish, headers, mode, tell, url } from "../common.mjs";

const MESSAGES = 1000;
const topic = `test/${randomUUID()}`;
const received = new Set();

const client = mqtt.connect(url, { wsOptions: { headers }, reconnectPeriod: 0 });
let isOpen = false;
client.on("error", (error) => finish("refused", { message: error.message }));
client.on("close", () => finish(isOpen ? "ended" : "refused"));
client.on("connect", async () => {
    isOpen = true;
    const [granted] = await client.subscribeAsync(topic, { qos: 1 });
    if (granted.qos !== 1) finish("failed", { granted });
    if (mode === "hold") return tell("open");
    const complete = new Promise((resolve) => {
        client.on("message", (_topic, payload) => {
            received.add(payload.toString());
            if (received.size === MESSAGES) resolve();
        });
    });
    const published = [];
    for (let number = 0; number < MESSAGES; number++)
  published.push(client.publishAsync(topic, `${number}`, { qos: 1 }));
    // Each is resolved by the broker's acknowledgement.
    await Promise.all(published);
    await complete;
    finish("done", { acknowledged: published.length, received: received.size });
});
