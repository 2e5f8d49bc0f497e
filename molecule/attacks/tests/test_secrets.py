# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret where it has no business: Ansible's output, arguments of processes, files that others can read."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lib import attacks

# Scenario attacks_more runs these tests, too, on hosts of its own.
HOSTS = [platform["name"] for platform in yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text())["platforms"]]
SCENARIO = Path(__file__).resolve().parents[1]
# Where a configuration, a log or a temporary file may be.
PLACES = "/etc /home /opt /root /run /srv /tmp /usr/local /var"

SECRETS = {
    "secret_password": "never: shown password",
    "secret_token": "Never-shown_token-0123456789",
    "secret_revoked_token": "Never-shown_gone--0123456789",
    "secret_header": "never shown header",
}


@pytest.fixture(scope="session")
def variables(tmp_path_factory):
    """The secrets as a file of variables for Ansible, a new key among them."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "90",
         "-subj", "/CN=secrets.example.com", "-addext", "subjectAltName=DNS:secrets.example.com",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path = folder / "variables.json"
    path.write_text(
        json.dumps(
            SECRETS
            | {
                "secret_subject": "somebody",
                "secret_certificate": (folder / "certificate.pem").read_text(),
                "secret_key": (folder / "key.pem").read_text(),
            }
        )
    )
    return path


def shown_secrets(text: str, variables: Path) -> list[str]:
    """Which of the secrets are in a text, as they are, line by line or in base64."""
    found = []
    for name, secret in json.loads(variables.read_text()).items():
        if name in ("secret_subject", "secret_certificate"):
            continue
        lines = [line for line in secret.splitlines() if line and "-----" not in line]
        lines.append(base64.b64encode(secret.encode()).decode())
        lines.append(base64.b64encode(f"operator:{secret}".encode()).decode())
        found += [name for line in lines if line in text]
    return found


@pytest.fixture(scope="session")
def output(variables):
    """All that Ansible says when it would change every kind of secret and when it does, wordy and with diffs."""
    output = ""
    for extra in (["--check"], []):
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", ",".join(HOSTS), "-c", "community.docker.docker",
             "-vvv", "--diff",
             *extra, "-e", f"@{variables}", SCENARIO / "secrets.yml"],
            env=dict(os.environ, ANSIBLE_FORCE_COLOR="0"), capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        output += done.stdout + done.stderr
    return output


def test_ansible_shows_no_secret_however_wordy_it_is(output, variables):
    assert "Issue known tokens" in output
    assert shown_secrets(output, variables) == []
    # The proof that the search finds what is there.
    assert set(shown_secrets("\n".join(SECRETS.values()), variables)) == set(SECRETS)


def test_nobody_else_can_read_a_secret(host, output, variables):
    patterns = " ".join(f"-e '{secret}'" for secret in (*attacks.SECRETS, attacks.GATE_PASSWORD, *SECRETS.values()))
    found = host.run(f"runuser -u nobody -- grep -rIlF {patterns} {PLACES} 2>/dev/null")
    assert found.stdout == ""
    key = next(line for line in json.loads(variables.read_text())["secret_key"].splitlines() if "-----" not in line)
    assert host.run(f"runuser -u nobody -- grep -rIlF -e '{key}' {PLACES} 2>/dev/null").stdout == ""
    # The proof that the search finds what is there.
    assert (
        host.run(f"grep -rIlF -e '{key}' /etc/nginx/certificates").stdout.strip()
        == "/etc/nginx/certificates/secrets/privkey.pem"
    )


def test_nobody_else_can_see_a_token_s_name(host, output):
    names = " -o ".join(f"-name '*{secret}*'" for secret in (*attacks.SECRETS, *SECRETS.values()) if " " not in secret)
    assert host.run(f"runuser -u nobody -- find {PLACES} {names} 2>/dev/null").stdout == ""
    assert host.run(f"find /var/lib/nginx/tokens {names}").stdout != ""


def test_no_process_has_a_secret_in_its_arguments(host, output):
    arguments = host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "nginx: master" in arguments
    assert not [secret for secret in (*attacks.SECRETS, *SECRETS.values()) if secret in arguments]
