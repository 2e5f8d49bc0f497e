# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate with what that of the attack table lacks, and what has to come of it: client certificates, trusted proxies, an
operator's own service, signed tokens, several methods at once, a password for a whole server, its error pages, the
connection-check page, the redirect, TLS itself.

CHECKS are functions of a Site, so that tests/mutation/gate_mutants.py can try them on a copy of the gate with something
taken out.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from . import attacks, pki, wire
from .head_echo import HeadEcho
from .http_client import HEAD_END
from .jwt_signing import Signer
from .local_gate import LocalGate, LocalNginx, free_port
from .processes import wait_for

USERNAME, PASSWORD = "operator", "features: password"
TOKEN = "features-token-0123456789"
BALANCERS = ("127.0.0.2", "127.0.0.3")
STRANGER = "127.0.0.9"
# A loaded machine may take its time.
LOG_TIMEOUT = 10.0
NAMES = (
    "gate", "members", "mixed", "balanced", "proxied", "service", "office", "anybody", "near", "signed", "combined",
)  # fmt: skip
API_KEY = "features-$key"
ISSUER, OTHER_ISSUER = "https://id.example.com", "https://other.example.com"
SIGNER, STRANGE_SIGNER = Signer("ES256"), Signer("ES256")


class AuthService:
    """The operator's own service: the cookie says what it answers; it keeps the heads and bodies that it got."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, list[str]], bytes]] = []
        auth_service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers: dict[str, list[str]] = {}
                for name, value in self.headers.items():
                    headers.setdefault(name.lower(), []).append(value)
                self.connection.settimeout(5)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                auth_service.asked.append((self.path, headers, body))
                word = (self.headers.get("Cookie") or "").partition("=")[2].partition(";")[0]
                self.send_response({"good": 204, "nobody": 401, "banned": 403, "elsewhere": 204}.get(word, 500))
                if word == "elsewhere":
                    self.send_header("X-Accel-Redirect", "/nothing")
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TLSHeadEcho(HeadEcho):
    """Over TLS, with a certificate three steps below its authority; it keeps the names that it was asked for."""

    def __init__(self, folder: Path) -> None:
        authority = issuer = pki.issue("upstreams", ca=True)
        chain = b""
        for name in ("upper", "lower"):
            issuer = pki.issue(name, issuer, ca=True)
            chain = issuer.pem + chain
        leaf = pki.issue("upstream.example.com", issuer, ["upstream.example.com"])
        (folder / "upstreams.pem").write_bytes(authority.pem)
        (folder / "upstream.pem").write_bytes(leaf.pem + chain + leaf.key_pem)
        self.names: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "upstream.pem")
        self._context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        super().__init__()

    def _answer(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as tls:
            super()._answer(tls)


@dataclass(frozen=True)
class Site:
    nginx: LocalNginx
    port: int
    plain_port: int
    # Where nobody is asked for a certificate
    open_port: int
    # Where balancers name the client by the PROXY protocol
    proxied_port: int
    auth_service: AuthService
    head_echo: HeadEcho
    named: TLSHeadEcho
    pki: Path
    marks: list[int] = field(default_factory=list)

    def name(self, short: str) -> str:
        return f"{short}.example.com"

    def authority(self, short: str) -> str:
        return f"{self.name(short)}:{self.port}"

    def handshake(self, short: str, path: str = "/wss") -> wire.Request:
        return wire.Request(path, host=self.authority(short)).origin(f"https://{self.authority(short)}")

    def plain(self, short: str, path: str, method: str = "GET") -> wire.Request:
        return wire.Request(path, host=self.authority(short), method=method, headers=())

    def ask(
        self, short: str, request: wire.Request, identity: str = "", source: str = "", preamble: str = ""
    ) -> wire.Reply:
        endpoint = wire.Endpoint(
            port=self.proxied_port if preamble else self.port,
            server_name=self.name(short),
            source=source or None,
            identity=self.pki / f"{identity}.pem" if identity else None,
        )
        self.note()
        return wire.handshake(endpoint, request, preamble=preamble.encode())

    def note(self) -> None:
        """Remember where the access log ends, before a request, and after the line of the one before it."""
        if self.marks:
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self.size() > self.marks[0], LOG_TIMEOUT)
        self.marks[:] = [self.size()]

    def size(self) -> int:
        log = self.nginx.access_log
        return log.stat().st_size if log.exists() else 0

    def last_line(self) -> dict[str, Any]:
        """Of the access log; it is written when a request has ended."""
        text = ""

        def has_grown() -> bool:
            nonlocal text
            with self.nginx.access_log.open() as log:
                log.seek(self.marks[0])
                text = log.read()
            return text.endswith("\n")

        wait_for(has_grown, LOG_TIMEOUT)
        line: dict[str, Any] = json.loads(text.splitlines()[-1])
        return line


def got(reply: wire.Reply) -> dict[str, list[str]]:
    """The head that reached the upstream, which HeadEcho sends back; its lines by name, the first one without any."""
    assert reply.status == 101 and reply.session is not None, f"the answer is {reply.status}, not 101"
    connection, data = reply.session.socket, reply.session._buffer
    connection.settimeout(10)
    try:
        while part := connection.recv(65536):
            data += part
    except OSError:
        pass
    connection.close()
    first, *lines = data.partition(HEAD_END)[0].decode("latin-1").split("\r\n")
    headers = {"": [first]}
    for line in lines:
        name, _colon, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return headers


class FeaturesGate(LocalGate):
    def __init__(self) -> None:
        self.port, self.plain_port, self.open_port, self.proxied_port = (free_port() for _ in range(4))
        self.auth_service, self.head_echo = AuthService(), HeadEcho()
        super().__init__([])
        # Not below the root, which a copy of the gate has elsewhere.
        self._behind = tempfile.TemporaryDirectory(prefix="wssgate-features-")
        behind = Path(self._behind.name)
        behind.chmod(0o755)
        self.pki, page, webroot = behind / "pki", behind / "page", behind / "acme"
        pki.write(self.pki)
        self.named = TLSHeadEcho(self.pki)
        # The kernel takes the connections; nobody else does.
        self.silent = socket.create_server(("127.0.0.1", 0))
        page.mkdir()
        for name in ("index", "missing", "unknown"):
            (page / f"{name}.html").write_text(f"the page {name}\n")
        proof = webroot / ".well-known/acme-challenge/proof"
        proof.parent.mkdir(parents=True)
        proof.write_text("proven\n")
        passwords = self.etc / "passwords"
        passwords.write_text(
            f"{USERNAME}:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n"
        )
        # nginx reads these as root, a copy of the gate too.
        for name in ("clients.pem", "clients.crl"):
            (self.etc / name).write_bytes((self.pki / name).read_bytes())
        upstream = f"http://127.0.0.1:{self.head_echo.port}"
        clients = {"ca_path": str(self.etc / "clients.pem"), "crl_path": str(self.etc / "clients.crl")}
        servers = {
            "gate": {
                "server_names": ["gate.example.com", "*.gate.example.com", "_"],
                "connection_check_path": "/check",
                "hsts_max_age": 300,
                "http_redirect_enabled": True,
                "http_redirect_port": self.plain_port,
                "locations": [
                    {"path": "/wss", "upstream": upstream},
                    {"path": "/bearer", "upstream": upstream, "sources": ["bearer"]},
                    {"path": "/either", "upstream": upstream, "sources": ["cookie", "bearer"]},
                    {"path": "/listed", "upstream": upstream, "auth": "none", "session_listed": True},
                    {"path": "/silent", "upstream": f"http://127.0.0.1:{self.silent.getsockname()[1]}", "auth": "none"},
                    {
                        "path": "/named",
                        "upstream": f"https://127.0.0.1:{self.named.port}",
                        "auth": "none",
                        "upstream_verify_enabled": True,
                        "upstream_ca_path": str(self.pki / "upstreams.pem"),
                        "upstream_tls_name": "upstream.example.com",
                    },
                ],
            },
            "members": {
                "client_certificates": clients,
                "locations": [{"path": "/wss", "upstream": upstream, "auth": "none"}],
            },
            "mixed": {
                "client_certificates": clients | {"required": False},
                "locations": [
                    {"path": "/wss", "upstream": upstream, "auth": "none", "client_certificate_required": True},
                    {"path": "/open", "upstream": upstream, "auth": "none"},
                    {
                        "path": "/service",
                        "upstream": upstream,
                        "auth": "external",
                        "external_auth_url": f"http://127.0.0.1:{self.auth_service.port}/may",
                    },
                ],
            },
            "balanced": {
                # The first by its name: its time counts for all.
                "trusted_proxies": list(BALANCERS),
                "extra_directives": "client_header_timeout 3s;",
                "locations": [
                    {"path": "/wss", "upstream": upstream, "auth": "none"},
                    {"path": "/renamed", "upstream": upstream, "auth": "none", "client_ip_header": "X-Caller"},
                ],
            },
            "proxied": {
                "listen": [{"address": "127.0.0.1", "port": self.proxied_port, "proxy_protocol": True}],
                "trusted_proxies": list(BALANCERS),
                "refuse_untrusted_proxies": True,
                "locations": [{"path": "/wss", "upstream": upstream, "auth": "none"}],
            },
            "service": {
                "locations": [
                    {
                        "path": path,
                        "upstream": upstream + moved,
                        "auth": "external",
                        "external_auth_url": f"http://127.0.0.1:{self.auth_service.port}/may",
                    }
                    for path, moved in (("/wss", ""), ("/app/", ""), ("/moved", "/to"), ("/moved/", "/to/"))
                ],
            },
            "office": {
                "auth": "basic",
                "htpasswd_file": str(passwords),
                "root": str(page),
                "client_max_body_size": "1k",
                "error_pages": [{"codes": [404], "path": "/missing.html"}, {"codes": [401], "path": "/unknown.html"}],
                "connection_check_path": "/check",
                "locations": [
                    {"path": "/wss", "upstream": upstream},
                    {"path": "/open", "upstream": upstream, "auth": "none"},
                    {"path": "/either", "upstream": upstream, "auth": "token_or_basic"},
                    {"path": "/timed", "upstream": upstream, "auth": "token_or_basic", "max_session_lifetime": 3600},
                ],
            },
            "anybody": {
                "listen": [{"address": "127.0.0.1", "port": self.open_port}],
                # nginx drops such headers otherwise.
                "extra_directives": "underscores_in_headers on;",
                "locations": [
                    {"path": "/wss", "upstream": upstream, "auth": "none"},
                    {
                        "path": "/constant",
                        "upstream": upstream,
                        "auth": "none",
                        "upstream_headers": [{"name": "X-Api-Key", "value": API_KEY}],
                    },
                ],
            },
            "near": {
                "root": str(page),
                "connection_check_path": "/check",
                "allow_from": ["127.0.0.0/29"],
                "deny_from": ["127.0.0.4"],
                "locations": [{"path": "/wss", "upstream": upstream, "auth": "none"}],
            },
            "signed": {
                "htpasswd_file": str(passwords),
                "extra_directives": "underscores_in_headers on;",
                "locations": [
                    {"path": path, "upstream": upstream, "auth": "jwt", "issuers": ["main"]} | more
                    for path, more in {
                        "/wss": {},
                        "/cookie": {"sources": ["cookie"]},
                        "/bearer": {"sources": ["bearer"]},
                        "/either": {"auth": "jwt_or_basic", "max_session_lifetime": 3600},
                        "/both": {"auth": "jwt_and_basic"},
                        "/page": {"http": True},
                        "/kept": {"forward_credentials": True},
                        "/other": {"issuers": ["other"]},
                        "/timed": {"max_session_lifetime": 60},
                        "/opaque": {"auth": "token", "issuers": []},
                    }.items()
                ],
            },
            "combined": {
                "client_certificates": clients | {"required": False},
                "locations": [
                    {"path": path, "upstream": upstream, "auth": {word: methods}}
                    | ({"issuers": ["main"]} if "jwt" in methods else {})
                    | ({"external_auth_url": asked} if "external" in methods else {})
                    | more
                    for asked in [f"http://127.0.0.1:{self.auth_service.port}/may"]
                    for path, word, methods, more in (
                        ("/any", "any", ["token", "jwt"], {"max_session_lifetime": 60}),
                        ("/all", "all", ["token", "jwt"], {"max_session_lifetime": 60}),
                        ("/cookie", "any", ["token", "jwt"], {"sources": ["cookie"]}),
                        ("/page", "any", ["token", "jwt"], {"http": True}),
                        ("/any-asked", "any", ["token", "jwt", "external"], {}),
                        ("/all-asked", "all", ["jwt", "external"], {}),
                        ("/all-opaque", "all", ["token", "external"], {}),
                        ("/any-known", "any", ["client_certificate", "token"], {}),
                        ("/all-known", "all", ["client_certificate", "token"], {}),
                    )
                ],
            },
        }
        # As an operator may have it for files that are served.
        self.variables["nginx_http_extra_directives"] += (
            "\nopen_file_cache max=1000 inactive=60s;\nopen_file_cache_valid 60s;\nopen_file_cache_errors on;\n"
        )
        self.variables |= {
            "wss_proxy_issuers": [
                {
                    "name": name,
                    "issuer": issuer,
                    "audience": ["wss"],
                    "keys": [{"content": SIGNER.public_pem}],
                    "headers": [{"name": header, "claim": claim}],
                }
                for name, issuer, header, claim in (
                    ("main", ISSUER, "X-User", "name"),
                    ("other", OTHER_ISSUER, "X-Tenant", "tenant"),
                )
            ],
            # Nothing has to end after an hour here.
            "token_store_pruner": "agent",
            "wss_proxy_certificates": [self.certificate(names=tuple(f"{name}.example.com" for name in NAMES))],
            "wss_proxy_htpasswd_files": [{"path": str(passwords)}],
            "wss_proxy_acme_webroot": str(webroot),
            "wss_proxy_servers": [
                {
                    "name": name,
                    "server_names": [f"{name}.example.com"],
                    "certificate": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port}],
                }
                | more
                for name, more in servers.items()
            ],
        }
        self.issue(TOKEN)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.auth_service.close()
        self.head_echo.close()
        self.named.close()
        self.silent.close()
        self._behind.cleanup()

    @property
    def ports(self) -> tuple[int, ...]:
        """In the order in which site() takes those of a copy."""
        return self.port, self.plain_port, self.open_port, self.proxied_port

    def site(self, nginx: LocalNginx | None = None, *others: int) -> Site:
        ports = others or self.ports
        return Site(nginx or self, *ports, self.auth_service, self.head_echo, self.named, self.pki)


# -- client certificates
# -------------------------------------------------------------------------------------------------


def only_the_authoritys_clients_get_in(site: Site) -> None:
    """400 is nginx's own answer to a certificate that it cannot verify."""
    for short, path, identity, wanted in (
        ("members", "/wss", "", 403),
        ("members", "/nothing", "", 403),
        ("members", "/wss", "stranger", 400),
        ("members", "/wss", "mallory", 400),
        ("members", "/wss", "alice", 101),
        ("mixed", "/wss", "", 403),
        ("mixed", "/wss", "mallory", 400),
        ("mixed", "/wss", "alice", 101),
        ("mixed", "/open", "", 101),
        ("mixed", "/open", "stranger", 400),
    ):
        count = site.head_echo.count
        with site.ask(short, site.handshake(short, path), identity) as reply:
            assert reply.status == wanted, (
                f"{short}{path} {identity or 'without a certificate'}: {reply.status}, not {wanted}"
            )
        assert wanted == 101 or site.head_echo.count == count, "a refused request reached the upstream"
        if wanted in (400, 403):
            assert site.last_line()["reason"] == "client_certificate"


def a_server_with_client_certificates_is_asked_for_by_its_name_in_tls(site: Site) -> None:
    """client_certificates.py has all combinations of names; here is what the log says of one."""
    for identity in ("", "alice"):
        endpoint = wire.Endpoint(
            port=site.port,
            server_name=site.name("members"),
            identity=site.pki / f"{identity}.pem" if identity else None,
        )
        count = site.head_echo.count
        site.note()
        with wire.handshake(endpoint, site.handshake("mixed")) as reply:
            assert reply.status == 421
        assert site.last_line()["reason"] == "server_name"
        assert site.head_echo.count == count


def the_upstream_gets_the_subject_and_no_forged_one(site: Site) -> None:
    for short, path, identity, wanted in (
        ("members", "/wss", "alice", ["CN=alice"]),
        ("mixed", "/wss", "alice", ["CN=alice"]),
        ("mixed", "/open", "", []),
    ):
        request = (
            site.handshake(short, path).adding("X-Client-Subject", "CN=root").adding("x-client-subject", "CN=root")
        )
        assert got(site.ask(short, request, identity)).get("x-client-subject", []) == wanted


# -- who the client is
# ---------------------------------------------------------------------------------------------------


def only_trusted_proxies_name_the_client(site: Site) -> None:
    forged = "192.0.2.66, 192.0.2.9, 127.0.0.3"
    for source, wanted in ((BALANCERS[0], "192.0.2.9"), (BALANCERS[1], "192.0.2.9"), (STRANGER, STRANGER)):
        for path, name in (("/wss", "x-client-ip"), ("/renamed", "x-caller")):
            request = (
                site.handshake("balanced", path)
                .adding("X-Forwarded-For", forged)
                .adding("X-Client-IP", "192.0.2.66")
                .adding("X-Real-IP", "192.0.2.66")
            )
            headers = got(
                site.ask(
                    "balanced",
                    request.adding("X-Caller", "192.0.2.66") if name == "x-caller" else request,
                    source=source,
                )
            )
            assert [headers.get(key) for key in (name, "x-real-ip", "x-forwarded-for")] == [[wanted]] * 3, (
                f"from {source}: {headers}"
            )
            assert name == "x-client-ip" or "x-client-ip" not in headers
            assert site.last_line()["client"] == wanted


def only_balancers_name_another_client_by_the_proxy_protocol(site: Site) -> None:
    for source, claimed, wanted, client in (
        (BALANCERS[0], "192.0.2.9", 101, "192.0.2.9"),
        (BALANCERS[1], "192.0.2.9", 101, "192.0.2.9"),
        (STRANGER, STRANGER, 101, STRANGER),
        (STRANGER, "192.0.2.9", 403, STRANGER),
        (STRANGER, BALANCERS[0], 403, STRANGER),
        # Their addresses begin alike.
        (f"{STRANGER}9", STRANGER, 403, f"{STRANGER}9"),
    ):
        header = f"PROXY TCP4 {claimed} 127.0.0.1 40000 {site.proxied_port}\r\n"
        authority = f"{site.name('proxied')}:{site.proxied_port}"
        request = wire.Request("/wss", host=authority).origin(f"https://{authority}")
        count = site.head_echo.count
        with site.ask("proxied", request, source=source, preamble=header) as reply:
            assert reply.status == wanted, f"{source} names {claimed}: {reply.status}"
        line = site.last_line()
        assert (line["client"], line["reason"]) == (client, "" if wanted == 101 else "proxy_header")
        assert site.head_echo.count - count == (wanted == 101)


# -- an operator's own service
# -------------------------------------------------------------------------------------------


def the_external_service_decides(site: Site) -> None:
    for cookie, status in (("good", 101), ("nobody", 401), ("banned", 403), ("broken", 500), ("elsewhere", 101)):
        count, asked = site.head_echo.count, len(site.auth_service.asked)
        with site.ask("service", site.handshake("service").cookie(f"session={cookie}")) as reply:
            assert reply.status == status, f"{cookie}: {reply.status}, not {status}"
        assert site.head_echo.count - count == (status == 101)
        assert len(site.auth_service.asked) == asked + 1
        assert site.last_line()["reason"] == ("" if status == 101 else "external_auth")


def the_service_gets_the_client_and_the_request(site: Site) -> None:
    request = (
        site.handshake("service", "/wss?room=1").cookie("session=good").but(body=b"hello").adding("Content-Length", "5")
    )
    for name in ("X-Original-URI", "X-Client-IP", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"):
        request = request.adding(name, "forged")
    with site.ask("service", request, source=STRANGER) as reply:
        assert reply.status == 101
    path, headers, body = site.auth_service.asked[-1]
    assert (path, body) == ("/may", b"")
    wanted = {"x-original-uri": ["/wss?room=1"], "x-forwarded-proto": ["https"]}
    wanted |= {name: [STRANGER] for name in ("x-client-ip", "x-real-ip", "x-forwarded-for")}
    assert {name: headers.get(name) for name in wanted} == wanted
    assert not {"forwarded", "upgrade", "connection", "content-length"} & set(headers), headers


# Below a folder, with a service that decides: what is asked for, and what the service is told and the upstream gets.
TOLD = {
    target: wanted for target, wanted in attacks.SPELLINGS.items() if target not in ("/app/%61%20b", "/app/%c3%a9")
} | {
    "/app/": "/app/",
    "/app/?": "/app/",
    "/app/a%20b": "/app/a%20b",
    "/app/%C3%A9?a=%c3": "/app/%C3%A9?a=%c3",
    "/app/%22%3C%3E%5E%60%7B%7C%7D%23%3F": "/app/%22%3C%3E%5E%60%7B%7C%7D%23%3F",
    "/app/public/..%2fsecret": "/app/secret",
    "/app/public/%2e%2e/secret?a=/../b": "/app/secret?a=/../b",
    "/nothing/../app/secret": "/app/secret",
    "/%61pp/secret": "/app/secret",
    "/app/!$&'()*+,-.:=@[]_~": "/app/!$&'()*+,-.:=@[]_~",
    "http://service.example.com/app/a%2Fb?c#d": "/app/a/b?c",
    "/app/a?b#c": "/app/a?b",
    "/moved": "/to",
    "/moved?a=b": "/to?a=b",
    "/x/../moved": "/to",
    "/moved/a%2fb": "/to/a/b",
    "/moved/%C3%A9": "/to/%C3%A9",
}
# What nginx would write otherwise to the upstream than it came.
UNTOLD = (
    "/app/%61%20b",
    "/app/%c3%a9",
    "/app/a/../b%20c",
    "/app//b%20c",
    "/app/b%20c/.",
    "/app/%20{",
    '/app/"',
    "/app/{x}",
    "/moved/%20%2f",
    "/app/%20\xe9",
)


def the_service_gets_the_path_that_the_upstream_gets(site: Site) -> None:
    for target, wanted in TOLD.items():
        request = site.handshake("service", target).cookie("session=good").adding("X-Original-URI", "/app/public")
        if target.startswith("http:"):
            request = request.but(host=site.name("service"))
        first = got(site.ask("service", request))[""]
        told = site.auth_service.asked[-1][1]["x-original-uri"]
        assert (told, first) == ([wanted], [f"GET {wanted} HTTP/1.1"]), (
            f"{target}: the service was told {told}, the upstream asked {first}"
        )
    # A location of one path has nothing to spell, and a query.
    first = got(site.ask("mixed", site.handshake("mixed", "/service?a=b").cookie("session=good"), "alice"))[""]
    told = site.auth_service.asked[-1][1]["x-original-uri"]
    assert (told, first) == (["/service?a=b"], ["GET /service?a=b HTTP/1.1"]), (told, first)
    count, asked = site.head_echo.count, len(site.auth_service.asked)
    for target in (*UNTOLD, *attacks.AMBIGUITIES):
        with site.ask("service", site.handshake("service", target).cookie("session=good")) as reply:
            assert reply.status == 400, f"{target}: {reply.status}"
        assert site.last_line()["reason"] == "path_spelling"
    assert (site.head_echo.count, len(site.auth_service.asked)) == (count, asked)


def forged_identities_do_not_reach_the_service(site: Site) -> None:
    for short, path in (("service", "/wss"), ("mixed", "/service")):
        request = site.handshake(short, path).cookie("session=good")
        for name in ("X-Client-Subject", "X-Caller", "x-caller", "X-Api-Key", "X-User", "X-Tenant"):
            request = request.adding(name, "forged")
        headers = got(site.ask(short, request))
        assert not {"x-client-subject", "x-caller", "x-api-key", "x-user", "x-tenant"} & (
            set(headers) | set(site.auth_service.asked[-1][1])
        ), f"{short}: {headers}, {site.auth_service.asked[-1][1]}"
    request = site.handshake("mixed", "/service").cookie("session=good").adding("X-Client-Subject", "forged")
    assert (
        got(site.ask("mixed", request, "alice"))["x-client-subject"]
        == site.auth_service.asked[-1][1]["x-client-subject"]
        == ["CN=alice"]
    )


def forged_requests_do_not_reach_the_service(site: Site) -> None:
    """Services that serve other proxies, too, look for what is asked for in one of these."""
    names = (
        "X-Original-URL", "X-Original-Method", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Method",
        "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override",
    )  # fmt: skip
    request = site.handshake("service", "/app/secret").cookie("session=good")
    for name in (*names, "X-Original-URI", "X-Forwarded-Host"):
        request = request.adding(name, "/app/public")
    headers = got(site.ask("service", request))
    told = site.auth_service.asked[-1][1]
    assert not {name.lower() for name in names} & (set(headers) | set(told)), f"{headers}, {told}"
    assert (told["x-original-uri"], headers.get("x-original-uri")) == (["/app/secret"], None)
    assert told["x-forwarded-host"] == headers["host"] == [site.authority("service")]


def internal_locations_are_not_found_by_clients(site: Site) -> None:
    found = set()
    for name, text in site.nginx.configuration().items():
        if name.startswith("wssgate.d/"):
            found |= {
                (name.removeprefix("wssgate.d/server_").removesuffix(".conf"), path)
                for path in re.findall(r"location = (/\.wssgate/\S+)", text)
            }
    kinds = {"token", "external", "session", "error", "jwt", "any", "all", "judged", "refused"}
    assert {path.split("/")[2] for _short, path in found} == kinds
    asked = len(site.auth_service.asked)
    for short, path in sorted(found):
        for token in (TOKEN, signed_token()):
            with site.ask(short, site.plain(short, path).basic(USERNAME, PASSWORD).cookie(f"AUTH={token}")) as reply:
                assert reply.status == 404, f"{short}{path}: {reply.status}"
            assert site.last_line()["reason"] == "path"
    assert len(site.auth_service.asked) == asked


# -- signed tokens
# ---------------------------------------------------------------------------------------------------------------


# A header's line of nginx's own 8k has room for so many letters of a cookie.
LONGEST = 8192 - len("Cookie: AUTH=\r\n")


def signed_token(signer: Signer = SIGNER, **changes: Any) -> str:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": now - 10, "exp": now + 600}
    return signer.sign({name: value for name, value in (good | changes).items() if value is not None})


def a_signed_token_lets_in_who_has_it(site: Site) -> None:
    """jwt_attacks.py and jwt_answers.py have what there is to say of tokens; here is where they come from."""
    good, forged, old = signed_token(), signed_token(STRANGE_SIGNER), signed_token(exp=1)
    other = signed_token(iss=OTHER_ISSUER)
    longest = next(token for number in range(5600, 6200) if len(token := signed_token(x="x" * number)) > LONGEST - 3)
    cookie, bearer = "Cookie: AUTH=", "Authorization: Bearer "
    basic = "Authorization: Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    wrong = "Authorization: Basic " + base64.b64encode(f"{USERNAME}:wrong".encode()).decode()
    for path, lines, wanted in (
        ("/wss", [cookie + good], (101, "")),
        ("/wss", [f"Cookie: a=1; AUTH={good}; b=2"], (101, "")),
        ("/wss", [cookie + longest], (101, "")),
        ("/wss", [bearer + good], (101, "")),
        ("/wss", ["Authorization: bEARER  " + good], (101, "")),
        ("/wss", [], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH="], (403, "jwt_missing")),
        ("/wss", [basic], (403, "jwt_missing")),
        ("/wss", [cookie + TOKEN], (403, "jwt_malformed")),
        ("/wss", [bearer + TOKEN], (401, "jwt_malformed")),
        ("/wss", [bearer.strip()], (401, "jwt_malformed")),
        ("/wss", [bearer + good + " x"], (401, "jwt_malformed")),
        ("/wss", [bearer + "/" + good], (401, "jwt_malformed")),
        ("/wss", ["Authorization: Basic x, Bearer " + good], (401, "jwt_malformed")),
        ("/wss", [cookie + good + "/"], (403, "jwt_missing")),
        ("/wss", [cookie + good, "Authorization: XBearer x"], (101, "")),
        ("/wss", [cookie + good, bearer + good], (400, "two_tokens")),
        ("/wss", ["Cookie:  AUTH =x", bearer + good], (400, "two_tokens")),
        ("/wss", ["Cookie: other=x", bearer + good], (101, "")),
        ("/wss", [f"Cookie: AUTH={good}; AUTH={good}"], (403, "jwt_missing")),
        ("/wss", [f"Cookie: AUTH =x; AUTH={good}"], (403, "jwt_missing")),
        ("/wss", [f"Cookie: AUTH={good}; \tAUTH=x"], (403, "jwt_missing")),
        ("/wss", [f"Cookie: auth={good}"], (403, "jwt_missing")),
        ("/wss", [cookie + forged], (403, "jwt_signature")),
        ("/wss", [bearer + forged], (401, "jwt_signature")),
        ("/wss", [cookie + old], (403, "jwt_expired")),
        ("/wss", [cookie + other], (403, "jwt_issuer")),
        ("/cookie", [cookie + good], (101, "")),
        ("/cookie", [bearer + good], (403, "jwt_missing")),
        ("/cookie", [cookie + forged, "Wssgate-Source: bearer"], (403, "jwt_signature")),
        ("/bearer", [bearer + good], (101, "")),
        ("/bearer", [cookie + good], (403, "jwt_missing")),
        ("/either", [cookie + good], (101, "")),
        ("/either", [basic], (101, "")),
        ("/either", [basic, cookie + forged], (101, "")),
        ("/either", [wrong, cookie + good], (101, "")),
        ("/either", [wrong, cookie + forged], (401, "jwt_signature")),
        ("/either", [], (401, "basic_auth")),
        ("/both", [basic, cookie + good], (101, "")),
        ("/both", [basic], (403, "jwt_missing")),
        ("/both", [basic, cookie + forged], (403, "jwt_signature")),
        ("/both", [wrong, cookie + good], (401, "basic_auth")),
        ("/both", [cookie + good], (401, "basic_auth")),
        ("/other", [cookie + other], (101, "")),
        ("/other", [cookie + good], (403, "jwt_issuer")),
        ("/opaque", [cookie + good], (403, "token")),
        ("/opaque", [cookie + TOKEN], (101, "")),
    ):
        request = site.handshake("signed", path)
        for line in lines:
            name, _colon, value = line.partition(": ")
            request = request.adding(name.rstrip(":"), value)
        count = site.head_echo.count
        with site.ask("signed", request) as reply:
            status, told = reply.status, reply.all("WWW-Authenticate")
        found = (status, site.last_line()["reason"])
        assert found == wanted, f"{path} {[line[:40] for line in lines]}: {found}, not {wanted}"
        assert site.head_echo.count - count == (status == 101)
        # A page that is refused for its cookie is asked for nothing (RFC 6750 3).
        challenges = ['Basic realm="Restricted"'] * (path in ("/either", "/both"))
        challenges += ['Bearer error="invalid_token"'] * (path == "/wss")
        assert told == (challenges if status == 401 else []), f"{path}: {status} {told}"


def the_upstream_gets_claims_and_no_signed_token(site: Site) -> None:
    token = signed_token(name="Zoë", tenant="t")
    forged = [(name, "root") for name in ("X-User", "x-user", "X_User", "X-Tenant", "X_Tenant")]
    other = signed_token(iss=OTHER_ISSUER, name="Zoë", tenant="t")
    for path, lines, user, tenant, cookies in (
        ("/wss", [("Cookie", f"a=1; AUTH={token}; b=2")], ["Zo%C3%AB"], None, ["a=1; b=2"]),
        ("/wss", [("Cookie", f"AUTH={token}; b=2; c=3")], ["Zo%C3%AB"], None, ["b=2; c=3"]),
        ("/wss", [("Authorization", f"Bearer {token}"), ("Cookie", "a=1")], ["Zo%C3%AB"], None, ["a=1"]),
        ("/wss", [("Cookie", f"AUTH={signed_token()}")], None, None, None),
        ("/kept", [("Cookie", f"a=1; AUTH={token}")], ["Zo%C3%AB"], None, [f"a=1; AUTH={token}"]),
        ("/other", [("Cookie", f"AUTH={other}")], None, ["t"], None),
        ("/opaque", [("Cookie", f"AUTH={TOKEN}")], None, None, None),
    ):
        request = site.handshake("signed", path)
        for name, value in [*lines, *forged]:
            request = request.adding(name, value)
        headers = got(site.ask("signed", request))
        found = [headers.get(name) for name in ("x-user", "x-tenant", "cookie", "authorization")]
        assert found == [user, tenant, cookies, None], f"{path}: {found}"
        assert not {"x_user", "x_tenant"} & set(headers), f"{path}: {headers}"


def nobody_gets_in_while_signed_tokens_cannot_be_judged(site: Site) -> None:
    socket_path = site.nginx.root / "wssgate" / "jwt.sock"
    aside = socket_path.rename(site.nginx.root / "wssgate" / "aside.sock")
    try:
        bearer = f"Bearer {signed_token()}"
        for short, request in (
            ("signed", site.handshake("signed").token(signed_token())),
            ("combined", site.handshake("combined", "/any").token(signed_token())),
            ("combined", site.handshake("combined", "/all").token(TOKEN).adding("Authorization", bearer)),
        ):
            with site.ask(short, request) as reply:
                assert reply.status == 500, f"{short}: {reply.status}"
            assert site.last_line()["reason"] == "jwt_unavailable", short
    finally:
        aside.rename(socket_path)
    with site.ask("signed", site.handshake("signed").token(signed_token())) as reply:
        assert reply.status == 101


def a_page_asks_with_a_signed_token(site: Site) -> None:
    for method, lines, status in (
        ("GET", [("Cookie", f"AUTH={signed_token()}")], 200),
        ("GET", [], 403),
        ("POST", [("Cookie", f"AUTH={signed_token()}")], 200),
        ("POST", [], 403),
        ("OPTIONS", [], 403),
        ("OPTIONS", [("Access-Control-Request-Method", "PUT")], 200),
        ("OPTIONS", [("Access-Control-Request-Method", "PUT"), ("Cookie", "AUTH=x")], 403),
    ):
        request = site.plain("signed", "/page", method).origin(f"https://{site.authority('signed')}")
        for name, value in lines:
            request = request.adding(name, value)
        with site.ask("signed", request) as reply:
            assert reply.status == status, f"{method} {lines}: {reply.status}"


def the_logs_have_what_a_signed_token_says_and_not_the_token(site: Site) -> None:
    token = signed_token()
    basic = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    known = hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest()
    for path, lines, fields, most in (
        ("/wss", [("Cookie", f"AUTH={token}")], ("client-1", known), 600),
        ("/wss", [("Cookie", f"AUTH={signed_token(jti=None)}")], ("client-1", ""), 600),
        ("/wss", [("Cookie", f"AUTH={signed_token(sub=None)}")], ("", known), 600),
        ("/timed", [("Cookie", f"AUTH={token}")], ("client-1", known), 60),
        ("/either", [("Cookie", f"AUTH={token}")], ("client-1", known), 600),
        ("/either", [("Authorization", basic)], ("", ""), 3600),
        ("/either", [("Authorization", basic), ("Cookie", "AUTH=x")], ("", ""), 3600),
    ):
        request = site.handshake("signed", path)
        for name, value in lines:
            request = request.adding(name, value)
        began, ended = _noted(site, "signed", request)
        line = site.last_line()
        assert (line["subject"], line["token_id"], line["reason"]) == (*fields, "")
        assert (began[0], ended[0], ended[-1]) == ("S", "E", "101")
        assert began[10:13] == ["-", site.name("signed"), path]
        assert most - 60 <= int(began[13].split("-")[1]) <= most, f"{path}: {began[13]}"
    assert _noted(site, "signed", site.handshake("signed", "/opaque").token(TOKEN))[0][10:] == [
        TOKEN,
        site.name("signed"),
        "/opaque",
        "-",
    ]
    # Whom the gate refuses has no session.
    before = site.nginx.session_log.read_text()
    for request in (
        site.handshake("signed").token(signed_token(exp=1)),
        site.handshake("signed"),
        site.handshake("signed", "/either").token(signed_token(exp=1)),
    ):
        with site.ask("signed", request) as reply:
            assert reply.status in (401, 403)
        assert site.last_line()["reason"] != ""
    assert site.nginx.session_log.read_text() == before
    assert not any(token.rpartition(".")[2] in path.read_text() for path in site.nginx.log.rglob("*.log"))


# -- several methods at once
# -----------------------------------------------------------------------------------------------------


def several_methods_let_in_whom_all_or_any_of_them_do(site: Site) -> None:
    """test_combinations.py has each combination; here are the shapes that the templates have for them."""
    good, forged = signed_token(), signed_token(STRANGE_SIGNER)
    cookie, bearer, service = "Cookie: AUTH=", "Authorization: Bearer ", "Cookie: session="
    both = [cookie + TOKEN, bearer + good]
    unknown = "features-unknown-0123456789"
    for path, identity, lines, wanted in (
        # What has two dots is a signed token, and any other value is none.
        ("/any", "", [cookie + TOKEN], (101, "")),
        ("/any", "", [cookie + good], (101, "")),
        ("/any", "", [bearer + TOKEN], (101, "")),
        ("/any", "", [bearer + good], (101, "")),
        ("/any", "", [], (403, "token")),
        ("/any", "", [cookie + unknown], (403, "token")),
        ("/any", "", [cookie + "a.b"], (403, "token")),
        ("/any", "", [cookie + "a.b.c.d"], (403, "token")),
        ("/any", "", [cookie + "a.b.c"], (403, "jwt_malformed")),
        ("/any", "", [cookie + forged], (403, "jwt_signature")),
        ("/any", "", [bearer + forged], (401, "jwt_signature")),
        ("/any", "", [bearer + unknown], (401, "token")),
        ("/any", "", [cookie + "../tokens/" + TOKEN], (403, "token")),
        ("/any", "", both, (400, "two_tokens")),
        ("/cookie", "", [cookie + good], (101, "")),
        ("/cookie", "", [bearer + good], (403, "token")),
        ("/cookie", "", [cookie + forged], (403, "jwt_signature")),
        # Both, each in its place.
        ("/all", "", both, (101, "")),
        ("/all", "", [cookie + TOKEN], (403, "jwt_missing")),
        ("/all", "", [bearer + good], (403, "token")),
        ("/all", "", [cookie + unknown, bearer + good], (403, "token")),
        ("/all", "", [cookie + TOKEN, bearer + forged], (401, "jwt_signature")),
        ("/all", "", [cookie + good, bearer + TOKEN], (403, "token")),
        ("/all", "", [cookie + TOKEN, bearer + TOKEN], (401, "jwt_malformed")),
        ("/all", "", [cookie + TOKEN, bearer + "a/b"], (401, "jwt_malformed")),
        ("/all", "", [], (403, "token")),
        # The operator's service has the last word, where any is enough, and the token its own, where all are needed.
        ("/any-asked", "", [cookie + TOKEN], (101, "")),
        ("/any-asked", "", [bearer + good], (101, "")),
        ("/any-asked", "", [service + "good"], (101, "")),
        ("/any-asked", "", [service + "good", bearer + forged], (101, "")),
        ("/any-asked", "", [service + "banned"], (403, "external_auth")),
        ("/any-asked", "", [service + "banned", bearer + forged], (401, "jwt_signature")),
        ("/any-asked", "", [service + "banned", bearer + "a/b"], (401, "external_auth")),
        ("/all-asked", "", [service + "good", bearer + good], (101, "")),
        ("/all-asked", "", [service + "good"], (403, "jwt_missing")),
        ("/all-asked", "", [service + "good", bearer + forged], (401, "jwt_signature")),
        ("/all-asked", "", [service + "banned", bearer + good], (403, "external_auth")),
        ("/all-opaque", "", [f"{service}good; AUTH={TOKEN}"], (101, "")),
        ("/all-opaque", "", [f"{service}good; AUTH={unknown}"], (403, "token")),
        ("/all-opaque", "", [f"AUTH: {TOKEN}", service + "good"], (403, "token")),
        # A certificate of the authority, or with it.
        ("/any-known", "alice", [], (101, "")),
        ("/any-known", "", [cookie + TOKEN], (101, "")),
        ("/any-known", "", [], (403, "token")),
        ("/any-known", "", [cookie + unknown], (403, "token")),
        ("/all-known", "alice", [cookie + TOKEN], (101, "")),
        ("/all-known", "alice", [], (403, "token")),
        ("/all-known", "", [cookie + TOKEN], (403, "client_certificate")),
    ):
        request = site.handshake("combined", path)
        for line in lines:
            name, _colon, value = line.partition(": ")
            request = request.adding(name, value)
        count = site.head_echo.count
        with site.ask("combined", request, identity) as reply:
            status, told = reply.status, reply.all("WWW-Authenticate")
        found = (status, site.last_line()["reason"])
        assert found == wanted, f"{path} {identity} {[line[:40] for line in lines]}: {found}, not {wanted}"
        assert site.head_echo.count - count == (status == 101)
        assert told == ['Bearer error="invalid_token"'] * (status == 401), f"{path}: {status} {told}"


def the_upstream_and_the_service_get_the_claims_of_what_has_passed(site: Site) -> None:
    token, forged = signed_token(name="ann"), signed_token(STRANGE_SIGNER, name="root")
    for path, lines, user, cookies in (
        ("/any", [("Cookie", f"a=1; AUTH={token}")], ["ann"], ["a=1"]),
        ("/any", [("Cookie", f"a=1; AUTH={TOKEN}")], None, ["a=1"]),
        ("/any", [("Authorization", f"Bearer {token}")], ["ann"], None),
        ("/all", [("Authorization", f"Bearer {token}"), ("Cookie", f"AUTH={TOKEN}; b=2")], ["ann"], ["b=2"]),
        ("/any-asked", [("Authorization", f"Bearer {forged}"), ("Cookie", "session=good")], None, ["session=good"]),
        ("/all-asked", [("Authorization", f"Bearer {token}"), ("Cookie", "session=good")], ["ann"], ["session=good"]),
    ):
        request = site.handshake("combined", path).adding("X-User", "root")
        for name, value in lines:
            request = request.adding(name, value)
        asked = len(site.auth_service.asked)
        headers = got(site.ask("combined", request))
        assert [headers.get(name) for name in ("x-user", "cookie", "authorization")] == [user, cookies, None], path
        for _path, told, _body in site.auth_service.asked[asked:]:
            assert told.get("x-user") == user, path


def the_session_log_has_what_ends_a_session_of_several_methods(site: Site) -> None:
    """By its token's file, by its signed token, or by both: the agent ends a session by each that let it in."""
    soon, known = signed_token(exp=int(time.time()) + 30), hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest()
    bearer, cookie = ("Authorization", f"Bearer {soon}"), ("Cookie", f"AUTH={TOKEN}")
    service = ("Cookie", "session=good")
    of_signed = [known, "client-1"]
    for path, lines, token, signed, most in (
        ("/any", [cookie], TOKEN, [], 60),
        ("/any", [bearer], "-", of_signed, 30),
        ("/all", [cookie, bearer], TOKEN, of_signed, 30),
        ("/any-asked", [cookie], TOKEN, [], 0),
        ("/any-asked", [bearer], "-", of_signed, 30),
        ("/all-asked", [bearer, service], "-", of_signed, 30),
        ("/all-opaque", [("Cookie", f"session=good; AUTH={TOKEN}")], TOKEN, [], 0),
        ("/any-known", [cookie], TOKEN, [], 0),
    ):
        request = site.handshake("combined", path)
        for name, value in lines:
            request = request.adding(name, value)
        began, ended = _noted(site, "combined", request)
        assert (began[0], ended[0], ended[-1]) == ("S", "E", "101")
        assert began[10:13] == [token, site.name("combined"), path]
        assert (began[13] == "-") == (most == 0), f"{path}: {began[13]}"
        assert not most or most - 30 < int(began[13].split("-")[1]) <= most, f"{path}: {began[13]}"
        assert [word for word in (began[14], began[16]) if word not in ("", "-")] == signed, path
        assert began[15].isdigit() == bool(signed), path
        line = site.last_line()
        assert (line["subject"], line["token_id"]) == (("client-1", known) if signed else ("", "")), path
    # Who is refused in the end has no session, however much was right before.
    before = site.nginx.session_log.read_text()
    for path, lines in (
        ("/all", [cookie]),
        ("/all", [cookie, ("Authorization", f"Bearer {signed_token(STRANGE_SIGNER)}")]),
        ("/all-asked", [bearer, ("Cookie", "session=banned")]),
        ("/all-opaque", [("Cookie", f"session=banned; AUTH={TOKEN}")]),
    ):
        request = site.handshake("combined", path)
        for name, value in lines:
            request = request.adding(name, value)
        with site.ask("combined", request) as reply:
            assert reply.status in (401, 403), path
        assert site.last_line()["reason"] != ""
    assert site.nginx.session_log.read_text() == before


def a_token_that_is_gone_counts_no_more_whatever_nginx_remembers_of_files(site: Site) -> None:
    token = "features-gone-0123456789"
    path = site.nginx.tokens / token
    bearer = f"Bearer {signed_token()}"
    try:
        for location, more in (("/any", []), ("/all", [("Authorization", bearer)])):
            request = site.handshake("combined", location).token(token)
            for name, value in more:
                request = request.adding(name, value)
            for is_there, status in ((False, 403), (True, 101), (False, 403)):
                path.unlink(missing_ok=True)
                if is_there:
                    path.touch()
                with site.ask("combined", request) as reply:
                    assert reply.status == status, f"{location}: {reply.status}, and the file is there: {is_there}"
    finally:
        path.unlink(missing_ok=True)


def a_page_asks_with_any_of_several_tokens(site: Site) -> None:
    for method, lines, status in (
        ("POST", [("Cookie", f"AUTH={TOKEN}")], 200),
        ("POST", [("Cookie", f"AUTH={signed_token()}")], 200),
        ("POST", [], 403),
        ("OPTIONS", [], 403),
        ("OPTIONS", [("Access-Control-Request-Method", "PUT")], 200),
    ):
        request = site.plain("combined", "/page", method).origin(f"https://{site.authority('combined')}")
        for name, value in lines:
            request = request.adding(name, value)
        with site.ask("combined", request) as reply:
            assert reply.status == status, f"{method} {lines}: {reply.status}"


# -- a password for a whole server, its files and its error pages
# --------------------------------------------------------


def a_servers_password_is_for_every_path(site: Site) -> None:
    for path, status in (("/", 401), ("/index.html", 401), ("/nothing", 401), ("/check", 401), ("/wss", 401)):
        request = site.handshake("office", path) if path == "/wss" else site.plain("office", path)
        with site.ask("office", request) as reply:
            assert reply.status == status, f"{path}: {reply.status}"
            assert reply.header("WWW-Authenticate") == 'Basic realm="Restricted"'
            assert reply.body == b"the page unknown\n"
        assert site.last_line()["status"] == status
        with site.ask("office", request.basic(USERNAME, "wrong")) as reply:
            assert reply.status == status
    for path, status, text in (
        ("/", 200, b"the page index\n"),
        ("/nothing", 404, b"the page missing\n"),
        ("/check", 200, b"<!"),
    ):
        with site.ask("office", site.plain("office", path).basic(USERNAME, PASSWORD)) as reply:
            assert reply.status == status and reply.body.lower().startswith(text), (
                f"{path}: {reply.status} {reply.body[:40]!r}"
            )
    with site.ask("office", site.handshake("office").basic(USERNAME, PASSWORD)) as reply:
        assert reply.status == 101
    # A location's own word wins.
    with site.ask("office", site.handshake("office", "/open")) as reply:
        assert reply.status == 101


def a_client_with_a_password_keeps_its_other_cookies(site: Site) -> None:
    for cookie, wanted in (
        ("theme=dark; a=1", ["theme=dark; a=1"]),
        (f"AUTH={TOKEN}; a=1", ["a=1"]),
        ("AUTH=x; a=1", []),
    ):
        request = site.handshake("office", "/either").basic(USERNAME, PASSWORD).cookie(cookie)
        assert got(site.ask("office", request)).get("cookie", []) == wanted


def an_upstream_gets_its_name_and_may_have_a_long_chain(site: Site) -> None:
    known = len(site.named.names)
    assert got(site.ask("gate", site.handshake("gate", "/named")))["host"] == [site.authority("gate")]
    assert set(site.named.names[known:]) == {"upstream.example.com"}


def the_log_has_a_reason_for_clients_that_left_and_one_for_silent_ones(site: Site) -> None:
    endpoint = wire.Endpoint(port=site.port, server_name=site.name("gate"))
    whole = site.handshake("gate", "/silent").encode()
    for sent, status, reason in ((whole, 499, "client_gone"), (whole[:-2], 408, "client_silent")):
        site.note()
        with endpoint.connect() as connection:
            connection.sendall(sent)
            if status == 408:
                # nginx says no more than that it closes.
                assert connection.recv(1) == b""
            else:
                time.sleep(0.3)
        line = site.last_line()
        assert (line["status"], line["reason"]) == (status, reason)


def the_log_counts_what_came_from_the_client(site: Site) -> None:
    got(site.ask("gate", site.handshake("gate").token(TOKEN)))
    assert site.last_line()["bytes_from_client"] > 100
    with site.ask("gate", site.handshake("gate")):
        assert site.last_line()["bytes_from_client"] == 0


def _noted(site: Site, short: str, request: wire.Request) -> list[list[str]]:
    """The lines that a session leaves in the session log."""
    log = site.nginx.session_log
    known = len(log.read_text()) if log.exists() else 0
    got(site.ask(short, request))
    site.last_line()
    lines = [line.split(" ") for line in log.read_text()[known:].splitlines()]
    # The process, the connection and the request are the same.
    assert len({tuple(line[2:5]) for line in lines}) <= 1, f"the session log got {lines}"
    return lines


def the_session_log_has_each_beginning_and_end(site: Site) -> None:
    for path in ("/wss", "/bearer", "/either"):
        for is_bearer in {"/wss": (False,), "/bearer": (True,), "/either": (False, True)}[path]:
            request = site.handshake("gate", path)
            lines = _noted(
                site, "gate", request.adding("Authorization", f"Bearer {TOKEN}") if is_bearer else request.token(TOKEN)
            )
            assert [line[0] for line in lines] == ["S", "E"], f"the session log got {lines}"
            assert (lines[0][10:], lines[1][-1]) == ([TOKEN, site.name("gate"), path, "-"], "101")


def the_session_log_has_sessions_that_no_token_let_in_where_they_are_asked_for(site: Site) -> None:
    for short, path, credentials, wanted in (
        ("gate", "/listed", "none", ["-", "-"]),
        ("office", "/timed", "password", ["-", "3240-3600"]),
        ("office", "/timed", "token", [TOKEN, "3240-3600"]),
    ):
        request = site.handshake(short, path)
        if credentials != "none":
            request = request.token(TOKEN) if credentials == "token" else request.basic(USERNAME, PASSWORD)
        lines = _noted(site, short, request)
        assert [line[0] for line in lines] == ["S", "E"], f"the session log got {lines}"
        assert lines[0][10:] == [wanted[0], site.name(short), path, wanted[1]]
        assert lines[1][-1] == "101"
    assert _noted(site, "office", site.handshake("office", "/open")) == []
    # Whom the gate refuses has no session, and whoever asks for the path itself has a line like any other.
    known = site.nginx.session_log.read_text()
    for short, request, status in (
        ("office", site.handshake("office", "/timed"), 401),
        ("office", site.plain("office", "/.wssgate/session"), 404),
        ("gate", site.plain("gate", "/.wssgate/session"), 404),
    ):
        with site.ask(short, request) as reply:
            assert reply.status == status
        assert site.last_line()["status"] == status
    assert site.nginx.session_log.read_text() == known


def a_large_body_is_refused(site: Site) -> None:
    request = (
        site.plain("office", "/", "POST")
        .basic(USERNAME, PASSWORD)
        .but(body=b"x" * 2000)
        .adding("Content-Length", "2000")
    )
    with site.ask("office", request) as reply:
        assert reply.status == 413, f"{reply.status}"


# -- the page and the redirect
# -------------------------------------------------------------------------------------------


def the_page_answers_get_and_head_only(site: Site) -> None:
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)):
        with site.ask("gate", site.plain("gate", "/check", method)) as reply:
            assert reply.status == status, f"{method}: {reply.status}"
            assert reply.all("Allow") == (["GET, HEAD"] if status == 405 else [])
            assert reply.all("Strict-Transport-Security") == ["max-age=300"]
        line = site.last_line()
        assert (line["status"], line["reason"]) == (status, "method" if status == 405 else "")


def a_location_names_the_one_method_that_it_has(site: Site) -> None:
    with site.ask("gate", site.plain("gate", "/wss", "POST")) as reply:
        assert (reply.status, reply.all("Allow")) == (405, ["GET"])


def the_page_has_its_security_headers(site: Site) -> None:
    with site.ask("gate", site.plain("gate", "/check")) as reply:
        policy = dict(part.strip().split(" ", 1) for part in (reply.header("Content-Security-Policy") or "").split(";"))
        body = reply.body
    assert {policy.get(name) for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert policy["connect-src"].split() == ["'self'", f"wss://{site.authority('gate')}"]
    for name, element in (("script-src", b"script"), ("style-src", b"style")):
        text = re.search(b"<" + element + b">(.*?)</" + element + b">", body, re.DOTALL)
        assert text and policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text[1]).digest()).decode()}'"
    wanted = {
        "Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
    }  # fmt: skip
    assert {name: reply.header(name) for name in wanted} == wanted


def browsers_get_hsts(site: Site) -> None:
    for request, status in (
        (site.handshake("gate"), 403),
        (site.plain("gate", "/nothing"), 404),
        (site.handshake("gate").token(TOKEN), 101),
    ):
        with site.ask("gate", request) as reply:
            assert (reply.status, reply.all("Strict-Transport-Security")) == (status, ["max-age=300"])


def plain_http_is_redirected_to_https(site: Site) -> None:
    endpoint = wire.Endpoint(port=site.plain_port, tls=False)
    site.note()
    with wire.handshake(endpoint, wire.Request("/wss?a=b", host=site.name("gate"), headers=())) as reply:
        assert (reply.status, reply.header("Location")) == (308, f"https://{site.authority('gate')}/wss?a=b")
    line = site.last_line()
    assert line["status"] == 308
    with wire.handshake(
        endpoint, wire.Request("/.well-known/acme-challenge/proof", host=site.name("gate"), headers=())
    ) as reply:
        assert (reply.status, reply.body, reply.header("Content-Type")) == (200, b"proven\n", "text/plain")
    with wire.handshake(
        endpoint, wire.Request("/.well-known/acme-challenge/nothing", host=site.name("gate"), headers=())
    ) as reply:
        assert reply.status == 404


def plain_http_is_redirected_to_no_foreign_host(site: Site) -> None:
    endpoint = wire.Endpoint(port=site.plain_port, tls=False)
    for host, name in (("", ""), ("GATE.example.com.", ""), ("gate.example.com:80", ""), ("a.gate.example.com", "a.")):
        host, name = host or site.name("gate"), name + site.name("gate")
        with wire.handshake(endpoint, wire.Request("/wss", host=host, headers=())) as reply:
            assert (reply.status, reply.header("Location")) == (308, f"https://{name}:{site.port}/wss"), (
                f"{host}: {reply.headers}"
            )
    foreign = ("evil.example", "members.example.com", "127.0.0.1", "[::1]", "_", f"127.0.0.1:{site.plain_port}")
    for request in (
        *(wire.Request("/wss", host=host, headers=()) for host in foreign),
        wire.Request("/wss", host=None, version="HTTP/1.0", headers=()),
        wire.Request("http://evil.example/wss", host="gate.example.com", headers=()),
    ):
        site.note()
        with wire.handshake(endpoint, request) as reply:
            assert (reply.status, reply.header("Location")) == (404, None), f"{request}: {reply.status} {reply.headers}"
        assert (site.last_line()["status"], site.last_line()["reason"]) == (404, "path")
    # An authority asks for each name of a certificate, which may have more than the server.
    earlier = site.nginx.error_log()
    for path, status in (("proof", 200), ("nothing", 404), ("", 404), ("%2e%2e/", 404), ("..%2f..%2fsecret", 404)):
        for host in ("other.example.com", site.name("gate")):
            request = wire.Request(f"/.well-known/acme-challenge/{path}", host=host, headers=())
            if path.startswith(".") or path.startswith("%"):
                status = 308 if host == site.name("gate") else 404
            with wire.handshake(endpoint, request) as reply:
                assert reply.status == status, f"{path} of {host}: {reply.status}"
    # Whoever asks for what is not there fills no log of errors.
    assert site.nginx.error_log() == earlier
    for path, status in (("proof", 200), ("nothing", 404)):
        with wire.handshake(
            endpoint, wire.Request(f"/.well-known/acme-challenge/{path}", host="other.example.com", headers=())
        ) as reply:
            assert (reply.status, reply.header("Content-Type") if status == 200 else "text/plain") == (
                status,
                "text/plain",
            )


def a_servers_addresses_are_for_every_path(site: Site) -> None:
    for source, is_let_in in (("127.0.0.2", True), ("127.0.0.4", False), (STRANGER, False)):
        for request, status in (
            (site.handshake("near"), 101),
            (site.plain("near", "/"), 200),
            (site.plain("near", "/check"), 200),
        ):
            count = site.head_echo.count
            with site.ask("near", request, source=source) as reply:
                wanted = status if is_let_in else 403
                assert reply.status == wanted, f"{request.path} from {source}: {reply.status}, not {wanted}"
            if not is_let_in:
                assert site.head_echo.count == count
                assert site.last_line()["reason"] == "address"


def an_upstream_gets_the_gates_header_however_a_client_spells_it(site: Site) -> None:
    authority = f"{site.name('anybody')}:{site.open_port}"
    endpoint = wire.Endpoint(port=site.open_port, server_name=site.name("anybody"))
    # In the location that has the header, and in one beside it.
    for path, keys in (("/constant", [API_KEY]), ("/wss", None)):
        request = wire.Request(path, host=authority).origin(f"https://{authority}").adding("X_Other", "mine")
        for name in ("X-Api-Key", "x-api-key", "X_Api_Key", "X_Api-Key", "X-Api_Key"):
            request = request.adding(name, "mine")
        site.note()
        headers = got(wire.handshake(endpoint, request))
        # nginx passes such names on here.
        assert headers["x_other"] == ["mine"], path
        assert headers.get("x-api-key") == keys, path
        assert not {"x_api_key", "x_api-key", "x-api_key"}.intersection(headers), path


# -- TLS
# -----------------------------------------------------------------------------------------------------------------


def s_client(site: Site, *options: str) -> str:
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{site.port}",
        "-servername",
        site.name("gate"),
        "-ign_eof",
        *options,
    ]
    request = f"GET /nothing HTTP/1.1\r\nHost: {site.authority('gate')}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        command, input=request, capture_output=True, text=True, errors="replace", timeout=30, check=False
    )
    return done.stdout + done.stderr


def tls_takes_the_profiles_versions_suites_and_curves_only(site: Site) -> None:
    """By OpenSSL's own client; each refusal has beside it what is the same but for one thing and is taken."""
    for options, is_taken in (
        (["-tls1_2"], True),
        (["-tls1_3"], True),
        (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"], False),
        (["-tls1_3", "-groups", "X25519"], True),
        (["-tls1_3", "-groups", "secp384r1"], True),
        (["-tls1_3", "-groups", "secp521r1"], False),
        (["-tls1_3", "-groups", "X448"], False),
    ):
        output = s_client(site, *options)
        assert ("HTTP/1.1 404" in output) == is_taken, f"{' '.join(options)}: {output[-600:]}"


def _client(version: ssl.TLSVersion, identity: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if identity:
        context.load_cert_chain(identity)
    return context


def a_client_that_comes_back_resumes_its_session(site: Site) -> None:
    output = s_client(site, "-tls1_3", "-msg")
    assert output.count("NewSessionTicket") == 1, f"{output.count('NewSessionTicket')} tickets"
    # By the server's memory, with no ticket.
    context = _client(ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_TICKET
    endpoint = wire.Endpoint(port=site.open_port, tls=False)
    session = None
    for is_reused in (False, True):
        with (
            endpoint.connect() as plain,
            context.wrap_socket(plain, server_hostname=site.name("anybody"), session=session) as tls,
        ):
            assert tls.session_reused == is_reused
            session = tls.session
    # A ticket says how long it may be used.
    context.options &= ~ssl.OP_NO_TICKET
    with endpoint.connect() as plain, context.wrap_socket(plain, server_hostname=site.name("anybody")) as tls:
        assert tls.session is not None and tls.session.ticket_lifetime_hint == 86400
    own = f"{site.name('anybody')}:{site.open_port}"
    there = wire.Endpoint(port=site.open_port, server_name=site.name("anybody"))
    with wire.handshake(there, wire.Request("/wss", host=own).origin(f"https://{own}")) as reply:
        assert reply.status == 101, f"from its own page: {reply.status}"


def nobody_resumes_a_session_where_clients_show_certificates(site: Site) -> None:
    """Whatever is revoked or expires after the first handshake has to count in the second."""
    from . import client_certificates

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for short in ("members", "mixed", "gate"):
            context = _client(version, site.pki / "alice.pem")
            session = None
            for _time in range(2):
                plain = wire.Endpoint(port=site.port, tls=False).connect()
                with context.wrap_socket(plain, server_hostname=site.name(short), session=session) as tls:
                    tls.sendall(site.plain(short, "/nothing").encode())
                    assert wire.read_reply(client_certificates.KeptOpen(tls)).status == 404
                    assert not tls.session_reused, f"{short} with {version.name}"
                    session = tls.session
                    assert session is not None


Check = Callable[[Site], None]

CHECKS: tuple[Check, ...] = (
    only_the_authoritys_clients_get_in,
    a_server_with_client_certificates_is_asked_for_by_its_name_in_tls,
    the_upstream_gets_the_subject_and_no_forged_one,
    only_trusted_proxies_name_the_client,
    only_balancers_name_another_client_by_the_proxy_protocol,
    a_servers_addresses_are_for_every_path,
    an_upstream_gets_the_gates_header_however_a_client_spells_it,
    the_external_service_decides,
    the_service_gets_the_client_and_the_request,
    the_service_gets_the_path_that_the_upstream_gets,
    forged_identities_do_not_reach_the_service,
    forged_requests_do_not_reach_the_service,
    a_signed_token_lets_in_who_has_it,
    the_upstream_gets_claims_and_no_signed_token,
    nobody_gets_in_while_signed_tokens_cannot_be_judged,
    a_page_asks_with_a_signed_token,
    the_logs_have_what_a_signed_token_says_and_not_the_token,
    several_methods_let_in_whom_all_or_any_of_them_do,
    the_upstream_and_the_service_get_the_claims_of_what_has_passed,
    the_session_log_has_what_ends_a_session_of_several_methods,
    a_token_that_is_gone_counts_no_more_whatever_nginx_remembers_of_files,
    a_page_asks_with_any_of_several_tokens,
    internal_locations_are_not_found_by_clients,
    a_servers_password_is_for_every_path,
    a_client_with_a_password_keeps_its_other_cookies,
    an_upstream_gets_its_name_and_may_have_a_long_chain,
    the_log_has_a_reason_for_clients_that_left_and_one_for_silent_ones,
    the_log_counts_what_came_from_the_client,
    the_session_log_has_each_beginning_and_end,
    the_session_log_has_sessions_that_no_token_let_in_where_they_are_asked_for,
    a_location_names_the_one_method_that_it_has,
    a_large_body_is_refused,
    the_page_answers_get_and_head_only,
    the_page_has_its_security_headers,
    browsers_get_hsts,
    plain_http_is_redirected_to_https,
    plain_http_is_redirected_to_no_foreign_host,
    tls_takes_the_profiles_versions_suites_and_curves_only,
    a_client_that_comes_back_resumes_its_session,
    nobody_resumes_a_session_where_clients_show_certificates,
)
