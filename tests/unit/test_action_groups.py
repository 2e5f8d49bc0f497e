# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action group tokens: one entry in `module_defaults` sets the store of its modules."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GROUP = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]["tokens"]
SPECS = yaml.safe_load((ROOT / "roles/token_store/meta/argument_specs.yml").read_text(encoding="utf-8"))
STORE = SPECS["argument_specs"]["main"]["options"]

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/wssgate.nginx.tokens:
      path: "{{ store }}"
      session_log: "{{ store }}.log"
  tasks:
    - wssgate.nginx.wss_token:
        tokens: [first-token-of-the-group]
    - wssgate.nginx.wss_token_info:
      register: listed
    - wssgate.nginx.wss_token_pruner:
      check_mode: true
      register: pruner
    # There is no such log, and the error says which one it looked for.
    - wssgate.nginx.wss_session_info:
      register: sessions
      ignore_errors: true
    - wssgate.nginx.wss_session:
        all: true
      register: ended
      ignore_errors: true
    - ansible.builtin.assert:
        that:
          - listed.tokens | length == 1
          - store ~ '.log does not exist' in sessions.msg
          - store ~ '.log does not exist' in ended.msg
"""


def argument_spec(module: str) -> dict[str, dict[str, object]]:
    found = importlib.import_module(f"ansible_collections.wssgate.nginx.plugins.modules.{module}")
    return found.argument_spec()  # type: ignore[no-any-return]


def documentation(module: str) -> dict[str, object]:
    found = importlib.import_module(f"ansible_collections.wssgate.nginx.plugins.modules.{module}")
    return yaml.safe_load(found.DOCUMENTATION)  # type: ignore[no-any-return]


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py")))
def test_a_module_says_that_it_is_in_the_group_exactly_if_it_is(module: str) -> None:
    fragments = documentation(module).get("extends_documentation_fragment", [])
    assert ("wssgate.nginx.attributes.tokens" in fragments) == (module in GROUP)


@pytest.mark.parametrize("module", GROUP)
def test_without_a_path_a_module_takes_the_store_of_the_role(module: str) -> None:
    options = {}
    for name, option in argument_spec(module).items():
        options.update(dict.fromkeys([name, *option.get("aliases", [])], option.get("default")))  # type: ignore[misc]
    assert options["path"] == STORE["token_store_path"]["default"]
    assert options["session_log"] == STORE["token_store_session_log"]["default"]


def test_one_entry_in_module_defaults_sets_the_store_of_them_all(tmp_path: Path) -> None:
    store = tmp_path / "tokens"
    store.mkdir(mode=0o710)
    play = tmp_path / "play.yml"
    play.write_text(PLAY, encoding="utf-8")
    ansible = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
    ran = subprocess.run(
        [
            str(ansible),
            "-v",
            "-i",
            "localhost,",
            "-e",
            f"store={store} ansible_python_interpreter={sys.executable}",
            str(play),
        ],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout
    assert os.listdir(store) == ["first-token-of-the-group"]
