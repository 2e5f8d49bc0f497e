# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's own service that decides who may connect: decide.py PORT RECORD [CERTIFICATE]

The cookie `session` names the answer: good, banned, broken. Without it, nobody is signed in.
"""

from __future__ import annotations

import http.server
import json
import re
import ssl
import sys

ANSWERS = {"good": 204, "banned": 403, "broken": 500}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with open(sys.argv[2], "a", encoding="utf-8") as record:
            record.write(json.dumps({"request": self.requestline, "headers": self.headers.items()}) + "\n")
        named = re.search(r"session=(\w+)", self.headers.get("Cookie", ""))
        self.send_response(ANSWERS.get(named[1] if named else "", 401))
        self.send_header("Content-Length", "0")
        self.end_headers()


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if len(sys.argv) > 3:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[3])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
