# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attack table on the nginx of the operating system. tests/functional tries the same on the newest."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from lib import attacks, wire

SITE = attacks.Site(
    port=443,
    access_log="/var/log/nginx/wss_access.log",
    error_log="/var/log/nginx/error.log",
    record="/root/attacks/upstream.jsonl",
    token_store="/var/lib/nginx/tokens",
)


@pytest.fixture(scope="module")
def seen(host):
    """The whole table, tried inside the host in one go: what was seen of each case, by its name."""
    site = json.dumps(asdict(SITE))
    observations = json.loads(host.check_output("env PYTHONPATH=/mnt/tests python3 -m lib.attacks %s", site))
    return {observation["name"]: attacks.Observation(**observation) for observation in observations}


@pytest.mark.parametrize("case", attacks.CASES, ids=lambda case: case.name)
def test_the_gate_does_as_the_table_says(case, seen):
    complaints = attacks.complaints(SITE, case, seen[case.name])
    assert not complaints, "\n".join(complaints)


def test_refusals_of_one_status_cannot_be_told_apart(seen):
    assert attacks.differences(seen.values()) == []


def test_no_log_of_nginx_holds_a_secret_but_the_one_that_only_root_reads(host, seen):
    patterns = " ".join(f"-e '{secret}'" for secret in attacks.SECRETS)
    found = host.run(f"grep -rlF --exclude-dir=wssgate {patterns} /var/log")
    assert found.rc == 1, found.stdout + found.stderr
    assert host.file("/var/log/nginx/wssgate").mode == 0o700


def test_a_client_from_elsewhere_is_known_by_its_address(host, gate, seen):
    """The table runs inside the host; this one comes through the published port."""
    far = wire.Endpoint(port=gate.port, server_name=attacks.HOST, ca_path=gate.ca_path)
    with wire.handshake(far, attacks.ask(SITE).adding("X-Forwarded-For", "127.0.0.1")) as reply:
        assert reply.upgraded
        received = json.loads(reply.session.echo("headers?"))
        peer = host.check_output("ss -Htn state established sport = :443").split()[3].rpartition(":")[0].strip("[]")
    sent = dict(received["headers"])
    assert sent["X-Client-IP"] == sent["X-Forwarded-For"] == peer.replace("::ffff:", "")
