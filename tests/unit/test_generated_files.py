# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated from the roles' argument_specs is up to date, and is what they state."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GATE_DEFAULTS = "plugins/plugin_utils/_gate/defaults.py"
# A default that tests change in a copy
SESSIONS = yaml.safe_load((ROOT / "roles/nginx/defaults/main.yml").read_text(encoding="utf-8"))["nginx_sessions"]


def loaded() -> t.Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


main = loaded().main


def generate(checkout: Path) -> None:
    assert main([], checkout) is None


def stale(checkout: Path) -> str:
    """What --check answers, empty when it finds nothing."""
    return main(["--check"], checkout) or ""


def test_everything_generated_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is read and written."""
    for name in ("roles", "plugins/plugin_utils"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    # What is not up to date there is test_everything_generated_is_up_to_date's to tell.
    generate(tmp_path)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def specs(checkout: Path, role: str) -> Path:
    return checkout / "roles" / role / "meta" / "argument_specs.yml"


def constants(path: Path) -> t.Dict[str, t.Any]:
    """What a generated module assigns. It is not imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }


NESTED = """\
              cookie_name:
                description: Cookie that carries the token. The case counts. V(__Host-AUTH) works too.
"""
NEW = """\
              fallback:
                description:
                  - What to do when V(a|b) is *not* there. See O(wss_proxy_servers[].locations[].auth=none).
                  - Default is the server's.
                type: str
                choices: [wait, leave]
                default: ''
                version_added: 1.1.0
"""


def test_a_new_option_of_a_location_is_written_everywhere_and_only_once(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(specs(checkout, "wss_proxy"), NESTED, NEW + NESTED)
    answer = stale(checkout)
    assert "'make generate'" in answer
    assert GATE_DEFAULTS in answer
    assert "roles/wss_proxy/README.md" in answer
    assert "roles/nginx" not in answer

    generate(checkout)
    readme = (checkout / "roles" / "wss_proxy" / "README.md").read_text(encoding="utf-8")
    row = (
        r"| `fallback` | string | the server's | What to do when `a\|b` is \*not\* there. See `auth=none`. "
        "Choices: `wait`, `leave`. Since version 1.1.0. |"
    )
    assert readme.splitlines().count(row) == 1
    written = constants(checkout / GATE_DEFAULTS)
    assert written["OPTIONS"]["wss_proxy_servers.locations"]["fallback"] == ""
    assert written["CHOICES"]["wss_proxy_servers.locations.fallback"] == ("wait", "leave")

    assert stale(checkout) == ""
    capsys.readouterr()
    generate(checkout)
    assert capsys.readouterr().out == "Everything is up to date\n"


def test_a_change_by_hand_is_noticed_and_taken_back(checkout: Path) -> None:
    readme = checkout / "roles" / "wcs" / "README.md"
    original = readme.read_text(encoding="utf-8")
    change(readme, "| `wcs_service` | string |", "| `wcs_service` | text |")
    change(checkout / GATE_DEFAULTS, '"cookie_name": "AUTH"', '"cookie_name": "TOKEN"')
    defaults = checkout / "roles" / "nginx" / "defaults" / "main.yml"
    change(defaults, f"nginx_sessions: {SESSIONS}\n", "nginx_sessions: 5\n")
    answer = stale(checkout)
    for name in ("roles/wcs/README.md", GATE_DEFAULTS, "roles/nginx/defaults/main.yml"):
        assert name in answer
    assert "nginx_sessions: 5\n" in defaults.read_text(encoding="utf-8")

    generate(checkout)
    assert readme.read_text(encoding="utf-8") == original
    assert stale(checkout) == ""


def test_the_prose_around_the_tables_stays(checkout: Path) -> None:
    readme = checkout / "roles" / "wcs" / "README.md"
    readme.write_text("Before.\n" + readme.read_text(encoding="utf-8") + "After.\n", encoding="utf-8")
    changed = readme.read_text(encoding="utf-8")
    assert stale(checkout) == ""
    generate(checkout)
    assert readme.read_text(encoding="utf-8") == changed


@pytest.mark.parametrize(
    "default",
    [
        "yes",
        "'0644'",
        "''",
        "{a: {b: [1, 2]}}",
        "[{port: 443}, x]",
        "'it''s: # \"quoted\" \\ and {braces}'",
        '"two\\nlines\\n"',
        '"  blanks   within  "',
        "'" + "a long text with | and : in it " * 8 + "end'",
    ],
)
def test_any_default_is_what_ansible_reads_from_the_defaults(checkout: Path, default: str) -> None:
    change(specs(checkout, "wcs"), "        default: webcallserver\n", f"        default: {default}\n")
    generate(checkout)
    defaults = yaml.safe_load((checkout / "roles" / "wcs" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert defaults["wcs_service"] == yaml.safe_load(default)
    assert stale(checkout) == ""


def test_a_list_that_the_role_checks_itself_is_shown_as_a_list(checkout: Path) -> None:
    path = specs(checkout, "htpasswd")
    text = path.read_text(encoding="utf-8")
    parts = text.partition("        type: raw\n")
    assert parts[1]
    path.write_text(f"{parts[0]}        type: list\n        elements: dict\n{parts[2]}", encoding="utf-8")
    assert stale(checkout) == ""


def add(path: Path, text: str) -> None:
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "---\n") + text, encoding="utf-8")


def test_a_default_has_one_place(checkout: Path) -> None:
    add(checkout / "roles" / "wcs" / "meta" / "computed_defaults.yml", 'wcs_service: "{{ x }}"\n')
    assert "wcs_service has a default in argument_specs.yml, too" in (main([], checkout) or "")


def test_a_computed_default_is_one_of_a_variable(checkout: Path) -> None:
    add(checkout / "roles" / "wcs" / "meta" / "computed_defaults.yml", 'wcs_servcie: "{{ x }}"\n')
    assert "wcs_servcie is no variable" in (main([], checkout) or "")


def test_a_variable_has_a_default(checkout: Path) -> None:
    change(specs(checkout, "wcs"), "        default: webcallserver\n", "")
    assert "wcs_service has no default" in (main([], checkout) or "")


def test_markup_that_cannot_be_read_is_named(checkout: Path) -> None:
    change(specs(checkout, "wcs"), "The Web Call Server's service.", "The Web Call Server's C(service.")
    assert "wcs_service" in (main([], checkout) or "")


def test_a_readme_without_markers_is_refused_and_nothing_is_written(checkout: Path) -> None:
    change(checkout / "roles" / "wcs" / "README.md", "<!-- options: end -->", "")
    change(specs(checkout, "nginx"), f"        default: {SESSIONS}\n", "        default: 5\n")
    assert "options: end" in (main([], checkout) or "")
    defaults = (checkout / "roles" / "nginx" / "defaults" / "main.yml").read_text(encoding="utf-8")
    assert f"nginx_sessions: {SESSIONS}\n" in defaults


# -- the roles' metadata


def test_a_system_of_the_table_is_named_by_every_role(checkout: Path) -> None:
    change(
        checkout / "plugins" / "plugin_utils" / "_platforms.py",
        '"systems": {"EL"',
        '"systems": {"Other": {"1": "one"}, "EL"',
    )
    assert main([], checkout) is None
    for path in (checkout / "roles").glob("*/meta/main.yml"):
        text = path.read_text(encoding="utf-8")
        assert '    - name: Other\n      versions: ["one"]\n' in text
        assert text.endswith("dependencies: []\n")


def test_metadata_without_a_place_for_platforms_is_an_error(checkout: Path) -> None:
    path = checkout / "roles" / "wcs" / "meta" / "main.yml"
    change(path, "  platforms:\n", "  systems:\n")
    assert stale(checkout) == f"{path}: needs 'platforms:' in galaxy_info, once"
