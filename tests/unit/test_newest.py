# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tests run, and that what runs in a container ends with its caller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a run by newest.sh has for itself
OWN = ("PYTHON", "WSSGATE_VENV", "WSSGATE_CONTAINER")
RUN_AND_END = ROOT / "scripts" / "newest" / "run-and-end"


def run_and_end(*command: str, seconds_to_end: int = 60) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(RUN_AND_END), *command],
        env={**os.environ, "SECONDS_TO_END": str(seconds_to_end)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_command_runs_on_this_machine_where_its_python_is_new_enough(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "exit 0")
    # What would answer for a container does not.
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    environment |= {"PYTHON": str(python), "DOCKER_HOST": "tcp://127.0.0.1:9"}
    found = subprocess.run(
        [str(ROOT / "scripts" / "newest.sh"), "sh", "-c", "echo here; exit 7"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout.splitlines()[-1]) == (7, "here"), found.stderr


def test_a_python_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    found = subprocess.run(
        [str(ROOT / "scripts" / "newest.sh"), "true"],
        env={**os.environ, "PYTHON": str(tmp_path / "python")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (1, "") and "there is no such program" in found.stderr


@pytest.mark.parametrize(
    "code, environment",
    [
        pytest.param(1, {}, id="python-is-too-old"),
        pytest.param(0, {"WSSGATE_CONTAINER": "1"}, id="asked-for"),
    ],
)
def test_a_command_wants_this_machine_s_engine_otherwise(
    tmp_path: Path, code: int, environment: dict[str, str]
) -> None:
    python = program(tmp_path / "python", f"exit {code}")
    found = subprocess.run(
        [str(ROOT / "scripts" / "newest.sh"), "echo", "here"],
        env={**os.environ, "PYTHON": str(python), "DOCKER_HOST": "tcp://127.0.0.1:9", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1 and "here" not in found.stdout
    assert "The tests' Docker Engine has to run on this machine" in found.stderr


def test_the_exit_code_of_a_command_is_that_of_the_container() -> None:
    child = run_and_end("sh", "-c", "echo said; exit 7")
    assert child.stdout is not None
    assert child.stdout.read() == "said\n"
    assert child.wait(20) == 7


def test_a_command_has_no_input_of_its_callers() -> None:
    child = run_and_end("cat")
    assert child.wait(20) == 0


@pytest.mark.parametrize(
    "command, code",
    [
        pytest.param("exec sleep 60", 128 + 15, id="ends"),
        pytest.param("trap 'exit 4' TERM; echo ready; while :; do sleep 0.1; done", 4, id="removes-what-it-has-made"),
        pytest.param("trap : TERM; echo ready; for one in $(seq 600); do sleep 0.1; done", -9, id="does-not-end"),
    ],
)
def test_a_command_is_asked_to_end_when_its_caller_is_gone(command: str, code: int) -> None:
    child = run_and_end("bash", "-c", f"echo $$; {command}", seconds_to_end=1)
    assert child.stdin is not None
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    try:
        if "ready" in command:
            child.stdout.readline()
        child.stdin.close()
        assert child.wait(20) == code
    finally:
        # A container takes it along.
        subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("echo Python 3.10.0", id="another-python"),
        pytest.param(f'exec {sys.executable} "$@"', id="interrupted-before-pip"),
    ],
)
def test_an_environment_that_is_not_whole_is_made_anew(tmp_path: Path, text: str) -> None:
    environment = tmp_path / "environment"
    program(environment / "bin" / "python", text)
    empty = tmp_path / "requirements.txt"
    empty.touch()
    subprocess.run(
        [str(ROOT / "scripts" / "venv.sh"), str(environment), str(empty)],
        env={**os.environ, "PYTHON": sys.executable, "WSSGATE_CACHE": str(tmp_path)}, check=True, timeout=300,
    )  # fmt: skip
    command = [str(environment / "bin" / "python"), "-c", "import pip, sys; print(sys.prefix, sys.version)"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert found == f"{environment} {sys.version}"
