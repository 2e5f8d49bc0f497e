# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the project going: workflows, hooks, updates, pins, releases, the threat model, make's help."""

from __future__ import annotations

import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
# What a workflow's job may beyond reading the repository.
RIGHTS = {("docs", "publish"): {"pages": "write", "id-token": "write"}}
SECRETS = {("release", "publish", "secrets.GALAXY_TOKEN")}


def loaded(path: Path) -> dict[str, t.Any]:
    return yaml.safe_load(path.read_text("utf-8"))


def jobs() -> list[tuple[str, str, dict[str, t.Any]]]:
    return [(path.stem, name, job) for path in WORKFLOWS for name, job in loaded(path)["jobs"].items()]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_action_is_named_by_its_commit_and_its_version(path: Path) -> None:
    uses = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    assert uses
    assert [use for use in uses if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


def test_an_action_is_the_same_everywhere() -> None:
    uses = {use for path in WORKFLOWS for use in re.findall(r"uses: *(.*)", path.read_text("utf-8"))}
    assert len(uses) == len({use.split("@")[0] for use in uses})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_nothing_else(path: Path) -> None:
    workflow = loaded(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow["on"]


def test_a_job_has_no_more_rights_than_it_needs_and_an_end() -> None:
    assert {(path, name): job["permissions"] for path, name, job in jobs() if "permissions" in job} == RIGHTS
    assert [(path, name) for path, name, job in jobs() if not job.get("timeout-minutes")] == []


def test_no_checkout_leaves_a_token_on_the_disk() -> None:
    steps = [step for _path, _name, job in jobs() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_secrets_come_by_the_environment_of_one_step_and_nothing_is_put_into_a_command() -> None:
    found = set()
    for path, name, job in jobs():
        for step in job["steps"]:
            # Text from outside would be part of the program.
            assert "${{" not in step.get("run", ""), (path, name)
            found |= {(path, name, secret) for secret in re.findall(r"secrets\.\w+", yaml.safe_dump(step))}
            if "secrets." in yaml.safe_dump(step):
                assert all("secrets." not in str(value) for key, value in step.items() if key != "env")
    assert found == SECRETS
    assert all("secrets." not in str(job.get("env", "")) for _path, _name, job in jobs())


def test_a_release_waits_for_whoever_may_approve_it() -> None:
    publish = loaded(ROOT / ".github/workflows/release.yml")["jobs"]["publish"]
    assert (publish["environment"], publish["needs"]) == ("galaxy", "build")


def test_every_target_and_script_that_a_workflow_runs_is_there() -> None:
    runs = [step["run"] for _path, _name, job in jobs() for step in job["steps"] if "run" in step]
    for target in re.findall(r"^make ([a-z-]+)", "\n".join(runs), re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for script in re.findall(r"scripts/[\w.-]+", "\n".join(runs)):
        assert (ROOT / script).is_file(), script


def test_hooks_are_the_project_s_own_tools_and_have_no_versions() -> None:
    assert [repository["repo"] for repository in HOOKS] == ["local"]
    for hook in HOOKS[0]["hooks"]:
        assert hook["language"] == "system" and "additional_dependencies" not in hook
        words = hook["entry"].split()
        assert words[0] == "shellcheck" or words[0] == "scripts/with.sh"
        assert [word for word in words if re.match(r"(scripts|tests)/", word) and not (ROOT / word).exists()] == []


def test_hooks_check_as_lint_does() -> None:
    lint = (ROOT / "scripts" / "lint.sh").read_text("utf-8")
    for hook in HOOKS[0]["hooks"]:
        command = hook["entry"].removeprefix("scripts/with.sh ")
        if not command.startswith(("python", "pytest")):
            assert f"check {command}" in lint, command


def test_dependabot_looks_where_something_is_pinned() -> None:
    files = {"pip": "requirements*.txt", "github-actions": ".github/workflows/*.yml", "npm": "package.json"}
    updates = loaded(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(files)
    for update in updates:
        assert list((ROOT / update["directory"].lstrip("/")).glob(files[update["package-ecosystem"]])), update
    manifests = {path.parent for path in (ROOT / "molecule").rglob("package.json") if "node_modules" not in path.parts}
    npm = {ROOT / update["directory"].lstrip("/") for update in updates if update["package-ecosystem"] == "npm"}
    assert manifests == npm


def test_what_several_files_pin_has_one_version() -> None:
    versions: dict[str, set[str]] = {}
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                requirement = Requirement(line)
                assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), line
                # An old Python may have another one.
                name = f"{requirement.name}; {requirement.marker}"
                versions.setdefault(name, set()).add(str(requirement.specifier))
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_for_development_is_not_in_the_artifact() -> None:
    ignored = loaded(ROOT / "galaxy.yml")["build_ignore"]
    hidden = [path.name for path in ROOT.iterdir() if path.name.startswith(".") and path.name != ".mypy_cache"]
    others = [path.name for path in ROOT.glob("requirements*.txt")] + ["Makefile", "mypy.ini", "ruff.toml"]
    assert sorted({*hidden, *others} - set(ignored) - {".ruff_cache"}) == []


@pytest.fixture
def release(tmp_path: Path) -> t.Callable[..., str]:
    """What release-check.sh says to a tag, in a checkout of version 1.2.0 with that changelog; nothing if it may go."""

    def check(tag: str, changelog: str = "## v1\\.2\\.0\n", fragment: str = "") -> str:
        for name in ("lib.sh", "release-check.sh"):
            (tmp_path / "scripts").mkdir(exist_ok=True)
            shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
        (tmp_path / "changelogs" / "fragments").mkdir(parents=True)
        (tmp_path / "galaxy.yml").write_text("name: nginx\nversion: 1.2.0\n")
        (tmp_path / "CHANGELOG.md").write_text(changelog)
        if fragment:
            (tmp_path / "changelogs" / "fragments" / fragment).touch()
        command = [str(tmp_path / "scripts" / "release-check.sh"), tag]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        return result.stderr if result.returncode else ""

    return check


def test_a_tag_that_is_the_version_can_be_released(release: t.Callable[..., str]) -> None:
    assert release("1.2.0") == ""


@pytest.mark.parametrize("tag", ["1.2.1", "1x2.0", "v1.2.0", ""])
def test_another_tag_cannot(release: t.Callable[..., str], tag: str) -> None:
    assert "galaxy.yml has version 1.2.0" in release(tag)


@pytest.mark.parametrize("changelog", ["", "## v1\\.1\\.0\n", "## v1\\.2\\.01\n", "text ## v1\\.2\\.0\n"])
def test_a_version_without_a_changelog_cannot(release: t.Callable[..., str], changelog: str) -> None:
    assert "make changelog" in release("1.2.0", changelog)


def test_nor_with_a_fragment_that_is_left_over(release: t.Callable[..., str]) -> None:
    assert "late.yml" in release("1.2.0", fragment="late.yml")


def test_what_the_threat_model_says_is_tested_is() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    rows = [row.split("|") for row in text.splitlines() if re.match(r"\| [STRIDE] \|", row)]
    assert len(rows) > 40
    for row in rows:
        where = row[4]
        scenarios = re.findall(r"`([a-z_]+)`", where)
        files = re.findall(r"`(test_\w+\.py)`", where)
        assert scenarios or files or "out of scope" in where, row
        assert [name for name in scenarios if not (ROOT / "molecule" / name / "molecule.yml").is_file()] == [], row
        assert [name for name in files if not (ROOT / "tests" / "functional" / name).is_file()] == [], row


def test_the_threat_model_has_each_kind_of_threat_for_each_part() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8").split("## What a gate defends against", 1)[1]
    for part in text.split("\n### ")[1:]:
        assert set(re.findall(r"^\| ([STRIDE]) \|", part, re.MULTILINE)) == set("STRIDE"), part.split("\n")[0]


def test_help_shows_each_target_below_a_heading() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    groups = re.split(r"\n\n", shown.stdout.strip())
    assert [group.split("\n")[0] for group in groups[1:]] == re.findall(r"^##@ (.*)", MAKEFILE, re.MULTILINE)
    assert all(len(group.split("\n")) > 1 for group in groups[1:])
    targets = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert set(re.findall(r"^  make ([a-z-]+) ", shown.stdout, re.MULTILINE)) == targets
