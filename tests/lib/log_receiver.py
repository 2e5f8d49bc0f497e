# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes what shippers of logs send by TLS, and appends it to a file: ``log_receiver PORT PAIR FILE``."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import sys


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server: _Server = self.server  # type: ignore[assignment]
        # Whoever does not take the certificate goes away.
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            server.context.wrap_socket(self.request, server_side=True) as connection,
        ):
            while data := connection.recv(65536):
                with open(server.output, "ab") as output:
                    output.write(data)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    context: ssl.SSLContext
    output: str


def main(port: str, pair: str, output: str) -> None:
    """Serve until the process is ended."""
    with _Server(("127.0.0.1", int(port)), _Handler) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(pair)
        server.output = output
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
