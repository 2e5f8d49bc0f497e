# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a provider rotate at two gates with sessions open, and sessions end: each at its cause, and no other."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from lib import wire
from lib.jwt_signing import Signer
from lib.molecule.gate import Gate
from lib.molecule.modules import run_playbook

HOSTS = ("wssgate-jwt-debian12", "wssgate-jwt-debian13")
# One test for both: keys are fetched at the same time.
testinfra_hosts = [f"ansible://{HOSTS[0]}"]

ISSUER, NAME = "https://keys.example.com", "gate.example.com"
REVOKED, STORE = "/var/lib/nginx/revoked", "/var/lib/nginx/tokens"
LOG = "/var/log/nginx/wss_access.log"
TOKEN = "rotation-token-0123456789"
OLD, NEW = Signer("ES256", "old"), Signer("ES256", "new")


def wait_for(condition, what, seconds=240):
    # A few seconds where nothing else runs: a fetch, a reload, and the proof that it is live.
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def signed(signer: Signer, **changes) -> str:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": "wss", "sub": "client-1", "jti": "k-1", "iat": now - 10, "exp": now + 600}
    return signer.sign(good | changes)


@dataclass
class Host:
    """One gate, and the sessions that a test has opened at it."""

    gate: Gate
    sessions: dict[str, wire.Session] = field(default_factory=dict)

    def shell(self, command: str) -> str:
        return self.gate.run("sh", "-c", command).strip()

    def knock(self, token: str, path: str = "/fetched") -> wire.Reply:
        endpoint = wire.Endpoint(port=self.gate.port, ca_path=self.gate.certificate("gate"), server_name=NAME)
        request = wire.Request().but(path=path, host=NAME).origin(f"https://{NAME}")
        return wire.handshake(endpoint, request.token(token))

    def status(self, token: str, path: str = "/fetched") -> int:
        with self.knock(token, path) as reply:
            return reply.status

    def refusal(self, token: str) -> tuple[int, str]:
        count = f"wc -l < {LOG}"
        before = self.shell(count)
        status = self.status(token)
        # nginx writes the line once the answer is out.
        wait_for(lambda: self.shell(count) not in ("", before), "a line in the log", 20)
        return status, json.loads(self.shell(f"tail -n 1 {LOG}"))["reason"]

    def open(self, name: str, token: str, path: str = "/fetched") -> None:
        reply = self.knock(token, path)
        assert reply.status == 101, (self.gate.name, name)
        self.sessions[name] = reply.session

    def publish(self, *signers: Signer) -> None:
        """As a provider does; its server reads the file at each request."""
        text = json.dumps({"keys": [signer.jwk() for signer in signers]})
        self.shell(f"printf '%s' '{text}' > /etc/ssl/jwks.new && mv /etc/ssl/jwks.new /etc/ssl/jwks.json")

    def has_live(self, *signers: Signer) -> bool:
        """Whether exactly these keys have come to nginx, and the unit that brought them is done."""
        rules = json.loads(self.gate.read("/etc/nginx/wssgate.d/jwt.json"))
        live = {key["spki"] for key in rules["issuers"]["fetched"]["keys"]}
        wanted = {"".join(signer.public_pem.splitlines()[1:-1]) for signer in signers}
        return live == wanted and self.shell("systemctl show -P ActiveState wssgate-keys.service") == "inactive"

    def agent(self) -> str:
        return self.shell("systemctl show -P StatusText wssgate-agent")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    found = [Host(Gate(name=name, scratch=tmp_path_factory.mktemp(name))) for name in HOSTS]
    yield found
    for host in found:
        for session in host.sessions.values():
            session.close()
        host.shell(f"rm -f {REVOKED}/sub/* {REVOKED}/jti/* {STORE}/{TOKEN}")


def rotate(hosts: list[Host], *signers: Signer) -> None:
    for host in hosts:
        host.publish(*signers)
    for host in hosts:
        wait_for(
            lambda host=host: host.has_live(*signers),
            f"{host.gate.name} does not have {[signer.kid for signer in signers]}",
        )
        assert host.shell("systemctl show -P Result wssgate-keys.service") == "success"


def check_sessions(hosts: list[Host], *ended: str) -> None:
    """These have ended, and each other session goes on."""
    for host in hosts:
        for name in ended:
            assert host.sessions.pop(name).ended(10.0), (host.gate.name, name)
        for name, session in host.sessions.items():
            assert session.echo(f"{name} is open") == f"{name} is open", (host.gate.name, name)


def test_keys_rotate_under_open_sessions_and_each_session_ends_at_its_own_cause(hosts, tmp_path):
    def revoke(**variables):
        run = run_playbook("wssgate.nginx.token_revoke", tmp_path, **variables)
        assert run.returncode == 0, run.text[-3000:]

    rotate(hosts, OLD)
    for host in hosts:
        host.shell(f"touch {STORE}/{TOKEN}")
        host.open("opaque", TOKEN, "/token")
        host.open("of a jti", signed(OLD, jti="k-2", sub="ann"))
        host.open("of a subject", signed(OLD, jti="k-3", sub="bob"))
        host.open("neither", signed(OLD))
    masters = [host.shell("cat /run/nginx.pid") for host in hosts]
    agents = [host.shell("systemctl show -P MainPID wssgate-agent") for host in hosts]
    hosts[0].shell("systemctl reload nginx")
    for host in hosts:
        host.shell("systemctl restart wssgate-agent")
    check_sessions(hosts)

    # The agent fetches, a path unit sees what it left, and a unit that is root makes it live by the transaction.
    rotate(hosts, NEW)
    for host in hosts:
        assert host.refusal(signed(OLD)) == (403, "jwt_key")
        assert host.status(signed(NEW)) == 101
        # Of the next one, which expires: opened late, so that what comes before has its time.
        host.open("by the new key", signed(NEW, jti="k-4"))
    check_sessions(hosts)
    assert [host.shell("cat /run/nginx.pid") for host in hosts] == masters, "nginx was never restarted"
    assert not {host.shell("systemctl show -P MainPID wssgate-agent") for host in hosts} & set(agents)
    assert ["keys of 1 issuers are fetched" in host.agent() for host in hosts] == [True, True]

    # Sessions that began before the reload and the agent's start are found all the same.
    revoke(jti="k-2", issuer=ISSUER)
    check_sessions(hosts, "of a jti")
    revoke(subject="bob")
    check_sessions(hosts, "of a subject")
    for host in hosts:
        assert host.refusal(signed(NEW, jti="k-3", sub="bob")) == (403, "jwt_revoked")
        assert host.status(signed(NEW, jti="k-9", sub="bob", iat=int(time.time()) + 2)) == 101
        host.open("expires", signed(NEW, jti="k-5", exp=time.time() + 3))
    check_sessions(hosts, "expires")
    assert not [host.agent() for host in hosts if "; " in host.agent()], "it has no problem"


def test_what_was_fetched_and_taken_back_outlives_a_restart_of_nginx(hosts):
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: host.shell("systemctl restart nginx"), hosts))
    for host in hosts:
        # A restart ends every session: that is why the gate never does it.
        for session in host.sessions.values():
            assert session.ended(10.0)
        host.sessions.clear()
        assert host.refusal(signed(OLD)) == (403, "jwt_key")
        assert host.refusal(signed(NEW, jti="k-2", sub="ann")) == (403, "jwt_revoked")
        host.open("opened after it", signed(NEW))
        host.open("expires after it", signed(NEW, jti="k-6", exp=time.time() + 3))
    check_sessions(hosts, "expires after it")
