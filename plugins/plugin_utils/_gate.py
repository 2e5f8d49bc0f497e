# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an operator writes to what the templates of role wss_proxy render.

Everything that goes into the configuration passes through here, where it is checked against a pattern that
leaves no way to smuggle a second directive in (the one exception is ``extra_directives``, raw by intent).
Nothing here imports Ansible, so all of it runs in unit tests.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.wssgate.nginx.plugins.module_utils._token_pattern import TOKEN_PATTERN

AUTH_KINDS = ("token", "basic", "token_or_basic", "token_and_basic", "external", "none")
BALANCING_METHODS = ("round_robin", "least_conn", "ip_hash", "random", "hash")
TLS_PROFILES = ("intermediate", "modern")

# sun_path of struct sockaddr_un holds 108 bytes, the last of them NUL: unix(7).
UNIX_PATH_MAX_BYTES = 107

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SERVER_NAME = re.compile(r"_|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252})")
LOCATION_PATH = re.compile(r"/[A-Za-z0-9._~@+,=:/-]*")
FILE_PATH = re.compile(r"/[A-Za-z0-9._@+,=:/-]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]+\])"
ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>" + HOST + r")(?::(?P<port>[0-9]{1,5}))?")
UPSTREAM_URL = re.compile(
    r"(?P<scheme>https?|wss?)://(?:unix:(?P<unix>/[A-Za-z0-9._@+,=/-]+)|(?P<host>" + HOST + r")(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~@+,=:/-]*)?)"
)
PEER = re.compile(r"unix:(?P<unix>/[A-Za-z0-9._@+,=/-]+)|(?P<host>" + HOST + r"):(?P<port>[0-9]{1,5})")
SIZE = re.compile(r"[0-9]{1,9}[kKmMgG]?")
REALM = re.compile(r"[A-Za-z0-9 ._,:()/-]{1,64}")
MODE = re.compile(r"0?[0-7]{3}")
HASH_KEY = re.compile(r"(?:\$[a-z_][a-z0-9_]*)+(?: consistent)?")

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


class GateError(ValueError):
    """What was asked for cannot become a gate; the text says what, where and what to do, one line a problem."""


class _Problems:
    """Collects what is wrong, so that an operator sees all of it in one go."""

    def __init__(self) -> None:
        self.found: t.List[str] = []

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def matches(self, where: str, key: str, value: t.Any, pattern: t.Pattern[str], wanted: str) -> str:
        """The value as text, complained about unless the whole of it fits the pattern."""
        text = "" if value is None else str(value)
        if not pattern.fullmatch(text):
            self.add(where, f"{key} {text!r} is not {wanted}")
        return text

    def number(self, where: str, key: str, value: t.Any, low: int, high: int) -> int:
        """A whole number within bounds, or the lower bound with a complaint."""
        try:
            if isinstance(value, bool):
                raise ValueError(value)
            number = int(str(value))
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            self.add(where, f"{key} {value!r} is not a whole number from {low} to {high}")
            return low
        return number

    def flag(self, where: str, key: str, value: t.Any) -> bool:
        """A boolean in any of YAML's spellings."""
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        if text in ("true", "yes", "on", "1"):
            return True
        if text not in ("false", "no", "off", "0"):
            self.add(where, f"{key} {value!r} is neither true nor false")
        return False

    def choice(self, where: str, key: str, value: t.Any, choices: t.Sequence[str]) -> str:
        text = str(value)
        if text not in choices:
            self.add(where, f"{key} {text!r} is none of {', '.join(choices)}")
        return text

    def unknown_keys(self, where: str, given: t.Mapping[str, t.Any], known: t.Iterable[str]) -> None:
        """A misspelt option must not silently mean its default."""
        for key in sorted(set(given) - set(known)):
            self.add(where, f"there is no option {key!r} here")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _slug(text: str) -> str:
    """A part of an nginx variable's or zone's name."""
    return re.sub(r"[^A-Za-z0-9]", "_", text)


def cookie_patterns(name: str, slug: str) -> t.Dict[str, str]:
    """The regular expressions of the two maps that read one cookie out of a Cookie header (RFC 6265 4.2.1).

    ``token``: the cookie exactly once, in its exact case, with a value that can be a token, which it captures.
    ``absent``, ``first`` and ``later`` capture what else stands in the header where the cookie is not there at all, is
    the first, or follows others.

    Each step is possessive, so a long header costs one pass and cannot be made to backtrack.
    """
    cookie = re.escape(name)
    # Any spelling that some server would read as this cookie counts as a second one: blanks around its name, too.
    other = rf"(?![ \t]*{cookie}[ \t]*=)[^;]*+"
    this = rf"{cookie}={TOKEN_PATTERN}"
    return {
        "token": rf"^(?:{other};)*+[ \t]?{cookie}=(?<wss_value_{slug}>{TOKEN_PATTERN})(?:;{other})*+$",
        "absent": rf"^(?<wss_all_{slug}>{other}(?:;{other})*+)$",
        "first": rf"^{this}(?:;[ \t]?(?<wss_after_{slug}>{other}(?:;{other})*+))?$",
        "later": rf"^(?<wss_before_{slug}>{other}(?:;{other})*+);[ \t]?{this}(?<wss_behind_{slug}>(?:;{other})*+)$",
    }


LISTEN_DEFAULTS: t.Dict[str, t.Any] = {
    "port": None,
    "address": "",
    "unix": "",
    "unix_mode": "0660",
    "tls": True,
    "proxy_protocol": False,
    "default_server": False,
}

SERVER_DEFAULTS: t.Dict[str, t.Any] = {
    "name": "",
    "server_names": [],
    "listen": [{"port": 443}],
    "certificate": [],
    "locations": [],
    "http_redirect_enabled": None,
    "http_redirect_port": None,
    "auth": "none",
    "htpasswd_file": "",
    "realm": "Restricted",
    "root": "",
    "index": ["index.html"],
    "error_pages": [],
    "trusted_proxies": [],
    "real_ip_header": "",
    "hsts_max_age": 0,
    "http2_enabled": False,
    "client_max_body_size": "",
    "client_certificates": {},
    "connection_check_path": "",
    "extra_directives": "",
}

LOCATION_DEFAULTS: t.Dict[str, t.Any] = {
    "path": "",
    "upstream": "",
    "auth": "",
    "cookie_name": "AUTH",
    "origins": [],
    "allow_missing_origin": False,
    "htpasswd_file": "",
    "realm": "",
    "external_auth_url": "",
    "idle_timeout": 75,
    "connect_timeout": 5,
    "max_attempts_per_second": 0,
    "max_sessions_per_address": 0,
    "max_sessions_per_token": 0,
    "client_ip_header": "X-Client-IP",
    "forward_credentials": False,
    "upstream_verify_enabled": None,
    "upstream_ca_path": "",
    "upstream_tls_name": "",
    "client_certificate_required": None,
    "extra_directives": "",
}

CLIENT_CERTIFICATES_DEFAULTS: t.Dict[str, t.Any] = {
    "ca_path": "",
    "crl_path": "",
    "required": True,
    "subject_header": "X-Client-Subject",
    "depth": 1,
}

UPSTREAM_DEFAULTS: t.Dict[str, t.Any] = {
    "name": "",
    "scheme": "http",
    "servers": [],
    "balancing": "round_robin",
    "hash_key": "$remote_addr consistent",
    "verify_enabled": None,
    "ca_path": "",
    "tls_name": "",
}

PEER_DEFAULTS: t.Dict[str, t.Any] = {
    "address": "",
    "weight": 1,
    "max_fails": 1,
    "fail_timeout": 10,
    "backup": False,
    "down": False,
}

CONTEXT_DEFAULTS: t.Dict[str, t.Any] = {
    "upstreams": [],
    "certificates": [],
    "certificates_directory": "/etc/nginx/certificates",
    "htpasswd_files": [],
    "token_store_path": "",
    "nginx_version": "1.22.1",
    "ipv6": True,
    "ca_bundle_path": "/etc/ssl/certs/ca-certificates.crt",
    "http_redirect_enabled": True,
    "http_redirect_port": 80,
}


class _Builder:
    """Walks the operator's servers once, collecting problems and the model side by side."""

    def __init__(self, servers: t.Any, context: t.Mapping[str, t.Any]) -> None:
        self.problems = _Problems()
        self.context = {**CONTEXT_DEFAULTS, **context}
        self.version = tuple(int(part) for part in re.findall(r"[0-9]+", str(self.context["nginx_version"]))[:3])
        self.certificates = {c["name"]: c for c in self.context["certificates"] if "name" in c}
        self.upstreams = self._upstreams(self.context["upstreams"])
        self.cookies: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.origins: t.List[t.Dict[str, t.Any]] = []
        self.zones: t.List[t.Dict[str, t.Any]] = []
        self.servers = [self._server(i, s) for i, s in enumerate(servers or [])]
        self._check_across_servers()

    def model(self) -> t.Dict[str, t.Any]:
        return {
            "servers": self.servers,
            "upstreams": [u for u in self.upstreams.values()],
            "cookies": list(self.cookies.values()),
            "origins": self.origins,
            "zones": self.zones,
            "token_store_path": str(self.context["token_store_path"]).rstrip("/"),
            "has_http2_directive": self.version >= (1, 25, 1),
            # Before 1.23.2 ticket keys never change while nginx runs: a stolen key would open every recorded session.
            "has_rotating_tickets": self.version >= (1, 23, 2),
        }

    # -- upstreams ---------------------------------------------------------------------------------------------

    def _upstreams(self, given: t.Any) -> t.Dict[str, t.Dict[str, t.Any]]:
        problems = self.problems
        upstreams: t.Dict[str, t.Dict[str, t.Any]] = {}
        for index, item in enumerate(given or []):
            where = f"wss_proxy_upstreams[{index}]"
            problems.unknown_keys(where, item, UPSTREAM_DEFAULTS)
            u = {**UPSTREAM_DEFAULTS, **item}
            name = problems.matches(where, "name", u["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
            where = f"upstream {name!r}"
            if name in upstreams:
                problems.add(where, "this name is used twice in wss_proxy_upstreams; give each upstream its own")
            scheme = problems.choice(where, "scheme", u["scheme"], tuple(SCHEMES))
            balancing = problems.choice(where, "balancing", u["balancing"], BALANCING_METHODS)
            hash_key = str(u["hash_key"])
            if balancing == "hash":
                problems.matches(where, "hash_key", hash_key, HASH_KEY, "a list of nginx variables such as '$remote_addr consistent'")
            peers = [self._peer(where, i, p) for i, p in enumerate(u["servers"] or [])]
            if not peers:
                problems.add(where, "servers is empty; name at least one address")
            elif all(p["backup"] for p in peers):
                problems.add(where, "every server is a backup; at least one must not be")
            if balancing in ("ip_hash", "hash", "random") and any(p["backup"] for p in peers):
                problems.add(where, f"nginx has no backup servers with balancing {balancing}; use round_robin or least_conn")
            tls = SCHEMES.get(scheme) == "https"
            outside = [p for p in peers if not p["local"]]
            tls_name = str(u["tls_name"] or "")
            if not tls_name and outside and len({p["host"] for p in outside}) == 1:
                tls_name = outside[0]["host"]
            upstreams[name] = {
                "name": name,
                "scheme": SCHEMES.get(scheme, "http"),
                "balancing": balancing,
                "hash_key": hash_key,
                "peers": peers,
                "tls": self._upstream_tls(where, tls, bool(outside), u["verify_enabled"], u["ca_path"], tls_name, "tls_name"),
            }
        return upstreams

    def _peer(self, where: str, index: int, item: t.Any) -> t.Dict[str, t.Any]:
        problems = self.problems
        where = f"{where}, servers[{index}]"
        item = {"address": item} if isinstance(item, str) else item
        problems.unknown_keys(where, item, PEER_DEFAULTS)
        p = {**PEER_DEFAULTS, **item}
        address = str(p["address"])
        match = PEER.fullmatch(address)
        if not match:
            problems.add(where, f"address {address!r} is neither host:port nor unix:/path")
        host = (match and match["host"]) or ""
        if match and match["unix"]:
            self._unix_path(where, match["unix"])
        if match and match["port"]:
            problems.number(where, "port", match["port"], 1, 65535)
        return {
            "address": address,
            "host": host,
            "local": not host or _is_loopback(host),
            "weight": problems.number(where, "weight", p["weight"], 1, 65535),
            "max_fails": problems.number(where, "max_fails", p["max_fails"], 0, 65535),
            "fail_timeout": problems.number(where, "fail_timeout", p["fail_timeout"], 1, 86400),
            "backup": problems.flag(where, "backup", p["backup"]),
            "down": problems.flag(where, "down", p["down"]),
        }

    def _upstream_tls(
        self, where: str, tls: bool, outside: bool, verify: t.Any, ca_path: t.Any, name: str, name_key: str
    ) -> t.Optional[t.Dict[str, t.Any]]:
        """How nginx checks an https upstream. On loopback nobody can stand in between, so there it need not."""
        problems = self.problems
        if not tls:
            return None
        verified = outside if verify is None else problems.flag(where, "verification", verify)
        if ca_path:
            problems.matches(where, "CA path", ca_path, FILE_PATH, "an absolute path")
        if verified and not name:
            problems.add(where, f"an https upstream is verified by its name, and several or none are given: set {name_key}")
        if name:
            problems.matches(where, name_key, name, re.compile(HOST), "a host name")
        return {
            "verified": verified,
            "ca_path": str(ca_path or self.context["ca_bundle_path"]),
            # An address is no name to ask for: RFC 6066 3.
            "name": name if verified or not _is_address(name) else "",
        }

    def _unix_path(self, where: str, path: str) -> None:
        length = len(path.encode())
        if length > UNIX_PATH_MAX_BYTES:
            self.problems.add(where, f"the unix socket's path is {length} bytes long; the system takes {UNIX_PATH_MAX_BYTES} at most")

    # -- servers -----------------------------------------------------------------------------------------------

    def _server(self, index: int, item: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        where = f"wss_proxy_servers[{index}]"
        problems.unknown_keys(where, item, SERVER_DEFAULTS)
        s = {**SERVER_DEFAULTS, **item}
        name = problems.matches(where, "name", s["name"], NAME, "a name of letters, digits, '.', '_' and '-'")
        where = f"server {name!r}"
        server_names = [
            problems.matches(where, "server name", n, SERVER_NAME, "a host name, '*.' and a host name, or '_'")
            for n in (s["server_names"] or [name])
        ]
        trusted = self._trusted_proxies(where, s["trusted_proxies"] or [])
        listeners = self._listeners(where, s["listen"] or [], bool(trusted))
        tls = any(entry["tls"] for entry in listeners)
        redirect = s["http_redirect_enabled"]
        redirect_enabled = problems.flag(
            where, "http_redirect_enabled", self.context["http_redirect_enabled"] if redirect is None else redirect
        )
        tls_ports = [entry["port"] for entry in listeners if entry["tls"] and entry["port"]]
        redirect_port = problems.number(
            where, "http_redirect_port", s["http_redirect_port"] or self.context["http_redirect_port"], 1, 65535
        )
        server: t.Dict[str, t.Any] = {
            "name": name,
            "slug": _slug(name),
            "server_names": server_names,
            "listeners": listeners,
            "tls": tls,
            "certificates": self._certificates(where, s["certificate"], tls),
            "client_certificates": self._client_certificates(where, s["client_certificates"], tls),
            "redirect": None,
            "auth": problems.choice(where, "auth", s["auth"], ("none", "basic")),
            "htpasswd_path": "",
            "realm": problems.matches(where, "realm", s["realm"], REALM, "1 to 64 letters, digits, blanks and . _ , : ( ) / -"),
            "root": self._optional_path(where, "root", s["root"]),
            "index": [problems.matches(where, "index", i, re.compile(r"[A-Za-z0-9._-]+"), "a file name") for i in s["index"]],
            "error_pages": self._error_pages(where, s["error_pages"] or [], s["root"]),
            "trusted_proxies": trusted,
            "real_ip_header": "",
            "hsts_max_age": problems.number(where, "hsts_max_age", s["hsts_max_age"], 0, 10**9),
            "http2_enabled": problems.flag(where, "http2_enabled", s["http2_enabled"]),
            "client_max_body_size": "",
            "connection_check_path": "",
            "extra_directives": str(s["extra_directives"] or "").rstrip(),
        }
        if s["client_max_body_size"] not in ("", None):
            server["client_max_body_size"] = problems.matches(
                where, "client_max_body_size", s["client_max_body_size"], SIZE, "a size such as 500m"
            )
        if s["connection_check_path"]:
            server["connection_check_path"] = problems.matches(
                where, "connection_check_path", s["connection_check_path"], LOCATION_PATH, "a path that starts with /"
            )
        if redirect_enabled and tls_ports:
            server["redirect"] = {
                "port": redirect_port,
                "to": "" if tls_ports[0] == 443 else f":{tls_ports[0]}",
                "addresses": self._addresses("", redirect_port),
            }
        if server["auth"] == "basic":
            server["htpasswd_path"] = self._htpasswd(where, s["htpasswd_file"])
        if trusted:
            if any(entry["proxy_protocol"] for entry in listeners):
                server["real_ip_header"] = "proxy_protocol"
            else:
                server["real_ip_header"] = problems.matches(
                    where, "real_ip_header", s["real_ip_header"] or "X-Forwarded-For", HEADER_NAME, "a header's name"
                )
        elif s["real_ip_header"]:
            problems.add(where, "real_ip_header without trusted_proxies would let every client choose its address; name the proxies")
        locations = s["locations"] or []
        if not locations and not server["root"]:
            problems.add(where, "locations is empty; name at least one path with its upstream")
        server["locations"] = [self._location(where, server, s, i, item) for i, item in enumerate(locations)]
        self._check_locations(where, server)
        return server

    def _addresses(self, address: str, port: int) -> t.List[str]:
        if address:
            return [f"{address}:{port}"]
        return [str(port)] + ([f"[::]:{port}"] if self.context["ipv6"] else [])

    def _listeners(self, where: str, given: t.Sequence[t.Mapping[str, t.Any]], has_trusted: bool) -> t.List[t.Dict[str, t.Any]]:
        problems = self.problems
        listeners = []
        if not given:
            problems.add(where, "listen is empty; name at least one port, such as [{port: 443}]")
        for index, item in enumerate(given):
            here = f"{where}, listen[{index}]"
            problems.unknown_keys(here, item, LISTEN_DEFAULTS)
            entry = {**LISTEN_DEFAULTS, **item}
            unix = str(entry["unix"] or "")
            port = 0
            address = str(entry["address"] or "")
            if unix:
                problems.matches(here, "unix", unix, FILE_PATH, "an absolute path")
                self._unix_path(here, unix)
                if entry["port"] is not None or address:
                    problems.add(here, "a unix socket has neither port nor address; name one of them only")
                addresses = [f"unix:{unix}"]
            else:
                port = problems.number(here, "port", entry["port"], 1, 65535)
                address = self._address(here, address)
                addresses = self._addresses(address, port)
            proxy_protocol = problems.flag(here, "proxy_protocol", entry["proxy_protocol"])
            if proxy_protocol and not has_trusted:
                problems.add(here, "proxy_protocol without trusted_proxies would let every client choose its address; name the proxies")
            listeners.append(
                {
                    "port": port,
                    "unix": unix,
                    "unix_mode": problems.matches(here, "unix_mode", entry["unix_mode"], MODE, "an octal mode such as '0660'"),
                    "addresses": addresses,
                    "tls": problems.flag(here, "tls", entry["tls"]),
                    "proxy_protocol": proxy_protocol,
                    "default_server": problems.flag(here, "default_server", entry["default_server"]),
                }
            )
        return listeners

    def _address(self, where: str, address: str) -> str:
        if not address:
            return ""
        try:
            parsed = ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            self.problems.add(where, f"address {address!r} is not an IP address")
            return ""
        return f"[{parsed}]" if parsed.version == 6 else str(parsed)

    def _certificates(self, where: str, given: t.Any, tls: bool) -> t.List[t.Dict[str, str]]:
        names = [given] if isinstance(given, str) else list(given or [])
        names = [n for n in names if n]
        if tls and not names:
            self.problems.add(where, "it listens with TLS and names no certificate; set certificate to a name from certificates_list")
        found = []
        for name in names:
            certificate = self.certificates.get(name)
            if certificate is None:
                known = ", ".join(sorted(self.certificates)) or "none"
                self.problems.add(where, f"certificate {name!r} is not in certificates_list (there: {known})")
                continue
            directory = f"{str(self.context['certificates_directory']).rstrip('/')}/{name}"
            found.append(
                {
                    "certificate": str(certificate.get("certificate_path") or f"{directory}/fullchain.pem"),
                    "key": str(certificate.get("key_path") or f"{directory}/privkey.pem"),
                }
            )
            for key, path in found[-1].items():
                self.problems.matches(f"certificate {name!r}", key, path, FILE_PATH, "an absolute path")
        return found

    def _client_certificates(self, where: str, given: t.Any, tls: bool) -> t.Optional[t.Dict[str, t.Any]]:
        problems = self.problems
        if not given:
            return None
        where = f"{where}, client_certificates"
        problems.unknown_keys(where, given, CLIENT_CERTIFICATES_DEFAULTS)
        c = {**CLIENT_CERTIFICATES_DEFAULTS, **given}
        if not tls:
            problems.add(where, "client certificates need a listener with TLS")
        return {
            "ca_path": problems.matches(where, "ca_path", c["ca_path"], FILE_PATH, "an absolute path"),
            "crl_path": self._optional_path(where, "crl_path", c["crl_path"]),
            "required": problems.flag(where, "required", c["required"]),
            "subject_header": problems.matches(where, "subject_header", c["subject_header"], HEADER_NAME, "a header's name"),
            "depth": problems.number(where, "depth", c["depth"], 1, 10),
        }

    def _trusted_proxies(self, where: str, given: t.Sequence[str]) -> t.List[str]:
        trusted = []
        for index, item in enumerate(given):
            here = f"{where}, trusted_proxies[{index}]"
            if item == "unix:":
                trusted.append("unix:")
                continue
            try:
                network = ipaddress.ip_network(str(item))
            except ValueError as error:
                self.problems.add(here, f"{item!r} is not an address or a network in CIDR notation ({error})")
                continue
            if network.prefixlen == 0:
                self.problems.add(here, f"{item} would trust the whole Internet to name a client's address; name the load balancers only")
            trusted.append(str(item))
        return trusted

    def _error_pages(self, where: str, given: t.Sequence[t.Mapping[str, t.Any]], root: t.Any) -> t.List[t.Dict[str, t.Any]]:
        problems = self.problems
        pages = []
        for index, item in enumerate(given):
            here = f"{where}, error_pages[{index}]"
            problems.unknown_keys(here, item, ("codes", "path"))
            codes = [problems.number(here, "code", code, 400, 599) for code in item.get("codes") or []]
            if not codes:
                problems.add(here, "codes is empty; name at least one status such as 404")
            pages.append(
                {
                    "codes": codes,
                    "path": problems.matches(here, "path", item.get("path"), LOCATION_PATH, "a path that starts with /"),
                }
            )
        if pages and not root:
            problems.add(where, "error_pages are files below root; set root")
        return pages

    def _optional_path(self, where: str, key: str, value: t.Any) -> str:
        if not value:
            return ""
        return self.problems.matches(where, key, value, FILE_PATH, "an absolute path").rstrip("/")

    def _htpasswd(self, where: str, given: t.Any) -> str:
        """The file named, or the only one that there is."""
        known = [f["path"] for f in self.context["htpasswd_files"] if f.get("path")]
        if given:
            return self.problems.matches(where, "htpasswd_file", given, FILE_PATH, "an absolute path")
        if len(known) == 1:
            return self.problems.matches(where, "htpasswd_file", known[0], FILE_PATH, "an absolute path")
        self.problems.add(where, f"basic authentication needs htpasswd_file ({len(known)} files are in htpasswd_files)")
        return ""

    # -- locations ---------------------------------------------------------------------------------------------

    def _location(
        self, where: str, server: t.Dict[str, t.Any], given_server: t.Mapping[str, t.Any], index: int, item: t.Mapping[str, t.Any]
    ) -> t.Dict[str, t.Any]:
        problems = self.problems
        where = f"{where}, locations[{index}]"
        problems.unknown_keys(where, item, LOCATION_DEFAULTS)
        loc = {**LOCATION_DEFAULTS, **item}
        path = problems.matches(where, "path", loc["path"], LOCATION_PATH, "a path that starts with /")
        slug = f"{server['slug']}_{index}"
        auth = problems.choice(where, "auth", loc["auth"] or ("basic" if server["auth"] == "basic" else "token"), AUTH_KINDS)
        uses_token = auth.startswith("token")
        uses_basic = auth.endswith("basic")
        location: t.Dict[str, t.Any] = {
            "path": path,
            # /wss is that path alone; /app/ is everything below it. A prefix without its slash would take in /appfoo too.
            "exact": not path.endswith("/"),
            "slug": slug,
            "auth": auth,
            "uses_token": uses_token,
            "uses_basic": uses_basic,
            "htpasswd_path": self._htpasswd(where, loc["htpasswd_file"] or given_server.get("htpasswd_file")) if uses_basic else "",
            "realm": problems.matches(
                where, "realm", loc["realm"] or server["realm"], REALM, "1 to 64 letters, digits, blanks and . _ , : ( ) / -"
            ),
            "cookie": self._cookie(where, loc["cookie_name"]) if uses_token else None,
            "origins": self._origins(where, slug, server, loc),
            "upstream": self._upstream(where, path, loc),
            "external": self._external(where, loc["external_auth_url"], auth),
            "idle_timeout": problems.number(where, "idle_timeout", loc["idle_timeout"], 1, 10**7),
            "connect_timeout": problems.number(where, "connect_timeout", loc["connect_timeout"], 1, 75),
            "client_ip_header": problems.matches(where, "client_ip_header", loc["client_ip_header"], HEADER_NAME, "a header's name"),
            "forward_credentials": problems.flag(where, "forward_credentials", loc["forward_credentials"]),
            "client_certificate_required": False,
            "extra_directives": str(loc["extra_directives"] or "").rstrip(),
        }
        self._limits(where, location, loc)
        if loc["client_certificate_required"] is not None:
            location["client_certificate_required"] = problems.flag(
                where, "client_certificate_required", loc["client_certificate_required"]
            )
            if location["client_certificate_required"] and not server["client_certificates"]:
                problems.add(where, "client_certificate_required needs client_certificates on the server")
        if uses_token and not self.context["token_store_path"]:
            problems.add(where, f"auth {auth} needs a token store; set token_store_path")
        return location

    def _cookie(self, where: str, given: t.Any) -> t.Dict[str, t.Any]:
        name = self.problems.matches(where, "cookie_name", given, COOKIE_NAME, "1 to 64 letters, digits, '.', '_' and '-'")
        if name not in self.cookies:
            slug = _slug(name)
            if any(c["slug"] == slug for c in self.cookies.values()):
                slug = f"{slug}_{len(self.cookies)}"
            self.cookies[name] = {"name": name, "slug": slug, "patterns": cookie_patterns(name, slug)}
        return self.cookies[name]

    def _origins(self, where: str, slug: str, server: t.Dict[str, t.Any], loc: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        allowed: t.List[str] = []
        for index, item in enumerate(loc["origins"] or []):
            here = f"{where}, origins[{index}]"
            origin = str(item)
            match = ORIGIN.fullmatch(origin.lower())
            if not match:
                problems.add(here, f"{origin!r} is not scheme://host[:port], such as https://app.example.com, with nothing after it")
                continue
            if match["port"]:
                port = problems.number(here, "port", match["port"], 1, 65535)
                if DEFAULT_PORTS.get(match["scheme"]) == port:
                    problems.add(here, f"{origin!r} names the default port, which no browser sends; leave :{port} out")
            allowed.append(origin.lower())
        if not allowed:
            allowed = self._own_origins(where, server)
        origins = {
            "slug": slug,
            "server": server["name"],
            "path": loc["path"],
            "allowed": list(dict.fromkeys(allowed)),
            "missing": problems.flag(where, "allow_missing_origin", loc["allow_missing_origin"]),
        }
        self.origins.append(origins)
        return origins

    def _own_origins(self, where: str, server: t.Dict[str, t.Any]) -> t.List[str]:
        """What a page that this very server delivers sends as its Origin (RFC 6454 6.1)."""
        names = [n for n in server["server_names"] if n != "_" and "*" not in n]
        ports = [entry["port"] for entry in server["listeners"] if entry["port"]]
        if not names or not ports:
            self.problems.add(where, "origins is empty, and the server has no plain name and port to derive them from; list the origins")
        return ["https://" + name.lower() + ("" if port == 443 else f":{port}") for name in names for port in dict.fromkeys(ports)]

    def _upstream(self, where: str, path: str, loc: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        problems = self.problems
        given = str(loc["upstream"] or "")
        if given in self.upstreams:
            group = self.upstreams[given]
            return {"url": f"{group['scheme']}://{given}{path}", "tls": group["tls"]}
        match = UPSTREAM_URL.fullmatch(given)
        if not match:
            known = ", ".join(sorted(self.upstreams)) or "none"
            problems.add(
                where,
                f"upstream {given!r} is neither a URL such as http://127.0.0.1:8080, https://…, ws://…, wss://… or "
                f"http://unix:/path.sock, nor a name from wss_proxy_upstreams (there: {known})",
            )
            return {"url": "http://127.0.0.1:1", "tls": None}
        scheme = SCHEMES[match["scheme"]]
        if match["unix"]:
            self._unix_path(where, match["unix"])
            # nginx writes the path of a request behind a colon: https://nginx.org/r/proxy_pass
            target, host, outside = f"unix:{match['unix']}:{path}", "", False
        else:
            host = match["host"]
            outside = not _is_loopback(host)
            port = problems.number(where, "upstream port", match["port"] or DEFAULT_PORTS[match["scheme"]], 1, 65535)
            if match["path"] and match["path"].endswith("/") != path.endswith("/"):
                problems.add(where, f"path {path!r} and the upstream's path {match['path']!r} must both end with / or both not")
            target = f"{host}:{port}{match['path'] or path}"
        tls = self._upstream_tls(
            where,
            scheme == "https",
            outside,
            loc["upstream_verify_enabled"],
            loc["upstream_ca_path"],
            str(loc["upstream_tls_name"] or host.strip("[]")),
            "upstream_tls_name",
        )
        return {"url": f"{scheme}://{target}", "tls": tls}

    def _external(self, where: str, given: t.Any, auth: str) -> str:
        url = str(given or "")
        if auth != "external":
            if url:
                self.problems.add(where, f"external_auth_url goes with auth: external, not with {auth}")
            return ""
        match = UPSTREAM_URL.fullmatch(url)
        if not match or match["scheme"] not in ("http", "https") or match["unix"]:
            self.problems.add(where, f"auth external needs external_auth_url, the http(s) URL of the service that decides ({url!r} is none)")
        return url

    def _limits(self, where: str, location: t.Dict[str, t.Any], loc: t.Mapping[str, t.Any]) -> None:
        problems = self.problems
        attempts = problems.number(where, "max_attempts_per_second", loc["max_attempts_per_second"], 0, 10**6)
        per_address = problems.number(where, "max_sessions_per_address", loc["max_sessions_per_address"], 0, 65535)
        per_token = problems.number(where, "max_sessions_per_token", loc["max_sessions_per_token"], 0, 65535)
        if per_token and not location["uses_token"]:
            problems.add(where, f"max_sessions_per_token goes with a token; auth is {location['auth']}")
            per_token = 0
        location["limits"] = {"attempts": attempts, "sessions_per_address": per_address, "sessions_per_token": per_token}
        slug = location["slug"]
        if attempts:
            self.zones.append({"kind": "req", "key": "$binary_remote_addr", "name": f"wss_attempts_{slug}", "rate": attempts})
        if per_address:
            self.zones.append({"kind": "conn", "key": "$binary_remote_addr", "name": f"wss_sessions_{slug}", "rate": 0})
        if per_token and location["cookie"]:
            key = f"$wss_token_{location['cookie']['slug']}"
            self.zones.append({"kind": "conn", "key": key, "name": f"wss_tokens_{slug}", "rate": 0})

    def _check_locations(self, where: str, server: t.Dict[str, t.Any]) -> None:
        seen = set()
        paths = [loc["path"] for loc in server["locations"]]
        if server["connection_check_path"]:
            paths.append(server["connection_check_path"])
        for path in paths:
            if path in seen:
                self.problems.add(where, f"path {path!r} is used twice; each location needs its own")
            seen.add(path)
        if "/" in seen and server["root"]:
            self.problems.add(where, "a location / and a static root both want every other path; keep one of them")

    # -- across servers ----------------------------------------------------------------------------------------

    def _check_across_servers(self) -> None:
        names: t.Set[str] = set()
        served: t.Dict[t.Tuple[str, str], str] = {}
        protocols: t.Dict[str, t.Tuple[bool, str]] = {}
        tls_of: t.Dict[str, t.Tuple[bool, str]] = {}
        defaults: t.Dict[str, str] = {}
        for server in self.servers:
            where = f"server {server['name']!r}"
            if server["name"].lower() in names:
                self.problems.add(where, "two servers have this name; give each its own")
            names.add(server["name"].lower())
            pairs = [(address, entry) for entry in server["listeners"] for address in entry["addresses"]]
            for address, entry in pairs:
                for name in server["server_names"]:
                    other = served.setdefault((address, name.lower()), server["name"])
                    if other != server["name"]:
                        self.problems.add(where, f"{name!r} on {address} is served by server {other!r} already")
                self._same(where, address, "PROXY protocol", "plain connections", entry["proxy_protocol"], protocols)
                self._same(where, address, "TLS", "plain text", entry["tls"], tls_of)
                if entry["default_server"] and defaults.setdefault(address, server["name"]) != server["name"]:
                    self.problems.add(where, f"server {defaults[address]!r} is the default server of {address} already")
            seen = set()
            for address, entry in pairs:
                if address in seen:
                    self.problems.add(where, f"it listens on {address} twice")
                seen.add(address)
            if server["redirect"]:
                for address in server["redirect"]["addresses"]:
                    if any(address in entry["addresses"] for s in self.servers for entry in s["listeners"]):
                        self.problems.add(
                            where,
                            f"port {server['redirect']['port']} cannot both redirect to https and be listened on; "
                            "set http_redirect_enabled: false or another http_redirect_port",
                        )
                        break

    def _same(
        self, where: str, address: str, yes: str, no: str, value: bool, seen: t.Dict[str, t.Tuple[bool, str]]
    ) -> None:
        known = seen.setdefault(address, (value, where))
        if known[0] != value:
            self.problems.add(where, f"{address} has {yes if value else no} here and {no if value else yes} in {known[1]}; one address takes one kind")


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
