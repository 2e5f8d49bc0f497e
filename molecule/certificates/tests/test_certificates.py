# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients get the certificate that was asked for; what is wrong with one is said and changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lib import client_certificates, wire

PKI = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "pki"
CERTIFICATES = "/etc/nginx/certificates"
PLUGIN = Path(__file__).resolve().parents[3] / "playbooks" / "files" / "check_wssgate.py"
KEY = f"{CERTIFICATES}/wcs/privkey.pem"


def play(host: Any, *arguments: str, playbook: str = "site", **variables: Any) -> subprocess.CompletedProcess[str]:
    """A run of a playbook for one host."""
    return subprocess.run(
        [
            *("ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"wssgate.nginx.{playbook}", *arguments),
            *("-l", host.backend.get_pytest_id().rpartition("://")[2], "-e", json.dumps(variables)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        # Colours would stand in the middle of a sentence that is broken over two lines
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "PY_COLORS": "0"},
    )


def output_of(run: subprocess.CompletedProcess[str]) -> str:
    """All of its output, without the line breaks that it was laid out with."""
    return " ".join((run.stdout + run.stderr).split())


def inventory(host: Any) -> dict[str, Any]:
    command = [
        "ansible-inventory",
        "-i",
        os.environ["MOLECULE_INVENTORY_FILE"],
        "--host",
        host.backend.get_pytest_id().rpartition("://")[2],
    ]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def with_certificates(host: Any, **changes: dict[str, Any]) -> dict[str, Any]:
    """The variables of the scenario with some certificates changed, by their names."""
    return {
        "certificates_list": [
            {**item, **changes.get(item["name"], {})} for item in inventory(host)["certificates_list"]
        ]
    }


def state(host: Any) -> str:
    """All that a run could have touched, and the processes that serve."""
    return host.check_output(
        "find /etc/nginx /etc/ssl -xdev -printf '%p %i %m %u %T@ %s %l\\n' | sort; pgrep -fa '^nginx:'"
    )


def served(port: int, name: str, ciphers: str = "DEFAULT") -> x509.Certificate:
    """The certificate that a client of TLS 1.2 with these ciphers gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))


def installed(gate: Any, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(gate.read(f"{CERTIFICATES}/{name}/fullchain.pem"))


def status(gate: Any, name: str, ca: Path, path: str = "/wss", user: tuple[str, str] | None = None) -> int:
    request = wire.Request(path, host=name).origin(f"https://{name}")
    if user:
        request = request.basic(*user)
    with wire.handshake(wire.Endpoint(port=gate.port, ca_path=ca, server_name=name), request) as reply:
        return reply.status


@contextlib.contextmanager
def kept_alive(session: wire.Session) -> Iterator[None]:
    """Have a client say something now and then, because the gate ends a session that is silent for 75 s."""
    done = threading.Event()

    def talk() -> None:
        while not done.wait(5):
            session.echo("still here")

    with ThreadPoolExecutor(1) as pool:
        talking = pool.submit(talk)
        try:
            yield
        finally:
            done.set()
        talking.result()


def member(
    gate: Any, name: str, path: str, identity: str | None = None, host: str | None = None, *headers: tuple[str, str]
) -> int:
    """The answer to a client with a certificate of the folder, or without one."""
    request = wire.Request(path, host=host or name).origin(f"https://{host or name}")
    for header in headers:
        request = request.adding(*header)
    endpoint = wire.Endpoint(port=gate.port, server_name=name, identity=PKI / f"{identity}.pem" if identity else None)
    with wire.handshake(endpoint, request) as reply:
        return reply.status


def last_request(host: Any) -> dict[str, list[str]]:
    """The headers of the request that reached the upstream last."""
    found: dict[str, list[str]] = {}
    for name, value in json.loads(host.check_output("tail -n 1 /root/upstream.jsonl"))["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def test_a_client_that_trusts_the_self_signed_certificate_gets_in(gate):
    assert status(gate, "wcs.example.com", gate.certificate("wcs")) == 101


def test_old_clients_get_rsa_and_all_others_p_256(gate):
    assert served(gate.port, "wcs.example.com", "aRSA") == installed(gate, "wcs-rsa")
    assert served(gate.port, "wcs.example.com", "aECDSA:aRSA") == installed(gate, "wcs")


def test_one_authority_signs_for_every_host_and_its_key_and_theirs_stay_where_they_are(gate, host):
    assert status(gate, "signed.example.com", PKI / "gates.pem") == 101
    authority = "/var/lib/wssgate/authorities/gates"
    if "debian12" in gate.name:
        assert host.check_output(f"cd {authority} && stat -c '%n %a %U' . ca.key") == ". 700 root\nca.key 600 root"
    else:
        assert not host.file(authority).exists
    assert not host.file(f"{CERTIFICATES}/signed/privkey.pem.next").exists


def test_a_client_that_trusts_the_root_gets_in_over_the_chain_from_the_controller(gate):
    assert status(gate, "shop.example.com", PKI / "root.pem") == 101


def test_a_certificate_of_the_host_is_served_and_left_where_it_is(gate, host):
    assert served(gate.port, "host.example.com") == x509.load_pem_x509_certificate(gate.read("/etc/ssl/host.pem"))
    assert not host.file(f"{CERTIFICATES}/host").exists


# 400 is nginx's own answer to a certificate that it cannot verify
@pytest.mark.parametrize(
    ("name", "path", "identity", "expected"),
    [
        ("members.example.com", "/wss", None, 403),
        ("members.example.com", "/wss", "stranger", 400),
        ("members.example.com", "/wss", "mallory", 400),
        ("members.example.com", "/wss", "alice", 101),
        ("members.example.com", "/nothing", None, 403),
        ("mixed.example.com", "/wss", None, 403),
        ("mixed.example.com", "/wss", "stranger", 400),
        ("mixed.example.com", "/wss", "mallory", 400),
        ("mixed.example.com", "/wss", "alice", 101),
        ("mixed.example.com", "/open", None, 101),
        ("mixed.example.com", "/open", "stranger", 400),
        ("mixed.example.com", "/open", "mallory", 400),
    ],
)
def test_only_the_authority_s_clients_get_in_where_that_is_asked(gate, name, path, identity, expected):
    assert member(gate, name, path, identity) == expected


def test_the_upstream_gets_the_verified_subject_and_never_the_client_s_word(gate, host):
    forged = (("X-Member", "CN=root"), ("x-member", "CN=root"))
    assert member(gate, "members.example.com", "/wss", "alice", None, *forged) == 101
    assert last_request(host)["x-member"] == ["CN=alice"]
    assert member(gate, "mixed.example.com", "/open", None, None, *forged) == 101
    assert "x-member" not in last_request(host)


def test_a_name_in_tls_does_not_open_another_server_that_asks_for_certificates(gate):
    # 421: nginx compares the two names where a server verifies clients
    assert member(gate, "wcs.example.com", "/wss", None, "members.example.com") in (403, 421)
    assert member(gate, "mixed.example.com", "/wss", None, "members.example.com") in (403, 421)


def test_no_name_and_no_resumed_session_opens_what_a_certificate_does_not(host):
    """Inside of the host, where the list can change and all ports are. tests/functional has the newest nginx."""
    host.check_output("mkdir -p -m 0700 /root/pki")
    for name in ("alice.pem", "bob.pem", "carol.pem", "mallory.pem", "none_revoked.crl"):
        host.check_output("printf '%%s' %s > /root/pki/%s", (PKI / name).read_text(), name)
    crl = f"{CERTIFICATES}/clients/crl.pem"
    site = client_certificates.Site(client_certificates.ADDRESSES, "/root/pki", crl, "/run/nginx.pid")
    found = json.loads(
        host.check_output("env PYTHONPATH=/mnt/tests python3 -m lib.client_certificates %s", site.write())
    )
    assert not found["complaints"], "\n".join(found["complaints"])
    assert found["tried"] > 600


def test_a_post_quantum_key_exchange_is_first_where_openssl_has_it(gate, host):
    """By the host's own openssl, with what browsers offer as far as it knows it, and with one classical group alone."""
    best = ["X25519MLKEM768"] if "debian13" in gate.name else []
    for offered in ([*best, "X25519", "P-256"], ["P-256"], ["P-384"]):
        shown = host.check_output(
            "openssl s_client -connect 127.0.0.1:443 -servername wcs.example.com -tls1_3 -groups %s </dev/null 2>&1",
            ":".join(offered),
        )
        group = {"P-256": "(?:P-256|prime256v1)", "P-384": "(?:P-384|secp384r1)"}.get(offered[0], offered[0])
        assert re.search(rf"(?:Negotiated TLS1\.3 group: |(?:Server|Peer) Temp Key: (?:ECDH, )?){group}\b", shown), (
            shown
        )


def test_why_a_client_was_refused_is_in_the_log(gate, host):
    for identity in (None, "mallory"):
        member(gate, "members.example.com", "/wss", identity)
        assert (
            json.loads(host.check_output("tail -n 1 /var/log/nginx/wss_access.log"))["reason"] == "client_certificate"
        )


def test_keys_are_for_root_alone(host):
    listing = host.check_output(f"find {CERTIFICATES} -type f -printf '%f %m %u:%g\\n' | sort -u")
    assert sorted(listing.splitlines()) == [
        "ca.pem 644 root:root",
        "crl.pem 644 root:root",
        "fullchain.pem 644 root:root",
        "privkey.pem 600 root:root",
    ]


@pytest.mark.parametrize("user", [("operator", "correct: hörse"), ("given", "given words")])
def test_the_password_opens_the_gate_and_another_does_not(gate, user):
    ca = gate.certificate("wcs")
    assert status(gate, "wcs.example.com", ca, "/basic", user) == 101
    assert status(gate, "wcs.example.com", ca, "/basic", (user[0], "wrong")) == 401
    assert status(gate, "wcs.example.com", ca, "/basic", None) == 401


def test_the_password_file_is_for_root_and_nginx_alone_and_says_whose_it_is(host):
    passwords = host.file("/etc/nginx/.htpasswd")
    assert (passwords.mode, passwords.user, passwords.group) == (0o640, "root", "www-data")
    assert "wssgate.nginx" in passwords.content_string.splitlines()[0]


def test_check_tells_what_clients_meet_and_that_nothing_will_break(host):
    run = play(host, playbook="check")
    output = output_of(run)
    assert run.returncode == 0, run.stdout[-3000:]
    found = (
        "Nothing will break within 14 days.",
        "P-256",
        "RSA-2048",
        "1.2+1.3",
        "CN=intermediate",
        "/token token 403 101",
    )
    group = "X25519MLKEM768" if "debian13" in host.backend.get_pytest_id() else "x25519"
    for words in (*found, f"1.2+1.3 {group}", "/wss none + certificate 403 -"):
        assert words in output, run.stdout[-3000:]
    assert "changed=0" in output
    assert host.file("/var/lib/nginx/tokens").listdir() == []


def test_the_plugin_for_nagios_finds_the_gate_well_and_warns_of_what_ends_soon(host):
    name = host.backend.get_pytest_id().rpartition("://")[2]
    for days, code, begin in (
        (14, 0, "WSSGATE OK - 1 gate: nothing will break within 14 days | "),
        (100, 1, f"WSSGATE WARNING - {name}, server "),
    ):
        if days == 100 and "debian12" not in name:
            continue
        run = subprocess.run(
            [
                sys.executable,
                str(PLUGIN),
                "-i",
                os.environ["MOLECULE_INVENTORY_FILE"],
                "-l",
                name,
                "-e",
                f"days={days}",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (run.returncode, run.stdout[: len(begin)], run.stdout.count("\n")) == (code, begin, 1), run.stdout
        assert f"'days_left shop'=89;{days}:;0:" in run.stdout
    assert host.file("/var/lib/nginx/tokens").listdir() == []


def test_check_warns_of_what_ends_within_the_days_given_and_of_what_is_broken_and_fails(host, tmp_path):
    if "debian13" in host.backend.get_pytest_id():
        pytest.skip("it is judged on the controller; once is enough")
    host.check_output("kill $(cat /root/upstream.pid)")
    try:
        report = tmp_path / "check.json"
        run = play(host, playbook="check", days=100, output="json", nginx_sessions=100000, report=str(report))
    finally:
        host.check_output(
            "env PYTHONPATH=/mnt/tests python3 -m lib.echo_server --echo 127.0.0.1:8080 --record /root/upstream.jsonl"
            " --daemon --pid-file /root/upstream.pid"
        )
    assert run.returncode == 2 and f"listed in {report}" in output_of(run), run.stdout[-3000:]
    found = json.loads(report.read_text(encoding="utf-8"))
    problems = {entry["problem"]: entry["level"] for entry in found["problems"]}
    for words, level in (
        ("certificate shop ends in 89 days", "warning"),
        ("certificate host ends in 89 days", "warning"),
        ("client certificates: the revocation list ends in 29 days", "warning"),
        ("100000 sessions were asked for (nginx_sessions), and nginx carries", "warning"),
        ("/wss answers 502 to a client without a token, not 101", "critical"),
    ):
        assert [known for text, known in problems.items() if text.startswith(words)] == [level], problems
    assert not any(text.startswith("certificate wcs ends") for text in problems)
    assert (found["status"], report.stat().st_mode & 0o777) == ("critical", 0o600)


SHOP: dict[str, Any] = {
    "provider": "files",
    "subject_alt_names": ["shop.example.com"],
    "certificate_source": f"{PKI}/shop.pem",
    "key_source": f"{PKI}/shop.key",
}
HOST: dict[str, Any] = {
    "provider": "files",
    "remote": True,
    "certificate_path": "/etc/ssl/host.pem",
    "key_path": "/etc/ssl/private/host.key",
}
# Found on the controller, before a host is asked
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "foreign_key": ({**SHOP, "key_source": f"{PKI}/other.key"}, "the private key is not the key of"),
    "expired": (
        {**SHOP, "certificate_source": f"{PKI}/expired.pem", "key_source": f"{PKI}/other.key"},
        "the certificate expired on",
    ),
    "upside_down": (
        {**SHOP, "certificate_source": f"{PKI}/upside_down.pem"},
        "the chain is out of order: the certificate of the key is number 2; put it first",
    ),
    "other_name": ({**SHOP, "subject_alt_names": ["b.example.com"]}, "the certificate is not for DNS:b.example.com"),
    "nowhere": (
        {**SHOP, "certificate_source": f"{PKI}/none.pem"},
        f"certificate_source: {PKI}/none.pem is not on the controller",
    ),
    "no_certificate": (
        {**SHOP, "certificate_source": f"{PKI}/shop.key"},
        "the certificate cannot be used: there is no PEM certificate in it",
    ),
    "short": (
        {"provider": "selfsigned", "subject_alt_names": ["shop.example.com"], "days": 20},
        "renew_before_days (30) has to be less than days (20)",
    ),
    "unsigned": (
        {"provider": "selfsigned", "subject_alt_names": ["shop.example.com"], "authority": "nobody"},
        "authority 'nobody' is not in certificates_authorities (there: gates)",
    ),
}
# Found on the host
HOST_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "not_there": ({**HOST, "key_path": "/etc/ssl/private/none.key"}, "/etc/ssl/private/none.key is not there"),
    "not_its_key": (
        {**HOST, "key_path": f"{CERTIFICATES}/wcs/privkey.pem"},
        "the private key is not the key of the certificate CN=host",
    ),
}


def fails_with(host: Any, mistakes: dict[str, tuple[dict[str, Any], str]], **variables: Any) -> str:
    """A run with all the mistakes at once, of which each is named, no key is shown, and nothing is changed."""
    wrong = [{"name": name, **item} for name, (item, _words) in mistakes.items()]
    before = state(host)
    run = play(host, "-vvv", "--diff", certificates_list=[*inventory(host)["certificates_list"], *wrong], **variables)
    output = output_of(run)
    assert run.returncode != 0
    for name, (_item, words) in mistakes.items():
        assert f"certificate {name}: {words}" in output, output[-3000:]
    assert "PRIVATE KEY" not in output
    assert state(host) == before
    return output


def test_each_mistake_on_the_controller_is_named_shows_no_key_and_changes_nothing(host):
    if "debian13" in host.backend.get_pytest_id():
        pytest.skip("the controller finds it before it asks a host; once is enough")
    # nginx refuses every client with such a list
    authority = {"name": "clients", "certificate_source": f"{PKI}/clients.pem", "crl_source": f"{PKI}/old.crl"}
    output = fails_with(host, MISTAKES, certificates_client_authorities=[authority])
    assert "client authority clients: the revocation list of CN=clients was good until" in output


@pytest.fixture
def spoiled(host: Any) -> Iterator[None]:
    """A key that everybody on the host can read, and a symlink in place of another."""
    host.check_output("chmod 0644 /etc/ssl/private/host.key && chmod 0755 /etc/ssl/private")
    host.check_output(f"mv {KEY} /root/privkey.pem && ln -s /root/privkey.pem {KEY}")
    try:
        yield
    finally:
        host.check_output("chmod 0600 /etc/ssl/private/host.key && chmod 0710 /etc/ssl/private")
        host.check_output(f"rm -f {KEY} && mv /root/privkey.pem {KEY}")


def test_each_mistake_on_the_host_is_named_shows_no_key_and_changes_nothing(host, spoiled):
    if "debian12" in host.backend.get_pytest_id():
        pytest.skip("nothing in it depends on the system; once is enough")
    output = fails_with(host, HOST_MISTAKES)
    assert "certificate host: everybody on the host has access to the key" in output
    assert f"certificate wcs: {KEY} is a symlink" in output


def test_what_is_due_is_made_anew_and_served_while_a_session_goes_on(gate, host):
    name = "wcs.example.com"
    old, old_signed = installed(gate, "wcs"), installed(gate, "signed")
    host.check_output(
        "echo mallory:x >> /etc/nginx/.htpasswd; chown daemon /var/lib/nginx/tokens; chmod 0755 /var/log/nginx/wssgate"
    )
    endpoint = wire.Endpoint(port=gate.port, ca_path=gate.certificate("wcs"), server_name=name)
    with wire.handshake(endpoint, wire.Request("/wss", host=name).origin(f"https://{name}")) as session:
        assert session.status == 101
        with kept_alive(session.session):
            changes = with_certificates(
                host, signed={"days": 300, "reuse_key": True}, wcs={"renew_before_days": 396, "days": 398}
            )
            run = play(host, **changes)
            assert run.returncode == 0, run.stdout[-3000:]
        new, signed = installed(gate, "wcs"), installed(gate, "signed")
        assert new.serial_number != old.serial_number
        assert served(gate.port, name, "aECDSA") == new
        assert session.session.echo("still here") == "still here"
    assert (signed.public_key(), signed.serial_number != old_signed.serial_number) == (old_signed.public_key(), True)
    assert served(gate.port, "signed.example.com") == signed
    assert not host.file("/etc/nginx/.htpasswd").contains("mallory")
    assert (host.file("/var/lib/nginx/tokens").user, host.file("/var/log/nginx/wssgate").mode) == ("root", 0o700)


def test_a_new_certificate_has_a_new_key_and_no_secret_is_in_the_output_of_the_run(gate, host):
    if "debian12" in gate.name:
        pytest.skip("nothing in it depends on the system; once is enough")
    old = installed(gate, "signed")
    host.check_output(
        f"rm -r {CERTIFICATES}/shop; chmod 0644 /etc/nginx/.htpasswd; chgrp daemon /etc/nginx/.htpasswd; chmod "
        f"0770 /var/lib/nginx/tokens"
    )
    run = play(host, "-vvv", "--diff", **with_certificates(host, signed={"days": 299}))
    output = run.stdout + run.stderr
    assert run.returncode == 0, run.stdout[-3000:]
    new = installed(gate, "signed")
    assert new.public_key() != old.public_key()
    assert served(gate.port, "signed.example.com") == new
    key_lines = (PKI / "shop.key").read_text().splitlines()[1:-1]
    for secret in ("PRIVATE KEY", "correct: h", "$6$", *key_lines):
        assert secret not in output
    assert (host.file("/etc/nginx/.htpasswd").group, host.file("/etc/nginx/.htpasswd").mode) == ("www-data", 0o640)
    assert host.file("/var/lib/nginx/tokens").mode == 0o710
