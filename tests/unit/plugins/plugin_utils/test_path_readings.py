# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused below a location for the sake of those within it. The attack table tries the same on nginx."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate import auth
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.context import Gate
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.options import LOCATION_DEFAULTS
from ansible_collections.wssgate.nginx.plugins.plugin_utils._gate.path_readings import (
    ENCODED_LETTER,
    GUARDS,
    reading,
    readings,
)


def location(path: str, **more: Any) -> dict[str, Any]:
    return {
        "path": path,
        "exact": not path.endswith("/"),
        "auth": "none",
        "http": None,
        "cookie": None,
        "token": None,
        "jwt": None,
        "htpasswd_path": "",
        "external": "",
        "client_certificate_required": False,
        "limits": {},
        "session_lifetime": "",
        "session_noted": False,
        "forward_credentials": False,
        "origins": {"allowed": ["https://a.example"], "missing": False},
        "addresses": [],
    } | more


@pytest.mark.parametrize(
    ("path", "uri", "is_read"),
    [
        ("/wss", "/WSS", True),
        ("/wss", "/wss/", True),
        ("/wss", "/wss;v=1", True),
        ("/wss", "/wss;v=1/;", True),
        ("/wss", "/;/wss", True),
        ("/wss", "/wss .;v", True),
        ("/wss", "/wss/ ", True),
        ("/wss", "/wss/ .", True),
        ("/wss", "/wss?x/y", True),
        ("/wss", "/wss;v#/y", True),
        ("/wss", "/wss/?x", True),
        ("/wss", "/;?/wss", True),
        ("/wss", "/wss/ x", False),
        ("/wss", "/wss2?x", False),
        ("/wss", "/?/wss", False),
        ("/wss", "/wss/x", False),
        ("/wss", "/wss2", False),
        ("/wss", "/x/wss", False),
        ("/wss", "/w;ss", False),
        ("/a.b/c/", "/A.B/C/", True),
        ("/a.b/c/", "/a.b;x/c", True),
        ("/a.b/c/", "/a.b/c;x/d", True),
        ("/a.b/c/", "/a.b/;/c/d/e", True),
        ("/a.b/c/", "/a.b/c?d", True),
        ("/a.b/c/", "/a.b/c .#", True),
        ("/a.b/c/", "/axb/c/", False),
        ("/a.b/c/", "/a.b/cd", False),
        ("/a.b/c/", "/a.b/d/c/", False),
    ],
)
def test_a_path_is_read_as_another_one(path: str, uri: str, is_read: bool) -> None:
    assert bool(re.search(reading(path), uri, re.IGNORECASE)) == is_read


def test_only_folders_with_others_in_them_that_let_others_in_refuse_anything() -> None:
    outer, twin = location("/"), location("/app/")
    strict, door = location("/app/staff/", auth="token"), location("/wss", auth="basic")
    within, same = location("/app/staff/door", auth="basic"), location("/app/staff/open", auth="token")
    everything = [outer, twin, strict, door, within, same]
    assert [readings(one, everything) for one in everything] == [
        [ENCODED_LETTER, reading("/app/staff/"), reading("/wss")],
        [ENCODED_LETTER, reading("/app/staff/")],
        [ENCODED_LETTER, reading("/app/staff/door")],
        [],
        [],
        [],
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"auth": "token"},
        {"http": {"methods": ["GET"]}},
        {"cookie": {"name": "A"}},
        {"token": {"sources": ["bearer"]}},
        {"jwt": {"issuers": ["main"]}},
        {"htpasswd_path": "/x"},
        {"external": "http://a.example/"},
        {"client_certificate_required": True},
        {"limits": {"attempts": 1}},
        {"session_lifetime": "54-60"},
        {"session_noted": True},
        {"forward_credentials": True},
        {"addresses": [{"kind": "allow", "networks": ["192.0.2.0/24"]}]},
        {"addresses": [{"kind": "deny", "networks": ["192.0.2.0/24"]}]},
        {"origins": {"allowed": [], "missing": False}},
        {"origins": {"allowed": ["https://a.example"], "missing": True}},
    ],
)
def test_whatever_decides_who_may_connect_makes_a_difference(more: dict[str, Any]) -> None:
    outer = location("/")
    assert readings(outer, [outer, location("/x")]) == []
    assert readings(outer, [outer, location("/x", **more)]) == [ENCODED_LETTER, reading("/x")]


# Fields of methods that do not decide who is let in: they follow from others, or say how it is asked for.
OTHER_FIELDS = {"uses_token", "uses_basic", "uses_jwt", "realm", "external_tls", "forwarded", "below"}


def test_what_a_method_of_authentication_goes_by_is_compared() -> None:
    options = {
        "auth": "external",
        "external_auth_url": "http://127.0.0.1:9000",
        "path": "/x",
        "upstream": "http://h:80",
    }
    gate = Gate({})
    kind = auth.KINDS["external"]
    item = {**LOCATION_DEFAULTS, **options}
    known = {"path": "/x", "exact": True, "slug": "x", "upstream": {"path": "/x"}}
    for method in auth.METHODS:
        fields = {*method.read(gate, "here", kind, item, {"htpasswd_file": "", "realm": "x"})}
        fields |= {*method.complete(gate, "here", kind, item, known)}
        assert fields - OTHER_FIELDS == set(method.guards), method.name
        assert set(method.guards) <= set(GUARDS)
