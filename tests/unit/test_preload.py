# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tasks of a play need of the collection is loaded once, when the play's hosts are worked out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
# In a process of its own: this one has imported much by now.
PROGRAM = """
import json, sys
from ansible.plugins.loader import init_plugin_loader, lookup_loader
init_plugin_loader()
lookup_loader.get("wssgate.nginx.gate_hosts").run(["localhost"], required=False)
read = sys.modules["ansible_collections.wssgate.nginx.plugins.plugin_utils._role_variables"].entry_points_of
print(json.dumps([read.cache_info().currsize, [name.partition(".plugins.")[2] for name in sys.modules]]))
"""


@pytest.fixture(scope="module")
def loaded() -> tuple[int, set[str]]:
    """How many roles' specifications, and which modules of the collection."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    count, names = json.loads(found.stdout)
    return count, set(names)


@pytest.mark.parametrize("kind", ["filter", "lookup"])
def test_working_out_a_play_s_hosts_loads_every_filter_and_lookup(kind: str, loaded: tuple[int, set[str]]) -> None:
    there = {f"{kind}.{path.stem}" for path in (PLUGINS / kind).glob("*.py")}
    assert there
    assert there - loaded[1] == set()


def test_the_roles_specifications_are_read_once(loaded: tuple[int, set[str]]) -> None:
    assert loaded[0] == len([*PLUGINS.parent.glob("roles/*/meta/argument_specs.yml")])
