# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection on every ansible-core, Python and Debian that it is for: main.py --help

Each ansible-core has a virtual environment of its own, on a Python of this machine or in a container of Debian's. It
runs the plugins' unit tests, ansible-test's sanity tests, a syntax check of every playbook, and on a container that it
reaches over SSH: `site` (a dry run, a run, one that must change nothing), a token's life, `check` and `drain`.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import shutil
import signal
import sys
import threading

import plan
import table
from controllers import CHECKOUT, FOLDER, LOGS, TREE
from jobs import Matrix, say
from processes import CHILDREN, ROOT, MatrixError, remove_containers
from table import Sheet

# Each with a program's last lines
MOST_REASONS = 5
SUPPORT = ROOT / "docs" / "support.md"


def positive(text: str) -> float:
    if not (number := float(text)) > 0:
        raise ValueError(text)
    return number


def at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [core.name for core in plan.CORES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CORE", default=[], help=", ".join(names))
    parser.add_argument("--containers", action="store_true", help="use no interpreter of this machine")
    parser.add_argument("--minutes", type=positive, default=math.inf, help="start nothing more after so many")
    parser.add_argument("--jobs", type=at_least_one, default=3, help="how many at once (3)")
    parser.add_argument("--write", action="store_true", help="write what passed into docs/support.md")
    return parser.parse_args()


def clear_logs(names: list[str]) -> None:
    """Those of the versions that are to run."""
    if not names and LOGS.exists():
        shutil.rmtree(LOGS)
    LOGS.mkdir(parents=True, exist_ok=True)
    for name in names:
        for path in LOGS.glob(f"{name}-*.log"):
            path.unlink()


def stop(*_arguments: object) -> None:
    # Not in the handler itself: what it interrupts may hold the lock that it needs.
    threading.Thread(target=CHILDREN.stop).start()


def run(given: argparse.Namespace) -> int:
    """The exit code. Whatever happens, no container and no program is left."""
    matrix = Matrix({} if given.containers else plan.on_this_machine(), given.jobs, given.minutes)
    try:
        remove_containers()
        for folder in (TREE, CHECKOUT):
            if CHILDREN.run([str(ROOT / "scripts" / "copy.sh"), str(folder)], 120):
                raise MatrixError(f"The collection could not be copied to {folder}")
        matrix.choose(given.only)
        matrix.prepare()
        sheet = matrix.run()
    except MatrixError as error:
        say(str(error))
        return 130 if CHILDREN.is_stopping else 1
    finally:
        CHILDREN.end_leftovers()
        matrix.remove()
        remove_containers()
    return report(matrix, sheet, given)


def report(matrix: Matrix, sheet: Sheet, given: argparse.Namespace) -> int:
    if not CHILDREN.is_stopping:
        print(f"\n{sheet.text}\n", flush=True)
    for reason in matrix.reasons[:MOST_REASONS]:
        say(reason)
    if CHILDREN.is_stopping:
        say("Interrupted; nothing was written")
        # Whoever cuts a run off is to know whether it was good so far.
        return 1 if matrix.reasons else 130
    unsteady = ", ".join(job.name for job in matrix.unsteady)
    if given.write and matrix.passed:
        table.write(SUPPORT, sheet, matrix.passed)
        say(f"Written into {SUPPORT.relative_to(ROOT)}: {', '.join(matrix.passed)}")
    if matrix.failed:
        failed = ", ".join(one for found in matrix.failed.values() for one in found)
        say(f"Failed: {failed}; logs in {LOGS.relative_to(ROOT)}")
        # What a new pre-release breaks is told on the way, and stops no other work unless it was asked for.
        return 0 if not given.only and set(matrix.failed) == {plan.PRE_RELEASE} else 1
    if unsteady:
        say(f"Passed alone, failed beside others, and so not written: {unsteady}")
    elif not matrix.unfinished:
        say("Everything passed")
    elif matrix.passed:
        say(f"Passed whole: {', '.join(matrix.passed)}; for the rest there was no time")
    else:
        say("No version was run whole: there was no time for it")
    return 0


def main() -> int:
    given = arguments()
    # What a program prints is told, whatever the terminal can show of it.
    sys.stdout.reconfigure(errors="backslashreplace")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("== Another `make matrix` of this checkout is at work", file=sys.stderr)
            return 1
        clear_logs(given.only)
        return run(given)


if __name__ == "__main__":
    sys.exit(main())
