# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each version of ansible-core has to do."""

from __future__ import annotations

import os
import queue
import re
from pathlib import Path

from controllers import CHECKOUT, FOLDER, TREE, Controller
from hosts import Host, wait_for
from plan import OLDEST_HOSTS
from processes import MatrixError

SANITY = str(TREE / "scripts" / "sanity.sh")
# pylint is held to one processor; two that are at work are not to share it.
PROCESSORS: queue.SimpleQueue[int] = queue.SimpleQueue()
for _one in sorted(os.sched_getaffinity(0)):
    PROCESSORS.put(_one)
# A version's tests that cannot run everywhere. 2.22's pylint wants a package from GitHub at a commit, which a machine
# with an index of packages alone cannot have; the versions before it ask the same.
NOT_ASKED = {"2.22": ("--skip-test", "pylint")}
SUMMARY = re.compile(r"(\d+) passed")


def units(controller: Controller) -> str:
    """The plugins' unit tests, by plain pytest; ansible-test, which `make test` has, starts a process for each."""
    log = f"{controller.core.name}-units"
    python = str(controller.venv / "bin" / "python")
    tests = str(CHECKOUT / "tests" / "unit" / "plugins")
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(CHECKOUT / "tests/pytest.ini"), tests)
    _code, text = controller.run(log, *command)
    return f"{sum(int(one) for one in SUMMARY.findall(text))} tests"


def units_of_modules(controller: Controller, version: str, program: str) -> str:
    """Those of modules and their utilities, on a Python that only hosts have."""
    log = f"python{version}-units"
    venv = FOLDER / f"modules-python{version}"
    wanted = TREE / "tests/unit/requirements.txt"
    if not (venv / ".matrix").exists():
        controller.run(log, program, "-m", "venv", "--clear", str(venv))
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        controller.run(log, *pip, "pytest", "pytest-xdist", "pytest-forked", "mock", "--requirement", str(wanted))
        (venv / ".matrix").touch()
    work = FOLDER / f"modules-python{version}-work"
    _code, text = controller.run(
        *(log, "bash", SANITY, "units", "--python", version),
        **{"PATH": f"{controller.venv}/bin:{venv}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "WSSGATE_CACHE": str(work)},
    )
    return f"{sum(int(one) for one in SUMMARY.findall(text))} tests"


def sanity(controller: Controller) -> str:
    """ansible-test sanity, with the version's own list of what is let pass, and what is not asked."""
    ignored = TREE / "tests" / "sanity" / f"ignore-{minor(controller)}.txt"
    if not ignored.exists():
        raise MatrixError(f"There is no tests/sanity/{ignored.name}")
    # One of them compiles and imports on each Python that this machine has.
    which = "WSSGATE_EVERY_PYTHON" if controller.core.name == OLDEST_HOSTS else "WSSGATE_OWN_PYTHON_ONLY"
    processor = PROCESSORS.get()
    try:
        log = f"{controller.core.name}-sanity"
        command = ("bash", SANITY, "sanity", *NOT_ASKED.get(minor(controller), ()))
        _code, text = controller.run(log, *command, **{which: "1"}, WSSGATE_CPU=str(processor))
    finally:
        PROCESSORS.put(processor)
    return count_of_sanity_tests(text)


def count_of_sanity_tests(text: str) -> str:
    """How many of ansible-test's sanity tests have run, by what it has printed; names may have quotes.

    Raises MatrixError where there is none, as a run that asks nothing passes.
    """
    names = set(re.findall(r'^Running sanity test "?([a-z0-9-]+)', text, re.MULTILINE))
    if not names:
        raise MatrixError("ansible-test has run no sanity test")
    return f"{len(names)} tests"


def minor(controller: Controller) -> str:
    return ".".join(controller.version.split(".")[:2])


def syntax(controller: Controller) -> str:
    playbooks = sorted((TREE / "playbooks").glob("*.yml"))
    names = [f"wssgate.nginx.{path.stem}" for path in playbooks]
    controller.run(f"{controller.core.name}-syntax", "ansible-playbook", "-i", "localhost,", "--syntax-check", *names)
    return f"{len(names)} playbooks"


class Deployment:
    """`site` and the day-to-day playbooks on one host; each step raises MatrixError where it is not as it has to be."""

    def __init__(self, controller: Controller, host: Host) -> None:
        self._controller = controller
        self._host = host
        self._log = host.name

    def run(self) -> str:
        try:
            self._host.start()
            self._deploy()
            self._tokens()
            self._play("check")
            self._drain()
        finally:
            self._host.remove()
        return self._host.way

    def _play(self, playbook: str, *arguments: str, pipelining: bool = True) -> str:
        """Run a playbook; without `pipelining` as Ansible does by default, with a file on the host for each module."""
        environment = {"ANSIBLE_PIPELINING": str(pipelining)}
        if self._host.is_docker:
            # The connection is a collection's, and what the tests of this project have.
            packages = next(Path(os.environ["VENV"]).glob("lib/python3*/site-packages"), Path("none"))
            environment["ANSIBLE_COLLECTIONS_PATH"] = f"{FOLDER / 'tree'}:{packages}"
        inventory = str(self._host.inventory)
        _code, text = self._controller.run(
            *(self._log, "ansible-playbook", "-i", inventory, f"wssgate.nginx.{playbook}", *arguments), **environment
        )
        if "[DEPRECATION WARNING]" in text or "[ERROR]" in text:
            line = next(one for one in text.splitlines() if "[DEPRECATION WARNING]" in one or "[ERROR]" in one)
            raise MatrixError(f"{playbook}: {line}")
        return text

    def _deploy(self) -> None:
        self._play("site", "--check")
        self._play("site", pipelining=False)
        self._host.ask_nginx()
        text = self._play("site")
        if (found := changes(text)) != {self._host.name: 0}:
            raise MatrixError(f"A second run of site changed something: {found}")
        self._expect("no token", 403)

    def _expect(self, what: str, status: int, token: str = "") -> None:
        if (found := self._host.status(token)) != status:
            raise MatrixError(f"{what}: a handshake is answered {found}, not {status}")

    def _tokens(self) -> None:
        text = self._play("token_issue", "-e", "subject=matrix", "-e", "ttl=3600", "-e", "output=json")
        token = issued(text)
        with self._host.handshake(token) as reply:
            if reply.status != 101 or reply.session is None or reply.session.echo("matrix") != "matrix":
                raise MatrixError(f"A handshake with the token is answered {reply.status}, or nothing comes back")
            if "matrix" not in self._play("token_list"):
                raise MatrixError("token_list does not have the token")
            self._play("token_revoke", "-e", "subject=matrix")
            if not reply.session.ended(20):
                raise MatrixError("The session of a revoked token goes on")
        self._expect("a revoked token", 403, token)

    def _drain(self) -> None:
        self._play("drain")
        wait_for("a drained host answers 503", lambda: self._host.status() == 503, 20)


def issued(text: str) -> str:
    """The token that token_issue has shown, as JSON within what Ansible prints."""
    found = re.search(r'"tokens": ?\[\s*"([\w-]+)"', text) or re.search(r'tokens\\?": ?\[\\?"([\w-]+)', text)
    if not found:
        raise MatrixError("token_issue has shown no token")
    return found.group(1)


def changes(text: str) -> dict[str, int]:
    """How many tasks changed something, by host."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", text, re.MULTILINE)
    return {host: int(count) for host, count in found}
