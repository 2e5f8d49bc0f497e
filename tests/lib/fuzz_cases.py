# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for a fuzzer: an honest handshake, spoilt in no, one or a few places.

There is one way to make a case and two to choose on that way: hypothesis, which shrinks what fails, and a random number
generator, which is fast. Most of what a gate gets wrong is one byte away from what it must let in, so that is where
cases come from; the honest ones are among them.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .jwt_signing import Signer
from .model import Location

USERNAME, PASSWORD = b"operator", b"correct horse: battery"
VALID_TOKENS = (b"A" * 16, b"live-token_0123456789", b"z" * 128, b"-" * 15 + b"_")
# The right form, and not in the store.
UNKNOWN_TOKENS = (b"B" * 16, b"dead-token_0123456789", b"a" * 16)
# In the store or reachable from it, and no tokens: too short, too long, a bad character, a folder, a path.
INVALID_TOKENS = (
    b"short",
    b"A" * 15,
    b"A" * 15,
    b"y" * 129,
    b"y" * 129,
    b"y" * 129,
    b"with.dot.in.the.name",
    b"with space in name",
    b"directory-in-the-store",
    b"../../../../../../../../etc/passwd",
    b"../" + b"tokens/" + VALID_TOKENS[0],
    b"./" + VALID_TOKENS[0],
    b"/" + VALID_TOKENS[0],
    b".",
    b"..",
    b"",
    VALID_TOKENS[0] + b"/",
    b"%41" * 16,
    b'"' + VALID_TOKENS[0] + b'"',
    VALID_TOKENS[0] + b" ",
    VALID_TOKENS[0] + b"\t",
    VALID_TOKENS[0] + b"\xc3\xa9",
    b" " + VALID_TOKENS[0],
    VALID_TOKENS[0] + b"," + VALID_TOKENS[0],
    VALID_TOKENS[0] + b"=",
    b"$wss_token_AUTH",
)
# Signed tokens: wss_proxy_issuers, good ones, such as are refused for what they say or who signed, and spoilt ones.
SIGNER = Signer("ES256", "ec-1")
ISSUERS = [
    {"name": "main", "issuer": "https://id.example.com", "audience": ["wss"], "keys": [{"content": SIGNER.public_pem}]}
]


def _signed(signer: Signer = SIGNER, **changes: Any) -> bytes:
    good = {"iss": "https://id.example.com", "aud": "wss", "sub": "client-1", "exp": int(time.time()) + 80_000}
    return signer.sign(good | changes).encode()


SIGNED_TOKENS = (_signed(), _signed(sub="client-2", jti="x"))
REFUSED_SIGNED_TOKENS = (
    _signed(exp=1),
    _signed(aud="api"),
    _signed(iss="https://other.example.com"),
    _signed(Signer("ES256", "ec-1")),
    _signed(nbf=int(time.time()) + 80_000),
    _signed(exp=int(time.time()) + 800_000),
)
SPOILT_SIGNED_TOKENS = (
    SIGNED_TOKENS[0][:-1],
    SIGNED_TOKENS[0] + b"A",
    SIGNED_TOKENS[0] + b".",
    b"." + SIGNED_TOKENS[0],
    SIGNED_TOKENS[0].rpartition(b".")[0] + b".",
    SIGNED_TOKENS[0] + b"=",
    SIGNED_TOKENS[0] + b" ",
    b'"' + SIGNED_TOKENS[0] + b'"',
    SIGNED_TOKENS[0] + b"," + SIGNED_TOKENS[0],
    SIGNED_TOKENS[0] + b"/",
    SIGNED_TOKENS[0].replace(b".", b"%2e"),
    b"",
    b".",
    b"..",
    b"a.b.c",
    b"$wss_token_AUTH",
    VALID_TOKENS[0],
)

ORIGINS = (b"https://app.example.com", b"http://app.example.com:8080", b"app://localhost")
PAGES = (b"https://app.example.com", b"https://*.pages.example.org", b"http://*.lab.example.org:8080", b"http://[::1]")

HTTP_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
SITES = (b"same-origin",) * 3 + (
    b"same-site",
    b"cross-site",
    b"none",
    b"",
    b"Same-Origin",
    b"same-origin\t",
    b"x/same-origin",
    b"same-origin, same-origin",
)
ASKED_METHODS = (b"PUT", b"PUT", b"GET", b"x-mine", b"", b"P UT", b"1", b"|", b"PUT|", b"PUT,GET")

LOCATIONS = (
    Location(b"/wss", ORIGINS),
    Location(b"/native", (b"https://app.example.com",), is_missing_origin_allowed=True, cookie=b"s.id"),
    Location(b"/both", ORIGINS, auth="token_and_basic"),
    Location(b"/either", ORIGINS, auth="token_or_basic", cookie=b"__Host-AUTH"),
    Location(b"/password", ORIGINS, auth="basic"),
    Location(b"/open", ORIGINS, auth="none"),
    Location(b"/pages", PAGES),
    # Clients come from 127.0.0.2 to 127.0.0.9.
    Location(b"/near", ORIGINS, allow=("127.0.0.0/29",), deny=("127.0.0.4/31", "192.0.2.0/24")),
    Location(b"/app/", ORIGINS, auth="none"),
    # One in another: what is said of the inner ones, some upstreams read in paths of the outer ones.
    Location(b"/shop/", ORIGINS, auth="none"),
    Location(b"/shop/twin", ORIGINS, auth="none"),
    Location(b"/shop/yard", ORIGINS, auth="none", deny=("127.0.0.3/32",)),
    Location(b"/shop/my.till", ORIGINS, auth="basic"),
    Location(b"/shop/staff/", ORIGINS),
    Location(b"/shop/staff/location", ORIGINS, auth="token_and_basic"),
    # Plain requests beside the WebSocket.
    Location(b"/page", ORIGINS, methods=HTTP_METHODS),
    Location(b"/web/", ORIGINS, is_missing_origin_allowed=True, auth="none", methods=HTTP_METHODS),
    Location(b"/negotiate", ORIGINS, auth="token_and_basic", methods=(b"POST", b"OPTIONS")),
    # Tokens in Authorization.
    Location(b"/bearer", ORIGINS, sources=("bearer",)),
    Location(b"/any", ORIGINS, methods=HTTP_METHODS, sources=("cookie", "bearer")),
    Location(b"/mixed", ORIGINS, auth="token_or_basic", methods=HTTP_METHODS, sources=("cookie", "bearer")),
    # Signed tokens. The first has the cookie of opaque ones.
    Location(b"/signed", ORIGINS, auth="jwt", sources=("cookie", "bearer")),
    Location(b"/ticket", ORIGINS, auth="jwt", cookie=b"s.id", sources=("cookie",)),
    Location(b"/badge", ORIGINS, auth="jwt", methods=HTTP_METHODS, sources=("bearer",)),
    Location(b"/signed-or", ORIGINS, auth="jwt_or_basic", methods=HTTP_METHODS, sources=("cookie", "bearer")),
    Location(b"/signed-and", ORIGINS, auth="jwt_and_basic", cookie=b"__Host-JWT"),
    Location(b"/shop/signed", ORIGINS, auth="jwt", sources=("cookie", "bearer")),
)

# Chooses one of several.
Pick = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Case:
    request_line: bytes
    lines: tuple[bytes, ...]

    def encode(self) -> bytes:
        # HTTP/0.9 has no header lines: what follows would be another request.
        is_bare = len(self.request_line.split()) < 3
        return b"\r\n".join([self.request_line, *(() if is_bare else (*self.lines, b""))]) + b"\r\n"


def _is_signed(location: Location) -> bool:
    return location.auth.startswith("jwt")


def honest(location: Location, token: bytes) -> tuple[list[bytes], list[bytes]]:
    """A request that gets in; where signed tokens count, by one of those."""
    if _is_signed(location):
        token = SIGNED_TOKENS[0]
    credentials = base64.b64encode(USERNAME + b":" + PASSWORD)
    lines = [
        b"Host: gate.example.com",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if location.origins:
        lines.append(b"Origin: " + location.origins[0])
    if location.auth.startswith(("token", "jwt")) and "cookie" in location.sources:
        lines.append(b"Cookie: " + location.cookie + b"=" + token)
    elif location.auth.startswith(("token", "jwt")):
        lines.append(b"Authorization: Bearer " + token)
    if "basic" in location.auth:
        lines.append(b"Authorization: Basic " + credentials)
    return [b"GET", location.path, b"HTTP/1.1"], lines


def _replaced(lines: list[bytes], name: bytes, values: list[bytes]) -> list[bytes]:
    others = [line for line in lines if not line.lower().startswith(name.lower() + b":")]
    return others + [name + b": " + value for value in values]


# Bytes that mean something to somebody, and some that mean nothing.
NOISE = tuple(bytes([byte]) for byte in b"aAz09_-./\\:;=,%\"' \t@$*~^(){}[]<>#?&+|!\x01\x1f\x7f\x80\xc3\xff")

UPGRADES = (
    b"websocket",
    b"WebSocket",
    b"WEBSOCKET",
    b"h2c",
    b"websocket, h2c",
    b"h2c, websocket",
    b"websocket/13",
    b"websockets",
    b"web socket",
    b"",
    b"websocket,",
    b"websocket\t",
    b"\twebsocket",
    b"TLS/1.0",
    b"default",
    b"*",
    b"1",
    b"websocket;q=1",
    b"'websocket'",
)
CONNECTIONS = (
    b"Upgrade",
    b"upgrade",
    b"keep-alive, Upgrade",
    b"Upgrade, keep-alive",
    b"UPGRADE,x",
    b",upgrade",
    b"x,\tupgrade ,y",
    b"upgrade\t",
    b"keep-alive",
    b"close",
    b"",
    b"xupgrade",
    b"upgradex",
    b"up grade",
    b"upgrade;x",
    b"x upgrade",
    b"upgrade x",
    b"x;upgrade",
    b"close, upgrade",
    b"Upgrade, HTTP2-Settings",
    b",,,",
    b"Upgrade Upgrade",
)
HOSTS = (
    b"gate.example.com",
    b"GATE.example.com",
    b"gate.example.com:8443",
    b"other.example",
    b"127.0.0.1:1",
    b"[::1]:99",
    b"gate.example.com.",
    b"a/b",
    b"a b",
)
METHODS = (
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"PROPFIND",
    b"TRACE",
    b"get",
    b"Get",
    b"GETT",
    b"GE",
    b"FOO-BAR",
    b"G$T",
    b"G\0T",
    b"",
)
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/1.9",
    b"HTTP/2.0",
    b"HTTP/3.0",
    b"http/1.1",
    b"HTTP/1.1x",
    b"HTTP/1.",
    b"HTTP/0.9",
    b"HTTP/1.01",
    b"HTTP/01.1",
    b"HTTP/1.1 HTTP/1.1",
    b"HTTPS/1.1",
    b"HTTP/1.1000",
    b"WS/1.1",
    b"HTTP/11.1",
    b"HTTP 1.1",
    b"",
)
EXTRAS = (
    b"X-Client-IP: 192.0.2.1",
    b"x-client-ip: 192.0.2.2",
    b"X-Real-IP: 192.0.2.1",
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-Proto: gopher",
    b"X-Forwarded-Host: evil.example",
    b"Forwarded: for=192.0.2.1",
    b"X_Client_IP: 192.0.2.1",
    b"Content-Length: 0",
    b"Sec-WebSocket-Key: another",
    b"Sec-WebSocket-Extensions: permessage-deflate",
    b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    b"If-Match: x",
    b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
    b"Range: bytes=0-0",
    b"Expect: x",
    b"X-Original-URI: /open",
    b"X-Client-Subject: CN=root",
    b"X-Accel-Redirect: /open",
    b"X-HTTP-Method-Override: GET",
    b"Proxy-Connection: upgrade",
    b"Keep-Alive: timeout=1",
    b"Cookie2: AUTH=" + VALID_TOKENS[0],
    b"Origin2: https://app.example.com",
    b"TE: trailers",
    b"Accept-Encoding: gzip",
    # Lines that HTTP itself does not allow.
    b"Upgrade : websocket",
    b" Upgrade: websocket",
    b"\tfolded",
    b"Upgrade",
    b"Origin",
    b"no colon here",
    b": no name",
    b"X-Nul: a\0b",
    b"Na\0me: x",
    b"Cookie\t: AUTH=" + VALID_TOKENS[0],
    b"X(y): z",
    b"Ori_gin: x",
    b"Up\x80grade: websocket",
    b"Cookie: " + b"a=" + b"b" * 3000,
    b"X-Control: \x01\x7f\x80",
)
SEPARATORS = (b"; ", b"; ", b"; ", b";", b";\t", b" ; ", b";;", b", ", b",", b" ", b"&", b"")
EQUALS = (b"=",) * 10 + (b" =", b"= ", b"==", b"", b":")
SCHEMES = (b"Basic ", b"Basic ", b"basic ", b"BASIC  ", b"Basic", b"Bearer ", b"Digest ", b"", b"Basicx ")
BEARERS = (b"Bearer ",) * 5 + (
    b"bearer ",
    b"BEARER   ",
    b"Bearer",
    b"Bearer\t",
    b"Token ",
    b"XBearer ",
    b"",
    b"Basic x, Bearer ",
)
USERNAMES = (USERNAME, USERNAME, USERNAME, USERNAME.upper(), b"", b"root", USERNAME + b"x", b"operator:correct horse")
PASSWORDS = (PASSWORD, PASSWORD, PASSWORD[:-1], b"", PASSWORD + b"x", b" " + PASSWORD, PASSWORD.upper())
_GOOD = ORIGINS[0]
ORIGIN_VALUES = (
    *ORIGINS,
    _GOOD.upper(),
    _GOOD + b"/",
    _GOOD + b":443",
    _GOOD + b".evil.example",
    _GOOD + b"\t",
    b"\t" + _GOOD,
    _GOOD + b" " + _GOOD,
    b"https://evil.example",
    b"http://app.example.com",
    b"https://app.example.co",
    b"https://xapp.example.com",
    b"https://appxexample.com",
    b"null",
    b"",
    b"*",
    b"https://",
    b"default",
    b"app://LOCALHOST",
    _GOOD + b", " + _GOOD,
    _GOOD + b",",
    b"https://gate.example.com",
    _GOOD.replace(b"a", b"%61"),
    _GOOD + b"@evil.example",
    b"https://user@app.example.com",
    _GOOD + b"\x80",
    b"http://app.example.com:80",
    _GOOD + b":80",
    _GOOD + b":",
)
# For a location with wildcards.
PAGE_VALUES = (
    b"https://a.pages.example.org",
    b"https://a.b.pages.example.org:443",
    b"https://A.pages.example.org",
    b"http://a.lab.example.org:8080",
    b"http://[::1]:80",
    b"https://pages.example.org",
    b"https://.pages.example.org",
    b"https://a..pages.example.org",
    b"https://a.pagesxexample.org",
    b"https://a.pages.example-org",
    b"https://xpages.example.org",
    b"xhttps://a.pages.example.org",
    b"https://evil.example, https://a.pages.example.org",
    b"https://evil.example/.pages.example.org",
    b"https://user@a.pages.example.org",
    b"https://a.pages.example.org:8443",
    b"http://a.pages.example.org",
    b"http://a.lab.example.org",
    *ORIGIN_VALUES[:8],
)
SPOILERS = (
    "cookie",
    "cookie",
    "cookie",
    "cookie",
    "origin",
    "origin",
    "upgrade",
    "connection",
    "target",
    "extra",
    "authorization",
    "method",
    "version",
    "host",
    "order",
    "case",
    "gone",
    "site",
    "preflight",
)
# Below a folder. Of what stands in here, a path is made by putting some of it in a row.
PIECES = tuple(
    b"x room / / / / . .. .. .. ... ..; .;v ; ;v=1 %2e %2E %2f %5c \\ %3b %20 %3f %23 "
    b"%252e %252E%252e %252f %25252f %255C %253b %2520 %25 %2525 "
    b"%09 %0d%0a %7f %c3%a9 %c0%ae %e0%80%af %f0%80%81%9c %c1%9C %22 { \xe9 ? ?..;/ + ~ %7e %".split()
)
# Around a part of a path: what some upstreams take from it, and what nobody does.
BEFORE = (b"",) * 8 + (b";/", b";v=1/;/", b"%20/", b"/", b"./", b"x/../", b"x", b"x/", b";", b"%20")
BEHIND = (b"",) * 8 + tuple(
    b"; ;v=1 %3b %3bv=1;w %253b . .. %20 .%20;v=1 ;v=1. %2e /. /; %252e %3f %3fv=1 %23 x -2 x;v=1 %20x .x".split()
)
TAILS = (b"",) * 4 + tuple(
    b"/ /x /x/y ; ;v=1 /; /;v=1 /;/ /%20 /.%20 /%20;v . %20 %3fv/w %23 ?a=b /x;v=1 /../x".split()
)
# A letter in other words: once is for nginx to read, twice and more for some upstreams; then overlong in two to four
# bytes.
LETTERS: tuple[Callable[[int], bytes], ...] = (
    lambda letter: b"%%%02x" % letter,
    lambda letter: b"%%%02X" % letter,
    lambda letter: b"%%25%02x" % letter,
    lambda letter: b"%%25%02X" % letter,
    lambda letter: b"%%2525%02x" % letter,
    lambda letter: b"%%%02x%%%02x" % (0xC0 | letter >> 6, 0x80 | letter & 0x3F),
    lambda letter: b"%%e0%%%02x%%%02x" % (0x80 | letter >> 6, 0x80 | letter & 0x3F),
    lambda letter: b"%%F0%%80%%%02x%%%02x" % (0x80 | letter >> 6, 0x80 | letter & 0x3F),
    # These are other letters, by right.
    lambda letter: b"%%c3%%%02x" % (0x80 | letter & 0x3F),
    lambda letter: b"%%e0%%a0%%%02x" % (0x80 | letter & 0x3F),
)


def _respelt(pick: Pick, location: Location) -> bytes:
    """The path of a location within a folder, spelt otherwise behind that folder or as it is."""
    folder = (
        max((other.path for other in _around(location)), key=len)
        if pick((True, True, False))
        else _around(location)[0].path
    )
    parts = []
    for name in location.path[len(folder) :].strip(b"/").split(b"/"):
        kind = pick(("", "", "", "case", "case", "letter"))
        if kind == "case":
            name = pick((name.upper(), name.capitalize(), name[:-1] + name[-1:].upper()))
        elif kind == "letter":
            index = pick(range(len(name)))
            name = name[:index] + pick(LETTERS)(name[index]) + name[index + 1 :]
        parts.append(pick(BEFORE) + name + pick(BEHIND))
    return folder + b"/".join(parts) + pick(TAILS)


def _around(location: Location) -> list[Location]:
    """The folders that this location is in, the outermost first."""
    return [
        other
        for other in LOCATIONS
        if other != location and other.path.endswith(b"/") and location.path.startswith(other.path)
    ]


def _targets(location: Location) -> tuple[bytes, ...]:
    path = location.path
    tail = path[1:]
    return (
        path,
        path + b"?a=b",
        path + b"?",
        path + b"??x",
        path + b"#x",
        path + b"#?a",
        path + b"?a#b",
        path + b"/",
        path + b"x",
        path + b"/x",
        path[:-1],
        b"/" + tail.upper(),
        b"/%%%02x" % tail[0] + tail[1:],
        b"//" + tail,
        b"/./" + tail,
        b"/x/.." + path,
        path + b"/.",
        path + b"/..",
        path + b"/../" + tail,
        b"/.." + path,
        b"/../.." + path,
        b"/%2e%2e" + path,
        b"/x/%2E%2e" + path,
        b"/%2f" + tail,
        path + b"%2f",
        path + b"%3f",
        path + b"%23",
        path + b"%00",
        path + b"%",
        path + b"%zz",
        path + b"%20",
        path + b";x",
        path + b"\\",
        b"\\" + tail,
        b"/\\.." + path,
        path + b"%0a",
        path + b"%0d%0aX:y",
        b"/%252e" + path,
        b"http://gate.example.com" + path,
        b"http://other.example:81" + path + b"?x",
        b"HTTPS://gate.example.com" + path,
        b"*",
        tail,
        b"/",
        b"/.wssgate/token/AUTH",
        b"/.wssgate/token/" + location.cookie,
        b"/.wssgate/jwt/gate_21",
        b"/.wssgate/error/404",
        path + b"/../.wssgate/token/AUTH",
        b"/index.html",
        path + b"\x80",
        path + b"\x7f",
        path + b"\x01",
        path + b"?\x01",
        path + b" x",
        path + b"?a b",
        b"",
    )


def _cookie_names(location: Location) -> tuple[bytes, ...]:
    name = location.cookie
    return (name,) * 8 + (
        name.lower(),
        name.swapcase(),
        b" " + name,
        name + b" ",
        b"\t" + name,
        name + b"\t",
        b"X" + name,
        name + b"2",
        b"AUTH",
        b"__Host-" + name,
        b"other",
        b"",
        b'"' + name + b'"',
        name.replace(b".", b"x"),
        b"$" + name,
    )


def _noise(pick: Pick) -> bytes:
    return b"".join(pick(NOISE) for _ in range(pick(range(1, 9))))


def _values(pick: Pick, options: Sequence[bytes], counts: Sequence[int] = (0, 1, 1, 1, 1, 1, 2)) -> list[bytes]:
    """Of some header: none, one or two lines, known values mostly."""
    values = []
    for _ in range(pick(counts)):
        kind = pick(("known",) * 8 + ("noise", "longer"))
        values.append(_noise(pick) if kind == "noise" else pick(options) + (_noise(pick) if kind == "longer" else b""))
    return values


def _tokens(location: Location) -> dict[str, tuple[bytes, ...]]:
    """Good ones, such as are well-formed and refused, and spoilt ones."""
    if _is_signed(location):
        return {"live": SIGNED_TOKENS, "dead": REFUSED_SIGNED_TOKENS, "trap": SPOILT_SIGNED_TOKENS}
    return {"live": VALID_TOKENS, "dead": UNKNOWN_TOKENS, "trap": INVALID_TOKENS}


def _cookies(pick: Pick, location: Location) -> list[bytes]:
    text = b""
    tokens = _tokens(location)
    for _ in range(pick((1, 1, 2, 2, 3, 4))):
        kind = pick(("live", "live", "live", "live", "dead", "trap", "trap", "noise", "longer"))
        value = _noise(pick) if kind == "noise" else pick(tokens.get(kind, tokens["live"]))
        text += (
            pick(_cookie_names(location))
            + pick(EQUALS)
            + value
            + (_noise(pick) if kind == "longer" else b"")
            + pick(SEPARATORS)
        )
    if pick((True, True, False)):
        text = text.rstrip(b"; \t,&")
    if pick((True, True, True, False)):
        return [text]
    cut = pick(range(len(text) + 1))
    return [text[:cut], text[cut:]]


def _authorizations(pick: Pick, location: Location) -> list[bytes]:
    if "bearer" in location.sources and pick((True, True, False)):
        tokens = _tokens(location)
        token = pick(tokens[pick(("live", "live", "live", "dead", "trap"))])
        return [pick(BEARERS) + token + pick((b"",) * 8 + (b" ", b",", b", x", b" x", b";"))]
    user, password = pick(USERNAMES), pick(PASSWORDS)
    line = pick(SCHEMES) + base64.b64encode(user + b":" + password)
    return list(pick(((line,), (line,), (), (b"Basic",), (b"Basic !!!",), (b"Basic " + base64.b64encode(user),))))


def make(pick: Pick) -> Case:
    """One request."""
    location = pick(LOCATIONS)
    words, lines = honest(location, pick(VALID_TOKENS))
    if _around(location) and pick((False, True)):
        words[1] = _respelt(pick, location)
    elif location.path.endswith(b"/") and pick((False, True)):
        words[1] += b"".join(pick(PIECES) for _ in range(pick(range(1, 7))))
    if location.methods and pick((False, True, True)):
        words[0] = pick(location.methods)
        lines = [line for line in lines if not line.startswith((b"Upgrade:", b"Connection:", b"Sec-WebSocket-"))]
    if location.origins == PAGES and pick((False, True)):
        lines = _replaced(lines, b"Origin", _values(pick, PAGE_VALUES))
    for _ in range(pick((0, 1, 1, 1, 2, 2, 3))):
        kind = pick(SPOILERS)
        if kind == "cookie":
            lines = _replaced(lines, b"Cookie", _cookies(pick, location))
        elif kind == "origin":
            lines = _replaced(lines, b"Origin", _values(pick, ORIGIN_VALUES))
        elif kind == "upgrade":
            lines = _replaced(lines, b"Upgrade", _values(pick, UPGRADES))
        elif kind == "connection":
            lines = _replaced(lines, b"Connection", _values(pick, CONNECTIONS))
        elif kind == "authorization":
            lines = _replaced(lines, b"Authorization", _authorizations(pick, location))
            if "bearer" in location.sources and pick((True, True, False)):
                lines = _replaced(lines, b"Cookie", [])
        elif kind == "site":
            lines = _replaced(lines, b"Sec-Fetch-Site", _values(pick, SITES))
            lines = _replaced(lines, b"Origin", []) if pick((True, True, False)) else lines
        elif kind == "preflight":
            words[0] = b"OPTIONS"
            for name in (b"Cookie", b"Authorization"):
                lines = _replaced(lines, name, []) if pick((True,) * 8 + (False,)) else lines
            lines = _replaced(lines, b"Access-Control-Request-Method", _values(pick, ASKED_METHODS))
        elif kind == "host":
            lines = _replaced(lines, b"Host", [pick(HOSTS) for _ in range(pick((0, 1, 1, 1, 2)))])
        elif kind == "extra":
            # Once: of what else may stand in a request twice, nginx's versions think differently.
            extra = pick(EXTRAS)
            lines = [line for line in lines if line != extra] + [extra]
        elif kind == "target":
            words[1] = (
                _values(pick, _targets(location), (1,))
                if pick((True, True, True, False))
                else [location.path + pick((b"", b"?")) + _noise(pick)]
            )[0]
        elif kind == "method":
            words[0] = pick(METHODS)
        elif kind == "version":
            words[2] = pick(VERSIONS)
        elif kind == "order":
            cut = pick(range(len(lines) + 1))
            lines = lines[cut:] + lines[:cut]
        elif lines:
            index = pick(range(len(lines)))
            name, colon, value = lines[index].partition(b":")
            changed = [] if kind == "gone" else [pick((name.lower(), name.upper(), name.swapcase())) + colon + value]
            lines = [*lines[:index], *changed, *lines[index + 1 :]]
    return Case(b" ".join(words) if words[2] else b" ".join(words[:2]), tuple(lines))


def chosen_by(source: random.Random) -> Case:
    return make(source.choice)
