# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A molecule host on which nginx_config's transaction is run directly, many times and with faults."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

from .gate import Gate

CHECKOUT = Path(__file__).resolve().parents[3]
UTILITIES = "plugins/module_utils"
COLLECTIONS = "/opt/wssgate-test"
RUNNER = f"env PYTHONPATH={COLLECTIONS}:/mnt/tests python3 -m lib.transaction_faults"
MARK = "# Ansible managed by wssgate.nginx\n"


class NginxHost:
    """What is on the host, and the module's logic run there."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.main = self.read("/etc/nginx/nginx.conf")
        self.files = {
            path.removeprefix("/etc/nginx/"): self.read(path) for path in self.sh("ls /etc/nginx/wssgate.d/*").split()
        } | {"nginx.conf": self.main}

    @classmethod
    def prepared(cls, gate: Gate) -> NginxHost:
        """Put the code on the host, beside whatever Ansible has there."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in (CHECKOUT / UTILITIES).glob("*/*.py"):
                tar.add(path, f"ansible_collections/wssgate/nginx/{path.relative_to(CHECKOUT)}")
        gate.run("mkdir", "-p", COLLECTIONS)
        gate.container.put_archive(COLLECTIONS, archive.getvalue())
        return cls(gate)

    def write(self, path: str, content: str) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(path.rpartition("/")[2])
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
        self.gate.container.put_archive(path.rpartition("/")[0], archive.getvalue())

    def sh(self, command: str) -> str:
        return self.gate.run("sh", "-euc", command)

    def read(self, path: str) -> str:
        return self.gate.read(path).decode()

    def with_server(self, listen: str, answer: str = "hello", extra: str = "", name: str = "test") -> dict[str, str]:
        """What is deployed and one more server."""
        server = f"{MARK}server {{\n    listen {listen};\n    {extra}\n    location / {{ return 200 {answer}; }}\n}}\n"
        return self.files | {f"wssgate.d/{name}.conf": server}

    @staticmethod
    def settings(files: dict[str, str], **settings: Any) -> dict[str, Any]:
        """What role nginx gives the module."""
        return {
            "directory": "/etc/nginx",
            "binary": "/usr/sbin/nginx",
            "main_file": "nginx.conf",
            "pid_file": "/run/nginx.pid",
            "owned_directories": ["wssgate.d"],
            "absent": ["sites-enabled/default"],
            "service": "nginx",
            "error_log": "/var/log/nginx/error.log",
            "live_timeout": 10,
            "files": {path: (content, 0o644) for path, content in files.items()},
        } | settings

    def attempt(self, files: dict[str, str], **settings: Any) -> dict[str, Any]:
        """Run the transaction, whatever comes of it."""
        # A file: a command line has its limits.
        self.write(f"{COLLECTIONS}/settings.json", json.dumps(self.settings(files, **settings)))
        answer: dict[str, Any] = json.loads(self.sh(f"{RUNNER} {COLLECTIONS}/settings.json"))
        return answer

    def apply(self, files: dict[str, str], **settings: Any) -> dict[str, Any]:
        """Run the transaction, which has to work."""
        result = self.attempt(files, **settings)
        assert not result["failed"], result["msg"]
        return result

    def get(self, port: int, address: str = "127.0.0.1") -> str:
        """The body of an answer; empty when nobody listens."""
        return self.sh(f"python3 -c '{_GET}' {address} {port}")

    def pids(self, title: str) -> list[int]:
        return [int(pid) for pid in self.sh(f"pgrep -f '^nginx: {title}' || true").split()]

    @property
    def master(self) -> int:
        (pid,) = self.pids("master process")
        return pid

    def snapshot(self) -> str:
        """Names, modes, link targets and content of the whole configuration."""
        return self.sh(
            "cd /etc/nginx; find . -printf '%p %m %u:%g %l\\n' | sort; find . -type f -print0 | sort -z | "
            "xargs -0 sha256sum"
        )

    def wait_for(self, command: str, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while self.gate.container.exec_run(["sh", "-c", command])[0] != 0:
            assert time.monotonic() < deadline, f"waited in vain for: {command}"
            time.sleep(0.1)


_GET = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler(dict()))
try:
    print(opener.open("http://%s:%s/" % (sys.argv[1], sys.argv[2]), timeout=5).read().decode(), end="")
except OSError:
    pass
"""
