# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts share: files of an artifact, paths that cannot work, locks of several users; and the whole proof."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # A test's checkout has a cache of its own.
    own = {name: value for name, value in os.environ.items() if name not in ("WSSGATE_CACHE", "WSSGATE_VENV")}
    return subprocess.run(
        command, cwd=cwd, env={**own, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with these scripts and a file that git knows, one that it does not know, and one that it ignores."""
    found = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", found / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (found / ".gitignore").write_text("ignored\n")
    for name in ("known", ".env", "ignored"):
        (found / name).write_text("x\n")
    for command in (("init", "-q"), ("add", "scripts", "known", ".gitignore")):
        assert run("git", *command, cwd=found).returncode == 0
    return found


def copied(checkout: Path, target: Path, *options: str) -> set[str]:
    done = run(str(checkout / "scripts" / "copy.sh"), *options, str(target), cwd=checkout, HOME=str(checkout.parent))
    assert done.returncode == 0, done.stderr
    return {path.name for path in target.iterdir()}


def test_an_artifact_is_made_of_what_git_knows(checkout: Path, tmp_path: Path) -> None:
    assert copied(checkout, tmp_path / "copy", "--known") == {"scripts", "known", ".gitignore"}
    for name in ("galaxy.sh", "certification.sh"):
        assert 'copy.sh" --known "$source"' in (ROOT / "scripts" / name).read_text(encoding="utf-8")


def test_a_copy_for_tests_has_what_is_not_committed_yet(checkout: Path, tmp_path: Path) -> None:
    assert copied(checkout, tmp_path / "copy") == {"scripts", "known", ".gitignore", ".env"}


@pytest.mark.parametrize("name", ["a b", "a:b"])
def test_a_path_that_make_or_docker_would_cut_is_refused(checkout: Path, tmp_path: Path, name: str) -> None:
    moved = checkout.rename(tmp_path / name)
    done = run(str(moved / "scripts" / "copy.sh"), str(tmp_path / "copy"), cwd=tmp_path, HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "") and "A path with a blank or a colon does not work" in done.stderr
    assert not (tmp_path / "copy").exists()


def test_a_lock_of_another_user_is_taken_as_it_is(tmp_path: Path) -> None:
    lock = tmp_path / "wssgate-x.lock"
    lock.write_text("somebody's")
    lock.chmod(0o444)
    text = f'. {ROOT}/scripts/lib.sh; exec 9<"$(lock_file x)"; flock 9; lock_file y'
    done = run("bash", "-euc", text, "lib.sh", cwd=ROOT, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "wssgate-y.lock")), done.stderr
    assert lock.read_text() == "somebody's"
    assert (tmp_path / "wssgate-y.lock").stat().st_mode & 0o777 == 0o644


# As the matrix ends when it is interrupted
CUT_OFF = "trap 'kill $!; exit 130' INT; sleep 60 & wait"


@pytest.mark.parametrize(
    ("seconds", "ends", "code", "asked", "words"),
    [
        (120, {}, 0, ["test", "--minutes 68"], ""),
        (49 * 60, {}, 0, ["test", "--minutes 21"], ""),
        (50 * 60, {}, 0, ["test"], "make matrix is skipped: make test has taken 50 minutes"),
        (120, {"make": "exit 2"}, 2, ["test"], ""),
        (120, {"matrix.sh": "exit 1"}, 1, ["test", "--minutes 68"], ""),
        (120, {"matrix.sh": CUT_OFF}, 0, ["test", "--minutes 68"], "cut off, and nothing had failed until then"),
        (120, {"matrix.sh": CUT_OFF.replace("130", "1")}, 1, ["test", "--minutes 68"], ""),
    ],
    ids=["quick", "slow", "too slow", "a test failed", "the matrix failed", "cut off", "cut off with a failure"],
)
def test_the_whole_proof_has_the_matrix_where_there_is_time(
    tmp_path: Path, seconds: int, ends: dict[str, str], code: int, asked: list[str], words: str
) -> None:
    (tmp_path / "checkout/.ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "checkout/.ci/run")
    for folder, name in (("bin", "make"), ("checkout/scripts", "matrix.sh")):
        path = tmp_path / folder / name
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n{ends.get(name, "")}\n')
        path.chmod(0o755)
    # What stands for minutes: the program is asked to end after a second of them.
    timeout = tmp_path / "bin" / "timeout"
    timeout.write_text(f'#!/bin/sh\nexec {shutil.which("timeout")} $(echo "$*" | sed -E "s/ [0-9]+m / 0.5 /")\n')
    timeout.chmod(0o755)
    # bash counts its seconds on from what it is given.
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SECONDS": str(seconds)}
    done = run(str(tmp_path / "checkout/.ci/run"), cwd=tmp_path, **environment)
    assert (done.returncode, (tmp_path / "asked").read_text().splitlines()) == (code, asked), done.stderr
    assert words in done.stdout
