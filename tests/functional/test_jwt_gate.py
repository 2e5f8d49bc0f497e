# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens at a gate that the roles put up: where they come from, what the upstream and the log get, what goes."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.plugin_utils._sha512_crypt import sha512_crypt

from lib import wire
from lib.agent_process import AgentProcess
from lib.head_echo import HeadEcho
from lib.http_client import Client
from lib.jwt_signing import Signer
from lib.local_gate import LocalGate, free_port
from lib.processes import running, wait_for

ORIGIN = "https://app.example.com"
ISSUER, OTHER_ISSUER, BARE_ISSUER = (f"https://{name}.example.com" for name in ("id", "other", "bare"))
PASSWORD = "functional-password"
BASIC = "Authorization: Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()

MAIN, OTHER, NEXT = Signer("ES256", "ec-1"), Signer("RS256"), Signer("ES256", "ec-2")


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": now - 10, "exp": now + 600}
    return {name: value for name, value in (good | changes).items() if value is not None}


class JwtGate(LocalGate):
    def __init__(self, upstream: int) -> None:
        self.port, self.echo_port = free_port(), free_port()
        common = {"upstream": f"http://127.0.0.1:{upstream}", "origins": [ORIGIN], "auth": "jwt", "issuers": ["main"]}
        locations = {
            "/wss": {},
            "/cookie": {"sources": ["cookie"]},
            "/bearer": {"sources": ["bearer"]},
            "/named": {"cookie_name": "__Host-ID", "sources": ["cookie"]},
            "/other": {"issuers": ["other"]},
            "/all": {"issuers": ["main", "other"]},
            "/either": {"auth": "jwt_or_basic"},
            "/both": {"auth": "jwt_and_basic"},
            "/open": {"auth": "none", "issuers": []},
            "/opaque": {"auth": "token", "issuers": [], "sources": ["cookie", "bearer"]},
            "/forwarded": {"forward_credentials": True},
            "/plain": {"http": True},
            "/listed": {"session_listed": True},
            "/echo": {"upstream": f"http://127.0.0.1:{self.echo_port}"},
            "/bounded": {"max_session_lifetime": 60, "max_session_lifetime_spread": 50},
            "/long": {"max_session_lifetime": 86400},
            "/short": {"auth": "jwt_or_basic", "max_session_lifetime": 60},
            "/bare": {"issuers": ["bare"]},
        }
        super().__init__(
            [
                {
                    "name": "gate",
                    "listen": [{"address": "127.0.0.1", "port": self.port, "tls": False}],
                    # The gate's own size of that buffer would be a second one, which nginx refuses.
                    "extra_directives": "underscores_in_headers on;\nclient_header_buffer_size 1k;",
                    "locations": [common | {"path": path} | more for path, more in locations.items()],
                }
            ],
            token_store_pruner="agent",
        )
        password = self.etc / "htpasswd"
        password.write_text(f"ann:{sha512_crypt(PASSWORD.encode(), 'salt')}\n")
        source, path = self.root / "main.json", self.root / "other.pem"
        source.write_text(json.dumps({"keys": [MAIN.jwk(use="sig")]}))
        path.write_text(OTHER.public_pem)
        self.variables |= {
            "wss_proxy_htpasswd_files": [{"path": str(password)}],
            "wss_proxy_issuers": [
                {
                    "name": "main",
                    "issuer": ISSUER,
                    "audience": ["wss"],
                    "keys": [{"source": str(source)}],
                    "headers": [{"name": "X-User", "claim": "sub"}, {"name": "X-Roles", "claim": ["realm", "roles"]}],
                },
                {
                    "name": "other",
                    "issuer": OTHER_ISSUER,
                    "audience": ["wss"],
                    "keys": [{"path": str(path)}],
                    "algorithms": ["RS256"],
                    "headers": [{"name": "X-Tenant", "claim": "tenant"}],
                },
                {
                    "name": "bare",
                    "issuer": BARE_ISSUER,
                    "audience": ["wss"],
                    "keys": [{"content": MAIN.public_pem}],
                    "max_token_lifetime": 9999999,
                },
            ],
        }
        # Of an operator's who means pages.
        self.variables["nginx_http_extra_directives"] += f'\nadd_header X-Policy "{"x" * 900}" always;\n'
        self.source = source
        self.revoked = self.root / "revoked"

    def ask(self, path: str, *lines: str, method: str = "GET", upgrade: bool = True) -> tuple[int, str, str]:
        """Status, the head of the answer and what the upstream got."""
        lines_of_head = [f"{method} {path} HTTP/1.1", "Host: gate.example.com", *lines]
        if upgrade:
            lines_of_head += ["Upgrade: websocket", "Connection: Upgrade", f"Origin: {ORIGIN}"]
        with Client(self.port) as client:
            answer = client.ask("\r\n".join([*lines_of_head, "", ""]).encode())
        head = "\r\n".join(f"{name}: {value}" for name, value in answer.headers)
        return answer.status, head, (answer.body + answer.tunnel).decode("latin-1")

    def status(self, path: str, *lines: str, **more: Any) -> int:
        return self.ask(path, *lines, **more)[0]

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of the access log."""
        text = self.access_log.read_text() if self.access_log.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def last(self) -> dict[str, Any]:
        return self.lines()[-1]

    def reason(self, path: str, *lines: str, **more: Any) -> tuple[int, str]:
        before = len(self.lines())
        status = self.status(path, *lines, **more)
        # The line of an earlier request, with another status perhaps, may come meanwhile.
        found = wait_for(lambda: [line for line in self.lines()[before:] if line["status"] == status])
        return status, found[-1]["reason"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[HeadEcho]:
    upstream = HeadEcho()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gate(upstream: HeadEcho) -> Iterator[JwtGate]:
    with JwtGate(upstream.port) as gate:
        yield gate
        assert "exited on signal" not in gate.error_log()


def cookie(token: str, name: str = "AUTH") -> str:
    return f"Cookie: {name}={token}"


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def test_the_longest_verdict_has_room_in_what_a_session_keeps_of_it(gate: JwtGate) -> None:
    """Whatever headers an operator adds to every answer."""
    now = int(time.time())
    longest = {"sub": "x" * 256, "jti": "y" * 256, "iat": now, "exp": now + 9999990}
    assert gate.reason("/bare", cookie(MAIN.sign(claims(iss=BARE_ISSUER, **longest)))) == (101, "")
    assert gate.last()["subject"] == "x" * 256
    longest["realm"] = {"roles": ["z" * 1024]}
    status, _head, got = gate.ask("/wss", cookie(MAIN.sign(claims(**longest | {"exp": now + 86390}))))
    assert status == 101 and "z" * 1024 in got
    assert gate.reason("/bare", bearer(MAIN.sign(claims(iss=BARE_ISSUER, sub="x" * 257)))) == (401, "jwt_claims")


def test_a_cookie_of_one_letter_gets_no_challenge(gate: JwtGate) -> None:
    """As any other cookie that is no signed token."""
    for value in ("0", "1", "a"):
        assert gate.reason("/wss", cookie(value)) == (403, "jwt_malformed")
        assert gate.reason("/wss", bearer(value)) == (401, "jwt_malformed")


def test_a_token_passes_by_cookie_and_by_authorization(gate: JwtGate) -> None:
    token = MAIN.sign(claims())
    assert gate.status("/wss", cookie(token)) == 101
    assert gate.status("/wss", bearer(token)) == 101
    assert gate.status("/named", cookie(token, "__Host-ID")) == 101


@pytest.mark.parametrize(
    ("path", "lines", "expected"),
    [
        ("/wss", [], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH="], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH=../../etc/passwd"], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH=no-token"], (403, "jwt_malformed")),
        ("/wss", ["Authorization: Bearer no-token"], (401, "jwt_malformed")),
        ("/wss", ["Authorization: Bearer a/b"], (401, "jwt_malformed")),
        ("/wss", ["Authorization: Bearer"], (401, "jwt_malformed")),
        ("/wss", [BASIC], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH=GOOD; AUTH=GOOD"], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH=GOOD", "Cookie: AUTH=GOOD"], (403, "jwt_missing")),
        ("/wss", ["Cookie: auth=GOOD"], (403, "jwt_missing")),
        ("/wss", ["Cookie: ID=GOOD"], (403, "jwt_missing")),
        ("/wss?AUTH=GOOD&access_token=GOOD", [], (403, "jwt_missing")),
        ("/wss", ["Wssgate-Token: GOOD"], (403, "jwt_missing")),
        ("/wss", ["Cookie: AUTH=GOOD", "Authorization: Bearer GOOD"], (400, "two_tokens")),
        ("/wss", ["Cookie: AUTH=x", "Authorization: Bearer GOOD"], (400, "two_tokens")),
        ("/wss", ["Cookie: AUTH=EXPIRED"], (403, "jwt_expired")),
        ("/wss", ["Authorization: Bearer EXPIRED"], (401, "jwt_expired")),
        ("/wss", ["Cookie: AUTH=FORGED"], (403, "jwt_signature")),
        ("/wss", ["Cookie: AUTH=OTHER"], (403, "jwt_issuer")),
        ("/cookie", ["Authorization: Bearer GOOD"], (403, "jwt_missing")),
        ("/bearer", ["Cookie: AUTH=GOOD"], (403, "jwt_missing")),
        ("/other", ["Cookie: AUTH=GOOD"], (403, "jwt_issuer")),
        ("/other", ["Cookie: AUTH=OTHER"], (101, "")),
        ("/all", ["Cookie: AUTH=OTHER"], (101, "")),
        ("/all", ["Cookie: AUTH=GOOD"], (101, "")),
        ("/either", ["Cookie: AUTH=GOOD"], (101, "")),
        ("/either", ["Authorization: Bearer GOOD"], (101, "")),
        ("/either", [BASIC], (101, "")),
        ("/either", [BASIC, "Cookie: AUTH=EXPIRED"], (101, "")),
        ("/either", ["Cookie: AUTH=EXPIRED"], (401, "jwt_expired")),
        ("/either", [], (401, "basic_auth")),
        ("/both", ["Cookie: AUTH=GOOD", BASIC], (101, "")),
        ("/both", ["Cookie: AUTH=GOOD"], (401, "basic_auth")),
        ("/both", [BASIC], (403, "jwt_missing")),
        ("/both", [BASIC, "Cookie: AUTH=FORGED"], (403, "jwt_signature")),
        ("/opaque", ["Cookie: AUTH=GOOD"], (403, "token")),
        ("/opaque", ["Authorization: Bearer GOOD"], (401, "token")),
        ("/.wssgate/jwt/gate_0", ["Cookie: AUTH=GOOD"], (404, "path")),
    ],
)
def test_what_a_client_brings_decides(gate: JwtGate, path: str, lines: list[str], expected: tuple[int, str]) -> None:
    tokens = {
        "GOOD": MAIN.sign(claims()),
        "EXPIRED": MAIN.sign(claims(exp=int(time.time()) - 60)),
        "FORGED": NEXT.sign(claims(), MAIN.header()),
        "OTHER": OTHER.sign(claims(iss=OTHER_ISSUER)),
    }
    for name, token in tokens.items():
        path = path.replace(name, token)
        lines = [line.replace(name, token) for line in lines]
    assert gate.reason(path, *lines) == expected


def test_only_a_refused_bearer_gets_a_challenge(gate: JwtGate) -> None:
    challenge = 'WWW-Authenticate: Bearer error="invalid_token"'
    for token in ("x", MAIN.sign(claims(aud="api"))):
        status, head, _ = gate.ask("/wss", bearer(token))
        assert (status, head.count(challenge)) == (401, 1)
        status, head, _ = gate.ask("/wss", cookie(token))
        assert (status, head.count("WWW-Authenticate")) == (403, 0)
    _, head, _ = gate.ask("/wss", bearer(MAIN.sign(claims())))
    assert "WWW-Authenticate" not in head


def received(text: str, name: str) -> list[str]:
    lines = [line.partition(": ") for line in text.split("\r\n")]
    return [value for key, _, value in lines if key.lower() == name.lower()]


def test_the_upstream_gets_the_claims_and_not_the_token(gate: JwtGate) -> None:
    token = MAIN.sign(claims(sub="Zoë, 1", realm={"roles": ["a", "b"]}))
    forged = ["X-User: root", "X_User: root", "x-user: root", "X-Roles: admin", "X-Tenant: 1", "X_Tenant: 1"]
    _, _, text = gate.ask("/wss", f"Cookie: a=1; AUTH={token}; b=2", *forged)
    assert received(text, "X-User") == ["Zo%C3%AB%2C 1"]
    assert received(text, "X-Roles") == ["a,b"]
    assert received(text, "X_User") == received(text, "X-Tenant") == received(text, "X_Tenant") == []
    assert received(text, "Cookie") == ["a=1; b=2"]
    assert token not in text
    _, _, text = gate.ask("/wss", bearer(token))
    assert token not in text
    _, _, text = gate.ask("/forwarded", f"Cookie: AUTH={token}")
    assert (received(text, "Cookie"), received(text, "X-User")) == ([f"AUTH={token}"], ["Zo%C3%AB%2C 1"])


def test_a_claim_that_is_not_there_is_no_header(gate: JwtGate) -> None:
    _, _, text = gate.ask("/wss", cookie(MAIN.sign(claims(sub=None))), "X-User: root", "X-Roles: root")
    assert received(text, "X-User") == received(text, "X-Roles") == []
    _, _, text = gate.ask("/either", BASIC, "X-User: root")
    assert received(text, "X-User") == []


@pytest.mark.parametrize("path", ["/open", "/other"])
def test_other_locations_clear_the_headers_of_claims(gate: JwtGate, path: str) -> None:
    token = OTHER.sign(claims(iss=OTHER_ISSUER, tenant="t"))
    _, _, text = gate.ask(path, cookie(token), "X-User: root", "X-Roles: root", "X_Roles: root", "X-Tenant: root")
    assert received(text, "X-User") == received(text, "X-Roles") == received(text, "X_Roles") == []
    assert received(text, "X-Tenant") == ([] if path == "/open" else ["t"])


def test_the_log_has_subject_and_fingerprint_and_no_token(gate: JwtGate) -> None:
    token = MAIN.sign(claims(sub='a"b', jti="t-77"))
    assert gate.reason("/wss", cookie(token)) == (101, "")
    line = gate.last()
    assert line["subject"] == 'a"b'
    assert line["token_id"] == hashlib.sha256(f"{ISSUER}\nt-77".encode()).hexdigest()
    gate.status("/wss", bearer(token))
    refused = MAIN.sign(claims(exp=1))
    gate.status("/wss", cookie(refused))
    written = [path.read_text() for path in gate.log.rglob("*.log")]
    for secret in (token, refused, token.rpartition(".")[2], refused.rpartition(".")[2]):
        assert not any(secret in text for text in written)


def noted(gate: JwtGate, path: str, *lines: str) -> tuple[int, list[list[str]]]:
    """Status, and what the session log gets until the session has ended."""
    before = len(gate.session_log.read_text()) if gate.session_log.exists() else 0
    ends = len(gate.access_log.read_text().splitlines()) if gate.access_log.exists() else 0
    status = gate.status(path, *lines)
    wait_for(lambda: len(gate.access_log.read_text().splitlines()) > ends)
    text = gate.session_log.read_text()[before:] if gate.session_log.exists() else ""
    return status, [line.split(" ") for line in text.splitlines()]


@pytest.mark.parametrize(
    ("path", "least", "most"), [("/wss", 600, 600), ("/bounded", 30, 60), ("/long", 600, 600), ("/both", 600, 600)]
)
def test_the_session_log_has_when_a_signed_token_ends(gate: JwtGate, path: str, least: int, most: int) -> None:
    token = MAIN.sign(claims())
    lines = [BASIC] if path == "/both" else []
    status, (start, end) = noted(gate, path, cookie(token), *lines)
    assert status == 101
    assert start[0] == "S" and start[10:13] == ["-", "gate", path]
    found = [int(bound) for bound in start[13].split("-")]
    # Seconds have gone since the token was signed.
    for bound, wanted in zip(found, (least, most), strict=True):
        assert wanted - 30 <= bound <= wanted if wanted == 600 else bound == wanted
    assert end[0] == "E" and end[2:5] == start[2:5]
    assert token.rpartition(".")[2] not in gate.session_log.read_text()


def test_a_token_ends_at_exp_though_clocks_may_differ(gate: JwtGate) -> None:
    status, (start, _end) = noted(gate, "/wss", cookie(MAIN.sign(claims(exp=int(time.time()) - 2))))
    assert (status, start[13]) == (101, "1-1")


@pytest.mark.parametrize(
    ("path", "lines", "expected"),
    [
        ("/wss", [], 403),
        ("/wss", ["Cookie: AUTH=EXPIRED"], 403),
        ("/wss", ["Authorization: Bearer EXPIRED"], 401),
        ("/either", ["Cookie: AUTH=EXPIRED"], 401),
        ("/either", [BASIC, "Cookie: AUTH=EXPIRED"], 101),
        ("/.wssgate/jwt/gate_0", ["Cookie: AUTH=GOOD"], 404),
    ],
)
def test_a_token_that_lets_nobody_in_is_not_in_the_session_log(
    gate: JwtGate, path: str, lines: list[str], expected: int
) -> None:
    tokens = {"GOOD": MAIN.sign(claims()), "EXPIRED": MAIN.sign(claims(exp=1))}
    for name, token in tokens.items():
        lines = [line.replace(name, token) for line in lines]
    assert noted(gate, path, *lines) == (expected, [])


@pytest.mark.parametrize(("lines", "is_signed"), [([BASIC], False), ([], True)])
def test_a_password_beside_a_token_has_the_lifetime_of_the_location(
    gate: JwtGate, lines: list[str], is_signed: bool
) -> None:
    status, (start, end) = noted(
        gate, "/short", cookie(MAIN.sign(claims(exp=int(time.time()) + 30 if is_signed else 1))), *lines
    )
    assert status == 101 and (start[0], end[0]) == ("S", "E")
    least, most = (int(bound) for bound in start[13].split("-"))
    assert (most <= 30) if is_signed else ((least, most) == (54, 60))


@pytest.mark.skipif(os.geteuid() != 0, reason="the agent closes sockets, which is for root")
def test_the_agent_ends_a_session_when_its_signed_token_does(gate: JwtGate, tmp_path: Path) -> None:
    expires = int(time.time()) + 6
    short, long = MAIN.sign(claims(exp=expires)), MAIN.sign(claims())
    endpoint = wire.Endpoint(port=gate.port, tls=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running("echo_server", "--echo", f"127.0.0.1:{gate.echo_port}"))
        stack.enter_context(AgentProcess(tmp_path / "agent", gate.tokens, gate.session_log)).start()
        replies = [
            stack.enter_context(
                wire.handshake(endpoint, wire.Request("/echo", "gate.example.com").token(token).origin(ORIGIN))
            )
            for token in (short, long)
        ]
        ending, staying = (reply.session for reply in replies)
        assert ending is not None and staying is not None
        assert ending.echo("hello") == staying.echo("hello") == "hello"
        assert ending.ended(20.0)
        assert -0.1 < time.time() - expires < 5.0
        assert staying.echo("hello") == "hello"


def test_a_listed_session_of_a_signed_token_has_no_token_in_the_log(gate: JwtGate) -> None:
    token = MAIN.sign(claims())
    assert gate.status("/listed", cookie(token)) == 101
    wait_for(lambda: "/listed" in gate.session_log.read_text())
    (line,) = (line for line in gate.session_log.read_text().splitlines() if " /listed " in line)
    assert line.split()[10:13] == ["-", "gate", "/listed"]
    assert token.rpartition(".")[2] not in gate.session_log.read_text()
    before = gate.session_log.read_text().count("/listed")
    assert gate.status("/listed", cookie(MAIN.sign(claims(exp=1)))) == 403
    assert gate.session_log.read_text().count("/listed") == before


def test_plain_requests_need_the_token_and_preflights_do_not(gate: JwtGate) -> None:
    token = MAIN.sign(claims())
    assert gate.status("/plain", cookie(token), upgrade=False) == 200
    assert gate.reason("/plain", upgrade=False) == (403, "jwt_missing")
    preflight = [f"Origin: {ORIGIN}", "Access-Control-Request-Method: POST"]
    assert gate.status("/plain", *preflight, method="OPTIONS", upgrade=False) == 200


def test_a_revoked_token_and_a_cut_off_subject_are_refused_at_once(gate: JwtGate) -> None:
    token = MAIN.sign(claims(jti="t-9", sub="client-9"))
    other = MAIN.sign(claims(jti="t-10", sub="client-9"))
    assert gate.status("/wss", cookie(token)) == gate.status("/wss", cookie(other)) == 101
    revoked = gate.revoked / "jti" / hashlib.sha256(f"{ISSUER}\nt-9".encode()).hexdigest()
    revoked.touch()
    assert gate.reason("/wss", cookie(token)) == (403, "jwt_revoked")
    assert gate.status("/wss", cookie(other)) == 101
    cut_off = gate.revoked / "sub" / hashlib.sha256(b"client-9").hexdigest()
    cut_off.write_text(f"{int(time.time())}\n")
    assert gate.reason("/wss", cookie(other)) == (403, "jwt_revoked")
    later = MAIN.sign(claims(jti="t-11", sub="client-9", iat=int(time.time())))
    assert gate.status("/wss", cookie(later)) == 101


def test_only_nginx_gets_to_the_socket_and_only_root_writes_revocations(gate: JwtGate) -> None:
    for folder in (gate.root / "wssgate", gate.revoked, gate.revoked / "jti", gate.revoked / "sub"):
        status = folder.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o710, 0)
        assert folder.group() == "www-data"


def test_a_gate_whose_judge_is_gone_lets_nobody_in(gate: JwtGate) -> None:
    socket = gate.root / "wssgate" / "jwt.sock"
    aside = socket.rename(gate.root / "wssgate" / "aside.sock")
    try:
        assert gate.reason("/wss", cookie(MAIN.sign(claims()))) == (500, "jwt_unavailable")
    finally:
        aside.rename(socket)
    assert gate.status("/wss", cookie(MAIN.sign(claims()))) == 101


def test_a_long_token_passes_and_a_longer_one_does_not(gate: JwtGate) -> None:
    token = MAIN.sign(claims(x="x" * 5000))
    assert gate.status("/wss", cookie(token)) == gate.status("/wss", bearer(token)) == 101
    # nginx's own limit for a line.
    assert gate.status("/wss", cookie(MAIN.sign(claims(x="x" * 7000)))) == 400


# ---- What changes the gate: last


def keys_of(gate: JwtGate, *signers: Signer) -> None:
    gate.source.write_text(json.dumps({"keys": [signer.jwk() for signer in signers]}))
    gate.apply()


def test_keys_rotate_while_both_count(gate: JwtGate) -> None:
    old, new = MAIN.sign(claims()), NEXT.sign(claims())
    assert gate.reason("/wss", cookie(new)) == (403, "jwt_key")
    keys_of(gate, MAIN, NEXT)
    assert gate.status("/wss", cookie(old)) == gate.status("/wss", cookie(new)) == 101
    keys_of(gate, NEXT)
    assert gate.reason("/wss", cookie(old))[0] == 403
    assert gate.status("/wss", cookie(new)) == 101


def test_a_second_run_changes_nothing(gate: JwtGate) -> None:
    assert "changed=0" in gate.apply()


def test_without_such_a_location_nothing_of_it_is_left(gate: JwtGate) -> None:
    servers = gate.variables["wss_proxy_servers"]
    plain = [location for location in servers[0]["locations"] if location["path"] in ("/open", "/opaque")]
    gate.apply(wss_proxy_servers=[servers[0] | {"locations": plain}])
    assert not list(Path(gate.etc, "wssgate.d").glob("jwt*"))
    assert "jwt" not in (gate.etc / "wssgate.d/gate.conf").read_text()
    wait_for(lambda: not (gate.root / "wssgate" / "jwt.sock").exists())
    assert gate.status("/open") == 101
