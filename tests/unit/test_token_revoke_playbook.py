# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook token_revoke on two folders of this machine: one gate takes signed tokens, the other takes none."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks/token_revoke.yml"
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
ISSUER, OTHER = "https://id.example.com", "https://other.example.com"
TOKEN = "Opaque-token_0123456789"


class Fleet:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("both", "opaque"):
            (folder / name / "etc/wssgate.d").mkdir(parents=True)
            (folder / name / "tokens").mkdir(mode=0o710)
            (folder / name / "tokens" / TOKEN).write_text(
                json.dumps({"subject": "ann", "issued_at": 1, "expires_at": None})
            )
        self.revoked = folder / "both/revoked"
        for kind in ("", "jti", "sub"):
            (self.revoked / kind).mkdir(mode=0o710)
        issuers = {f"n{i}": {"issuer": one, "max_token_lifetime": 60} for i, one in enumerate((ISSUER, OTHER))}
        (folder / "both/etc/wssgate.d/jwt.json").write_text(json.dumps({"issuers": issuers}))

    def revoke(self, *arguments: str, **variables: object) -> tuple[int, str]:
        hosts = {
            name: {
                "token_store_path": str(self.folder / name / "tokens"),
                "nginx_directory": str(self.folder / name / "etc"),
                "wss_proxy_revocations_path": str(self.folder / name / "revoked"),
            }
            for name in ("both", "opaque")
        }
        common = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "token_store_session_log": "",
        }
        inventory = self.folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"wss_proxies": {"hosts": hosts, "vars": common}}))
        options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        done = subprocess.run(
            [str(ANSIBLE), "-i", str(inventory), str(PLAYBOOK), *options, *arguments],
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout

    def taken_back(self) -> list[str]:
        return sorted(path.name for path in self.revoked.glob("*/*"))

    def tokens(self) -> int:
        return sum(1 for _path in self.folder.glob(f"*/tokens/{TOKEN}"))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_subject_loses_opaque_and_signed_tokens_in_one_go(fleet: Fleet) -> None:
    code, text = fleet.revoke("--check", subject="ann")
    assert (code, fleet.tokens(), fleet.taken_back()) == (0, 2, []), text
    assert "Check mode, nothing was changed. A run would say:" in text
    code, text = fleet.revoke(subject="ann")
    assert code == 0 and "Check mode" not in text, text
    assert (fleet.tokens(), fleet.taken_back()) == (0, [hashlib.sha256(b"ann").hexdigest()])
    assert "both: 1 removed (" in text and "); signed tokens issued before " in text
    assert "opaque: 1 removed (" in text and text.count("; signed tokens") == 1
    assert list((fleet.folder / "opaque").iterdir()) != [] and not (fleet.folder / "opaque/revoked").exists()


def test_a_signed_token_is_named_by_issuer_and_jti_or_by_its_id(fleet: Fleet) -> None:
    name = hashlib.sha256(f"{ISSUER}\nt-1".encode()).hexdigest()
    code, text = fleet.revoke(jti="t-1")
    assert code != 0 and "a jti counts with its issuer, and this gate has several" in text
    assert (fleet.tokens(), fleet.taken_back()) == (2, [])
    end = int(time.time()) + 900
    code, text = fleet.revoke(jti="t-1", issuer=ISSUER, until=end, output="json")
    assert code == 0, text
    assert (fleet.tokens(), fleet.taken_back()) == (2, [name])
    assert int((fleet.revoked / "jti" / name).stat().st_mtime) == end
    told = json.loads(text[text.index("{", text.index("Show what was revoked")) : text.index("\nTASK [Fail")])
    entry = {"kind": "jti", "id": name, "issued_before": None, "until": end, "change": "created"}
    assert told["msg"]["proxies"]["both"]["signed"]["entries"] == [entry]
    assert list(told["msg"]["proxies"]) == ["both"]
    code, text = fleet.revoke(token_id=name)
    assert code == 0 and f"signed token {name[:12]} was taken back already" in text


def test_without_a_gate_that_takes_signed_tokens_a_jti_is_an_error(fleet: Fleet) -> None:
    code, text = fleet.revoke("--limit", "opaque", jti="t-1")
    assert code != 0 and "none of these proxies takes signed tokens" in text


def test_two_ways_to_name_tokens_are_refused(fleet: Fleet) -> None:
    code, text = fleet.revoke(jti="t-1", subject="ann")
    assert code != 0 and "Give one of subject, jti, token_id, fingerprint, token_file and token." in text
    assert fleet.taken_back() == []


@pytest.mark.parametrize("name", ["issuer", "issued_before", "until", "revoke_until"])
def test_what_is_for_signed_tokens_alone_is_refused_beside_a_token_of_the_store(fleet: Fleet, name: str) -> None:
    code, text = fleet.revoke(fingerprint=hashlib.sha256(TOKEN.encode()).hexdigest()[:12], **{name: 1800000000})
    assert code != 0 and f"{name} is for signed tokens (JWT): fingerprint, token_file and token name tokens of" in text
    assert fleet.tokens() == 2


def test_the_end_of_signed_tokens_has_a_name_that_ansible_does_not_warn_of(fleet: Fleet) -> None:
    end = int(time.time()) + 900
    code, text = fleet.revoke(jti="t-1", issuer=ISSUER, revoke_until=end)
    assert (code, "reserved name" in text) == (0, False), text
    (entry,) = (fleet.revoked / "jti").iterdir()
    assert int(entry.stat().st_mtime) == end
    code, text = fleet.revoke(jti="t-1", issuer=ISSUER, revoke_until=end, until=end)
    assert code != 0 and "Give revoke_until or until, which are the same." in text


def test_tokens_are_read_from_a_file_of_the_folder_in_which_the_command_is_given(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", str(fleet.folder))
    code, text = fleet.revoke(token_file="gone")
    assert code != 0 and f"token_file: {fleet.folder}/gone is not on the controller." in text
    (fleet.folder / "given").write_text(f"{TOKEN}\n")
    code, text = fleet.revoke(token_file="given")
    assert (code, fleet.tokens()) == (0, 0), text


def test_a_signed_token_in_the_place_of_an_opaque_one_is_one_clear_error(fleet: Fleet) -> None:
    path = fleet.folder / "signed"
    path.write_text("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl\n")
    code, text = fleet.revoke(token_file=path)
    assert code != 0 and "token_file has a signed token (JWT), which is in no store; give its jti or token_id" in text
    assert path.read_text().strip() not in text and "Module failed" not in text
    code, text = fleet.revoke(token=path.read_text().strip())
    assert code != 0 and "token is a signed token (JWT)" in text
    assert fleet.tokens() == 2
