# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No line of the project's text is longer than 120 characters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 120
TEXT = {".cfg", ".css", ".html", ".inc", ".ini", ".j2", ".js", ".md", ".mjs", ".py", ".sh", ".toml", ".yaml", ".yml"}
# Each is a single string to nginx; and a comment, a change of which would have every test image built anew.
LONG = {
    "roles/wss_proxy/templates/gate.conf.j2": r'map "[^"]*" \$wss_preflight_by_headers \{',
    "molecule/resources/images/Dockerfile": "# .*",
}


def texts() -> list[str]:
    """Files with text, but for what was made elsewhere or renders from something that is looked at here."""
    found = []
    for path in ROOT.rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith((".git/", ".cache/", ".venv", ".ansible/", "tests/output/")) or "/node_modules/" in name:
            continue
        if (
            "/data/balancer/" in name
            or "/data/check/" in name
            or "/data/metrics_port/" in name
            or "/data/golden/" in name
            and name.count("/") > 4
            or name in ("CHANGELOG.md", "changelogs/changelog.yaml")
        ):
            continue
        if path.is_file() and (path.suffix in TEXT or path.name in ("Makefile", "Dockerfile", ".yamllint")):
            found.append(name)
    return sorted(found)


@pytest.mark.parametrize("name", texts())
def test_no_line_is_longer_than_a_screen_is_wide(name: str) -> None:
    long = [line.strip() for line in (ROOT / name).read_text(encoding="utf-8").split("\n") if len(line) > WIDTH]
    if name.endswith(".md"):
        # A table's row is a line.
        long = [line for line in long if not line.startswith("|")]
    assert [line for line in long if not re.fullmatch(LONG.get(name, ""), line)] == []


def test_what_is_allowed_to_be_long_is() -> None:
    for name in LONG:
        assert any(len(line) > WIDTH for line in (ROOT / name).read_text(encoding="utf-8").split("\n")), name
