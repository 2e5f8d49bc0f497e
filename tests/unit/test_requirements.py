# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection asks for is what it uses, and leaves room for others."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# What calls something on a user's behalf; documentation may point anywhere.
SHIPPED = [*ROOT.glob("roles/*/*/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
CALLED = re.compile(r"^ +(?:- )?((?!ansible\.builtin|wssgate\.nginx)[a-z_]+\.[a-z_]+)\.[a-z_]+:", re.MULTILINE)


def listed(path: str) -> list[Requirement]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def requirements(path: str) -> dict[str, Requirement]:
    return {requirement.name: requirement for requirement in listed(path)}


@pytest.mark.parametrize("path", ["requirements.txt", "requirements-test.txt"])
def test_each_python_of_a_controller_gets_one_version_of_each_package(path: str) -> None:
    names = set(requirements(path))
    for version in ("3.11", "3.12", "3.13", "3.14"):
        wanted = [one for one in listed(path) if one.marker is None or one.marker.evaluate({"python_version": version})]
        assert sorted(one.name for one in wanted) == sorted(names), version


@pytest.mark.parametrize(("version", "core", "package"), [("3.11", "2.19.", "12."), ("3.13", "2.21.", "14.")])
def test_each_python_gets_an_ansible_that_runs_on_it(version: str, core: str, package: str) -> None:
    pins = {
        one.name: str(one.specifier)
        for path in ("requirements.txt", "requirements-test.txt")
        for one in listed(path)
        if one.marker is not None and one.marker.evaluate({"python_version": version})
    }
    assert pins["ansible-core"].startswith(f"=={core}") and pins["ansible"].startswith(f"=={package}")


def test_this_environment_has_the_ansible_core_that_is_pinned_for_its_python() -> None:
    pins = [one for one in listed("requirements.txt") if one.name == "ansible-core"]
    assert [str(one.specifier) for one in pins if one.marker.evaluate()] == [f"=={metadata.version('ansible-core')}"]


def test_the_collections_that_this_one_depends_on_are_those_that_it_calls() -> None:
    called = {name for path in SHIPPED for name in CALLED.findall(path.read_text(encoding="utf-8"))}
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert called == set(galaxy["dependencies"]) == {"ansible.posix"}


def test_a_task_file_that_calls_another_collection_is_read_only_where_it_is_needed() -> None:
    # The quickstart has ansible-core alone: an import would have it look for every module that might be called.
    for path in SHIPPED:
        if CALLED.search(path.read_text(encoding="utf-8")):
            others = [other.read_text(encoding="utf-8") for other in path.parent.glob("*.yml")]
            assert [text for text in others if f"ansible.builtin.include_tasks: {path.name}\n" in text] != []
            assert [text for text in others if f"import_tasks: {path.name}\n" in text] == []


def test_an_execution_environment_may_have_any_websockets_that_the_probe_works_with() -> None:
    meta = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text(encoding="utf-8"))
    allowed = requirements(meta["dependencies"]["python"])
    assert set(allowed) == {"websockets"}
    pinned = str(requirements("requirements.txt")["websockets"].specifier).lstrip("=")
    # 15 is what ansible-rulebook wants.
    assert all(allowed["websockets"].specifier.contains(version) for version in ("13.0", "15.0.1", pinned))
    assert not allowed["websockets"].specifier.contains("12.0")


def test_the_quickstart_needs_ansible_core_and_no_collection() -> None:
    assert set(requirements("requirements.txt")) == {"ansible-core", "websockets"}


def test_what_galaxy_installs_stands_in_the_requirements_too() -> None:
    # Automation Hub's checks ask for it, and read no versions.
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    listed_there = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert {one["name"]: one["version"] for one in listed_there} == galaxy["dependencies"]
