# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent, which runs without the collection around it, tells the collection's version."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.wssgate.nginx.plugins.module_utils._agent.metrics import HELP, LABELS, VERSION

ROOT = Path(__file__).parents[2]


def test_the_agent_has_the_version_of_galaxy_yml() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"] == VERSION


def test_the_role_s_readme_has_each_metric_and_its_labels() -> None:
    rows = [
        row for row in (ROOT / "roles/token_store/README.md").read_text(encoding="utf-8").splitlines()
        if row.startswith("| `wssgate_")
    ]  # fmt: skip
    for name in HELP:
        (row,) = [row for row in rows if f"`wssgate_{name}`" in row]
        assert all(f"`{label}`" in row.split("|")[2] for label in LABELS.get(name, ())), name
    assert LABELS.keys() <= HELP.keys()
