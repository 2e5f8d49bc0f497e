# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HAProxy that role balancer renders, in a folder of its own.

`ansible-playbook` has the very role render its files, and the module brings them live, without systemd and root's
folders. The environment variable WSSGATE_HAPROXY names the program; `scripts/haproxy.sh` fetches one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.wssgate.nginx.plugins.module_utils._balancer import stats
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.service import HAProxy, Keepalived
from ansible_collections.wssgate.nginx.plugins.module_utils._balancer.transaction import (
    HAPROXY_FILE,
    SERVICES_FOLDER,
    Outcome,
    Settings,
    Transaction,
)

from .processes import is_running, wait_for

PLAYBOOK = """\
- name: Render a balancer
  # The lookup loads the filters once for all tasks.
  hosts: "{{ query('wssgate.nginx.gate_hosts', 'wss_balancers') }}"
  connection: local
  gather_facts: true
  gather_subset: ['!all', min, network]
  tasks:
    - name: Render
      ansible.builtin.include_role:
        name: wssgate.nginx.balancer
        tasks_from: render
    - name: Write what was rendered
      ansible.builtin.copy:
        content: "{{ __balancer_files | to_json }}"
        dest: "{{ playbook_dir }}/files.json"
        mode: '0644'
    - name: Write what is for root alone
      ansible.builtin.copy:
        content: "{{ __balancer_private_files | to_json }}"
        dest: "{{ playbook_dir }}/private.json"
        mode: '0600'
"""


def haproxy_binary() -> str | None:
    return os.environ.get("WSSGATE_HAPROXY") or shutil.which("haproxy")


class LocalBalancer:
    """A folder with HAProxy's files, and the HAProxy that runs on them."""

    def __init__(self, address: str, **variables: Any) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wssgate-balancer-"))
        self.etc = self.root / "etc"
        self.etc.mkdir()
        self.socket = self.root / "haproxy.sock"
        self.pid_file = self.root / "haproxy.pid"
        self.address = address
        self.variables = variables
        self.files: dict[str, str] = {}
        # For root alone: what has secrets, and the pair of the port for metrics, where there is one.
        self.private: dict[str, str] = {}
        self.pair = ""

    def __enter__(self) -> LocalBalancer:
        try:
            self.render()
            self.apply()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.root)

    def stop(self) -> None:
        """End HAProxy; :meth:`apply` starts it again."""
        family = self.family()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not any(map(is_running, family)), 5)
                break

    def render(self) -> None:
        play, inventory = self.root / "play.yml", self.root / "inventory.json"
        play.write_text(PLAYBOOK)
        variables = {
            "ansible_python_interpreter": sys.executable,
            "balancer_address": self.address,
            "balancer_haproxy_directory": str(self.etc),
            "balancer_haproxy_socket": str(self.socket),
            **self.variables,
        }
        inventory.write_text(json.dumps({"wss_balancers": {"hosts": {"balancer": variables}}}))
        # Its package's account is not on this machine.
        platform = {"__balancer_platform": {"haproxy_user": "", "haproxy_environment": ""}}
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), "-e", json.dumps(platform), str(play)],
            cwd=self.root,
            env={**os.environ, "ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_NOCOWS": "1", "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        self.files = json.loads((self.root / "files.json").read_text())
        self.private = json.loads((self.root / "private.json").read_text())

    def settings(self, files: dict[str, str] | None = None, **settings: Any) -> Settings:
        haproxy = HAProxy(
            str(haproxy_binary()),
            str(self.etc),
            HAPROXY_FILE,
            SERVICES_FOLDER,
            str(self.socket),
            "",
            str(self.pid_file),
        )
        private = {**self.private, **{name.replace(".cfg", ".pem"): self.pair for name in self.private}}
        values: dict[str, Any] = {
            "haproxy": haproxy,
            "keepalived": Keepalived("/nonexistent/keepalived", str(self.root / "keepalived"), "keepalived.conf", ""),
            "haproxy_files": {**(self.files if files is None else files), **private},
            "private": frozenset(private),
            "keepalived_files": {},
            "live_timeout": 20,
        }
        return Settings(**{**values, **settings})

    def apply(self, files: dict[str, str] | None = None, **settings: Any) -> Outcome:
        """What module wss_balancer_config does."""
        return Transaction(self.settings(files, **settings)).run()

    def on_disk(self) -> dict[str, str]:
        return {str(path.relative_to(self.etc)): path.read_text() for path in self.etc.rglob("*") if path.is_file()}

    def worker(self) -> int | None:
        return stats.pid(str(self.socket))

    def state(self, gate: str, service: str | None = None) -> str:
        """up, draining or down."""
        return str(self._gate(gate, service)["state"])

    def check(self, gate: str, service: str | None = None) -> str:
        return str(self._gate(gate, service)["check"])

    def _gate(self, gate: str, service: str | None) -> dict[str, Any]:
        for found in stats.services(str(self.socket)):
            for one in found["gates"]:
                if one["name"] == gate and service in (None, found["name"]):
                    return dict(one)
        raise LookupError(f"HAProxy has no gate {gate}")

    def await_state(self, gate: str, state: str, service: str | None = None) -> None:
        wait_for(lambda: self.state(gate, service) == state)

    def family(self) -> list[int]:
        """Its processes, the first one and all workers, old ones among them."""
        with contextlib.suppress(OSError, ValueError):
            master = int(self.pid_file.read_text().split()[0])
            found = [master]
            for path in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    if int(path.read_text().rpartition(")")[2].split()[1]) == master:
                        found.append(int(path.parent.name))
            return found
        return []
