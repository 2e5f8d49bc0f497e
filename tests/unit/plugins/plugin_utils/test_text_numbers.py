# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before 2.19 ansible-core hands filters the text of templated numbers and booleans: the gate's model is the same."""

from __future__ import annotations

import typing as t

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import model as _gate

CONTEXT: dict[str, t.Any] = {
    "certificates": [{"name": "wcs"}],
    "token_store_path": "/var/lib/nginx/tokens",
    "ipv6": False,
    "http_redirect_enabled": True,
    "http_redirect_port": 8080,
    "drain_path": "/etc/nginx/wssgate.drain",
    "drain_retry_after": 7,
    "buffer_size": 8192,
    "tls_tickets": 0,
}
SERVERS = [
    {
        "name": "wcs",
        "server_names": ["wcs.example.com"],
        "listen": [{"port": 8443}],
        "http_redirect_enabled": False,
        "certificate": "wcs",
        "locations": [
            {"path": "/wss", "upstream": "http://127.0.0.1:8080", "connect_timeout": 3, "max_sessions_per_token": 9}
        ],
    }
]


class Text(str):
    """As AnsibleUnsafeText: a str of another class."""


def as_text(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return Text(value)


def test_the_model_of_text_is_that_of_numbers_and_booleans() -> None:
    assert _gate.gate_errors(SERVERS, CONTEXT) == []
    assert _gate.gate_model(as_text(SERVERS), as_text(CONTEXT)) == _gate.gate_model(SERVERS, CONTEXT)
