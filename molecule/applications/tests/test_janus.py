# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Janus behind the gate: Janode."""

from __future__ import annotations

import pytest
from conftest import Application, MakeApplication

JANODE = "janus/janode_client.mjs"
# The page that uses it is another site.
ORIGIN = "https://app.example.com"


@pytest.fixture
def janus(application: MakeApplication) -> Application:
    return application("janus.example.com", "janus", "wss://janus.example.com/janus")


def test_a_session_with_an_echo_test_and_a_keepalive(janus: Application) -> None:
    found = janus.client(JANODE, TOKEN=janus.token(), ORIGIN=ORIGIN).expect("done")
    assert found == {"event": "done", "session": True, "handle": True, "result": "ok", "keepalive": "ack"}


def test_without_a_token_it_is_refused(janus: Application) -> None:
    janus.check_refused(JANODE, "token", ORIGIN=ORIGIN)


@pytest.mark.whole
def test_the_server_s_own_origin_is_not_in_its_list(janus: Application) -> None:
    janus.check_refused(JANODE, "origin", TOKEN=janus.token(), ORIGIN=janus.origin)


def test_revoking_its_token_ends_it(janus: Application) -> None:
    janus.check_revoked(JANODE, ORIGIN=ORIGIN)


@pytest.mark.whole
def test_it_listens_to_this_host_only(janus: Application) -> None:
    lines = janus.host.check_output("ss -Hltnp").splitlines()
    assert {line.split()[3] for line in lines if '"janus"' in line} == {"127.0.0.1:8188"}
