# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module or a playbook of the collection on hosts of the scenario, from a test."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Run:
    """One finished run: the result of the task by host, and everything that was printed."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        self.returncode = completed.returncode
        self.text = completed.stdout + completed.stderr
        start = completed.stdout.find("{\n")
        self.report: dict[str, Any] = (
            json.JSONDecoder().raw_decode(completed.stdout[start:])[0] if start >= 0 else {"plays": [], "stats": {}}
        )

    def stats(self, name: str) -> dict[str, int]:
        """How many tasks were ok, changed, failed, skipped on this host."""
        found: dict[str, int] = self.report["stats"][name]
        return found

    def results(self, name: str) -> list[dict[str, Any]]:
        """The results of all tasks that ran on this host, in their order."""
        return [task["hosts"][name] for play in self.report["plays"] for task in play["tasks"] if name in task["hosts"]]

    def result(self, name: str) -> dict[str, Any]:
        found = self.results(name)
        assert found, self.text[-3000:]
        return found[-1]


def _run(arguments: Sequence[str], scratch: Path, variables: dict[str, Any], environment: dict[str, str]) -> Run:
    # In a file: what stands on a command line can be read by everybody on the machine.
    extra = scratch / "variables.json"
    extra.touch(mode=0o600)
    extra.write_text(json.dumps(variables))
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    return Run(
        subprocess.run(
            ["ansible-playbook", "-i", inventory, "-e", f"@{extra}", *arguments],
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    )


def run_playbook(name: str, scratch: Path, *arguments: str, **variables: Any) -> Run:
    """Runs a playbook of the collection (`wssgate.nginx.token_list`) on the hosts of the scenario."""
    return _run([name, *arguments], scratch, variables, {})


def run_module(
    module: str,
    host: str,
    scratch: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> Run:
    """Runs one module on one host, with its options as given; diff is on."""
    return run_module_with_each(module, host, scratch, [options], *arguments, environment=environment)


def run_module_with_each(
    module: str,
    host: str,
    scratch: Path,
    each: Sequence[dict[str, Any]],
    *arguments: str,
    environment: dict[str, str] | None = None,
) -> Run:
    """Runs one module several times in one play, which a failure does not end; starting Ansible is what takes long."""
    play = scratch / "play.yml"
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": host,
                    "gather_facts": False,
                    "become": True,
                    "ignore_errors": len(each) > 1,
                    "tasks": [
                        {"name": "Run the module", module: "{{ module_options[%d] }}" % number}
                        for number in range(len(each))
                    ],
                }
            ]
        )
    )
    return _run(
        ["--diff", *arguments, str(play)],
        scratch,
        {"module_options": list(each)},
        # The options as one variable are what a test wants, and what a playbook should not do.
        {"ANSIBLE_INJECT_FACT_VARS": "false", **(environment or {})},
    )
