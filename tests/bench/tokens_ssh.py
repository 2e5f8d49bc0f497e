# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One task of wss_token for many tokens on a host that is reached over SSH: a container of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib import usage
from lib.processes import wait_for

from .tokens_store import names

IMAGE, CONTAINER = "wssgate-test:debian13", "wssgate-bench-tokens-ssh"
# What the host's Python is called by: it notes what the module took.
PYTHON = """\
#!/usr/bin/python3
import resource, subprocess, sys, time
began = time.time()
status = subprocess.call(["/usr/bin/python3", *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open("/root/measured", "a") as note:
    note.write(f"{time.time() - began} {used.ru_utime + used.ru_stime} {used.ru_maxrss}\\n")
sys.exit(status)
"""
START = """\
command -v sshd >/dev/null || { apt-get -qq update; apt-get -qq install -y --no-install-recommends openssh-server; }
mkdir -p -m 0755 /run/sshd; install -d -m 0700 /root/.ssh; printf '%s\\n' "$1" >/root/.ssh/authorized_keys
printf '%s' "$2" >/usr/local/bin/measured-python; chmod 0755 /usr/local/bin/measured-python
mkdir -p /srv/tokens; ssh-keygen -A >/dev/null; exec "$(command -v sshd)" -D -e
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - wssgate.nginx.wss_token:
        path: /srv/tokens
        tokens: "{{ bench_tokens }}"
        subject: bench
        expires_at: 4000000000
"""


@contextlib.contextmanager
def host(folder: Path) -> Iterator[dict[str, Any]]:
    """A host with SSH, as variables of an inventory."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    docker("rm", "--force", CONTAINER)
    docker(
        "run", "--detach", f"--name={CONTAINER}", "--publish=127.0.0.1::22", "--tmpfs=/srv", "--entrypoint=sh", IMAGE,
        "-ec", START, "sh", public, PYTHON,
    )  # fmt: skip
    try:
        port = int(docker("port", CONTAINER, "22").split()[0].rpartition(":")[2])
        wait_for(lambda: greets(port), 300)
        yield {
            "ansible_host": "127.0.0.1", "ansible_port": port, "ansible_user": "root",
            "ansible_ssh_private_key_file": str(key), "ansible_python_interpreter": "/usr/local/bin/measured-python",
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        }  # fmt: skip
    finally:
        docker("rm", "--force", CONTAINER)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


def greets(port: int) -> bool:
    """Whether there is an SSH server; where a container has none yet, Docker accepts and hangs up."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        return client.recv(4) == b"SSH-"
    return False


class Watched(threading.Thread):
    """The most memory that a process and what it has started had together, in KiB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.is_over = pid, 0, False
        self.start()

    def run(self) -> None:
        while not self.is_over:
            self.most = max(self.most, usage.memory_kib(usage.family(self.pid)))
            time.sleep(0.2)


def time_of(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def one_task(tree: Path, folder: Path, variables: dict[str, Any], pipelining: bool) -> dict[str, Any]:
    command = ["ansible-playbook", "-i", "inventory.json", "-e", "@vars.json", "play.yml"]
    environment = {
        **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(tree), "ANSIBLE_PIPELINING": str(pipelining)
    }  # fmt: skip
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": {"gate": variables}}}))
    docker("exec", CONTAINER, "sh", "-c", "rm -f /root/measured; find /srv/tokens -mindepth 1 -delete")
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    watched = Watched(process.pid)
    output, _none = process.communicate()
    seconds = time.perf_counter() - began
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    watched.is_over = True
    watched.join()
    if process.returncode:
        raise RuntimeError(f"ansible-playbook failed: {output[-2000:]}")
    module = docker("exec", CONTAINER, "tail", "-n", "1", "/root/measured").split()
    return {
        "pipelining": pipelining, "seconds": round(seconds, 1), "processor": round(time_of(spent) - time_of(before), 1),
        "mib": round(watched.most / 1024), "module_processor": round(float(module[1]), 1),
        "module_mib": round(int(module[2]) / 1024),
    }  # fmt: skip


def over_ssh(tree: Path, counts: list[int]) -> list[dict[str, Any]]:
    """A task that creates so many tokens, with and without Ansible's pipelining."""
    found = []
    with tempfile.TemporaryDirectory(prefix="wssgate-bench-ssh-") as path, host(Path(path)) as variables:
        folder = Path(path)
        (folder / "play.yml").write_text(PLAY)
        for count in counts:
            (folder / "vars.json").write_text(json.dumps({"bench_tokens": names(count)}))
            found += [
                {"tokens": count, **one_task(tree, folder, variables, pipelining)} for pipelining in (False, True)
            ]
    return found
