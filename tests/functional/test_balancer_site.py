# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook site with a balancer in the inventory: what is wrong is told before anything is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAME, GATE_PORT = "gate.example.com", 8443


def site(folder: Path, *arguments: str, gates: dict[str, Any] | None = None, **balancers: Any) -> tuple[int, str]:
    """A dry run of playbook site for one balancer and one gate, both of them this machine."""
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    server = {
        "name": "wcs",
        "server_names": [NAME],
        "certificate": "gate",
        "listen": [{"port": GATE_PORT, "proxy_protocol": True}],
        "locations": [{"path": "/wss", "upstream": "http://127.0.0.1:8080"}],
    }
    groups = {
        "wss_balancers": {"hosts": {"front": {**host, "balancer_address": "192.0.2.2", **balancers}}},
        "wss_proxies": {
            "hosts": {
                "gate": {**host, "balancer_gate_address": "192.0.2.21", "wss_proxy_servers": [server], **(gates or {})}
            }
        },
    }
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps(groups))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(inventory),
            "--check",
            "wssgate.nginx.site",
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_what_is_wrong_with_a_balancer_stops_the_run_before_a_gate_is_changed(tmp_path: Path) -> None:
    status, output = site(tmp_path, balancer_services=[{"name": "wcs", "server": "wsc"}])
    assert status != 0 and "gate 'gate' has no server 'wsc' in wss_proxy_servers (there is wcs)" in output, output[
        -2000:
    ]
    assert "Put the gate in front" not in output


def test_a_run_may_be_limited_to_the_balancers_and_tells_all_that_is_wrong(tmp_path: Path) -> None:
    """Also an authority that gates have yet to make from a file that is missing."""
    gates = {
        "certificates_authorities": [{"name": "gates", "host": "gate"}],
        "certificates_authorities_fetch_directory": str(tmp_path / "authorities"),
    }
    made, missing = (str(tmp_path / "authorities" / f"{name}.pem") for name in ("gates", "others"))
    services = [
        {"name": "wcs", "server": "wsc"},
        {"name": "made", "server": "wcs", "ca_source": made},
        {"name": "missing", "server": "wcs", "ca_source": missing},
    ]
    status, output = site(tmp_path, "--limit", "front", gates=gates, balancer_services=services)
    assert status != 0 and "leaves none of the hosts" not in output and "has no server 'wsc'" in output, output[-2000:]
    first = "run playbook site with --limit '!wss_balancers' first"
    for source, is_fetched in ((made, True), (missing, False)):
        sentence = output.partition(f"{source} is not on the controller")[2].partition(" is not on the controller")[0]
        assert sentence, output[-2000:]
        assert (first in sentence) == is_fetched, output[-2000:]
