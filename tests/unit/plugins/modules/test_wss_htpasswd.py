# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Password files: written whole, in one step, and never shown."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wssgate.nginx.plugins.modules import wss_htpasswd
from ansible_collections.wssgate.nginx.tests.lib.module_arguments import patch_module_args

HASH = "$6$salt$hidden-hash-of-a-password"
CONTENT = f"# A header\noperator:{HASH}\n"
OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "htpasswd"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*files: dict[str, Any], check: bool = False, diff: bool = True) -> dict[str, Any]:
        entries = [
            {"owner": OWNER, "group": GROUP, "content": CONTENT, **file, "path": str(file["path"])} for file in files
        ]
        arguments = {"files": entries, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wss_htpasswd.main()
        text = capsys.readouterr().out
        assert "hidden-hash" not in text
        result: dict[str, Any] = json.loads(text)
        return result

    return run


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_file_is_written_with_its_attributes_and_a_second_run_changes_nothing(path: Path, run: Any) -> None:
    result = run({"path": path})
    assert result["changed"] and result["changed_files"] == [str(path)]
    assert result["diff"][0]["before"] == "" and result["diff"][0]["after"] == f"{OWNER}:{GROUP} 0640, 1 user\n"
    assert path.read_text() == CONTENT and mode(path) == 0o640
    inode = path.stat().st_ino
    second = run({"path": path})
    assert (second["changed"], second["changed_files"], second["diff"]) == (False, [], [])
    assert path.stat().st_ino == inode
    assert os.listdir(path.parent) == [path.name]


def test_other_content_is_told_without_the_content(path: Path, run: Any) -> None:
    path.write_text("operator:old-secret\nsecond:old-secret\n")
    path.chmod(0o644)
    result = run({"path": path})
    assert result["diff"] == [
        {
            "before_header": str(path),
            "after_header": str(path),
            "before": f"{OWNER}:{GROUP} 0644, 2 users\n",
            "after": f"{OWNER}:{GROUP} 0640, 1 user, new content\n",
        }
    ]
    assert "old-secret" not in json.dumps(result) and path.read_text() == CONTENT and mode(path) == 0o640


def test_a_file_that_others_may_read_is_closed_to_them(path: Path, run: Any) -> None:
    run({"path": path})
    path.chmod(0o666)
    assert run({"path": path})["changed_files"] == [str(path)] and mode(path) == 0o640


def test_whoever_has_the_old_file_open_keeps_it_whole(path: Path, run: Any) -> None:
    path.write_text("old")
    with path.open() as old:
        run({"path": path})
        assert old.read() == "old"


@pytest.mark.parametrize("is_there", [True, False])
def test_check_mode_changes_nothing(path: Path, run: Any, is_there: bool) -> None:
    if is_there:
        path.write_text("old")
        path.chmod(0o644)
    result = run({"path": path}, check=True)
    assert result["changed"]
    assert (path.exists() and path.read_text() == "old" and mode(path) == 0o644) is is_there
    if is_there:
        path.write_text(CONTENT)
        assert run({"path": path}, check=True)["changed"] and mode(path) == 0o644


def test_check_mode_on_a_bare_host_tells_what_would_be_there(tmp_path: Path, run: Any) -> None:
    file = {"path": tmp_path / "nginx" / ".htpasswd", "group": "no-such-group"}
    assert run(file, check=True)["changed_files"] == [str(file["path"])]
    assert os.listdir(tmp_path) == []


def test_a_symlink_is_replaced_and_not_followed(path: Path, tmp_path: Path, run: Any) -> None:
    target = tmp_path / "target"
    target.write_text(CONTENT)
    target.chmod(0o600)
    path.symlink_to(target)
    assert run({"path": path})["changed"]
    assert not path.is_symlink() and path.read_text() == CONTENT and mode(path) == 0o640
    assert mode(target) == 0o600


@pytest.mark.parametrize("what", ["folder", "no folder", "relative", "owner", "group"])
def test_what_cannot_be_is_told_before_anything_is_written(path: Path, tmp_path: Path, run: Any, what: str) -> None:
    wrong: dict[str, Any] = {"path": tmp_path / "wrong"}
    if what == "folder":
        wrong["path"].mkdir()
        words = f"{wrong['path']} is a folder"
    elif what == "no folder":
        wrong["path"] = tmp_path / "nowhere" / "htpasswd"
        words = f"{tmp_path}/nowhere, the folder of {wrong['path']}, is not there"
    elif what == "relative":
        wrong["path"] = "htpasswd"
        words = "htpasswd is not an absolute path"
    else:
        wrong[what] = "no-such-name"
        words = f"{what} no-such-name of {wrong['path']} is not on this host"
    result = run({"path": path}, wrong)
    assert result["failed"] and result["msg"].startswith(words)
    assert not path.exists()


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_other(
    path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("old")

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    result = run({"path": path})
    assert result["failed"] and result["msg"] == f"{path}: No space left on device"
    assert path.read_text() == "old" and os.listdir(path.parent) == [path.name]


def test_nobody_else_can_read_a_file_that_is_not_complete(
    path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.rename

    def look(source: str, target: str, **folders: Any) -> None:
        staged = path.parent / source
        seen.append((oct(staged.stat().st_mode & 0o7777), staged.read_text() == CONTENT))
        real(source, target, **folders)

    monkeypatch.setattr(os, "rename", look)
    run({"path": path})
    assert seen == [("0o640", True)]
