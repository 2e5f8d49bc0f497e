# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook check learns of the services that count, where there are none of them and where systemd is silent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLAYBOOK = """\
# The lookup loads the filters once for all tasks.
- hosts: "{{ query('wssgate.nginx.gate_hosts', 'localhost') }}"
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {os_family: "{{ family }}", service_mgr: systemd, cacheable: true}
    - ansible.builtin.include_role:
        name: wssgate.nginx.monitoring
        tasks_from: "{{ entry }}"
        apply: {environment: {PATH: "{{ path }}"}}
    - ansible.builtin.copy: {content: "{{ monitoring_problems | default([]) | to_json }}", dest: "{{ out }}"}
"""


def problems(folder: Path, family: str, entry: str = "state", path: str = os.defpath) -> Any:
    """What is found on this machine as if it were of a family of systems."""
    (folder / "play.yml").write_text(PLAYBOOK)
    given = {
        "ansible_python_interpreter": sys.executable,
        "monitoring_enabled": True,
        "family": family,
        "entry": entry,
        "path": path,
        "out": str(folder / "found.json"),
        # As role detect has it, where nothing is to be written
        "__monitoring_info": {"differing_files": [], "paths": {}, "packages": []},
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-e", json.dumps(given),
         str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0",
             "ANSIBLE_LOCALHOST_WARNING": "false"},
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("entry", ["state", "run"])
def test_a_system_without_a_package_of_any_has_nothing_to_ask_for(tmp_path: Path, entry: str) -> None:
    # systemctl without a unit's name is an error.
    assert problems(tmp_path, "RedHat", entry) == []


def test_a_systemd_that_does_not_answer_is_a_problem_and_hides_no_other(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "Debian", path="/nonexistent")
    units = "wssgate-log-feed.socket, wssgate-mtail.service, wssgate-log-feed.service"
    # The module's own words differ by its version.
    assert found.startswith(f"systemd does not tell whether {units} run: ") and not found.endswith(": "), found
