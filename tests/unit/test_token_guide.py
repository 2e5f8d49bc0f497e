# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/tokens.md tells people to run, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.install import Settings, wanted_files
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.plan import new_tokens
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.record import fingerprint
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.owed import ENDED

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "tokens.md").read_text()
MANY = 70_000
SUBJECT = "Jörg Müller, 東京"


def block(words: str) -> str:
    """The one code block of the guide that holds these words."""
    blocks = re.findall(r"^( *)```(?:console|sh)\n(.*?)^ *```$", GUIDE, re.DOTALL | re.MULTILINE)
    (found,) = [textwrap.dedent(text) for _indent, text in blocks if words in text]
    return found


def shell(text: str, root: Path, **options: object) -> subprocess.CompletedProcess[str]:
    for path, here in (
        ("/var/lib/nginx/tokens", "tokens"), ("/usr/local/lib/wssgate", "lib"), ("/var/log/nginx/wssgate", "log"),
    ):  # fmt: skip
        text = text.replace(path, str(root / here))
    command = ["sh", "-c", text]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("tokens", "log", "lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "log" / "sessions.log").touch()
    library = str(tmp_path / "lib")
    for name, content in wanted_files(Settings("/x", "", 65536, 15, library, "/usr/bin/python3"), "none").items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content)
    return tmp_path


def names(root: Path) -> set[str]:
    return {entry.name for entry in (root / "tokens").iterdir() if entry.name != ENDED}


# Locking a subject out


@pytest.mark.parametrize(("locale", "option"), [("C", ""), ("C.UTF-8", ""), ("C", " -X utf8=0")])
def test_the_command_for_a_subject_works_with_a_name_beyond_ascii_in_every_spelling_of_json(
    root: Path, locale: str, option: str
) -> None:
    spellings = {
        "escaped-token-of-16": json.dumps({"subject": SUBJECT, "expires_at": 2**31}),
        "plain-token-of-16-c": json.dumps({"subject": SUBJECT, "expires_at": 2**31}, ensure_ascii=False),
        "spread-token-of-16c": json.dumps({"subject": SUBJECT}, indent=2),
        "someone-elses-token": json.dumps({"subject": "Jörg"}),
    }
    for name, content in spellings.items():
        (root / "tokens" / name).write_text(content, encoding="utf-8")
    command = block("--subject").replace("client-42", SUBJECT).replace(" -I", " -I" + option)
    done = shell(command, root, env={**os.environ, "LC_ALL": locale})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("removed 3: ") and "ended 0 of 0 open sessions" in done.stdout
    assert names(root) == {"someone-elses-token"}


def test_the_command_for_a_subject_works_with_many_tokens(root: Path) -> None:
    tokens = new_tokens(MANY)
    for number, token in enumerate(tokens):
        fd = os.open(root / "tokens" / token, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b'{"subject":"client-42","expires_at":4000000000}' if number % 7 else b'{"subject":"other"}')
        os.close(fd)
    done = shell(block("--subject"), root)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(root) == set(tokens[::7])


def test_the_command_for_a_token_takes_its_fingerprint(root: Path) -> None:
    tokens = new_tokens(3)
    for token in tokens:
        (root / "tokens" / token).touch()
    (option,) = re.findall(r"`(--fingerprint \"\$.*?)`", GUIDE)
    command = block("--subject").replace("--subject 'client-42'", option)
    done = shell(command, root, env={**os.environ, "TOKEN": tokens[1]})
    assert done.stdout.splitlines()[0] == f"removed 1: {fingerprint(tokens[1])}"
    assert names(root) == {tokens[0], tokens[2]}
    done = shell(command.replace(option, "--fingerprint ''"), root)
    assert done.returncode != 0 and "12 to 64 digits" in done.stderr, "nothing is not everything"
    assert names(root) == {tokens[0], tokens[2]}


# The script that issues tokens


@pytest.fixture
def gate_issue(root: Path) -> Path:
    script = root / "gate-issue"
    script.write_text(block("Takes a subject and a token").replace("/var/lib/nginx/tokens", str(root / "tokens")))
    return script


def issue(
    script: Path, *launcher: str, subject: str = "alice", token: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        [*launcher, "sh", str(script)],
        input=f"{subject} {token}\n",
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


ONE, TWO = "a" * 32, "b" * 32


def test_the_script_issues_a_token_for_an_hour_and_prolongs_none(root: Path, gate_issue: Path) -> None:
    before = int(time.time())
    assert issue(gate_issue, token=ONE).returncode == 0
    document = json.loads((root / "tokens" / ONE).read_text())
    assert document["subject"] == "alice" and before + 3600 <= document["expires_at"] <= time.time() + 3600
    assert (root / "tokens" / ONE).stat().st_mtime == document["expires_at"]
    assert (root / "tokens" / ONE).stat().st_mode & 0o777 == 0o600
    again = issue(gate_issue, subject="mallory", token=ONE)
    assert again.returncode == 1 and again.stderr.startswith("not added:")
    assert ONE not in again.stdout + again.stderr
    for subject, token in (("a/b", TWO), ("alice", "../" + TWO), ("alice", "short")):
        assert issue(gate_issue, subject=subject, token=token).returncode != 0
    assert json.loads((root / "tokens" / ONE).read_text()) == document
    assert names(root) == {ONE}


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of process numbers is for root")
def test_what_a_killed_run_left_changes_no_token_of_a_later_one(root: Path, gate_issue: Path) -> None:
    """Killed between the token's name and the removal of the other; the next run has the same number of process."""
    namespace = ("unshare", "--pid", "--fork", "--kill-child")
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no namespace of process numbers can be made here (CAP_SYS_ADMIN)")
    programs, linked = root / "bin", root / "linked"
    programs.mkdir()
    (programs / "ln").write_text(f'#!/bin/sh\nPATH={os.environ["PATH"]}\nln "$@" && touch {linked} && exec sleep 600\n')
    (programs / "ln").chmod(0o755)
    with subprocess.Popen(
        [*namespace, "sh", str(gate_issue)],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    ) as process:
        assert process.stdin
        process.stdin.write(f"alice {ONE}\n")
        process.stdin.close()
        deadline = time.monotonic() + 20
        while not linked.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    before = (root / "tokens" / ONE).read_text()
    assert len(names(root)) == 2, "the killed run left nothing: the test proves nothing"
    assert issue(gate_issue, *namespace, subject="bob", token=TWO).returncode == 0
    assert (root / "tokens" / ONE).read_text() == before
    assert json.loads((root / "tokens" / TWO).read_text())["subject"] == "bob"
    # What it left goes once its time has passed.
    (left,) = names(root) - {ONE, TWO}
    os.utime(root / "tokens" / left, (1, 1))
    assert issue(gate_issue, token="c" * 32).returncode == 0
    assert names(root) == {ONE, TWO, "c" * 32}
