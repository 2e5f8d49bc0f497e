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
from house.gate import House, free_port
from house.talk import Client, Mirror

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
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


def described(mirror: Mirror, port: int) -> list[dict[str, Any]]:
    location = {"upstream": f"http://127.0.0.1:{mirror.port}", "auth": "none", "origins": [ORIGIN]}
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
            ],
        }
    ]


@pytest.fixture(scope="module")
def house(mirror: Mirror) -> Iterator[House]:
    port = free_port()
    with House(described(mirror, port)) as house:
        house.port = port  # type: ignore[attr-defined]  # for the tests here alone
        yield house


def received(house: House, path: str, *lines: str) -> dict[str, list[str]]:
    """What the upstream gets of a handshake with these lines."""
    head = [
        f"GET {path} HTTP/1.1",
        "Host: gate.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Origin: {ORIGIN}",
        *lines,
    ]
    with Client(house.port) as client:  # type: ignore[attr-defined]
        answer = client.ask("\r\n".join([*head, "", ""]).encode())
    assert answer.status == 101
    found: dict[str, list[str]] = {}
    for line in answer.tunnel.decode().split("\r\n")[1:]:
        name, _colon, value = line.partition(": ")
        found.setdefault(name, []).append(value)
    return found


def test_no_spelling_with_underscores_reaches_the_upstream(house: House) -> None:
    spellings = ("X_Api_Key", "X-Api_Key", "X_Api-Key", "x_api_key", "X-API-KEY")
    got = received(house, "/constant", *(f"{name}: mine" for name in spellings), "X_Other: mine")
    assert got["X_Other"] == ["mine"], "nginx drops all such headers, and this test shows nothing"
    assert got["X-Api-Key"] == [SECRET]
    assert not set(got).intersection(spellings)


def test_long_names_fit_what_nginx_looks_headers_up_in(house: House) -> None:
    got = received(house, "/long", *(f"{name}: mine" for name in LONG_NAMES))
    assert [got[name] for name in LONG_NAMES] == [[SECRET]] * 3
    assert "proxy_headers_hash" not in house.test().stderr + house.error_log()


def test_only_root_may_read_the_file_and_no_other_has_the_value(house: House) -> None:
    holders = [path for path in house.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    holders.remove(house.root / "variables.json")
    assert sorted(str(path.relative_to(house.etc)) for path in holders) == [
        "wssgate.d/headers_gate_0.inc",
        "wssgate.d/headers_gate_2.inc",
    ]
    for path in holders:
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, house.etc.stat().st_uid)


def test_a_run_shows_no_value_however_much_it_shows(
    house: House, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
    monkeypatch.setenv("ANSIBLE_DIFF_ALWAYS", "true")
    servers = described(mirror, house.port)  # type: ignore[attr-defined]
    changed = copy.deepcopy(servers)
    changed[0]["locations"][0]["upstream_headers"][0]["value"] = OTHER_SECRET
    for wanted, value in ((changed, OTHER_SECRET), (servers, SECRET)):
        said = house.apply(wss_proxy_servers=wanted) + house.warnings
        assert "headers_gate_0.inc" in said and "not shown, as it will be" in said and "changed=1 " in said
        assert SECRET not in said and OTHER_SECRET not in said
        assert received(house, "/constant")["X-Api-Key"] == [value]
    said = house.apply() + house.warnings
    assert "changed=0 " in said and SECRET not in said
    # Another reader gets in, and the next run puts that right.
    path = house.etc / "wssgate.d/headers_gate_0.inc"
    path.chmod(0o644)
    said = house.apply() + house.warnings
    assert "changed=1 " in said and SECRET not in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_mistake_beside_a_value_does_not_show_it(house: House, mirror: Mirror) -> None:
    servers = described(mirror, house.port)  # type: ignore[attr-defined]
    servers[0]["locations"][0]["upstream_headers"] = {"X-Api-Key": SECRET}
    before = house.variables["wss_proxy_servers"]
    with pytest.raises(AssertionError) as caught:
        house.apply(wss_proxy_servers=servers)
    assert "upstream_headers is not a list" in str(caught.value) and SECRET not in str(caught.value)
    house.variables["wss_proxy_servers"] = before


def test_the_file_goes_with_its_last_header(house: House, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_DIFF_ALWAYS", "true")
    servers = described(mirror, house.port)  # type: ignore[attr-defined]
    for location in servers[0]["locations"]:
        location.pop("upstream_headers", None)
    said = house.apply(wss_proxy_servers=servers)
    assert SECRET not in said and not list(house.etc.rglob("headers_*"))
    assert received(house, "/constant", "X-Api-Key: mine")["X-Api-Key"] == ["mine"]
