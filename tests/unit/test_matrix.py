# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make matrix` chooses and writes, and that nothing is said to be supported that it has not run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "matrix"))
import plan  # noqa: E402 (they are programs beside each other, no package)
import table  # noqa: E402

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


def test_the_table_has_a_row_a_pair_a_column_a_check_and_names_what_failed(tmp_path: Path) -> None:
    first = [table.Result(("2.16.1", "3.10"), "sanity", "24 tests", 61.4)]
    first += [table.Result(("2.16.1", "3.10"), "syntax", "no", 2, is_passed=False)]
    first += [table.Result(("2.18.2", "3.11"), "sanity", "25 tests", 60)]
    text = table.text(first, [], [], ["this with that: because"])
    assert "| 2.16.1 | 3.10 |  | 24 tests, 61 s | FAILED, 2 s |\n| 2.18.2 | 3.11 |  | 25 tests, 60 s |  |" in text
    assert text.endswith("Left out:\n\n- this with that: because")
    path = tmp_path / "support.md"
    path.write_text(f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n")
    table.write(path, text)
    table.write(path, text)
    assert path.read_text() == f"above\n{table.BEGIN}\n{table.NOTE}\n\n{text}\n\n{table.END}\nbelow\n"
    path.write_text("no markers")
    with pytest.raises(ValueError, match="has no markers"):
        table.write(path, text)


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
    assert set(re.findall(r"3\.\d+", said)) == {*pythons, "3.11"}


def test_readme_says_of_hosts_what_was_run_and_no_more() -> None:
    said = next(line for line in README.splitlines() if line.startswith("| operating system |")).split("|")[2]
    run = {(row[0].removeprefix("Debian "), ".".join(row[1].split(".")[:2])) for row in rows("host")}
    assert set(re.findall(r"Debian (\d+) \(nginx ([\d.]+)\)", said)) == run


def test_the_collection_takes_no_older_ansible_core_than_was_run() -> None:
    wanted = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    oldest = min(tuple(int(part) for part in row[0].split(".")[:2]) for row in rows("ansible-core"))
    assert wanted == f">={oldest[0]}.{oldest[1]}.0"
