# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any or all of several methods, each combination with each credential good, bad or absent, on the wire and in the
logs; what comes of tokens taken back, of the end of a signed one, and of plain requests. Then random requests for
locations with random options, which a model judges: WSSGATE_COMBINED_REQUESTS (400) a run, which WSSGATE_FUZZ_SEED
repeats.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lib import combination_fuzz, pki
from lib.combination_fuzz import Asked, Stock
from lib.combinations import BAD, GOOD, SERVICE, SERVICE_CHALLENGE, Case, Combination, cases, combinations, expected
from lib.head_echo import HeadEcho
from lib.http_client import LIMIT, Answer, Client
from lib.jwt_model import Model
from lib.jwt_signing import Signer
from lib.local_gate import LocalGate, LocalNginx, free_port
from lib.processes import wait_for

HOST, ORIGIN = "gate.example.com", "https://app.example.com"
ISSUER = "https://id.example.com"
SIGNER, STRANGER = Signer("ES256"), Signer("ES256")
TOKEN, UNKNOWN = "Combined_Token-0123456789", "Combined_Never-0123456789"
USERNAME, PASSWORD = "operator", "combined: password"
REQUESTS = int(os.environ.get("WSSGATE_COMBINED_REQUESTS", "400"))
SEED = int(os.environ.get("WSSGATE_FUZZ_SEED") or random.SystemRandom().randrange(1 << 32))
PLACES = combination_fuzz.places(random.Random(SEED))


def basic(password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()


def signed(signer: Signer = SIGNER, **changes: Any) -> str:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss", "sub": "client 1", "jti": "t-1", "iat": now - 10, "exp": now + 600}
    return signer.sign(good | changes)


class Service:
    """The operator's own: a header tells what it is to answer. It keeps what it was told of the user."""

    def __init__(self) -> None:
        self.users: list[str | None] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.users.append(self.headers.get("X-User"))
                status = SERVICE[self.headers.get("X-Word") or "absent"]
                self.send_response(status)
                # What only the gate itself may say.
                for name in ("Wssgate-Subject", "Wssgate-Id", "Wssgate-Claim-0"):
                    self.send_header(name, "forged")
                if status == 401:
                    self.send_header("WWW-Authenticate", SERVICE_CHALLENGE)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TLSClient(Client):
    """With a certificate, or without."""

    def __init__(self, port: int, identity: Path | None = None, address: str = "") -> None:
        super().__init__(port, address)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        if identity:
            self._context.load_cert_chain(identity)

    def send(self, request: bytes) -> None:
        if self._socket is None:
            source = (self.address, 0) if self.address else None
            plain = socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT, source_address=source)
            self._socket = self._context.wrap_socket(plain, server_hostname=HOST)
        super().send(request)


class Asker:
    """Asks an nginx, and reads its access log."""

    def __init__(self, nginx: LocalNginx, port: int, identities: Mapping[str, Path]) -> None:
        self._port, self._identities = port, identities
        self._clients: dict[tuple[str, str], TLSClient] = {}
        wait_for(nginx.access_log.exists)
        self._log = nginx.access_log.open()

    def ask(
        self,
        path: str,
        *lines: str,
        certificate: str = "absent",
        method: str = "GET",
        upgrade: bool = True,
        address: str = "",
        origin: str = ORIGIN,
    ) -> tuple[Answer, dict[str, Any]]:
        """The answer, and the line in the access log."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *lines]
        if upgrade:
            head += ["Upgrade: websocket", "Connection: Upgrade"]
        if origin:
            head.append(f"Origin: {origin}")
        key = certificate, address
        if key not in self._clients:
            self._clients[key] = TLSClient(self._port, self._identities.get(certificate), address)
        answer = self._clients[key].ask("\r\n".join([*head, "", ""]).encode())
        text = ""

        def is_there() -> bool:
            nonlocal text
            text += self._log.read()
            return text.endswith("\n")

        wait_for(is_there)
        (line,) = text.splitlines()
        return answer, json.loads(line)


class CombinedGate(LocalGate):
    def __init__(self, upstream: int, service: int) -> None:
        self.port = free_port()
        common = {"upstream": f"http://127.0.0.1:{upstream}", "origins": [ORIGIN]}
        of_method = {"jwt": {"issuers": ["main"]}, "external": {"external_auth_url": f"http://127.0.0.1:{service}/"}}
        more = [
            Combination(("token", "jwt"), True),
            Combination(("token", "jwt"), False),
            Combination(("token", "jwt", "external"), True),
            Combination(("jwt", "external"), False),
            Combination(("token", "external"), False),
        ]
        locations = [
            *((c.path, c, {}) for c in combinations()),
            *((f"/short{c.path}", c, {"max_session_lifetime": 60, "session_listed": True}) for c in more),
            *((f"/page{c.path}", c, {"http": True}) for c in more),
            *((f"/kept{c.path}", c, {"forward_credentials": True}) for c in more[:1]),
            *((f"/one{c.path}", c, {"sources": ["cookie"]}) for c in more[:1]),
            *((f"/few{c.path}", c, {"max_sessions_per_token": 1}) for c in more[:1]),
            *((place.path, place.combination, place.options) for place in PLACES),
        ]
        super().__init__([], token_store_pruner="agent")
        authority, namesake = pki.issue("clients", ca=True), pki.issue("clients", ca=True)
        (self.etc / "clients.pem").write_bytes(authority.pem)
        self.identities: dict[str, Path] = {}
        for word, issuer in ((GOOD, authority), (BAD, namesake)):
            identity = pki.issue("alice", issuer)
            self.identities[word] = self.root / f"{word}.pem"
            self.identities[word].write_bytes(identity.pem + identity.key_pem)
        password = self.etc / "passwords"
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        password.write_text(f"{USERNAME}:{{SHA}}{digest}\n")
        self.variables |= {
            "wss_proxy_certificates": [self.certificate(names=(HOST,))],
            "wss_proxy_htpasswd_files": [{"path": str(password)}],
            "wss_proxy_issuers": [
                {
                    "name": "main",
                    "issuer": ISSUER,
                    "audience": ["wss"],
                    "keys": [{"content": SIGNER.public_pem}],
                    "headers": [{"name": "X-User", "claim": "sub"}],
                }
            ],
            "wss_proxy_servers": [
                {
                    "name": "gate",
                    "server_names": [HOST],
                    "listen": [{"address": "127.0.0.1", "port": self.port}],
                    "certificate": "gate",
                    "client_certificates": {"ca_path": str(self.etc / "clients.pem"), "required": False},
                    "locations": [
                        common
                        | {"path": path, "auth": c.auth}
                        | {k: v for method in c.methods for k, v in of_method.get(method, {}).items()}
                        | options
                        for path, c, options in locations
                    ],
                }
            ],
        }
        self.issue(TOKEN)

    def __enter__(self) -> CombinedGate:
        super().__enter__()
        self.asker = Asker(self, self.port, self.identities)
        return self

    def ask(self, path: str, *lines: str, **more: Any) -> tuple[Answer, dict[str, Any]]:
        return self.asker.ask(path, *lines, **more)

    def sessions(self, before: int) -> list[list[str]]:
        """What the session log has got since it was that long."""
        text = self.session_log.read_text()[before:] if self.session_log.exists() else ""
        return [line.split(" ") for line in text.splitlines()]

    def length(self) -> int:
        return len(self.session_log.read_text()) if self.session_log.exists() else 0


@pytest.fixture(scope="module")
def upstream() -> Iterator[HeadEcho]:
    upstream = HeadEcho()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def gate(upstream: HeadEcho, service: Service) -> Iterator[CombinedGate]:
    with CombinedGate(upstream.port, service.port) as gate:
        yield gate
        assert "exited on signal" not in gate.error_log()
        assert "uninitialized" not in gate.error_log()


def lines_of(case: Case) -> list[str]:
    words = {
        "token": {GOOD: TOKEN, BAD: UNKNOWN},
        "jwt": {GOOD: signed(), BAD: signed(STRANGER)},
    }
    lines = []
    for method, source in case.source.items():
        word = words[method][case.brings[method]]
        lines.append(f"Cookie: a=1; AUTH={word}" if source == "cookie" else f"Authorization: Bearer {word}")
    if case.brings.get("basic") in (GOOD, BAD):
        lines.append(basic(PASSWORD if case.brings["basic"] == GOOD else "wrong"))
    if case.brings.get("external") in (GOOD, BAD):
        lines.append(f"X-Word: {case.brings['external']}")
    return lines


def received(answer: Answer) -> dict[str, list[str]]:
    """The headers that the upstream got."""
    found: dict[str, list[str]] = {}
    for line in (answer.tunnel or answer.body).decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(": ")
        if colon:
            found.setdefault(name.lower(), []).append(value)
    return found


@pytest.mark.parametrize("combination", list(combinations()), ids=lambda combination: combination.path[1:])
def test_what_a_client_brings_decides(gate: CombinedGate, upstream: HeadEcho, combination: Combination) -> None:
    for case in cases(combination):
        wanted = expected(case)
        count, before = upstream.count, gate.length()
        answer, logged = gate.ask(
            combination.path,
            *lines_of(case),
            "X-User: root",
            certificate=case.brings.get("client_certificate", "absent"),
        )
        assert (answer.status, logged["reason"]) == (wanted.status, wanted.reason), case
        if wanted.status != 400 or wanted.reason == "two_tokens":
            assert sorted(answer.all("WWW-Authenticate")) == sorted(wanted.challenges), case
        assert upstream.count - count == (wanted.status == 101), case
        assert logged["subject"] == ("client%201" if wanted.is_signed else ""), case
        if wanted.status == 101:
            got = received(answer)
            assert got.get("x-user") == (["client 1"] if wanted.is_signed else None), case
            assert "authorization" not in got, case
            # Where no method has a cookie, none is taken out.
            assert got.get("cookie") in (None, ["a=1"]), case
        began_and_ended = gate.sessions(before)
        if not wanted.noted:
            assert began_and_ended == [], case
            continue
        start, end = began_and_ended
        assert (start[0], end[0], start[2:5]) == ("S", "E", end[2:5]), case
        assert start[10:13] == [TOKEN if "token" in wanted.noted else "-", HOST, combination.path], case
        if "jwt" in wanted.noted:
            assert 500 < int(start[13].split("-")[1]) <= 600, case
            assert start[14] == hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest(), case
            assert start[15].isdigit() and start[16] == "client%201", case
        else:
            assert start[13] == "-" and not {*start[14:]} - {"", "-"}, case


# -- random ones


@pytest.fixture(scope="module")
def stock(gate: CombinedGate) -> Stock:
    model = Model(gate.variables["wss_proxy_issuers"], gate.root / "revoked")
    texts = {
        "token": TOKEN,
        "other token": gate.issue("0123456789-Combined_Other"),
        "unknown": UNKNOWN,
        "short": "short",
        "long": gate.issue("x" * 129),
        "signed": signed(),
        "no jti": signed(jti="t-2"),
        "stranger's": signed(STRANGER),
        "expired": signed(exp=1),
        "not yet": signed(nbf=int(time.time()) + 5000),
        "for others": signed(aud="api"),
        "by others": signed(iss="https://other.example.com"),
        "taken back": signed(jti="t-gone"),
        "dotted": "a.b.c",
        "dots": "..",
        "one dot": "Combined.Dotted-0123456789",
        "four parts": f"{signed()}.x",
    }
    (gate.root / "revoked" / "jti" / hashlib.sha256(f"{ISSUER}\nt-gone".encode()).hexdigest()).touch()

    def reason(token: str) -> str:
        return str(model.judged(token, time.time())["reason"])

    honest = {"token": ("token", "other token"), "jwt": ("signed", "no jti")}
    return Stock(texts, frozenset(honest["token"]), reason, honest=honest)


def lines_of_asked(request: Asked, stock: Stock) -> list[str]:
    cookies = [f"{request.place.cookie}={stock.texts[name]}" for name in request.cookies]
    lines = [f"Cookie: {'; '.join(['a=1', *cookies])}", "X-User: root"]
    scheme, name = request.authorization
    if scheme == "Basic":
        lines.append(basic(PASSWORD if name == GOOD else "wrong"))
    elif scheme:
        lines.append(f"Authorization: Bearer {stock.texts[name]}")
    return lines if request.word == "absent" else [*lines, f"X-Word: {request.word}"]


def differs(asker: Asker, upstream: HeadEcho, request: Asked, stock: Stock) -> str:
    """In what the gate and the model differ, or nothing."""
    wanted, place, before = combination_fuzz.verdict(request, stock), request.place, upstream.count
    answer, logged = asker.ask(
        place.path,
        *lines_of_asked(request, stock),
        certificate=request.certificate,
        address=request.address,
        upgrade=not request.is_plain,
        origin="" if request.origin is None else ORIGIN if request.origin else "https://evil.example.net",
    )
    is_let_in = wanted.status in (101, 200)
    found: dict[str, Any] = {"status": answer.status, "reason": logged["reason"], "reached": upstream.count > before}
    right: dict[str, Any] = {"status": wanted.status, "reason": wanted.reason, "reached": is_let_in}
    # One certificate is refused before it is known which location is asked for.
    if wanted.reason != "client_certificate" or wanted.status != 400:
        found |= {"location": logged["location"], "challenges": sorted(answer.all("WWW-Authenticate"))}
        right |= {"location": place.path, "challenges": sorted(wanted.challenges)}
    found["subject"], right["subject"] = logged["subject"], "client%201" if wanted.is_signed else ""
    if is_let_in:
        got = received(answer)
        found |= {"user": got.get("x-user"), "authorization": got.get("authorization")}
        right |= {"user": ["client 1"] if wanted.is_signed else None, "authorization": None}
        if any("cookie" in place.taken_from(method) for method in ("token", "jwt")):
            # What stands beside something that is no token, or beside several, need not be passed on.
            taken = [method for method in ("token", "jwt") if "cookie" in place.taken_from(method)]
            clear = [(), *((name,) for method in taken for name in stock.honest[method])]
            cookie = got.get("cookie")
            found["cookie"], right["cookie"] = cookie, ["a=1"] if request.cookies in clear or cookie else None
    return "" if found == right else f"the gate: {found}\n  the model: {right}\n  {request}"


def random_requests(stock: Stock, count: int = REQUESTS) -> Iterator[Asked]:
    source = random.Random(SEED)
    for _ in range(count):
        yield combination_fuzz.asked(source, source.choice(PLACES), stock)


def test_random_requests_are_answered_as_the_model_does(gate: CombinedGate, upstream: HeadEcho, stock: Stock) -> None:
    reasons: Counter[str] = Counter()
    for request in random_requests(stock):
        before = gate.length()
        problem = differs(gate.asker, upstream, request, stock)
        assert not problem, f"WSSGATE_FUZZ_SEED={SEED}\n  {problem}"
        wanted = combination_fuzz.verdict(request, stock)
        reasons[wanted.reason] += 1
        if wanted.status != 200:
            noted = {line[10] for line in gate.sessions(before) if line[0] == "S"}
            good = {stock.texts[name] for name in stock.good_tokens}
            # The session log has which token opened it, and of a signed one that there was one.
            assert len(noted) == bool(wanted.noted), f"WSSGATE_FUZZ_SEED={SEED}\n  {noted} {wanted} {request}"
            assert noted <= (good if "token" in wanted.noted else {"-"}), f"{noted} {request}"
    # A run that is refused at the door, or let in each time, shows nothing.
    assert REQUESTS // 10 < reasons[""] < REQUESTS * 3 // 4, reasons
    assert len(reasons) > 10, reasons


SERVER, IF = "wssgate.d/server_gate.conf", r"if \(%s[^{]*\) \{[^}]*\}"
# What is taken out or weakened: what stands in the server's file, and what stands there instead.
GUARDS = {
    "the addresses that are allowed": (IF % r"\$wss_allow_\w+", ""),
    "the addresses that are denied": (IF % r"\$wss_deny_\w+", ""),
    "the origin": (r'if \(\$http_origin !~\* "[^"]*"\) \{[^}]*\}', ""),
    "the certificate that all need": (IF % r"\$ssl_client_verify != SUCCESS", ""),
    "the certificate that is enough": (IF % r"\$ssl_client_verify = SUCCESS", ""),
    "one token by one way": (IF % r"\$wss_two_tokens_\w+", ""),
    "the password": (r'auth_basic "[^;]*;', "auth_basic off;"),
    "a password or the rest": (r"satisfy any;", ""),
    "the subrequest": (r"auth_request /\.wssgate/(?:any|all)/[^;]*;", ""),
    "the token's file, which all need": (IF % r"!-f [^{]*/tokens/", ""),
    "the token's file, which is enough": (IF % r"-f [^{]*/tokens/", ""),
    "a signed token's dots": (IF % r'\$wss_\w+ !~ "[^"]*"', ""),
    "the verdict on a signed token": (IF % r"\$wss_jwt_passed = 0", ""),
    "the service, which all need": (r"(passed = 0.*?)rewrite \^ /\.wssgate/external/[^;]*;", r"\1return 204;"),
    "the user's name": (r"proxy_set_header X-User [^;]*;", ""),
}


@pytest.mark.parametrize("name", GUARDS)
def test_random_requests_miss_each_guard(gate: CombinedGate, upstream: HeadEcho, stock: Stock, name: str) -> None:
    pattern, instead = GUARDS[name]
    port = free_port()
    found = 0

    def edit(path: str, text: str) -> str:
        nonlocal found
        if path != SERVER:
            return text
        text, found = re.subn(pattern, instead, text, flags=re.S)
        return text

    with gate.copy(edit, {gate.port: port}) as copy:
        assert found, "the configuration has no such guard"
        asker = Asker(copy, port, gate.identities)
        # Some are met by few requests; most of them within a hundred.
        requests = random_requests(stock, 10 * REQUESTS)
        assert any(differs(asker, upstream, request, stock) for request in requests), f"WSSGATE_FUZZ_SEED={SEED}"


def test_no_secret_is_in_a_log_that_everybody_reads(gate: CombinedGate) -> None:
    for text in (gate.access_log.read_text(), gate.error_log()):
        assert TOKEN not in text and UNKNOWN not in text and ".eyJ" not in text
    assert ".eyJ" not in gate.session_log.read_text()


ANY, ALL = "/any-token-jwt", "/all-token-jwt"


def cookie(value: str) -> str:
    return f"Cookie: AUTH={value}"


def bearer(value: str) -> str:
    return f"Authorization: Bearer {value}"


@pytest.mark.parametrize(
    ("path", "lines", "status", "reason"),
    [
        # One value: what has two dots is a signed token and nothing else.
        (ANY, ["Cookie: AUTH=a.b.c"], 403, "jwt_malformed"),
        (ANY, ["Cookie: AUTH=.."], 403, "jwt_malformed"),
        (ANY, ["Cookie: AUTH=a.b"], 403, "token"),
        (ANY, ["Cookie: AUTH=a.b.c.d"], 403, "token"),
        (ANY, ["Cookie: AUTH=a.b.c.d.e"], 403, "token"),
        (ANY, ["Cookie: AUTH=short"], 403, "token"),
        (ANY, ["Cookie: AUTH=../tokens/GOOD"], 403, "token"),
        (ANY, ["Cookie: AUTH=../../etc/passwd"], 403, "token"),
        (ANY, ["Cookie: AUTH=Dotted.Dotted.Dotted"], 403, "jwt_malformed"),
        (ANY, ["Cookie: AUTH=Dotted.Dotted_0123456"], 403, "token"),
        (ANY, ["Cookie: AUTH="], 403, "token"),
        (ANY, ["Cookie: AUTH=GOOD; AUTH=SIGNED"], 403, "token"),
        (ANY, ["Cookie: AUTH=SIGNED; AUTH=GOOD"], 403, "token"),
        (ANY, ["Cookie: auth=GOOD"], 403, "token"),
        (ANY, ["Authorization: Bearer a/b"], 401, "token"),
        (ANY, ["Authorization: Bearer"], 401, "token"),
        (ANY, ["Authorization: Bearer a.b.c"], 401, "jwt_malformed"),
        (ANY, ["Cookie: AUTH=x", "Authorization: Bearer SIGNED"], 400, "two_tokens"),
        (ANY, ["Cookie: AUTH=GOOD", "Authorization: Bearer GOOD"], 400, "two_tokens"),
        (ANY, ["Wssgate-Token: SIGNED", "Wssgate-Next: /.wssgate/judged/x"], 403, "token"),
        (ANY, ["Authorization: Basic GOOD"], 403, "token"),
        (f"/one{ANY}", ["Cookie: AUTH=SIGNED"], 101, ""),
        (f"/one{ANY}", ["Cookie: AUTH=GOOD"], 101, ""),
        (f"/one{ANY}", ["Authorization: Bearer SIGNED"], 403, "token"),
        (f"/one{ANY}", ["Authorization: Bearer GOOD"], 403, "token"),
        # Both: each has its place.
        (ALL, ["Cookie: AUTH=GOOD", "Authorization: Bearer SIGNED"], 101, ""),
        (ALL, ["Cookie: AUTH=SIGNED", "Authorization: Bearer GOOD"], 403, "token"),
        (ALL, ["Cookie: AUTH=GOOD; AUTH=GOOD", "Authorization: Bearer SIGNED"], 403, "token"),
        (ALL, ["Cookie: AUTH=GOOD", "Authorization: Bearer GOOD"], 401, "jwt_malformed"),
        (ALL, ["Cookie: AUTH=GOOD", "Authorization: Bearer a/b"], 401, "jwt_malformed"),
        (ALL, ["Cookie: AUTH=GOOD", "Authorization: Bearer"], 401, "jwt_malformed"),
        (ALL, ["Cookie: AUTH=GOOD", "Authorization: Basic SIGNED"], 403, "jwt_missing"),
        (ALL, ["Authorization: Bearer SIGNED"], 403, "token"),
        # Only nginx itself gets to these.
        ("/.wssgate/any/gate_0", ["Cookie: AUTH=GOOD"], 404, "path"),
        ("/.wssgate/judged/gate_0", ["Cookie: AUTH=GOOD"], 404, "path"),
    ],
)
def test_which_value_is_which_token(gate: CombinedGate, path: str, lines: list[str], status: int, reason: str) -> None:
    for name in ("Dotted.Dotted.Dotted", "Dotted.Dotted_0123456"):
        gate.issue(name)
    token = signed()
    lines = [line.replace("GOOD", TOKEN).replace("SIGNED", token) for line in lines]
    answer, logged = gate.ask(path, *lines)
    assert (answer.status, logged["reason"]) == (status, reason)


def test_clients_find_none_of_the_internal_locations(gate: CombinedGate, service: Service) -> None:
    text = (gate.etc / "wssgate.d/server_gate.conf").read_text()
    paths = [line.split()[2] for line in text.splitlines() if line.strip().startswith("location = /.wssgate/")]
    assert {path.split("/")[2] for path in paths} >= {"any", "all", "jwt", "judged", "external", "refused"}
    asked = len(service.users)
    for path in paths:
        answer, logged = gate.ask(path, cookie(TOKEN), bearer(signed()), certificate=GOOD)
        assert (answer.status, logged["reason"]) == (404, "path"), path
    assert len(service.users) == asked


def test_the_upstream_gets_neither_token(gate: CombinedGate) -> None:
    for value in (TOKEN, signed()):
        got = received(gate.ask(ANY, f"Cookie: a=1; AUTH={value}; b=2")[0])
        assert got["cookie"] == ["a=1; b=2"]
        got = received(gate.ask(f"/kept{ANY}", f"Cookie: a=1; AUTH={value}")[0])
        assert got["cookie"] == [f"a=1; AUTH={value}"]
    got = received(gate.ask(ALL, f"Cookie: a=1; AUTH={TOKEN}; b=2", bearer(signed()))[0])
    assert got["cookie"] == ["a=1; b=2"] and "authorization" not in got


def test_the_service_gets_the_claims_of_a_signed_token_and_none_that_a_client_made_up(
    gate: CombinedGate, service: Service
) -> None:
    gate.ask("/all-jwt-external", bearer(signed()), "X-Word: good", "X-User: root")
    assert service.users[-1] == "client 1"
    gate.ask("/any-jwt-external", bearer(signed(STRANGER)), "X-Word: good", "X-User: root")
    assert service.users[-1] is None


def test_the_service_is_asked_only_where_it_is_needed(gate: CombinedGate, service: Service) -> None:
    for path, lines in (
        ("/any-jwt-external", [bearer(signed())]),
        ("/any-token-external", [cookie(TOKEN)]),
        ("/all-jwt-external", [bearer(signed(STRANGER)), "X-Word: good"]),
        ("/all-token-external", [cookie(UNKNOWN), "X-Word: good"]),
    ):
        asked = len(service.users)
        gate.ask(path, *lines)
        assert len(service.users) == asked, path


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (ANY, ["SIGNED"]),
        ("/any-jwt-external", ["SIGNED"]),
        (ALL, ["TOKEN", "SIGNED"]),
        ("/all-jwt-external", ["SIGNED", "X-Word: good"]),
    ],
)
def test_a_signed_token_that_is_taken_back_is_refused_at_once(gate: CombinedGate, path: str, lines: list[str]) -> None:
    jti = f"gone{path}"
    lines = [{"SIGNED": bearer(signed(jti=jti)), "TOKEN": cookie(TOKEN)}.get(line, line) for line in lines]
    assert gate.ask(path, *lines)[0].status == 101
    (gate.root / "revoked" / "jti" / hashlib.sha256(f"{ISSUER}\n{jti}".encode()).hexdigest()).touch()
    answer, logged = gate.ask(path, *lines, *(["X-Word: bad"] if path == "/any-jwt-external" else []))
    assert (answer.status, logged["reason"]) == (401, "jwt_revoked")


@pytest.mark.parametrize("path", [ANY, ALL, "/any-token-external", "/all-token-external"])
def test_a_token_that_is_taken_back_is_refused_at_once(gate: CombinedGate, path: str) -> None:
    token = gate.issue("Combined_Gone-0123456789")
    lines = [cookie(token), *([bearer(signed())] if path == ALL else [])]
    good = ["X-Word: good"] if path == "/all-token-external" else []
    assert gate.ask(path, *lines, *good)[0].status == 101
    (gate.tokens / token).unlink()
    bad = ["X-Word: bad"] if path == "/any-token-external" else good
    answer, logged = gate.ask(path, *lines, *bad)
    assert (answer.status, logged["reason"]) == (403, "external_auth" if bad == ["X-Word: bad"] else "token")


@pytest.mark.parametrize(
    ("path", "lines", "token", "most"),
    [
        (f"/short{ANY}", [cookie(TOKEN)], TOKEN, 60),
        (f"/short{ANY}", ["SIGNED"], "-", 30),
        (f"/short{ALL}", [cookie(TOKEN), "SIGNED"], TOKEN, 30),
        ("/short/any-token-jwt-external", [cookie(TOKEN)], TOKEN, 60),
        ("/short/any-token-jwt-external", ["SIGNED"], "-", 30),
        ("/short/any-token-jwt-external", ["X-Word: good"], "-", 60),
        ("/short/any-token-jwt-external", ["X-Word: good", "FORGED"], "-", 60),
        ("/short/all-jwt-external", ["SIGNED", "X-Word: good"], "-", 30),
        ("/short/all-token-external", [cookie(TOKEN), "X-Word: good"], TOKEN, 60),
    ],
)
def test_a_session_ends_with_what_let_it_in(
    gate: CombinedGate, path: str, lines: list[str], token: str, most: int
) -> None:
    """The session log has when; with several the earliest counts."""
    tokens = {"SIGNED": bearer(signed(exp=int(time.time()) + 30)), "FORGED": bearer(signed(STRANGER))}
    before = gate.length()
    assert gate.ask(path, *(tokens.get(line, line) for line in lines))[0].status == 101
    start, end = gate.sessions(before)
    assert (start[0], end[0], start[10], start[12]) == ("S", "E", token, path)
    bounds = [int(bound) for bound in start[13].split("-")]
    assert bounds == [54, 60] if most == 60 else 0 < bounds[0] <= bounds[1] <= 30


def test_who_is_refused_in_the_end_has_no_session(gate: CombinedGate) -> None:
    before = gate.length()
    for path, lines in (
        ("/short/all-token-external", [cookie(TOKEN), "X-Word: bad"]),
        ("/short/all-token-external", [cookie(TOKEN)]),
        ("/short/all-jwt-external", [bearer(signed()), "X-Word: bad"]),
        (f"/short{ALL}", [cookie(TOKEN)]),
        (f"/short{ALL}", [cookie(TOKEN), bearer(signed(STRANGER))]),
    ):
        assert gate.ask(path, *lines)[0].status in (401, 403)
    assert gate.sessions(before) == []


def test_plain_requests_need_the_same_and_preflights_nothing(gate: CombinedGate) -> None:
    for path, lines in (
        (ANY, [cookie(TOKEN)]),
        (ANY, [bearer(signed())]),
        (ALL, [cookie(TOKEN), bearer(signed())]),
        ("/any-token-jwt-external", ["X-Word: good"]),
        ("/all-jwt-external", [bearer(signed()), "X-Word: good"]),
        ("/all-token-external", [cookie(TOKEN), "X-Word: good"]),
    ):
        assert gate.ask(f"/page{path}", *lines, method="POST", upgrade=False)[0].status == 200, path
        assert gate.ask(f"/page{path}", method="POST", upgrade=False)[0].status in (401, 403), path
        preflight = ["Access-Control-Request-Method: POST"]
        assert gate.ask(f"/page{path}", *preflight, method="OPTIONS", upgrade=False)[0].status == 200, path
        assert gate.ask(f"/page{path}", method="OPTIONS", upgrade=False)[0].status in (401, 403), path


def test_without_the_judge_of_signed_tokens_only_other_credentials_let_in(gate: CombinedGate) -> None:
    judge = gate.root / "wssgate" / "jwt.sock"
    aside = judge.rename(gate.root / "wssgate" / "aside.sock")
    try:
        for path, lines in (
            (ANY, []),
            (ALL, [cookie(TOKEN)]),
            ("/any-jwt-external", ["X-Word: good"]),
            ("/all-jwt-external", ["X-Word: good"]),
        ):
            answer, logged = gate.ask(path, *lines, bearer(signed()))
            assert (answer.status, logged["reason"]) == (500, "jwt_unavailable"), path
        assert gate.ask(ANY, cookie(TOKEN))[0].status == 101
        assert gate.ask("/any-jwt-external", "X-Word: good")[0].status == 101
    finally:
        aside.rename(judge)


def test_a_service_that_is_gone_lets_nobody_in_and_is_the_reason(gate: CombinedGate, service: Service) -> None:
    service.close()
    for path, lines in (
        ("/any-jwt-external", [bearer(signed(STRANGER))]),
        ("/all-jwt-external", [bearer(signed())]),
        ("/all-token-external", [cookie(TOKEN)]),
    ):
        answer, logged = gate.ask(path, *lines, "X-Word: good")
        assert (answer.status, logged["reason"]) == (500, "external_auth"), path
    assert gate.ask("/any-jwt-external", bearer(signed()))[0].status == 101
