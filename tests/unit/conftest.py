# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets plain `pytest tests/unit` import ansible_collections.wssgate.nginx from any checkout.

`ansible-test units` brings a loader of its own and a checkout that lies where a collection
belongs; there this file does nothing.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def _collections_tree() -> Path:
    """A directory in which this checkout is ansible_collections/wssgate/nginx."""
    tree = Path(tempfile.mkdtemp(prefix="wssgate-unit-"))
    atexit.register(shutil.rmtree, tree, ignore_errors=True)
    namespace = tree / "ansible_collections" / "wssgate"
    namespace.mkdir(parents=True)
    (namespace / "nginx").symlink_to(CHECKOUT, target_is_directory=True)
    return tree


def _install_loader() -> None:
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    tree = str(_collections_tree())
    _AnsibleCollectionFinder(paths=[tree])._install()
    # For the tests that start Ansible.
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(
        part for part in (tree, os.environ.get("ANSIBLE_COLLECTIONS_PATH")) if part
    )


if CHECKOUT.parts[-3:] != ("ansible_collections", "wssgate", "nginx"):
    _install_loader()


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
