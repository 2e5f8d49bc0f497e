# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on hosts' Python asks for no newer one than 3.8: code, and the tests of it, which `make matrix` runs there.

`make lint` finds newer syntax (ruff) and newer names of the standard library (vermin). Neither finds a class that is
subscripted where that is evaluated, which only annotations are not, nor the union of two dictionaries.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("plugins/modules", "plugins/module_utils", "tests/unit/plugins/modules", "tests/unit/plugins/module_utils")
FILES = [
    *(str(path.relative_to(ROOT)) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))),
    "tests/unit/conftest.py",
]
# What those tests import
IMPORT = re.compile(r"^from ansible_collections\.wssgate\.nginx\.tests\.lib(?:\.(\w+))? import (\w+)", re.MULTILINE)
LIBRARY = {
    f"tests/lib/{module or name}.py"
    for path in FILES
    for module, name in IMPORT.findall((ROOT / path).read_text(encoding="utf-8"))
}
BUILTINS = {"dict", "frozenset", "list", "set", "tuple", "type"}


def is_dictionary(node: ast.expr) -> bool:
    """Whether it is one at first sight: written out, or made by dict or dict.fromkeys."""
    if isinstance(node, ast.Call):
        made = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        return isinstance(made, ast.Name) and made.id == "dict"
    return isinstance(node, (ast.Dict, ast.DictComp))


class Evaluated(ast.NodeVisitor):
    """Lines that subscript a class, or unite dictionaries, where Python 3.8 does not take that."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[str] = []
        modules = {"collections", "collections.abc", "re", "contextlib", "queue"}
        self._names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in modules
            for alias in node.names
        } | BUILTINS
        self._is_late = any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.names[0].name == "annotations"
            for node in tree.body
        )
        self.visit(tree)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in self._names:
            self.found.append(f"{node.lineno}: {node.value.id}[…]")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.BitOr) and any(is_dictionary(side) for side in (node.left, node.right)):
            self.found.append(f"{node.lineno}: dictionaries with |")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._without_annotation(node, "annotation")

    def visit_arg(self, node: ast.arg) -> None:
        self._without_annotation(node, "annotation")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._without_annotation(node, "returns")

    visit_AsyncFunctionDef = visit_FunctionDef

    def _without_annotation(self, node: ast.AST, name: str) -> None:
        if self._is_late:
            setattr(node, name, None)
        self.generic_visit(node)


def newer(text: str) -> list[str]:
    return Evaluated(ast.parse(text)).found


@pytest.mark.parametrize("name", [*FILES, *sorted(LIBRARY)])
def test_no_class_is_subscripted_that_python_3_8_does_not_subscript(name: str) -> None:
    assert not newer((ROOT / name).read_text(encoding="utf-8"))


def test_what_is_evaluated_is_found_and_annotations_are_not() -> None:
    late = "from __future__ import annotations\n"
    assert newer(f"{late}Answer = dict[str, int]\n") == ["2: dict[…]"]
    assert newer(f"{late}class One(list[str]):\n    pass\n") == ["2: list[…]"]
    assert newer(f"{late}from collections.abc import Iterator\nTwo = Iterator[int]\n") == ["3: Iterator[…]"]
    assert newer(f"{late}def f(a: dict[str, int]) -> list[int]:\n    b: set[int] = c[0]\n") == []
    assert newer("def f(a: dict[str, int]) -> int:\n    return 1\n") == ["1: dict[…]"]
    assert newer("a = dict(b) | c\nd = e | {f: g}\nh = dict.fromkeys(i) | j\nk = l | m\n") == [
        *("1: dictionaries with |", "2: dictionaries with |", "3: dictionaries with |"),
    ]
