// Copyright: (c) 2026, wssgate contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// A Socket.IO server that answers each `echo` with what came, and with the transport it came by.

import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
new Server(server).on("connection", (socket) => {
    socket.on("echo", (data, answer) => answer(data, socket.conn.transport.name));
});
server.listen(3000, "127.0.0.1");
