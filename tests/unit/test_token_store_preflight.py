# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role token_store refuses paths at which the pruner that systemd runs may not look."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core before 2.19 trusts every variable

    def trust_as_template(value: str) -> str:
        return value


ROLE = Path(__file__).resolve().parents[2] / "roles" / "token_store"


def words_for(service_mgr: str, **given: t.Any) -> str | None:
    """What the task of the preflight says; None where it passes or is skipped."""
    tasks = yaml.safe_load((ROLE / "tasks" / "preflight.yml").read_text(encoding="utf-8"))
    (task,) = [task for task in tasks if "reach the paths" in task["name"]]
    variables = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8")),
        **{name: trust_as_template(value) for name, value in task["vars"].items()},
        "ansible_facts": {"service_mgr": service_mgr},
        **given,
    }
    templar = Templar(loader=DataLoader(), variables=variables)

    def value(expression: str) -> t.Any:
        return templar.template(trust_as_template(f"{{{{ ({expression}) | bool }}}}"))

    if not value(task["when"]) or value(task["ansible.builtin.assert"]["that"]):
        return None
    return templar.template(trust_as_template(task["ansible.builtin.assert"]["fail_msg"]))


@pytest.mark.parametrize("path", ["/root/tokens", "/home/gate/tokens", "/home", "//home/tokens", "/run/user/0/tokens"])
def test_a_store_that_the_unit_cannot_see_is_refused(path: str) -> None:
    words = words_for("systemd", token_store_path=path)
    assert words is not None and words.startswith(f"token_store_path {path}: ") and "token_store_pruner: cron" in words
    assert words_for("sysvinit", token_store_path=path) is None
    assert words_for("sysvinit", token_store_path=path, token_store_pruner="systemd") is not None
    assert words_for("systemd", token_store_path=path, token_store_pruner="cron") is None
    assert words_for("systemd", token_store_path=path, token_store_pruner="none") is None


def test_so_is_a_session_log() -> None:
    words = words_for("systemd", token_store_session_log="/root/sessions.log")
    assert words is not None and words.startswith("token_store_session_log /root/sessions.log: ")


@pytest.mark.parametrize("path", ["/var/lib/nginx/tokens", "/homes/tokens", "/srv/home/tokens", "/rooted"])
def test_other_paths_are_no_matter(path: str) -> None:
    assert words_for("systemd", token_store_path=path, token_store_session_log="") is None
