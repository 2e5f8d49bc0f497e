# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CONTRIBUTING.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Where its short names are to be looked for, as its map has them.
FOLDERS = [
    "",
    "plugins",
    "plugins/module_utils",
    "plugins/plugin_utils",
    "plugins/plugin_utils/_gate",
    "roles/*",
    "roles/*/meta",
    "roles/*/tasks",
    "roles/wss_proxy",
    "roles/wss_proxy/files",
    "roles/wss_proxy/templates",
    "tests",
    "tests/lib",
    "tests/unit",
    "molecule/applications",
    "plugins/module_utils/_certificates",
    "plugins/module_utils/_certificates/providers",
]
# Made by a run, on a test host, or to be put into a scenario's own folder.
ELSEWHERE = re.compile(r"\.cache/|~|mnt/|\.venv|molecule\.yml$")


def named() -> list[str]:
    """Paths in code spans and in the map; words in capitals stand for any name."""
    spans = re.findall(r"`([^`\s]+)`", re.sub(r"(?ms)^```.*?^```", "", TEXT)) + re.findall(r"<br/>([^\"]+)", TEXT)
    paths = {
        span.lstrip("…/")
        for span in spans
        if re.fullmatch(r"[\w.…/*-]*(?:/|\.(?:py|ya?ml|j2|js|md|sh|json|ini))[\w.*/-]*", span)
    }
    return sorted(path for path in paths if path and not ELSEWHERE.search(path))


@pytest.mark.parametrize("path", named())
def test_a_path_that_is_named_is_there(path: str) -> None:
    pattern = re.sub(r"NAME|ROLE", "*", path).rstrip("/")
    assert any(list(ROOT.glob(f"{folder}/{pattern}".lstrip("/"))) for folder in FOLDERS), path


def test_the_map_has_every_folder_of_the_hosts_and_of_the_controllers_code() -> None:
    for above in ("module_utils", "plugin_utils"):
        for folder in (ROOT / "plugins" / above).iterdir():
            if folder.is_dir() and folder.name != "__pycache__":
                assert f"{folder.name}/" in TEXT, folder


@pytest.mark.parametrize(
    "what",
    [
        "an option",
        "method of authentication",
        "where certificates come from",
        "an operating system",
        "a metric",
        "an answer",
    ],
)
def test_the_table_says_where_it_is_changed(what: str) -> None:
    table = TEXT.split("### Where do I change", 1)[1].split("\n## ", 1)[0]
    assert any(what in row.split("|")[1] for row in table.split("\n") if row.startswith("| "))
