# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cookbook's pages: their inventories are right, and the scenario, the index and the tests have the same
applications.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wssgate.nginx.plugins.filter import gate

ROOT = Path(__file__).resolve().parents[2]
COOKBOOK = ROOT / "docs" / "cookbook"
PAGES = {path.stem: path.read_text() for path in sorted(COOKBOOK.glob("*.md")) if path.name != "README.md"}
SCENARIO = ROOT / "molecule" / "applications"
# Where a page has several, the scenario takes the first.
INVENTORY = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
APPLICATIONS = sorted(path.stem for path in SCENARIO.glob("applications/*.yml"))


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_inventory_of_an_application_has_no_mistake(name: str) -> None:
    found = INVENTORY.search(PAGES[name])
    assert found, name
    variables: dict[str, Any] = yaml.safe_load(found[1])["wss_proxies"]["vars"]
    context = {
        "certificates": variables["certificates_list"],
        "htpasswd_files": variables.get("htpasswd_files", []),
        "upstreams": variables.get("wss_proxy_upstreams", []),
        "token_store_path": "/var/lib/nginx/tokens",
    }
    assert gate.gate_errors(variables["wss_proxy_servers"], context) == []


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_has_tests(name: str) -> None:
    assert (SCENARIO / "tests" / f"test_{name.replace('-', '_')}.py").is_file()


def test_the_index_names_every_page() -> None:
    index = (COOKBOOK / "README.md").read_text()
    assert [name for name in PAGES if f"]({name}.md)" not in index] == []


def test_no_two_pages_share_a_name() -> None:
    """The scenario deploys them all on one host."""
    names = []
    for name in APPLICATIONS:
        found = INVENTORY.search(PAGES[name])
        assert found, name
        servers = yaml.safe_load(found[1])["wss_proxies"]["vars"]["wss_proxy_servers"]
        names += [part for server in servers for part in (server["name"], *server["server_names"])]
    assert sorted(set(names)) == sorted(names)
