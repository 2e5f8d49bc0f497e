# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of FastAPI, run by uvicorn, behind the gate: uploads, events and WebSockets."""

from __future__ import annotations

import pytest
from conftest import Application, MakeApplication

CLIENT = "fastapi/client.py"
FOREIGN = "https://evil.example.net"


@pytest.fixture
def api(application: MakeApplication) -> Application:
    return application("api.example.com", "api", "https://api.example.com/app/")


def test_an_upload_of_100_mb_beside_open_websockets(api: Application) -> None:
    found = api.client(CLIENT, WORK="upload", BEARER=api.token(), ORIGIN=api.origin).expect("done")
    assert (found["size"], found["same"]) == (100 << 20, True)
    # Each of the ten went on meanwhile.
    assert min(found["echoes"]) > 0
    assert len(found["echoes"]) == 10


def test_events_arrive_one_by_one(api: Application) -> None:
    found = api.client(CLIENT, WORK="events", TOKEN=api.token(), ORIGIN=api.origin).expect("done")
    assert found["numbers"] == list(range(50))


def test_without_a_token_a_request_is_refused(api: Application) -> None:
    api.check_refused(CLIENT, "token", WORK="events", ORIGIN=api.origin)


@pytest.mark.whole
def test_without_a_token_a_websocket_is_refused(api: Application) -> None:
    api.check_refused(CLIENT, "token", WORK="echo", ORIGIN=api.origin)


@pytest.mark.whole
@pytest.mark.parametrize("work", ["events", "echo"])
def test_a_foreign_origin_is_refused(api: Application, work: str) -> None:
    api.check_refused(CLIENT, "origin", WORK=work, TOKEN=api.token(), ORIGIN=FOREIGN)


def test_revoking_its_token_ends_a_websocket(api: Application) -> None:
    api.check_revoked(CLIENT, WORK="echo", ORIGIN=api.origin)


@pytest.mark.whole
def test_revoking_its_token_ends_a_stream_of_events(api: Application) -> None:
    api.check_revoked(CLIENT, WORK="events", ORIGIN=api.origin)
