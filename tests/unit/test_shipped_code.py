# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pruner on a host is made of: all that it needs, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from ansible_collections.wssgate.nginx.plugins.module_utils._agent import install

UTILS = Path(__file__).parents[2] / "plugins/module_utils"
BEGINNING = "_agent.prune"


def imports(name: str) -> tuple[set[str], set[str]]:
    """The files below module_utils that one of them imports, and the modules of Python."""
    package = name.split(".")[:-1]
    ours, python = set(), set()
    for node in ast.walk(ast.parse((UTILS / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            python |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            python.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
            # `from .._host import files` names a file, `from .._host.files import read` something in it.
            whole = [".".join([*base, alias.name]) for alias in node.names]
            ours |= {one if (UTILS / f"{one.replace('.', '/')}.py").is_file() else ".".join(base) for one in whole}
    return ours, python - {"__future__"}


def needed() -> tuple[set[str], set[str]]:
    files, python, left = set(), set(), {BEGINNING}
    while left:
        name = left.pop()
        files.add(name)
        ours, theirs = imports(name)
        python |= theirs
        left |= ours - files
    return files, python


def test_what_the_pruner_imports_is_shipped_and_nothing_else() -> None:
    assert set(install.CODE) == needed()[0]
    assert len(install.CODE) == len(set(install.CODE))


def test_a_python_is_chosen_that_has_all_that_the_pruner_imports() -> None:
    (words,) = re.findall(r"import ([a-z, ]+);", install.PYTHON_TEST)
    assert set(words.split(", ")) == needed()[1]
