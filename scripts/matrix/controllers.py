# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An ansible-core in a virtual environment of its own, on this machine or in a container."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from plan import MODULE_PYTHONS, PRE_RELEASE, Core, Interpreter
from processes import CHILDREN, LABEL, PREFIX, ROOT, MatrixError, docker, remove_container

FOLDER = Path(os.environ["CACHE"]) / "matrix"
# The collection as it would be committed, where a collection belongs
COLLECTIONS = FOLDER / "tree"
TREE = COLLECTIONS / "ansible_collections" / "wssgate" / "nginx"
# The same where it is a checkout, for plain pytest
CHECKOUT = FOLDER / "checkout"
LOGS = ROOT / ".cache" / "logs" / "matrix"
IMAGE = "wssgate-test:matrix-debian"
# What ansible-test runs unit tests by, and what those import
REQUIREMENTS = ("pytest", "pytest-xdist", "pytest-forked", "pytest-mock", "mock")
# Of a program that failed
TAIL_LINES, TAIL_WIDTH = 40, 300
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
A_DAY = 24 * 3600


def settings_of_pip() -> tuple[list[str], list[str]]:
    """This machine's, as arguments of docker: environment and mounts."""
    names = [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]
    paths = ["/etc/pip.conf", str(Path.home() / ".config/pip"), "/etc/ssl/certs/ca-certificates.crt"]
    return (
        [f"--env={name}" for name in names],
        [f"--volume={path}:{path}:ro" for path in paths if Path(path).exists()],
    )


@dataclass
class Controller:
    """Where `ansible-playbook` and `ansible-test` of one version run. `pythons`: those of hosts that it manages."""

    core: Core
    interpreter: Interpreter
    version: str = ""
    pythons: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        place = f"debian{self.interpreter.release}" if self.interpreter.release else "here"
        return f"core-{self.core.name}-python{self.interpreter.version}-{place}"

    @property
    def venv(self) -> Path:
        return FOLDER / self.name

    @property
    def container(self) -> str:
        return f"{PREFIX}-{self.name}"

    @property
    def work(self) -> Path:
        """For what it writes."""
        return FOLDER / f"{self.name}-work"

    def run(
        self, log: str, *command: str, check: bool = True, timeout: float = 1500, **environment: str
    ) -> tuple[int, str]:
        """Run a command with the virtual environment's programs first; its exit code and what it printed."""
        path = LOGS / f"{log}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        variables = {
            **{"LC_ALL": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "160", "ANSIBLE_NOCOLOR": "1"},
            **{"WSSGATE_VENV": str(self.venv), "WSSGATE_CACHE": str(self.work)},
            **{"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(self.work / "ansible")},
            **self.environment,
            **environment,
        }
        self.work.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"$ {' '.join(command)}\n")
            file.flush()
            start = file.tell()
            try:
                code = CHILDREN.run(
                    self._wrapped(command, variables),
                    timeout,
                    **{"stdout": file, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL},
                    **{"env": {**os.environ, "PATH": f"{self.venv}/bin:{os.environ['PATH']}", **variables}},
                    cwd=self.work,
                )
            except subprocess.TimeoutExpired:
                raise MatrixError(f"{Path(command[0]).name} has not ended after {timeout:.0f} s; log: {path}") from None
        text = path.read_bytes()[start:].decode(errors="replace")
        if check and code:
            names = " ".join(Path(one).name for one in command[:3])
            raise MatrixError(f"{names} ended with {code}; whole log: {path}{ending(text)}")
        return code, text

    def _wrapped(self, command: tuple[str, ...], variables: dict[str, str]) -> list[str]:
        """The command as this machine or docker takes it."""
        if not self.interpreter.release:
            return list(command)
        path = f"{self.venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        given = [f"--env={name}={value}" for name, value in {**variables, "PATH": path}.items()]
        return ["docker", "exec", *settings_of_pip()[0], *given, f"--workdir={self.work}", self.container, *command]

    def start(self) -> None:
        """Have the container, where one is needed. It shares this machine's network, and our folder."""
        if not self.interpreter.release:
            return
        remove_container(self.container)
        docker(
            *("run", "--detach", "--init", f"--name={self.container}", f"--label={LABEL}", "--network=host"),
            *(f"--volume={FOLDER}:{FOLDER}", *settings_of_pip()[1]),
            *(f"{IMAGE}{self.interpreter.release}", "sleep", "infinity"),
        )

    def stop(self) -> None:
        if self.interpreter.release:
            remove_container(self.container)

    def install(self) -> None:
        """Fill the virtual environment, anew after a day: the newest fixes are part of what is proven."""
        log = f"{self.core.name}-install"
        wanted = "\n".join([self.core.requirement, *REQUIREMENTS, (TREE / "tests/unit/requirements.txt").read_text()])
        stamp = self.venv / ".matrix"
        if not (stamp.exists() and stamp.read_text() == wanted and time.time() - stamp.stat().st_mtime < A_DAY):
            program = self.interpreter.program or f"python{self.interpreter.version}"
            self.run(log, program, "-m", "venv", "--clear", str(self.venv))
            pre = ["--pre"] if self.core.name == PRE_RELEASE else []
            self.run(
                *(log, f"{self.venv}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *(*pre, self.core.requirement),
            )
            self.run(
                *(log, f"{self.venv}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *(*REQUIREMENTS, "--requirement", str(TREE / "tests/unit/requirements.txt")),
            )
            stamp.write_text(wanted)
        self._ask(log)

    def _ask(self, log: str) -> None:
        """Which version it is, and which Pythons of hosts it knows."""
        question = (
            "from ansible.release import __version__; print(__version__)\n"
            "from ansible_test._util.target.common import constants as c\n"
            "print(*c.REMOTE_ONLY_PYTHON_VERSIONS, *c.CONTROLLER_PYTHON_VERSIONS)"
        )
        _code, text = self.run(log, f"{self.venv}/bin/python", "-c", question)
        self.version, pythons = text.strip().splitlines()[-2:]
        found = re.findall(r"\d+\.\d+", pythons)
        self.pythons = tuple(one for one in found if one in MODULE_PYTHONS)


def ending(text: str) -> str:
    """What a program printed last, further in than what is said about it, as a terminal can show it."""
    lines = text.rstrip().splitlines()[-TAIL_LINES:]
    return "".join(f"\n    {CONTROLS.sub('?', line[:TAIL_WIDTH])}" for line in lines)


def build_images(releases: list[str]) -> None:
    """A host and controller of each Debian release, from the one that molecule's hosts start from."""
    log = LOGS / "images.log"
    log.unlink(missing_ok=True)
    _build(log, "The images", [str(ROOT / "scripts" / "images.sh"), *releases], 3600)
    for release in releases:
        base = f"--build-arg=BASE=wssgate-test:debian{release}"
        command = ["docker", "build", "--quiet", base, f"--tag={IMAGE}{release}", str(ROOT / "scripts" / "matrix")]
        _build(log, f"The image of Debian {release}", command, 1800)


def _build(log: Path, what: str, command: list[str], timeout: float) -> None:
    with log.open("a") as file:
        code = CHILDREN.run(command, timeout, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if code:
        text = log.read_text(errors="replace")
        raise MatrixError(f"{what} could not be built; whole log: {log}{ending(text)}")
