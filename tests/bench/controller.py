# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side: wall time, CPU, processes and connections of `site.yml` on containers, beside other roles.

The others are found below --roles, a folder that holds geerlingguy.nginx and nginxinc.nginx; without it only this
collection is measured. A connection is one command that Ansible has the container run, a process what it forks for a
task and host. Needs the images (make images). With --ssh Ansible reaches them as it does by itself, through connections
that it keeps; that needs an image with sshd (make matrix builds wssgate-test:matrix-debian12), which --image names.
--tasks prints what each task of a run that changes nothing costs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import report

ROOT = Path(__file__).resolve().parents[2]

RESULTS = ROOT / "docs" / "performance.json"
IMAGE = "wssgate-test:debian12"
COSTS = {"ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "task_costs"}

SITE = """\
- name: Deploy the gate
  ansible.builtin.import_playbook: wssgate.nginx.site
"""
SITE_VARIABLES: dict[str, Any] = {
    "certificates_list": [{"name": "wcs", "provider": "selfsigned", "subject_alt_names": ["DNS:wcs.example.com"]}],
    "htpasswd_files": [
        {"path": "/etc/nginx/.htpasswd", "users": [{"name": "operator", "password": "correct horse battery staple"}]}
    ],
    "wss_proxy_servers": [
        {
            "name": "wcs",
            "server_names": ["wcs.example.com"],
            "certificate": "wcs",
            "locations": [
                {"path": "/wss", "upstream": "http://127.0.0.1:8080", "origins": ["https://app.example.com"]}
            ],
        }
    ],
}
OTHER = """\
- name: Deploy nginx
  hosts: all
  roles: [{role}]
"""
# One hand-written wss server, with the certificate that Debian makes: the nearest that this role does.
GEERLINGGUY: dict[str, Any] = {
    "nginx_remove_default_vhost": True,
    "nginx_vhosts": [
        {
            "listen": "8443",
            "server_name": "wcs.example.com",
            "filename": "wcs.conf",
            "extra_parameters": """\
    location /wss {
        proxy_pass http://127.0.0.1:8080;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
""",
        }
    ],
}
# Installs nginx and writes no server at all. The operating system's package, as everybody's here.
NGINXINC: dict[str, Any] = {"nginx_install_from": "os_repository", "nginx_logrotate_conf_enable": False}


class Hosts:
    """Containers with systemd, as many as asked for."""

    def __init__(
        self, label: str, count: int, image: str = IMAGE, options: Sequence[str] = (), key: Path | None = None
    ) -> None:
        """``key``: a private key by which Ansible is to come in over SSH."""
        self.names = [f"wssgate-bench-{label}-{number}" for number in range(1, count + 1)]
        self.image, self.options, self.key = image, options, key

    def __enter__(self) -> Hosts:
        self.__exit__()
        for name in self.names:
            subprocess.run(
                [
                    "docker",
                    "run",
                    "--detach",
                    "--name",
                    name,
                    "--cap-add",
                    "SYS_ADMIN",
                    "--cap-add",
                    "NET_ADMIN",
                    "--security-opt",
                    "seccomp=unconfined",
                    "--cgroupns",
                    "host",
                    "--volume",
                    "/sys/fs/cgroup:/sys/fs/cgroup:rw",
                    "--tmpfs",
                    "/run",
                    "--tmpfs",
                    "/tmp",
                    *self.options,
                    self.image,
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        for name in self.names:
            for _try in range(30):
                done = subprocess.run(
                    ["docker", "exec", name, "systemctl", "is-system-running", "--wait"], capture_output=True, text=True
                )
                if done.stdout.strip() == "running":
                    break
                time.sleep(1)
            else:
                raise RuntimeError(
                    f"{name} did not boot: {done.stdout}{done.stderr}. With many hosts, raise "
                    f"fs.inotify.max_user_instances (sysctl)."
                )
            if self.key:
                self._let_in(name, self.key)
        return self

    @staticmethod
    def _let_in(name: str, key: Path) -> None:
        script = (
            f"install -d -m 0700 /root/.ssh; echo '{key.with_suffix('.pub').read_text().strip()}' "
            ">/root/.ssh/authorized_keys; ssh-keygen -A; systemctl reset-failed ssh; systemctl restart ssh"
        )
        subprocess.run(["docker", "exec", name, "sh", "-ec", script], check=True, capture_output=True)

    @staticmethod
    def _address(name: str) -> str:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        done = subprocess.run(["docker", "inspect", "-f", form, name], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def __exit__(self, *_: object) -> None:
        subprocess.run(["docker", "rm", "--force", *self.names], capture_output=True)

    def inventory(self, variables: dict[str, Any]) -> dict[str, Any]:
        common = {"ansible_user": "root", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts: dict[str, Any] = dict.fromkeys(self.names)
        if self.key:
            # A container of some minutes: its key is known to nobody.
            common["ansible_ssh_common_args"] = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
            common["ansible_ssh_private_key_file"] = str(self.key)
            hosts = {name: {"ansible_host": self._address(name)} for name in self.names}
        else:
            common["ansible_connection"] = "community.docker.docker"
        return {"all": {"children": {"wss_proxies": {"hosts": hosts, "vars": common | variables}}}}


class Contender:
    def __init__(
        self, name: str, title: str, play: str, variables: dict[str, Any], roles: Path | None, folder: Path
    ) -> None:
        self.name, self.title, self.variables = name, title, variables
        self.folder = folder / name
        self.folder.mkdir()
        self.costs: list[dict[str, Any]] = []
        (self.folder / "play.yml").write_text(play)
        # The others need facts as variables, and this collection's own tests run without them.
        self.environment = {
            **os.environ,
            "ANSIBLE_INJECT_FACT_VARS": str(roles is not None),
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
        }
        if roles:
            self.environment["ANSIBLE_ROLES_PATH"] = str(roles)

    def run(
        self, hosts: Hosts, *arguments: str, changes: dict[str, Any] | None = None, **environment: str
    ) -> tuple[dict[str, float], str]:
        """Seconds of the clock, and of the controller's processors, which other work disturbs less; the output.

        ``changes`` are variables in the place of the contender's own.
        """
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps(hosts.inventory(self.variables | (changes or {}))))
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(inventory), str(self.folder / "play.yml"), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = {
            "s": time.monotonic() - begin,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        }
        if done.returncode:
            raise RuntimeError(f"{self.title}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
        return spent, done.stdout

    def counts(self, hosts: Hosts) -> dict[str, Any]:
        """Of a run that changes nothing, for one host."""
        costs = self.folder / "costs.json"
        _spent, output = self.run(hosts, "-vvv", WSSGATE_TASK_COSTS=str(costs), **COSTS)
        self.costs = json.loads(costs.read_text())
        return {
            "forks": round(sum(sum(task["forks"].values()) for task in self.costs) / len(hosts.names), 1),
            "tasks": len(re.findall(r"^TASK \[", output, flags=re.M)),
            "connections": round(len(re.findall(r"^<[^>]+> EXEC ", output, flags=re.M)) / len(hosts.names), 1),
            "changed": sum(int(number) for number in re.findall(r"changed=(\d+)", output)),
        }


def print_costs(contender: Contender) -> None:
    """What each task of the last counted run cost; the process of a task may be counted with the next one."""
    print(f"{contender.title}: processes, seconds of the controller's own process and of the others, task")
    for task in contender.costs:
        own, forked = task.get("self_s", 0.0), task.get("forked_s", 0.0)
        print(f"{sum(task['forks'].values()):5d} {own:7.2f} {forked:7.2f}  {task['task']}")


def changed(variables: dict[str, Any]) -> dict[str, Any]:
    """One more origin."""
    servers = json.loads(json.dumps(variables["wss_proxy_servers"]))
    servers[0]["locations"][0]["origins"].append("https://other.example.com")
    return {"wss_proxy_servers": servers}


def measure(contenders: list[Contender], count: int, rounds: int, image: str, key: Path | None) -> dict[str, Any]:
    """First runs one after the other, then runs that change nothing in turns, and one change of the gate."""
    found: dict[str, Any] = {}
    together = [Hosts(contender.name.replace("_", "-"), count, image, key=key) for contender in contenders]
    try:
        for contender, hosts in zip(contenders, together, strict=True):
            hosts.__enter__()
            first, _said = contender.run(hosts)
            found[contender.name] = {
                "title": contender.title,
                "first_s": first["s"],
                "second_s": [],
                "second_cpu_s": [],
                **contender.counts(hosts),
            }
            print(f"{count} hosts: {contender.title}: first run {first['s']:.1f} s", flush=True)
        for number in range(rounds):
            for contender, hosts in zip(contenders, together, strict=True):
                spent, _said = contender.run(hosts)
                found[contender.name]["second_s"].append(spent["s"])
                found[contender.name]["second_cpu_s"].append(spent["cpu_s"])
            print(
                f"{count} hosts: round {number + 1} of {rounds}: "
                + ", ".join(
                    f"{name} {figures['second_s'][-1]:.1f} s, {figures['second_cpu_s'][-1]:.1f} s of CPU"
                    for name, figures in found.items()
                ),
                flush=True,
            )
        for contender, hosts in zip(contenders, together, strict=True):
            if contender.name == "site":
                spent, _said = contender.run(hosts, changes=changed(contender.variables))
                found["site"]["change_s"] = spent["s"]
                print(f"{count} hosts: one more origin is live after {spent['s']:.1f} s", flush=True)
    finally:
        for hosts in together:
            hosts.__exit__()
    for figures in found.values():
        figures["second_median_s"] = statistics.median(figures["second_s"])
        figures["second_median_cpu_s"] = statistics.median(figures["second_cpu_s"])
    return found


def new_key(folder: Path) -> Path:
    path = folder / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roles", type=Path, help="folder with geerlingguy.nginx and nginxinc.nginx")
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--image", default=IMAGE)
    parser.add_argument("--ssh", action="store_true", help="over SSH; needs an image with sshd")
    parser.add_argument("--tasks", action="store_true", help="print what each task costs")
    arguments = parser.parse_args()
    roles = arguments.roles.resolve() if arguments.roles else None
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-controller-") as folder:
        contenders = [Contender("site", "wssgate.nginx.site", SITE, SITE_VARIABLES, None, Path(folder))]
        for name, variables in (("geerlingguy.nginx", GEERLINGGUY), ("nginxinc.nginx", NGINXINC)):
            if roles and (roles / name).is_dir():
                contenders.append(
                    Contender(name.replace(".", "_"), name, OTHER.format(role=name), variables, roles, Path(folder))
                )
        key = new_key(Path(folder)) if arguments.ssh else None
        figures = {}
        for count in arguments.hosts:
            name = f"{count} over SSH" if arguments.ssh else str(count)
            figures[name] = measure(contenders, count, arguments.rounds, arguments.image, key)
        if arguments.tasks:
            for contender in contenders:
                print_costs(contender)
    results = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    # Numbers of hosts that were not measured now stay as they are.
    figures = results.get("controller", {}).get("figures", {}) | figures
    results["controller"] = {"figures": figures, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    arguments.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if "contenders" in results:
        report.write(results, ROOT / "docs")


if __name__ == "__main__":
    main()
