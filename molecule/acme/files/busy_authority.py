# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ACME server that takes every account and answers every order with its rate limit (RFC 8555 6.6).

busy_authority.py PORT PEM KEY
"""

from __future__ import annotations

import http.server
import json
import ssl
import sys

HOST = "127.0.0.1"
WORDS = "too many certificates already issued for example.com"


class Authority(http.server.BaseHTTPRequestHandler):
    """Answers without looking at signatures: nothing is ever issued here."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, content: dict[str, object], kind: str = "application/json", **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Replay-Nonce", "bm9uY2U")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        here = f"https://localhost:{self.server.server_address[1]}"
        self.answer(
            200, {name: f"{here}/{name}" for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")}
        )

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/newAccount":
            self.answer(
                201, {"status": "valid"}, Location=f"https://localhost:{self.server.server_address[1]}/account/1"
            )
        else:
            problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": WORDS, "status": 429}
            self.answer(429, problem, "application/problem+json", Retry_After="3600")


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = http.server.ThreadingHTTPServer((HOST, int(sys.argv[1])), Authority)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
