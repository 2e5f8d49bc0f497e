# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook undrain on this machine: it reports what it did in one sentence, as drain does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks" / "undrain.yml"
# Where Ansible is, or another one to try.
ANSIBLE = Path(os.environ.get("WSSGATE_TEST_ANSIBLE", sys.executable)).with_name("ansible-playbook")


def undrain(folder: Path, *arguments: str, fails: bool = False) -> str:
    inventory = folder / "inventory"
    inventory.write_text(
        "[wss_proxies]\none ansible_connection=local ansible_become=false "
        f"ansible_python_interpreter={sys.executable} wss_proxy_drain_path={folder / 'drain'}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [str(ANSIBLE), "-i", str(inventory), str(PLAYBOOK), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def test_what_undrain_did_is_told_in_one_sentence(tmp_path: Path) -> None:
    drain = tmp_path / "drain"
    drain.touch()
    assert "one would take new sessions again." in undrain(tmp_path, "--check") and drain.exists()
    assert "one takes new sessions again." in undrain(tmp_path) and not drain.exists()
    assert "one was not drained: it takes new sessions." in undrain(tmp_path)


def test_a_folder_in_the_place_of_the_file_is_not_removed(tmp_path: Path) -> None:
    """A path that somebody has mistyped, for example: that of the configuration."""
    precious = tmp_path / "drain" / "nginx.conf"
    precious.parent.mkdir()
    precious.touch()
    assert "is not a regular file" in undrain(tmp_path, fails=True)
    assert precious.exists()


def test_undrain_takes_back_what_a_killed_run_has_left_at_the_balancers() -> None:
    tasks = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))[0]["tasks"]
    told = [one for one in tasks if one.get("ansible.builtin.include_tasks") == "tasks/front.yml"]
    assert [one["vars"] for one in told] == [{"__front_state": "ready"}]
