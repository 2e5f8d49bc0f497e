# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that are run on a host."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._host.run import ProgramError, run

either_way = pytest.mark.parametrize("leaves_daemon", [False, True], ids=["pipes", "file"])


def is_running(pid_file: Path) -> bool:
    """Whether the process lives whose number is in a file; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until_it_ended(pid_file: Path) -> None:
    end = time.monotonic() + 10
    while is_running(pid_file) and time.monotonic() < end:
        time.sleep(0.01)
    assert not is_running(pid_file)


@either_way
def test_a_program_gets_no_environment_input_or_terminal_of_the_caller(
    leaves_daemon: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NGINX", "3;")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    told = "import os, sys; print(sorted(os.environ), os.environ['LC_ALL'], os.getcwd(), [sys.stdin.read()])"
    former, (ours, theirs) = os.dup(0), os.pipe()
    os.write(theirs, b"what was typed")
    os.close(theirs)
    os.dup2(ours, 0)
    try:
        finished = run([sys.executable, "-I", "-c", told], 10, leaves_daemon=leaves_daemon)
    finally:
        os.dup2(former, 0)
        os.close(former)
        os.close(ours)
    assert finished.status == 0
    # LC_CTYPE is what Python makes of the C locale.
    assert finished.output.replace("'LC_CTYPE', ", "") == "['HOME', 'LC_ALL', 'PATH'] C / ['']\n"


def test_status_and_both_streams_come_back() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2; exit 4"]) == (4, "out\n", "err\n")


@pytest.mark.parametrize("options", [{"joined": True}, {"leaves_daemon": True}])
def test_joined_streams_keep_their_order(options: dict[str, bool]) -> None:
    assert run(["sh", "-c", "echo 1; echo 2 >&2; echo 3"], **options) == (0, "1\n2\n3\n", "")


def test_a_daemon_that_keeps_the_output_open_does_not_hold_up_the_caller_and_stays(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    begin = time.monotonic()
    finished = run(["sh", "-c", f"echo said; sleep 60 & echo $! > {pid}; exit 4"], 50, leaves_daemon=True)
    try:
        assert finished == (4, "said\n", "")
        assert time.monotonic() - begin < 30
        assert is_running(pid)
    finally:
        os.kill(int(pid.read_text()), 9)


@either_way
def test_a_program_that_does_not_end_is_ended_and_named(leaves_daemon: bool, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ProgramError, match=r"\Ash -c .* did not end within 0.5 seconds\Z") as error:
        run(["sh", "-c", f"echo $$ > {pid}; exec sleep 60"], 0.5, leaves_daemon=leaves_daemon)
    assert (error.value.program, error.value.is_missing) == ("sh", False)
    wait_until_it_ended(pid)


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ProgramError, match="did not end within"):
        run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], 0.5)
    wait_until_it_ended(pid)


def test_a_program_that_closes_its_streams_is_waited_for_no_longer_either(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ProgramError, match="did not end within"):
        run(["sh", "-c", f"echo $$ > {pid}; exec >&- 2>&-; exec sleep 60"], 0.5)
    wait_until_it_ended(pid)


@either_way
def test_more_output_than_was_asked_for_is_an_error_and_not_cut(leaves_daemon: bool) -> None:
    command = ["sh", "-c", "printf 12345; printf 67890 >&2"]
    assert run(command, output_limit=10, leaves_daemon=leaves_daemon).status == 0
    with pytest.raises(ProgramError, match="wrote more than 9 bytes"):
        run(command, output_limit=9, leaves_daemon=leaves_daemon)


def test_a_program_that_never_stops_writing_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ProgramError, match="wrote more than 1048576 bytes"):
        run(["sh", "-c", f"echo $$ > {pid}; exec yes"], 60)
    wait_until_it_ended(pid)


@either_way
def test_a_missing_program_is_named(leaves_daemon: bool) -> None:
    with pytest.raises(HostError, match=r"\Acannot run no-such-program: No such file or directory\Z") as error:
        run(["no-such-program", "--argument"], leaves_daemon=leaves_daemon)
    assert isinstance(error.value, ProgramError) and error.value.is_missing


def test_a_program_that_may_not_be_run_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="Permission denied") as error:
        run([str(tmp_path)])
    assert not error.value.is_missing


def test_a_long_command_is_shown_by_its_beginning() -> None:
    with pytest.raises(ProgramError) as error:
        run(["sleep", "60", *["0"] * 500], 0.2)
    assert len(str(error.value)) < 200
