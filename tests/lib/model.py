# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate has to answer, worked out by hand from the rules and from nothing of the collection.

No regular expression, no template, no nginx directive in here: a mistake in those cannot be in both places. What is
said of HTTP itself (which bytes make a request, how a path is normalized) is how nginx reads it, 1.22 to 1.31.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import string
from collections.abc import Callable
from dataclasses import dataclass, field

BLANKS = b" \t"
TOKEN_BYTES = frozenset((string.ascii_letters + string.digits + "_-").encode())
SIGNED_BYTES = TOKEN_BYTES | frozenset(b".")
METHOD_BYTES = frozenset((string.ascii_uppercase + "_-").encode())
NAME_BYTES = frozenset((string.ascii_letters + string.digits + "-").encode())

Lines = "tuple[bytes, ...]"


@dataclass(frozen=True)
class Location:
    """A location of the gate, as its operator described it; a path that ends with / is a folder."""

    path: bytes
    origins: tuple[bytes, ...] = ()
    is_missing_origin_allowed: bool = False
    auth: str = "token"
    cookie: bytes = b"AUTH"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    # Of plain requests; none where nothing but a WebSocket passes.
    methods: tuple[bytes, ...] = ()
    sources: tuple[str, ...] = ("cookie",)


@dataclass(frozen=True)
class Rules:
    locations: tuple[Location, ...]
    tokens: frozenset[bytes]
    username: bytes
    password: bytes
    # nginx before 1.23 sees the first of several lines of one name, later ones see all, joined by a comma.
    are_lines_joined: bool = True
    # What a signed token is refused for; nothing where it is good.
    signed: Callable[[bytes], str] = lambda _token: "jwt_malformed"


@dataclass(frozen=True)
class Verdict:
    """What the client gets; with 101, and 200 for a plain request, also what the upstream gets."""

    status: int
    reason: str = ""
    location: Location | None = None
    target: bytes = b""
    host: bytes = b""
    cookies: tuple[bytes, ...] = ()
    origin: tuple[bytes, ...] = ()
    headers: dict[str, list[str]] = field(default_factory=dict)
    method: bytes = b"GET"


class _Refused(Exception):
    def __init__(self, status: int, reason: str = "protocol", **headers: str | list[str]) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason
        self.headers = {name: [value] if isinstance(value, str) else value for name, value in headers.items()}


def judge(rules: Rules, request_line: bytes, lines: Lines, client: str) -> Verdict:
    """The verdict on one request: its first line, its header lines as they are on the wire, and the client's
    address.
    """
    location, version = None, b"HTTP/1.1"
    try:
        method, target, version = _request_line(request_line)
        if version is None:
            lines = ()
            if method != b"GET":
                raise _Refused(400)
        path, query, authority = _target(target)
        headers = _headers(lines)
        host = _host(headers, authority, version)
        if method == b"TRACE":
            raise _Refused(405, "method", Allow="GET")
        location = _location(rules, path)
        is_plain = bool(location.methods) and not _joined(rules, headers, b"upgrade")
        _handshake(rules, location, headers, method, version, is_plain)
        if location.allow and not _is_in(client, location.allow) or _is_in(client, location.deny):
            raise _Refused(403, "address")
        if location.path.endswith(b"/") and (_is_ambiguous(path) or _is_read_as_another(rules, location, path)):
            raise _Refused(400, "path_spelling")
        origin = _origin(rules, location, headers, method, is_plain)
        cookies = tuple(value for name, value in headers if name == b"cookie")
        if not (is_plain and _is_preflight(rules, headers, method, b"; ".join(cookies))):
            _credentials(rules, location, headers, b"; ".join(cookies))
    except _Refused as refusal:
        # An answer to HTTP/0.9 has no head.
        return Verdict(refusal.status if version else 0, refusal.reason, location, headers=refusal.headers)
    status = 200 if is_plain else 101
    target = _forwarded(target, path) + query
    return Verdict(status, "", location, target, host, _rest(location, cookies), origin, method=method)


# -- HTTP
# ----------------------------------------------------------------------------------------------------------------


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes | None]:
    method, _space, rest = line.partition(b" ")
    if not method or not METHOD_BYTES.issuperset(method):
        raise _Refused(400)
    target, *versions = rest.strip(b" ").split(b" ")
    versions = [part for part in versions if part]
    if not target or any(byte <= 0x20 or byte == 0x7F for byte in target):
        raise _Refused(400)
    scheme, mark, _rest = target.partition(b"://")
    if not target.startswith(b"/") and not (mark and scheme.isalpha()):
        raise _Refused(400)
    if not versions:
        return method, target, None
    if len(versions) > 1:
        raise _Refused(400)
    (version,) = versions
    major, dot, minor = version[5:].partition(b".")
    if version[:5] != b"HTTP/" or not dot or not major.isdigit() or not minor.isdigit() or major[:1] == b"0":
        raise _Refused(400)
    if int(major) > 1:
        raise _Refused(505, "upstream")
    if int(minor) > 999:
        raise _Refused(400)
    return method, target, version


def _target(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Path, query with its question mark, and the host that an absolute URL names."""
    authority = None
    if not target.startswith(b"/"):
        rest = target.partition(b"://")[2]
        authority, slash, rest = rest.partition(b"/")
        target = slash + rest or b"/"
    target = target.partition(b"#")[0]
    raw, mark, query = target.partition(b"?")
    return _normalized(raw), mark + query if query else b"", authority


def _normalized(raw: bytes) -> bytes:
    path = bytearray()
    index = 0
    while index < len(raw):
        byte = raw[index]
        if byte == ord("%"):
            digits = raw[index + 1 : index + 3]
            try:
                byte = binascii.unhexlify(digits)[0]
            except (binascii.Error, IndexError):
                raise _Refused(400) from None
            if byte == 0:
                raise _Refused(400)
            index += 2
        path.append(byte)
        index += 1
    kept: list[bytes] = []
    parts = [part for part in bytes(path).split(b"/") if part]
    for part in parts:
        if part == b"..":
            if not kept:
                raise _Refused(400)
            kept.pop()
        elif part != b".":
            kept.append(part)
    is_folder = path.endswith(b"/") or (bool(parts) and parts[-1] in (b".", b".."))
    return b"/" + b"/".join(kept) + (b"/" if is_folder and kept else b"")


def _forwarded(target: bytes, path: bytes) -> bytes:
    """How nginx writes a path that it has decoded: encoded anew, where anything in it was encoded."""
    if b"%" not in target.partition(b"#")[0].partition(b"?")[0]:
        return path
    return b"".join(
        bytes([byte]) if 0x20 < byte < 0x7F and byte not in b'"#%<>?\\^`{|}' else b"%%%02X" % byte for byte in path
    )


def _headers(lines: Lines) -> list[tuple[bytes, bytes]]:
    """Names in lower case, and values; lines of a name that HTTP does not know are passed over."""
    found = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not name or any(byte <= 0x20 or byte == 0x7F for byte in name):
            raise _Refused(400)
        if b"\0" in value or b"\r" in value:
            raise _Refused(400)
        if NAME_BYTES.issuperset(name):
            found.append((name.lower(), value.strip(b" ") if colon else b""))
    return found


def _host(headers: list[tuple[bytes, bytes]], authority: bytes | None, version: bytes | None) -> bytes:
    """What the upstream is to get: the name that was asked for, and the port that the Host line has."""
    lines = [value for name, value in headers if name == b"host"]
    if len(lines) > 1 or (not lines and version not in (None, b"HTTP/1.0")):
        raise _Refused(400)
    text = lines[0] if lines else b""
    name, port = _name_and_port(text)
    if authority is not None:
        name = _name_and_port(authority)[0]
    return name + port


def _name_and_port(text: bytes) -> tuple[bytes, bytes]:
    if any(byte <= 0x20 or byte == 0x7F or byte in b"/\0" for byte in text):
        raise _Refused(400)
    end = text.find(b"]") if text.startswith(b"[") else -1
    name, colon, port = text[end + 1 :].partition(b":")
    name = text[: end + 1] + name
    return name.rstrip(b".").lower(), colon + port if port.isdigit() else b""


# -- the gate
# ------------------------------------------------------------------------------------------------------------


def _location(rules: Rules, path: bytes) -> Location:
    for location in rules.locations:
        if path == location.path:
            return location
    # A folder's name without its / is not the folder, nor a path of the one around it.
    if any(path + b"/" == location.path for location in rules.locations):
        raise _Refused(404, "path")
    for location in sorted(rules.locations, key=lambda location: -len(location.path)):
        if location.path.endswith(b"/") and path.startswith(location.path):
            return location
    raise _Refused(404, "path")


# Too long for what they say: ., / and \ in two to four bytes.
OVERLONG = tuple(
    lead + bytes([last])
    for leads, lasts in (
        ((b"\xc0", b"\xe0\x80", b"\xf0\x80\x80"), b"\xae\xaf"),
        ((b"\xc1", b"\xe0\x81", b"\xf0\x80\x81"), b"\x9c"),
    )
    for lead in leads
    for last in lasts
)


def _is_ambiguous(path: bytes) -> bool:
    """Whether somebody may read another path in what is left once nginx has decoded and resolved it."""
    if any(byte < 0x20 or byte in b"\x7f\\" for byte in path) or any(text in path for text in OVERLONG):
        return True
    path = path.lower()
    while b"%25" in path:
        path = path.replace(b"%25", b"%")
    for text, meaning in (
        (b"%2e", b"."),
        (b"%2f", b"/"),
        (b"%5c", b"/"),
        (b"%3b", b";"),
        (b"%3f", b";"),
        (b"%23", b";"),
        (b"%20", b" "),
    ):
        path = path.replace(text, meaning)
    for part in path.replace(b"?", b";").replace(b"#", b";").split(b"/")[1:]:
        name = part.partition(b";")[0]
        if name.startswith(b".") and not name.strip(b". "):
            return True
    return False


def _is_read_as_another(rules: Rules, location: Location, path: bytes) -> bool:
    """Whether some upstream takes this path below a folder for one of a location within it that admits others."""
    inner = [
        other
        for other in rules.locations
        if other.path.startswith(location.path) and _admission(other) != _admission(location)
    ]
    if not inner:
        return False
    if _has_encoded_letter(path):
        return True
    # A ? or # that was encoded is a letter like any other, or ends the path for whoever decodes once more.
    for names in (_names(path), _names(path.partition(b"?")[0].partition(b"#")[0])):
        for other in inner:
            wanted = _names(other.path)
            if names == wanted or (other.path.endswith(b"/") and names[: len(wanted)] == wanted):
                return True
    return False


def _admission(location: Location) -> tuple[object, ...]:
    return (
        location.auth,
        location.cookie,
        frozenset(location.origins),
        location.is_missing_origin_allowed,
        frozenset(location.allow),
        frozenset(location.deny),
        location.methods,
        location.sources,
    )


def _names(path: bytes) -> list[bytes]:
    """What the least exact upstream sees: no case, no parameters, no dots and blanks at an end, no empty parts."""
    names = [part.partition(b";")[0].rstrip(b". ") for part in path.lower().split(b"/")]
    return [name for name in names if name]


def _has_encoded_letter(path: bytes) -> bool:
    """Whether a byte of ASCII is still in here as %xx, or in more bytes of UTF-8 than it takes."""
    for index, byte in enumerate(path):
        behind = path[index + 1 : index + 3]
        if byte == ord("%") and len(behind) == 2 and behind[0] in b"01234567" and chr(behind[1]) in string.hexdigits:
            return True
        # Two bytes say 0x80 and more by right, three 0x800, four 0x10000.
        if byte in (0xC0, 0xC1):
            return True
        if behind and (byte, behind[0] >> 5) == (0xE0, 0b100) or behind and (byte, behind[0] >> 4) == (0xF0, 0b1000):
            return True
    return False


def _joined(rules: Rules, headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    values = [value for key, value in headers if key == name]
    if not values:
        return None
    return b", ".join(values) if rules.are_lines_joined else values[0]


def _handshake(
    rules: Rules,
    location: Location,
    headers: list[tuple[bytes, bytes]],
    method: bytes,
    version: bytes | None,
    is_plain: bool,
) -> None:
    if version != b"HTTP/1.1":
        raise _Refused(400, "protocol")
    if method != b"GET" and not (is_plain and method in location.methods):
        methods = ([] if b"GET" in location.methods else [b"GET"]) + list(location.methods)
        raise _Refused(405, "method", Allow=b", ".join(methods).decode())
    if is_plain and method in location.methods:
        return
    upgrade = _joined(rules, headers, b"upgrade")
    if upgrade is None or upgrade.lower() != b"websocket":
        raise _Refused(426, "upgrade", Upgrade="websocket")
    words = (_joined(rules, headers, b"connection") or b"").split(b",")
    if not any(word.strip(BLANKS).lower() == b"upgrade" for word in words):
        raise _Refused(400, "connection")


def _is_in(client: str, networks: tuple[str, ...]) -> bool:
    return any(ipaddress.ip_address(client) in ipaddress.ip_network(network) for network in networks)


def _origin(
    rules: Rules, location: Location, headers: list[tuple[bytes, bytes]], method: bytes, is_plain: bool
) -> tuple[bytes, ...]:
    """Scheme and host of an origin have no case (RFC 6454 4)."""
    origin = _joined(rules, headers, b"origin")
    # A proxy cannot tell an empty header from none.
    is_allowed = _is_one_of(location.origins, origin.lower()) if origin else location.is_missing_origin_allowed
    if not origin and is_plain and not is_allowed:
        is_allowed = method in (b"GET", b"HEAD") or _joined(rules, headers, b"sec-fetch-site") == b"same-origin"
    if not is_allowed:
        raise _Refused(403, "origin")
    return tuple(value for name, value in headers if name == b"origin")


DEFAULT_PORTS = {b"http": b"80", b"https": b"443", b"ws": b"80", b"wss": b"443"}
LABEL_BYTES = frozenset((string.ascii_lowercase + string.digits + "_-").encode())


def _is_one_of(allowed: tuple[bytes, ...], origin: bytes) -> bool:
    return any(_is_origin(known, origin) for known in allowed)


def _is_origin(known: bytes, origin: bytes) -> bool:
    """The same scheme, host and port, where a scheme's own port need not be named; *. is any number of labels."""
    scheme, _mark, rest = known.partition(b"://")
    wanted, _colon, wanted_port = _parted(rest)
    sent_scheme, mark, sent = origin.partition(b"://")
    host, colon, port = _parted(sent)
    default = DEFAULT_PORTS.get(scheme, b"")
    if not mark or sent_scheme != scheme or (colon and not port) or (port or default) != (wanted_port or default):
        return False
    if not wanted.startswith(b"*."):
        return host == wanted
    labels, domain = host.split(b"."), wanted.split(b".")[1:]
    below = labels[: -len(domain)]
    return (
        labels[-len(domain) :] == domain
        and 1 <= len(below) <= 126
        and all(1 <= len(label) <= 63 and LABEL_BYTES.issuperset(label) for label in below)
    )


def _parted(authority: bytes) -> tuple[bytes, bytes, bytes]:
    """Host, colon and port; an address in brackets has colons of its own."""
    end = authority.find(b"]") + 1 if authority.startswith(b"[") else 0
    rest, colon, port = authority[end:].partition(b":")
    return authority[:end] + rest, colon, port


def _is_preflight(rules: Rules, headers: list[tuple[bytes, bytes]], method: bytes, cookies: bytes) -> bool:
    """A browser's question whether it may ask: no credentials, no body nor its type, and an origin."""
    asked = _joined(rules, headers, b"access-control-request-method") or b""
    others = (b"authorization", b"content-length", b"transfer-encoding", b"content-type")
    return (
        method == b"OPTIONS"
        and not cookies
        and not any(_joined(rules, headers, name) for name in others)
        and bool(_joined(rules, headers, b"origin"))
        and asked.replace(b"-", b"a").isalpha()
    )


BASIC_CHALLENGE, BEARER_CHALLENGE = 'Basic realm="Restricted"', 'Bearer error="invalid_token"'


def _credentials(rules: Rules, location: Location, headers: list[tuple[bytes, bytes]], cookies: bytes) -> None:
    has_password = _knows_password(rules, headers)
    bearer = (_joined(rules, headers, b"authorization") or b"") if "bearer" in location.sources else b""
    has_bearer = _is_bearer(bearer)
    if (
        has_bearer
        and "cookie" in location.sources
        and location.auth.startswith(("token", "jwt"))
        and _cookie_parts(location, cookies)[1]
    ):
        raise _Refused(400, "two_tokens")
    if location.auth.startswith("jwt"):
        _signed_credentials(rules, location, bearer, cookies, has_password)
        return
    has_token = (
        _bearer_token(bearer) in rules.tokens
        if has_bearer
        else "cookie" in location.sources and _token(location, cookies) in rules.tokens
    )
    challenge = {"WWW-Authenticate": BASIC_CHALLENGE}
    if location.auth == "token_or_basic":
        if not has_password and not has_token:
            if has_bearer:
                raise _Refused(401, "token", **{"WWW-Authenticate": [BASIC_CHALLENGE, BEARER_CHALLENGE]})
            raise _Refused(401, "basic_auth", **challenge)
        return
    if location.auth in ("basic", "token_and_basic") and not has_password:
        raise _Refused(401, "basic_auth", **challenge)
    if location.auth in ("token", "token_and_basic") and not has_token:
        if has_bearer:
            raise _Refused(401, "token", **{"WWW-Authenticate": BEARER_CHALLENGE})
        raise _Refused(403, "token")


def _signed_credentials(rules: Rules, location: Location, bearer: bytes, cookies: bytes, has_password: bool) -> None:
    if location.auth == "jwt_and_basic" and not has_password:
        raise _Refused(401, "basic_auth", **{"WWW-Authenticate": BASIC_CHALLENGE})
    if location.auth == "jwt_or_basic" and has_password:
        return
    if _is_bearer(bearer):
        token = _signed_bearer(bearer)
        reason = "jwt_malformed" if token is None else rules.signed(token)
    else:
        token = _token(location, cookies) if "cookie" in location.sources else None
        reason = "jwt_missing" if token is None else rules.signed(token)
    if not reason:
        return
    challenges = [BEARER_CHALLENGE] if _is_bearer(bearer) else []
    if location.auth == "jwt_or_basic":
        # Without a token, the password is what was missing.
        reason = "basic_auth" if reason == "jwt_missing" else reason
        challenges = [BASIC_CHALLENGE, *challenges]
    raise _Refused(401 if challenges else 403, reason, **({"WWW-Authenticate": challenges} if challenges else {}))


def _signed_bearer(value: bytes) -> bytes | None:
    scheme, blank, rest = value.partition(b" ")
    token = rest.lstrip(b" ")
    return token if scheme.lower() == b"bearer" and blank and token and SIGNED_BYTES.issuperset(token) else None


def _is_bearer(value: bytes) -> bool:
    """Whether some server may see the scheme in it."""
    for part in value.lower().split(b","):
        part = part.strip(BLANKS)
        if part == b"bearer" or part[:7] in (b"bearer ", b"bearer\t"):
            return True
    return False


def _bearer_token(value: bytes) -> bytes | None:
    scheme, blank, rest = value.partition(b" ")
    token = rest.lstrip(b" ")
    is_token = 16 <= len(token) <= 128 and TOKEN_BYTES.issuperset(token)
    return token if scheme.lower() == b"bearer" and blank and is_token else None


def _knows_password(rules: Rules, headers: list[tuple[bytes, bytes]]) -> bool:
    lines = [value for name, value in headers if name == b"authorization"]
    scheme, _space, text = (lines[0] if lines else b"").partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        decoded = base64.b64decode(text.strip(b" "), validate=True)
    except binascii.Error:
        return False
    return decoded == rules.username + b":" + rules.password


def _cookie_parts(location: Location, cookies: bytes) -> tuple[list[bytes], list[int]]:
    """The cookies of a header, and which of them some server may take for the gate's own."""
    parts = cookies.split(b";")
    ours = []
    for index, part in enumerate(parts):
        name, equals, _value = part.partition(b"=")
        if equals and name.strip(BLANKS) == location.cookie:
            ours.append(index)
    return parts, ours


def _token(location: Location, cookies: bytes) -> bytes | None:
    parts, ours = _cookie_parts(location, cookies)
    if len(ours) != 1:
        return None
    part = parts[ours[0]]
    if part[:1] in (b" ", b"\t"):
        part = part[1:]
    name, _equals, value = part.partition(b"=")
    if location.auth.startswith("jwt"):
        is_token = bool(value) and SIGNED_BYTES.issuperset(value)
    else:
        is_token = 16 <= len(value) <= 128 and TOKEN_BYTES.issuperset(value)
    return value if name == location.cookie and is_token else None


def _rest(location: Location, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What the upstream sees of the cookies: all but the token; none where it is not clear which is the token."""
    if not location.auth.startswith(("token", "jwt")):
        return lines
    cookies = b"; ".join(lines)
    parts, ours = _cookie_parts(location, cookies)
    if ours and _token(location, cookies) is None:
        return ()
    others = [part for index, part in enumerate(parts) if index not in ours]
    if ours == [0] and others and others[0][:1] in (b" ", b"\t"):
        others[0] = others[0][1:]
    rest = b";".join(others)
    return (rest,) if rest else ()
