# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs checks and molecule scenarios side by side: run.py [--jobs N] [--limit SECONDS] NAME…

A NAME is a make target (`lint`), `molecule:SCENARIO`, or `molecule` for every scenario.
Each job's output goes to .cache/logs/NAME.log; the end of a failed one is shown, and once more at the end of all what
failed in it. Long jobs start first, so that all end together: .cache/durations.json has how long each took when it last
passed.

Where no more than three jobs failed they run once more, alone; of a job that is tests only those that failed. What
passes then depends on what runs beside it: it is told as such, and its first log stays as NAME.first.log. Random tests
draw the same both times, by the seed WSSGATE_FUZZ_SEED, which is said at the start.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fcntl
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import docker

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".cache" / "logs"
CACHES = ROOT / ".cache" / "pytest"
DURATIONS = ROOT / ".cache" / "durations.json"
TAIL_LINES = 120
# pytest's closing line, wherever a job ran one.
PYTEST_SUMMARY = re.compile(r"\d+ (?:passed|failed|error).* in [\d.]+s")
# molecule says this at the start of each step of a scenario.
MOLECULE_STEP = re.compile(rb"\[\S+ > (\w+)\] Executing\r?\n")

# What failed, as pytest, Ansible and make say it.
FAILURE = re.compile(r"^\s*(?:FAILED |ERROR |fatal: |failed: |make(?:\[\d+\])?: \*\*\* )")
FAILURE_LINES, FAILURE_WIDTH = 12, 300
# These take pytest's arguments.
TESTS = re.compile(r"(?:functional(?:-\w+)?|roles|unit)\Z")
REPEATED_AT_MOST = 3

# In a scenario's folder: why it does not run with the others yet. By its name it does.
PENDING = "PENDING"


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


def pending() -> dict[str, str]:
    return {path.parent.name: path.read_text().strip() for path in sorted(ROOT.glob(f"molecule/*/{PENDING}"))}


@dataclass(frozen=True)
class Job:
    name: str

    @property
    def scenario(self) -> str | None:
        kind, _colon, scenario = self.name.partition(":")
        return scenario if kind == "molecule" else None

    @property
    def size(self) -> float:
        """Bytes of a scenario's playbooks and tests; more than any for a make target."""
        if self.scenario is None:
            return float("inf")
        files = (ROOT / "molecule" / self.scenario).rglob("*")
        return sum(file.stat().st_size for file in files if file.suffix in (".py", ".yml"))

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name.replace(':', '-')}.log"

    @property
    def first_log(self) -> Path:
        return self.log.with_suffix(".first.log")

    def command(self, is_second: bool = False) -> list[str]:
        if self.scenario is None:
            is_partial = is_second and TESTS.match(self.name)
            failed = ["ARGS=--last-failed --last-failed-no-failures none"] if is_partial else []
            return ["make", "--no-print-directory", self.name, *failed]
        base = str(ROOT / ".config" / "molecule" / "config.yml")
        # clear() removes the hosts, in a second instead of ten.
        return ["molecule", "--base-config", base, "test", "--destroy", "never", "--scenario-name", self.scenario]

    def clear(self) -> None:
        """Remove what a run of the scenario leaves: its hosts, and molecule's notes of them."""
        if self.scenario is None:
            return
        with contextlib.closing(docker.from_env()) as engine:
            hosts = {"name": f"^/?wssgate-{self.scenario}-", "label": "owner=molecule"}
            for container in engine.containers.list(all=True, filters=hosts):
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.notes)

    @property
    def notes(self) -> Path:
        return Path(os.environ["CACHE"]) / "molecule" / str(self.scenario)

    def environment(self) -> dict[str, str]:
        environment = dict(os.environ, COLUMNS="160", ANSIBLE_FORCE_COLOR="0", NO_COLOR="1")
        if self.scenario is None:
            # What failed last is each job's own.
            cache = f"-o {shlex.quote(f'cache_dir={CACHES / self.log.stem}')}"
            environment["PYTEST_ADDOPTS"] = f"{environment.get('PYTEST_ADDOPTS', '')} {cache}".strip()
        else:
            environment |= {
                "MOLECULE_GLOB": "molecule/*/molecule.yml",
                "MOLECULE_COMMAND_BORDERS": "false",
                # molecule's own choice depends on the checkout's last path component only.
                "MOLECULE_EPHEMERAL_DIRECTORY": str(self.notes),
            }
        return environment


class Runner:
    """Runs jobs; every child is a process group of its own that ends with us."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._print_lock = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._children_lock = threading.Lock()
        self._is_stopping = False
        self._start = time.monotonic()
        self.seconds: dict[str, float] = {}
        self._steps: dict[str, list[tuple[str, float]]] = {}

    def say(self, text: str) -> None:
        with self._print_lock:
            minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
            print(f"[{minutes:2d}:{seconds:02d}] {text}", flush=True)

    def run(self, job: Job, is_second: bool = False) -> bool:
        with self._turn(job):
            if self._is_stopping:
                return False
            self.say(f"{'again ' if is_second else 'start '} {job.name}")
            start = time.monotonic()
            outcome = self._execute(job, is_second)
            seconds = self.seconds[job.name] = time.monotonic() - start
        summary = "; ".join(PYTEST_SUMMARY.findall(job.log.read_text(errors="replace")))
        details = "; ".join(part for part in (summary, self._seconds_of_steps(job)) if part)
        self.say(
            f"{'passed' if not outcome else 'FAILED'} {job.name} in {seconds:.0f} s{f' ({details})' if details else ''}"
        )
        if outcome and not self._is_stopping:
            self._show_end(job, outcome)
        return not outcome

    def stop(self) -> None:
        with self._children_lock:
            if self._is_stopping:
                return
            self._is_stopping = True
        self.say("Interrupted: ending what runs, removing its containers")
        with self._children_lock:
            children = list(self._children.values())
        for child in children:
            self._kill(child)

    @contextlib.contextmanager
    def _turn(self, job: Job) -> Iterator[None]:
        """Container names are the same in every checkout: one run of a scenario at a time."""
        if job.scenario is None:
            yield
            return
        with Path(tempfile.gettempdir(), f"wssgate-{job.scenario}.lock").open("w") as lock:
            if not self._lock(lock):
                self.say(f"wait   {job.name}: another run of it is under way")
                while not self._is_stopping and not self._lock(lock):
                    time.sleep(1)
            yield

    @staticmethod
    def _lock(file: TextIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _execute(self, job: Job, is_second: bool) -> str:
        """What went wrong, or nothing."""
        job.clear()
        if is_second:
            job.log.replace(job.first_log)
        try:
            return self._call(job, is_second)
        finally:
            job.clear()

    def _call(self, job: Job, is_second: bool) -> str:
        with job.log.open("wb") as log:
            child = subprocess.Popen(
                job.command(is_second),
                cwd=ROOT,
                env=job.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            with self._children_lock:
                self._children[child.pid] = child
            try:
                code = self._wait(job, child)
            except subprocess.TimeoutExpired:
                self._kill(child)
                return f"ended after {self._limit:.0f} s"
            finally:
                with self._children_lock:
                    self._children.pop(child.pid, None)
        if self._is_stopping:
            return "ended by a signal"
        return f"exit {code}" if code else ""

    def _wait(self, job: Job, child: subprocess.Popen[bytes]) -> int:
        """The exit code; notes meanwhile when the steps of a scenario begin."""
        deadline = time.monotonic() + self._limit
        steps = self._steps[job.name] = []
        with job.log.open("rb") as log:
            while True:
                steps += [(step.decode(), time.monotonic()) for step in MOLECULE_STEP.findall(log.read())]
                try:
                    return child.wait(1)
                except subprocess.TimeoutExpired:
                    if time.monotonic() > deadline:
                        raise

    def _seconds_of_steps(self, job: Job) -> str:
        steps = [*self._steps.get(job.name, ()), ("", time.monotonic())]
        return ", ".join(f"{step} {end - start:.0f}" for (step, start), (_next, end) in itertools.pairwise(steps))

    @staticmethod
    def _kill(child: subprocess.Popen[bytes]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
                return

    @property
    def is_stopping(self) -> bool:
        return self._is_stopping

    def _show_end(self, job: Job, outcome: str) -> None:
        lines = job.log.read_text(errors="replace").splitlines()
        with self._print_lock:
            print(f"----- {job.name}: {outcome}; the end of {shown(job.log)}:")
            print("\n".join(f"    {line}" for line in lines[-TAIL_LINES:]))
            print(f"----- end of {job.name}", flush=True)


def shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def failures(log: str) -> list[str]:
    """The last lines of a job's log that say what failed, each once."""
    lines = (line.strip()[:FAILURE_WIDTH] for line in log.splitlines() if FAILURE.match(line))
    return list(dict.fromkeys(lines))[-FAILURE_LINES:]


def repeat(runner: Runner, failed: list[Job]) -> list[Job]:
    """Run them again, one after the other. Those that pass then."""
    if len(failed) > REPEATED_AT_MOST:
        return []
    return [job for job in failed if not runner.is_stopping and runner.run(job, is_second=True)]


def tell(title: str, jobs: list[Job], runner: Runner) -> None:
    for job in jobs:
        log = job.first_log if job.first_log.exists() else job.log
        runner.say(f"{title} {job.name}; {shown(log)}")
        for line in failures(log.read_text(errors="replace")) if log.exists() else ():
            print(f"    {line}", flush=True)


def known_durations() -> dict[str, float]:
    """By a job's name; nothing in a fresh checkout."""
    try:
        return json.loads(DURATIONS.read_text())
    except (FileNotFoundError, ValueError):
        return {}


def long_ones_first(jobs: list[Job], durations: dict[str, float]) -> list[Job]:
    """By their durations; jobs that have none yet come first: started last, one might end long after the others.

    Among those make targets come first, as they were named. Scenarios follow by how much there is to read in them,
    which ends some percent after the best order.
    """

    def key(job: Job) -> tuple[bool, float]:
        if job.name in durations:
            return True, -durations[job.name]
        return False, -job.size

    return sorted(jobs, key=key)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3, help="how many at once (3)")
    parser.add_argument("--limit", type=float, default=2700, help="seconds that one may take (2700)")
    parser.add_argument("names", nargs="+", metavar="NAME")
    arguments = parser.parse_args()

    names: list[str] = []
    for name in arguments.names:
        if name != "molecule":
            names.append(name)
            continue
        names += [f"molecule:{scenario}" for scenario in scenarios() if scenario not in pending()]
        for scenario, reason in pending().items():
            print(f"left out: molecule:{scenario}: {reason}", flush=True)
    for name in names:
        kind, _colon, scenario = name.partition(":")
        if kind == "molecule" and scenario not in scenarios():
            parser.error(f"no scenario {scenario}; there are: {', '.join(scenarios())}")

    jobs = long_ones_first([Job(name) for name in dict.fromkeys(names)], known_durations())
    LOGS.mkdir(parents=True, exist_ok=True)
    runner = Runner(arguments.limit)

    def stop(*_arguments: object) -> None:
        # Not in the handler itself: what it interrupts may hold the lock that it needs.
        threading.Thread(target=runner.stop).start()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)

    for job in jobs:
        job.first_log.unlink(missing_ok=True)
    seed = os.environ.setdefault("WSSGATE_FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32)))
    runner.say(
        f"{len(jobs)} jobs, {arguments.jobs} at once; logs in {LOGS.relative_to(ROOT)}; WSSGATE_FUZZ_SEED={seed}"
    )
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = dict(zip(jobs, pool.map(runner.run, jobs), strict=True))

    failed = [job for job, is_passed in outcomes.items() if not is_passed]
    unsteady = repeat(runner, failed)
    failed = [job for job in failed if job not in unsteady]
    passed = {name: round(seconds) for name, seconds in runner.seconds.items() if Job(name) not in [*failed, *unsteady]}
    # Read again: another run may have ended meanwhile.
    DURATIONS.write_text(json.dumps(known_durations() | passed, indent=2, sort_keys=True) + "\n")
    tell("Passed alone, failed beside the others:", unsteady, runner)
    tell("Failed:", failed, runner)
    runner.say("Failed" if failed else "Everything passed")
    print(f"{len(jobs) - len(failed)} passed, {len(unsteady)} of them alone, {len(failed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
