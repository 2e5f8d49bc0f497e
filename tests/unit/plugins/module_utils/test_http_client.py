# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client of a host reaches a server of which one address is out of order."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import http_client
from ansible_collections.wssgate.nginx.plugins.module_utils._host.endpoint import Endpoint
from ansible_collections.wssgate.nginx.plugins.module_utils._host.http_client import Connection, RequestError

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
TIME = 2.0


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _address = listener.accept()
                    client.recv(65536)
                    client.sendall(ANSWER)
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(http_client.socket, "getaddrinfo", lambda *_place, **_hints: found)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    silent: tuple[str, int], server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application whose name has an IPv6 address that no packet gets to, for example."""
    resolve_to(monkeypatch, silent, server)
    connection = Connection(Endpoint("app.example.com", 80, "/"))
    try:
        assert connection.request("POST", {}, time.monotonic() + TIME, 100, b"x").status == 204
    finally:
        connection.close()


def test_with_no_address_that_answers_it_takes_no_longer_than_it_may(
    silent: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, silent, silent)
    began = time.monotonic()
    with pytest.raises(RequestError, match="does not answer in time"):
        Connection(Endpoint("app.example.com", 80, "/")).request("POST", {}, began + 1.0, 100, b"x")
    assert time.monotonic() - began < 1.5
