# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""testssl.sh on the gate's TLS: `make tls`. Minutes, and a Debian package: not part of the functional tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.local_gate import LocalGate, free_port

# What it says of a server with one of these is a fault, unless it is in ACCEPTED.
FAULTS = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")

# What it may object to: the finding's name, a part of what it says, and the reason.
ACCEPTED = (
    ("engine_problem", "GOST", "said of the OpenSSL that asks, not of the gate"),
    (
        "cipher_order",
        "NOT a cipher order configured",
        "the client chooses among six suites that are all good, as Mozilla's intermediate profile has it",
    ),
    ("cert_chain_of_trust", "self signed", "the test's own certificate"),
    ("cert_expirationStatus", "expires <", "the test's own certificate, made for two days"),
    ("cert_notAfter", "", "the same"),
    ("cert_revocation", "Neither CRL nor OCSP URI", "a self-signed certificate names nobody who could revoke it"),
    ("DNS_CAArecord", "--", "localhost has no zone with a CAA record"),
    (
        "security_headers",
        "--",
        "of pages; refusals are none, and those of the connection-check page are tested in tests/lib/features.py",
    ),
)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def local_gate(port: int) -> Iterator[LocalGate]:
    local_gate = LocalGate([])
    local_gate.variables |= {
        "wss_proxy_certificates": [local_gate.certificate()],
        "wss_proxy_servers": [
            {
                "name": "gate",
                "server_names": ["gate.example.com", "localhost"],
                "certificate": "gate",
                "hsts_max_age": 31536000,
                "listen": [{"address": "127.0.0.1", "port": port, "default_server": True}],
                "locations": [
                    {"path": "/wss", "upstream": "http://127.0.0.1:8080", "origins": ["https://app.example.com"]}
                ],
            }
        ],
    }
    with local_gate:
        yield local_gate


def scan(port: int, report: Path) -> list[dict[str, Any]]:
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    assert program, "testssl is missing: apt-get install testssl.sh"
    # Its exit code counts objections; the report tells them apart.
    subprocess.run(
        [
            program, "--quiet", "--color", "0", "--warnings", "off", "--ip", "127.0.0.1",
            "--jsonfile", str(report), f"localhost:{port}",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=1500, check=False,
    )  # fmt: skip
    findings: list[dict[str, Any]] = json.loads(report.read_text())
    return findings


def is_accepted(finding: dict[str, Any]) -> bool:
    return any(finding["id"] == name and part in finding["finding"] for name, part, _reason in ACCEPTED)


def test_testssl_objects_to_nothing_that_is_not_explained(
    local_gate: LocalGate, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = scan(port, tmp_path / "testssl.json")
    with capsys.disabled():
        print(f"\n  {len(findings)} findings: {dict(Counter(finding['severity'] for finding in findings))}")
    # It did look: at the versions and the holes.
    by_name = {finding["id"]: finding for finding in findings}
    assert {by_name[version]["finding"] for version in ("SSLv2", "SSLv3", "TLS1", "TLS1_1")} <= {
        "not offered",
        "not offered (OK)",
    }
    assert {
        by_name[hole]["severity"] for hole in ("heartbleed", "ROBOT", "BEAST", "LUCKY13", "SWEET32", "secure_renego")
    } == {"OK"}
    objections = [finding for finding in findings if finding["severity"] in FAULTS]
    assert [finding for finding in objections if not is_accepted(finding)] == []
    # An explanation for what it does not say any more explains nothing.
    for name, part, _reason in ACCEPTED:
        assert any(finding["id"] == name and part in finding["finding"] for finding in objections), (
            f"{name} is not found any more"
        )
