# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Ansible managed by wssgate.nginx; changes made here are lost
"""Whether HAProxy on this host takes connections, or whether a gate answers a handshake through it.

keepalived runs it as an account without rights. Exit status 0 means yes.
"""

import argparse
import socket
import ssl
import sys

# What a gate answers without credentials; 101 where it asks for none, 429 where a limit is reached.
ALIVE = (b"101", b"401", b"403", b"429")
TIMEOUT = 4.0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", help="open a WebSocket there; without it, only connect")
    parser.add_argument("--server-name", help="name of the gates")
    parser.add_argument("--ca-path", help="file of authorities; without it, no TLS")
    parser.add_argument("--origin")
    parser.add_argument(
        "--address", default="127.0.0.1", help="of this host, to ask at and from: gates know the balancer's own by it"
    )
    return parser.parse_args()


def status(connection: socket.socket, arguments: argparse.Namespace) -> bytes:
    lines = [
        f"GET {arguments.path} HTTP/1.1",
        f"Host: {arguments.server_name}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: d3NzZ2F0ZS1iYWxhbmNlcg==",
    ]
    lines += [f"Origin: {arguments.origin}"] if arguments.origin else []
    connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    answer = b""
    while len(answer) < len(b"HTTP/1.1 101"):
        part = connection.recv(256)
        if not part:
            break
        answer += part
    return answer[9:12] if answer.startswith(b"HTTP/1.1 ") else b""


def main() -> int:
    arguments = parsed()
    try:
        at, source = (arguments.address, arguments.port), (arguments.address, 0)
        with socket.create_connection(at, timeout=TIMEOUT, source_address=source) as plain:
            if not arguments.path:
                return 0
            if not arguments.ca_path:
                return int(status(plain, arguments) not in ALIVE)
            context = ssl.create_default_context(cafile=arguments.ca_path)
            with context.wrap_socket(plain, server_hostname=arguments.server_name) as secure:
                return int(status(secure, arguments) not in ALIVE)
    except (OSError, ValueError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
