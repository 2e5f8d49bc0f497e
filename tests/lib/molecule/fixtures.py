# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin of the molecule tests: the `gate` fixture, and the host's words on a failure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from .gate import Gate

# What a failed test should be read beside: a title and a command that prints it.
EVIDENCE = (
    ("error.log of nginx", "tail -n 30 /var/log/nginx/error.log"),
    ("session log", "tail -n 15 /var/log/nginx/wss_access.log"),
    ("journal of nginx", "journalctl --no-pager --lines 20 --unit nginx"),
)


@pytest.fixture(scope="module")
def gate(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """The host under test as its clients see it."""
    return Gate(name=host.backend.get_pytest_id().rpartition("://")[2], scratch=tmp_path_factory.mktemp("gate"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and report.when in ("setup", "call") and host is not None:
        for title, command in EVIDENCE:
            output = host.run(command)
            report.sections.append((title, output.stdout.strip() or output.stderr.strip() or "(empty)"))
    return report
