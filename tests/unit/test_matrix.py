# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make matrix` chooses and writes, and that nothing is said to be supported that it has not run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "matrix"))
import checks  # noqa: E402 (they are programs beside each other, no package)
import controllers  # noqa: E402 (the same)
import hosts  # noqa: E402 (after the line that makes their folder known; they are no package)
import jobs  # noqa: E402 (the same)
import plan  # noqa: E402 (the same)
import processes  # noqa: E402 (the same)
import table  # noqa: E402 (the same)

# By a name of its own: other programs have a main.py, too.
SPEC = importlib.util.spec_from_file_location("matrix_main", ROOT / "scripts" / "matrix" / "main.py")
assert SPEC and SPEC.loader
main = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(main)

SUPPORT = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
BLOCK = SUPPORT.split(table.BEGIN)[1].split(table.END)[0]
README = (ROOT / "README.md").read_text(encoding="utf-8").split("## Support", 1)[1]
# What `make test` runs on
TESTED = re.findall(r"ansible-core==(2\.\d+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"))[0]
CORE = plan.Core("9.9", "ansible-core~=9.9.0", ("3.12", "3.11"), ("12",))


def rows(head: str) -> list[list[str]]:
    """Those of a table of the written block, by its first column's head."""
    text = BLOCK.split(f"| {head} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()[2:]]


def programs(folder: Path, **versions: str) -> None:
    """Programs that call themselves a Python of a version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in versions.items():
        path = folder / name.replace("_", ".")
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setattr(
        plan.shutil, "which", lambda name: str(path) if (path := tmp_path / "bin" / name).exists() else ""
    )
    return tmp_path


def test_interpreters_are_found_in_path_of_pyenv_and_of_uv(home: Path) -> None:
    programs(home / "bin", python3_9="3.9")
    programs(home / ".pyenv/versions/3.12.1/bin", python3_12="3.12")
    programs(home / ".local/share/uv/python/cpython-3.8.20-linux/bin", python3_8="3.8")
    found = plan.on_this_machine()
    assert {version: Path(one.program).parent for version, one in found.items()} == {
        "3.8": home / ".local/share/uv/python/cpython-3.8.20-linux/bin",
        "3.9": home / "bin",
        "3.12": home / ".pyenv/versions/3.12.1/bin",
    }


def test_a_shim_that_cannot_run_is_passed_over(home: Path) -> None:
    programs(home / "bin", python3_12="pyenv: python3.12: command not found")
    assert plan.on_this_machine() == {}
    programs(home / ".pyenv/versions/3.12.1/bin", python3_12="3.12")
    assert plan.on_this_machine()["3.12"].program.startswith(str(home / ".pyenv"))


def test_the_wanted_python_comes_from_this_machine_and_else_from_a_container() -> None:
    here = plan.Interpreter("3.12", program="/usr/bin/python3.12")
    assert plan.choose(CORE, {"3.12": here}) == here
    assert plan.choose(CORE, {}) == plan.Interpreter("3.11", release="12")
    assert plan.choose(plan.Core("9.9", "", ("3.10",), ()), {}) is None


def test_each_version_has_a_python_in_a_container_so_that_a_machine_needs_none() -> None:
    for core in plan.CORES:
        found = plan.choose(core, {})
        assert found is not None and found.release in ("12", "13", "14"), core


def test_a_host_whose_python_a_version_does_not_know_is_left_out_with_the_reason() -> None:
    assert plan.excess_of_the_host("12", ("3.9", "3.11")) == ""
    assert plan.excess_of_the_host("11", ("3.10", "3.14")) == (
        "manages hosts with Python 3.10 to 3.14; Debian 11 has 3.9"
    )


def core(version: str, check: str, outcome: str = "24 tests", is_passed: bool = True) -> table.Result:
    return table.Result((version, "3.12", "2026-01-02"), check, outcome, 61.4, is_passed)


def host(version: str, release: str) -> table.Result:
    return table.Result((f"Debian {release}", "1.2", "3.1", version, "SSH"), "site to drain", "SSH", 90)


def support(folder: Path, content: str = "old") -> Path:
    path = folder / "support.md"
    path.write_text(f"above\n{table.BEGIN}\n{content}\n{table.END}\nbelow\n")
    return path


def test_the_table_has_a_row_a_pair_a_column_a_check_and_names_what_failed() -> None:
    results = [core("2.16.1", "sanity"), core("2.16.1", "syntax", "no", is_passed=False), core("2.18.2", "sanity")]
    text = table.Sheet.of(results, ["ansible-core 2.16.1, this: because"]).text
    assert "| 2.16.1 | 3.12 | 2026-01-02 |  | 24 tests, 61 s | FAILED, 61 s |\n" in text
    assert "| 2.18.2 | 3.12 | 2026-01-02 |  | 24 tests, 61 s |  |" in text
    assert text.endswith("Left out:\n\n- ansible-core 2.16.1, this: because")


def test_what_is_written_replaces_the_rows_of_its_versions_and_of_no_other(tmp_path: Path) -> None:
    path = support(tmp_path)
    older = [core("2.18.1", "sanity", "old"), core("2.16.1", "sanity", "kept"), host("2.18.1", "12")]
    older += [host("2.18.1", "13"), host("2.16.1", "11"), core("2.9.1", "sanity", "of no plan")]
    newer_core = plan.MAIN.replace("2.", "2.9")
    older.append(core(f"{newer_core}.0rc1", "sanity", "a pre-release"))
    left_out = ["ansible-core 2.16.1, this: kept", "ansible-core 2.18.1, that: old"]
    table.write(path, table.Sheet.of(older, left_out), [one.name for one in plan.CORES])
    table.write(path, table.Sheet.of([core("2.18.2", "sanity", "new"), host("2.18.2", "12")], []), ["2.18"])
    text = path.read_text()
    assert text.startswith(f"above\n{table.BEGIN}\n{table.NOTE}\n\n| ansible-core |")
    assert text.endswith(f"- ansible-core 2.16.1, this: kept\n\n{table.END}\nbelow\n")
    assert re.findall(r"\| (\S+) \| 3\.12 .*\| (.*), 61 s", text) == [
        ("2.16.1", "kept"), ("2.18.2", "new"), (f"{newer_core}.0rc1", "a pre-release")
    ]  # fmt: skip
    assert re.findall(r"\| Debian (\d+) .*\| (2\.1\S+) ", text) == [("11", "2.16.1"), ("12", "2.18.2")]
    # A pre-release that is there no more takes its row with it.
    table.write(path, table.Sheet.of([], [f"ansible-core {plan.PRE_RELEASE}: there is none"]), [plan.PRE_RELEASE])
    assert "a pre-release" not in path.read_text()
    assert f"kept\n- ansible-core {plan.PRE_RELEASE}: there is none\n" in path.read_text()


@pytest.mark.parametrize(("minutes", "is_run"), [(0, False), (1e6, True)])
def test_what_there_is_no_time_for_is_named_and_its_version_is_not_written(
    monkeypatch: pytest.MonkeyPatch, minutes: float, is_run: bool
) -> None:
    given = [jobs.Job("2.18", "a check", "sanity", lambda: ("2.18.1", "3.12", "2026-01-02"), lambda: "24 tests")]
    monkeypatch.setattr(jobs.Matrix, "jobs_of_cores", lambda _self: given)
    matrix = jobs.Matrix({}, 1, minutes=minutes)
    matrix.cores = [core for core in plan.CORES if core.name in ("2.16", "2.18")]
    text = matrix.run().text
    assert (not matrix.failed, "24 tests" in text) == (True, is_run)
    assert ("- a check: 0 minutes were over" in text) is not is_run
    assert matrix.passed == (["2.16", "2.18"] if is_run else ["2.16"])


def failing(times: int, name: str = "a check") -> jobs.Job:
    """A job that fails so often, and passes then."""
    left = [f"{name} is broken"] * times

    def run() -> str:
        if left:
            raise processes.MatrixError(left.pop())
        return "24 tests"

    return jobs.Job("2.18", name, "sanity", lambda: ("2.18.1", name, "2026-01-02"), run)


def run_matrix(monkeypatch: pytest.MonkeyPatch, given: list[jobs.Job]) -> jobs.Matrix:
    monkeypatch.setattr(jobs.Matrix, "jobs_of_cores", lambda _self: given)
    matrix = jobs.Matrix({}, 2)
    matrix.cores = [core for core in plan.CORES if core.name == "2.18"]
    matrix.run()
    return matrix


@pytest.mark.parametrize(("times", "is_failed"), [(0, False), (1, False), (2, True)])
def test_what_failed_beside_others_is_asked_once_more_alone_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], times: int, is_failed: bool
) -> None:
    matrix = run_matrix(monkeypatch, [failing(times)])
    assert matrix.failed == ({"2.18": ["a check"]} if is_failed else {})
    assert [job.name for job in matrix.unsteady] == (["a check"] if times == 1 else [])
    # What was not steady is no row of the page.
    assert matrix.passed == ([] if times else ["2.18"])
    code = main.report(matrix, table.Sheet.of([], []), argparse.Namespace(only=[], write=False))
    said = capsys.readouterr().out
    assert code == is_failed
    assert ("a check: a check is broken" in said, "a check once more: a check is broken" in said) == (
        *(times > 0, is_failed),
    )
    assert ("Passed alone, failed beside others, and so not written: a check" in said) == (times == 1)
    assert ("Everything passed" in said) == (times == 0)


@pytest.mark.parametrize(("minutes", "is_asked"), [(11, True), (9, False)])
def test_there_has_to_be_time_for_the_second_time(
    monkeypatch: pytest.MonkeyPatch, minutes: float, is_asked: bool
) -> None:
    monkeypatch.setattr(jobs, "START", time.monotonic())
    matrix = jobs.Matrix({}, 1, minutes=minutes)
    result = table.Result(("2.18.1", "a check", "2026-01-02"), "sanity", "is broken", 600, is_passed=False)
    found = matrix._repeat([failing(0)], [result])
    assert (found != [result], len(matrix.unsteady)) == (is_asked, is_asked)


@pytest.mark.parametrize(("times", "code"), [(0, 130), (1, 1)])
def test_an_interrupted_run_says_whether_it_was_good_so_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], times: int, code: int
) -> None:
    children = processes.Children("nothing")
    monkeypatch.setattr(jobs, "CHILDREN", children)
    monkeypatch.setattr(main, "CHILDREN", children)

    def interrupted() -> str:
        children.is_stopping = True
        raise processes.MatrixError("interrupted")

    row = ("2.18.1", "3.12", "2026-01-02")
    last = jobs.Job("2.18", "the last", "sanity", lambda: row, interrupted)
    monkeypatch.setattr(jobs.Matrix, "jobs_of_cores", lambda _self: [failing(times), last])
    matrix = jobs.Matrix({}, 1)
    sheet = matrix.run()
    assert main.report(matrix, sheet, argparse.Namespace(only=[], write=True)) == code
    said = capsys.readouterr().out
    assert "Interrupted; nothing was written" in said
    assert ("a check: a check is broken" in said) == (times == 1) and "the last: interrupted" not in said


def test_many_failures_are_no_matter_of_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"check {number}" for number in range(jobs.MOST_TO_REPEAT + 1)]
    matrix = run_matrix(monkeypatch, [failing(1, name) for name in names])
    assert matrix.failed == {"2.18": names} and not matrix.unsteady


def test_a_program_that_failed_is_told_with_its_last_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(controllers, "LOGS", tmp_path)
    monkeypatch.setattr(controllers, "FOLDER", tmp_path)
    one = controllers.Controller(CORE, plan.Interpreter("3.12", sys.executable))
    with pytest.raises(processes.MatrixError) as found:
        one.run("it", "sh", "-c", "seq 100; exit 3")
    first, *lines = str(found.value).splitlines()
    assert first == f"sh -c seq 100; exit 3 ended with 3; whole log: {tmp_path}/it.log"
    assert [line.strip() for line in lines] == [str(number) for number in range(61, 101)]
    # As a terminal can show it: no control character, and no line of megabytes
    assert controllers.ending("a\x1b[2Jb\tc\n" + "x" * 1000) == f"\n    a?[2Jb\tc\n    {'x' * 300}"


def test_an_engine_that_hangs_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(*arguments: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired(str(arguments[0]), 1)

    monkeypatch.setattr(processes.subprocess, "run", hanging)
    processes.remove_containers()
    processes.remove_container("one")
    with pytest.raises(processes.MatrixError, match="docker start has not ended"):
        processes.docker("start", "one")


@pytest.mark.parametrize(("error", "outcome"), [(IndexError("no port"), "no port"), (IndexError(), "IndexError")])
def test_whatever_a_check_raises_is_its_own_failure_and_no_other_s(error: Exception, outcome: str) -> None:
    def broken() -> str:
        raise error

    job = jobs.Job("2.18", "a check", "sanity", lambda: ("2.18.1", "3.12", "2026-01-02"), broken)
    assert (job.result().is_passed, job.result().outcome) == (False, outcome)


@pytest.mark.parametrize("arguments", [("--minutes", "nan"), ("--minutes", "0"), ("--jobs", "0")])
def test_numbers_that_make_no_sense_are_refused_before_anything_starts(arguments: tuple[str, str]) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "matrix" / "main.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2 and f"argument {arguments[0]}: invalid" in found.stderr, found.stderr


def test_rows_of_a_table_that_had_other_columns_are_kept_by_their_heads(tmp_path: Path) -> None:
    before = (
        "| ansible-core | gone | its Python | sanity |\n|---|---|---|---|\n| 2.16.1 | x | 3.10 |  |\n| 2.18.1 |||old|"
    )
    path = support(tmp_path, before)
    table.write(path, table.Sheet.of([core("2.18.2", "sanity")], []), ["2.18"])
    text = path.read_text()
    assert "| 2.16.1 | 3.10 |  |  |  |  |\n| 2.18.2 | 3.12 | 2026-01-02 |  | 24 tests, 61 s |  |\n" in text
    assert "2.18.1" not in text
    path.write_text("no markers")
    with pytest.raises(ValueError, match="has no markers"):
        table.write(path, table.Sheet(), [])


def test_a_row_belongs_to_a_version_of_the_plan_or_to_the_pre_release() -> None:
    assert plan.core_of("2.18.19") == "2.18"
    assert plan.core_of("3.0.0b1") == plan.core_of(plan.PRE_RELEASE) == plan.PRE_RELEASE
    assert plan.core_of("2.9.27") == ""


def test_unit_tests_run_on_each_python_of_hosts_and_modules_on_those_that_no_controller_has() -> None:
    machine = {version: plan.Interpreter(version, program=version) for version in ("3.8", "3.9", "3.10", "3.12")}
    assert plan.pythons_of_hosts_alone(machine) == ["3.8", "3.9"]
    assert plan.pythons_of_hosts_alone({}) == ["3.8", "3.9", "3.10", "3.12"]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[processes.Children]:
    monkeypatch.setattr(processes, "SECONDS_TO_END", 0.5)
    found = processes.Children(f"test-{os.getpid()}")
    yield found
    found.end_leftovers()


def test_an_interruption_ends_what_runs_also_what_does_not_want_to_and_starts_no_more(
    children: processes.Children, tmp_path: Path
) -> None:
    script = f"trap '' TERM; touch {tmp_path}/ready; while :; do sleep 0.1; done"
    runner = threading.Thread(target=children.run, args=(["sh", "-c", script], 60))
    runner.start()
    wait_until((tmp_path / "ready").exists)
    children.stop()
    runner.join(10)
    assert not runner.is_alive()
    wait_until(lambda: not children._marked())
    with pytest.raises(processes.MatrixError, match="interrupted"):
        children.run(["touch", str(tmp_path / "later")], 60)
    assert not (tmp_path / "later").exists()


class Started:
    """In a controller's place: how often it was."""

    count = 0

    def start(self) -> None:
        self.count += 1


def test_nothing_of_the_first_time_runs_beside_the_second(
    children: processes.Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "CHILDREN", children)
    beside: list[int] = []

    def run() -> str:
        beside.append(len(children._marked()))
        children.run(["sh", "-c", "setsid sleep 60 </dev/null >/dev/null 2>&1 & sleep 0.1"], 60)
        raise processes.MatrixError("is broken")

    job = jobs.Job("2.18", "a check", "sanity", lambda: ("2.18.1", "3.12", "2026-01-02"), run)
    controller = Started()
    matrix = jobs.Matrix({}, 1, controllers=[controller])
    matrix._repeat([job], [matrix._result(job)])
    assert (beside, controller.count) == ([0, 0], 1)


def test_a_program_that_takes_too_long_has_ended_when_that_is_told(children: processes.Children) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], 1)
    wait_until(lambda: not children._marked())


def test_what_programs_print_is_told_on_a_terminal_of_another_encoding(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts" / "matrix")!r})
import main
main.run = lambda _given: main.say("caf\u00e9") or 0
main.clear_logs = lambda _names: None
sys.argv = ["main.py"]
sys.exit(main.main())"""
    environment = {**os.environ, "CACHE": str(tmp_path), "PYTHONPATH": str(ROOT / "tests"), "PYTHONIOENCODING": "ascii"}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert found.returncode == 0 and found.stdout.endswith(rb" caf\xe9" + b"\n"), found.stderr


def test_what_a_program_leaves_behind_is_ended_whatever_its_group_and_its_parent(
    children: processes.Children, tmp_path: Path
) -> None:
    script = f"""setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 60' </dev/null >/dev/null 2>&1 &
        until [ -s {tmp_path}/pid ]; do sleep 0.05; done"""
    assert children.run(["sh", "-c", script], 60) == 0
    assert children.end_leftovers() == [int((tmp_path / "pid").read_text())]
    other = subprocess.Popen(["sleep", "60"])
    assert children.end_leftovers() == [] and other.poll() is None
    other.kill()
    other.wait()


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    "text",
    [
        'Running sanity test "ignores"\nRunning sanity test "pep8"\n',
        "Running sanity test pep8\nRunning sanity test ignores on",
    ],
)
def test_sanity_tests_are_counted_however_ansible_test_writes_their_names(text: str) -> None:
    assert checks.count_of_sanity_tests(text) == "2 tests"


def test_a_sanity_run_without_a_test_is_none() -> None:
    with pytest.raises(processes.MatrixError, match="no sanity test"):
        checks.count_of_sanity_tests("Installing requirements\n")


def test_every_version_has_its_own_list_of_what_sanity_tests_let_pass() -> None:
    names = {path.stem.removeprefix("ignore-") for path in (ROOT / "tests" / "sanity").glob("ignore-*.txt")}
    run = {".".join(row[0].split(".")[:2]) for row in rows("ansible-core")}
    assert names >= run | {core.name for core in plan.CORES if core.name != plan.PRE_RELEASE}


def test_readme_says_of_ansible_core_what_was_run_and_no_more() -> None:
    run = [row[0] for row in rows("ansible-core")]
    assert not [row for row in rows("ansible-core") if "FAILED" in " ".join(row)]
    minors = [".".join(version.split(".")[:2]) for version in run]
    said = next(line for line in README.splitlines() if line.startswith("| ansible-core |")).split("|")[2]
    assert set(re.findall(r"2\.\d+", said)) == {*minors, TESTED}
    pythons = {row[1].split()[0] for row in rows("ansible-core")}
    said = next(line for line in README.splitlines() if line.startswith("| Python on the controller |")).split("|")[2]
    assert set(re.findall(r"3\.\d+", said)) == {*pythons, "3.11", "3.13"}


def test_readme_says_of_hosts_what_was_run_and_no_more() -> None:
    lines = [line for line in README.splitlines() if line.startswith(("| operating system |", "| the same, with"))]
    said = " ".join(line.split("|")[2] for line in lines)
    run = {(row[0].removeprefix("Debian "), ".".join(row[1].split(".")[:2])) for row in rows("host")}
    assert set(re.findall(r"Debian (\d+) \(nginx ([\d.]+)\)", said)) == run


def test_the_collection_takes_no_older_ansible_core_than_was_run() -> None:
    wanted = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    oldest = min(tuple(int(part) for part in row[0].split(".")[:2]) for row in rows("ansible-core"))
    assert wanted == f">={oldest[0]}.{oldest[1]}.0"


def test_hosts_that_start_at_once_are_entered_by_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "FOLDER", tmp_path)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(hosts.ssh_key().read_text())) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads) and len(set(found)) == 1


@pytest.mark.parametrize(
    ("failed", "only", "code"),
    [
        ([], [], 0),
        ([plan.PRE_RELEASE], [], 0),
        ([plan.PRE_RELEASE], [plan.PRE_RELEASE], 1),
        ([plan.MAIN], [], 1),
        ([plan.MAIN, plan.PRE_RELEASE], [], 1),
    ],
    ids=["none", "a pre-release", "a pre-release that was asked for", "a release", "both"],
)
def test_a_release_that_fails_fails_the_matrix_and_a_pre_release_is_told_of(
    failed: list[str], only: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = jobs.Matrix({}, 1, failed={name: [f"{name}: sanity"] for name in failed})
    given = argparse.Namespace(only=only, write=False)
    assert main.report(matrix, table.Sheet.of([], []), given) == code
    said = capsys.readouterr().out
    assert all(f"{name}: sanity" in said for name in failed)
