# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed tokens at a gate with the operating system's own nginx and JavaScript module."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from lib import load, wire
from lib.jwt_signing import Signer
from lib.molecule.modules import run_playbook

ISSUER = "https://main.example.com"
ORIGIN = "https://gate.example.com"
REVOKED = "/var/lib/nginx/revoked"
STORE = "/var/lib/nginx/tokens"
TOKEN = "jwt-test-token-0123456789"
ALGORITHMS = {"ES256": "es256", "RS256": "rs256", "PS256": "rs256"}


def signer(algorithm):
    made = Signer("ES256")
    folder = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    made.key = load_pem_private_key((folder / f"{ALGORITHMS[algorithm]}.key").read_bytes(), None)
    made.algorithm = algorithm
    return made


def claims(**changes):
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "t-1", "iat": now - 10, "exp": now + 600}
    return {name: value for name, value in (good | changes).items() if value is not None}


@pytest.fixture(scope="module")
def ask(gate):
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.certificate("gate"), server_name="gate.example.com")

    def ask(*headers):
        request = wire.Request().but(path="/jwt", host="gate.example.com").origin(ORIGIN)
        for name, value in headers:
            request = request.adding(name, value)
        return wire.handshake(endpoint, request).status

    return ask


def cookie(token):
    return ("Cookie", f"AUTH={token}")


def bearer(token):
    return ("Authorization", f"Bearer {token}")


def last(host):
    return json.loads(host.check_output("tail -n 1 /var/log/nginx/wss_access.log"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_passes_and_a_forged_one_does_not(ask, algorithm):
    token = signer(algorithm).sign(claims())
    assert ask(cookie(token)) == ask(bearer(token)) == 101
    signed, _, signature = token.rpartition(".")
    forged = f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    assert (ask(cookie(forged)), ask(bearer(forged))) == (403, 401)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "jwt_expired"),
        ({"aud": "api"}, "jwt_audience"),
        ({"iss": "https://evil.example.com"}, "jwt_issuer"),
        ({"sub": None, "jti": None}, "jwt_claims"),
    ],
)
def test_the_log_has_the_reason_of_a_refusal(host, ask, changes, reason):
    assert ask(cookie(signer("ES256").sign(claims(**changes)))) == 403
    assert last(host)["reason"] == reason


def test_the_log_has_who_came(host, ask):
    assert ask(cookie(signer("ES256").sign(claims(sub="client-7")))) == 101
    assert last(host)["subject"] == "client-7"


def test_a_revocation_counts_at_once(host, ask):
    token = signer("ES256").sign(claims(jti="t-9"))
    assert ask(cookie(token)) == 101
    path = f"{REVOKED}/jti/{hashlib.sha256(f'{ISSUER}{chr(10)}t-9'.encode()).hexdigest()}"
    host.check_output(f"touch {path}")
    assert ask(cookie(token)) == 403
    assert last(host)["reason"] == "jwt_revoked"
    host.check_output(f"rm {path}")
    assert ask(cookie(token)) == 101


@pytest.fixture
def opened(gate):
    """Opens a session of a token; it is closed at the end."""
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.certificate("gate"), server_name="gate.example.com")
    sessions = []

    def opened(**changes):
        request = wire.Request().but(path="/jwt", host="gate.example.com").origin(ORIGIN)
        reply = wire.handshake(endpoint, request.token(signer("ES256").sign(claims(**changes))))
        assert reply.status == 101
        sessions.append(reply.session)
        return reply.session

    yield opened
    for session in sessions:
        session.close()


def test_the_playbook_takes_tokens_back_with_their_sessions_and_no_others(host, gate, ask, opened, tmp_path):
    def revoke(*arguments, **variables):
        run = run_playbook("wssgate.nginx.token_revoke", tmp_path, "--limit", gate.name, *arguments, **variables)
        (found,) = (one for one in run.results(gate.name) if "entries" in one)
        return run.returncode, found

    first, second, other = opened(jti="r-1", sub="ann"), opened(jti="r-2", sub="ann"), opened(jti="r-3", sub="bob")
    code, found = revoke("--check", jti="r-1", issuer=ISSUER)
    assert (code, found["sessions"]["found"], first.echo("still here")) == (0, 1, "still here")
    code, found = revoke(jti="r-1", issuer=ISSUER)
    assert (code, found["sessions"]) == (0, {"found": 1, "ended": 1, "remaining": 0})
    assert first.ended(5.0)
    assert ask(cookie(signer("ES256").sign(claims(jti="r-1", sub="ann")))) == 403
    assert second.echo("still here") == other.echo("still here") == "still here"
    code, found = revoke(subject="ann")
    assert (code, found["sessions"]) == (0, {"found": 1, "ended": 1, "remaining": 0})
    assert second.ended(5.0)
    assert ask(cookie(signer("ES256").sign(claims(jti="r-2", sub="ann")))) == 403
    assert last(host)["reason"] == "jwt_revoked"
    assert other.echo("still here") == "still here"
    # Without the playbook the agent ends them.
    host.check_output(f"touch {REVOKED}/jti/{hashlib.sha256(f'{ISSUER}{chr(10)}r-3'.encode()).hexdigest()}")
    assert other.ended(5.0)
    assert "; " not in host.check_output("systemctl show wssgate-agent --property StatusText"), "it has no problem"


def test_nobody_but_nginx_gets_to_the_socket(host):
    folder = host.file("/var/lib/nginx/wssgate")
    assert (folder.user, folder.group, folder.mode) == ("root", "www-data", 0o710)
    assert host.file("/var/lib/nginx/wssgate/jwt.sock").is_socket
    host.check_output("su -s /bin/sh nobody -c '! test -e /var/lib/nginx/wssgate/jwt.sock'")


def test_the_module_is_loaded_by_nginx_conf_alone(host):
    shown = host.check_output("nginx -T 2>/dev/null")
    assert shown.count("load_module modules/ngx_http_js_module.so;") == 1
    assert not host.file("/etc/nginx/modules-enabled/50-mod-http-js.conf").exists


def test_a_killed_nginx_starts_again_and_judges(host, ask):
    token = signer("ES256").sign(claims())
    host.check_output("pkill -KILL -o nginx; pkill -KILL nginx || true")
    deadline = time.monotonic() + 30
    while host.run("systemctl is-active --quiet nginx").rc or not host.file("/run/nginx.pid").exists:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    while True:
        try:
            assert ask(cookie(token)) == 101
            return
        except (OSError, wire.WireError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_agent_that_fetches_is_as_confined_as_before_but_for_the_network(host):
    shown = host.check_output("systemd-analyze security --no-pager wssgate-agent | tail -n 1")
    print(shown)
    assert float(shown.rpartition(": ")[2].split()[0]) <= 2.3


def memory(host):
    """Of all workers, in KiB."""
    pids = host.check_output("pgrep -f 'nginx: worker process$'").split()
    lines = host.check_output(f"cat {' '.join(f'/proc/{pid}/smaps_rollup' for pid in pids)}").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def test_a_session_of_a_signed_token_takes_little_more_memory_than_another(host, gate):
    host.check_output(f"touch {STORE}/{TOKEN}")
    signed = signer("ES256").sign(claims())
    taken = {}
    for path, credential in (("/token", TOKEN), ("/jwt", signed)):
        target = load.Target(gate.port, origin=ORIGIN, cookie=f"AUTH={credential}", path=path, name="gate.example.com")
        load.handshakes(None, target, count=50)
        before = memory(host)
        with load.crowd(target) as grow:
            grow(300)
            time.sleep(0.5)
            taken[path] = (memory(host) - before) / 300
    print(f"KiB a session: {taken}")
    assert taken["/jwt"] - taken["/token"] < 6, taken
