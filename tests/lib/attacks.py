# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tried on the gate and what has to come of it: on the wire, in the log and at the upstream.

CASES is data; `run` tries it on a site and tells what was seen; `complaints` compares the two. The gate is the one
of molecule/attacks/vars/gate.yml, in front of the listeners of upstream.py.

Standard library only: beside wire.py, it also runs inside a container (`python3 attacks.py JSON`, a Site).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import wire

HOST = "gate.example.com"
ORIGIN = "https://app.example.com"
TOKEN = "Attack-table_Token-0123456789"
OTHER_TOKEN = "Attack-table_Other-0123456789"
PASSING_TOKEN = "Attack-table_Comes-and-goes"
UNKNOWN_TOKEN = "Attack-table_Never-0123456789"
LONGEST_TOKEN = "L" * 128
USERNAME = "operator"
PASSWORD = "attack table: password"
SECRETS = (TOKEN, OTHER_TOKEN, PASSING_TOKEN, LONGEST_TOKEN, PASSWORD)
# What an upstream gets of the gate's own: every character that means something to nginx.
API_KEY = r'attack-table: $remote_addr ${host} "quoted"; {braces} \n # $'
GATE_PASSWORD = "Bearer attack-table-of-the-gate"
GATE_SECRETS = (API_KEY, GATE_PASSWORD)

# Files in the store that are no tokens, and one beside it that no worker can read.
TOO_SHORT = "s" * 15
TOO_LONG = "l" * 129
WITH_DOTS = "a.file.with.dots.in.it"
DIRECTORY = "directory-of-a-tokens-form"
KEY_BESIDE = "key.pem"

# Written once a request has ended; a loaded machine may take its time.
LOG_TIMEOUT = 5.0

GATE_HEADERS = (
    "Host",
    "Upgrade",
    "Connection",
    "X-Client-IP",
    "X-Real-IP",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Cookie",
    "Authorization",
)

LOG_KEYS = [
    "time", "client", "server", "location", "status", "reason", "duration", "bytes_from_client",
    "bytes_to_client", "upstream", "upstream_status", "connection", "kind", "method",
]  # fmt: skip

# Neither an open session nor one of these refusals is anybody's fault: error.log, filled with them, would be a weapon.
# nginx does write wrong passwords there, and upstreams that fail belong there.
QUIET_REASONS = (
    "",
    "protocol",
    "method",
    "upgrade",
    "connection",
    "draining",
    "hub_behind",
    "address",
    "path_spelling",
    "origin",
    "two_tokens",
    "limit",
    "token",
    "path",
)


@dataclass(frozen=True)
class Site:
    """Where the gate is, and where it and its upstream write."""

    port: int
    access_log: str
    error_log: str
    record: str
    token_store: str
    drain: str = "/etc/nginx/wssgate.drain"
    caught_up: str = "/etc/nginx/wssgate.caught-up"
    client: str = "127.0.0.1"

    @property
    def endpoint(self) -> wire.Endpoint:
        return wire.Endpoint(port=self.port, server_name=HOST)

    @property
    def authority(self) -> str:
        return HOST if self.port == 443 else f"{HOST}:{self.port}"

    @property
    def own_origin(self) -> str:
        return f"https://{self.authority}"


Build = Callable[[Site], "wire.Request | bytes"]


@dataclass(frozen=True)
class Case:
    """One request and what has to come of it.

    ``sent`` says what reaches the upstream where it is not what the gate always sets: header to values.
    ``held``: sessions that are open at that moment. ``tried``: the same request this many times, the last one counts.
    ``before`` changes the token store before the last one. ``chances``: it is sent so often, one right behind the
    other, until the answer has the status; the last one counts. A limit on attempts is reached that way on a slow
    machine, too.
    """

    name: str
    build: Build
    status: int
    reason: str = ""
    path: str = "/wss"
    reaches_upstream: bool = False
    answer: dict[str, str] = field(default_factory=dict)
    sent: dict[str, list[str]] = field(default_factory=dict)
    is_plain: bool = False
    # No handshake: what the upstream answers is the answer.
    is_request: bool = False
    # The upstream is to get the credentials.
    is_forwarded: bool = False
    is_echoed: bool = True
    is_quiet: bool = True
    held: int = 0
    tried: int = 1
    before: Callable[[Site], None] | None = None
    chances: int = 1


@dataclass
class Observation:
    """What was seen of a case. ``status`` 0: no HTTP answer."""

    name: str
    method: str = "GET"
    status: int = 0
    upgraded: bool = False
    echoed: bool = False
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    error: str = ""
    log_lines: list[dict[str, Any]] = field(default_factory=list)
    error_log: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)


# How the table is written


def _issue(site: Site) -> None:
    (Path(site.token_store) / PASSING_TOKEN).touch()


def _revoke_anew(site: Site) -> None:
    """Issued and revoked: nobody has asked with it in between."""
    _issue(site)
    _revoke(site)


def _revoke(site: Site) -> None:
    (Path(site.token_store) / PASSING_TOKEN).unlink()


def _drain(site: Site) -> None:
    Path(site.drain).touch()


def _undrain(site: Site) -> None:
    Path(site.drain).unlink()


def _fall_behind(site: Site) -> None:
    Path(site.caught_up).unlink()


def _catch_up(site: Site) -> None:
    Path(site.caught_up).touch()


def ask(site: Site, path: str = "/wss", token: str | None = TOKEN, origin: str | None = ORIGIN) -> wire.Request:
    """What an honest client of the site sends."""
    request = wire.Request(path, host=site.authority).origin(origin)
    return request if token is None else request.token(token)


def _refused(name: str, status: int, reason: str, build: Build, **more: Any) -> Case:
    return Case(name, build, status, reason, **more)


def _cookie(name: str, *cookies: str | bytes, path: str = "/wss") -> Case:
    """Cookie lines that are no token."""

    def build(site: Site) -> wire.Request:
        request = ask(site, path, token=None)
        for cookie in cookies:
            request = request.cookie(cookie)
        return request

    return Case(name, build, 403, "token", path)


def _origin(name: str, *origins: str, path: str = "/wss") -> Case:
    def build(site: Site) -> wire.Request:
        request = ask(site, path, origin=None)
        for origin in origins:
            request = request.adding("Origin", origin)
        return request

    return Case(name, build, 403, "origin", path)


# What the location of many pages lets in, and what is one letter, label or port away from it.
PAGES = (
    "https://a.pages.example.org",
    "https://a.b-2.c_3.pages.example.org",
    "https://A.Pages.Example.ORG",
    "https://a.pages.example.org:443",
    "http://a.lab.example.org:8080",
    "http://plain.example.org",
    "http://plain.example.org:80",
    "capacitor://localhost",
    f"https://{'a.' * 100}pages.example.org",
)
OTHER_PAGES = (
    "https://pages.example.org",
    "https://.pages.example.org",
    "https://a..pages.example.org",
    "https://a.pages.example.org.",
    "https://a.pages-example.org",
    "https://a.pages.example-org",
    "https://apages.example.org",
    "https://a.pages.example.org.evil.example",
    "https://a.pages.example.org:8443",
    "https://a.pages.example.org:80",
    "https://a.pages.example.org:4430",
    "https://a.pages.example.org:",
    "https://a.pages.example.org/",
    "https://evil.example/.pages.example.org",
    "https://evil.example#.pages.example.org",
    "https://evil.example?.pages.example.org",
    "https://evil.example:443.pages.example.org",
    "https://user@a.pages.example.org",
    "https://user:a@a.pages.example.org",
    "https://*.pages.example.org",
    "https://a%2epages.example.org",
    "https://evil.example, https://a.pages.example.org",
    "xhttps://a.pages.example.org",
    "http://a.pages.example.org",
    "http://a.lab.example.org",
    "http://a.lab.example.org:80",
    "http://a.lab.example.org:80800",
    "http://plain.example.org:443",
    "capacitor://localhost:80",
    "https://localhost",
    f"https://{'a' * 64}.pages.example.org",
    f"https://{'a.' * 3000}pages.example.org",
    f"https://{'a.' * 3000}example.org",
)


def _pages() -> Iterator[Case]:
    def short(origin: str) -> str:
        return origin if len(origin) < 90 else f"{origin[:20]}… ({len(origin)})"

    for origin in PAGES:
        yield _opened(
            f"of many pages, {short(origin)} is let in",
            lambda site, origin=origin: ask(site, "/pages", origin=origin),
            "/pages",
        )
    for origin in OTHER_PAGES:
        yield _origin(f"of many pages, {short(origin)} is none", origin, path="/pages")


def _upgrade(name: str, *values: str) -> Case:
    def build(site: Site) -> wire.Request:
        request = ask(site).without("Upgrade")
        for value in values:
            request = request.adding("Upgrade", value)
        return request

    return Case(name, build, 426, "upgrade", answer={"Upgrade": "websocket"})


def _connection(name: str, *values: str) -> Case:
    def build(site: Site) -> wire.Request:
        request = ask(site).without("Connection")
        for value in values:
            request = request.adding("Connection", value)
        return request

    return Case(name, build, 400, "connection")


def _path(name: str, target: str) -> Case:
    return Case(name, lambda site: ask(site, target), 404, "path", path="")


def _method(method: str) -> Case:
    # nginx itself answers TRACE, before it looks for a location.
    path = "" if method == "TRACE" else "/wss"
    return Case(
        f"{method} is refused", lambda site: ask(site).but(method=method), 405, "method", path, answer={"Allow": "GET"}
    )


def _opened(name: str, build: Build | None = None, path: str = "/wss", **more: Any) -> Case:
    return Case(name, build or (lambda site: ask(site, path)), 101, "", path, reaches_upstream=True, **more)


def _opened_by_cookie(name: str, *cookies: str, left: str = "", path: str = "/wss") -> Case:
    """Cookie lines with a token in them; ``left`` is what the upstream gets to see of them."""

    def build(site: Site) -> wire.Request:
        request = ask(site, path, token=None)
        for cookie in cookies:
            request = request.cookie(cookie)
        return request

    return _opened(name, build, path, sent={"Cookie": [left] if left else []})


def _traversals() -> Iterator[Case]:
    for target in (
        "../../../../etc/passwd",
        "../../../../../../../../etc/passwd",
        f"../{KEY_BESIDE}",
        "../../../../proc/self/status",
        "../../../../root/x",
        "/etc/passwd",
        f"./{TOKEN}",
        f"/{TOKEN}",
        f"//{TOKEN}",
        f"../tokens/{TOKEN}",
        f"{TOKEN}/",
        f"{TOKEN}/.",
        f"{DIRECTORY}/",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        f"%2e/{TOKEN}",
    ):
        # A name of its own for each, without the token's text in it.
        yield _cookie(f"the token is the path {target.replace(TOKEN, 'TOKEN')}", f"AUTH={target}")


# Below a folder: how the client writes it, and what the upstream gets. Nothing in these leads elsewhere.
SPELLINGS = {
    "/app/a%2fb": "/app/a/b",
    "/app/%61%20b": "/app/a%20b",
    "/app/a/..%2fb": "/app/b",
    "/app/a/%2e%2e/b": "/app/b",
    "/app/a//b/./c": "/app/a/b/c",
    "/app/room;v=1": "/app/room;v=1",
    "/app/room;v=../x;y/..": "/app/room;v=../",
    "/app/.hidden": "/app/.hidden",
    "/app/..room": "/app/..room",
    "/app/room..;v=1": "/app/room..;v=1",
    "/app/100%25": "/app/100%25",
    "/app/%c3%a9": "/app/%C3%A9",
    # One more time encoded, and no way out in it: a URL as the name of a room.
    "/app/https%253A%252F%252Froom.example%252Fx": "/app/https%253A%252F%252Froom.example%252Fx",
    "/app/?x=..;/": "/app/?x=..;/",
}

# Below a folder: what only some upstreams read as "..", ".", or "/", and others as a name.
AMBIGUITIES = (
    "/app/..;/x",
    "/app/..;v=1/x",
    "/app/a/..;/..;/x",
    "/app/.;/x",
    "/app/..;",
    "/app/%2e%2e;/x",
    "/app/%2e%2E%3b/x",
    "/app/..%3Bv/x",
    "/app/..%5Cx",
    "/app/..%5cx",
    "/app/..\\x",
    "/app/a\\b",
    "/app/%5c..%5c",
    "/app/%252e%252e/x",
    "/app/%252E%252E/x",
    "/app/.%252e%252fx",
    "/app/..%252fx",
    "/app/..%255cx",
    "/app/..%253b/x",
    "/app/%25252e%25252e%25252fx",
    "/app/a%252f..%252f..%252fx",
    "/app/a%252f..",
    "/app/..%3f/x",
    "/app/..%23/x",
    "/app/.../x",
    "/app/..%20/x",
    "/app/..%2520/x",
    "/app/.%09./x",
    "/app/.%0d%0a./x",
    "/app/%7f",
    "/app/%c0%ae%c0%ae/x",
    "/app/..%c0%afx",
    "/app/..%c1%9cx",
    "/app/%e0%80%ae%e0%80%ae/x",
    "/app/%f0%80%80%ae/x",
)


def _spellings() -> Iterator[Case]:
    for target, received in SPELLINGS.items():
        yield _opened(f"below a folder, {target} is open", lambda site, target=target: ask(site, target), received)
    for target in AMBIGUITIES:
        yield _refused(
            f"below a folder, {target} is refused",
            400,
            "path_spelling",
            lambda site, target=target: ask(site, target),
            path="/app/",
        )


# The deepest first.
FOLDERS = ("/shop/staff/", "/shop/", "/app/", "/page/")

# Below a folder in which other folders and paths ask for more: what they are read as by upstreams that have no case,
# take parameters out, take dots, blanks or slashes from an end, or decode twice. Each has a neighbour that says
# something else.
READINGS = (
    "/shop/Staff/x",
    "/shop/STAFF/",
    "/shop/staff;v=1/x",
    "/shop/staff;/x",
    "/shop/staff%3bv/x",
    "/shop/staff;",
    "/shop/;/staff/x",
    "/shop/;v=1/;/staff/x",
    "/shop/staff./x",
    "/shop/staff%20/x",
    "/shop/staff.%20;v=1/x",
    "/shop/%2573taff/x",
    "/shop/%252573taff/x",
    "/shop/staff%252fx",
    "/shop/staff%253bv=1/x",
    "/shop/staff%3fx",
    "/shop/staff;v=1%23/x",
    "/shop/%c1%b3taff/x",
    "/shop;/../shop/sTaff/x",
    "/shop/staff;/door",
    "/shop/Staff/Door",
)
STAFF_READINGS = (
    "/shop/staff/Door",
    "/shop/staff/door/",
    "/shop/staff/door;v=1",
    "/shop/staff/door;/",
    "/shop/staff/door/;v=1",
    "/shop/staff/door/%20",
    "/shop/staff/door%3fx/y",
    "/shop/staff/door.",
    "/shop/staff/door%20",
    "/shop/staff/;/door",
    "/shop/staff/%2564oor",
)
NEIGHBOURS = (
    "/shop/",
    "/shop/staffroom/x",
    "/shop/staff-2;v=1/x",
    "/shop/x/staff/y",
    "/shop/room;v=1/x",
    "/shop/room;staff",
    "/shop/a.staff/x",
)


def _readings() -> Iterator[Case]:
    for target in NEIGHBOURS:
        yield _opened(
            f"beside a stricter folder, {target} is open", lambda site, target=target: ask(site, target), target
        )
    for target in ("/shop/staff/x", "/shop/staff/x;v=1", "/shop/staff/doorbell", "/shop/staff/x/door"):
        yield _opened(
            f"in a stricter folder, {target} is open to a password and a token",
            lambda site, target=target: ask(site, target).basic(USERNAME, PASSWORD),
            target,
        )
        yield _refused(
            f"in a stricter folder, {target} is closed to a token alone",
            401,
            "basic_auth",
            lambda site, target=target: ask(site, target),
            path="/shop/staff/",
        )
    for folder, targets in (("/shop/", READINGS), ("/shop/staff/", STAFF_READINGS)):
        for target in targets:
            yield _refused(
                f"another way to say a stricter path, {target} is refused",
                400,
                "path_spelling",
                lambda site, target=target: ask(site, target).basic(USERNAME, PASSWORD),
                path=folder,
            )


# In Case.sent: the site's own, which has its port.
AUTHORITY = "AUTHORITY"
CONSTANTS = {"X-Api-Key": [API_KEY], "Authorization": [GATE_PASSWORD]}


# -- plain requests beside a WebSocket


def plain(
    site: Site, method: str = "GET", path: str = "/page/", token: str | None = TOKEN, origin: str | None = ORIGIN
) -> wire.Request:
    """What an honest client of the site sends to ask for no WebSocket."""
    asked = ask(site, path, token, origin).but(method=method)
    for name in ("Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"):
        asked = asked.without(name)
    return asked


def preflight(site: Site, path: str = "/page/", origin: str | None = ORIGIN) -> wire.Request:
    asked = plain(site, "OPTIONS", path, None, origin)
    return asked.adding("Access-Control-Request-Method", "PUT").adding("Access-Control-Request-Headers", "x-mine")


def _passed(name: str, build: Build, path: str = "/page/", **more: Any) -> Case:
    return Case(name, build, 200, "", path, reaches_upstream=True, is_request=True, is_echoed=False, **more)


CHANGES = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALL_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def _requests() -> Iterator[Case]:
    for method in ("GET", "HEAD", *CHANGES):
        yield _passed(f"a plain {method} from an allowed origin passes", lambda site, m=method: plain(site, m))
        yield _refused(
            f"a plain {method} from a foreign origin is refused",
            403,
            "origin",
            lambda site, m=method: plain(site, m, origin="https://evil.example").adding(
                "Sec-Fetch-Site", "same-origin"
            ),
            path="/page/",
        )
        yield _refused(
            f"a plain {method} without a token is refused", 403, "token",
            lambda site, m=method: plain(site, m, token=None), path="/page/",
        )  # fmt: skip
        yield _passed(
            f"a plain {method} without an origin passes where a missing one is allowed",
            lambda site, m=method: plain(site, m, "/page-native", origin=None),
            "/page-native",
        )
        yield _refused(
            f"a plain {method} is refused where no plain request is let through",
            *((426, "upgrade") if method == "GET" else (405, "method")),
            lambda site, m=method: plain(site, m, "/wss"),
            path="/wss",
        )
    for method in ("GET", "HEAD"):
        for site_of in (None, "cross-site", "same-site", "none"):
            yield _passed(
                f"a plain {method} without an origin passes, with Sec-Fetch-Site {site_of}",
                lambda site, m=method, s=site_of: _fetched(plain(site, m, origin=None), s),
            )
    for method in CHANGES:
        yield _passed(
            f"a plain {method} without an origin passes from this very site",
            lambda site, m=method: _fetched(plain(site, m, origin=None), "same-origin"),
        )
        for site_of in (None, "same-site", "cross-site", "none", "Same-Origin", "same-originx", "x/same-origin"):
            yield _refused(
                f"a plain {method} without an origin is refused, with Sec-Fetch-Site {site_of}", 403, "origin",
                lambda site, m=method, s=site_of: _fetched(plain(site, m, origin=None), s), path="/page/",
            )  # fmt: skip
    for value in ("h2c", "websocket, h2c", "TLS/1.0", "websockets"):
        yield _refused(
            f"Upgrade: {value} is refused where plain requests pass",
            426,
            "upgrade",
            lambda site, v=value: ask(site, "/page/").having("Upgrade", v),
            path="/page/",
            answer={"Upgrade": "websocket"},
        )
    for method in ("POST", "OPTIONS", "HEAD"):
        yield _refused(
            f"a handshake by {method} is refused where plain requests pass", 405, "method",
            lambda site, m=method: ask(site, "/page/").but(method=m), path="/page/", answer={"Allow": ALL_METHODS},
        )  # fmt: skip
    for method in ("PROPFIND", "MKCOL", "FOO"):
        yield _refused(
            f"a plain {method} is refused", 405, "method", lambda site, m=method: plain(site, m), path="/page/",
            answer={"Allow": ALL_METHODS},
        )  # fmt: skip
    yield _opened("a WebSocket opens where plain requests pass", path="/page/")
    yield _refused(
        "a handshake needs its origin there, too",
        403,
        "origin",
        lambda site: ask(site, "/page/", origin=None).adding("Sec-Fetch-Site", "same-origin"),
        path="/page/",
    )
    yield _refused("a handshake needs its Connection there, too", 400, "connection",
                   lambda site: ask(site, "/page/").without("Connection"), path="/page/")  # fmt: skip
    yield _refused("a plain request of HTTP/1.0 is refused", 400, "protocol",
                   lambda site: plain(site).but(version="HTTP/1.0"), path="/page/")  # fmt: skip
    yield _passed("an empty Upgrade asks for nothing", lambda site: plain(site).adding("Upgrade", ""))
    yield _passed("what a client says of its Connection stays with the gate",
                  lambda site: plain(site).adding("Connection", "Upgrade, X-Client-IP, keep-alive"))  # fmt: skip
    yield _refused("a path below a folder reads one way for plain requests, too", 400, "path_spelling",
                   lambda site: plain(site, path="/page/..;/x"), path="/page/")  # fmt: skip
    # Some methods alone.
    yield _passed("one method of several passes", lambda site: plain(site, "POST", "/negotiate"), "/negotiate")
    yield _passed("GET and HEAD pass where they are named", lambda site: plain(site, "HEAD", "/read"), "/read")
    yield _opened("a WebSocket opens where GET is not named", path="/negotiate")
    yield _refused("a plain GET is to ask for an Upgrade where it is not named", 426, "upgrade",
                   lambda site: plain(site, path="/negotiate"), path="/negotiate")  # fmt: skip
    yield _refused("h2c is refused where GET is not named", 426, "upgrade",
                   lambda site: ask(site, "/negotiate").having("Upgrade", "h2c"), path="/negotiate")  # fmt: skip
    yield _refused(
        "a method that is not named is refused",
        405,
        "method",
        lambda site: plain(site, "PUT", "/negotiate"),
        path="/negotiate",
        answer={"Allow": "GET, POST"},
    )
    yield _refused(
        "a preflight is refused where OPTIONS is not named",
        405,
        "method",
        lambda site: preflight(site, "/read"),
        path="/read",
        answer={"Allow": "GET, HEAD"},
    )
    # Preflights have no credentials.
    for path in ("/page/", "/page-native", "/page-either", "/page-both", "/page-open", "/any"):
        yield _passed(f"a preflight passes at {path}", lambda site, p=path: preflight(site, p), path)
        yield _refused(f"a preflight from a foreign origin is refused at {path}", 403, "origin",
                       lambda site, p=path: preflight(site, p, "https://evil.example"), path=path)  # fmt: skip
    yield _refused("a preflight without an origin is none", 403, "token",
                   lambda site: preflight(site, "/page-native", None), path="/page-native")  # fmt: skip
    for name, value in (
        ("Cookie", "theme=dark"),
        ("Cookie", "|"),
        ("Cookie", "AUTH=../../../../etc/passwd"),
        ("Authorization", "Bearer x"),
        ("Content-Length", "0"),
        ("Content-Type", "application/json"),
    ):  # fmt: skip
        yield _refused(f"a preflight with {name}: {value} needs a token", 403, "token",
                       lambda site, n=name, v=value: preflight(site).adding(n, v), path="/page/")  # fmt: skip
    yield _refused(
        "a preflight in chunks needs a token",
        403,
        "token",
        lambda site: preflight(site).adding("Transfer-Encoding", "chunked").but(body=b"0\r\n\r\n"),
        path="/page/",
    )
    yield _refused("what asks for no method is no preflight", 403, "token",
                   lambda site: preflight(site).having("Access-Control-Request-Method", ""), path="/page/")  # fmt: skip
    yield _refused("a preflight of another method is none", 403, "token",
                   lambda site: preflight(site).but(method="POST"), path="/page/")  # fmt: skip
    yield _refused(
        "a preflight of GET is none", 403, "token", lambda site: preflight(site).but(method="GET"), path="/page/"
    )
    # Other credentials and limits.
    yield _passed(
        "a password lets a plain request through",
        lambda site: plain(site, "POST", "/page-either", None).basic(USERNAME, PASSWORD),
        "/page-either",
    )
    yield _refused("a plain request without a password brings the challenge", 401, "basic_auth",
                   lambda site: plain(site, "POST", "/page-both"), path="/page-both",
                   answer={"WWW-Authenticate": 'Basic realm="Restricted"'})  # fmt: skip
    yield _passed("no credentials are needed where none are asked for",
                  lambda site: plain(site, "POST", "/page-open", None), "/page-open")  # fmt: skip
    yield _refused(
        "too many plain requests are refused",
        429,
        "limit",
        lambda site: plain(site, "POST", "/page-rate", None),
        path="/page-rate",
        answer={"Retry-After": "1"},
        chances=20,
    )
    for method in ("GET", "POST"):
        yield _refused(
            f"{method} is refused on a host that is being drained", 503, "draining",
            lambda site, m=method: plain(site, m), path="/page/", tried=2, before=_drain,
        )  # fmt: skip
    yield _passed("a plain request passes on a host that was drained", plain, tried=2, before=_undrain)


def _fetched(request: wire.Request, site_of: str | None) -> wire.Request:
    return request if site_of is None else request.adding("Sec-Fetch-Site", site_of)


# -- tokens in Authorization


def bearing(site: Site, path: str = "/bearer", token: str = TOKEN, scheme: str = "Bearer ") -> wire.Request:
    return ask(site, path, token=None).adding("Authorization", scheme + token)


CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def _bearers() -> Iterator[Case]:
    yield _opened("a token in Authorization opens", bearing, "/bearer")
    yield _opened("the scheme has no case", lambda site: bearing(site, scheme="bEARER "), "/bearer")
    yield _opened(
        "blanks may part the scheme from the token", lambda site: bearing(site, scheme="Bearer   "), "/bearer"
    )
    yield _opened(
        "the longest token opens in Authorization", lambda site: bearing(site, token=LONGEST_TOKEN), "/bearer"
    )
    yield _opened("of two sources, Authorization is enough", lambda site: bearing(site, "/any"), "/any")
    yield _opened("of two sources, the cookie is enough", path="/any")
    yield _opened(
        "a password beside the token's cookie is no second token",
        lambda site: ask(site, "/any").basic(USERNAME, PASSWORD),
        "/any",
    )
    yield _passed(
        "a plain request may have its token in Authorization",
        lambda site: plain(site, "POST", "/any", None).adding("Authorization", f"Bearer {TOKEN}"),
        "/any",
    )
    yield _opened(
        "the cookie of a token does not reach an upstream that is for tokens in Authorization",
        lambda site: bearing(site).cookie(f"a=1; AUTH={OTHER_TOKEN}"), "/bearer", sent={"Cookie": ["a=1"]},
    )  # fmt: skip
    yield _opened(
        "a token in Authorization reaches an upstream that is to get it",
        lambda site: bearing(site, "/any-kept"),
        "/any-kept",
        sent={"Authorization": [f"Bearer {TOKEN}"], "Cookie": []},
        is_forwarded=True,
    )
    yield _opened(
        "of password and token, a token in Authorization is enough",
        lambda site: bearing(site, "/any-either"),
        "/any-either",
    )
    yield _opened("a password opens where Authorization may hold a token",
                  lambda site: ask(site, "/any-either", None).basic(USERNAME, PASSWORD), "/any-either")  # fmt: skip
    yield _refused(
        "neither is 401 there, for the password",
        401,
        "basic_auth",
        lambda site: ask(site, "/any-either", None),
        path="/any-either",
        answer={"WWW-Authenticate": 'Basic realm="Restricted"'},
    )
    yield _refused("no token is 403 where it would stand in Authorization", 403, "token",
                   lambda site: ask(site, "/bearer", token=None), path="/bearer")  # fmt: skip
    yield _refused("a cookie is no token where Authorization alone counts", 403, "token",
                   lambda site: ask(site, "/bearer"), path="/bearer")  # fmt: skip
    yield _refused("Authorization is no token where the cookie alone counts", 403, "token",
                   lambda site: bearing(site, "/wss"))  # fmt: skip
    yield _refused(
        "a token in the query is none",
        403,
        "token",
        lambda site: ask(site, f"/bearer?access_token={UNKNOWN_TOKEN}", token=None),
        path="/bearer",
    )
    for what, header in (
        ("that is unknown", f"Bearer {UNKNOWN_TOKEN}"), ("that is a path", "Bearer ../../../../etc/passwd"),
        ("that is the store", "Bearer"), ("that is empty", "Bearer  "), ("in quotes", f'Bearer "{TOKEN}"'),
        ("that is too short", f"Bearer {TOO_SHORT}"), ("that is too long", f"Bearer {TOO_LONG}"),
        ("with dots", f"Bearer {WITH_DOTS}"), ("with a parameter", f"Bearer {TOKEN}, realm=x"),
        ("twice", f"Bearer {TOKEN} {TOKEN}"),
        ("behind a tab", f"Bearer\t{TOKEN}"),
        ("that goes on", f"Bearer {TOKEN};"),
        ("that is no file", f"Bearer {DIRECTORY}"), ("behind another scheme", f"Basic x, Bearer {TOKEN}"),
    ):  # fmt: skip
        yield _refused(f"a token in Authorization {what} is refused with a challenge", 401, "token",
                       lambda site, h=header: ask(site, "/bearer", None).adding("Authorization", h), path="/bearer",
                       answer=CHALLENGE)  # fmt: skip
    for what, header in (
        ("no blank", f"Bearer{TOKEN}"), ("another scheme", f"Token {TOKEN}"), ("no scheme", TOKEN),
        ("a longer scheme", f"XBearer {TOKEN}"),
    ):  # fmt: skip
        yield _refused(
            f"with {what} it is no token",
            403,
            "token",
            lambda site, h=header: ask(site, "/bearer", None).adding("Authorization", h),
            path="/bearer",
        )
    yield _refused("a token in Authorization is revoked a moment ago", 401, "token",
                   lambda site: bearing(site, token=PASSING_TOKEN), path="/bearer", tried=2, before=_revoke_anew,
                   answer=CHALLENGE)  # fmt: skip
    for what, cookie, header in (
        ("the same", f"AUTH={TOKEN}", f"Bearer {TOKEN}"), ("two", f"AUTH={OTHER_TOKEN}", f"Bearer {TOKEN}"),
        ("a bad cookie and a token", "AUTH=x", f"Bearer {TOKEN}"),
        ("a spaced cookie and a token", "a=1;  AUTH =x", f"Bearer {TOKEN}"),
        ("a cookie and nothing behind Bearer", f"AUTH={TOKEN}", "Bearer"),
        ("a cookie and a bad token", f"AUTH={TOKEN}", "bearer x"),
    ):  # fmt: skip
        yield _refused(
            f"of two sources, both are refused: {what}",
            400,
            "two_tokens",
            lambda site, c=cookie, h=header: ask(site, "/any", None).cookie(c).adding("Authorization", h),
            path="/any",
        )
    yield _opened(
        "a cookie of a similar name is no second token",
        lambda site: bearing(site, "/any").cookie("XAUTH=1; auth=2"),
        "/any",
        sent={"Cookie": ["XAUTH=1; auth=2"]},
    )
    yield _refused("two tokens are told before a limit", 400, "two_tokens",
                   lambda site: bearing(site, "/any-rate").token(TOKEN), path="/any-rate", tried=20)  # fmt: skip
    yield _refused(
        "a foreign origin is told before two tokens",
        403,
        "origin",
        lambda site: bearing(site, "/any").token(TOKEN).origin("https://evil.example"),
        path="/any",
    )
    yield _refused("too many sessions of a token in Authorization are refused", 429, "limit",
                   lambda site: bearing(site, "/any-once"), path="/any-once", held=1)  # fmt: skip


CASES: tuple[Case, ...] = (
    # Honest clients. If these fail, the refusals below prove nothing.
    _opened("a live token from an allowed origin opens the gate"),
    _opened("a query reaches the upstream", lambda site: ask(site, "/wss?room=1")),
    _opened(
        "the server's own origin is allowed where none is named",
        lambda site: ask(site, "/own", origin=site.own_origin), "/own",
    ),
    _opened(
        "no origin is needed where a missing one is allowed", lambda site: ask(site, "/native", origin=None), "/native",
    ),
    _opened("an allowed origin is still allowed there", path="/native"),
    _opened("an origin may name the port that it has anyway", lambda site: ask(site, origin=f"{ORIGIN}:443")),
    _opened(
        "Firefox's Connection list is understood", lambda site: ask(site).having("Connection", "keep-alive, Upgrade"),
    ),
    _opened(
        "the list may have blanks and any case", lambda site: ask(site).having("Connection", "keep-alive ,\tUPGRADE"),
    ),
    _opened("the name of the protocol has no case", lambda site: ask(site).having("Upgrade", "WebSocket")),
    _opened("the upstream is reached over TLS", path="/tls"),
    _opened("the upstream is reached through a unix socket", path="/unix"),
    _opened("the upstream shows the certificate that is asked for", path="/verified"),
    _opened("everything below a folder is open", path="/app/a/room"),
    _opened("a path is normalized before it is looked up", lambda site: ask(site, "/app/../wss")),
    _opened("no token is needed where none is asked for", lambda site: ask(site, "/open", token=None), "/open"),
    _opened("a password opens", lambda site: ask(site, "/basic", token=None).basic(USERNAME, PASSWORD), "/basic"),
    _opened(
        "of password or token, the password is enough",
        lambda site: ask(site, "/either", token=None).basic(USERNAME, PASSWORD), "/either",
    ),
    _opened("of password or token, the token is enough", path="/either"),
    _opened(
        "a wrong password does not spoil a token that is enough",
        lambda site: ask(site, "/either").basic(USERNAME, "wrong"), "/either", is_quiet=False,
    ),
    _opened("password and token together open", lambda site: ask(site, "/both").basic(USERNAME, PASSWORD), "/both"),
    _opened("the longest token opens", lambda site: ask(site, token=LONGEST_TOKEN)),
    # The gate looks at the store each time, though gate.yml has nginx remember the files it has seen.
    _opened(
        "a token opens that was issued a moment ago", lambda site: ask(site, token=PASSING_TOKEN), tried=2,
        before=_issue,
    ),
    _refused(
        "a token is revoked a moment ago", 403, "token", lambda site: ask(site, token=PASSING_TOKEN), tried=2,
        before=_revoke,
    ),
    _opened(
        "a subprotocol is negotiated",
        lambda site: ask(site).adding("Sec-WebSocket-Protocol", "unknown, chat.wssgate"),
        answer={"Sec-WebSocket-Protocol": "chat.wssgate"},
    ),
    _opened(
        "compression is negotiated",
        lambda site: ask(site).adding("Sec-WebSocket-Extensions", "permessage-deflate"),
        answer={"Sec-WebSocket-Extensions": "permessage-deflate"},
        is_echoed=False,
    ),
    # The token's cookie among others: the others reach the upstream, the token does not.
    _opened_by_cookie("the token comes before another cookie", f"AUTH={TOKEN}; theme=dark", left="theme=dark"),
    _opened_by_cookie("the token comes behind another cookie", f"theme=dark; AUTH={TOKEN}", left="theme=dark"),
    _opened_by_cookie("the token comes between others", f"a=1; AUTH={TOKEN}; b=2; c=3", left="a=1; b=2; c=3"),
    _opened_by_cookie("the token has a Cookie line of its own", "a=1", f"AUTH={TOKEN}", left="a=1"),
    _opened_by_cookie(
        "cookies of similar names are others", f"XAUTH=1; AUTH={TOKEN}; AUTHX=2; auth=3",
        left="XAUTH=1; AUTHX=2; auth=3",
    ),
    _opened_by_cookie("a cookie may have the prefix __Host-", f"__Host-AUTH={TOKEN}", path="/host"),
    # Only there, and only that one.
    _cookie("the cookie of another location is no token", f"AUTH={TOKEN}", path="/host"),
    _cookie("the cookie with a prefix is no token elsewhere", f"__Host-AUTH={TOKEN}"),
    # What the client says of itself.
    _opened(
        "what a client says of its address does not reach the upstream",
        lambda site: ask(site)
        .adding("X-Client-IP", "192.0.2.1")
        .adding("x-client-ip", "192.0.2.2")
        .adding("X-Real-IP", "192.0.2.3")
        .adding("X-Forwarded-For", "192.0.2.4, 192.0.2.5")
        .adding("X-Forwarded-Proto", "http")
        .adding("Forwarded", "for=192.0.2.6;proto=http"),
        sent={"Forwarded": []},
    ),
    _opened(
        "a header with underscores does not stand in for it",
        lambda site: ask(site).adding("X_Client_IP", "192.0.2.1").adding("X_Forwarded_For", "192.0.2.4"),
        sent={"X_Client_IP": [], "X_Forwarded_For": []},
    ),
    *(
        _opened(
            f"no other path or method reaches the upstream by {name}",
            lambda site, name=name: ask(site).adding(name, "/open").adding(name.lower(), "POST"),
            sent={name: []},
        )
        for name in (
            "X-Original-URI", "X-Original-URL", "X-Original-Method", "X-Rewrite-URL", "X-Forwarded-Uri",
            "X-Forwarded-Method", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override",
        )
    ),
    _opened(
        "what other locations tell their upstreams of a client does not reach this one from a client",
        lambda site: ask(site).adding("X-Caller", "192.0.2.1").adding("x-caller", "192.0.2.2")
        .adding("X-Client-Subject", "CN=root"),
        sent={"X-Caller": [], "X-Client-Subject": []},
    ),
    _opened(
        "where the header of the address has another name, the usual one is nobody's",
        lambda site: ask(site, "/renamed").adding("X-Caller", "192.0.2.1").adding("X-Client-IP", "192.0.2.1"),
        "/renamed",
        sent={"X-Caller": ["127.0.0.1"], "X-Client-IP": []},
    ),
    # What the gate says of its own.
    _opened(
        "an upstream is asked for the host that it serves", path="/virtual",
        sent={"Host": ["app.internal:8081"], "X-Forwarded-Host": [AUTHORITY]},
    ),
    _opened(
        "the host that a client asked for is told by the gate alone",
        lambda site: ask(site, "/virtual")
        .adding("X-Forwarded-Host", "evil.example").adding("x-forwarded-host", "evil.example"),
        "/virtual", sent={"Host": ["app.internal:8081"], "X-Forwarded-Host": [AUTHORITY]},
    ),
    _opened("an upstream gets the headers that the gate has for it", path="/constant", sent=CONSTANTS),
    _opened(
        "a client's own headers of these names are dropped",
        lambda site: ask(site, "/constant")
        .adding("X-Api-Key", "mine").adding("x-api-key", "mine, too")
        .adding("X_Api_Key", "mine").adding("X-Api_Key", "mine")
        .basic(USERNAME, PASSWORD),
        "/constant", sent={**CONSTANTS, "X_Api_Key": [], "X-Api_Key": []},
    ),
    _opened(
        "a header that one upstream gets of the gate's no other one gets of a client's",
        lambda site: ask(site).adding("X-Api-Key", "mine").adding("x-api-key", "mine, too"),
        sent={"X-Api-Key": []},
    ),
    _opened(
        "not even where it gets a client's credentials",
        lambda site: ask(site, "/credentials").adding("X-Api-Key", "mine").adding("Authorization", "Bearer mine"),
        "/credentials", sent={"Cookie": [f"AUTH={TOKEN}"], "Authorization": ["Bearer mine"], "X-Api-Key": []},
    ),
    # What the upstream says to nginx.
    _opened("an upstream does not tell nginx where to look", path="/accel"),
    _opened(
        "the password does not reach the upstream where a token is asked for",
        lambda site: ask(site).basic(USERNAME, PASSWORD),
    ),
    _opened(
        "credentials reach an upstream that is to get them",
        lambda site: ask(site, "/credentials").adding("Authorization", "Bearer of-the-upstream"),
        "/credentials",
        sent={"Cookie": [f"AUTH={TOKEN}"], "Authorization": ["Bearer of-the-upstream"]},
    ),
    # The published recipe's holes: a stat() of anything opens it.
    *_traversals(),
    _cookie("there is no cookie"),
    _cookie("the cookie is empty", "AUTH="),
    _cookie("the cookie has no value", "AUTH"),
    _cookie("the token is .", "AUTH=."),
    _cookie("the token is ..", "AUTH=.."),
    _cookie("the token was never issued", f"AUTH={UNKNOWN_TOKEN}"),
    _cookie("the token is a folder in the store", f"AUTH={DIRECTORY}"),
    _cookie("the token is a file of the store with a shorter name than any token", f"AUTH={TOO_SHORT}"),
    _cookie("the token is a file of the store with a longer name than any token", f"AUTH={TOO_LONG}"),
    _cookie("the token is a file of the store with dots in its name", f"AUTH={WITH_DOTS}"),
    _cookie("the token is longer than any file name", "AUTH=" + "t" * 300),
    _cookie("the token's case differs", f"AUTH={TOKEN.swapcase()}"),
    _cookie("the token goes on", f"AUTH={TOKEN}x"),
    _cookie("the token is cut short", f"AUTH={TOKEN[:-1]}"),
    _cookie("the cookie's name is in lower case", f"auth={TOKEN}"),
    _cookie("the cookie's name is in mixed case", f"AuTh={TOKEN}"),
    _cookie("a blank follows the cookie's name", f"AUTH ={TOKEN}"),
    _cookie("a blank comes before the token", f"AUTH= {TOKEN}"),
    _cookie("a blank follows the token", f"AUTH={TOKEN} ; a=1"),
    _cookie("a tab follows the token", f"AUTH={TOKEN}\t; a=1"),
    _cookie("a comma parts the cookies", f"x=1,AUTH={TOKEN}"),
    _cookie("a comma follows the token", f"AUTH={TOKEN},x=1"),
    _cookie("the token is quoted", f'AUTH="{TOKEN}"'),
    _cookie("the token's last letter is percent-encoded", f"AUTH={TOKEN[:-1]}%{ord(TOKEN[-1]):02x}"),
    _cookie("the cookie's name goes on in front", f"XAUTH={TOKEN}"),
    _cookie("the cookie's name goes on behind", f"AUTHX={TOKEN}"),
    _cookie("the cookie is the value of another", f"x=AUTH={TOKEN}"),
    _cookie("the cookie is an attribute of old", f"$AUTH={TOKEN}"),
    _cookie("the token is in another script's digits", f"AUTH={TOKEN[:-1]}٩".encode()),
    _cookie("a good token is followed by a bad one", f"AUTH={TOKEN}; AUTH={UNKNOWN_TOKEN}"),
    _cookie("a bad token is followed by a good one", f"AUTH={UNKNOWN_TOKEN}; AUTH={TOKEN}"),
    _cookie("a good token comes twice", f"AUTH={TOKEN}; AUTH={TOKEN}"),
    _cookie("two good tokens come", f"AUTH={TOKEN}; AUTH={OTHER_TOKEN}"),
    _cookie("a good token is followed by an empty one", f"AUTH={TOKEN}; AUTH="),
    _cookie("a good token is followed by a spaced one", f"AUTH={TOKEN}; AUTH =x"),
    _cookie("good and bad come in two Cookie lines", f"AUTH={TOKEN}", f"AUTH={UNKNOWN_TOKEN}"),
    _cookie("bad and good come in two Cookie lines", f"AUTH={UNKNOWN_TOKEN}", f"AUTH={TOKEN}"),
    _refused("the token is in the query", 403, "token", lambda site: ask(site, f"/wss?AUTH={TOKEN}", token=None)),
    _refused(
        "the token is in an Authorization header", 403, "token",
        lambda site: ask(site, token=None).adding("Authorization", f"Bearer {TOKEN}"),
    ),
    _refused(
        "the token is in a header of the cookie's name", 403, "token",
        lambda site: ask(site, token=None).adding("AUTH", TOKEN).adding("Cookie2", f"AUTH={TOKEN}"),
    ),
    _refused(
        "the token is in the subprotocol", 403, "token",
        lambda site: ask(site, token=None).adding("Sec-WebSocket-Protocol", f"AUTH={TOKEN}, {TOKEN}"),
    ),
    _refused(
        "a NUL follows the token", 400, "protocol", lambda site: ask(site, token=None).cookie(f"AUTH={TOKEN}\0x"),
        path="",
    ),
    _refused(
        "a NUL comes in the place of the token", 400, "protocol", lambda site: ask(site, token=None).cookie("AUTH=\0"),
        path="",
    ),
    _refused(
        "the Cookie line is over 8 KiB", 400, "protocol",
        lambda site: ask(site, token=None).cookie(f"x={'x' * 9000}; AUTH={TOKEN}"), path="",
    ),
    # Cross-site WebSocket hijacking.
    _origin("the origin is foreign", "https://evil.example"),
    _origin("the origin is null", "null"),
    _origin("the origin is missing"),
    _origin("the origin is empty", ""),
    _origin("the origin is that of plain http", "http://app.example.com"),
    _origin("the origin has another port", f"{ORIGIN}:8443"),
    _origin("the origin has the port of another scheme", f"{ORIGIN}:80"),
    _origin("the origin has a path", f"{ORIGIN}/"),
    _origin("the origin goes on", f"{ORIGIN}.evil.example"),
    _origin("the origin goes on in front", f"https://evil.example/{ORIGIN}"),
    _origin("the origin is a user name", f"{ORIGIN}@evil.example"),
    _origin("the origin is a domain below", "https://sub.app.example.com"),
    _origin("the origin is the domain above", "https://example.com"),
    _origin("a dot of the origin is another letter", "https://app-example.com"),
    _origin("the origin is the gate's own where another is named", f"https://{HOST}"),
    _origin("the origin is a list", f"{ORIGIN}, https://evil.example"),
    _origin("a foreign origin comes before an allowed one", "https://evil.example", ORIGIN),
    _origin("the origin is foreign where a missing one is allowed", "https://evil.example", path="/native"),
    _origin("the origin is null where a missing one is allowed", "null", path="/native"),
    _origin("the origin is another's where none is named", ORIGIN, path="/own"),
    _origin("the origin is foreign where no token is asked for", "https://evil.example", path="/open"),
    _refused(
        "the origin follows the Host header, as after DNS rebinding", 403, "origin",
        lambda site: ask(site, "/own", origin="https://evil.example").but(host="evil.example"), path="/own",
    ),
    _refused(
        "the origin is foreign and the password right", 403, "origin",
        lambda site: ask(site, "/basic", token=None, origin="https://evil.example").basic(USERNAME, PASSWORD),
        path="/basic",
    ),
    *_pages(),
    # Addresses.
    _opened("an address that is allowed may connect", path="/near"),
    _refused(
        "an address that is allowed is no credential", 401, "basic_auth",
        lambda site: ask(site, "/near", token=None), path="/near",
    ),
    _refused("an address that is not allowed is refused", 403, "address", lambda site: ask(site, "/far"), path="/far"),
    _refused(
        "a password does not make up for an address", 403, "address",
        lambda site: ask(site, "/far").basic(USERNAME, PASSWORD), path="/far",
    ),
    _refused(
        "an address that is denied is refused, though it is allowed", 403, "address",
        lambda site: ask(site, "/denied"), path="/denied",
    ),
    _refused(
        "an address that a client makes up counts for nothing", 403, "address",
        lambda site: ask(site, "/far").adding("X-Forwarded-For", "192.0.2.1").adding("X-Real-IP", "192.0.2.1")
        .adding("X-Client-IP", "192.0.2.1").adding("Forwarded", "for=192.0.2.1"),
        path="/far",
    ),
    # Nothing but a WebSocket passes.
    _upgrade("there is no Upgrade"),
    _upgrade("the Upgrade is empty", ""),
    _upgrade("the Upgrade is h2c", "h2c"),
    _upgrade("the Upgrade is a list with h2c behind", "websocket, h2c"),
    _upgrade("the Upgrade is a list with h2c in front", "h2c, websocket"),
    _upgrade("two Upgrade lines begin with h2c", "h2c", "websocket"),
    _upgrade("the Upgrade goes on", "websockets"),
    _upgrade("the Upgrade is TLS", "TLS/1.2"),
    _refused(
        "h2c is smuggled with its settings", 426, "upgrade",
        lambda site: ask(site).having("Upgrade", "h2c").having("Connection", "Upgrade, HTTP2-Settings")
        .adding("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        answer={"Upgrade": "websocket"},
    ),
    _connection("there is no Connection"),
    _connection("the Connection is close", "close"),
    _connection("the Connection is keep-alive", "keep-alive"),
    _connection("a word of the Connection begins with upgrade", "upgraded"),
    _connection("a word of the Connection ends with upgrade", "no-upgrade"),
    _connection("a word of the Connection has upgrade in it", "keep-alive, upgrade-insecure-requests"),
    _connection("the Connection's words are parted by blanks", "keep-alive upgrade"),
    *(_method(method) for method in ("POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE")),
    _refused(
        "a POST with a body is refused", 405, "method",
        lambda site: ask(site).but(method="POST", body=b"hello").adding("Content-Length", "5"), answer={"Allow": "GET"},
    ),
    _refused("HTTP/1.0 is refused", 400, "protocol", lambda site: ask(site).but(version="HTTP/1.0")),
    _refused(
        "HTTP/1.0 without a Host is refused", 400, "protocol",
        lambda site: ask(site).but(version="HTTP/1.0", host=None),
    ),
    _refused("HTTP/1.2 is refused", 400, "protocol", lambda site: ask(site).but(version="HTTP/1.2")),
    _refused("a request without a Host is refused", 400, "protocol", lambda site: ask(site).but(host=None), path=""),
    _refused(
        "two Host lines are refused", 400, "protocol", lambda site: ask(site).adding("Host", "evil.example"), path="",
    ),
    _refused("plain HTTP on the port of TLS is refused", 400, "protocol", ask, path="", is_plain=True),
    # No upstream saw these, and whoever sends them is not to look like a broken one.
    _refused("the request line is endless", 414, "protocol", lambda site: ask(site, f"/wss?{'x' * 9000}"), path=""),
    _refused(
        "a way of sending that there is none of", 501, "protocol",
        lambda site: ask(site).adding("Transfer-Encoding", "none-such"), path="",
    ),
    # One path is one path.
    _path("the path goes on", "/wssfoo"),
    _path("the path has a slash behind", "/wss/"),
    _path("the path goes on below", "/wss/room"),
    _path("the path is in upper case", "/WSS"),
    _path("the path has a parameter", "/wss;v=1"),
    _path("the path is the root", "/"),
    _path("the path leads out of a folder", "/app/../api"),
    # What a scraper reads is on a port of its own (tests/functional/test_metrics.py).
    _path("the metrics are not here", "/metrics/log"),
    _path("the metrics are not below a folder", "/app/../metrics/agent"),
    _path("the path leads out of a folder, percent-encoded", "/app/%2e%2e/api"),
    _path("the folder is named without its slash", "/app"),
    _path("the path begins like the folder", "/appfoo"),
    _path("the path is that of the token check", "/.wssgate/token/AUTH"),
    _path("the path is that where sessions are noted", "/.wssgate/session"),
    _refused("the path leads out of the root", 400, "protocol", lambda site: ask(site, "/../wss"), path=""),
    *_spellings(),
    *_readings(),
    *_requests(),
    *_bearers(),
    # The first check that fails answers.
    _refused(
        "HTTP/1.0 is told before POST", 400, "protocol", lambda site: ask(site).but(version="HTTP/1.0", method="POST"),
    ),
    _refused(
        "POST is told before a missing Upgrade", 405, "method",
        lambda site: ask(site).but(method="POST").without("Upgrade"),
    ),
    _refused(
        "a missing Upgrade is told before the Connection", 426, "upgrade",
        lambda site: ask(site).without("Upgrade").without("Connection"),
    ),
    _refused(
        "the Connection is told before a foreign origin", 400, "connection",
        lambda site: ask(site, origin="https://evil.example").without("Connection"),
    ),
    _refused(
        "a missing Upgrade is told before an address", 426, "upgrade",
        lambda site: ask(site, "/far").without("Upgrade"), path="/far",
    ),
    _refused(
        "an address is told before a foreign origin", 403, "address",
        lambda site: ask(site, "/far", token=None, origin="https://evil.example"), path="/far",
    ),
    _refused(
        "a foreign origin is told before a missing token", 403, "origin",
        lambda site: ask(site, token=None, origin="https://evil.example"),
    ),
    _refused(
        "a foreign origin is told before a missing password", 403, "origin",
        lambda site: ask(site, "/both", token=None, origin="https://evil.example"), path="/both",
    ),
    # Passwords.
    _refused(
        "no password brings the challenge", 401, "basic_auth", lambda site: ask(site, "/basic"), path="/basic",
        answer={"WWW-Authenticate": 'Basic realm="Restricted"'},
    ),
    _refused(
        "a wrong password is refused", 401, "basic_auth", lambda site: ask(site, "/basic").basic(USERNAME, "wrong"),
        path="/basic",
    ),
    _refused(
        "an empty password is refused", 401, "basic_auth", lambda site: ask(site, "/basic").basic(USERNAME, ""),
        path="/basic",
    ),
    _refused(
        "an unknown user is refused", 401, "basic_auth", lambda site: ask(site, "/basic").basic("nobody", PASSWORD),
        path="/basic",
    ),
    _refused(
        "credentials that are no base64 are refused", 401, "basic_auth",
        lambda site: ask(site, "/basic").adding("Authorization", "Basic !!!"), path="/basic",
    ),
    _refused(
        "neither password nor token brings the challenge", 401, "basic_auth",
        lambda site: ask(site, "/either", token=None), path="/either",
        answer={"WWW-Authenticate": 'Basic realm="Restricted"'},
    ),
    _refused(
        "a path for a token and no password is refused", 401, "basic_auth",
        lambda site: ask(site, "/either", token=None).cookie("AUTH=../../../../etc/passwd"), path="/either",
    ),
    _refused("of password and token, the password alone is refused", 403, "token",
             lambda site: ask(site, "/both", token=None).basic(USERNAME, PASSWORD), path="/both"),
    _refused(
        "of password and token, the token alone is refused", 401, "basic_auth", lambda site: ask(site, "/both"),
        path="/both",
    ),
    # Limits come before passwords and tokens are looked at.
    _refused(
        "too many attempts are refused", 429, "limit", lambda site: ask(site, "/rate", token=None), path="/rate",
        answer={"Retry-After": "1"}, chances=20,
    ),
    _refused(
        "too many sessions of an address are refused", 429, "limit", lambda site: ask(site, "/few"), path="/few",
        held=1,
    ),
    _refused(
        "too many sessions of a token are refused", 429, "limit", lambda site: ask(site, "/once"), path="/once", held=1,
    ),
    # Draining comes before everything that a client could know or not. nginx may remember that the file is, or is not,
    # there.
    _refused(
        "a host that is being drained lets nobody in", 503, "draining", ask, tried=2, before=_drain,
        answer={"Retry-After": "10"},
    ),
    _refused(
        "a host that is being drained asks for a handshake first", 426, "upgrade",
        lambda site: ask(site).without("Upgrade"),
    ),
    _refused(
        "a host that is being drained tells that to any address", 503, "draining",
        lambda site: ask(site, "/far"), path="/far", answer={"Retry-After": "10"},
    ),
    _opened("a host that was drained lets in again", tried=2, before=_undrain),
    # A gate that has yet to learn what was revoked takes nobody's word by a token, and anything else as ever.
    _refused(
        "a gate that has not caught up with its hub lets nobody in by a token", 503, "hub_behind", ask, tried=2,
        before=_fall_behind, answer={"Retry-After": "5"},
    ),
    _refused(
        "a gate that has not caught up takes no token beside a password", 503, "hub_behind",
        lambda site: ask(site, "/either").basic(USERNAME, PASSWORD), path="/either", answer={"Retry-After": "5"},
    ),
    _refused(
        "a gate that has not caught up takes no token for a plain request", 503, "hub_behind",
        lambda site: plain(site, "GET"), path="/page/", answer={"Retry-After": "5"},
    ),
    _opened(
        "a gate that has not caught up lets in whoever needs no token",
        lambda site: ask(site, "/basic", token=None).basic(USERNAME, PASSWORD), path="/basic",
    ),
    _opened("a gate that has caught up lets in again", tried=2, before=_catch_up),
    # The upstream is the trouble.
    _refused(
        "an upstream that is not there is told", 502, "upstream_unreachable", lambda site: ask(site, "/gone"),
        path="/gone",
    ),
    _refused(
        "an upstream with a certificate of another name is told", 502, "upstream_unreachable",
        lambda site: ask(site, "/impostor"),
        path="/impostor",
    ),
    _refused(
        "an upstream with a certificate of nobody trusted is told", 502, "upstream_unreachable",
        lambda site: ask(site, "/unknown"),
        path="/unknown",
    ),
    _refused(
        "an upstream that is silent is told", 504, "upstream_silent", lambda site: ask(site, "/silent"), path="/silent",
        reaches_upstream=True,
    ),
    _refused(
        "an upstream that refuses is told", 503, "upstream", lambda site: ask(site, "/refuse"), path="/refuse",
        reaches_upstream=True,
    ),
    _refused(
        "a handshake without a key is the upstream's to refuse", 400, "upstream",
        lambda site: ask(site).without("Sec-WebSocket-Key"), reaches_upstream=True,
    ),
)  # fmt: skip


# Trying it


def prepare(site: Site) -> None:
    """Tokens, and what must not be taken for one."""
    store = Path(site.token_store)
    for name in (TOKEN, OTHER_TOKEN, LONGEST_TOKEN, TOO_SHORT, TOO_LONG, WITH_DOTS):
        (store / name).touch()
    (store / DIRECTORY).mkdir(exist_ok=True)
    beside = store.parent / KEY_BESIDE
    beside.touch()
    beside.chmod(0o600)


class _Growth:
    """What a file gets from now on."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._start = self._size()

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def text(self) -> str:
        if not self._path.exists():
            return ""
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode("utf-8", "replace")

    def lines(self, count: int = 0) -> list[str]:
        """The new lines, as soon as there are so many."""
        deadline = time.monotonic() + LOG_TIMEOUT
        while (text := self.text()).count("\n") < count and time.monotonic() < deadline:
            time.sleep(0.003)
        return text.splitlines()


def _try(site: Site, case: Case, seen: Observation) -> None:
    endpoint = wire.Endpoint(port=site.port, tls=False) if case.is_plain else site.endpoint
    try:
        with wire.handshake(endpoint, case.build(site)) as reply:
            seen.status, seen.headers, seen.upgraded = reply.status, reply.headers, reply.upgraded
            seen.method = _method_of(case.build(site))
            seen.body = reply.body.decode("utf-8", "replace")
            if reply.session is not None and reply.upgraded and case.is_echoed:
                seen.echoed = reply.session.echo(case.name) == case.name
    except (OSError, wire.WireError) as error:
        seen.error = f"{type(error).__name__}: {error}"


def observe(site: Site, case: Case) -> Observation:
    seen = Observation(case.name)
    with contextlib.ExitStack() as held:
        for _number in range(case.held):
            before = wire.handshake(site.endpoint, case.build(site))
            if not before.upgraded:
                seen.error = f"the session before it got {before.status}"
                return seen
            held.enter_context(before)
        earlier = _Growth(site.access_log)
        for _number in range(case.tried - 1):
            _try(site, case, Observation(case.name))
        earlier.lines(case.tried - 1)
        if case.before is not None:
            case.before(site)
        for _chance in range(case.chances):
            seen = Observation(case.name)
            log, errors, record = _Growth(site.access_log), _Growth(site.error_log), _Growth(site.record)
            _try(site, case, seen)
            seen.log_lines = [json.loads(line) for line in log.lines(1)]
            seen.error_log = errors.text()
            seen.received = [json.loads(line) for line in record.lines()]
            if seen.status == case.status:
                break
        ends = _Growth(site.access_log)
    ends.lines(case.held)
    return seen


def run(site: Site) -> list[Observation]:
    prepare(site)
    return [observe(site, case) for case in CASES]


# Judging it


def _method_of(request: wire.Request | bytes) -> str:
    return request.method if isinstance(request, wire.Request) else request.split(b" ")[0].decode()


def _kind_of(request: wire.Request) -> str:
    upgrades = [str(value).lower() for name, value in request.headers if str(name).lower() == "upgrade"]
    return "other" if upgrades not in ([], [""], ["websocket"]) else "websocket" if any(upgrades) else "http"


def _values(received: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in received["headers"] if key.lower() == name.lower()]


def _expected_at_upstream(site: Site, case: Case) -> dict[str, list[str]]:
    return {
        "Host": [site.authority],
        "Upgrade": [] if case.is_request else ["websocket"],
        "Connection": ["close" if case.is_request else "upgrade"],
        "X-Client-IP": [site.client],
        "X-Real-IP": [site.client],
        "X-Forwarded-For": [site.client],
        "X-Forwarded-Proto": ["https"],
        "Cookie": [],
        "Authorization": [],
        **{
            name: [site.authority if value == AUTHORITY else value for value in values]
            for name, values in case.sent.items()
        },
    }


def complaints(site: Site, case: Case, seen: Observation) -> list[str]:
    """What is wrong, one sentence each; empty when all is as it has to be."""
    found = []
    if seen.error:
        found.append(f"no answer: {seen.error}")
    if seen.status != case.status:
        found.append(f"the answer is {seen.status}, not {case.status}")
    if case.status == 101 and not seen.upgraded:
        found.append(f"the answer opens no WebSocket: {seen.headers}")
    if case.status == 101 and case.is_echoed and not seen.echoed:
        found.append("nothing came back through the WebSocket")
    for name, value in case.answer.items():
        values = [content for key, content in seen.headers if key.lower() == name.lower()]
        if len(values) != 1 or not values[0].startswith(value):
            found.append(f"the answer's {name} is {values}, not {value!r}")
    if any(name.lower().startswith("x-accel-") for name, _value in seen.headers):
        found.append(f"the answer has what the upstream tells nginx: {seen.headers}")
    if "nginx/" in json.dumps([seen.headers, seen.body]):
        found.append("the answer tells the version of nginx")
    found += _complaints_of_log(site, case, seen)
    found += _complaints_of_upstream(site, case, seen)
    everything = json.dumps([seen.log_lines, seen.error_log, seen.headers, seen.body])
    if any(json.dumps(secret)[1:-1] in everything for secret in (*SECRETS, *GATE_SECRETS)):
        found.append("a secret is in a log or in the answer")
    return found


def _complaints_of_log(site: Site, case: Case, seen: Observation) -> list[str]:
    if len(seen.log_lines) != 1:
        return [f"the access log has {len(seen.log_lines)} lines of it, not one"]
    found = []
    (line,) = seen.log_lines
    if list(line) != LOG_KEYS:
        found.append(f"the access log has the keys {list(line)}")
    folder = next((folder for folder in FOLDERS if case.path.startswith(folder)), case.path)
    expected = {"status": case.status, "reason": case.reason, "client": site.client, "server": HOST, "location": folder}
    for key, value in expected.items():
        if line.get(key) != value:
            found.append(f"the access log's {key} is {line.get(key)!r}, not {value!r}")
    request = case.build(site)
    # Of what is no request at all, nginx has read no headers.
    is_read = case.path or case.reason != "protocol"
    if (
        is_read
        and isinstance(request, wire.Request)
        and (line["kind"], line["method"]) != (_kind_of(request), request.method)
    ):
        found.append(f"the access log has {line['kind']} and {line['method']}, not {_kind_of(request)}")
    if seen.error_log and case.is_quiet and case.reason in QUIET_REASONS:
        found.append(f"error.log got: {seen.error_log.strip()}")
    return found


def _complaints_of_upstream(site: Site, case: Case, seen: Observation) -> list[str]:
    if not case.reaches_upstream:
        return [f"the upstream received: {request['request']}" for request in seen.received]
    if len(seen.received) != 1:
        return [f"the upstream received {len(seen.received)} requests, not one"]
    found = []
    (received,) = seen.received
    for name, values in _expected_at_upstream(site, case).items():
        if _values(received, name) != values:
            found.append(f"the upstream received {name} {_values(received, name)}, not {values}")
    if (
        not case.sent.get("Cookie")
        and not case.is_forwarded
        and any(secret in json.dumps(received) for secret in SECRETS)
    ):
        found.append("the upstream received a secret")
    method, target, version = received["request"].split(" ")
    asked = _method_of(case.build(site)) if case.is_request else "GET"
    if (method, target.partition("?")[0], version) != (asked, case.path.partition("?")[0], "HTTP/1.1"):
        found.append(f"the upstream received {received['request']!r}")
    return found


def differences(observations: Iterable[Observation]) -> list[str]:
    """Which of the gate's own refusals say more than their status: reasons are for the log."""
    ways = (
        (403, "address"),
        (403, "origin"),
        (403, "token"),
        (400, "protocol"),
        (400, "connection"),
        (400, "path_spelling"),
        (400, "two_tokens"),
    )
    faces: dict[int, set[str]] = {}
    for case, seen in zip(CASES, observations, strict=True):
        # nginx itself says more of a request that it cannot read. An answer to HEAD has no body.
        if (case.status, case.reason) in ways and case.path and seen.method != "HEAD":
            names = sorted(name for name, _value in seen.headers if name != "Connection")
            faces.setdefault(case.status, set()).add(json.dumps([names, seen.body]))
    return [
        f"{status} comes in {len(found)} forms: {sorted(found)}" for status, found in faces.items() if len(found) > 1
    ]


def main() -> None:
    site = Site(**json.loads(sys.argv[1]))
    json.dump([asdict(observation) for observation in run(site)], sys.stdout)


if __name__ == "__main__":
    main()
