# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever publishes a JSON Web Key Set by HTTPS, and misbehaves as a test wants it.

On a molecule host: `python3 -m lib.key_provider PORT CHAIN FILE` serves a file, with a certificate that
`python -m lib.key_provider FOLDER` has made before, with an authority.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Handler = http.server.BaseHTTPRequestHandler
Behaviour = Callable[[Handler], None]


class KeyProvider:
    """It answers at `url`, and its authority is in the file `ca`."""

    def __init__(self, folder: Path, port: int) -> None:
        # Only here: a test host has none of what it takes.
        from . import pki

        authority = pki.issue("key authority", ca=True)
        self.ca, self.port = folder / "ca.pem", port
        self.ca.write_bytes(authority.pem)
        self.contexts = {}
        for name, issuer in (("right", authority), ("wrong", pki.issue("key authority", ca=True))):
            identity = pki.issue("localhost", issuer, ["localhost"])
            chain = folder / f"{name}.pem"
            chain.write_bytes(identity.pem + identity.key_pem)
            self.contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.contexts[name].load_cert_chain(chain)
        self.url = f"https://localhost:{port}/jwks.json"
        self.keys: list[dict[str, Any]] = []
        self.reset()
        self._server: http.server.ThreadingHTTPServer | None = None

    def reset(self) -> None:
        """It does what it should, from now on."""
        self.behaviour: Behaviour | None = None
        self.certificate = "right"
        self.statuses: list[int] = []

    def publish(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)

    def start(self) -> None:
        if self._server is not None:
            return
        provider = self

        class Answering(Handler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                # In the connection's own thread: a client that sends nothing holds up nobody else.
                self.request.settimeout(10)
                self.request = provider.contexts[provider.certificate].wrap_socket(self.request, server_side=True)
                super().setup()

            def do_GET(self) -> None:
                if provider.behaviour is not None:
                    provider.behaviour(self)
                    return
                provider.answer(self)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                """A client that refuses the certificate, or has gone, is what some tests are about."""

        self._server = Server(("127.0.0.1", self.port), Answering)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody answers any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, handler: Handler) -> None:
        """As a good one does."""
        body = json.dumps({"keys": self.keys}).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if handler.headers.get("If-None-Match") == etag:
            self.send(handler, 304, b"", ETag=etag)
        else:
            self.send(handler, 200, body, ETag=etag)

    def send(self, handler: Handler, status: int, body: bytes, **headers: str) -> None:
        with contextlib.suppress(OSError):
            handler.send_response(status)
            if status != 304:
                headers.setdefault("Content-Type", "application/json")
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)
        self.statuses.append(status)


def make(folder: Path) -> None:
    """An authority (ca.pem), and a certificate of it with its key (chain.pem)."""
    from . import pki

    authority = pki.issue("key authority", ca=True)
    identity = pki.issue("localhost", authority, ["localhost"])
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "chain.pem").write_bytes(identity.pem + identity.key_pem)


def serve(port: int, chain: str, path: str) -> None:
    """Serve what a file has at the moment, until the process ends."""

    class Serving(Handler):
        def do_GET(self) -> None:
            body = Path(path).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Serving)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        make(Path(sys.argv[1]))
    else:
        serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
