# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets in by which way, and how often."""

from __future__ import annotations

import json
import time

import pytest

from lib import wire

STORE = "/var/lib/nginx/tokens"
RIGHT, WRONG, MISSING = "right", "wrong", "missing"
STATES = (RIGHT, WRONG, MISSING)
TOKEN = "auth-test-token-0123456789"
OTHER_TOKEN = "auth-test-token-other-0123"
PASSWORDS = {RIGHT: "correct horse battery staple", WRONG: "incorrect horse"}
ORIGIN = "https://gate.example.com"


@pytest.fixture(scope="module")
def ask(gate):
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="gate.example.com")

    def ask(path, request=None):
        request = request or wire.Request()
        if not any(name == "Origin" for name, _value in request.headers):
            request = request.origin(ORIGIN)
        return wire.handshake(endpoint, request.but(path=path, host="gate.example.com"))

    return ask


@pytest.fixture(autouse=True, scope="module")
def tokens(host):
    host.check_output(f"touch {STORE}/{TOKEN} {STORE}/{OTHER_TOKEN}")
    yield
    host.check_output(f"rm -f {STORE}/{TOKEN} {STORE}/{OTHER_TOKEN}")


def expected(path: str, password: str, token: str) -> int:
    if path == "/none":
        return 101
    if path == "/either":
        return 101 if RIGHT in (password, token) else 401
    if path in ("/basic", "/both") and password != RIGHT:
        return 401
    if path in ("/token", "/both") and token != RIGHT:
        return 403
    return 101


@pytest.mark.parametrize("token", STATES)
@pytest.mark.parametrize("password", STATES)
@pytest.mark.parametrize("path", ["/none", "/token", "/basic", "/either", "/both"])
def test_each_kind_lets_in_whom_it_should_and_answers_the_others_as_documented(ask, path, password, token):
    request = wire.Request()
    if password != MISSING:
        request = request.basic("operator", PASSWORDS[password])
    if token != MISSING:
        request = request.token(TOKEN if token == RIGHT else "no-such-token-0123456789")
    with ask(path, request) as reply:
        assert reply.status == expected(path, password, token)
        if reply.status == 101:
            assert reply.session.echo("in") == "in"
        assert (reply.header("WWW-Authenticate") == 'Basic realm="Restricted"') == (reply.status == 401)


@pytest.mark.parametrize(
    "cookie, status", [("session=good", 101), ("session=banned", 403), ("session=broken", 500), ("a=b", 401), ("", 401)]
)
def test_the_operator_s_own_service_decides_and_when_it_breaks_nobody_gets_in(ask, cookie, status):
    with ask("/external", wire.Request().cookie(cookie)) as reply:
        assert reply.status == status


def test_a_service_that_is_not_there_lets_nobody_in(ask):
    assert ask("/deserted", wire.Request().cookie("session=good")).status == 500


@pytest.mark.parametrize("path, status", [("/verified", 101), ("/misnamed", 500), ("/impostor", 500)])
def test_a_service_over_https_is_believed_only_with_a_certificate_of_its_name_and_of_an_authority_of_the_host(
    ask, path, status
):
    with ask(path, wire.Request().cookie("session=good")) as reply:
        assert reply.status == status


def test_the_service_learns_who_asks_for_what_and_is_told_no_lies(host, ask):
    forged = wire.Request().cookie("session=good").adding("X-Client-IP", "192.0.2.66").adding("X-Original-URI", "/none")
    with ask("/external", forged.adding("X-Forwarded-For", "192.0.2.66")) as reply:
        assert reply.status == 101
    told = json.loads(host.check_output("tail -n 1 /root/decide.jsonl"))
    headers = {name.lower(): value for name, value in told["headers"]}
    assert told["request"].startswith("GET /decide HTTP/1.")
    assert headers["x-original-uri"] == "/external"
    assert headers["cookie"] == "session=good"
    assert "192.0.2.66" not in json.dumps(told)
    assert "upgrade" not in headers


@pytest.mark.parametrize(
    "path, cookie, status",
    [
        ("/room", f"Room.7={TOKEN}", 101),
        ("/room", f"Room_7={TOKEN}", 403),
        ("/room", f"room.7={TOKEN}", 403),
        ("/room", f"AUTH={TOKEN}", 403),
        ("/host", f"__Host-AUTH={TOKEN}", 101),
        ("/host", f"AUTH={TOKEN}", 403),
        ("/token", f"__Host-AUTH={TOKEN}", 403),
        ("/token", f"other=1; AUTH={TOKEN}; more=2", 101),
        ("/token", f"AUTH={TOKEN}; AUTH={TOKEN}", 403),
    ],
)
def test_each_location_reads_its_own_cookie_by_its_exact_name(ask, path, cookie, status):
    with ask(path, wire.Request().cookie(cookie)) as reply:
        assert reply.status == status


def test_locations_have_origins_of_their_own(ask):
    known = wire.Request().token(TOKEN)
    for path, origin, status in (
        ("/app", "https://app.example.com", 101),
        ("/app", ORIGIN, 403),
        ("/token", "https://app.example.com", 403),
        ("/token", "null", 403),
    ):
        with ask(path, known.origin(origin)) as reply:
            assert reply.status == status, (path, origin)


def test_a_missing_origin_is_let_in_only_where_that_was_asked_for(gate):
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.ca_path, server_name="gate.example.com")
    for path, status in (("/app", 101), ("/token", 403)):
        with wire.handshake(endpoint, wire.Request(path=path, host="gate.example.com").token(TOKEN)) as reply:
            assert reply.status == status


@pytest.mark.parametrize("path, is_passed_on", [("/both", False), ("/trusting", True)])
def test_credentials_go_to_the_upstream_only_where_that_was_asked_for(ask, path, is_passed_on):
    request = wire.Request().basic("operator", PASSWORDS[RIGHT]).cookie(f"a=1; AUTH={TOKEN}; b=2")
    with ask(path, request) as reply:
        reply.session.send("headers?")
        headers = {name.lower(): value for name, value in json.loads(reply.session.receive_text())["headers"]}
    assert ("authorization" in headers) == is_passed_on
    assert (TOKEN in headers["cookie"]) == is_passed_on
    assert "a=1" in headers["cookie"] and "b=2" in headers["cookie"]


def eventually(ask, path, request=None):
    """A session ends for the gate a moment after its client has left."""
    for _attempt in range(50):
        reply = ask(path, request)
        if reply.status == 101:
            return reply
        time.sleep(0.1)
    return reply


def test_too_many_attempts_get_429_with_a_retry_after_and_a_pause_helps(host, ask):
    time.sleep(2.1)
    statuses = []
    # On a slow machine, where each takes its time, it takes a few more until they are too many.
    while 429 not in statuses and len(statuses) < 20:
        with ask("/attempts") as reply:
            statuses.append(reply.status)
    assert set(statuses[:-1]) == {101} and len(statuses) > 2
    assert reply.status == 429
    assert reply.header("Retry-After") == "1"
    for _attempt in range(50):
        lines = [
            json.loads(line) for line in host.check_output("tail -n 20 /var/log/nginx/wss_access.log").splitlines()
        ]
        if reasons := [line["reason"] for line in lines if line["location"] == "/attempts" and line["status"] == 429]:
            break
        time.sleep(0.1)
    assert reasons == ["limit"]
    time.sleep(1.1)
    with ask("/attempts") as reply:
        assert reply.status == 101


def test_an_address_has_no_more_sessions_than_it_may(ask):
    with eventually(ask, "/per-address") as first:
        assert first.status == 101
        second = ask("/per-address")
        assert (second.status, second.header("Retry-After")) == (429, "1")
        assert first.session.echo("undisturbed") == "undisturbed"
    with eventually(ask, "/per-address") as third:
        assert third.status == 101


def test_a_token_has_no_more_sessions_than_it_may_and_others_have_their_own(ask):
    mine, other = wire.Request().token(TOKEN), wire.Request().token(OTHER_TOKEN)
    with eventually(ask, "/per-token", mine) as first:
        assert first.status == 101
        assert ask("/per-token", mine).status == 429
        with ask("/per-token", other) as another:
            assert another.status == 101


def test_a_handshake_that_the_checks_refuse_uses_up_no_attempt_of_a_limit_on_sessions(ask):
    for _number in range(3):
        assert ask("/per-address", wire.Request().origin("https://evil.example.net")).status == 403
    with eventually(ask, "/per-address") as reply:
        assert reply.status == 101


def test_no_answer_carries_a_retry_after_but_429(ask):
    for path in ("/token", "/basic", "/nowhere"):
        assert ask(path).header("Retry-After") is None
