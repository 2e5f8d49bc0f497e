# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit per token goes by the location's cookie. nginx refuses to give a zone that it has another key."""

from __future__ import annotations

from house.gate import House, free_port


def test_a_location_with_a_limit_per_token_gets_another_cookie_by_a_reload() -> None:
    location = {
        "upstream": "http://127.0.0.1:8080",
        "origins": ["https://app.example.com"],
        "max_sessions_per_token": 1,
    }
    one, two = location | {"path": "/one", "cookie_name": "ONE"}, location | {"path": "/two", "cookie_name": "TWO"}
    server = {
        "name": "gate",
        "server_names": ["gate.example.com"],
        "listen": [{"address": "127.0.0.1", "port": free_port(), "tls": False}],
    }
    with House([server | {"locations": [one, two]}]) as house:
        house.apply(wss_proxy_servers=[server | {"locations": [two]}])
        assert "previously it used" not in house.error_log()
