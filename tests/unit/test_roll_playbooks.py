# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the other gates when one fails or is lost: the order of things alone, with nothing done in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")
GATES = ("one", "two", "three")
# What has role nginx restart it
DUE = {"__nginx_allow_restart": True, "__nginx_drop_in": {"changed": True}, "__nginx_info": {"running": True}}
# A task that fails, or whose host is gone, on the gates that a run names.
STEP = """\
- name: "STEP"
  ansible.builtin.command:
    argv: ["{{ (inventory_hostname in failing | default([]) and SPOILT) | ternary('false', 'true') }}"]
  vars:
    ansible_connection: "{{ (inventory_hostname in lost | default([]) and SPOILT) | ternary('ssh', 'local') }}"
    ansible_host: 127.0.0.1
    ansible_ssh_executable: "{{ inventory_dir }}/ssh"
"""


def run(
    folder: Path, plays: list[dict[str, t.Any]], balancers: dict[str, t.Any] | None = None, **variables: object
) -> tuple[int, dict[str, list[str]]]:
    """Run plays; return the status and, by task, who did it."""
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    common = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    # Balancers are no hosts of the play; what is asked of them is delegated.
    inventory: dict[str, t.Any] = {"wss_proxies": {"hosts": dict.fromkeys(GATES)}}
    inventory["all"] = {"vars": {**common, **variables}}
    inventory["wss_balancers"] = {"hosts": balancers or {}}
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
    # As ssh ends where it reaches nobody
    (folder / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (folder / "ssh").chmod(0o755)
    done = subprocess.run(
        [str(ANSIBLE), "-i", str(folder / "inventory.yml"), str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_STDOUT_CALLBACK": "default"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    name = ""
    for line in done.stdout.splitlines():
        if line.startswith("TASK ["):
            name = line[len("TASK [") : line.index("]")]
        elif line.startswith(("ok: [", "changed: [")):
            # A host that another one is asked for: [gate -> balancer]
            found.setdefault(name, []).append(line[line.index("[") + 1 : line.index("]")].partition(" ")[0])
    return done.returncode, {task: sorted(hosts, key=GATES.index) for task, hosts in found.items()}


def site(folder: Path, when: str, **variables: object) -> tuple[int, dict[str, list[str]]]:
    """Role nginx's way to bring a configuration live; ``when`` (test or live) is the step at which gates are spoilt."""
    parts = ("activate", "activate_more", "restart_due", "restart")
    for name in (*parts, "roll", "roll_turn", "roll_front", "roll_judgement"):
        shutil.copy(ROOT / f"roles/nginx/tasks/{name}.yml", folder)
    front = yaml.safe_load((folder / "roll_front.yml").read_text())
    if "seen_before" in variables:
        # What HAProxy tells: the state of each gate's last check.
        told = "{{ __nginx_is_asked_again | ternary(seen_after, seen_before) }}"
        front = [{"name": "asked", "ansible.builtin.set_fact": {"__nginx_front_told": told}}]
    (folder / "roll_front.yml").write_text(yaml.safe_dump(front, sort_keys=False))
    judgement = yaml.safe_load((folder / "roll_judgement.yml").read_text())
    for task in judgement:
        if arguments := task.pop("wssgate.nginx.nginx_config", None):
            task.update({"name": arguments["state"], "ansible.builtin.command": "true"})
    (folder / "roll_judgement.yml").write_text(yaml.safe_dump(judgement, sort_keys=False))
    (restart,) = yaml.safe_load((ROOT / "roles/nginx/tasks/restart_turn.yml").read_text())
    for task in restart["block"]:
        (stub,) = yaml.safe_load(STEP.replace("STEP", "restart").replace("SPOILT", str(when == "restart")))
        task.update({**stub, "name": "restart"})
        del task["ansible.builtin.systemd_service"]
    (folder / "restart_turn.yml").write_text(yaml.safe_dump([restart], sort_keys=False))
    kind = "(__nginx_is_deferred | ternary('test', 'live'))"
    step = STEP.replace("STEP", "{{ " + kind + " }}").replace("SPOILT", f"{kind} == '{when}'")
    (folder / "transaction.yml").write_text(
        step + "- name: Note\n  ansible.builtin.set_fact:\n    __nginx_config:\n"
        '      {deferred: "{{ __nginx_is_deferred }}", started: false, restarted: false,\n'
        '       kept_former: "{{ not __nginx_is_deferred }}",\n'
        '       answering: "{{ inventory_hostname not in silent | default([]) }}"}\n'
    )
    settings = {"__nginx_allow_restart": False, "nginx_service": "", "__nginx_drop_in_path": "", "nginx_pid_path": ""}
    tasks = [{"ansible.builtin.include_tasks": "activate.yml"}]
    return run(
        folder,
        [{"hosts": "wss_proxies", "gather_facts": False, "tasks": tasks}],
        **{**settings, "nginx_serial": 1, **variables},
    )


def test_all_gates_get_a_change_that_harms_none(tmp_path: Path) -> None:
    status, found = site(tmp_path, "", **DUE)
    assert (status, found["test"], found["live"], found["restart"]) == (0, list(GATES), list(GATES), list(GATES))


@pytest.mark.parametrize(("kind", "gate"), [("failing", "three"), ("lost", "one")])
def test_no_gate_gets_what_one_of_them_cannot_have(tmp_path: Path, kind: str, gate: str) -> None:
    status, found = site(tmp_path, "test", **{kind: [gate]})
    assert status != 0 and "live" not in found
    assert found["test"] == [name for name in GATES if name != gate]


@pytest.mark.parametrize("kind", ["failing", "lost"])
def test_a_gate_that_fails_keeps_a_change_from_those_after_it(tmp_path: Path, kind: str) -> None:
    status, found = site(tmp_path, "live", **{kind: ["two"]})
    assert status != 0 and found["live"] == ["one"]


@pytest.mark.parametrize("kind", ["failing", "lost"])
def test_a_gate_that_does_not_come_up_keeps_the_others_from_their_restart(tmp_path: Path, kind: str) -> None:
    status, found = site(tmp_path, "restart", **DUE, **{kind: ["two"]})
    assert status != 0 and found["live"] == list(GATES) and found["restart"] == ["one"]


def test_a_gate_that_answers_nobody_is_no_canary(tmp_path: Path) -> None:
    """What a drained or a new gate answers is no worse afterwards, whatever the change does."""
    status, found = site(tmp_path, "live", silent=["one"], failing=["two"])
    assert status != 0 and "live" not in found
    assert "Roll | Report that no host can show what the change does" not in found


def test_where_no_gate_answers_anybody_they_come_one_by_one(tmp_path: Path) -> None:
    status, found = site(tmp_path, "live", silent=list(GATES), failing=["two"], nginx_serial="100%")
    assert status != 0 and found["live"] == ["one"]
    assert found["Roll | Report that no host can show what the change does"] == ["one"]


def seen(**checks: str) -> dict[str, t.Any]:
    """What a balancer tells of gates, by their last check; an upper case state before it where it is not UP."""
    gates = []
    for name, check in checks.items():
        status, _blank, check = check.rpartition(" ")
        state = {"": "up", "NOLB": "draining", "DOWN": "down"}[status]
        gates.append({"name": name, "state": state, "status": status or "UP", "check": check, "checking": False})
    service = {"name": "wcs", "sessions": 0, "gates": gates}
    return {"results": [{"ansible_loop_var": "b", "b": "front", "haproxy": {"running": True, "services": [service]}}]}


GOOD = seen(**dict.fromkeys(GATES, "L7OK/403"))
FRONT: dict[str, t.Any] = {
    "nginx_probes": [{"path": "/wss"}],
    "balancers": {"front": {}},
    "seen_before": GOOD,
    "seen_after": GOOD,
    **{f"nginx_{name}": "" for name in ("directory", "binary", "log_directory")},
    "__nginx_live_timeout": 1,
}


def test_a_change_that_balancers_find_well_goes_to_all_and_stays(tmp_path: Path) -> None:
    status, found = site(tmp_path, "", **FRONT)
    assert (status, found["live"], found["settled"], "former" in found) == (0, list(GATES), list(GATES), False)


@pytest.mark.parametrize("check", ["L6RSP", "DOWN L6RSP", "NOLB L7OKC/503", "L4TOUT"])
def test_a_gate_that_a_balancer_finds_worse_gets_back_what_it_had(tmp_path: Path, check: str) -> None:
    after = seen(one=check, two="L7OK/403", three="L7OK/403")
    status, found = site(tmp_path, "", **{**FRONT, "seen_after": after})
    assert (status != 0, found["live"], found["former"], "settled" in found) == (True, ["one"], ["one"], False)


@pytest.mark.parametrize("kind", ["failing", "lost"])
def test_those_of_the_same_turn_are_judged_though_one_of_them_fails(tmp_path: Path, kind: str) -> None:
    """Else they would run a change that nobody had looked at, with what they had before beside it."""
    status, found = site(tmp_path, "live", **{**FRONT, "nginx_serial": "100%", kind: ["two"]})
    assert status != 0 and found["live"] == found["settled"] == ["one", "three"] and "former" not in found


def test_a_gate_that_balancers_give_no_sessions_is_no_canary(tmp_path: Path) -> None:
    before = seen(one="NOLB L7OKC/503", two="L7OK/403", three="L7OK/403")
    status, found = site(tmp_path, "live", **{**FRONT, "seen_before": before}, failing=["two"])
    assert status != 0 and "live" not in found


def test_what_balancers_do_not_tell_is_not_judged(tmp_path: Path) -> None:
    """One that cannot be reached, and one without HAProxy, are really asked here."""
    told = {key: value for key, value in FRONT.items() if not key.startswith("seen_")}
    hosts = {
        "gone": {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_ssh_executable": str(tmp_path / "ssh"),
        },
        "bare": {"balancer_haproxy_socket": str(tmp_path / "none.sock")},
    }
    status, found = site(tmp_path, "", **{**told, "balancers": hosts})
    assert (status, found["live"], found["settled"]) == (0, list(GATES), list(GATES))


def emptied(tasks: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Tasks that do nothing, in the order and the blocks in which they are; what they note and go by is as it was."""
    found = []
    for task in tasks:
        if "block" in task:
            found.append({**task, **{part: emptied(task[part]) for part in ("block", "always")}})
        elif "__roll_is_back" in str(task):
            found.append(task)
        elif task["name"] == "Do what the file says":
            found += yaml.safe_load(STEP.replace("STEP", "do").replace("SPOILT", "true"))
        else:
            found.append({"name": task["name"], "ansible.builtin.command": "true"})
    return found


def roll(folder: Path, serial: int, **variables: object) -> tuple[int, dict[str, list[str]]]:
    plays = yaml.safe_load((ROOT / "playbooks/roll.yml").read_text())
    (play,) = (play for play in plays if "serial" in play)
    play = {
        **play,
        "hosts": "wss_proxies",
        "become": False,
        "serial": serial,
        "vars": {},
        "tasks": emptied(play["tasks"]),
    }
    return run(folder, [play], **variables)


def test_all_gates_are_rolled(tmp_path: Path) -> None:
    status, found = roll(tmp_path, 2)
    assert (status, found["do"]) == (0, list(GATES))
    assert found["Accept new sessions again"] == found["Report that the gate is back"] == list(GATES)


@pytest.mark.parametrize("kind", ["failing", "lost"])
def test_no_gate_is_rolled_after_one_that_does_not_come_back(tmp_path: Path, kind: str) -> None:
    status, found = roll(tmp_path, 2, **{kind: ["one"]})
    assert status != 0 and found["Drain"] == ["one", "two"]
    assert found["do"] == found["Report that the gate is back"] == ["two"]
    # A gate that is gone cannot be told.
    assert found["Accept new sessions again"] == ["one"] * (kind == "failing") + ["two"]
