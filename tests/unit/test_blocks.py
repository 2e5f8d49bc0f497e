# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each block of README and the guides names what there is: playbooks, their parameters, variables, options, targets of
make; and what is written in a language can be read in it. Whether it does what its page promises is for the tests that
run it.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "roles").glob("*/README.md")),
]
FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
COLLECTION = "wssgate.nginx."
# Ansible's own, of an inventory, a play and a task
PLAY = {"hosts", "roles", "tasks", "pre_tasks", "post_tasks", "import_playbook", "handlers"}
GROUP = {"hosts", "vars", "children"}


class Block(NamedTuple):
    place: str
    language: str
    text: str


class Loader(yaml.SafeLoader):
    """Takes what Ansible takes beside YAML."""


for tag in ("!vault", "!unsafe"):
    Loader.add_constructor(tag, lambda loader, node: str(loader.construct_scalar(node)))


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in FENCE.finditer(text):
            indent, language, body = found.groups()
            line = text.count("\n", 0, found.start()) + 1
            lines = [one.removeprefix(indent) for one in body.splitlines()]
            yield Block(f"{page.relative_to(ROOT)}:{line}", language, "\n".join(lines) + "\n")


BLOCKS = list(blocks())


def of(*languages: str) -> Any:
    some = [block for block in BLOCKS if block.language in languages]
    assert some, languages
    return pytest.mark.parametrize("block", some, ids=[block.place for block in some])


@functools.cache
def specs() -> list[dict[str, Any]]:
    """The options of each entry point of each role."""
    found = []
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        found += [entry.get("options", {}) for entry in yaml.safe_load(path.read_text())["argument_specs"].values()]
    return found


@functools.cache
def nested() -> list[dict[str, Any]]:
    """The options of each option that has some."""

    def below(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for option in options.values():
            if "options" in option:
                yield option["options"]
                yield from below(option["options"])

    return [one for options in specs() for one in below(options)]


@functools.cache
def modules() -> dict[str, dict[str, Any]]:
    found = {}
    for path in (ROOT / "plugins" / "modules").glob("*.py"):
        tree = ast.parse(path.read_text())
        texts = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
            if isinstance(node.value, ast.Constant)
        }
        found[path.stem] = options_of(yaml.safe_load(texts["DOCUMENTATION"]))
    return found


def options_of(documentation: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment", ()):
        name, _dot, variant = fragment.removeprefix(COLLECTION).partition(".")
        path = ROOT / "plugins" / "doc_fragments" / f"{name}.py"
        attribute = (variant or "documentation").upper()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == attribute:
                options |= yaml.safe_load(ast.literal_eval(node.value)).get("options") or {}
    return options


@functools.cache
def variables() -> dict[str, Any]:
    """Of the roles, with their options."""
    return {name: option for options in specs() for name, option in options.items()}


@functools.cache
def parameters(playbook: str) -> frozenset[str]:
    """What `-e` may set beside the roles' variables."""
    text = (ROOT / "playbooks" / f"{playbook}.yml").read_text()
    found = set(re.findall(r"^#   (\w+)  ", text, re.MULTILINE)) | set(re.findall(r"\bwssgate_\w+|\broll_\w+", text))

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            found.update(value.get("__parameters") or ())
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(yaml.safe_load(text))
    return frozenset(found)


def unknown(value: Any, options: Mapping[str, Any], where: str) -> list[str]:
    """What of a variable's value is no option of it."""
    if isinstance(value, list):
        return [one for item in value for one in unknown(item, options, where)]
    if not isinstance(value, Mapping):
        return []
    found = [f"{where}.{name}" for name in value if name not in options]
    for name, item in value.items():
        if "options" in options.get(name, ()):
            found += unknown(item, options[name]["options"], f"{where}.{name}")
    return found


def of_variables(given: Mapping[str, Any]) -> list[str]:
    found = []
    for name, value in given.items():
        if name in variables():
            found += (
                unknown(value, variables()[name].get("options") or {}, name) if "options" in variables()[name] else []
            )
        elif name.startswith(ROLE_PREFIXES):
            found.append(name)
    return found


ROLE_PREFIXES = tuple(f"{path.name}_" for path in (ROOT / "roles").iterdir()) + ("certificates_",)


def of_group(group: Mapping[str, Any]) -> list[str]:
    found = of_variables(group.get("vars") or {})
    for host in (group.get("hosts") or {}).values() if isinstance(group.get("hosts"), Mapping) else ():
        found += of_variables(host or {})
    for child in (group.get("children") or {}).values():
        found += of_group(child or {})
    return found


def of_tasks(tasks: list[dict[str, Any]]) -> list[str]:
    found = []
    for task in tasks:
        for name, value in task.items():
            module = name.removeprefix(COLLECTION)
            if name in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
                found += of_tasks(value)
            elif name == "vars":
                found += of_variables(value)
            elif name == "roles":
                found += [
                    word for role in value if isinstance(role, Mapping) for word in of_variables(role.get("vars", role))
                ]
            elif name != module and module not in modules():
                found.append(name)
            elif name != module and isinstance(value, Mapping):
                found += [f"{name}: {option}" for option in value if option not in modules()[module]]
    return found


def of_yaml(value: Any) -> list[str]:
    if isinstance(value, list):
        if all(isinstance(one, Mapping) and any(is_of_ansible(name) for name in one) for one in value):
            return of_tasks(value)
        return of_options(value)
    if not isinstance(value, Mapping):
        return []
    groups = [one for one in value.values() if isinstance(one, Mapping) and one and set(one) <= GROUP]
    if groups and all(one is None or isinstance(one, Mapping) for one in value.values()):
        return [word for group in groups for word in of_group(group)]
    if any(name in variables() for name in value):
        return of_variables(value)
    return of_options(value)


def is_of_ansible(name: str) -> bool:
    return name in PLAY or name == "block" or name.count(".") == 2


def of_options(value: Any) -> list[str]:
    """Of a part of a variable: some option has all of it."""
    found = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, Mapping) and not any(set(one) <= set(options) for options in nested()):
            near = max(nested(), key=lambda options: len(set(one) & set(options)), default={})
            # Of another program, such as one that ships logs, a word may be the same.
            if 2 * len(set(one) & set(near)) >= len(one):
                found += sorted(set(one) - set(near))
    return found


@of("yaml", "yml")
def test_yaml_names_what_there_is(block: Block) -> None:
    for document in yaml.load_all(block.text, Loader):
        assert of_yaml(document) == []


def commands(text: str) -> Iterator[list[str]]:
    """Of a block for the shell, without prompts and comments."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ ").removeprefix("# "), comments=True) if "'" not in line else []
        try:
            words = words or shlex.split(line, comments=True)
        except ValueError:  # a text of several lines
            continue
        if words:
            yield words


def given(words: list[str]) -> Iterator[str]:
    for option, value in itertools.pairwise(words):
        if option in ("-e", "--extra-vars") and not value.startswith(("@", "{", "$")):
            yield from (part.partition("=")[0] for part in value.split())


@of("console", "sh", "bash", "shell")
def test_commands_name_what_there_is(block: Block) -> None:
    wrong = []
    for words in commands(block.text):
        if words[0] == "make":
            wrong += [f"make {word}" for word in words[1:] if "=" not in word and word not in targets()]
        names = [word for word in words if re.fullmatch(r"wssgate\.nginx\.[a-z_]+", word)]
        if words[0] not in ("ansible-playbook", "uvx") or not names:
            continue
        name = names[0].removeprefix(COLLECTION)
        if not (ROOT / "playbooks" / f"{name}.yml").is_file():
            wrong.append(name)
            continue
        known = parameters(name) | set(variables())
        wrong += [f"{name} -e {one}" for one in given(words) if one not in known and not one.startswith("ansible_")]
    assert wrong == []


@functools.cache
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][\w-]*)(?: [a-z][\w-]*)*:", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {
        word
        for line in re.findall(r"^((?:[a-z][\w-]* )+[a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for word in line.split()
    }


@of("python", "py")
def test_python_can_be_read(block: Block) -> None:
    ast.parse(block.text)


@of("json")
def test_json_can_be_read(block: Block) -> None:
    json.loads(block.text)


@of("sh", "bash")
def test_the_shell_can_read_it(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("yaml", "wss_proxies:\n  vars:\n    wss_proxy_serverz: []\n"),
        ("yaml", "wss_proxy_servers:\n  - name: a\n    locationz: []\n"),
        ("yaml", "wss_proxy_servers:\n  - locations: [{path: /a, orgins: []}]\n"),
        ("yaml", "- path: /a\n  upstream: http://a\n  orgins: []\n"),
        ("yaml", "- hosts: a\n  tasks:\n    - wssgate.nginx.wss_token: {stat: absent}\n"),
        ("yaml", "- hosts: a\n  tasks:\n    - wssgate.nginx.wss_tokn: {state: absent}\n"),
        ("console", "ansible-playbook wssgate.nginx.token_isue\n"),
        ("console", "ansible-playbook wssgate.nginx.token_issue -e subjet=a\n"),
        ("console", "make tests\n"),
    ],
)
def test_a_mistake_is_found(language: str, text: str) -> None:
    look = test_yaml_names_what_there_is if language == "yaml" else test_commands_name_what_there_is
    with pytest.raises(AssertionError):
        look(Block("here", language, text))
