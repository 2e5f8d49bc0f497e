# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put on a host to run there without Ansible: all that it imports, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._agent import install
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import hook
from ansible_collections.wssgate.nginx.plugins.module_utils._host import shipped

UTILS = Path(__file__).parents[2] / "plugins/module_utils"
PROGRAMS = (install.PROGRAM, install.AGENT_PROGRAM, hook.CODE)


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


def needed(program: str) -> tuple[set[str], set[str]]:
    files, python, left = set(), set(), {program}
    while left:
        name = left.pop()
        files.add(name)
        ours, theirs = imports(name)
        python |= theirs
        left |= ours - files
    return files, python


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_imports_is_shipped_and_nothing_else(program: str) -> None:
    expected = {f"{name.replace('.', '/')}.py" for name in needed(program)[0]}
    written = {path.removeprefix("package/") for path in shipped.package_files("package", shipped.needed(program))}
    assert {path for path in written if not path.endswith("__init__.py")} == expected
    # Without them Python finds nothing in the folders.
    folders = {str(parent) for path in expected for parent in Path(path).parents}
    assert written - expected == {str(Path(folder) / "__init__.py") for folder in folders}


def test_the_pruner_is_shipped_so() -> None:
    assert set(install.code()) == needed(install.PROGRAM)[0]


def test_a_python_is_chosen_that_has_all_that_the_programs_import() -> None:
    (words,) = re.findall(r"import ([a-z0-9, ]+);", shipped.PYTHON_TEST)
    # Without cryptography the agent's metrics do not have the ends of certificates.
    wanted = set().union(*(needed(program)[1] for program in PROGRAMS)) - {"cryptography"}
    assert set(words.split(", ")) == wanted
