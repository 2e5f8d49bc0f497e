# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/from-nginx-conf.md: whatever its tables say to write is an option of a role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "from-nginx-conf.md"
# Alone between backquotes, or before a colon: at the beginning, and within braces.
OPTION = re.compile(r"(?:^|[{,] *)([a-z][a-z0-9_]*)(?=: |$)")
# Values of options that are named there, directives of nginx's, and options of applications.
NO_OPTIONS = {
    *("intermediate", "modern", "ip_hash", "transparent"),
    *("alias", "geo", "keepalive", "log_format", "zone"),
    *("base_url", "prefix"),
}


def options(given: Mapping[str, Any]) -> Iterator[str]:
    for name, option in given.items():
        yield name
        yield from options(option.get("options") or {})


KNOWN = {
    name
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
    for entry_point in yaml.safe_load(path.read_text("utf-8"))["argument_specs"].values()
    for name in options(entry_point.get("options") or {})
}


def cells() -> list[Any]:
    """What the second column says, by the first; not of the example, whose inventory a functional test applies."""
    tables = PAGE.read_text("utf-8").partition("\n## A whole file\n")[0]
    rows = re.findall(r"^\| (?!nginx \|)(.+?) \| (.+) \|$", tables, re.MULTILINE)
    return [pytest.param(here, id=nginx) for nginx, here in rows]


def names(cell: str) -> set[str]:
    return {name for code in re.findall(r"`([^`]+)`", cell) for name in OPTION.findall(code)}


@pytest.mark.parametrize("cell", cells())
def test_a_row_names_options_that_there_are(cell: str) -> None:
    assert names(cell) - KNOWN - NO_OPTIONS == set()


def test_no_exception_is_left_over() -> None:
    named = {name for parameter in cells() for name in names(parameter.values[0])}
    assert NO_OPTIONS - named == set()
    assert not NO_OPTIONS & KNOWN
    # Enough of them are found at all.
    assert len(named & KNOWN) > 60
