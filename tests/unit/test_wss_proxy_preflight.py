# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role wss_proxy refuses a max_session_lifetime on hosts where nothing ends sessions in time, and what nginx lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


ROLE = Path(__file__).resolve().parents[2] / "roles" / "wss_proxy"
TASKS = yaml.safe_load((ROLE / "tasks" / "lifetimes.yml").read_text(encoding="utf-8"))
WITH_STORE = ("wssgate.nginx.nginx", "wssgate.nginx.token_store", "wssgate.nginx.wss_proxy")
WITHOUT_STORE = ("wssgate.nginx.nginx", "wssgate.nginx.wss_proxy")
# What each task that looks registers, where it runs.
SYSTEMD = {"stat": {"isdir": True}}
NO_SYSTEMD = {"stat": {"exists": False}}


def words_for(
    pruner: str,
    roles: t.Sequence[str] = WITH_STORE,
    systemd: t.Optional[t.Dict[str, t.Any]] = None,
    scheduler: str = "none",
    lifetimes: t.Sequence[str] = ("/wss",),
    **given: t.Any,
) -> t.Optional[str]:
    """What the preflight reports; None where it passes."""
    registered = {"__wss_proxy_systemd": systemd or NO_SYSTEMD, "__wss_proxy_pruner": {"scheduler": scheduler}}
    variables = {
        "__wss_proxy_agent_is_chosen_by": pruner,
        "__wss_proxy_lifetimes": list(lifetimes),
        "ansible_play_role_names": list(roles),
        "ansible_check_mode": False,
        "inventory_hostname": "proxy1",
        **given,
    }

    def value(expression: str) -> t.Any:
        templar = Templar(loader=DataLoader(), variables=variables)
        return templar.template(trust_as_template(f"{{{{ ({expression}) | bool }}}}"))

    for name, found in registered.items():
        (task,) = [task for task in TASKS if task.get("register") == name]
        variables[name] = found if all(value(condition) for condition in task["when"]) else {"skipped": True}
    (task,) = [task for task in TASKS if "an agent ends sessions in time" in task["name"]]
    if not lifetimes or value(task["ansible.builtin.assert"]["that"]):
        return None
    words = Templar(loader=DataLoader(), variables=variables).template(
        trust_as_template(task["ansible.builtin.assert"]["fail_msg"])
    )
    return str(words)


def test_the_agent_is_taken() -> None:
    assert words_for("agent") is None
    assert words_for("auto", systemd=SYSTEMD) is None
    assert words_for("auto", WITHOUT_STORE, scheduler="agent") is None


@pytest.mark.parametrize("pruner", ["cron", "systemd", "none"])
def test_what_only_prunes_is_refused(pruner: str) -> None:
    assert words_for(pruner, systemd=SYSTEMD, scheduler="agent") == (
        f"What ends in time (/wss) needs the agent of role token_store, and token_store_pruner is {pruner}: "
        "set it to auto, or do without max_session_lifetime and signed tokens."
    )


def test_a_host_without_systemd_is_refused_by_its_name() -> None:
    assert words_for("auto", lifetimes=["/wss", "/app/"]) == (
        "What ends in time (/wss, /app/) needs the agent of role token_store, and proxy1 does not run systemd, "
        "which runs it: use another host, or do without max_session_lifetime and signed tokens."
    )


@pytest.mark.parametrize("scheduler", ["cron", "systemd", "none"])
def test_so_is_one_without_an_agent_where_no_role_of_the_play_installs_it(scheduler: str) -> None:
    words = words_for("auto", WITHOUT_STORE, SYSTEMD, scheduler)
    assert words is not None and "proxy1 has none: run role wssgate.nginx.token_store before this one" in words
    # What an earlier play would have installed is not there in a dry run.
    assert words_for("auto", WITHOUT_STORE, scheduler=scheduler, ansible_check_mode=True) is None


def test_without_a_lifetime_nothing_is_asked_for() -> None:
    assert words_for("cron", lifetimes=()) is None
    assert words_for("auto", lifetimes=()) is None


ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")


def signed_tokens_made_ready(folder: Path, *arguments: str, packages: t.Sequence[str], **variables: t.Any) -> str:
    """What the tasks for signed tokens report on a host where role nginx found these packages."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "wssgate.nginx.wss_proxy", "tasks_from": "jwt"},
                "vars": {
                    "__wss_proxy_model": {
                        "jwt_socket_path": f"{folder}/wssgate/jwt.sock",
                        "revocations_path": f"{folder}/revoked",
                        "jwt": {"key_sets": {}},
                    }
                },
            }
        ],
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_facts": {"os_family": "Debian"},
            "nginx_group": os.getgid(),
            "nginx_javascript_packages": ["libnginx-mod-http-js"],
            "nginx_found": {"packages": list(packages)},
            **variables,
        },
    }
    path = folder / "play.yml"
    path.write_text(json.dumps([play]))
    done = subprocess.run(
        [str(ANSIBLE), "-i", "localhost,", str(path), *arguments],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode == 0) == ("fatal:" not in done.stdout), done.stdout
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="the folders are root's")
def test_nginx_without_its_javascript_module_is_one_clear_error_before_anything_changes(tmp_path: Path) -> None:
    told = signed_tokens_made_ready(tmp_path, packages=["nginx"])
    assert "nginx on localhost lacks its JavaScript module" in told and "package libnginx-mod-http-js" in told
    assert "--tags nginx,gate" in told
    assert not (tmp_path / "revoked").exists()
    # Where role nginx installs nothing, nobody knows what the module's package is called.
    signed_tokens_made_ready(tmp_path, packages=["nginx"], nginx_install_enabled="false")
    assert (tmp_path / "revoked/jti").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="the folders are root's")
def test_nginx_with_it_is_made_ready(tmp_path: Path) -> None:
    assert "fatal:" in signed_tokens_made_ready(tmp_path, packages=[])
    assert "fatal:" not in signed_tokens_made_ready(tmp_path, "--check", packages=[])
    assert "fatal:" not in signed_tokens_made_ready(tmp_path, packages=["nginx", "libnginx-mod-http-js"])
    assert (tmp_path / "revoked/sub").is_dir()
