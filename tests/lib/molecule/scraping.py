# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host of a scenario tells a scraper of its metrics."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from .. import wire

USER, PASSWORD = "prometheus", "battery staple"


def inside(name: str, *command: str, check: bool = True) -> str:
    """What a command prints in the container."""
    done = subprocess.run(["docker", "exec", name, *command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


def get(endpoint: wire.Endpoint, host: str, path: str, *headers: str) -> tuple[int, str]:
    """Status and body of a request."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    found = b""
    with endpoint.connect() as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while data := connection.recv(65536):
            found += data
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def basic(user: str, password: str) -> str:
    """The header that has a password."""
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def scrape(name: str, server_name: str, ca_path: Path, password: str = PASSWORD) -> tuple[int, str]:
    """Status and body of /metrics at port 9443 of the container.

    Raises:
        OSError: Nobody listens there, or TLS ends there.
    """
    address = inside(name, "hostname", "-i").split()[0]
    endpoint = wire.Endpoint(host=address, port=9443, server_name=server_name, ca_path=ca_path)
    return get(endpoint, server_name, "/metrics", basic(USER, password))


def is_closed(name: str, server_name: str, ca_path: Path) -> bool:
    """Whether nobody listens at the port of the metrics."""
    try:
        scrape(name, server_name, ca_path)
    except ConnectionRefusedError:
        return True
    return False
