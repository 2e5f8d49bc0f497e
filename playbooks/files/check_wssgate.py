# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbook wssgate.nginx.check as a plugin of Nagios or Icinga does: one line, and one of four exit codes.

    python3 check_wssgate.py -i /etc/wssgate/inventory.yml --limit gates --deadline 120 -e days=21

ansible-playbook cannot do it alone. It prints its own lines before any result, it ends with 2 for whatever failed and
with 4 for a host that cannot be reached, and 1, a warning's code, is what it ends with where a playbook cannot be read.
So the playbook writes the line to a file, and the code follows from the line: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
Without a line the code is 3, with the last error that ansible-playbook printed.

Options other than these are ansible-playbook's own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

CODES = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
LINE = re.compile(r"WSSGATE (OK|WARNING|CRITICAL|UNKNOWN) - [^\n]+\n?")
# As ansible-core before 2.19 and since has it
ERROR = re.compile(r"""^(?:ERROR!|\[ERROR\]:) *(.+)$|"msg": "(.+?)"[,}]""", re.MULTILINE)
WIDTH = 300
# Seconds that ansible-playbook has to end its connections once it was told to
GRACE = 5


class UnknownError(Exception):
    """The check came to no result."""


def arguments(given: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those for ansible-playbook."""
    parser = argparse.ArgumentParser(
        description="Runs playbook wssgate.nginx.check as a plugin of Nagios or Icinga does.",
        epilog="All other options go to ansible-playbook.",
        allow_abbrev=False,
    )
    parser.add_argument("--deadline", type=float, default=300, metavar="SECONDS", help="end with UNKNOWN then; 300")
    parser.add_argument("--ansible-playbook", metavar="PATH", help="the program; by default the one in PATH")
    # argparse would end with 2, which is critical.
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    return parser.parse_known_args(given)


def _refuse(message: str) -> None:
    raise UnknownError(message)


def program(name: str | None) -> str:
    """The path of ansible-playbook."""
    beside = Path(sys.executable).with_name("ansible-playbook")
    found = name or shutil.which("ansible-playbook") or (str(beside) if beside.exists() else None)
    if not found:
        raise UnknownError("ansible-playbook is not in PATH: name it with --ansible-playbook")
    return found


def run(command: list[str], seconds: float) -> str:
    """Run it, and return what it printed."""
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOWS": "1"}
    try:
        # In a session of its own: it has workers and connections, which have to end with it.
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise UnknownError(f"{command[0]} cannot be run: {error.strerror}") from error
    try:
        return started.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired as error:
        _end(started)
        raise UnknownError(f"no result within {seconds:g} seconds (--deadline)") from error
    except BaseException:
        _end(started)
        raise


def _end(started: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.communicate(timeout=GRACE)
            return


def last_error(printed: str) -> str:
    """What ansible-playbook says went wrong, in one line."""
    words = re.findall(ERROR, printed)
    text = "".join(words[-1]) if words else next(iter(reversed(printed.strip().splitlines())), "it printed nothing")
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def check(given: list[str]) -> str:
    """Return the line."""
    options, rest = arguments(given)
    command = program(options.ansible_playbook)
    # For its owner alone
    with tempfile.TemporaryDirectory(prefix="check_wssgate-") as folder:
        report = Path(folder) / "line"
        printed = run(
            # The last -e counts.
            [command, "wssgate.nginx.check", *rest, "-e", json.dumps({"output": "nagios", "report": str(report)})],
            options.deadline,
        )
        line = report.read_text(encoding="utf-8") if report.exists() else ""
    if not LINE.fullmatch(line):
        raise UnknownError(f"the check came to no result: {last_error(printed)}")
    return line.strip()


def _stop(number: int, _frame: object) -> None:
    raise UnknownError(f"ended by signal {number}")


def main() -> int:
    # Who runs it gives up some time. What it has started must not go on, and the folder must not stay.
    signal.signal(signal.SIGTERM, _stop)
    try:
        line = check(sys.argv[1:])
    except Exception as error:  # without a folder for the report, say; Python would end with 1, which is a warning
        words = str(error) if isinstance(error, UnknownError) else f"{type(error).__name__}: {error}"
        line = f"WSSGATE UNKNOWN - {' '.join(words.split()).replace('|', '/')}"
    # Whatever letters the terminal's encoding lacks
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    print(line)
    return CODES[line.split()[1]]


if __name__ == "__main__":
    sys.exit(main())
