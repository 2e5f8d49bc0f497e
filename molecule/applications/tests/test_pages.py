# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the cookbook's pages, run as they stand: each prints what its page prints beside it."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import INTERPRETERS, PROGRAMS, STORE
from lib.molecule.gate import Gate

PAGES = Path(__file__).parents[3] / "docs" / "cookbook"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = {
    "js": (INTERPRETERS[".mjs"], f"--import={PROGRAMS}/janus/without_unix_sockets.mjs", "--input-type=module", "-"),
    "python": (INTERPRETERS[".py"], "-"),
}
AUTHORITIES = "/run/authorities.pem"
# The variables that the cookbook's index names
NAMES = re.findall(r"`([A-Z_]*CERT[A-Z_]*)`", (PAGES / "README.md").read_text("utf-8"))


def examples() -> list[Any]:
    """A block of code whose next block is its output."""
    found = []
    for page in sorted(PAGES.glob("*.md")):
        blocks = BLOCK.findall(page.read_text())
        for (language, code), (kind, output) in zip(blocks, blocks[1:], strict=False):
            if language in COMMANDS and kind == "text":
                found.append(pytest.param(language, code, output, id=f"{page.stem}-{language}"))
    return found


@pytest.fixture
def authorities(host: Any) -> str:
    host.check_output(f"cat /etc/nginx/certificates/*/fullchain.pem > {AUTHORITIES}")
    return AUTHORITIES


@pytest.mark.whole
@pytest.mark.parametrize("language, code, output", examples())
def test_an_example_prints_what_its_page_has(
    host: Any, gate: Gate, authorities: str, language: str, code: str, output: str
) -> None:
    token = secrets.token_urlsafe(24)
    host.check_output(f"touch {STORE}/{token}")
    settings = [part for name in NAMES for part in ("--env", f"{name}={authorities}")]
    command = ["docker", "exec", "--interactive", "--workdir", "/opt/applications", "--env", "TOKEN", *settings]
    run = subprocess.run(
        [*command, gate.name, "timeout", "30", *COMMANDS[language]],
        input=code,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, output)
