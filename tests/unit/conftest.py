# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What unit tests share: names without random keys, session logs that are append-only only where a test asks for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keys and certificates are made anew in each process: in a test's name, no two of pytest-xdist's would agree."""
    return argname if isinstance(val, str) and "-----BEGIN " in val else None


@pytest.fixture
def append_only(tmp_path: Path) -> None:
    """Session logs get the append-only attribute, as on a host; skips where there is none."""
    probe = tmp_path / "probe"
    probe.touch()
    for change in ("+a", "-a"):
        command = ["chattr", change, str(probe)]
        if not shutil.which("chattr") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("there is no append-only attribute here")
    probe.unlink()


@pytest.fixture(autouse=True)
def logs_that_can_be_removed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Session logs are not append-only, but where a test asks for that (fixture append_only), and nowhere after it."""
    from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import protection as _session_log

    real = _session_log.release
    if "append_only" not in request.fixturenames:
        monkeypatch.setattr(_session_log, "set_append_only", lambda fd, wanted: not wanted)
    yield
    monkeypatch.undo()
    folder = getattr(request.node, "funcargs", {}).get("tmp_path")
    for path in folder.rglob("*.log*") if folder else ():
        real(str(path))
