# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Socket.IO behind the gate: its server, its JavaScript and its Python client, by each transport."""

from __future__ import annotations

import time

import pytest
from conftest import Application, MakeApplication

CLIENTS = ["socketio/client.mjs", "socketio/client.py"]
JAVASCRIPT, PYTHON = CLIENTS
FOREIGN = "https://evil.example.net"


@pytest.fixture
def chat(application: MakeApplication) -> Application:
    return application("chat.example.com", "chat", "https://chat.example.com")


def statuses_since(chat: Application, before: int) -> set[int]:
    """What the gate has answered since; a session is logged when it is over, which is after its client is done."""
    deadline = time.monotonic() + 20
    while 101 not in (found := {entry["status"] for entry in chat.logged()[before:]}) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_javascript_starts_by_polling_and_is_upgraded(chat: Application) -> None:
    before = len(chat.logged())
    found = chat.client(JAVASCRIPT, TOKEN=chat.token(), ORIGIN=chat.origin).expect("done")
    # The last transport is the one that matters; the first echo may be quicker than the upgrade, or not.
    assert found["transports"][-1] == "websocket"
    assert statuses_since(chat, before) == {101, 200}


def test_python_by_bearer_starts_by_polling_and_is_upgraded(chat: Application) -> None:
    before = len(chat.logged())
    found = chat.client(PYTHON, BEARER=chat.token(), ORIGIN=chat.origin).expect("done")
    assert "websocket" in found["transports"]
    assert statuses_since(chat, before) == {101, 200}


@pytest.mark.whole
@pytest.mark.parametrize("program", CLIENTS)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_one_transport_is_enough(chat: Application, program: str, transport: str) -> None:
    before = len(chat.logged())
    found = chat.client(program, TOKEN=chat.token(), ORIGIN=chat.origin, TRANSPORT=transport).expect("done")
    assert found["transports"] == [transport]
    assert {entry["status"] for entry in chat.logged()[before:]} == {101 if transport == "websocket" else 200}


def test_without_a_token_it_is_refused(chat: Application) -> None:
    chat.check_refused(JAVASCRIPT, "token", ORIGIN=chat.origin)


@pytest.mark.whole
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_without_a_token_no_transport_gets_in(chat: Application, transport: str) -> None:
    chat.check_refused(PYTHON, "token", ORIGIN=chat.origin, TRANSPORT=transport)


@pytest.mark.whole
@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("program", CLIENTS)
def test_a_foreign_origin_is_refused(chat: Application, program: str, transport: str) -> None:
    chat.check_refused(program, "origin", TOKEN=chat.token(), ORIGIN=FOREIGN, TRANSPORT=transport)


def test_revoking_its_token_ends_an_upgraded_session(chat: Application) -> None:
    chat.check_revoked(JAVASCRIPT, ORIGIN=chat.origin)


@pytest.mark.whole
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_revoking_its_token_ends_either_transport(chat: Application, transport: str) -> None:
    chat.check_revoked(PYTHON, ORIGIN=chat.origin, TRANSPORT=transport)
