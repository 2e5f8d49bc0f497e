# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority issues and renews over the gate's own port 80; where it does not, what was there serves on."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from lib import wire
from lib.molecule.gate import Gate

CERTIFICATES = "/etc/nginx/certificates"
NAME = "wcs.example.com"
SESSIONS = 200
# What certbot leaves of the key of the external account: nothing
ACCOUNT_FILE = "/etc/letsencrypt/wssgate-account.ini"
DOWN = "https://localhost:14002/dir"
BUSY = "https://localhost:14001/dir"
LATE = {"name": "late", "provider": "acme", "subject_alt_names": ["late.example.com"]}
# Nobody can prove a name that leads nowhere
NOWHERE = {"name": "nowhere", "provider": "acme", "subject_alt_names": ["nowhere.example.com"]}
HOSTS = ["wssgate-acme-debian12", "wssgate-acme-debian13"]
HOST_WITHOUT_AUTHORITY, HOST_AT_THE_LIMIT = HOSTS


def play(playbook: str = "site", limit: str = "all", **variables: Any) -> subprocess.CompletedProcess[str]:
    """A run of a playbook, for all hosts unless it is limited."""
    return subprocess.run(
        [
            "ansible-playbook",
            "-i",
            os.environ["MOLECULE_INVENTORY_FILE"],
            "--limit",
            limit,
            f"wssgate.nginx.{playbook}",
            "-e",
            json.dumps(variables),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        # Colours would stand in the middle of a sentence that is broken over two lines
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "PY_COLORS": "0"},
    )


def variables() -> dict[str, Any]:
    """What the scenario gives its hosts."""
    with open(os.path.join(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "molecule.yml"), encoding="utf-8") as stream:
        return yaml.safe_load(stream)["provisioner"]["inventory"]["group_vars"]["wss_proxies"]


def having(*certificates: dict[str, Any]) -> dict[str, Any]:
    """The variables that add certificates, each with a server of its own."""
    given = variables()
    servers = [
        {
            "name": item["name"],
            "server_names": item["subject_alt_names"],
            "certificate": item["name"],
            "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": "none"}],
        }
        for item in certificates
    ]
    return {
        "certificates_list": [*given["certificates_list"], *certificates],
        "wss_proxy_servers": [*given["wss_proxy_servers"], *servers],
    }


def served(gate: Gate, name: str) -> x509.Certificate:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", gate.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        encoded = tls.getpeercert(binary_form=True)
        assert encoded is not None
        return x509.load_der_x509_certificate(encoded)


def is_placeholder(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def issued(certificate: x509.Certificate) -> bool:
    return "Pebble" in certificate.issuer.rfc4514_string()


def root(gate: Gate, scratch: Path) -> Path:
    """The certificate to trust: the authority makes one each time it starts, and tells it here."""
    fetch = (
        "import ssl, urllib.request as r; "
        "print(r.urlopen('https://localhost:15000/roots/0', context=ssl._create_unverified_context()).read().decode())"
    )
    path = scratch / f"{gate.name}.pem"
    path.write_text(gate.run("python3", "-c", fetch))
    return path


@contextlib.contextmanager
def sessions(gate: Gate, count: int) -> Iterator[list[wire.Session]]:
    """Clients that stay."""
    endpoint = wire.Endpoint(port=gate.port, server_name=NAME)
    request = wire.Request("/wss", host=NAME).origin(f"https://{NAME}")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _number: wire.handshake(endpoint, request, timeout=60), range(count)))
    try:
        assert [reply.status for reply in replies] == [101] * count
        yield [reply.session for reply in replies]
    finally:
        for reply in replies:
            reply.__exit__(None, None, None)


@dataclass
class Outcome:
    """A run of site.yml over both hosts, and what their clients got before and after it."""

    run: subprocess.CompletedProcess[str]
    before: dict[str, x509.Certificate]
    after: dict[tuple[str, str], x509.Certificate]

    @property
    def output(self) -> str:
        return " ".join((self.run.stdout + self.run.stderr).split())


def gates(scratch: Path) -> list[Gate]:
    return [Gate(name=name, scratch=scratch) for name in HOSTS]


def observe(scratch: Path, *names: str, **given: Any) -> Outcome:
    before = {gate.name: served(gate, NAME) for gate in gates(scratch)}
    run = play(**given)
    return Outcome(
        run, before, {(gate.name, name): served(gate, name) for gate in gates(scratch) for name in (NAME, *names)}
    )


# Each run is for all hosts at once, because it takes its time


@functools.cache
def without_help(scratch: Path) -> Outcome:
    """One host's authority is down, the other's is at its limit."""
    # Not by stopping it: it would forget the accounts
    directory = f"{{{{ '{DOWN}' if inventory_hostname == '{HOST_WITHOUT_AUTHORITY}' else '{BUSY}' }}}}"
    eab = {"certificates_acme_eab_kid": "", "certificates_acme_eab_hmac_key": ""}
    return observe(scratch, "late.example.com", certificates_acme_directory=directory, **eab, **having(LATE))


@functools.cache
def with_a_name_that_leads_nowhere(scratch: Path) -> Outcome:
    without_help(scratch)
    return observe(scratch, "late.example.com", "nowhere.example.com", **having(NOWHERE, LATE))


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("gates")


def test_the_authority_has_issued_for_every_name_and_nginx_serves_it(gate, host):
    certificate = served(gate, NAME)
    assert issued(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    assert sorted(names) == [NAME, "www.example.com"]
    assert served(gate, "www.example.com") == certificate
    assert host.check_output(f"cat {CERTIFICATES}/wcs/fullchain.pem") == host.check_output(
        "cat /etc/letsencrypt/live/wcs/fullchain.pem"
    )


def test_keys_are_for_root_alone_and_the_external_account_s_is_gone(host):
    assert host.check_output(f"stat -c '%a %U:%G' {CERTIFICATES}/wcs/privkey.pem") == "600 root:root"
    assert host.check_output("stat -Lc '%a %U:%G' /etc/letsencrypt/live/wcs/privkey.pem") == "600 root:root"
    assert not host.file(ACCOUNT_FILE).exists
    key = variables()["certificates_acme_eab_hmac_key"]
    assert host.run(f"grep -rlF --exclude=pebble.json {key} /etc /var/log /usr/local").stdout == ""


def test_renewals_are_due_by_the_timer(host):
    assert host.check_output("systemctl is-active certbot.timer") == "active"
    assert host.check_output("systemctl is-enabled certbot.timer") == "enabled"


def test_a_renewal_under_200_sessions_drops_none_and_brings_the_new_certificate_to_clients(gate, host):
    old = served(gate, NAME)
    master = host.check_output("cat /run/nginx.pid")
    # Nothing else is changed for it: what the timer starts, its surroundings and its hook do it
    host.check_output("sed -i '1s/^/renew_before_expiry = 100 days\\n/' /etc/letsencrypt/renewal/wcs.conf")
    workers = "pgrep -cf 'nginx: worker process$'"
    count = int(host.check_output(workers))
    with sessions(gate, SESSIONS) as clients:
        # systemctl waits for the end of a oneshot unit
        host.check_output("systemctl start certbot.service")
        new = served(gate, NAME)
        assert new.serial_number != old.serial_number
        assert issued(new)
        dead = [number for number, client in enumerate(clients) if client.echo(f"{number}") != f"{number}"]
        assert dead == []
        # Those that were there stay with the workers that were there
        assert int(host.check_output("pgrep -cf 'nginx: worker process'")) > count
    assert host.check_output("cat /run/nginx.pid") == master
    host.check_output("sed -i /^renew_before_expiry/d /etc/letsencrypt/renewal/wcs.conf")


def test_a_client_that_trusts_the_authority_gets_in(gate, scratch):
    endpoint = wire.Endpoint(port=gate.port, ca_path=root(gate, scratch), server_name=NAME)
    with wire.handshake(endpoint, wire.Request("/wss", host=NAME).origin(f"https://{NAME}")) as reply:
        assert reply.status == 101


def test_a_second_deployment_does_nothing(host):
    output = json.loads(host.check_output("/usr/local/sbin/wssgate-deploy-certificates"))
    # On the second host the runs of the first one's tests have added another certificate
    assert (output["changed"], output["installed"], output["served"][0]) == (False, [], "wcs")


def test_an_address_where_nothing_answers_is_named_and_costs_no_reload(host):
    configuration = json.loads(host.check_output("cat /etc/letsencrypt/wssgate.json"))
    configuration["certificates"][0]["served_at"] = ["127.0.0.1:444"]
    host.check_output("printf %%s %s > /root/wrong.json", json.dumps(configuration))
    workers = host.check_output("pgrep -f 'nginx: worker process$'")
    run = host.run("/usr/local/sbin/wssgate-deploy-certificates --configuration /root/wrong.json")
    assert run.rc == 1
    assert "wcs (wcs.example.com) at 127.0.0.1:444, where nothing answers in TLS" in run.stderr
    assert host.check_output("pgrep -f 'nginx: worker process$'") == workers


def test_an_authority_that_is_down_is_named_and_the_placeholder_serves(gate, scratch):
    if gate.name != HOST_WITHOUT_AUTHORITY:
        pytest.skip("this one's authority is at its limit instead: each run takes its time")
    outcome = without_help(scratch)
    assert outcome.run.returncode != 0
    assert f"certificate late: {DOWN} did not issue it" in outcome.output
    assert "Connection refused" in outcome.output
    assert "What was there before is still there and served." in outcome.output
    assert is_placeholder(outcome.after[gate.name, "late.example.com"])
    assert outcome.after[gate.name, NAME] == outcome.before[gate.name]


def test_the_rate_limit_of_an_authority_is_told_and_the_old_certificate_serves(gate, scratch):
    if gate.name != HOST_AT_THE_LIMIT:
        pytest.skip("this one's authority is down instead: each run takes its time")
    outcome = without_help(scratch)
    assert outcome.run.returncode != 0
    assert f"certificate wcs: {BUSY} did not issue it" in outcome.output
    assert "too many certificates already issued for example.com" in outcome.output
    assert outcome.after[gate.name, NAME] == outcome.before[gate.name]
    assert issued(outcome.after[gate.name, NAME])


def test_a_name_that_cannot_be_proven_is_told_and_keeps_no_other_from_being_issued(gate, scratch):
    outcome = with_a_name_that_leads_nowhere(scratch)
    assert outcome.run.returncode != 0
    assert "certificate nowhere: https://localhost:14000/dir did not issue it" in outcome.output
    assert "no such host" in outcome.output
    assert is_placeholder(outcome.after[gate.name, "nowhere.example.com"])
    # From the placeholder to the real one
    assert issued(outcome.after[gate.name, "late.example.com"])
    assert outcome.after[gate.name, NAME] == outcome.before[gate.name]


def test_the_keys_of_accounts_are_in_no_output(scratch):
    key = variables()["certificates_acme_eab_hmac_key"]
    for outcome in (without_help(scratch), with_a_name_that_leads_nowhere(scratch)):
        assert key not in outcome.output


def test_an_uninstallation_leaves_nothing_of_what_brought_renewals_to_nginx_and_what_certbot_holds(gate, host, scratch):
    """The last one of a host: afterwards its gate is gone. The other's tests look at what was seen before."""
    with_a_name_that_leads_nowhere(scratch)
    # What version 1.0.0 had there
    host.check_output("touch /usr/local/lib/wssgate_pair_files.py")
    run = play("uninstall", limit=gate.name)
    assert run.returncode == 0, run.stdout + run.stderr
    gone = "/usr/local/sbin/wssgate-deploy-certificates /etc/letsencrypt/wssgate.json"
    gone += f" /usr/local/lib/wssgate /usr/local/lib/wssgate_pair_files.py {CERTIFICATES}/wcs"
    assert host.run(f"ls -d {gone}").stdout == ""
    assert host.file("/etc/letsencrypt/live/wcs/fullchain.pem").exists
