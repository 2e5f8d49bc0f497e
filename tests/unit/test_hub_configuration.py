# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role token_hub renders, compared byte by byte with the files below data/hub/; `make golden` writes them anew."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub import hosts
from ansible_collections.wssgate.nginx.plugins.plugin_utils._hub.hosts import Fleet, Host
from ansible_collections.wssgate.nginx.plugins.plugin_utils._problems import Problems

from lib.local_hub import TEMPLATES, render

GOLDEN = Path(__file__).resolve().parent / "data" / "hub"
OPTION = {"issuers": [{"name": "app"}, {"name": "shop"}]}
ENGINE = {"name": "valkey", "server": "/usr/bin/valkey-server"}


def models() -> t.Dict[str, t.Dict[str, t.Any]]:
    found = {}
    for name, count in (("one", 1), ("three", 3)):
        own = {"operator": "a" * 64, "monitor": "b" * 64, "replica": "c" * 64, "sentinel": "d" * 64}
        hubs = [Host(f"hub{number}", {"token_store_hub": OPTION, "token_hub_hashes": own}) for number in range(count)]
        gate = Host("gate1", {"token_store_hub": OPTION, "token_hub_hashes": {"gate-gate1": "e" * 64}})
        problems = Problems()
        found[name] = hosts.server(Fleet(hubs, [gate]), hubs[-1], problems, ENGINE)
        assert problems.found == []
    return found


CASES = [
    (name, path.name)
    for name in ("one", "three")
    for path in sorted(TEMPLATES.glob("*.j2"))
    if name == "three" or not ("sentinel" in path.name or path.name == "replication.conf.j2")
]


@pytest.mark.parametrize(("name", "template"), CASES)
def test_it_renders_what_it_did(name: str, template: str) -> None:
    text = render(template, models()[name])
    path = GOLDEN / name / template.removesuffix(".j2")
    if os.environ.get("WSSGATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
