# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""graphql-ws behind the gate, server and client."""

from __future__ import annotations

import pytest
from conftest import Application, MakeApplication

CLIENT = "graphql-ws/client.mjs"


@pytest.fixture
def graphql(application: MakeApplication) -> Application:
    return application("graphql.example.com", "graphql", "wss://graphql.example.com/graphql")


def test_a_subscription_of_a_hundred_events(graphql: Application) -> None:
    found = graphql.client(CLIENT, TOKEN=graphql.token(), ORIGIN=graphql.origin).expect("done")
    assert found["numbers"] == list(range(100, 0, -1))


def test_without_a_token_it_is_refused(graphql: Application) -> None:
    graphql.check_refused(CLIENT, "token", ORIGIN=graphql.origin)


@pytest.mark.whole
def test_a_foreign_origin_is_refused(graphql: Application) -> None:
    graphql.check_refused(CLIENT, "origin", TOKEN=graphql.token(), ORIGIN="https://evil.example.net")


def test_revoking_its_token_ends_it_amid_a_subscription(graphql: Application) -> None:
    graphql.check_revoked(CLIENT, ORIGIN=graphql.origin)
