# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that is skipped registers as well, over what another one has found: names are registered once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
# Each of an entry point of its own, which no run has beside the other's.
APART = {"__monitoring_info", "__monitoring_stopped", "__token_hub_passwords"}


class Loader(yaml.SafeLoader):
    """Tags such as !unsafe are of no interest here."""


Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)  # type: ignore[no-untyped-call]


def registered(tasks: list[dict[str, Any]] | None) -> Iterator[str]:
    for task in tasks or []:
        if "register" in task:
            yield task["register"]
        for key in ("block", "rescue", "always"):
            yield from registered(task.get(key))


@pytest.mark.parametrize("role", ROLES)
def test_no_task_loses_what_another_one_has_registered(role: str) -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        # Text of the roles' own files
        for name in registered(yaml.load(path.read_text(encoding="utf-8"), Loader)):  # noqa: S506
            files[name].append(path.name)
    assert {name: found for name, found in files.items() if len(found) > 1 and name not in APART} == {}
