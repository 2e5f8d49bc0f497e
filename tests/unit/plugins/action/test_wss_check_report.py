# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on the controller: it is replaced whole, through no link, and its mode is nobody else's to read."""

from __future__ import annotations

import json
import os
import stat
import typing as t
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.wssgate.nginx.plugins.action import wss_check_report
from ansible_collections.wssgate.nginx.plugins.plugin_utils import _check_summary

SUMMARY = _check_summary.summary({"a": {"msg": "no route to host"}}, {}, {}, 14)


def write(path: t.Any, check: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
    given = {"path": str(path), "output": "json", "summary": SUMMARY, **options}
    task = mock.Mock(async_val=0, args=given, check_mode=check)
    action = wss_check_report.ActionModule(task, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock())
    return t.cast(t.Dict[str, t.Any], action.run(task_vars={}))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("output", "beginning"),
    [
        ("html", "<!DOCTYPE html>\n"),
        ("json", '{\n  "time": '),
        ("nagios", "WSSGATE UNKNOWN - a: it could not be asked: no route to host"),
        ("text", "HOST  SERVER"),
    ],
)
def test_each_output_is_written_for_its_owner_alone(tmp_path: Path, output: str, beginning: str) -> None:
    path = tmp_path / "report"
    assert write(path, output=output)["changed"]
    assert path.read_text(encoding="utf-8").startswith(beginning)
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["report"]


def test_text_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    words = "gone\x1b[2J\u202e"
    summary = _check_summary.summary({"a": {"msg": words}}, {}, {}, 14)
    write(tmp_path / "report", output="text", summary=summary)
    text = (tmp_path / "report").read_text(encoding="utf-8")
    assert "could not be asked: gone\\u001b[2J\\u202e\n" in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_report_that_is_there_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    with path.open(encoding="utf-8") as reader:
        write(path)
        assert reader.read() == "old"
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "unknown"
    assert mode(path) == 0o644


@pytest.mark.parametrize("target", ["other", "nowhere"])
def test_a_symlink_is_refused_and_what_it_points_to_is_left_alone(tmp_path: Path, target: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine", encoding="utf-8")
    (tmp_path / "report").symlink_to(tmp_path / target)
    found = write(tmp_path / "report")
    assert found["failed"] and "report is a symlink, which is not followed" in found["msg"]
    assert other.read_text(encoding="utf-8") == "mine" and not (tmp_path / "nowhere").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        found = write(path)
        assert found["failed"] and f"{path} is not a regular file" in found["msg"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = write(tmp_path / "none" / "report")
    assert found["failed"] and f"the folder {tmp_path / 'none'} is not there on the controller" in found["msg"]
    assert not (tmp_path / "none").exists()
    assert write("report")["msg"] == "report: report is no absolute path"


def test_a_disk_that_refuses_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", mock.Mock(side_effect=OSError(28, "No space left on device")))
    found = write(path)
    assert found["failed"] and found["msg"] == f"report: {path} cannot be written: No space left on device"
    assert os.listdir(tmp_path) == ["report"] and path.read_text(encoding="utf-8") == "old"


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert write(tmp_path / "report", check=True)["changed"]
    assert os.listdir(tmp_path) == []
