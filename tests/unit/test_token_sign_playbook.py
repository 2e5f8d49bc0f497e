# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook token_issue with kind=jwt: signed on the controller, for gates that nobody can reach."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from lib.jwt_signing import Signer

PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks" / "token_issue.yml"
# Where Ansible is, or another one to try.
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
ISSUER = "https://id.example.com"
TOKEN = re.compile(r"ey[\w-]+\.ey[\w-]+\.")
PASSPHRASE = "a-passphrase-that-nobody-may-see"
MAIN, OTHER = Signer("ES256", "2026-11"), Signer("ES256")


def issuer(**changes: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "issuer": ISSUER,
        "audience": ["wss.example.com", "other"],
        "keys": [{"content": json.dumps({"keys": [MAIN.jwk()]})}],
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the private keys that a person may have beside the inventory."""
    for name, signer in (("main", MAIN), ("other", OTHER)):
        (tmp_path / f"{name}.key").write_text(signer.private_pem)
    encrypted = MAIN.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    (tmp_path / "encrypted.key").write_bytes(encrypted)
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return tmp_path


def run(
    folder: Path, *arguments: str, temporary: str = "/dev/null/none", **parameters: Any
) -> subprocess.CompletedProcess[str]:
    """The playbook as somebody in this folder starts it."""
    hosts = {"one": [issuer()], "two": [issuer()]}
    inventory = {
        "wss_proxies": {
            "hosts": {
                # Whoever connects fails.
                name: {"ansible_connection": "ssh", "ansible_ssh_executable": "/bin/false", "wss_proxy_issuers": given}
                for name, given in hosts.items()
            }
        }
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    given = {"kind": "jwt", "issuer": "main", "jwt_key": "main.key", **parameters}
    (folder / "parameters.json").write_text(json.dumps({name: one for name, one in given.items() if one is not None}))
    return subprocess.run(
        [str(ANSIBLE), "-i", "inventory.yml", str(PLAYBOOK), "-e", "@parameters.json", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PWD": str(folder),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            # Where the module and its arguments were, if they were files.
            "ANSIBLE_REMOTE_TEMP": str(folder / temporary),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout
    return json.JSONDecoder().raw_decode(done.stdout, done.stdout.index('{\n    "msg"'))[0]["msg"]


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, MAIN.public_pem, ["ES256"], audience="wss.example.com", issuer=ISSUER)
    return found


def secrets_of(folder: Path) -> list[str]:
    keys = [line for path in folder.glob("*.key") for line in path.read_text().splitlines() if "-----" not in line]
    return [PASSPHRASE, *keys]


def test_a_token_is_signed_as_the_gates_take_it_and_no_secret_is_shown(folder: Path) -> None:
    before = int(time.time())
    done = run(folder, "-vvv", subject="client-42", ttl=60, output="json", claims={"groups": ["ops"]})
    told = answer(done)
    (token,) = told["tokens"]
    claims = claims_of(token)
    assert (claims["sub"], claims["aud"], claims["groups"]) == ("client-42", "wss.example.com", ["ops"])
    assert before + 60 <= claims["exp"] == told["expires_at"] <= time.time() + 60
    # The name that the gates' JWKS has for the key
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "2026-11", "typ": "JWT"}
    assert told["jti"] == claims["jti"]
    assert told["token_id"] == hashlib.sha256(f"{ISSUER}\n{claims['jti']}".encode()).hexdigest()
    assert (told["proxies"], told["unchecked"], told["kid"]) == (["one", "two"], [], "2026-11")
    assert done.stdout.count(token) == 1, "shown once, on purpose"
    assert not any(secret in done.stdout for secret in secrets_of(folder))


def test_a_person_gets_lines(folder: Path) -> None:
    told = "\n".join(answer(run(folder, subject="client-42")))
    assert re.search(
        r"For: +client-42\nValid until: 20.* UTC\nIssuer: +https://id.example.com, for wss.example.com\n"
        r"Key: +2026-11 \(ES256\)\nProxies: +one, two\nToken name: +[0-9a-f]{32}\nIn the log: +[0-9a-f]{64}\n"
        r"Token: +ey[\w.-]+$",
        told,
    )


def test_a_token_goes_to_a_file_and_is_shown_nowhere(folder: Path) -> None:
    path = folder / "token"
    # With an encrypted key, which is itself in a vault.
    (folder / "vault").write_text("a-vault-s-password")
    subprocess.run(
        [ANSIBLE.with_name("ansible-vault"), "encrypt", "--vault-password-file", "vault", "encrypted.key"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    done = run(
        *(folder, "-vvv", "--vault-password-file", "vault"),
        subject="client-42",
        jwt_key="encrypted.key",
        jwt_key_passphrase=PASSPHRASE,
        token_file=str(path),
        temporary=str(folder / "temporary"),
    )
    assert f"Token:       written to {path}" in "\n".join(answer(done))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    assert claims_of(token)["sub"] == "client-42"
    assert not any(secret in done.stdout for secret in [token, *secrets_of(folder)])


@pytest.mark.parametrize("temporary", ["temporary", "/dev/null/none"])
def test_a_token_that_cannot_be_written_is_not_shown_either(folder: Path, temporary: str) -> None:
    done = run(folder, subject="client-42", token_file=str(folder / "missing" / "token"), temporary=temporary)
    assert done.returncode != 0
    assert re.search(r"missing/token could not be written: .+\. Nobody was given the token", done.stdout)
    assert not TOKEN.search(done.stdout) and "written to" not in done.stdout


def test_a_dry_run_signs_nothing(folder: Path) -> None:
    done = run(folder, "--check", subject="client-42", token_file=str(folder / "token"))
    assert "Token:       none yet (check mode)" in "\n".join(answer(done))
    assert not (folder / "token").exists()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"jwt_key": "other.key"}, "one: the key is none of issuer 'main', so the gate would refuse"),
        ({"jwt_key": "no.key"}, "no.key is no file on the controller, or you may not read it"),
        ({"jwt_key": "encrypted.key"}, "jwt_key: it is encrypted; give its passphrase in jwt_key_passphrase"),
        ({"issuer": None}, "kind=jwt needs issuer, a name out of wss_proxy_issuers"),
        ({"ttl": 86401}, "ttl is 86401 seconds ahead, and max_token_lifetime is 86400"),
        ({"claims": "groups"}, """give it as JSON: -e '{"claims": {"groups": ["ops"]}}'."""),
    ],
)
def test_one_clear_error_and_no_token(folder: Path, parameters: dict[str, Any], words: str) -> None:
    done = run(folder, **parameters)
    assert done.returncode != 0 and words in done.stdout, done.stdout
    assert "UNREACHABLE" not in done.stdout and not TOKEN.search(done.stdout)
