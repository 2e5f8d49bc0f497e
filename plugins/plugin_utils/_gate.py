# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an operator writes to what the templates of role wss_proxy render.

Everything that goes into the configuration passes through here, where it is checked against a pattern that
leaves no way to smuggle a second directive in (the one exception is ``extra_directives``, raw by intent).
Nothing here imports Ansible, so all of it runs in unit tests.
"""

from __future__ import annotations

import collections
import ipaddress
import re
import typing as t

from ..module_utils._tokens.pattern import TOKEN_PATTERN
from ._cookie_patterns import cookie_patterns
from ._gate_options import (
    AUTH_KINDS,
    BALANCING_METHODS,
    CLIENT_CERTIFICATES_DEFAULTS,
    CONTEXT_DEFAULTS,
    DEFAULT_PORTS,
    ERROR_PAGE_DEFAULTS,
    LISTEN_DEFAULTS,
    LOCATION_DEFAULTS,
    PEER_DEFAULTS,
    SCHEMES,
    SERVER_AUTH_KINDS,
    SERVER_DEFAULTS,
    TLS_PROFILES,
    UPSTREAM_DEFAULTS,
)
from ._problems import Problems, shown

# sun_path of struct sockaddr_un holds 108 bytes, the last of them NUL: unix(7).
UNIX_PATH_MAX_BYTES = 107

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
GROUP_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
LOCATION_PATH = re.compile(r"/[A-Za-z0-9._~@+,=:/-]*")
FILE_PATH = re.compile(r"/+[A-Za-z0-9._@+,=:-][A-Za-z0-9._@+,=:/-]*")
FILE_NAME = re.compile(r"[A-Za-z0-9._-]+")
# 46 characters at most: a longer one does not fit a bucket of 64 bytes (proxy_headers_hash_bucket_size).
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,45}")
COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# No empty label: nginx has no server of such a name, and the DNS no host.
HOST_NAME = re.compile(r"[A-Za-z0-9](?:\.?[A-Za-z0-9_-]){0,252}")
SERVER_NAME = re.compile(rf"_|(?:\*\.)?{HOST_NAME.pattern}")
HOST = rf"(?:{HOST_NAME.pattern}|\[[0-9A-Fa-f:.]+\])"
PORT = r"(?P<port>[0-9]{1,5})"
UNIX = r"unix:(?P<unix>/[A-Za-z0-9._@+,=/-]+)"
ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>{HOST})(?::{PORT})?")
UPSTREAM_URL = re.compile(
    rf"(?P<scheme>https?|wss?)://(?:{UNIX}|(?P<host>{HOST})(?::{PORT})?(?P<path>{LOCATION_PATH.pattern})?)"
)
PEER = re.compile(rf"{UNIX}|(?P<host>{HOST}):{PORT}")
# Python takes anything for the zone of an IPv6 address (fe80::1%anything), nginx none: hence no '%'.
ADDRESS = re.compile(r"[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\]")
NETWORK = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9.]+)?")
SIZE = re.compile(r"[0-9]{1,9}[kKmMgG]?")
REALM = re.compile(r"[A-Za-z0-9 ._,:()/-]{1,64}")
MODE = re.compile(r"0?[0-7]{3}")
HASH_KEY = re.compile(r"(?:\$[a-z_][a-z0-9_]*)+(?: consistent)?")

# PCRE names of captures have 32 characters at most (pcre2pattern(3), before 10.44), "wss_before_" and a number among them.
SLUG_MAX_LENGTH = 16

# Below this path are the gate's own internal locations.
INTERNAL_PATH = "/.wssgate"

# What the templates render of the context, as it was checked.
RENDERED_CONTEXT = (
    "token_store_path",
    "nginx_directory",
    "access_log_path",
    "session_log_path",
    "acme_webroot",
    "drain_path",
    "drain_retry_after",
    "buffer_size",
    "tls_tickets",
    "tls_profile",
)

# Headers to the upstream that the gate sets itself, where a second one of the name would contradict it, and those that a
# handshake is made of.
GATE_HEADERS = (
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-original-uri",
    "x-real-ip",
)

# Headers that name the client to the upstream, also where no server and no location has them by this name.
IDENTITY_HEADERS = (LOCATION_DEFAULTS["client_ip_header"], CLIENT_CERTIFICATES_DEFAULTS["subject_header"])

# What nginx passes on of a path as it is, in every version, and what it writes as % and two digits in upper case:
# NGX_ESCAPE_URI of ngx_escape_uri(), the last line from 1.21.1 on. Control characters and the backslash are refused before.
PLAIN_CHARACTERS = r"[A-Za-z0-9!$&'()*+,./:;=@\[\]_~-]"
ENCODED_CHARACTERS = "%(?:2[035]|3F|[89A-F][0-9A-F])"
ENCODED_CHARACTERS_LATER = "%(?:22|3[CE]|5E|60|7[BCD])"


class GateError(ValueError):
    """What was asked for cannot become a gate; the text says what, where and what to do, one line a problem."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _is_plain(path: str) -> bool:
    """No empty, '.' or '..' part; a / at the end is none."""
    return not {"", ".", ".."}.intersection(path.removesuffix("/").split("/")[1:])


def _parsed(pattern: t.Pattern[str], text: str) -> t.Optional[t.Match[str]]:
    """The parts of a text with a host in it; none when it does not fit, or has brackets around what is no address."""
    match = pattern.fullmatch(text)
    return match if match and (not (match["host"] or "").startswith("[") or _is_address(match["host"])) else None


def _tls_addresses(server: t.Mapping[str, t.Any]) -> t.List[str]:
    return [address for entry in server["listeners"] if entry["tls"] for address in entry["addresses"]]


def _slug(text: str, taken: t.Iterable[str]) -> str:
    """A part of the names of nginx's variables and zones, unlike all taken ones: nginx ignores their case."""
    slug = base = re.sub(r"[^A-Za-z0-9]", "_", text)[:SLUG_MAX_LENGTH]
    others = {other.lower() for other in taken}
    number = 1
    while slug.lower() in others:
        number += 1
        slug = f"{base}_{number}"
    return slug


def _token_zone(location: t.Mapping[str, t.Any]) -> str:
    """With the cookie in it, which is the zone's key: another cookie, or another order of locations, is another zone.

    No slug has a hyphen, so no two pairs make the same name.
    """
    return f"wss_tokens_{location['slug']}-{location['cookie']['slug']}"


def _subject_headers(server: t.Mapping[str, t.Any]) -> t.List[str]:
    certificates = server["client_certificates"]
    return [certificates["subject_header"]] if certificates else []


class _Builder:
    """Walks the operator's servers once, collecting problems and the model side by side."""

    def __init__(self, servers: t.Any, context: t.Any) -> None:
        self.problems = Problems()
        self.context = self._context(context)
        self.certificates = self._named("certificates", "name")
        self.htpasswd_files = self._named("htpasswd_files", "path")
        self.upstreams = self._upstreams(self.context["upstreams"])
        self.cookies: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.origins: t.List[t.Dict[str, t.Any]] = []
        self.zones: t.List[t.Dict[str, t.Any]] = []
        self.forwarded: t.List[t.Dict[str, t.Any]] = []
        self.redirect_addresses: t.List[str] = []
        self.servers: t.List[t.Dict[str, t.Any]] = []
        for where, item in self.problems.entries("wss_proxy", "wss_proxy_servers", servers):
            self.servers.append(self._server(where, item))
        self._check_across_servers()
        self._decide_resumption()
        self._check_redirects()
        self._check_verifications()
        self._clear_identity_headers()

    def _version(self) -> t.Tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"[0-9]+", str(self.context["nginx_version"]))[:3])

    def _has_http2_directive(self) -> bool:
        return self._version() >= (1, 25, 1)

    def _key_exchange_groups(self) -> t.List[str]:
        """What is offered for the key exchange, the best first; OpenSSL refuses the list for a name that it does not know."""
        known = re.match(r"([0-9]+)\.([0-9]+)", str(self.context["openssl_version"]))
        is_post_quantum = known is not None and (int(known[1]), int(known[2])) >= (3, 5)
        return ["X25519MLKEM768"] * is_post_quantum + ["X25519", "prime256v1", "secp384r1"]

    def model(self) -> t.Dict[str, t.Any]:
        return {
            "servers": self.servers,
            "upstreams": list(self.upstreams.values()),
            "cookies": list(self.cookies.values()),
            "origins": self.origins,
            "zones": self.zones,
            "forwarded": self.forwarded,
            "redirect_addresses": self.redirect_addresses,
            "key_exchange_groups": self._key_exchange_groups(),
            **{key: self.context[key] for key in RENDERED_CONTEXT},
            "has_http2_directive": self._has_http2_directive(),
            # Before 1.23.2 ticket keys never change while nginx runs: a stolen key would open every recorded session.
            "has_rotating_tickets": self._version() >= (1, 23, 2),
            "has_conf_command": self._version() >= (1, 19, 4),
        }

    # -- what is around the servers ----------------------------------------------------------------------------

    def _context(self, given: t.Any) -> t.Dict[str, t.Any]:
        where = "wss_proxy"
        context = self.problems.options(where, given, CONTEXT_DEFAULTS)
        for key in (
            "token_store_path",
            "nginx_directory",
            "certificates_directory",
            "ca_bundle_path",
            "access_log_path",
            "session_log_path",
            "acme_webroot",
            "drain_path",
        ):
            context[key] = self._path(where, key, context[key])
        if context["drain_path"].startswith("/root/"):
            self.problems.add(
                where,
                f"drain_path {context['drain_path']!r} is in root's own folder, where nginx's workers see nothing; choose another",
            )
        for key in ("ipv6", "http_redirect_enabled"):
            context[key] = self.problems.flag(where, key, context[key])
        for key, low, high in (("drain_retry_after", 1, 86400), ("buffer_size", 1024, 1048576), ("tls_tickets", 0, 10)):
            context[key] = self.problems.number(where, key, context[key], low, high)
        context["tls_profile"] = self.problems.choice(where, "tls_profile", context["tls_profile"], TLS_PROFILES)
        return context

    def _named(self, key: str, name: str) -> t.Dict[str, t.Any]:
        """What another role puts on the host, by name. That role checks the entries, here they are only looked up."""
        items = self.problems.items("wss_proxy", key, self.context[key])
        return {str(item[name]): item for item in items if isinstance(item, t.Mapping) and item.get(name)}

    def _path(self, where: str, key: str, value: t.Any) -> str:
        """An absolute path, or none."""
        return self.problems.optional(
            where, key, value, FILE_PATH, "an absolute path of letters, digits and . _ @ + , = : / -"
        ).rstrip("/")

    def _unix_path(self, where: str, path: str) -> None:
        length = len(path.encode())
        if length > UNIX_PATH_MAX_BYTES:
            self.problems.add(
                where, f"the unix socket's path is {length} bytes long; the system takes {UNIX_PATH_MAX_BYTES} at most"
            )
        if not _is_plain(path):
            # Two spellings of one socket would pass for two.
            self.problems.add(
                where, f"the unix socket's path {path!r} has an empty, '.' or '..' part in it; write it without"
            )

    def _header(self, where: str, key: str, value: t.Any) -> str:
        name = self.problems.matches(where, key, value, HEADER_NAME, "a header's name")
        if name.lower() in GATE_HEADERS:
            self.problems.add(
                where, f"{key} {name!r} is a header that the gate or the handshake itself sets; name another"
            )
        return name

    # -- upstreams ---------------------------------------------------------------------------------------------

    def _upstreams(self, given: t.Any) -> t.Dict[str, t.Dict[str, t.Any]]:
        problems = self.problems
        upstreams: t.Dict[str, t.Dict[str, t.Any]] = {}
        for where, item in problems.entries("wss_proxy", "wss_proxy_upstreams", given):
            options = problems.options(where, item, UPSTREAM_DEFAULTS)
            name = problems.matches(where, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
            where = f"upstream {name!r}"
            # nginx compares these names without their case.
            if name.lower() in (known.lower() for known in upstreams):
                problems.add(where, "this name is used twice in wss_proxy_upstreams; give each upstream its own")
            scheme = SCHEMES.get(problems.choice(where, "scheme", options["scheme"], tuple(SCHEMES)), "http")
            balancing = problems.choice(where, "balancing", options["balancing"], BALANCING_METHODS)
            servers = [
                {"address": peer} if isinstance(peer, str) else peer
                for peer in problems.items(where, "servers", options["servers"])
            ]
            peers = [self._peer(here, peer) for here, peer in problems.entries(where, "servers", servers)]
            if not options["servers"]:
                problems.add(where, "servers is empty; name at least one address")
            elif peers and all(p["backup"] for p in peers):
                problems.add(where, "every server is a backup; at least one must not be")
            if balancing in ("ip_hash", "hash", "random") and any(p["backup"] for p in peers):
                problems.add(
                    where, f"nginx has no backup servers with balancing {balancing}; use round_robin or least_conn"
                )
            outside = [p for p in peers if not p["local"]]
            hosts = {p["host"] for p in outside or peers}
            upstreams[name] = {
                "name": name,
                "scheme": scheme,
                "balancing": balancing,
                "hash_key": problems.matches(
                    where,
                    "hash_key",
                    options["hash_key"],
                    HASH_KEY,
                    "nginx variables such as '$remote_addr consistent'",
                ),
                "peers": peers,
                "tls": self._upstream_tls(
                    where, "", options, scheme, bool(outside), hosts.pop() if len(hosts) == 1 else ""
                ),
            }
        return upstreams

    def _peer(self, where: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        options = problems.options(where, item, PEER_DEFAULTS)
        address = str(options["address"])
        match = _parsed(PEER, address)
        if not match:
            problems.add(where, f"address {address!r} is neither host:port nor unix:/path")
        elif match["unix"]:
            self._unix_path(where, match["unix"])
        else:
            problems.number(where, "port", match["port"], 1, 65535)
        host = (match and match["host"]) or ""
        return {
            "address": address,
            "host": host,
            "local": not host or _is_loopback(host),
            "weight": problems.number(where, "weight", options["weight"], 1, 65535),
            "max_fails": problems.number(where, "max_fails", options["max_fails"], 0, 65535),
            "fail_timeout": problems.number(where, "fail_timeout", options["fail_timeout"], 1, 86400),
            "backup": problems.flag(where, "backup", options["backup"]),
            "down": problems.flag(where, "down", options["down"]),
        }

    def _upstream_tls(
        self, where: str, prefix: str, options: t.Mapping[str, t.Any], scheme: str, is_outside: bool, host: str
    ) -> t.Optional[t.Dict[str, t.Any]]:
        """How nginx checks an https upstream. On loopback nobody can stand in between, so there it need not."""
        problems = self.problems
        keys = [f"{prefix}verify_enabled", f"{prefix}ca_path", f"{prefix}tls_name"]
        verify, ca_path, tls_name = (options[key] for key in keys)
        is_verified = is_outside if verify is None else problems.flag(where, keys[0], verify)
        ca_path = self._path(where, keys[1], ca_path) or self.context["ca_bundle_path"]
        name = problems.optional(where, keys[2], tls_name, HOST_NAME, "a host name")
        if scheme != "https":
            for key in keys:
                if options[key]:
                    problems.add(where, f"{key} goes with an https or wss upstream; this one is not encrypted")
            return None
        if not name:
            name = "" if _is_address(host) else host
        # nginx compares the name with the certificate's DNS names only, so that an address never passes (seen on 1.22).
        if is_verified and (not name or _is_address(name)):
            problems.add(
                where,
                f"an upstream's certificate is checked against a host name, and there is none: set {keys[2]}, or {keys[0]}: false",
            )
        return {"verified": is_verified, "ca_path": ca_path, "name": name}

    # -- servers -----------------------------------------------------------------------------------------------

    def _server(self, where: str, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        options = problems.options(where, item, SERVER_DEFAULTS)
        name = problems.matches(where, "name", options["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
        where = f"server {name!r}"
        trusted = self._trusted_proxies(where, options["trusted_proxies"])
        listeners = self._listeners(where, options["listen"], bool(trusted))
        has_tls = any(entry["tls"] for entry in listeners)
        root = self._path(where, "root", options["root"])
        htpasswd_path = self._path(where, "htpasswd_file", options["htpasswd_file"])
        server: t.Dict[str, t.Any] = {
            "name": name,
            "slug": _slug(name, (s["slug"] for s in self.servers)),
            "server_names": [
                problems.matches(where, "server name", n, SERVER_NAME, "a host name, '*.' and a host name, or '_'")
                for n in problems.items(where, "server_names", options["server_names"]) or [name]
            ],
            "listeners": listeners,
            "tls": has_tls,
            "certificates": self._certificates(where, options["certificate"], has_tls),
            "client_certificates": self._client_certificates(
                f"{where}, client_certificates", options["client_certificates"], has_tls
            ),
            "redirect": self._redirect(where, listeners, options),
            "auth": problems.choice(where, "auth", options["auth"], SERVER_AUTH_KINDS),
            "htpasswd_path": "",
            "realm": self._realm(where, options["realm"]),
            "root": root,
            "index": [
                problems.matches(where, "index", i, FILE_NAME, "a file name")
                for i in problems.items(where, "index", options["index"])
            ],
            "error_pages": self._error_pages(where, options["error_pages"], root),
            "trusted_proxies": trusted,
            "real_ip_header": self._real_ip_header(where, options["real_ip_header"], listeners, trusted),
            "hsts_max_age": problems.number(where, "hsts_max_age", options["hsts_max_age"], 0, 10**9),
            "http2_enabled": problems.flag(where, "http2_enabled", options["http2_enabled"]),
            "client_max_body_size": problems.optional(
                where, "client_max_body_size", options["client_max_body_size"], SIZE, "a size such as 500m"
            ),
            "connection_check_path": problems.optional(
                where,
                "connection_check_path",
                options["connection_check_path"],
                LOCATION_PATH,
                "a path that starts with /",
            ),
            "extra_directives": problems.raw(where, "extra_directives", options["extra_directives"]),
        }
        if server["auth"] == "basic":
            server["htpasswd_path"] = self._htpasswd(where, htpasswd_path)
        if not options["locations"] and not root:
            problems.add(where, "locations is empty; name at least one path with its upstream")
        server["locations"] = [
            self._location(here, server, htpasswd_path, f"{server['slug']}_{index}", item)
            for index, (here, item) in enumerate(problems.entries(where, "locations", options["locations"]))
        ]
        server["connection_check"] = self._connection_check(where, server)
        self._check_paths(where, server)
        return server

    def _connection_check(self, where: str, server: t.Mapping[str, t.Any]) -> t.Optional[t.Dict[str, t.Any]]:
        """The page on which a person tries a token: what it offers, and the password it asks for so that the browser knows it."""
        path = server["connection_check_path"]
        if not path:
            return None
        if path.endswith("/"):
            self.problems.add(where, f"connection_check_path {path!r} ends with /; it is one page, so leave the / out")
        if not server["tls"]:
            self.problems.add(
                where,
                "connection_check_path needs a listener with TLS: no browser keeps a Secure cookie of a plain page",
            )
        own = set(self._https_origins(server))
        offered = [loc for loc in server["locations"] if not own or own.intersection(loc["origins"]["allowed"])]
        if not offered:
            self.problems.add(
                where,
                "connection_check_path is set, and no location lets pages of this server connect; "
                + (f"add {min(own)} to the origins of one" if server["locations"] else "there are no locations to try"),
            )
        passwords = {
            (loc["htpasswd_path"], loc["realm"]) if loc["auth"] in ("basic", "token_and_basic") else None
            for loc in offered
        }
        asked = passwords.pop() if len(passwords) == 1 and server["auth"] == "none" else None
        return {
            "path": path,
            "locations": offered,
            "token_pattern": TOKEN_PATTERN,
            "htpasswd_path": asked[0] if asked else "",
            "realm": asked[1] if asked else "",
        }

    def _addresses(self, address: str, port: int) -> t.List[str]:
        """What nginx's listen takes, one spelling for each address; without one, every address of the host."""
        if address == "0.0.0.0":
            return [str(port)]
        if address:
            return [f"{address}:{port}"]
        return [str(port)] + ([f"[::]:{port}"] if self.context["ipv6"] else [])

    def _listeners(self, where: str, given: t.Any, has_trusted: bool) -> t.List[t.Dict[str, t.Any]]:
        problems = self.problems
        listeners = []
        if not given:
            problems.add(where, "listen is empty; name at least one port, such as [{port: 443}]")
        for here, item in problems.entries(where, "listen", given):
            options = problems.options(here, item, LISTEN_DEFAULTS)
            unix = self._path(here, "unix", options["unix"])
            address = self._address(here, options["address"])
            port = 0
            if unix:
                self._unix_path(here, unix)
                if options["port"] is not None or options["address"]:
                    problems.add(here, "a unix socket has neither port nor address; name one of them only")
            elif options["port"] is None:
                problems.add(here, "it names neither a port nor a unix socket; name one")
            else:
                port = problems.number(here, "port", options["port"], 1, 65535)
            if not isinstance(options["unix_mode"], str):
                # YAML reads a bare 0660 as the number 432, which would pass for another mode.
                problems.add(here, "unix_mode is not quoted; write it as '0660'")
            proxy_protocol = problems.flag(here, "proxy_protocol", options["proxy_protocol"])
            if proxy_protocol and not has_trusted:
                problems.add(
                    here,
                    "proxy_protocol without trusted_proxies would let every client choose its address; name the proxies",
                )
            listeners.append(
                {
                    "port": port,
                    "address": address,
                    "unix": unix,
                    "unix_group": problems.optional(
                        here, "unix_group", options["unix_group"], GROUP_NAME, "a group's name"
                    ),
                    "unix_mode": problems.matches(
                        here, "unix_mode", options["unix_mode"], MODE, "an octal mode such as '0660'"
                    ),
                    "addresses": [f"unix:{unix}"] if unix else self._addresses(address, port),
                    "tls": problems.flag(here, "tls", options["tls"]),
                    "proxy_protocol": proxy_protocol,
                    "default_server": problems.flag(here, "default_server", options["default_server"]),
                }
            )
        return listeners

    def _address(self, where: str, given: t.Any) -> str:
        """An address in one spelling, so that two that are the same are seen to be."""
        text = str(given or "")
        if not text:
            return ""
        if not ADDRESS.fullmatch(text) or not _is_address(text):
            self.problems.add(where, f"address {text!r} is not an IP address")
            return ""
        parsed = ipaddress.ip_address(text.strip("[]"))
        return f"[{parsed}]" if parsed.version == 6 else str(parsed)

    def _redirect(
        self, where: str, listeners: t.Sequence[t.Mapping[str, t.Any]], options: t.Mapping[str, t.Any]
    ) -> t.Optional[t.Dict[str, t.Any]]:
        """The plain port that sends browsers to https, on the addresses that https is served on."""
        problems = self.problems
        given = options["http_redirect_enabled"]
        is_enabled = (
            self.context["http_redirect_enabled"]
            if given is None
            else problems.flag(where, "http_redirect_enabled", given)
        )
        port = options["http_redirect_port"]
        port = problems.number(
            where, "http_redirect_port", self.context["http_redirect_port"] if port is None else port, 1, 65535
        )
        secure = [entry for entry in listeners if entry["tls"] and entry["port"]]
        if not is_enabled or not secure:
            return None
        hosts = list(dict.fromkeys(entry["address"] for entry in secure))
        return {
            "port": port,
            "to": "" if secure[0]["port"] == 443 else f":{secure[0]['port']}",
            "addresses": [
                address for host in ([""] if "" in hosts else hosts) for address in self._addresses(host, port)
            ],
        }

    def _certificates(self, where: str, given: t.Any, has_tls: bool) -> t.List[t.Dict[str, str]]:
        problems = self.problems
        names = [given] if isinstance(given, str) and given else problems.items(where, "certificate", given or None)
        if has_tls and not names:
            problems.add(
                where, "it listens with TLS and names no certificate; set certificate to a name from certificates_list"
            )
        found = []
        for name in names:
            certificate = self.certificates.get(str(name))
            if certificate is None:
                known = ", ".join(sorted(self.certificates)) or "none"
                problems.add(
                    where,
                    f"certificate {name!r} is not in certificates_list (there: {known}); add it there, or name one of these",
                )
                continue
            directory = f"{self.context['certificates_directory']}/{name}"
            here = f"certificate {name!r}"
            found.append(
                {
                    "certificate": self._path(
                        here, "certificate_path", certificate.get("certificate_path") or f"{directory}/fullchain.pem"
                    ),
                    "key": self._path(here, "key_path", certificate.get("key_path") or f"{directory}/privkey.pem"),
                }
            )
        return found

    def _client_certificates(self, where: str, given: t.Any, has_tls: bool) -> t.Optional[t.Dict[str, t.Any]]:
        problems = self.problems
        if not given:
            return None
        options = problems.options(where, given, CLIENT_CERTIFICATES_DEFAULTS)
        if not has_tls:
            problems.add(where, "client certificates need a listener with TLS")
        return {
            "ca_path": problems.matches(
                where, "ca_path", options["ca_path"], FILE_PATH, "the absolute path of the authority's certificate"
            ),
            "crl_path": self._path(where, "crl_path", options["crl_path"]),
            "required": problems.flag(where, "required", options["required"]),
            "subject_header": self._header(where, "subject_header", options["subject_header"]),
            "depth": problems.number(where, "depth", options["depth"], 1, 10),
        }

    def _trusted_proxies(self, where: str, given: t.Any) -> t.List[str]:
        trusted = []
        networks: t.List[t.Any] = []
        for index, item in enumerate(self.problems.items(where, "trusted_proxies", given)):
            here = f"{where}, trusted_proxies[{index}]"
            text = str(item)
            if text == "unix:":
                trusted.append(text)
                continue
            try:
                if not NETWORK.fullmatch(text):
                    raise ValueError("such as 192.0.2.7 or 10.0.0.0/8")
                network = ipaddress.ip_network(text)
            except ValueError as error:
                self.problems.add(here, f"{text!r} is not an address or a network in CIDR notation ({error})")
                continue
            if network.prefixlen == 0:
                self.problems.add(
                    here,
                    f"{text} would trust the whole Internet to name a client's address; name the load balancers only",
                )
            else:
                networks.append(network)
            trusted.append(str(network))
        for version in (4, 6):
            if any(
                whole.prefixlen == 0
                for whole in ipaddress.collapse_addresses(n for n in networks if n.version == version)
            ):
                # Such as 0.0.0.0/1 and 128.0.0.0/1.
                self.problems.add(
                    f"{where}, trusted_proxies",
                    f"these together would trust the whole Internet of IPv{version} to name a client's address; name the load balancers only",
                )
        return trusted

    def _real_ip_header(
        self, where: str, given: t.Any, listeners: t.Sequence[t.Mapping[str, t.Any]], trusted: t.Sequence[str]
    ) -> str:
        """Where the load balancers name the client; nothing without load balancers."""
        has_proxy_protocol = any(entry["proxy_protocol"] for entry in listeners)
        # nginx's own word, as in its real_ip_header.
        if given == "proxy_protocol" and has_proxy_protocol:
            given = ""
        header = self.problems.optional(
            where,
            "real_ip_header",
            given,
            HEADER_NAME,
            "a header's name (proxy_protocol goes with a listener that has it)",
        )
        if not trusted:
            if header:
                self.problems.add(
                    where,
                    "real_ip_header without trusted_proxies would let every client choose its address; name the proxies",
                )
            return ""
        return header or ("proxy_protocol" if has_proxy_protocol else "X-Forwarded-For")

    def _realm(self, where: str, given: t.Any) -> str:
        return self.problems.matches(
            where, "realm", given, REALM, "1 to 64 letters, digits, blanks and . _ , : ( ) / -"
        )

    def _error_pages(self, where: str, given: t.Any, root: str) -> t.List[t.Dict[str, t.Any]]:
        problems = self.problems
        pages = []
        for here, item in problems.entries(where, "error_pages", given):
            options = problems.options(here, item, ERROR_PAGE_DEFAULTS)
            if not options["codes"]:
                problems.add(here, "codes is empty; name at least one status such as 404")
            codes = problems.items(here, "codes", options["codes"])
            if 499 in codes:
                problems.add(here, "499 is a client that went away, so nobody would see a page; leave it out")
            pages.append(
                {
                    "codes": [problems.number(here, "code", code, 400, 599) for code in codes],
                    "path": problems.matches(here, "path", options["path"], LOCATION_PATH, "a path that starts with /"),
                }
            )
        for code, number in collections.Counter(code for page in pages for code in page["codes"]).items():
            if number > 1:
                problems.add(where, f"error_pages names {code} twice; each status has one page")
        if pages and not root:
            problems.add(where, "error_pages are files below root; set root")
        return pages

    def _htpasswd(self, where: str, given: str) -> str:
        """The file named, or the only one that there is."""
        known = list(self.htpasswd_files)
        if given or len(known) == 1:
            return given or self._path(where, "htpasswd_file", known[0])
        self.problems.add(
            where,
            f"basic authentication needs a password file: set htpasswd_file (htpasswd_files has {len(known)} to choose from)",
        )
        return ""

    # -- locations ---------------------------------------------------------------------------------------------

    def _location(
        self, where: str, server: t.Dict[str, t.Any], htpasswd_path: str, slug: str, item: t.Mapping[str, t.Any]
    ) -> t.Dict[str, t.Any]:
        problems = self.problems
        options = problems.options(where, item, LOCATION_DEFAULTS)
        path = problems.matches(where, "path", options["path"], LOCATION_PATH, "a path that starts with /")
        if not _is_plain(path):
            # nginx compares locations with what is left of a request's path once these are resolved: ngx_http_core_module, location.
            problems.add(
                where,
                f"path {path!r} has an empty, '.' or '..' part in it, and no request would ever match it; write it without",
            )
        auth = problems.choice(
            where, "auth", options["auth"] or ("basic" if server["auth"] == "basic" else "token"), AUTH_KINDS
        )
        uses_token = auth.startswith("token")
        uses_basic = auth.endswith("basic")
        cookie_name = problems.matches(
            where, "cookie_name", options["cookie_name"], COOKIE_NAME, "1 to 64 letters, digits, '.', '_' and '-'"
        )
        htpasswd_path = self._path(where, "htpasswd_file", options["htpasswd_file"]) or htpasswd_path
        if uses_token and not self.context["token_store_path"]:
            problems.add(where, f"auth {auth} needs a token store; set token_store_path, as role token_store takes it")
        location: t.Dict[str, t.Any] = {
            "path": path,
            # /wss is that path alone; /app/ is everything below it. A prefix without its slash would take in /appfoo too.
            "exact": not path.endswith("/"),
            "slug": slug,
            "auth": auth,
            "uses_token": uses_token,
            "uses_basic": uses_basic,
            "htpasswd_path": self._htpasswd(where, htpasswd_path) if uses_basic else "",
            "realm": self._realm(where, options["realm"] or server["realm"]),
            "cookie": self._cookie(cookie_name) if uses_token else None,
            "origins": self._origins(where, slug, server, path, options),
            "upstream": self._upstream(where, path, options),
            **self._external(where, options["external_auth_url"], auth),
            "idle_timeout": problems.number(where, "idle_timeout", options["idle_timeout"], 1, 10**7),
            "connect_timeout": problems.number(where, "connect_timeout", options["connect_timeout"], 1, 75),
            "client_ip_header": self._header(where, "client_ip_header", options["client_ip_header"]),
            "forward_credentials": problems.flag(where, "forward_credentials", options["forward_credentials"]),
            "client_certificate_required": self._client_certificate_required(
                where, server["client_certificates"], options["client_certificate_required"]
            ),
            "extra_directives": problems.raw(where, "extra_directives", options["extra_directives"]),
        }
        if (
            server["client_certificates"]
            and location["client_ip_header"].lower() == server["client_certificates"]["subject_header"].lower()
        ):
            problems.add(where, "client_ip_header and the server's subject_header are the same; name two headers")
        location["limits"] = self._limits(where, location, options)
        location["forwarded"] = self._forwarded(location) if location["external"] else ""
        return location

    def _cookie(self, name: str) -> t.Dict[str, t.Any]:
        if name not in self.cookies:
            slug = _slug(name, (cookie["slug"] for cookie in self.cookies.values()))
            self.cookies[name] = {"name": name, "slug": slug, "patterns": cookie_patterns(name, slug)}
        return self.cookies[name]

    def _origins(
        self, where: str, slug: str, server: t.Dict[str, t.Any], path: str, options: t.Mapping[str, t.Any]
    ) -> t.Dict[str, t.Any]:
        problems = self.problems
        allowed: t.List[str] = []
        for index, item in enumerate(problems.items(where, "origins", options["origins"])):
            here = f"{where}, origins[{index}]"
            origin = str(item).lower()
            match = _parsed(ORIGIN, origin)
            if not match:
                problems.add(
                    here,
                    f"{shown(item)} is not scheme://host[:port], such as https://app.example.com, with nothing after it",
                )
                continue
            if match["port"]:
                port = problems.number(here, "port", match["port"], 1, 65535)
                if DEFAULT_PORTS.get(match["scheme"]) == port:
                    problems.add(
                        here, f"{item!r} names the default port, which no browser sends; leave :{match['port']} out"
                    )
            allowed.append(origin)
        origins = {
            "slug": slug,
            "server": server["name"],
            "path": path,
            "allowed": list(dict.fromkeys(allowed if options["origins"] else self._own_origins(where, server))),
            "missing": problems.flag(where, "allow_missing_origin", options["allow_missing_origin"]),
        }
        self.origins.append(origins)
        return origins

    def _own_origins(self, where: str, server: t.Dict[str, t.Any]) -> t.List[str]:
        """What a page that this very server delivers over https sends as its Origin (RFC 6454 6.1)."""
        origins = self._https_origins(server)
        if not origins:
            self.problems.add(
                where,
                "origins is empty, and the server has no plain name and https port to derive them from; list the origins",
            )
        return origins

    def _https_origins(self, server: t.Mapping[str, t.Any]) -> t.List[str]:
        names = [name.lower() for name in server["server_names"] if name != "_" and "*" not in name]
        ports = dict.fromkeys(entry["port"] for entry in server["listeners"] if entry["port"] and entry["tls"])
        return [f"https://{name}" + ("" if port == 443 else f":{port}") for name in names for port in ports]

    def _upstream(self, where: str, path: str, options: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        given = str(options["upstream"])
        if given in self.upstreams:
            group = self.upstreams[given]
            for key in ("upstream_verify_enabled", "upstream_ca_path", "upstream_tls_name"):
                if options[key] not in (None, ""):
                    problems.add(
                        where,
                        f"{key} has no effect on an upstream from wss_proxy_upstreams; set it there, without 'upstream_'",
                    )
            return {"url": f"{group['scheme']}://{given}{path}", "path": path, "tls": group["tls"]}
        match = _parsed(UPSTREAM_URL, given)
        if not match:
            known = ", ".join(sorted(self.upstreams)) or "none"
            problems.add(
                where,
                f"upstream {shown(given)} is neither a URL such as http://127.0.0.1:8080, https://…, ws://…, wss://… or "
                f"http://unix:/path.sock, nor a name from wss_proxy_upstreams (there: {known})",
            )
            return {"url": "", "path": "", "tls": None}
        scheme = SCHEMES[match["scheme"]]
        host = match["host"] or ""
        if match["unix"]:
            self._unix_path(where, match["unix"])
            # nginx writes the path of a request behind a colon: https://nginx.org/r/proxy_pass
            target = f"unix:{match['unix']}:{path}"
        else:
            target = f"{self._host_and_port(where, 'upstream', match)}{match['path'] or path}"
            if host.lower() in (name.lower() for name in self.upstreams):
                problems.add(
                    where,
                    f"upstream {given!r} has the name of one in wss_proxy_upstreams for its host; write upstream: {host}",
                )
            if path.endswith("/") and match["path"] and not match["path"].endswith("/"):
                # nginx replaces the one by the other: /app/x would become /pathx.
                problems.add(where, f"path {path!r} ends with /, so the upstream's path {match['path']!r} must, too")
        tls = self._upstream_tls(where, "upstream_", options, scheme, bool(host) and not _is_loopback(host), host)
        return {"url": f"{scheme}://{target}", "path": match["path"] or path, "tls": tls}

    def _host_and_port(self, where: str, what: str, url: t.Match[str]) -> str:
        port = self.problems.number(where, f"{what} port", url["port"] or DEFAULT_PORTS[url["scheme"]], 1, 65535)
        return f"{url['host']}:{port}"

    def _external(self, where: str, given: t.Any, auth: str) -> t.Dict[str, t.Any]:
        """The operator's own service that decides, and how nginx checks that it is the one."""
        problems = self.problems
        nothing = {"external": "", "external_tls": None}
        url = str(given)
        if auth != "external":
            if url:
                problems.add(where, f"external_auth_url goes with auth: external, not with {auth}")
            return nothing
        match = _parsed(UPSTREAM_URL, url)
        if not match or match["scheme"] not in ("http", "https") or match["unix"]:
            problems.add(
                where,
                f"auth external needs external_auth_url, the http(s) URL of the service that decides ({shown(url)} is none)",
            )
            return nothing
        host = match["host"]
        if host.lower() in (name.lower() for name in self.upstreams):
            problems.add(
                where,
                f"external_auth_url {url!r} has the name of one in wss_proxy_upstreams for its host; name the service's own host",
            )
        is_verified = not _is_loopback(host)
        if match["scheme"] == "https" and is_verified and _is_address(host):
            problems.add(
                where,
                "external_auth_url is https at an address, and a certificate is checked against a host name; name the host",
            )
        # Without a path, the service would be asked for the internal one.
        target = f"{self._host_and_port(where, 'external_auth_url', match)}{match['path'] or '/'}"
        return {
            "external": f"{match['scheme']}://{target}",
            "external_tls": None
            if match["scheme"] == "http"
            else {
                "verified": is_verified,
                "ca_path": self.context["ca_bundle_path"],
                "name": "" if _is_address(host) else host,
            },
        }

    def _forwarded(self, location: t.Mapping[str, t.Any]) -> str:
        """The path and the query that the upstream gets, byte by byte, for the service that decides.

        nginx has no variable for it. The upstream's path takes the place of the location's; behind it comes the rest of
        what nginx has decoded and resolved, encoded anew.
        """
        path = location["upstream"]["path"]
        if location["exact"]:
            return f"{path}$is_args$args"
        folder = re.escape(location["path"][:-1])
        encoded = [PLAIN_CHARACTERS, ENCODED_CHARACTERS] + [ENCODED_CHARACTERS_LATER] * (self._version() >= (1, 21, 1))
        # No '.', '..' or empty part, which nginx would resolve.
        resolved = rf"(?![^?]*/\.{{0,2}}/)(?<wss_below>/(?:{'|'.join(encoded)})*)(?<!/\.)(?<!/\.\.)"
        self.forwarded.append(
            {
                "slug": location["slug"],
                "path": location["path"],
                "plain": f"^{folder}(?<wss_below>/{PLAIN_CHARACTERS}*)$",
                # Already as nginx would write it.
                "encoded": rf"^{folder}{resolved}(?:\?|$)",
            }
        )
        return f"{path[:-1]}$wss_path_{location['slug']}$is_args$args"

    def _client_certificate_required(
        self, where: str, client_certificates: t.Optional[t.Mapping[str, t.Any]], given: t.Any
    ) -> bool:
        """What the location adds to the server's own demand."""
        if given is None:
            return False
        is_required = self.problems.flag(where, "client_certificate_required", given)
        if is_required and not client_certificates:
            self.problems.add(where, "client_certificate_required needs client_certificates on the server")
        if not is_required and client_certificates and client_certificates["required"]:
            self.problems.add(
                where,
                "the server asks every path for a client certificate; set client_certificates.required: false there",
            )
        return is_required

    def _limits(self, where: str, location: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]) -> t.Dict[str, int]:
        problems = self.problems
        attempts = problems.number(where, "max_attempts_per_second", options["max_attempts_per_second"], 0, 10**6)
        per_address = problems.number(where, "max_sessions_per_address", options["max_sessions_per_address"], 0, 65535)
        per_token = problems.number(where, "max_sessions_per_token", options["max_sessions_per_token"], 0, 65535)
        if per_token and not location["uses_token"]:
            problems.add(where, f"max_sessions_per_token goes with a token; auth is {location['auth']}")
        slug = location["slug"]
        # A reload refuses a zone that has another key than before: 64 tells these from those of earlier versions.
        if attempts:
            self.zones.append(
                {"kind": "req", "key": "$wss_network", "name": f"wss_attempts64_{slug}", "rate": attempts}
            )
        if per_address:
            self.zones.append({"kind": "conn", "key": "$wss_network", "name": f"wss_sessions64_{slug}", "rate": 0})
        if per_token and location["cookie"]:
            key = f"$wss_token_{location['cookie']['slug']}"
            self.zones.append({"kind": "conn", "key": key, "name": _token_zone(location), "rate": 0})
        return {"attempts": attempts, "sessions_per_address": per_address, "sessions_per_token": per_token}

    def _check_paths(self, where: str, server: t.Mapping[str, t.Any]) -> None:
        seen: t.Set[str] = set()
        paths = [entry["path"] for entry in server["locations"]]
        for path in paths + [server["connection_check_path"]] * bool(server["connection_check_path"]):
            if path in seen:
                self.problems.add(where, f"path {path!r} is used twice; each location needs its own")
            seen.add(path)
            if f"{path}/".startswith(f"{INTERNAL_PATH}/"):
                self.problems.add(
                    where, f"path {path!r} is among the gate's own, below {INTERNAL_PATH}/; choose another"
                )
        if "/" in seen and server["root"]:
            self.problems.add(where, "a location / and a static root both want every other path; keep one of them")

    # -- across servers ----------------------------------------------------------------------------------------

    def _check_across_servers(self) -> None:
        names: t.Set[str] = set()
        served: t.Dict[t.Tuple[str, str], str] = {}
        protocols: t.Dict[str, t.Tuple[bool, str]] = {}
        tls_of: t.Dict[str, t.Tuple[bool, str]] = {}
        http2_of: t.Dict[str, t.Tuple[bool, str]] = {}
        guarded: t.Dict[str, t.Tuple[t.Tuple[str, str], str]] = {}
        defaults: t.Dict[str, str] = {}
        verified: t.Dict[str, t.Tuple[t.Dict[str, t.Any], str]] = {}
        for server in self.servers:
            where = f"server {server['name']!r}"
            self._check_client_certificates(server, verified)
            if server["name"].lower() in names:
                self.problems.add(where, "two servers have this name; give each its own")
            names.add(server["name"].lower())
            seen: t.Set[str] = set()
            for address, entry in [(a, listener) for listener in server["listeners"] for a in listener["addresses"]]:
                for name in server["server_names"]:
                    other = served.setdefault((address, name.lower()), server["name"])
                    if other != server["name"]:
                        self.problems.add(
                            where,
                            f"{name!r} on {address} is served by server {other!r} already; give one of them another name or port",
                        )
                self._same(where, address, "PROXY protocol", "plain connections", entry["proxy_protocol"], protocols)
                self._same(where, address, "TLS", "plain text", entry["tls"], tls_of)
                if entry["tls"] and not self._has_http2_directive():
                    # There it is a parameter of the socket, and one server has it for all.
                    self._same(where, address, "HTTP/2", "HTTP/1.1 alone", server["http2_enabled"], http2_of)
                guard = guarded.setdefault(address, ((entry["unix_mode"], entry["unix_group"]), where))
                if entry["unix"] and guard[0] != (entry["unix_mode"], entry["unix_group"]):
                    self.problems.add(
                        where,
                        f"{address} has another unix_mode or unix_group in {guard[1]}; one socket has one of each",
                    )
                if entry["default_server"] and defaults.setdefault(address, server["name"]) != server["name"]:
                    self.problems.add(
                        where, f"server {defaults[address]!r} is the default server of {address} already; keep one"
                    )
                if address in seen:
                    self.problems.add(where, f"it listens on {address} twice; keep one")
                seen.add(address)

    def _check_client_certificates(
        self, server: t.Mapping[str, t.Any], verified: t.Dict[str, t.Tuple[t.Dict[str, t.Any], str]]
    ) -> None:
        """One address, one way to verify clients.

        nginx verifies a client in the default server of the address unless TLS names a server, and compares that name
        with the request's only where there is one: what the laxer of two servers took would open the stricter one.
        """
        clients = server["client_certificates"]
        if not clients:
            return
        where = f"server {server['name']!r}, client_certificates"
        own = {key: clients[key] for key in ("ca_path", "crl_path", "depth")}
        clashes: t.Set[t.Tuple[str, str]] = set()
        for address in _tls_addresses(server):
            theirs, other = verified.setdefault(address, (own, f"server {server['name']!r}"))
            keys = ", ".join(key for key in own if own[key] != theirs[key])
            # Most servers have an IPv4 and an IPv6 address: one sentence for both.
            if keys and (keys, other) not in clashes:
                clashes.add((keys, other))
                self.problems.add(
                    where,
                    f"{keys} differs from that of {other} on {address}, and a client that names no server in TLS is verified "
                    "once for all of an address; give both the same ca_path, crl_path and depth, or one of them another port "
                    "or address",
                )

    def _decide_resumption(self) -> None:
        """No server of an address resumes TLS where one of them asks for client certificates.

        A resumed session keeps the verdict of its first handshake, whatever has been revoked or has expired since, and
        nginx goes by the address's default server when it decides whether to resume one.
        """
        asking = [server for server in self.servers if server["client_certificates"]]
        verifying = {address for server in asking for address in _tls_addresses(server)}
        for server in self.servers:
            server["tls_resumption"] = verifying.isdisjoint(_tls_addresses(server))

    def _same(
        self, where: str, address: str, yes: str, no: str, value: bool, seen: t.Dict[str, t.Tuple[bool, str]]
    ) -> None:
        known = seen.setdefault(address, (value, where))
        if known[0] != value:
            self.problems.add(
                where,
                f"{address} has {yes if value else no} here and {no if value else yes} in {known[1]}; one address takes one kind",
            )

    def _check_redirects(self) -> None:
        """A port that redirects serves nothing else, and each name is redirected once: nginx would ignore the second."""
        listened = {
            address for server in self.servers for entry in server["listeners"] for address in entry["addresses"]
        }
        redirected: t.Set[t.Tuple[str, str]] = set()
        for server in self.servers:
            redirect = server["redirect"]
            if not redirect:
                continue
            if listened.intersection(redirect["addresses"]):
                self.problems.add(
                    f"server {server['name']!r}",
                    f"port {redirect['port']} cannot both redirect to https and be listened on; set http_redirect_enabled: false or another http_redirect_port",
                )
            self.redirect_addresses = list(dict.fromkeys(self.redirect_addresses + redirect["addresses"]))
            # '_' is nobody's name: what it stands for, anybody may claim in Host.
            names = [name for name in server["server_names"] if name != "_"]
            wanted = {name.lower(): {(address, name.lower()) for address in redirect["addresses"]} for name in names}
            redirect["server_names"] = [name for name in names if wanted[name.lower()] - redirected]
            redirected.update(*wanted.values())
            if not redirect["server_names"]:
                server["redirect"] = None

    def _clear_identity_headers(self) -> None:
        """What one location sets, every other one has to clear: upstreams of all of them may trust it."""
        names = {name.lower(): name for name in IDENTITY_HEADERS}
        for server in self.servers:
            for name in _subject_headers(server) + [location["client_ip_header"] for location in server["locations"]]:
                names.setdefault(name.lower(), name)
        for server in self.servers:
            for location in server["locations"]:
                own = {name.lower() for name in [*_subject_headers(server), location["client_ip_header"]]}
                location["cleared_headers"] = [name for key, name in names.items() if key not in own]

    def _check_verifications(self) -> None:
        """One https address, one verification: nginx resumes the TLS session of an address in every location, verified there or not."""
        seen: t.Dict[str, t.Tuple[t.Any, str]] = {}
        for server in self.servers:
            for location in server["locations"]:
                where = f"server {server['name']!r}, location {location['path']!r}"
                for url, tls in (
                    (location["upstream"]["url"], location["upstream"]["tls"]),
                    (location["external"], location["external_tls"]),
                ):
                    rest = url.partition("://")[2]
                    address = rest.rpartition(":")[0] if rest.startswith("unix:") else rest.partition("/")[0]
                    # Those of wss_proxy_upstreams have one verification each.
                    if not tls or address in self.upstreams:
                        continue
                    known = seen.setdefault(address.lower(), (tls, where))
                    if known[0] != tls:
                        self.problems.add(
                            where,
                            f"https://{address} is verified differently in {known[1]}, and nginx would resume the TLS session of the one for the other; "
                            "give both the same settings, or list the upstream in wss_proxy_upstreams once for each",
                        )


def gate_errors(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.List[str]:
    """All that is wrong with the servers, one sentence each; empty when nothing is."""
    return _Builder(servers, context or {}).problems.found


def gate_model(servers: t.Any, context: t.Optional[t.Mapping[str, t.Any]] = None) -> t.Dict[str, t.Any]:
    """What the templates render.

    Raises GateError when gate_errors would find anything.
    """
    builder = _Builder(servers, context or {})
    if builder.problems.found:
        raise GateError("\n".join(builder.problems.found))
    return builder.model()
