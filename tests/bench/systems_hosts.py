# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container of each Debian release with its own nginx and HAProxy, and what is compared in it.

The containers share this machine's network, its processes' numbers and its folder for temporary files: client, upstream
and what measures are the same for all of them, and a port of the loopback is the only way in.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib import usage
from lib.load import Target
from lib.local_gate import GateCopy, LocalGate
from lib.processes import end, wait_for

from .contenders import COOKIE, ORIGIN, Bare, Contender, Gate, HAProxy, Shared
from .measures import Without

PROFILES = ("small", "mixed", "large")
# Sessions that the gate and the bare nginx are given room for.
SESSIONS = 4500
DESCRIPTORS = 20_000
# A container ends by itself if this program could not end it.
SECONDS = 3600


class NoSystem(RuntimeError):
    """A container of that release cannot be had; says what to do."""


def docker(*arguments: str, seconds: float = 120, **options: Any) -> str:
    """Standard output of the engine's command; raises NoSystem with what it says."""
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False, **options
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoSystem(f"docker {arguments[0]}: {error}") from error
    if done.returncode:
        raise NoSystem(f"docker {arguments[0]}: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout.strip()


def image_of(release: str, with_haproxy: bool = True) -> str:
    """The image of a release's host; with HAProxy it is built on top of it, once for each."""
    base = f"wssgate-test:debian{release}-nginx"
    try:
        identity = docker("image", "inspect", "--format", "{{.Id}}", base)
    except NoSystem as error:
        raise NoSystem(f"there is no image of Debian {release}: make images RELEASES={release}") from error
    if not with_haproxy:
        return base
    image = f"wssgate-bench:debian{release}"
    with contextlib.suppress(NoSystem):
        if docker("image", "inspect", "--format", '{{index .Config.Labels "wssgate.base"}}', image) == identity:
            return image
    # The same service policy as in the image itself: nothing starts while it is built.
    recipe = f"""\
FROM {base}
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \\
    && apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install haproxy \\
    && rm /usr/sbin/policy-rc.d
LABEL wssgate.base={identity}
"""
    docker("build", "--quiet", "--tag", image, "-", seconds=600, input=recipe)
    return image


class System:
    """A running container of a Debian release."""

    def __init__(self, release: str, with_haproxy: bool = True) -> None:
        self.release, self.title = release, f"Debian {release}"
        self.image = image_of(release, with_haproxy)
        self.container = f"wssgate-systems-{os.getpid()}-debian{release}"
        self.folder = tempfile.gettempdir()

    def __enter__(self) -> System:
        # Without the capability the role could not tell which of the machine's nginx is its own.
        docker(
            "run", "--detach", "--rm", "--init", "--name", self.container,
            "--network", "host", "--pid", "host", "--volume", f"{self.folder}:{self.folder}",
            "--ulimit", f"nofile={DESCRIPTORS}:{DESCRIPTORS}", "--security-opt", "seccomp=unconfined",
            "--cap-add", "SYS_PTRACE",
            self.image, "sleep", str(SECONDS),
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(NoSystem):
            docker("rm", "--force", self.container)

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        return docker("exec", *self._settings(environment), self.container, *command)

    @staticmethod
    def _settings(environment: dict[str, str] | None) -> list[str]:
        return [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]

    def finished(
        self, command: list[str], environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "exec", *self._settings(environment), self.container, *command],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def copy_nginx(self, folder: Path) -> Path:
        """The release's nginx as a file of this machine, which only the container can run."""
        path = folder / f"nginx-debian{self.release}"
        if not path.exists():
            docker("cp", "--follow-link", f"{self.container}:/usr/sbin/nginx", str(path))
        return path

    def versions(self) -> dict[str, str]:
        """Of nginx, the OpenSSL that runs with it, the C library and HAProxy where it is there."""
        package = "dpkg-query -W -f '${Version}' "
        asked = {
            "nginx": package + "nginx",
            "openssl": package + "libssl3t64 2>/dev/null || " + package + "libssl3",
            "libc": package + "libc6",
            # Empty where the bench was asked to do without it
            "haproxy": package + "haproxy 2>/dev/null || true",
        }
        return {name: self.run("sh", "-c", command) for name, command in asked.items()}


# -- nginx and HAProxy in it


def without_blanks(folder: Path) -> Path:
    """The same folder under a name that needs no quotes in a configuration."""
    return folder.rename(folder.with_name(folder.name.replace(" ", "-")))


class SystemBare(Bare):
    """A bare proxy_pass on the release's nginx, with its defaults."""

    def __init__(self, shared: Shared, system: System) -> None:
        self.system, self.name, self.title = system, f"{system.release} bare", f"{system.title}: bare proxy_pass"
        super().__init__(shared)
        self.folder = without_blanks(self.folder)

    def _command(self, *arguments: str) -> None:
        self.system.run(
            "/usr/sbin/nginx", "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log", *arguments
        )

    def version(self) -> str:
        return self.system.versions()["nginx"]


class SystemHAProxy(HAProxy):
    """The release's HAProxy, which checks the same cookie and Origin."""

    binary = Path("/usr/sbin/haproxy")

    def __init__(self, shared: Shared, system: System) -> None:
        self.system, self.name, self.title = system, f"{system.release} haproxy", f"{system.title}: HAProxy"
        super().__init__(shared)
        self.folder = without_blanks(self.folder)

    def start(self) -> None:
        words = " ".join(self.command())
        docker(
            "exec", "--detach", self.system.container,
            "sh", "-c", f"echo $$ >{self.folder}/pid; exec {words} >{self.folder}/log 2>&1",
        )  # fmt: skip
        wait_for(lambda: (self.folder / "pid").exists() and (self.folder / "pid").read_text().strip())

    def pids(self) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return usage.family(int((self.folder / "pid").read_text()))
        return []

    def stop(self) -> None:
        end(self.pids())

    def version(self) -> str:
        return self.system.versions()["haproxy"]


# -- the gate in it


class ContainerGate(LocalGate):
    """The gate that the roles put up in the container, in a folder that this machine sees as well."""

    def __init__(self, system: System, servers: list[dict[str, Any]], **variables: Any) -> None:
        self.system = system
        #: Of the copies that are made from now on.
        self.environment: dict[str, str] = {}
        super().__init__(servers, **variables)
        self.variables |= {
            "ansible_connection": "community.docker.docker",
            "ansible_host": system.container,
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.system.finished([self.binary, "-c", str(self.etc / "nginx.conf"), *arguments])

    def copy(self, edit: Callable[[str, str], str], ports: dict[int, int]) -> ContainerCopy:
        return ContainerCopy(self, edit, ports, self.environment)


class ContainerCopy(GateCopy):
    """The same configuration elsewhere in the container, with something changed in it or around it."""

    def __init__(
        self,
        gate: ContainerGate,
        edit: Callable[[str, str], str],
        ports: dict[int, int],
        environment: dict[str, str],
    ) -> None:
        self.system, self.environment = gate.system, environment
        super().__init__(gate, edit, ports)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.system.finished([self.binary, "-c", str(self.etc / "nginx.conf"), *arguments], self.environment)


class SystemGate(Gate):
    """The gate on the release's nginx; it has a location for each profile of `messages`, named after it."""

    def __init__(self, shared: Shared, system: System) -> None:
        self.system, self.name, self.title = system, f"{system.release} gate", f"{system.title}: this gate"
        super().__init__(shared)

    def _server(self) -> dict[str, Any]:
        server = super()._server()
        (only,) = server["locations"]
        server["locations"] = [{**only, "path": f"/{name}", "messages": name} for name in PROFILES]
        return server

    def prepare(self) -> None:
        """All of start() that cannot be done for several at once."""
        os.environ["WSSGATE_NGINX"] = str(self.system.copy_nginx(self.shared.root))
        shared = self.shared
        certificate = {"name": "bench", "certificate_path": str(shared.certificate), "key_path": str(shared.key)}
        self.local_gate = ContainerGate(
            self.system,
            [self._server()],
            nginx_sessions=SESSIONS,
            wss_proxy_certificates=[certificate],
            wss_proxy_token_store_path=str(shared.tokens),
        )

    def start(self) -> None:
        self.local_gate.__enter__()

    @property
    def target(self) -> Target:
        return Target(self.port, path="/mixed", origin=ORIGIN, cookie=COOKIE)

    def version(self) -> str:
        return self.system.versions()["nginx"]

    def renew(self) -> None:
        """Have workers that had no session yet."""
        self.local_gate.reload()
        wait_for(lambda: not self.local_gate.workers("nginx: worker process is shutting down"), 30)


class Profile(Contender):
    """One location of the gate: it runs already."""

    def __init__(self, gate: SystemGate, profile: str) -> None:
        self.gate, self.shared, self.port = gate, gate.shared, gate.port
        self.name = f"{gate.system.release} {profile}"
        self.title = f"{gate.system.title}: this gate, `messages: {profile}`"
        self.path = f"/{profile}"

    @property
    def target(self) -> Target:
        return Target(self.port, path=self.path, origin=ORIGIN, cookie=COOKIE)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def pids(self) -> list[int]:
        return self.gate.pids()


class Tried(Without):
    """A copy of the gate with one setting changed, in its files or in its environment."""

    def __init__(
        self, gate: SystemGate, name: str, changes: list[tuple[str, str]], environment: dict[str, str] | None = None
    ) -> None:
        super().__init__(gate.shared, gate, f"{gate.system.release} {name}", name, changes)  # type: ignore[arg-type]
        self._environment = environment or {}

    def start(self) -> None:
        self._gate.local_gate.environment = self._environment  # type: ignore[attr-defined]
        super().start()
