# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the pruner of this host is there, runs and works."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
import typing as t

from .._host.run import ProgramError, run
from .prune import DONE, IDENTITY
from .service import IDENTITY as AGENT_IDENTITY
from .install import CRON, UNITS

TIMER = IDENTITY + ".timer"
SERVICE = IDENTITY + ".service"
AGENT = AGENT_IDENTITY + ".service"
JOURNAL_LINES = 5
# Seconds that a run under way is waited for, and between two looks.
RUN_PATIENCE, PAUSE = 30.0, 0.1
CRON_DAEMONS = ("cron", "crond")
REMEDY = "run wssgate.nginx.site"


class State(t.NamedTuple):
    scheduler: str  # agent, systemd, cron or none
    problems: t.List[str]


def _properties(unit: str, *names: str) -> t.Dict[str, str]:
    _code, output, _errors = run(["systemctl", "show", unit, "--property=" + ",".join(names)])
    pairs = (line.partition("=") for line in output.splitlines())
    return {name: value for name, _sign, value in pairs}


def last_run(unit: str = SERVICE) -> t.Tuple[int, t.List[str]]:
    """Return the exit code of the service's last run, 0 before the first one, and what it reported."""
    deadline = time.monotonic() + RUN_PATIENCE
    while True:
        found = _properties(unit, "ActiveState", "Result", "ExecMainStatus", "InvocationID")
        # While it runs these tell of a success that has not come yet.
        if found.get("ActiveState") not in ("activating", "deactivating") or time.monotonic() > deadline:
            break
        time.sleep(PAUSE)
    status = found.get("ExecMainStatus", "")
    code = int(status) if status.isdigit() else DONE
    if code == DONE and found.get("Result", "success") != "success":
        code = -1  # not started, or ended by a signal or a time limit
    if code == DONE:
        return code, []
    lines = []
    if found.get("InvocationID"):
        _code, output, _errors = run(
            [
                "journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={JOURNAL_LINES}",
                "_SYSTEMD_INVOCATION_ID=" + found["InvocationID"],
            ]
        )  # fmt: skip
        lines = output.splitlines()
    if not lines and code == 203:
        lines = ["systemd cannot run its interpreter"]
    return code, lines or [f"result {found.get('Result', 'unknown')}"]


def agent_problems() -> t.List[str]:
    """What the agent cannot do, by its own word."""
    _sum, *problems = _properties(AGENT, "StatusText").get("StatusText", "").split("; ")
    return problems


def look() -> State:
    """What is wrong with the pruner of this host; nothing where it runs and its last run did all of it."""
    if os.path.exists(f"{UNITS}/{AGENT}"):
        return State("agent", _agent_problems())
    if os.path.exists(f"{UNITS}/{TIMER}"):
        return State("systemd", _systemd_problems())
    if os.path.exists(f"{CRON}/{IDENTITY}"):
        return State("cron", _cron_problems())
    return State("none", [f"nothing removes expired tokens here: {REMEDY}, or see token_store_pruner"])


def _agent_problems() -> t.List[str]:
    found = _properties(AGENT, "LoadState", "ActiveState", "UnitFileState")
    if found.get("ActiveState") != "active":
        code, lines = last_run(AGENT)
        return [
            f"the agent does not run ({found.get('LoadState', 'unknown')}, {found.get('ActiveState', 'unknown')}, "
            f"exit code {code}): {'; '.join(lines) or 'it reports nothing'}: {REMEDY}"
        ]
    problems = agent_problems()
    if found.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        problems.append(f"the agent does not start at the next boot: {REMEDY}")
    return problems


def _systemd_problems() -> t.List[str]:
    problems = []
    timer = _properties(TIMER, "LoadState", "ActiveState", "UnitFileState")
    if timer.get("ActiveState") != "active":
        problems.append(
            f"the timer of the pruner does not run ({timer.get('LoadState', 'unknown')}, "
            f"{timer.get('ActiveState', 'unknown')}): {REMEDY}"
        )
    elif timer.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        problems.append(f"the timer of the pruner does not start at the next boot: {REMEDY}")
    code, lines = last_run()
    if code != DONE:
        problems.append(f"the last run of the pruner ended with {code}: {'; '.join(lines)}")
    return problems


def _cron_problems() -> t.List[str]:
    problems = []
    if not _runs(CRON_DAEMONS):
        problems.append("cron does not run, so nothing removes expired tokens")
    command = _cron_command()
    if not command:
        problems.append(f"{CRON}/{IDENTITY} holds no command: {REMEDY}")
        return problems
    # Its help, which needs the interpreter and all of its code, and changes nothing.
    try:
        code, output, errors = run([*command, "--help"])
    except ProgramError as error:
        problems.append(f"the pruner cannot be run: {error}")
        return problems
    if code != DONE:
        problems.append(f"the pruner cannot be run ({code}): {(errors or output).strip()}")
    return problems


def _cron_command() -> t.List[str]:
    """The interpreter and the program of the crontab's one line."""
    with contextlib.suppress(OSError, ValueError), open(f"{CRON}/{IDENTITY}", encoding="utf-8") as file:
        for line in file:
            words = [] if line.startswith("#") else shlex.split(line)
            # "timeout -k SECONDS SECONDS" stands before the interpreter.
            start = 10 if words[6:7] == ["timeout"] else 6
            if len(words) > start + 2:
                return words[start : start + 3]
    return []


def _runs(names: t.Container[str]) -> bool:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/comm", "rb") as file:
                if file.read().decode("utf-8", "replace").strip() in names:
                    return True
    return False
