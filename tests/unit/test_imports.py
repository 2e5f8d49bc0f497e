# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may import whom, and how long a file of plugins/ may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UTILS = ROOT / "plugins/module_utils"
LINES = 500
# What a plugin has in strings for ansible-doc.
DOCUMENTATION = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports; those of the collection begin with `plugins`."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.replace("ansible_collections.wssgate.nginx.", "") for name in found}


def files(pattern: str) -> list[str]:
    found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
    assert found, f"there is nothing like {pattern}"
    return found


def code_lines(path: Path) -> int:
    """Lines of a file without those of its documentation."""
    text = path.read_text(encoding="utf-8")
    count = len(text.splitlines())
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and {getattr(name, "id", "") for name in node.targets} & DOCUMENTATION:
            count -= (node.end_lineno or node.lineno) - node.lineno + 1
    return count


@pytest.mark.parametrize("name", files("plugins/module_utils/**/*.py"))
def test_hosts_code_imports_neither_the_controller_s_nor_ansible(name: str) -> None:
    wrong = {one for one in imports(ROOT / name) if one.startswith(("plugins.plugin_utils", "ansible"))}
    assert not wrong


@pytest.mark.parametrize("name", files("plugins/module_utils/_host/*.py"))
def test_what_is_for_all_rooms_imports_none_of_them(name: str) -> None:
    wrong = {
        one for one in imports(ROOT / name)
        if one.startswith("plugins.") and not one.startswith("plugins.module_utils._host")
    }  # fmt: skip
    assert not wrong


# What is done in one way, by _host: there it is atomic, follows no link, waits for nobody for ever.
BANNED = {
    "a program is run by _host.run": {
        *("subprocess", "module.run_command", "os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn"),
        *(f"os.{kind}{how}" for kind in ("exec", "spawn") for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    },
    "a file is written by _host.files": {
        *("os.replace", "os.rename", "os.renames", "os.link", "os.O_CREAT", "shutil.move", "shutil.copyfile"),
        *("tempfile.mkstemp", "tempfile.NamedTemporaryFile", "module.atomic_move"),
    },
    "a lock is held by _host.locks": {"fcntl.flock", "fcntl.lockf"},
}
NOT_HOST = [
    name
    for pattern in ("plugins/module_utils/**/*.py", "plugins/modules/*.py")
    for name in files(pattern)
    if not name.startswith("plugins/module_utils/_host/")
]


def uses(path: Path) -> set[str]:
    """What a file imports, and what it takes out of a module or an object, as it is written there."""
    found = imports(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open":
            mode = [argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)]
            mode += [
                one.value.value for one in node.keywords if one.arg == "mode" and isinstance(one.value, ast.Constant)
            ]
            if set("".join(map(str, mode))) & set("wax+"):
                found.add("os.O_CREAT")
    return found


@pytest.mark.parametrize("name", NOT_HOST)
def test_programs_files_and_locks_of_a_host_are_host_s(name: str) -> None:
    found = uses(ROOT / name)
    wrong = {rule: banned & found for rule, banned in BANNED.items()}
    assert not any(wrong.values()), {rule: names for rule, names in wrong.items() if names}


def raised_types(path: Path) -> list[tuple[str, set[str]]]:
    """The exceptions that a file defines, and what they are made from."""
    return [
        (node.name, {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases})
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    ]


@pytest.mark.parametrize("name", NOT_HOST)
def test_every_error_of_a_host_is_the_one_base_error(name: str) -> None:
    wrong = [error for error, bases in raised_types(ROOT / name) if not bases - {"Exception", "OSError", "ValueError"}]
    assert not wrong


@pytest.mark.parametrize("name", files("playbooks/files/*.py"))
def test_programs_of_playbooks_import_nothing_of_the_collection(name: str) -> None:
    assert not {one for one in imports(ROOT / name) if one.startswith(("plugins", "ansible", "roles"))}


@pytest.mark.parametrize("name", files("plugins/modules/*.py"))
def test_modules_import_nothing_of_the_controller_s(name: str) -> None:
    assert not {one for one in imports(ROOT / name) if one.startswith("plugins.plugin_utils")}


@pytest.mark.parametrize("name", files("plugins/**/*.py"))
def test_a_file_is_not_longer_than_somebody_reads(name: str) -> None:
    assert code_lines(ROOT / name) <= LINES
