# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role monitoring cannot work with, it refuses with one error, on a real host: this machine, which stays as it is.

What stands in the variables alone is in tests/unit/test_monitoring_role.py and test_gate_metrics.py.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLAYBOOK = """\
# The lookup loads the filters once for all tasks.
- hosts: "{{ query('wssgate.nginx.gate_hosts', 'localhost') }}"
  connection: local
  gather_subset: ['!all', min, network]
  tasks:
    # The tests' machine need not run systemd.
    - ansible.builtin.set_fact: {service_mgr: systemd, cacheable: true}
    - ansible.builtin.include_role: {name: wssgate.nginx.monitoring, tasks_from: preflight}
"""


def refusal(folder: Path, **variables: Any) -> tuple[int, list[str]]:
    """The exit code of the role's preflight, and what it says is wrong."""
    (folder / "play.yml").write_text(PLAYBOOK)
    given = {
        "ansible_python_interpreter": sys.executable,
        "monitoring_enabled": True,
        "nginx_directory": str(folder / "etc"),
        **variables,
    }
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-e", json.dumps(given),
         str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0",
             "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert "changed=0" in done.stdout, done.stdout + done.stderr
    return done.returncode, [
        json.loads(f'"{words}"') for words in re.findall(r'"msg": "((?:[^"\\]|\\.)*)"', done.stdout)
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_port_that_somebody_listens_on_is_named(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        code, words = refusal(tmp_path, monitoring_listen=[{"port": port}])
    assert code != 0 and len(words) == 1, words
    assert words[0].startswith(f"Port {port} of monitoring_listen is taken on localhost by another program")
    assert "set another port" in words[0]
    # It is not the number: nobody listens there any more.
    assert refusal(tmp_path, monitoring_listen=[{"port": port}]) == (0, [])


def test_metrics_without_the_agent_are_refused(tmp_path: Path) -> None:
    code, words = refusal(tmp_path, token_store_pruner="cron")
    assert code != 0 and len(words) == 1, words
    assert "token_store_pruner is cron: set it to auto." in words[0]
