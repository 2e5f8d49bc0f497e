# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for a Web Call Server on the host under test."""

from __future__ import annotations

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

    def play(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """A run of the role on this host."""
        return subprocess.run(
            [
                *("ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], str(CONVERGE), *arguments),
                *("-l", self.host.backend.get_pytest_id().rpartition("://")[2], "-e", json.dumps(variables)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )

    def lines(self, path: str = "") -> list[bytes]:
        """The settings, byte for byte."""
        return bytes.fromhex(self.host.check_output(f"od -An -v -tx1 {path or self.path}")).split(b"\n")

    @property
    def starts(self) -> int:
        return int(self.host.check_output("wc -l < /root/starts"))


@pytest.fixture
def wcs(host: Any) -> Iterator[WebCallServer]:
    """Its settings are after each test as they were before."""
    server = WebCallServer(host)
    host.check_output(f"cp -a {server.path} /root/kept")
    yield server
    host.check_output(f"rm -f {server.path}; cp -a /root/kept {server.path}")
