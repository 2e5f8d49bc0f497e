# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a fleet ends playbook site with one sentence, and no host of it has been changed by then.

All hosts are this machine. What can be known without asking anybody is tried in a dry run, in which each host tells
what it would change. What the hub has to be asked is asked of a real Redis; there the run has one tag, with which
nothing else is done.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys

from lib import hub_fleet, local_hub
from lib.hub_server import FLEET, HubServer

GATES = ("g1", "g2")
SERVER = {
    "name": "wcs",
    "server_names": ["gate.example.com"],
    "listen": [{"port": 8443, "tls": False, "proxy_protocol": True}],
    "trusted_proxies": ["192.0.2.0/24"],
    "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080", "origins": ["https://app.example.com"]}],
}


def gates(**variables: Any) -> dict[str, Any]:
    hosts = {name: {"balancer_gate_address": f"192.0.2.{20 + number}"} for number, name in enumerate(GATES)}
    return {"wss_proxies": {"hosts": hosts, "vars": {"wss_proxy_servers": [SERVER], **variables}}}


def site(folder: Path, groups: dict[str, Any], *arguments: str, **variables: Any) -> tuple[int, str]:
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    return hub_fleet.play(folder, "site", {"all": {"vars": common, "children": groups}}, *arguments, **variables)


def assert_refused(status: int, output: str, words: str) -> None:
    """One sentence, and each host of the run stays as it was."""
    assert status != 0 and words in " ".join(output.split()), output[-3000:]
    counts = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+) ", output, re.MULTILINE)
    assert counts and {changed for _host, changed in counts} == {"0"}, output[-3000:]
    # Each balancer names itself, and which networks it has just now.
    said = {re.sub(r"front\d", "front", text).partition(" (")[0] for text in re.findall(r'"msg": "(.*)"', output)}
    assert len(said) == 1, said


@pytest.mark.parametrize(
    ("hubs", "changes", "variables", "words"),
    [
        (2, {}, {}, "wss_hubs: it has 2 hosts (h1, h2), and a hub is one host, or three"),
        (3, {"wss_hubs": {"token_hub_quorum": 1}}, {}, "1 of 3 Sentinels would have to agree that the primary is gone"),
        (
            1,
            {"wss_balancers": {"balancer_address": "192.0.2.2"}},
            {},
            "balancer 'front2': it has the address 192.0.2.2 of balancer 'front1'; set balancer_address for each",
        ),
        (
            1,
            {"wss_balancers": {"balancer_addresses": [{"address": "203.0.113.10"}]}},
            {},
            "address 203.0.113.10: it is in no network of an interface of front1",
        ),
        (1, {}, {"wssgate_serial": 0}, "wssgate_serial is 0: it has to be a number of gates, 1 or more, or a share"),
    ],
    ids=["a hub of two", "Sentinels without a quorum", "one address", "an address of no network", "none at once"],
)
def test_a_mistake_in_the_inventory_is_one_sentence_before_any_host_changes(
    tmp_path: Path, hubs: int, changes: dict[str, Any], variables: dict[str, Any], words: str
) -> None:
    groups = {
        **gates(),
        "wss_hubs": {
            "hosts": {f"h{number}": {"token_hub_address": f"192.0.2.{10 + number}"} for number in range(1, hubs + 1)}
        },
    }
    if "wss_balancers" in changes:
        address = changes["wss_balancers"].get("balancer_address", "")
        hosts = {f"front{number}": {"balancer_address": address or f"192.0.2.{number}"} for number in (1, 2)}
        groups["wss_balancers"] = {"hosts": hosts, "vars": {"balancer_services": [{"name": "wcs"}]}}
    for group, own in changes.items():
        groups[group]["vars"] = {**groups[group].get("vars", {}), **own}
    status, output = site(tmp_path, groups, "--check", **variables)
    assert_refused(status, output, words)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """A server of the user's own."""
    found = HubServer(tmp_path / "hub", GATES, {})
    found.start()
    try:
        yield found
    finally:
        found.kill()


def ask_hub(folder: Path, hub: HubServer) -> tuple[int, str]:
    """Playbook site, as far as each gate asks the hub."""
    groups = gates(
        token_store_hub={
            "url": f"rediss://localhost:{hub.port}", "fleet": FLEET, "ca_path": str(hub.ca),
            "password_path": f"{hub.folder}/gates/gate-{{{{ inventory_hostname }}}}",
        }
    )  # fmt: skip
    return site(folder, groups, "--tags", "token_hub")


@pytest.mark.skipif(
    os.geteuid() != 0 or not local_hub.is_installed(), reason="needs root and redis-tools, which make images brings"
)
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("ACL", "SETUSER", keys.gate_user("g2"), "clearselectors"),
            "user gate-g2 lacks rights of a gate at localhost:",
        ),
        (
            ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
            "throws keys away when its memory is full (maxmemory-policy allkeys-lru), and with them revocations: set "
            "maxmemory-policy noeviction there",
        ),
    ],
    ids=["a gate without rights", "a policy that loses keys"],
)
def test_a_hub_that_one_gate_cannot_use_ends_the_run_on_all(
    tmp_path: Path, hub: HubServer, command: tuple[str, ...], words: str
) -> None:
    status, output = ask_hub(tmp_path, hub)
    assert status == 0 and "PLAY [Put the balancers" in output, output[-3000:]
    hub.call(*command)
    status, output = ask_hub(tmp_path, hub)
    assert_refused(status, output, words)
    # What comes after that on the other gate would be its turn to change.
    assert "PLAY [Put the balancers" not in output, output[-3000:]
