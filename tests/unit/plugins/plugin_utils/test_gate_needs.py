# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role nginx has to see to for a gate; it goes into a unit of root's, whatever the servers are."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import model
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.needs import gate_needs

Options = t.Dict[str, t.Any]
NOTHING = {"sockets": [], "ports": [], "writable_paths": ["/var/log/nginx"], "shared_tmp": False, "javascript": False}


def server(**options: t.Any) -> Options:
    return {
        "name": "a",
        "certificate": "a",
        "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
        **options,
    }


def needs(*servers: t.Any, **context: t.Any) -> Options:
    return gate_needs(
        list(servers), {"certificates": [{"name": "a"}, {"name": "b"}], "token_store_path": "/srv/tokens", **context}
    )


def test_without_servers_nothing_is_needed() -> None:
    assert needs() == gate_needs(None) == gate_needs("text") == gate_needs([None, 7, []]) == NOTHING


@pytest.mark.parametrize(
    ("listen", "extra", "ports"),
    [
        (None, {}, [80, 443]),
        ([{"port": 8443}], {"http_redirect_enabled": False}, [8443]),
        ([{"port": "8443"}, {"port": 8443}], {}, [80, 8443]),
        # The redirect is on the addresses of https alone.
        ([{"port": 8443, "address": "127.0.0.1"}], {"http_redirect_port": 8080}, []),
        (
            [{"port": 443, "address": "127.9.9.9"}, {"port": 443, "address": "192.0.2.1"}],
            {"http_redirect_port": 8080},
            [443, 8080],
        ),
        (
            [{"port": 8443, "address": "::1"}, {"port": 9443, "address": "192.0.2.1"}],
            {"http_redirect_enabled": False},
            [9443],
        ),
        ([{"port": 8443, "address": "[::1]"}, {"port": 9443, "address": "0:0:0:0:0:0:0:1"}], {}, []),
        ([{"unix": "/run/gate.sock"}], {}, []),
        ([{"port": 8080, "tls": False}], {}, [8080]),
    ],
)
def test_ports_are_those_that_other_hosts_connect_to(listen: t.Any, extra: Options, ports: t.List[int]) -> None:
    assert needs(server(**extra) if listen is None else server(listen=listen, **extra))["ports"] == ports


def test_a_server_s_own_redirect_counts_and_so_does_that_of_all() -> None:
    assert needs(server(http_redirect_port=8080))["ports"] == [443, 8080]
    assert needs(server(), http_redirect_port="81")["ports"] == [81, 443]
    assert needs(server(), http_redirect_enabled="no")["ports"] == [443]


def test_sockets_have_mode_and_group_and_are_there_once() -> None:
    listen = [{"unix": "/run/a.sock"}, {"unix": "/srv/gate/b.sock", "unix_mode": "0600", "unix_group": "haproxy"}]
    found = needs(server(listen=listen), server(name="b", server_names=["b"], listen=listen[:1]))
    assert found["sockets"] == [
        {"path": "/run/a.sock", "mode": "0660", "group": ""},
        {"path": "/srv/gate/b.sock", "mode": "0600", "group": "haproxy"},
    ]
    assert found["writable_paths"] == ["/run", "/srv/gate", "/var/log/nginx"]


def test_logs_are_written_too() -> None:
    found = needs(access_log_path="/srv/log/access.log", session_log_path="/srv/sessions/log")
    assert found["writable_paths"] == ["/srv/log", "/srv/sessions"]


# What no gate listens on. Neither does root's service manager get to know of it.
WRONG: t.List[Options] = [
    {"unix": "/run/a.sock'; reboot; '"},
    {"unix": "/run/a.sock\nExecStartPre=/bin/reboot"},
    {"unix": "run/a.sock"},
    {"unix": "/run/../etc/a.sock"},
    {"unix": "/run/" + "a" * 120},
    {"unix": "/run/a.sock", "unix_mode": "0660; reboot"},
    {"unix": "/run/a.sock", "unix_mode": 432},
    {"unix": "/run/a.sock", "unix_mode": ""},
    {"unix": "/run/a.sock", "unix_group": "www-data; reboot"},
    {"unix": "/run/a.sock", "unix_grup": "www-data"},
    {"unix": "/run/a.sock", "port": 443},
    {"port": 0},
    {"port": 65536},
    {"port": "443; reboot"},
    {"port": True},
    {"port": 443, "address": "0.0.0.0; reboot"},
    {},
]


@pytest.mark.parametrize("entry", WRONG, ids=str)
def test_a_listener_that_is_wrong_is_left_out_and_told_by_the_gate(entry: Options) -> None:
    right = {"unix": "/run/right.sock"}
    found = needs(server(listen=[entry, right], http_redirect_enabled=False))
    assert found == {
        **NOTHING,
        "sockets": [{"path": "/run/right.sock", "mode": "0660", "group": ""}],
        "writable_paths": ["/run", "/var/log/nginx"],
    }
    assert model.gate_errors(
        [server(listen=[entry, right])], {"certificates": [{"name": "a"}], "token_store_path": "/srv/tokens"}
    )


@pytest.mark.parametrize("listen", [None, "443", 443, {"port": 443}, [443], ["443"], [None], [[]]], ids=str)
def test_what_is_no_list_of_listeners_needs_nothing(listen: t.Any) -> None:
    assert needs(server(listen=listen))["ports"] == ([80, 443] if listen is None else [])


def test_what_is_wrong_elsewhere_takes_no_listener_away() -> None:
    wrong = {"name": "a", "listen": [{"port": 8443}], "loctions": [], "trusted_proxies": "all"}
    assert needs(wrong, context_of="nobody")["ports"] == [80, 8443]


@pytest.mark.parametrize(
    ("options", "is_shared"),
    [
        ({}, False),
        ({"listen": [{"unix": "/tmp/gate.sock"}]}, True),
        ({"locations": [{"path": "/wss", "upstream": "http://unix:/tmp/app.sock"}]}, True),
        ({"locations": [{"path": "/wss", "upstream": "http://unix:/var/tmp/app.sock"}]}, True),
        ({"locations": [{"path": "/wss", "upstream": "http://unix:/srv/tmp/app.sock"}]}, False),
        ({"root": "/tmp/pages"}, True),
        ({"extra_directives": "error_log syslog:server=unix:/tmp/log;\n"}, True),
        ({"extra_directives": "client_body_temp_path /tmp/bodies;\n"}, True),
        # What clients ask for is no file.
        ({"locations": [{"path": "/tmp/wss", "upstream": "http://127.0.0.1:8080"}]}, False),
        ({"locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080/tmp/wss"}]}, False),
        ({"connection_check_path": "/tmp/check"}, False),
    ],
    ids=str,
)
def test_a_file_in_tmp_must_be_the_same_for_nginx_and_others(options: Options, is_shared: bool) -> None:
    assert needs(server(**options))["shared_tmp"] is is_shared


@pytest.mark.parametrize(
    "key", ["drain_path", "token_store_path", "access_log_path", "session_log_path", "acme_webroot"]
)
def test_so_must_the_files_around_the_servers(key: str) -> None:
    assert needs(server(), **{key: "/tmp/x"})["shared_tmp"] is True
    assert needs(server(), **{key: "/srv/tmp/x"})["shared_tmp"] is False


def test_an_upstream_s_socket_in_tmp_counts() -> None:
    groups = [{"name": "g", "servers": [{"address": "unix:/tmp/app.sock"}]}]
    assert needs(server(), upstreams=groups)["shared_tmp"] is True
