# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to do, several at once, and what came of it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import checks
import plan
from controllers import LOGS, Controller, build_images
from hosts import Host
from processes import CHILDREN, MatrixError
from table import Result, Sheet

START = time.monotonic()
# Where more fail, it is no machine that had too much to do.
MOST_TO_REPEAT = 3
TODAY = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
PRINTING = threading.Lock()


def say(text: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - START), 60)
    # A terminal that is gone must not keep containers from being removed.
    with PRINTING, contextlib.suppress(OSError):
        print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)


@dataclass
class Job:
    """One check of one row; `row` is asked when it is done, for what only it has found out."""

    core: str
    name: str
    check: str
    row: Callable[[], tuple[str, ...]]
    run: Callable[[], str]

    def result(self, *, is_second: bool = False) -> Result:
        start = time.monotonic()
        try:
            CHILDREN.go_on()
            say(f"{'again ' if is_second else 'start '} {self.name}")
            outcome, is_passed = self.run(), True
        # Whatever a broken gate makes of a check: the others' results count.
        except Exception as error:
            outcome, is_passed = str(error) or type(error).__name__, False
        seconds = time.monotonic() - start
        if not CHILDREN.is_stopping:
            say(f"{'passed' if is_passed else 'FAILED'} {self.name} in {seconds:.0f} s: {outcome}")
        return Result(self.row(), self.check, outcome, seconds, is_passed)


@dataclass
class Matrix:
    """What there is to do, and what came of it."""

    machine: dict[str, plan.Interpreter]
    jobs_at_once: int
    # After so many nothing more is started.
    minutes: float = math.inf
    left_out: list[str] = field(default_factory=list)
    # What failed, by the version's name
    failed: dict[str, list[str]] = field(default_factory=dict)
    # Versions that have not done everything, as there was no time for it
    unfinished: set[str] = field(default_factory=set)
    # Jobs that failed beside other checks and passed alone
    unsteady: list[Job] = field(default_factory=list)
    # Why anything failed that was not interrupted
    reasons: list[str] = field(default_factory=list)
    cores: list[plan.Core] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)

    def fail(self, core: str, what: str) -> None:
        self.failed.setdefault(core, []).append(what)

    @property
    def passed(self) -> list[str]:
        """Versions whose rows may be written: everything passed, and at first."""
        unsteady = {job.core for job in self.unsteady}
        return [core.name for core in self.cores if core.name not in {*self.failed, *self.unfinished, *unsteady}]

    def choose(self, names: list[str]) -> None:
        self.cores = [core for core in plan.CORES if not names or core.name in names]
        for core in self.cores:
            if (interpreter := plan.choose(core, self.machine)) is None:
                self.fail(core.name, f"ansible-core {core.name}: wants Python {' or '.join(core.pythons)}")
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
                self.left_out.append(f"ansible-core {plan.PRE_RELEASE}: there is none newer than {plan.MAIN}")
            else:
                say(f"FAILED ansible-core {controller.core.name}: {error}")
                self.fail(controller.core.name, f"ansible-core {controller.core.name}: its environment")

    @staticmethod
    def _log(controller: Controller) -> str:
        path = LOGS / f"{controller.core.name}-install.log"
        # Without its container it has not come as far as that.
        return path.read_text(errors="replace") if path.exists() else ""

    # -- jobs: the long ones first

    def jobs_of_cores(self) -> list[Job]:
        found = []
        for check, run in (("sanity", checks.sanity), ("unit tests", checks.units), ("syntax", checks.syntax)):
            for one in self.controllers:
                row = (one.version, f"{one.interpreter.version} ({one.interpreter.place})", TODAY)
                name = f"ansible-core {one.version}: {check}"
                found.append(Job(one.core.name, name, check, lambda row=row: row, lambda one=one, run=run: run(one)))
        return found

    def jobs_of_hosts(self) -> list[Job]:
        found = []
        for one in self.controllers:
            for release in one.core.hosts:
                if reason := plan.excess_of_the_host(release, one.pythons):
                    self.left_out.append(f"ansible-core {one.version}, a host of Debian {release}: {reason}")
                    continue
                found.append(self._job_of_host(one, Host(f"{one.core.name}-debian{release}", release)))
            if one.core.is_docker and not one.interpreter.release:
                release = one.core.hosts[0]
                found.append(self._job_of_host(one, Host(f"{one.core.name}-docker", release, is_docker=True)))
            elif one.core.is_docker:
                self.left_out.append(
                    f"ansible-core {one.version}, the Docker connection: it runs in a container itself"
                )
        return found

    @staticmethod
    def _job_of_host(one: Controller, host: Host) -> Job:
        python = plan.DEBIAN_PYTHONS[host.release]

        def row() -> tuple[str, ...]:
            return (f"Debian {host.release}", host.nginx, python, one.version, host.way)

        name = f"ansible-core {one.version}: Debian {host.release} by {host.way}"
        return Job(one.core.name, name, "site to drain", row, checks.Deployment(one, host).run)

    def jobs_of_modules(self) -> list[Job]:
        """Pythons that only hosts have. The others have run these tests as a controller's."""
        one = next((one for one in self.controllers if one.core.name == plan.OLDEST_HOSTS), None)
        if one is None:
            return []
        found = []
        for version in plan.pythons_of_hosts_alone(self.machine):
            if reason := self._why_no_modules(one, version):
                self.left_out.append(f"ansible-core {one.version}, unit tests of modules on Python {version}: {reason}")
                continue
            name = f"ansible-core {one.version}: unit tests of modules on Python {version}"
            program = self.machine[version].program
            found.append(
                Job(
                    *(one.core.name, name, "unit tests of modules"),
                    lambda version=version: (version, one.version),
                    lambda version=version, program=program: checks.units_of_modules(one, version, program),
                )
            )
        return found

    def _why_no_modules(self, one: Controller, version: str) -> str:
        if version not in one.pythons:
            return f"it knows Python {one.pythons[0]} to {one.pythons[-1]}"
        if one.interpreter.release:
            return "it runs in a container, which has another one"
        return "" if version in self.machine else "this machine has none"

    def run(self) -> Sheet:
        # The long ones first
        jobs = [*self.jobs_of_hosts(), *self.jobs_of_cores(), *self.jobs_of_modules()]
        results = self._repeat(jobs, self.together(self._result, jobs))
        for job, result in zip(jobs, results, strict=True):
            if result is None:
                self.unfinished.add(job.core)
                self.left_out.append(f"{job.name}: {self.minutes:g} minutes were over")
            elif not result.is_passed:
                self.fail(job.core, job.name)
        return Sheet.of([one for one in results if one], self.left_out)

    def _has_time(self, seconds: float = 0) -> bool:
        return time.monotonic() - START + seconds < self.minutes * 60

    def _result(self, job: Job, *, is_second: bool = False) -> Result | None:
        if not self._has_time():
            return None
        result = job.result(is_second=is_second)
        if not result.is_passed and not CHILDREN.is_stopping:
            self.reasons.append(f"{job.name}{' once more' if is_second else ''}: {result.outcome}")
        return result

    def _repeat(self, jobs: list[Job], results: list[Result | None]) -> list[Result | None]:
        """What failed once more, one after the other, where it is little: what counts in the end."""
        found = list(results)
        failed = [number for number, one in enumerate(results) if one and not one.is_passed]
        if not failed or len(failed) > MOST_TO_REPEAT or CHILDREN.is_stopping:
            return found
        # Nothing that has not ended in time is to run beside it.
        CHILDREN.end_leftovers()
        for one in self.controllers:
            one.start()
        for number in failed:
            # It may take as long as before.
            if self._has_time(results[number].seconds) and not CHILDREN.is_stopping:
                found[number] = self._result(jobs[number], is_second=True)
                if found[number].is_passed:
                    self.unsteady.append(jobs[number])
        return found

    def remove(self) -> None:
        for one in self.controllers:
            one.stop()
