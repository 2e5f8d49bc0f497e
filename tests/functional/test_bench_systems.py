# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench NAME=systems` in its short form, on Debian 13's own nginx; and what an idle session takes there.

Memory is the same on a busy machine and on a quiet one. Who makes a session dearer on purpose changes the numbers here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASE, SESSIONS = "13", 300
IMAGE = f"wssgate-test:debian{RELEASE}-nginx"
# With nginx 1.26.3 and OpenSSL 3.5.
KIB_PER_SESSION = {"small": 43.4, "mixed": 47.5}
PARTS = ("handshakes", "messages", "times", "memory", "settings", "tried")


def has_image() -> bool:
    if not shutil.which("docker"):
        return False
    return not subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.systems", *arguments], env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid():
        pytest.skip("the memory of a container's processes is for root to see")
    if not has_image():
        pytest.skip(f"there is no image {IMAGE}: make images")
    folder = tmp_path_factory.mktemp("figures")
    done = bench(
        "--releases", RELEASE, "--no-haproxy", "--rounds", "1", "--scale", "0.02", "--sessions", str(SESSIONS),
        "--sizes", "64", "16384", "--settings", "2", "--python", sys.executable, "--no-picture", "--write", str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (folder / "log").write_text(done.stderr)
    return folder


def figures_of(folder: Path, part: str) -> Any:
    return json.loads((folder / "systems-figures.json").read_text())[part]["figures"]


def test_each_part_is_measured_and_told(measured: Path) -> None:
    assert all(figures_of(measured, part) for part in PARTS)
    page = (measured / "systems-figures.md").read_text()
    for heading in ("Summary", "A handshake", "A message", "How long", "Memory", "What takes", "Tried"):
        assert f"\n## {heading}" in page, heading
    names = {f"{RELEASE} {name}" for name in ("bare", "small", "mixed", "large")}
    assert set(figures_of(measured, "messages")["16384"]) == names


def test_no_container_is_left(measured: Path) -> None:
    left = subprocess.run(["docker", "ps", "--format", "{{.Names}}"], capture_output=True, text=True, check=True).stdout
    mine = re.findall(r"in container (\S+)", (measured / "log").read_text())
    assert len(mine) == 1 and mine[0] not in left.split()


@pytest.mark.parametrize("profile", KIB_PER_SESSION)
def test_an_idle_session_takes_no_more_memory_on_debian_13_than_it_did(measured: Path, profile: str) -> None:
    one = figures_of(measured, "memory")[f"{RELEASE} {profile}"]
    assert (one[str(SESSIONS)] - one["0"]) / SESSIONS == pytest.approx(KIB_PER_SESSION[profile], rel=0.05)


def test_a_release_without_an_image_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    done = bench("--releases", RELEASE, "--python", sys.executable, "--write", str(tmp_path))
    assert done.returncode == 2 and f"make images RELEASES={RELEASE}" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())
