# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifacts of this version and of the release before it, a Galaxy that has them, and the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lib.galaxy_server import galaxy_server, information

from project import ROOT, Project

# Release 1.0.0.
FORMER = "0005aba44d63e70f4bc462a5f6756337f58ccc54"


def build(source: Path, target: Path) -> Path:
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(target), str(source)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    (artifact,) = target.glob("*.tar.gz")
    return artifact


@pytest.fixture(scope="session")
def current_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("current")
    subprocess.run([str(ROOT / "scripts" / "copy.sh"), str(folder / "source")], check=True, timeout=120)
    return build(folder / "source", folder)


@pytest.fixture(scope="session")
def former_artifact(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Built from its own tree; None where the clone has not its commit."""
    folder = tmp_path_factory.mktemp("former")
    archive = folder / "source.tar"
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", f"--output={archive}", FORMER]
    if subprocess.run(command, check=False, capture_output=True, timeout=60).returncode != 0:
        return None
    (folder / "source").mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder / "source")], check=True, timeout=60)
    archive.unlink()
    return build(folder / "source", folder)


@pytest.fixture(scope="session")
def galaxy(current_artifact: Path, former_artifact: Path | None):
    with galaxy_server([artifact for artifact in (former_artifact, current_artifact) if artifact]) as address:
        yield address


@pytest.fixture(scope="module")
def project(gate, galaxy: str, current_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With the page's files and the two commands that make its secrets."""
    folder = tmp_path_factory.mktemp("own")
    made = Project(folder, galaxy, information(current_artifact)["version"], gate.name)
    made.write("The files")
    made.run_block("Secrets", "ansible-vault encrypt")
    return made


@pytest.fixture(scope="module")
def former(project: Project, former_artifact: Path | None) -> Path:
    """The former release, deployed where nothing is yet."""
    if former_artifact is None:
        pytest.skip(f"this clone has no commit {FORMER[:7]}, which is release 1.0.0 (git fetch --unshallow)")
    if not project.version():
        project.write("Back to the former version")
        _agent, install, deploy = project.commands("Back to the former version")
        project.run(install)
        assert project.changes(project.run(deploy)) > 0
    return former_artifact
