# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a further run of site.yml says and does, once for all hosts of the scenario."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

# These stay on the controller.
LOCAL_ACTIONS = (
    "assert",
    "debug",
    "fail",
    "include_role",
    "include_tasks",
    "include_vars",
    "meta",
    "set_fact",
    "validate_argument_spec",
)
# Facts, a look at nginx, certificates, password files, the store with its pruner, the transaction.
MOST_TASKS = 6
# Ansible starts one for each task and host, also for a task that is skipped or stays on the controller.
MOST_PROCESSES = 30
CALLBACKS = Path(__file__).resolve().parents[3] / "tests" / "bench" / "callback"
SECRETS = ("correct horse battery staple", "PRIVATE KEY-----")


def run_site(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], "wssgate.nginx.site", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """Where the run's processes are counted."""
    return tmp_path_factory.mktemp("costs") / "costs.json"


@pytest.fixture(scope="module")
def second_run(costs):
    run = run_site(
        "-vvv",
        "--diff",
        ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
        ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
        ANSIBLE_CALLBACKS_ENABLED="task_costs",
        WSSGATE_TASK_COSTS=str(costs),
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    start = run.stdout.index("{\n")
    return json.JSONDecoder().raw_decode(run.stdout[start:])[0], run.stdout + run.stderr


def test_it_starts_few_processes_for_a_host(host, second_run, costs):
    name = host.backend.get_pytest_id().rpartition("://")[2]
    started = [task["task"] for task in json.loads(costs.read_text()) for _fork in range(task["forks"].get(name, 0))]
    assert 1 < len(started) <= MOST_PROCESSES, started


def test_it_changes_nothing_and_sends_few_tasks_to_a_host(host, second_run):
    report, _text = second_run
    name = host.backend.get_pytest_id().rpartition("://")[2]
    assert report["stats"][name]["changed"] == 0
    sent = [
        task["task"]["name"]
        for play in report["plays"]
        for task in play["tasks"]
        if name in task["hosts"]
        and not task["hosts"][name].get("skipped")
        and task["hosts"][name].get("action", "").rpartition(".")[2] not in LOCAL_ACTIONS
    ]
    assert 1 < len(sent) <= MOST_TASKS, sent


def test_the_most_talkative_output_holds_no_secret(host, second_run):
    _report, text = second_run
    for secret in SECRETS:
        assert secret not in text


def test_check_mode_shows_a_change_to_come_and_changes_nothing(host):
    before = host.check_output("cat /etc/nginx/wssgate.d/*.conf | sha256sum")
    name = host.backend.get_pytest_id().rpartition("://")[2]
    if "debian12" in name:
        pytest.skip("nothing in it depends on the system; once is enough")
    run = run_site(
        "--check",
        "--diff",
        "-vvv",
        "--limit",
        name,
        "-e",
        json.dumps({"nginx_keepalive_timeout": 64, "nginx_sessions": 4001}),
    )
    assert run.returncode == 0, run.stdout[-3000:]
    assert "-    keepalive_timeout 65s;" in run.stdout
    assert "+    keepalive_timeout 64s;" in run.stdout
    assert not re.search(r"changed=0", run.stdout)
    for secret in SECRETS:
        assert secret not in run.stdout
    assert host.check_output("cat /etc/nginx/wssgate.d/*.conf | sha256sum") == before
    assert "keepalive_timeout 65s;" in host.file("/etc/nginx/nginx.conf").content_string
