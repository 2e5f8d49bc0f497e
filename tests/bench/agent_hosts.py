# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates with an agent, to measure it: on this machine as the roles render them, or in containers as `site` makes them.

On this machine the agent is a process of its own, made of the files that role token_store puts on a host, and is told
by a socket of systemd's kind when it is ready. In a container it is the service, with its sandbox.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib import collection, processes
from lib.local_gate import LocalGate, free_port

from . import controller

ROOT = Path(__file__).resolve().parents[2]
NAME, ORIGIN = "gate.example.com", "https://app.example.com"
READY_WITHIN = 120.0
# As in the unit of the agent.
WATCHDOG_SECONDS = 30
PACKAGE = "wssgate_tokens"


class AgentProcess:
    """The agent that a host gets, started here. `ready_s` is how long it took until it reported to be ready."""

    def __init__(self, folder: Path, store: Path, log: Path) -> None:
        from ansible_collections.wssgate.nginx.plugins.module_utils._agent import install
        from ansible_collections.wssgate.nginx.plugins.module_utils._host import shipped

        self.folder, self.store, self.log = folder, store, log
        self.python = shipped.choose_python(sys.executable)
        for path, text in {
            **shipped.package_files(str(folder / PACKAGE), install.code("agent")),
            str(folder / "agent"): shipped.start_program(self.python, str(folder), PACKAGE, install.AGENT_PROGRAM),
            str(folder / "prune"): shipped.start_program(self.python, str(folder), PACKAGE, install.PROGRAM),
        }.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        self.said = ""

    def __enter__(self) -> AgentProcess:
        state = self.folder / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        address = self.folder / "notify"
        address.unlink(missing_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(address))
        self._notices.settimeout(READY_WITHIN)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(address),
            "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000),
        }
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [*self._command("agent"), "--state", str(state)],
            env=environment,
            stdout=(self.folder / "output").open("ab"),
            stderr=subprocess.STDOUT,
        )
        try:
            while not self._notices.recv(65536).startswith(b"READY=1"):
                pass
        except TimeoutError:
            self.__exit__()
            raise RuntimeError(f"the agent is not ready: {(self.folder / 'output').read_text()}") from None
        self.ready_s = time.monotonic() - begin
        self._notices.settimeout(None)
        # A full queue would hold the agent up.
        threading.Thread(target=self._hear, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            self._notices.shutdown(socket.SHUT_RDWR)
        self._notices.close()

    def _hear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while words := self._notices.recv(65536):
                for line in words.decode().splitlines():
                    if line.startswith("STATUS="):
                        self.said = line.partition("=")[2]

    def _command(self, program: str) -> list[str]:
        words = [self.python, "-I", str(self.folder / program), "--store", str(self.store)]
        return [*words, "--session-log", str(self.log)]

    @property
    def prune_command(self) -> list[str]:
        """What the timer ran before there was an agent."""
        return self._command("prune")

    @property
    def pid(self) -> int:
        return self.process.pid


class LocalHost:
    """A gate on this machine, with or without TLS, and its upstream. The agent is started by `agent()`."""

    title = "this machine"

    def __init__(self, sessions: int, workers: int = 2) -> None:
        self.port, self.tls_port, self.echo_port = free_port(), free_port(), free_port()
        self.gate = LocalGate([], nginx_sessions=sessions, nginx_worker_processes=workers)
        self.gate.variables |= {
            "wss_proxy_certificates": [self.gate.certificate()],
            "wss_proxy_servers": servers(
                f"http://127.0.0.1:{self.echo_port}",
                [
                    {"address": "127.0.0.1", "port": self.tls_port},
                    {"address": "127.0.0.1", "port": self.port, "tls": False},
                ],
            ),
        }
        self.store, self.log = self.gate.tokens, self.gate.session_log
        self._workers = workers
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LocalHost:
        with contextlib.ExitStack() as stack:
            stack.enter_context(processes.running("load_echo_server", str(self.echo_port)))
            stack.enter_context(self.gate)
            processes.wait_for(lambda: len(self.gate.workers()) == self._workers)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def facts(self) -> dict[str, str]:
        done = subprocess.run([self.gate.binary, "-v"], capture_output=True, text=True, check=True)
        return {"nginx": done.stderr.strip().rpartition("/")[2]}

    def agent(self) -> AgentProcess:
        return AgentProcess(self.gate.root, self.store, self.log)

    def empty(self) -> None:
        """Remove what is in the store; of a store, not the folder itself."""
        subprocess.run(["find", str(self.store), "-mindepth", "1", "-delete"], check=True)

    def run(self, part: str, *words: str) -> dict[str, Any]:
        """A part of bench.agent_ends on this gate."""
        ports = ["--port", str(self.port), "--tls-port", str(self.tls_port)]
        return program(part, self.store, self.log, *ports, *words)


@functools.cache
def tree() -> Path:
    """A folder in which this checkout is a collection."""
    return collection.collections_tree()


def program(part: str, store: Path, log: Path, *words: str) -> dict[str, Any]:
    """A part of bench.agent_ends on this machine."""
    command = [sys.executable, "-m", "bench.agent_ends", part, "--store", str(store), "--log", str(log), *words]
    return result_of(command, {**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{tree()}"})


def servers(upstream: str, listen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Sessions that say nothing while something else is measured stay open.
    location = {"path": "/wss", "upstream": upstream, "origins": [ORIGIN], "idle_timeout": 3600}
    return [{"name": "gate", "server_names": [NAME], "certificate": "gate", "listen": listen, "locations": [location]}]


def result_of(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:8])} … ended with {done.returncode}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class ContainerHost:
    """A Debian host in a container, with systemd, Debian's nginx and Python, deployed by playbook `site`."""

    STORE, LOG = "/var/lib/nginx/tokens", "/var/log/nginx/wssgate/sessions.log"
    VARIABLES = {
        "certificates_list": [{"name": "gate", "provider": "selfsigned", "subject_alt_names": [f"DNS:{NAME}"]}],
        "wss_proxy_http_redirect_enabled": False,
        "wss_proxy_servers": servers(
            "http://127.0.0.1:8080", [{"port": 443}, {"address": "127.0.0.1", "port": 8081, "tls": False}]
        ),
    }

    def __init__(self, title: str, image: str) -> None:
        self.title = title
        # What Ansible modules import: pure Python that runs with the host's version, too.
        import ansible

        volumes = {
            ROOT / "tests": "/mnt/tests",
            Path(ansible.__file__).parent: "/mnt/site/ansible",
            ROOT / "plugins": "/mnt/site/ansible_collections/wssgate/nginx/plugins",
        }
        options = [f"--volume={source}:{target}:ro" for source, target in volumes.items()]
        self.hosts = controller.Hosts(f"agent-{title.lower().replace(' ', '')}", 1, image, options)
        self._folder = Path(tempfile.mkdtemp(prefix="wssgate-bench-agent-"))

    def __enter__(self) -> ContainerHost:
        self.hosts.__enter__()
        try:
            deployed = controller.Contender("site", self.title, controller.SITE, self.VARIABLES, None, self._folder)
            deployed.run(self.hosts)
            self._exec("sh", "-c", "cd / && exec python3 -m lib.echo_server --echo 127.0.0.1:8080 --daemon")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.hosts.__exit__()
        shutil.rmtree(self._folder)

    def _command(self, *words: str) -> list[str]:
        environment = ["--env", "PYTHONPATH=/mnt/tests:/mnt/site", "--env", "PYTHONDONTWRITEBYTECODE=1"]
        return ["docker", "exec", *environment, self.hosts.names[0], *words]

    def _exec(self, *words: str) -> str:
        done = subprocess.run(self._command(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.title}: {' '.join(words)}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def facts(self) -> dict[str, str]:
        return {"nginx": self._exec("nginx", "-v").strip().rpartition("/")[2]}

    @contextlib.contextmanager
    def agent(self) -> Iterator[None]:
        """The service runs already."""
        if self._exec("systemctl", "is-active", "wssgate-agent.service").strip() != "active":
            raise RuntimeError(f"{self.title}: the agent does not run")
        yield

    def run(self, part: str, *words: str) -> dict[str, Any]:
        """A part of bench.agent_ends in the container."""
        command = ["python3", "-m", "bench.agent_ends", part, "--store", self.STORE, "--log", self.LOG]
        return result_of(self._command(*command, "--port", "8081", *words))


CONTAINERS = {
    "debian12": ("Debian 12", "wssgate-test:debian12-nginx"),
    "debian13": ("Debian 13", "wssgate-test:debian13-nginx"),
}
