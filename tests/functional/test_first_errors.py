# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first sentence that an operator sees after a typical mistake, held word for word: data/first_errors has them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DATA = Path(__file__).parent / "data" / "first_errors"
VARIABLES: list[dict[str, Any]] = yaml.safe_load((DATA / "variables.yml").read_text(encoding="utf-8"))
COMMANDS: list[dict[str, Any]] = yaml.safe_load((DATA / "commands.yml").read_text(encoding="utf-8"))
WAY = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
# What the mistake stands in.
SANE = {"certificates_list": [{"name": "wcs", "provider": "selfsigned", "subject_alt_names": ["DNS:wcs.example.com"]}]}


def play(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.yml", *arguments],
        cwd=folder,
        env=os.environ | {"ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def host_of(mistake: str) -> str:
    return mistake.replace(" ", "-").replace("'", "")


def renew(name: str, entries: list[dict[str, Any]], errors: dict[str, str]) -> None:
    """Write the sentences anew, with the file's own words before them."""
    path = DATA / name
    head = "---\n" + "".join(line for line in path.read_text(encoding="utf-8").splitlines(True) if line[0] == "#")
    new = [entry | {"error": errors[entry["mistake"]]} for entry in entries]

    class Dumper(yaml.SafeDumper):
        """Texts of several lines as blocks."""

    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text and "\t" not in text else None
        ),
    )
    path.write_text(head + yaml.dump(new, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=80))


@pytest.fixture(scope="module")
def of_variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One run for all: a host a mistake, each checked by one role as playbook site would do first."""
    folder = tmp_path_factory.mktemp("variables")
    groups = {
        role: {
            "hosts": {
                host_of(entry["mistake"]): {**WAY, **SANE, **yaml.safe_load(entry["typed"])}
                for entry in VARIABLES
                if entry["role"] == role
            }
        }
        for role in sorted({entry["role"] for entry in VARIABLES})
    }
    # A play ends the run when no host is left to it, so it is one for all roles.
    checks = [
        {
            "include_role": {"name": f"wssgate.nginx.{role}", "tasks_from": "preflight"},
            "when": f"{role!r} in group_names",
        }
        for role in groups
    ]
    plays = [
        {
            # The lookup loads the filters once for all tasks.
            "hosts": "{{ query('wssgate.nginx.gate_hosts', 'all') }}",
            "gather_facts": True,
            "gather_subset": ["!all", "min", "network"],
            "tasks": checks,
        },
    ]
    (folder / "inventory.yml").write_text(json.dumps(groups))
    (folder / "checks.yml").write_text(json.dumps(plays))
    done = play(folder, "checks.yml", ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    report = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{\n") :])[0]
    found = {}
    for task in (task for part in report["plays"] for task in part["tasks"]):
        for host, result in task["hosts"].items():
            if result.get("failed"):
                failed = next((item for item in result.get("results", []) if item.get("failed")), result)
                found.setdefault(host, failed["msg"].splitlines()[0])
    errors = {entry["mistake"]: found.get(host_of(entry["mistake"]), "") for entry in VARIABLES}
    if os.environ.get("WSSGATE_GOLDEN"):
        renew("variables.yml", VARIABLES, errors)
    return errors


@pytest.mark.parametrize("entry", VARIABLES, ids=lambda entry: entry["mistake"])
def test_a_mistake_in_the_inventory_is_one_sentence(entry: dict[str, Any], of_variables: dict[str, str]) -> None:
    assert of_variables[entry["mistake"]] == entry["error"]


def first_error(output: str) -> str:
    """Of what was printed; an error of Ansible's own has its place on the next lines."""
    errors = re.findall(r"^(?:\[ERROR\]|ansible-playbook: error): (.*(?:\n>>> .*\n.*)?)", output, re.MULTILINE)
    return " ".join(errors[0].split()) if errors else ""


@pytest.fixture(scope="module")
def of_commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    errors = {}
    for entry in COMMANDS:
        folder = tmp_path_factory.mktemp("command")
        (folder / "inventory.yml").write_text(json.dumps({"wss_proxies": {"hosts": {"gate1.example.com": None}}}))
        (folder / "group_vars").mkdir()
        (folder / "group_vars" / "all.yml").write_text(json.dumps({**WAY, "token_store_path": str(folder / "tokens")}))
        (folder / "group_vars" / "wss_proxies.yml").write_text(entry.get("variables", "---\n"))
        (folder / "tokens").mkdir(mode=0o710)
        done = play(folder, *shlex.split(entry["typed"]))
        assert done.returncode != 0, done.stdout
        errors[entry["mistake"]] = first_error(done.stdout + done.stderr)
    if os.environ.get("WSSGATE_GOLDEN"):
        renew("commands.yml", COMMANDS, errors)
    return errors


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry["mistake"])
def test_a_mistake_on_the_command_line_is_one_sentence(entry: dict[str, Any], of_commands: dict[str, str]) -> None:
    assert of_commands[entry["mistake"]] == entry["error"]
