# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which host of the hub the playbooks ask it: the first that can be reached, and once. None has a hub here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks/token_issue.yml"
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
HUBS = ("h1", "h2", "h3")


@pytest.mark.parametrize(
    ("away", "broken", "asked"),
    [((), (), ["h1"]), (("h1", "h2"), (), ["h3"]), (("h1",), ("h2",), ["h2", "h3"])],
    ids=["all are there", "two are away", "one is away and one has stopped"],
)
def test_the_hub_is_asked_once_on_the_first_host_that_can_be_reached(
    tmp_path: Path, away: tuple[str, ...], broken: tuple[str, ...], asked: list[str]
) -> None:
    hubs = {}
    for number, name in enumerate(HUBS):
        python = tmp_path / name
        command = "echo container is not running >&2; exit 1" if name in broken else f'exec {sys.executable} "$@"'
        python.write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/calls\n{command}\n")
        python.chmod(0o755)
        # Nobody listens on this port.
        hubs[name] = {
            "ansible_connection": "ssh" if name in away else "local", "ansible_host": "127.0.0.1", "ansible_port": 1,
            "ansible_python_interpreter": str(python), "token_hub_address": f"127.0.0.{number + 2}",
        }  # fmt: skip
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(
        yaml.safe_dump(
            {
                # No gate is asked.
                "wss_proxies": {"hosts": {"one": {"ansible_connection": "ssh", "ansible_port": 1}}},
                "wss_hubs": {"hosts": hubs},
                "all": {"vars": {"ansible_become": False}},
            }
        )
    )
    done = subprocess.run(
        [str(ANSIBLE), "-i", str(inventory), str(PLAYBOOK), "-e", "subject=client-42"],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    assert (
        "The hub issues no token now, and no proxy was asked: /etc/wssgate/token_hub/passwords/operator" in done.stdout
    )
    assert (tmp_path / "calls").read_text().split() == asked
