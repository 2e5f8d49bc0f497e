# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the unit tests notice when a check is missing in the code that runs on hosts?

Takes each `raise` below an `if` out of plugins/module_utils and plugins/plugin_utils, one at a time, in a copy of the
checkout, and runs the unit tests of that file. Prints which test notices each; exits 1 when one goes unnoticed that is
not in EXPLAINED. `make mutants ARGS='WORDS…'` tries only those whose file or line contains all the words.

The tests have to pass on each file as it is first, parsed and written back as the mutants are. Only a test that fails
or does not end counts: where pytest cannot run the tests at all, that is an error of this program or a mutant that says
nothing.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("plugins/module_utils", "plugins/plugin_utils")
# What the tests read of the checkout.
COPIED = (
    "plugins",
    "tests/unit",
    "roles",
    "playbooks",
    "tests/conftest.py",
    "tests/pytest.ini",
    "tests/lib",
    "molecule/resources",
    "galaxy.yml",
    "meta",
)
# A mutant that never ends is noticed, too.
LIMIT = 180

# What no unit test can miss: a part of the check, and who does miss it or why nobody can.
EXPLAINED: dict[str, str] = {}


@dataclass(frozen=True)
class Check:
    path: Path
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.line} {self.text}"


def checks() -> Iterator[Check]:
    """Every `raise` that stands alone below a condition."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.If):
                    for statement in node.body + node.orelse:
                        if isinstance(statement, ast.Raise):
                            yield Check(path.relative_to(ROOT), statement.lineno, f"if {ast.unparse(node.test)}")


def without(source: str, line: int) -> str:
    """The source with the `raise` of that line turned into nothing."""

    class Remover(ast.NodeTransformer):
        def visit_Raise(self, node: ast.Raise) -> ast.stmt:
            return ast.copy_location(ast.Pass(), node) if node.lineno == line else node

    # Comments are lost, which hurts no test.
    return ast.unparse(ast.fix_missing_locations(Remover().visit(ast.parse(source)))) + "\n"


class HarnessError(Exception):
    """The tests said neither yes nor no."""


def tests_of(copy: Path, path: Path) -> list[str]:
    """Test files that import the module, or one of plugins/modules that does, the nearest first."""
    folder, stem = path.parent.name, path.stem
    # from ….module_utils._tokens.store import …, from ….module_utils._tokens import store, from ….plugin_utils._gate
    # import model
    named = re.compile(rf"\b{re.escape(folder)}(?:\.| import (?:\w+(?: as \w+)?, )*){re.escape(stem)}\b")
    found = [file for file in (copy / "tests/unit").rglob("test_*.py") if named.search(file.read_text())]
    # What the modules do with it is tested with the modules: wss_token.py imports _tokens/plan.py.
    users = [file.stem for file in (copy / "plugins/modules").glob("*.py") if named.search(file.read_text())]
    found += [
        file
        for file in (copy / "tests/unit/plugins/modules").glob("test_*.py")
        if file.stem.removeprefix("test_") in users
    ]
    return [str(file) for file in sorted(set(found), key=lambda file: (stem.strip("_") not in file.stem, file.stem))]


def run(copy: Path, path: Path, source: str) -> str:
    """What fails when the file is this: a test, or nothing."""
    target = copy / path
    original = target.read_text()
    target.write_text(source)
    try:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE",
                *tests_of(copy, path),
            ],
            cwd=copy, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"a test that did not end in {LIMIT} s"
    finally:
        target.write_text(original)
    if done.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) \S*?([^/\s]+::.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    # 1: tests failed. Others: no tests, a file that cannot be imported, an error of pytest's own.
    if done.returncode != 1 or not failed:
        raise HarnessError(f"pytest, exit {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    return failed[1]


def main() -> int:
    words = sys.argv[1:]
    chosen = [check for check in checks() if all(word in check.name for word in words)]
    unnoticed = explained = errors = 0
    with tempfile.TemporaryDirectory(prefix="wssgate-mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
            else:
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy / name)
        controls = sorted({check.path for check in chosen})
        for path in controls:
            try:
                failed = run(copy, path, without((copy / path).read_text(), 0))
            except HarnessError as error:
                failed = str(error)
            if failed:
                print(f"the tests of {path} fail with nothing taken out: {failed}")
                return 1
        print(f"{len(controls)} files as they are: their tests pass", flush=True)
        for check in chosen:
            try:
                noticed = run(copy, check.path, without((copy / check.path).read_text(), check.line))
            except HarnessError as error:
                errors += 1
                print(f"ERR  without {check.name}: {error}", flush=True)
                continue
            reason = next((why for part, why in EXPLAINED.items() if part in check.name), "")
            unnoticed += not noticed and not reason
            explained += not noticed and bool(reason)
            verdict = "ok  " if noticed else "know" if reason else "MISS"
            print(f"{verdict} without {check.name}: {noticed or reason or 'nothing notices'}", flush=True)
    print(
        f"{len(chosen)} checks taken out, {explained} explained, {unnoticed} unnoticed, {errors} with an error "
        f"of the tests themselves"
    )
    return 1 if unnoticed or errors else 0


if __name__ == "__main__":
    sys.exit(main())
