# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for a Web Call Server on the host under test."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONVERGE = Path(__file__).parents[1] / "converge.yml"


@dataclass(frozen=True)
class WebCallServer:
    host: Any
    path: str = "/usr/local/FlashphonerWebCallServer/conf/flashphoner.properties"
    # Where the role notes that a restart is owed.
    note: str = "/run/wssgate-wcs-webcallserver.restart"

    def play(self, *arguments: str, play: Path = CONVERGE, **variables: Any) -> subprocess.CompletedProcess[str]:
        """A run of the role on this host."""
        return subprocess.run(
            [
                *("ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], str(play), *arguments),
                *("-l", self.host.backend.get_pytest_id().rpartition("://")[2], "-e", json.dumps(variables)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )

    def lines(self, path: str = "") -> list[bytes]:
        """The settings, byte for byte."""
        return bytes.fromhex(self.host.check_output(f"od -An -v -tx1 {path or self.path}")).split(b"\n")

    @property
    def starts(self) -> int:
        return int(self.host.check_output("wc -l < /root/starts"))

    @property
    def owes_restart(self) -> bool:
        return self.host.file(self.note).exists

    @contextlib.contextmanager
    def drop_in(self, *lines: str) -> Iterator[None]:
        """The service with these lines in its unit, too."""
        folder = "/run/systemd/system/webcallserver.service.d"
        self.host.check_output(
            f"mkdir -p {folder}; echo '{chr(10).join(lines)}' > {folder}/test.conf; systemctl daemon-reload"
        )
        try:
            yield
        finally:
            self.host.check_output(f"rm -r {folder}; systemctl daemon-reload")


@pytest.fixture
def wcs(host: Any) -> Iterator[WebCallServer]:
    """After each test its settings and its number of starts are as before; it runs, and no restart is owed."""
    server = WebCallServer(host)
    host.check_output(f"cp -a {server.path} /root/kept; cp /root/starts /root/starts.kept")
    yield server
    host.check_output(f"rm -f {server.path}; cp -a /root/kept {server.path}; rm -rf {server.note}")
    host.check_output("systemctl start webcallserver; cp /root/starts.kept /root/starts")
