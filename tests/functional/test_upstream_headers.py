# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that upstreams get of the gate's own: their values are in a file of root's and at the upstream alone."""

from __future__ import annotations

import copy
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from lib.head_echo import HeadEcho
from lib.http_client import Client
from lib.local_gate import LocalGate, free_port

ORIGIN = "https://app.example.com"
SECRET = "functional-secret-of-an-upstream"
OTHER_SECRET = "functional-secret-that-comes-later"
# As long as they may be, so that nginx has many long names to look for.
LONG_NAMES = (
    "X-Upstreams-Own-Longheader-Ofthirtyeight1",
    "X-Upstreams-Own-Longheader-Ofthirtyeight2",
    "X-Third-Of-All-These",
)


@pytest.fixture(scope="module")
def head_echo() -> Iterator[HeadEcho]:
    head_echo = HeadEcho()
    yield head_echo
    head_echo.close()


def described(head_echo: HeadEcho, port: int) -> list[dict[str, Any]]:
    location = {"upstream": f"http://127.0.0.1:{head_echo.port}", "auth": "none", "origins": [ORIGIN]}
    constants = [{"name": "X-Api-Key", "value": SECRET}]
    return [
        {
            "name": "gate",
            "listen": [{"address": "127.0.0.1", "port": port, "tls": False}],
            # nginx drops such headers otherwise.
            "extra_directives": "underscores_in_headers on;",
            "locations": [
                location | {"path": "/constant", "upstream_headers": constants},
                location | {"path": "/plain"},
                location
                | {"path": "/long", "upstream_headers": [{"name": name, "value": SECRET} for name in LONG_NAMES]},
                location
                | {
                    "path": "/asked",
                    "auth": "external",
                    "external_auth_url": f"http://127.0.0.1:{head_echo.port}/may",
                },
            ],
        }
    ]


@pytest.fixture(scope="module")
def local_gate(head_echo: HeadEcho) -> Iterator[LocalGate]:
    port = free_port()
    with LocalGate(described(head_echo, port)) as local_gate:
        local_gate.port = port  # type: ignore[attr-defined]  # for the tests here alone
        yield local_gate


def received(local_gate: LocalGate, path: str, *lines: str) -> dict[str, list[str]]:
    """What the upstream gets of a handshake with these lines."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: gate.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Origin: {ORIGIN}",
        *lines,
    ]
    with Client(local_gate.port) as client:  # type: ignore[attr-defined]
        answer = client.ask("\r\n".join([*head, "", ""]).encode())
    assert answer.status == 101
    found: dict[str, list[str]] = {}
    for line in answer.tunnel.decode().split("\r\n")[1:]:
        name, _colon, value = line.partition(": ")
        found.setdefault(name, []).append(value)
    return found


def test_no_spelling_with_underscores_reaches_the_upstream(local_gate: LocalGate) -> None:
    spellings = ("X_Api_Key", "X-Api_Key", "X_Api-Key", "x_api_key", "X-API-KEY")
    got = received(local_gate, "/constant", *(f"{name}: mine" for name in spellings), "X_Other: mine")
    assert got["X_Other"] == ["mine"], "nginx drops all such headers, and this test shows nothing"
    assert got["X-Api-Key"] == [SECRET]
    assert not set(got).intersection(spellings)


def test_no_spelling_reaches_the_upstream_of_another_location(local_gate: LocalGate) -> None:
    spellings = ("X_Api_Key", "X-Api_Key", "X_Api-Key", "x_api_key", "X-API-KEY")
    got = received(local_gate, "/plain", *(f"{name}: mine" for name in spellings), "X_Other: mine")
    assert got["X_Other"] == ["mine"], "nginx drops all such headers, and this test shows nothing"
    assert not {name.lower().replace("_", "-") for name in got}.intersection({"x-api-key"})


def test_no_spelling_reaches_the_service_that_decides(local_gate: LocalGate, head_echo: HeadEcho) -> None:
    received(local_gate, "/asked", "X-Api-Key: mine", "X_Api_Key: mine", "X-Other: mine")
    asked, _upstream = list(head_echo.heads)[-2:]
    assert asked.startswith(b"GET /may ") and b"X-Other: mine" in asked
    assert b"api" not in asked.lower()


def test_long_names_fit_what_nginx_looks_headers_up_in(local_gate: LocalGate) -> None:
    got = received(local_gate, "/long", *(f"{name}: mine" for name in LONG_NAMES))
    assert [got[name] for name in LONG_NAMES] == [[SECRET]] * 3
    assert "proxy_headers_hash" not in local_gate.test().stderr + local_gate.error_log()


def test_only_root_may_read_the_file_and_no_other_has_the_value(local_gate: LocalGate) -> None:
    holders = [path for path in local_gate.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    holders.remove(local_gate.root / "variables.json")
    assert sorted(str(path.relative_to(local_gate.etc)) for path in holders) == [
        "wssgate.d/headers_gate_0.inc",
        "wssgate.d/headers_gate_2.inc",
    ]
    for path in holders:
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, local_gate.etc.stat().st_uid)


def test_a_run_shows_no_value_however_much_it_shows(
    local_gate: LocalGate, head_echo: HeadEcho, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
    monkeypatch.setenv("ANSIBLE_DIFF_ALWAYS", "true")
    servers = described(head_echo, local_gate.port)  # type: ignore[attr-defined]
    changed = copy.deepcopy(servers)
    changed[0]["locations"][0]["upstream_headers"][0]["value"] = OTHER_SECRET
    for wanted, value in ((changed, OTHER_SECRET), (servers, SECRET)):
        said = local_gate.apply(wss_proxy_servers=wanted) + local_gate.warnings
        assert "headers_gate_0.inc" in said and "not shown, as it will be" in said and "changed=1 " in said
        assert SECRET not in said and OTHER_SECRET not in said
        assert received(local_gate, "/constant")["X-Api-Key"] == [value]
    said = local_gate.apply() + local_gate.warnings
    assert "changed=0 " in said and SECRET not in said
    # Another reader gets in, and the next run puts that right.
    path = local_gate.etc / "wssgate.d/headers_gate_0.inc"
    path.chmod(0o644)
    said = local_gate.apply() + local_gate.warnings
    assert "changed=1 " in said and SECRET not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_mistake_beside_a_value_does_not_show_it(local_gate: LocalGate, head_echo: HeadEcho) -> None:
    servers = described(head_echo, local_gate.port)  # type: ignore[attr-defined]
    servers[0]["locations"][0]["upstream_headers"] = {"X-Api-Key": SECRET}
    before = local_gate.variables["wss_proxy_servers"]
    with pytest.raises(AssertionError) as caught:
        local_gate.apply(wss_proxy_servers=servers)
    assert "upstream_headers is not a list" in str(caught.value) and SECRET not in str(caught.value)
    local_gate.variables["wss_proxy_servers"] = before


def test_the_file_goes_with_its_last_header(
    local_gate: LocalGate, head_echo: HeadEcho, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_DIFF_ALWAYS", "true")
    servers = described(head_echo, local_gate.port)  # type: ignore[attr-defined]
    for location in servers[0]["locations"]:
        location.pop("upstream_headers", None)
    said = local_gate.apply(wss_proxy_servers=servers)
    assert SECRET not in said and not list(local_gate.etc.rglob("headers_*"))
    assert received(local_gate, "/constant", "X-Api-Key: mine")["X-Api-Key"] == ["mine"]
