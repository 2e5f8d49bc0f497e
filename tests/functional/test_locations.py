# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many locations: each keeps its own rules, also where nginx goes on from one to another, and none costs a session
memory.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib import load, usage
from lib.head_echo import HeadEcho
from lib.local_gate import LocalGate, LocalNginx, free_port
from lib.processes import running, wait_for
from lib.wire import Endpoint, Reply, Request, handshake

MANY, SESSIONS = 1000, 400
# Of a session's memory with one location. A variable for each location would be 16 bytes each, 1.7 times in all.
MOST_MORE = 1.1
LONG = [f"https://tenant-{number}.example.com" for number in range(60)]
SERVER = "wssgate.d/server_many.conf"
# A whole one of a server
LOCATION = re.compile(r"^    location .*?^    \}\n", re.M | re.S)


# PCRE has room for nine in one expression.
WILDCARDS = (1, 4, 5, 10, 16)
# Not the same, though Jinja's `unique` would take them for it.
REALMS = ("Staff", "staff")


def wildcards(count: int) -> list[str]:
    return [f"https://*.t{number}.example.com" for number in range(count)]


def origin(number: int) -> str:
    return f"https://{number}.example.com"


class ManyLocations(LocalGate):
    """One server with a thousand locations, another whose locations send requests on to each other."""

    def __init__(self, upstream_port: int, head_echo: HeadEcho) -> None:
        super().__init__([])
        self.port, self.moving_port = free_port(), free_port()
        self.upstream, self.service = (f"http://127.0.0.1:{port}" for port in (upstream_port, head_echo.port))
        self.variables["wss_proxy_servers"] = [
            self._server("many", self.port, [self._location(number) for number in range(MANY)]),
            self._server("moving", self.moving_port, self._moving()) | {"htpasswd_file": str(self._passwords())},
        ]

    def _passwords(self) -> Path:
        path = self.root / "htpasswd"
        path.write_text("operator:{PLAIN}correct horse\n")
        path.chmod(0o644)
        self.variables["wss_proxy_htpasswd_files"] = [{"path": str(path)}]
        return path

    @staticmethod
    def _server(name: str, port: int, locations: list[dict[str, Any]]) -> dict[str, Any]:
        listen = [{"address": "127.0.0.1", "port": port, "tls": False}]
        return {"name": name, "server_names": ["localhost"], "listen": listen, "locations": locations}

    def _location(self, number: int) -> dict[str, Any]:
        """One in three lets plain requests through, one in three asks a service; all have the same addresses."""
        common = {"upstream": self.upstream, "origins": [origin(number)], "allow_from": ["127.0.0.0/8"]}
        if number % 3 == 1:
            return {**common, "path": f"/wss/{number}", "auth": "none", "http": {"methods": ["GET", "POST"]}}
        if number % 3 == 2:
            return {**common, "path": f"/wss/{number}/", "auth": "external", "external_auth_url": self.service}
        return {**common, "path": f"/wss/{number}", "auth": "none"}

    def _moving(self) -> list[dict[str, Any]]:
        asked = {"auth": "external", "external_auth_url": self.service, "upstream": self.service, "http": True}
        to_b = {"extra_directives": "if ($arg_go) {\n    rewrite ^ /b last;\n}"}
        below = {"extra_directives": "if ($arg_go) {\n    rewrite ^/above/(.*)$ /below/$1 last;\n}"}
        deeper = {"extra_directives": "if ($arg_go) {\n    rewrite ^/deep/(.*)$ /deep/er/$1 last;\n}"}
        common = {"upstream": self.service, "auth": "none"}
        pages = {**common, "origins": [origin(1)], "http": True}
        only_get = {**pages, "http": {"methods": ["GET"]}}
        return [
            {**common, "path": "/a", "origins": [origin(1), origin(3)], **to_b},
            {**common, "path": "/b", "origins": [origin(2), origin(3)]},
            {**common, "path": "/pages", "origins": [origin(1)], "http": True, **to_b},
            {**common, "path": "/long", "origins": LONG, **to_b},
            {**common, "path": "/long-too", "origins": LONG[::-1]},
            {**asked, "path": "/above/", "origins": [origin(1)], **below},
            {**asked, "path": "/below/", "origins": [origin(1)]},
            {**common, "path": "/deep/", "origins": [origin(1)], **deeper},
            {**common, "path": "/deep/er/", "origins": [origin(1)]},
            {**common, "path": "/deep/er/door", "origins": [origin(2)]},
            *({**common, "path": f"/wild/{count}", "origins": wildcards(count)} for count in WILDCARDS),
            {**only_get, "path": "/get", "extra_directives": "error_page 405 = /got;"},
            {**only_get, "path": "/got"},
            *({**pages, "path": f"/{realm}", "auth": "basic", "realm": realm} for realm in REALMS),
        ]


@pytest.fixture(scope="module")
def head_echo() -> Iterator[HeadEcho]:
    echo = HeadEcho()
    yield echo
    echo.close()


@pytest.fixture(scope="module")
def gate(head_echo: HeadEcho) -> Iterator[ManyLocations]:
    port = free_port()
    with running("echo_server", "--echo", f"127.0.0.1:{port}"), ManyLocations(port, head_echo) as gate:
        yield gate


def answer(port: int, path: str, page: str | None, request: Request | None = None) -> Reply:
    return handshake(Endpoint(port, tls=False), (request or Request()).but(path=path).origin(page))


def test_each_of_many_locations_lets_in_its_own_pages(gate: ManyLocations) -> None:
    for number in random.Random(7).sample(range(MANY), 60):
        path = f"/wss/{number}" + "/" * (number % 3 == 2)
        for page, status in (
            (origin(number), 101),
            (origin(number).upper() + ":443", 101),
            (origin((number + 3) % MANY), 403),
            (origin(number) + ":8443", 403),
            (f"from {origin(number)}", 403),
            ("1", 403),
            (None, 403),
        ):
            with answer(gate.port, path, page) as reply:
                assert reply.status == status, (path, page)


@pytest.mark.parametrize("path", ["/long", "/long-too"])
def test_a_long_list_of_origins_counts_in_each_location_that_has_it(gate: ManyLocations, path: str) -> None:
    for page, status in ((LONG[0], 101), (LONG[59].upper() + ":443", 101), (origin(1), 403), (None, 403)):
        with answer(gate.moving_port, path, page) as reply:
            assert reply.status == status, page


@pytest.mark.parametrize("count", WILDCARDS)
def test_wildcards_count_however_many_there_are(gate: ManyLocations, count: int) -> None:
    last = f"https://app.t{count - 1}.example.com"
    for page, status in ((last, 101), (last.replace("app.", ""), 403), (f"https://app.t{count}.example.com", 403)):
        with answer(gate.moving_port, f"/wild/{count}", page) as reply:
            assert reply.status == status, page


@pytest.mark.parametrize("realm", REALMS)
def test_realms_that_differ_by_case_alone_are_two(gate: ManyLocations, realm: str) -> None:
    with answer(gate.moving_port, f"/{realm}", None, Request(headers=())) as reply:
        assert (reply.status, reply.header("WWW-Authenticate")) == (401, f'Basic realm="{realm}"')


def test_a_request_that_goes_on_by_another_method_is_looked_at_by_that(gate: ManyLocations) -> None:
    with answer(gate.moving_port, "/get", None, Request(headers=(), method="POST")) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    ("path", "page", "status"),
    [
        ("/a?go=1", origin(1), 403),
        ("/a?go=1", origin(2), 403),
        ("/a?go=1", origin(3), 101),
        ("/long?go=1", LONG[0], 403),
        ("/pages?go=1", origin(1), 403),
    ],
)
def test_who_is_sent_on_to_another_location_has_to_pass_that_one_too(
    gate: ManyLocations, path: str, page: str, status: int
) -> None:
    with answer(gate.moving_port, path.partition("?")[0], page) as reply:
        assert reply.status == (403 if page == origin(2) else 101)
    with answer(gate.moving_port, path, page) as reply:
        assert reply.status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [("/deep/x?go=1", 101), ("/deep/er/DOOR", 400), ("/deep/DOOR?go=1", 400), ("/deep/door?go=1", 403)],
)
def test_a_path_that_a_request_is_sent_on_to_is_looked_at_anew(gate: ManyLocations, path: str, status: int) -> None:
    with answer(gate.moving_port, path, origin(1)) as reply:
        assert reply.status == status


def test_a_request_without_origin_that_is_sent_on_is_let_in_by_nobody(gate: ManyLocations) -> None:
    plain = Request(headers=())
    with answer(gate.moving_port, "/pages", None, plain) as reply:
        assert reply.status == 200
    with answer(gate.moving_port, "/pages?go=1", None, plain) as reply:
        assert reply.status == 426


def test_the_service_is_asked_for_the_path_that_the_upstream_gets(gate: ManyLocations, head_echo: HeadEcho) -> None:
    plain = Request(headers=())
    for path, wanted in (
        ("/above/x", "/above/x"),
        ("/above/%20x?a=%zz", "/above/%20x?a=%zz"),
        ("/below/x", "/below/x"),
        ("/above/x?go=1", "/below/x?go=1"),
        # nginx would encode it anew, and how is not known.
        ("/above/%20x?go=1", None),
        ("/above/%61", "/above/a"),
        ("/above/%61%20", None),
    ):
        before = head_echo.count
        head_echo.heads.clear()
        with answer(gate.moving_port, path, origin(1), plain) as reply:
            assert reply.status == (200 if wanted else 400), path
        if wanted:
            told = [re.findall(rb"^x-original-uri: (.*?)\r$", head, re.M | re.I) for head in head_echo.heads]
            asked = [head.split()[1] for head in head_echo.heads]
            assert told == [[wanted.encode()], []] and asked[-1] == wanted.encode(), (path, told, asked)
        else:
            assert head_echo.count == before


def kib_of_a_session(nginx: LocalNginx, target: load.Target) -> float:
    wait_for(nginx.workers)
    load.together(1, load.handshakes, target, count=50)
    workers = nginx.workers()
    before = usage.memory_kib(workers)
    with load.crowd(target) as grow:
        grow(SESSIONS)
        time.sleep(0.5)
        return (usage.memory_kib(workers) - before) / SESSIONS


def test_a_session_keeps_no_more_memory_with_a_thousand_locations_than_with_one(gate: ManyLocations) -> None:
    last, port = MANY - 1, free_port()
    assert last % 3 == 0

    def last_alone(path: str, text: str) -> str:
        """Without the other locations; a map that no location asks for costs nothing."""
        if path != SERVER:
            return "" if path.endswith("server_moving.conf") else text
        kept = (f"    location = /wss/{last} {{", "    location / {")
        return LOCATION.sub(lambda block: block[0] if block[0].startswith(kept) else "", text)

    def target(port: int) -> load.Target:
        return load.Target(port, tls=False, path=f"/wss/{last}", origin=origin(last), name="localhost")

    with gate.copy(last_alone, {gate.port: port}) as copy:
        assert (copy.etc / SERVER).read_text().count("    location ") == 2
        of_one = kib_of_a_session(copy, target(port))
    with gate.copy(lambda _path, text: text, {gate.port: port, gate.moving_port: free_port()}) as copy:
        of_many = kib_of_a_session(copy, target(port))
    # A worker that had not to get memory for its sessions would show nothing.
    assert of_one > 15
    assert of_many < of_one * MOST_MORE, (of_one, of_many)
