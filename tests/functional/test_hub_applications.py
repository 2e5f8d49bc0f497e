# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/hub-tokens.md, as they stand there: an application's user issues, a gate has the token."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._hub import keys, settings
from ansible_collections.wssgate.nginx.plugins.module_utils._hub.merge import Rules

from lib import pki
from lib.agent_process import AgentProcess
from lib.hub_server import FLEET, HubServer
from lib.processes import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent is for root")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "hub-tokens.md"
# What prints the token, and the program that runs the example. Debian's Python has python3-redis.
PROGRAMS = {
    "python": ('\nprint(issue("client-42"))\n', ["/usr/bin/python3"]),
    "js": (
        '\nissue("client-42").then((token) => { console.log(token); return hub.disconnect(); })'
        ".catch((problem) => { console.error(problem); process.exit(1); });\n",
        ["node"],
    ),
    "php": ('\necho issue("client-42"), "\\n";\n', ["php"]),
}
GATE = "g1"


def example(language: str) -> str:
    """The guide's one block of this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


class Application:
    """Where an example is run, with a password and an authority of its own."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder, self.port = folder, hub.port
        self.host = "localhost"
        self.issuer = "app"
        self.password, self.ca = folder / "hub-password", folder / "hub-ca.pem"
        shutil.copy(hub.password_file(keys.issuer_user("app")), self.password)
        shutil.copy(hub.ca, self.ca)

    def run(self, language: str) -> subprocess.CompletedProcess[str]:
        code = example(language)
        for there, here in (
            ("hub.example.com", self.host), ("6379", str(self.port)), ("/etc/my-app", str(self.folder)),
            ("{wssgate:main}:issue:app", keys.issue(FLEET, self.issuer)),
        ):  # fmt: skip
            assert there in code, f"{there} is not in the example in {language}"
            code = code.replace(there, here)
        end, program = PROGRAMS[language]
        file = self.folder / f"example.{language}"
        file.write_text(code + end)
        environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
        return subprocess.run(
            [*program, str(file)], capture_output=True, text=True, timeout=30, check=False, env=environment
        )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    found = HubServer(
        tmp_path_factory.mktemp("applications") / "hub", [GATE], {"app": Rules(3600, ("client-",)), "shop": Rules(60)}
    )
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, hub: HubServer) -> Iterator[Path]:
    """The tokens of a gate that follows the hub."""
    root = tmp_path_factory.mktemp("gate")
    tokens, log = root / "tokens", root / "sessions.log"
    tokens.mkdir(mode=0o710)
    log.touch(mode=0o600)
    agent = AgentProcess(root / "agent", tokens, log)
    file = agent.state / settings.NAME
    file.write_text(settings.text_of(hub.settings_of(GATE)))
    file.chmod(0o600)
    agent.start()
    wait_for(lambda: "follows the hub" in agent.status)
    yield tokens
    agent.kill()


@pytest.fixture
def application(tmp_path: Path, hub: HubServer) -> Application:
    return Application(tmp_path, hub)


@pytest.mark.parametrize("language", PROGRAMS)
def test_what_an_application_issues_is_admitted(language: str, application: Application, store: Path) -> None:
    result = application.run(language)
    token = result.stdout.strip()
    assert result.returncode == 0 and re.fullmatch(r"[A-Za-z0-9_-]{32,48}", token), result.stderr
    wait_for((store / token).exists)
    found = json.loads((store / token).read_text())
    assert found["subject"] == "client-42" and found["expires_at"] - found["issued_at"] in (3600, 3601)


@pytest.mark.parametrize("language", PROGRAMS)
@pytest.mark.parametrize("wrong", ["name", "authority", "password", "stream", "away"])
def test_an_application_is_told_and_nobody_else_gets_its_password(
    language: str, wrong: str, application: Application, hub: HubServer, tmp_path: Path
) -> None:
    length = hub.call("XLEN", keys.issue(FLEET, "app"))
    password = application.password.read_text().strip()
    if wrong == "name":
        application.host = "127.0.0.1"
    elif wrong == "authority":
        application.ca.write_bytes(pki.issue("another authority", ca=True).pem)
    elif wrong == "password":
        password = "nobody-has-this-password"
        application.password.write_text(password)
    elif wrong == "stream":
        application.issuer = "shop"
    else:
        application.port = 1
    result = application.run(language)
    assert result.returncode != 0 and result.stdout.strip() == "" or "Fatal error" in result.stdout, result.stdout
    assert password not in result.stdout + result.stderr
    assert hub.call("XLEN", keys.issue(FLEET, "app")) == length
    assert hub.call("XLEN", keys.issue(FLEET, "shop")) == 0
