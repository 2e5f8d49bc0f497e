# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/files/check_wssgate.py as Nagios runs it, with a program in ansible-playbook's place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib.processes import wait_for

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "playbooks" / "files" / "check_wssgate.py"
HEAD = f"""#!{sys.executable}
import json, os, sys, time
given = sys.argv[1:]
report = json.loads(given[-1])["report"]
assert given[0] == "wssgate.nginx.check" and json.loads(given[-1])["output"] == "nagios"
assert os.stat(os.path.dirname(report)).st_mode & 0o777 == 0o700
"""


def program(folder: Path, body: str) -> str:
    path = folder / "ansible-playbook"
    path.write_text(HEAD + body)
    path.chmod(0o755)
    return str(path)


def check(folder: Path, body: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(PLUGIN), "--ansible-playbook", program(folder, body), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.stderr == ""
    assert not list(folder.glob("check_wssgate-*")), "nothing is left behind"
    return done.returncode, done.stdout


@pytest.mark.parametrize("word, code", [("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)])
@pytest.mark.parametrize("end", [0, 2, 4])
def test_the_code_follows_from_the_line_and_not_from_ansible_playbook(
    tmp_path: Path, word: str, code: int, end: int
) -> None:
    line = f"WSSGATE {word} - 1 gate | 'critical'=0"
    body = f'print("PLAY [x]")\nopen(report, "w").write({line!r} + "\\n")\nsys.exit({end})\n'
    assert check(tmp_path, body) == (code, line + "\n")


def test_other_options_are_ansible_playbook_s(tmp_path: Path) -> None:
    body = 'open(report, "w").write("WSSGATE OK - " + " ".join(given[1:-2]))'
    given = ["-i", "hosts", "-l", "gates", "-e", "days=21"]
    assert check(tmp_path, body, *given) == (0, f"WSSGATE OK - {' '.join(given)}\n")


@pytest.mark.parametrize(
    "body, words",
    [
        ("", "the check came to no result: it printed nothing"),
        ('print("ERROR! the playbook | could not be found", file=sys.stderr); sys.exit(1)',
         "the check came to no result: the playbook / could not be found"),
        ('print("[ERROR]: one\\n[ERROR]: Unable to parse x\\n"); sys.exit(1)', "no result: Unable to parse x"),
        ('print(\'fatal: [a]: FAILED! => {"changed": false, "msg": "days must be a number"}\'); sys.exit(2)',
         "no result: days must be a number"),
        # Half a line, or something else
        ('open(report, "w").write("WSSGATE FINE - x")', "the check came to no result"),
        ('open(report, "w").write("WSSGATE OK - x\\nWSSGATE OK - y")', "the check came to no result"),
    ],
)  # fmt: skip
def test_without_a_result_it_is_unknown_and_says_why(tmp_path: Path, body: str, words: str) -> None:
    code, said = check(tmp_path, body)
    assert code == 3 and said.startswith("WSSGATE UNKNOWN - ") and words in said and said.count("\n") == 1


def test_a_program_that_is_not_there_or_an_option_without_its_value_is_unknown(tmp_path: Path) -> None:
    for given, words in (
        (["--ansible-playbook", str(tmp_path / "none")], "none cannot be run: No such file or directory"),
        (["--deadline", "soon"], "--deadline: invalid float value: 'soon'"),
    ):
        done = subprocess.run(
            [sys.executable, str(PLUGIN), *given], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, words in done.stdout) == (3, True), done


def test_what_nobody_expected_is_unknown_in_one_line(tmp_path: Path) -> None:
    """Python would end with 1, which is a warning."""
    code, said = check(tmp_path, 'open(report, "wb").write(b"\\xff")')
    assert code == 3 and said.startswith("WSSGATE UNKNOWN - UnicodeDecodeError: ") and said.count("\n") == 1


def test_letters_that_the_encoding_lacks_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    body = 'open(report, "w", encoding="utf-8").write("WSSGATE CRITICAL - caf\u00e9 \u2026")'
    assert check(tmp_path, body) == (2, "WSSGATE CRITICAL - caf\\xe9 \\u2026\n")


def is_gone(path: Path) -> bool:
    """Whether the process that wrote its number there has ended."""
    number = path.read_text()
    state = Path(f"/proc/{number}/stat")
    return bool(number) and (not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z")


HANGS = """
child = os.fork()
if not child:
    open({path!r}, "w").write(str(os.getpid()))
time.sleep(600)
"""


def test_one_that_hangs_is_unknown_at_the_deadline_and_its_processes_end(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code, said = check(tmp_path, HANGS.format(path=str(child)), "--deadline", "2")
    assert (code, said) == (3, "WSSGATE UNKNOWN - no result within 2 seconds (--deadline)\n")
    wait_for(lambda: is_gone(child))


def test_nagios_gives_up_and_nothing_goes_on(tmp_path: Path) -> None:
    """Its own time limit comes as SIGTERM."""
    child = tmp_path / "child"
    command = [sys.executable, str(PLUGIN), "--ansible-playbook", program(tmp_path, HANGS.format(path=str(child)))]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    wait_for(lambda: child.exists() and child.read_text())
    started.send_signal(signal.SIGTERM)
    said = started.communicate(timeout=30)[0]
    assert (started.returncode, said) == (3, "WSSGATE UNKNOWN - ended by signal 15\n")
    wait_for(lambda: is_gone(child))
    assert not list(tmp_path.glob("check_wssgate-*"))
