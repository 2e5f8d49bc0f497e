# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host in a container: reached over SSH as a user who has sudo, or by the Docker connection as root."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controllers import FOLDER, IMAGE
from lib import wire
from processes import CHILDREN, LABEL, PREFIX, ROOT, MatrixError, docker, remove_container

NAME, ORIGIN = "wcs.example.com", "https://app.example.com"
USER = "deploy"
MAKING_KEY = threading.Lock()
# The inventory of README.md
VARIABLES: dict[str, Any] = {
    "certificates_list": [{"name": "wcs", "provider": "selfsigned", "subject_alt_names": [f"DNS:{NAME}"]}],
    "wss_proxy_servers": [
        {
            "name": "wcs",
            "server_names": [NAME],
            "listen": [{"port": 443}],
            "certificate": "wcs",
            "locations": [
                {"path": "/wss", "upstream": "http://127.0.0.1:8080", "auth": "token", "origins": [ORIGIN]},
            ],
        }
    ],
}


def ssh_key() -> Path:
    """The private key that hosts let in; made once, by whichever asks first."""
    path = FOLDER / "ssh" / "key"
    with MAKING_KEY:
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "matrix", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def cgroup(release: str) -> str:
    """systemd of Debian 14 boots on cgroup v2 alone: scripts/images.sh mounts it where it is nowhere yet."""
    if int(release) < 14:
        return "/sys/fs/cgroup"
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return next((mount[1] for mount in mounts if mount[2] == "cgroup2"), "/sys/fs/cgroup")


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        CHILDREN.go_on()
        if time.monotonic() > end:
            raise MatrixError(f"Waited {seconds:.0f} seconds in vain: {what}")
        time.sleep(0.3)
    return found


@dataclass
class Host:
    """One container for one version, with an echo server where the gate's upstream is."""

    name: str
    release: str
    is_docker: bool = False
    nginx: str = ""

    @property
    def container(self) -> str:
        return f"{PREFIX}-{self.name}"

    @property
    def way(self) -> str:
        return "Docker" if self.is_docker else "SSH and sudo"

    @property
    def inventory(self) -> Path:
        return FOLDER / "inventories" / f"{self.name}.json"

    def start(self) -> None:
        self.remove()
        docker(
            *("run", "--detach", f"--name={self.container}", f"--hostname={self.name}", f"--label={LABEL}"),
            *("--publish=127.0.0.1::22", "--publish=127.0.0.1::443"),
            *("--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=seccomp=unconfined", "--cgroupns=host"),
            *(f"--volume={cgroup(self.release)}:/sys/fs/cgroup:rw", f"--volume={ROOT}/tests/lib:/mnt/tests/lib:ro"),
            *("--tmpfs=/run", "--tmpfs=/tmp", f"{IMAGE}{self.release}"),
        )
        wait_for(f"{self.name} boots", self._has_booted)
        self._let_in()
        echo = "python3 -m lib.echo_server --echo 127.0.0.1:8080 --record /root/upstream.jsonl --daemon"
        docker(
            *("exec", "--env=PYTHONPATH=/mnt/tests", self.container),
            *(*echo.split(), "--pid-file", "/root/upstream.pid"),
        )
        self._write_inventory()

    def ask_nginx(self) -> None:
        """Note which version the role has installed."""
        text = docker("exec", self.container, "nginx", "-v").stderr
        self.nginx = text.strip().rpartition("/")[2]

    def remove(self) -> None:
        remove_container(self.container)

    def _has_booted(self) -> bool:
        # A unit that failed at boot, none of ours, leaves it degraded.
        found = docker("exec", self.container, "systemctl", "is-system-running", check=False).stdout.strip()
        return found in ("running", "degraded")

    def _let_in(self) -> None:
        key = ssh_key().with_suffix(".pub").read_text().strip()
        home = f"/home/{USER}/.ssh"
        script = (
            f"install -d -m 0700 -o {USER} -g {USER} {home}; echo '{key}' >{home}/authorized_keys; "
            f"chown {USER}: {home}/authorized_keys; ssh-keygen -A; systemctl reset-failed ssh; systemctl restart ssh"
        )
        docker("exec", self.container, "sh", "-ec", script)

    def port(self, inner: int) -> int:
        return int(docker("port", self.container, str(inner)).stdout.split()[0].rpartition(":")[2])

    def _write_inventory(self) -> None:
        over_ssh = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port(22),
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(ssh_key()),
            # A container of a minute: its key is known to nobody.
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        }
        by_docker = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.container,
            "ansible_user": "root",
            "ansible_become": False,
        }
        hosts = {self.name: by_docker if self.is_docker else over_ssh}
        self.inventory.parent.mkdir(parents=True, exist_ok=True)
        self.inventory.write_text(json.dumps({"wss_proxies": {"hosts": hosts, "vars": VARIABLES}}, indent=1))

    def handshake(self, token: str) -> wire.Reply:
        endpoint = wire.Endpoint(port=self.port(443), server_name=NAME)
        request = wire.Request(path="/wss", host=NAME).origin(ORIGIN)
        return wire.handshake(endpoint, request.token(token) if token else request, timeout=20)

    def status(self, token: str = "") -> int:
        """What a client is answered."""
        with self.handshake(token) as reply:
            return reply.status
