# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running nginx takes changed locations with limits: it refuses a zone whose key has changed."""

from __future__ import annotations

from typing import Any

from lib.local_gate import LocalGate, free_port


def test_a_running_gate_takes_another_cookie_and_another_order_of_locations() -> None:
    port = free_port()

    def servers(*cookies: str) -> list[dict[str, Any]]:
        locations = [
            {
                "path": f"/{cookie}",
                "upstream": "http://127.0.0.1:9",
                "origins": ["https://app.example.com"],
                "cookie_name": cookie,
                "max_sessions_per_token": 1,
                "max_sessions_per_address": 1,
                "max_attempts_per_second": 1,
            }
            for cookie in cookies
        ]
        listen = [{"address": "127.0.0.1", "port": port, "tls": False}]
        return [{"name": "gate", "listen": listen, "locations": locations}]

    with LocalGate(servers("AUTH")) as local_gate:
        master = local_gate.master()
        for cookies in (("SESSION",), ("OTHER", "SESSION"), ("SESSION", "AUTH", "OTHER")):
            local_gate.apply(wss_proxy_servers=servers(*cookies))
            zones = [
                line for line in local_gate.configuration()["wssgate.d/gate.conf"].splitlines() if "wss_tokens_" in line
            ]
            assert len(zones) == len(cookies)
        assert local_gate.master() == master
        assert "previously it used" not in local_gate.error_log()
