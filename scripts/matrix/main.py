# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection on every ansible-core, Python and Debian that it is for: main.py [--only CORE…] [--write]

Each ansible-core has a virtual environment of its own, on a Python of this machine or in a container of Debian's. It
runs the plugins' unit tests, ansible-test's sanity tests, a syntax check of every playbook, and on a container that it
reaches over SSH: `site` (a dry run, a run, one that must change nothing), a token's life, `check` and `drain`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fcntl
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import checks
import plan
import table
from controllers import CHILDREN, FOLDER, LOGS, ROOT, TREE, Controller, MatrixError, build_images
from hosts import Host
from table import Result

SUPPORT = ROOT / "docs" / "support.md"
START = time.monotonic()
PRINTING = threading.Lock()


def say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - START), 60)
    with PRINTING:
        print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)


@dataclass
class Job:
    """One check of one row; `row` is asked when it is done, for what only it has found out."""

    name: str
    check: str
    row: Callable[[], tuple[str, ...]]
    run: Callable[[], str]

    def result(self) -> Result:
        say(f"start  {self.name}")
        start = time.monotonic()
        try:
            outcome, is_passed = self.run(), True
        except (MatrixError, OSError, subprocess.SubprocessError) as error:
            outcome, is_passed = str(error), False
        seconds = time.monotonic() - start
        say(f"{'passed' if is_passed else 'FAILED'} {self.name} in {seconds:.0f} s: {outcome}")
        return Result(self.row(), self.check, outcome, seconds, is_passed)


@dataclass
class Matrix:
    """What there is to do, and what came of it."""

    machine: dict[str, plan.Interpreter]
    jobs_at_once: int
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)

    def choose(self, names: list[str]) -> None:
        for core in plan.CORES:
            if names and core.name not in names:
                continue
            if (interpreter := plan.choose(core, self.machine)) is None:
                self.left_out.append(f"ansible-core {core.name}: wants Python {' or '.join(core.pythons)}")
                self.failed.append(core.name)
                continue
            self.controllers.append(Controller(core, interpreter))

    def releases(self) -> list[str]:
        found = {controller.interpreter.release for controller in self.controllers}
        return sorted({*found, *(one for controller in self.controllers for one in controller.core.hosts)} - {""})

    def together(self, what: Callable[[object], object], ones: list) -> list:
        with concurrent.futures.ThreadPoolExecutor(self.jobs_at_once) as pool:
            return list(pool.map(what, ones))

    def prepare(self) -> None:
        say("Images of Debian " + ", ".join(self.releases()))
        build_images(self.releases())
        say("Virtual environments: " + ", ".join(controller.name for controller in self.controllers))
        self.together(self._prepare, self.controllers)
        self.controllers = [one for one in self.controllers if one.version]

    def _prepare(self, controller: Controller) -> None:
        try:
            controller.start()
            controller.install()
            say(f"ansible-core {controller.version} on Python {controller.interpreter.version}")
        except MatrixError as error:
            # A pre-release is not always there.
            if controller.core.name == plan.PRE_RELEASE and "No matching distribution" in self._log(controller):
                self.left_out.append(f"a pre-release of ansible-core: there is none newer than {plan.MAIN}")
            else:
                say(f"FAILED ansible-core {controller.core.name}: {error}")
                self.failed.append(f"ansible-core {controller.core.name}")

    @staticmethod
    def _log(controller: Controller) -> str:
        return (LOGS / f"{controller.core.name}-install.log").read_text(errors="replace")

    # -- jobs: the long ones first

    def jobs_of_cores(self) -> list[Job]:
        found = []
        for check, run in (("sanity", checks.sanity), ("unit tests", checks.units), ("syntax", checks.syntax)):
            for one in self.controllers:
                row = (one.version, f"{one.interpreter.version} ({one.interpreter.place})")
                name = f"ansible-core {one.version}: {check}"
                found.append(Job(name, check, lambda row=row: row, lambda one=one, run=run: run(one)))
        return found

    def jobs_of_hosts(self) -> list[Job]:
        found = []
        for one in self.controllers:
            for release in one.core.hosts:
                if reason := plan.excess_of_the_host(release, one.pythons):
                    self.left_out.append(f"ansible-core {one.version} with a host of Debian {release}: {reason}")
                    continue
                found.append(self._job_of_host(one, Host(f"{one.core.name}-debian{release}", release)))
            if one.core.is_docker and not one.interpreter.release:
                release = one.core.hosts[0]
                found.append(self._job_of_host(one, Host(f"{one.core.name}-docker", release, is_docker=True)))
            elif one.core.is_docker:
                self.left_out.append(f"ansible-core {one.version} by the Docker connection: it runs in a container")
        return found

    @staticmethod
    def _job_of_host(one: Controller, host: Host) -> Job:
        python = plan.DEBIAN_PYTHONS[host.release]

        def row() -> tuple[str, ...]:
            return (f"Debian {host.release}", host.nginx, python, one.version, host.way)

        name = f"ansible-core {one.version}: Debian {host.release} by {host.way}"
        return Job(name, "site to drain", row, checks.Deployment(one, host).run)

    def jobs_of_modules(self) -> list[Job]:
        """Pythons that only hosts have. The others have run these tests as a controller's."""
        one = next((one for one in self.controllers if one.core.name == plan.OLDEST_HOSTS), None)
        if one is None:
            return []
        found = []
        controllers = {version for core in plan.CORES for version in core.pythons}
        for version in plan.MODULE_PYTHONS:
            if version in controllers:
                continue
            if one.interpreter.release or version not in self.machine:
                self.left_out.append(f"unit tests of modules on Python {version}: this machine has none")
                continue
            program = self.machine[version].program
            found.append(
                Job(
                    f"Python {version}: unit tests of modules",
                    "unit tests of modules",
                    lambda version=version: (version, one.version),
                    lambda version=version, program=program: checks.units_of_modules(one, version, program),
                )
            )
        return found

    def run(self) -> str:
        # What everybody sees first comes first.
        groups = [self.jobs_of_hosts(), self.jobs_of_cores(), self.jobs_of_modules()]
        jobs = [job for group in groups for job in group]
        results = self.together(Job.result, jobs)
        self.failed += [job.name for job, result in zip(jobs, results, strict=True) if not result.is_passed]
        ends = [sum(len(group) for group in groups[:count]) for count in range(4)]
        hosts, cores, modules = (results[low:high] for low, high in zip(ends, ends[1:], strict=False))
        return table.text(cores, hosts, modules, self.left_out)

    def remove(self) -> None:
        for one in self.controllers:
            one.stop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [core.name for core in plan.CORES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CORE", default=[], help=", ".join(names))
    parser.add_argument("--containers", action="store_true", help="use no interpreter of this machine")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/support.md, if all passed")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if LOGS.exists():
        shutil.rmtree(LOGS)
    LOGS.mkdir(parents=True)

    def stop(*_arguments: object) -> None:
        # Not in the handler itself: what it interrupts may hold the lock that it needs.
        threading.Thread(target=CHILDREN.stop).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("== Another `make matrix` of this checkout is at work", file=sys.stderr)
            return 1
        subprocess.run([str(ROOT / "scripts" / "copy.sh"), str(TREE)], check=True)
        matrix = Matrix({} if given.containers else plan.on_this_machine(), given.jobs)
        matrix.choose(given.only)
        try:
            matrix.prepare()
            text = matrix.run()
        except MatrixError as error:
            print(f"== {error}", file=sys.stderr)
            return 1
        finally:
            matrix.remove()
    print(f"\n{text}\n", flush=True)
    if matrix.failed:
        say(f"Failed: {', '.join(matrix.failed)}; logs in {LOGS.relative_to(ROOT)}")
        return 1
    if given.write and not given.only:
        table.write(SUPPORT, text)
    say("Everything passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
