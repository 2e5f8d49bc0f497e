# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook token_issue on two stores of this machine: it shows a token that is live, or withdraws it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import subprocess
import sys
import time
import typing as t
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
# Where Ansible is, or another one to try.
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")


@dataclasses.dataclass
class Proxies:
    """Two hosts that are folders of this machine."""

    folder: Path

    def store(self, name: str) -> Path:
        return self.folder / name

    def tokens(self) -> t.List[t.List[str]]:
        return [sorted(os.listdir(self.store(name))) for name in ("one", "two")]

    def issue(
        self,
        *arguments: str,
        playbook: Path = PLAYBOOKS / "token_issue.yml",
        interpreters: t.Mapping[str, str] = MappingProxyType({}),
        away: t.Sequence[str] = (),
        **variables: t.Any,
    ) -> "subprocess.CompletedProcess[str]":
        inventory = {
            "wss_proxies": {
                "hosts": {
                    name: {
                        "token_store_path": str(self.store(name)),
                        "ansible_python_interpreter": interpreters.get(name, sys.executable),
                        # Nobody listens on this port.
                        "ansible_connection": "ssh" if name in away else "local",
                        "ansible_host": "127.0.0.1",
                        "ansible_port": 1,
                    }
                    for name in ("one", "two")
                },
                "vars": {
                    "ansible_become": False,
                },
            }
        }
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump(inventory), encoding="utf-8")
        options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        return subprocess.run(
            [str(ANSIBLE), "-i", str(path), str(playbook), *options, *arguments],
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture
def proxies(tmp_path: Path) -> Proxies:
    found = Proxies(tmp_path)
    for name in ("one", "two"):
        found.store(name).mkdir(mode=0o710)
    return found


def test_a_token_with_an_end_is_shown_and_is_on_every_proxy(proxies: Proxies) -> None:
    done = proxies.issue("-vvv", subject="client-42", ttl=3600)
    assert done.returncode == 0, done.stdout
    (token,), same = proxies.tokens()
    assert same == [token]
    # Once, on purpose, however wordy Ansible is.
    assert done.stdout.count(token) == 1
    assert re.search(rf'"Token:       {token}"', done.stdout)
    assert re.search(r'"Valid until: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"', done.stdout)


def test_a_program_gets_numbers_as_numbers_and_nothing_as_null(proxies: Proxies) -> None:
    ends = int(time.time()) + 3600
    shown = proxies.issue(output="json", expires_at=ends, count=2).stdout
    answer = json.JSONDecoder().raw_decode(shown, shown.index('{\n    "msg"'))[0]["msg"]
    assert answer["expires_at"] == ends
    assert answer["subject"] is None and answer["token_file"] is None
    assert proxies.tokens() == [sorted(answer["tokens"])] * 2
    assert len(answer["tokens"]) == len(answer["fingerprints"]) == 2
    assert answer["proxies"] == ["one", "two"]


def test_a_file_without_a_folder_is_of_the_one_in_which_the_command_is_given(
    proxies: Proxies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", str(tmp_path))
    done = proxies.issue(token_file="token")
    assert done.returncode == 0 and f"written to {tmp_path}/token" in done.stdout, done.stdout
    assert [[(tmp_path / "token").read_text().strip()]] * 2 == proxies.tokens()
    assert not (PLAYBOOKS / "token").exists()


def test_a_private_key_without_the_kind_of_token_issues_none(proxies: Proxies) -> None:
    done = proxies.issue(issuer="main", jwt_key="main.key", subject="client-42")
    assert done.returncode != 0 and "jwt_key is for a signed token: add kind=jwt, or leave it out." in done.stdout
    assert proxies.tokens() == [[], []]


def test_a_token_goes_to_a_file_and_is_shown_nowhere(proxies: Proxies, tmp_path: Path) -> None:
    path = tmp_path / "token"
    done = proxies.issue("-vvv", subject="client-42", token_file=path)
    assert done.returncode == 0, done.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text(encoding="utf-8").strip()
    assert proxies.tokens() == [[token], [token]]
    assert token not in done.stdout


def test_a_token_that_cannot_be_written_for_its_owner_is_withdrawn(proxies: Proxies, tmp_path: Path) -> None:
    done = proxies.issue(subject="client-42", token_file=tmp_path / "no-such-folder" / "token")
    assert done.returncode != 0
    assert re.search(r"no-such-folder/token could not be written: .+, so it was withdrawn\.", done.stdout)
    assert proxies.tokens() == [[], []]


def test_a_token_that_one_proxy_does_not_take_is_withdrawn_everywhere(proxies: Proxies, tmp_path: Path) -> None:
    # The first module that it runs finds the store in order, the second is the one that writes the token.
    broken = tmp_path / "python"
    calls = tmp_path / "calls"
    counting = f'echo >>{calls}\n[ "$(wc -l <{calls})" -ne 2 ] || exit 9'
    broken.write_text(f'#!/bin/sh\n{counting}\nexec {sys.executable} "$@"\n', encoding="utf-8")
    broken.chmod(0o755)
    done = proxies.issue(subject="client-42", interpreters={"two": str(broken)})
    assert done.returncode != 0
    assert "two did not take the token, so it was withdrawn from the others." in done.stdout
    assert "It may still be valid" not in done.stdout
    assert proxies.tokens() == [[], []]


def test_a_token_is_withdrawn_when_the_answer_cannot_be_prepared(proxies: Proxies, tmp_path: Path) -> None:
    text = (PLAYBOOKS / "token_issue.yml").read_text(encoding="utf-8")
    for folder in ("tasks", "vars"):
        (tmp_path / folder).symlink_to(PLAYBOOKS / folder)
    broken = tmp_path / "token_issue.yml"
    broken.write_text(text.replace("| wssgate.nginx.token_issued", "| wssgate.nginx.not_there"), encoding="utf-8")
    done = proxies.issue(subject="client-42", playbook=broken)
    assert done.returncode != 0
    assert "The answer could not be prepared, so it was withdrawn." in done.stdout
    assert proxies.tokens() == [[], []]


def test_why_no_token_was_issued_is_told_and_not_hidden(proxies: Proxies) -> None:
    done = proxies.issue(subject="client-42", ttl=-5)
    assert done.returncode != 0
    assert "ttl must be a number of seconds above 0, not -5" in done.stdout
    assert proxies.tokens() == [[], []]


def test_a_dry_run_issues_nothing(proxies: Proxies) -> None:
    done = proxies.issue("--check", subject="client-42", ttl=60)
    assert done.returncode == 0, done.stdout
    assert '"Token:       none yet (check mode)"' in done.stdout
    assert proxies.tokens() == [[], []]


def test_a_playbook_that_shows_a_token_gives_it_to_no_option_that_ansible_hides() -> None:
    # From 2.22 on Ansible replaces what a no_log option held wherever it is printed later.
    for playbook in ("token_issue.yml", "tasks/quickstart_try.yml"):
        text = (PLAYBOOKS / playbook).read_text(encoding="utf-8")
        assert re.search(r"encoded_tokens: .*b64encode", text)
        assert not re.search(r"^ +(tokens|token): .*\{\{", text, re.MULTILINE), playbook


def test_a_proxy_that_cannot_be_reached_is_left_out_and_named_where_that_was_asked_for(proxies: Proxies) -> None:
    done = proxies.issue(away=("one",), subject="client-42", ttl=60)
    assert done.returncode != 0
    assert proxies.tokens() == [[], []]
    done = proxies.issue(away=("one",), subject="client-42", ttl=60, allow_missing=True)
    assert done.returncode == 0, done.stdout
    assert '"Proxies:     two"' in done.stdout
    assert '"NOT on:      one, which cannot be reached"' in done.stdout
    (_none, tokens) = proxies.tokens()
    assert _none == [] and len(tokens) == 1 and tokens[0] in done.stdout
    done = proxies.issue(away=("one", "two"), subject="client-42", ttl=60, allow_missing=True)
    assert done.returncode != 0 and "None of these proxies can be reached: one, two." in done.stdout
