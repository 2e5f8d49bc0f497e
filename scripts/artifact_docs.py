# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks ansible-doc for every plugin and every entry point of a role: artifact_docs.py COLLECTIONS

COLLECTIONS is a folder that the built artifact was installed into, and nothing else. What there is to document is read
in the checkout, so that a file that the artifact lacks is missed. Exit status 1, and a line for each, where
documentation is missing, empty or comes with a warning.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "wssgate.nginx"
# Where the documentation of a kind of plugin stands.
KINDS = {"module": "plugins/modules/*.py", "filter": "plugins/filter/*.yml", "lookup": "plugins/lookup/*.py"}

# A collection within ansible-core, whose version ansible-core 2.21 looks for in vain, and warns.
OF_CORE = "/ansible_collections/ansible/_protomatter'"


def plugins(kind: str) -> list[str]:
    return sorted(f"{COLLECTION}.{path.stem}" for path in ROOT.glob(KINDS[kind]) if path.stem != "__init__")


def entry_points() -> dict[str, set[str]]:
    """By a role's full name."""
    return {
        f"{COLLECTION}.{path.parents[1].name}": set(yaml.safe_load(path.read_text("utf-8"))["argument_specs"])
        for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    }


def ask(collections: Path, *arguments: str) -> tuple[str, list[str]]:
    """What ansible-doc prints, and its complaints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PAGER": "cat"}
    command = ["ansible-doc", *arguments]
    # Not in the checkout, whose ansible.cfg would count.
    result = subprocess.run(command, cwd=collections, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in result.stderr.splitlines() if line.strip() and OF_CORE not in line]
    complaints = [f"{' '.join(command[:4])} …: {line}" for line in lines]
    if result.returncode:
        complaints.append(f"{' '.join(command[:4])} …: exit status {result.returncode}")
    return result.stdout, complaints


def problems_of_plugins(collections: Path, kind: str) -> list[str]:
    names = plugins(kind)
    printed, problems = ask(collections, "--json", "--type", kind, *names)
    if problems:
        return problems
    found = json.loads(printed or "{}")
    problems += [f"{kind} {name}: ansible-doc has nothing" for name in names if not found.get(name, {}).get("doc")]
    text, complaints = ask(collections, "--type", kind, *names)
    problems += complaints
    return problems + [f"{kind} {name}: nothing is shown" for name in names if name.lower() not in text.lower()]


def problems_of_roles(collections: Path) -> list[str]:
    wanted = entry_points()
    printed, problems = ask(collections, "--json", "--type", "role", *wanted)
    found = json.loads(printed or "{}")
    text, complaints = ask(collections, "--type", "role", *wanted)
    problems += complaints
    for name, points in wanted.items():
        documented = {point for point, spec in found.get(name, {}).get("entry_points", {}).items() if spec}
        problems += [f"role {name}: ansible-doc lacks entry point {point}" for point in sorted(points - documented)]
        problems += [f"role {name}: nothing is shown"] if name.lower() not in text.lower() else []
    return problems


def main() -> int:
    collections = Path(sys.argv[1]).resolve()
    problems = [problem for kind in KINDS for problem in problems_of_plugins(collections, kind)]
    problems += problems_of_roles(collections)
    for problem in problems:
        print(problem)
    count = sum(len(plugins(kind)) for kind in KINDS)
    points = sum(map(len, entry_points().values()))
    print(f"{count} plugins and {points} entry points of roles asked for, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
