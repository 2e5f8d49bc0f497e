# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of operating systems, and what follows from it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.wssgate.nginx.plugins.plugin_utils import _platforms, _role_variables

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = {name: versions for family in _platforms.FAMILIES.values() for name, versions in family["systems"].items()}


@pytest.mark.parametrize("family", _platforms.FAMILIES)
def test_every_family_has_the_same_keys_with_the_same_types(family: str) -> None:
    kinds = {key: type(value) for key, value in _platforms.FAMILIES[_platforms.PLANNED_FAMILY].items()}
    assert {key: type(value) for key, value in _platforms.FAMILIES[family].items()} == kinds


@pytest.mark.parametrize("family", ["", "Plan9", "debian", "None"])
def test_of_an_unknown_family_all_keys_are_there_and_nothing_is_in_them(family: str) -> None:
    found = _platforms.platform(family)
    assert list(found) == list(_platforms.FAMILIES["Debian"]) and not any(found.values())


def test_what_a_role_does_with_its_copy_changes_no_other() -> None:
    _platforms.platform("Debian")["nginx_packages"].append("others")
    assert _platforms.platform("Debian")["nginx_packages"] == ["nginx"]


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_a_role_that_needs_the_table_names_the_system_that_is_not_in_it(role: str) -> None:
    def problems(**facts: t.Any) -> t.List[str]:
        return _role_variables.platform_problems(role, {"ansible_facts": facts})

    found = problems(os_family="Plan9", distribution="9front")
    if role in ("token_store", "wcs"):
        assert found == []
    else:
        assert found == [
            f"9front is not supported: this collection knows the families {' and '.join(_platforms.FAMILIES)}, "
            "and this is Plan9"
        ]
    assert problems(os_family="RedHat") == problems() == []


@pytest.mark.parametrize("role", _role_variables.ROLE_NAMES)
def test_a_role_s_metadata_names_the_systems_of_the_table(role: str) -> None:
    metadata = yaml.safe_load((ROOT / "roles" / role / "meta" / "main.yml").read_text(encoding="utf-8"))
    found = {entry["name"]: entry["versions"] for entry in metadata["galaxy_info"]["platforms"]}
    assert found == {name: [one for one in versions.values() if one] for name, versions in SYSTEMS.items()}


def test_the_readme_names_the_systems_of_the_table() -> None:
    line = re.search(r"^\| operating system \|(.*)\|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert line
    named: t.Dict[str, t.Set[str]] = {}
    for name, text in re.findall(r"([A-Z]\w+) ((?:[0-9.]+(?: \([^)]*\))?(?:, (?=[0-9])| and )?)+)", line[1]):
        named.setdefault(name, set()).update(re.findall(r"[0-9.]+", re.sub(r"\([^)]*\)", "", text)))
    assert set(named) == set(SYSTEMS)
    support = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    for name, versions in SYSTEMS.items():
        assert named[name] >= set(versions)
        # What the scenarios do not run on, the matrix has to have deployed.
        assert all(f"| {name} {version} |" in support for version in named[name] - set(versions))


def test_no_role_asks_for_the_family_but_to_look_into_the_table() -> None:
    for path in [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "roles").rglob("*.j2")]:
        text = path.read_text(encoding="utf-8").replace(
            "ansible_facts['os_family'] | default('') | wssgate.nginx.platform", ""
        )
        assert not re.search(r"os_family|'(RedHat|Debian)'|distribution", text), path
