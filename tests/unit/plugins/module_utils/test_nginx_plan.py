# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.plan import (
    Planner,
    Settings,
    check_settings,
    saved_name,
)

MARK = "# wssgate.nginx\n"
FILES = {"nginx.conf": (MARK + "main", 0o644), "wssgate.d/a.conf": (MARK + "a", 0o644)}


def settings(directory="/etc/nginx", **values):
    defaults = {
        "directory": str(directory),
        "binary": "/usr/sbin/nginx",
        "main_file": "nginx.conf",
        "pid_file": "/run/nginx.pid",
        "files": FILES,
        "owned_directories": ["wssgate.d"],
    }
    return Settings(**{**defaults, **values})


def plan(directory, **values):
    planner = Planner(settings(directory, **values))
    changes = planner.plan()
    assert len({change.path for change in changes}) == len(changes)
    return {change.path: change for change in changes}, planner.warnings


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "wssgate.d").mkdir()
    for path, (content, mode) in FILES.items():
        (tmp_path / path).write_text(content)
        (tmp_path / path).chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"directory": "etc"}, "absolute"),
        ({"marker": " "}, "marker has to be"),
        ({"marker": "a\nb"}, "marker has to be"),
        ({"live_timeout": 0}, "live_timeout"),
        ({"main_file": "a/nginx.conf"}, "directory itself"),
        ({"files": {}}, "have to contain main_file"),
        ({"files": {**FILES, "../x.conf": (MARK, 0o644)}}, "relative"),
        ({"files": {**FILES, "/x.conf": (MARK, 0o644)}}, "relative"),
        ({"files": {**FILES, "wssgate.d//x.conf": (MARK, 0o644)}}, "relative"),
        ({"files": {**FILES, "wssgate.d/./x.conf": (MARK, 0o644)}}, "relative"),
        ({"files": {**FILES, "wssgate.d/x\x1f.conf": (MARK, 0o644)}}, "control character"),
        ({"files": {**FILES, "wssgate.d/x\x7f.conf": (MARK, 0o644)}}, "control character"),
        ({"files": {**FILES, "wssgate.d/x.wssgate-saved": (MARK, 0o644)}}, "itself"),
        ({"files": {**FILES, "conf.d/x.conf": (MARK, 0o644)}}, "owned_directories"),
        ({"files": {**FILES, "wssgate.d/a.conf/b.conf": (MARK, 0o644)}}, "itself one of files"),
        ({"files": {**FILES, "wssgate.d/b.conf": ("b", 0o644)}}, "marker 'wssgate.nginx' in its first five lines"),
        ({"owned_directories": ["wssgate.d", "."]}, "relative"),
        ({"owned_directories": ["wssgate.d", ".wssgate-work-x"]}, "itself"),
        ({"absent": ["../x"]}, "relative"),
        ({"absent": ["wssgate.d/a.conf"]}, "in files and in absent"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(values, message):
    with pytest.raises(NginxError, match=message):
        check_settings(settings(**values))


def test_a_blank_in_a_path_and_no_files_with_absent_are_fine():
    check_settings(settings(files={**FILES, "wssgate.d/x y.conf": (MARK, 0o644)}))
    check_settings(settings(files={}, present=False))


def test_nothing_to_do_is_no_change(etc):
    assert plan(etc) == ({}, [])
    (etc / "nginx.conf.wssgate-saved").write_text("package")
    assert plan(etc) == ({}, [])


def test_folders_need_not_be_there(tmp_path):
    changes, warnings = plan(
        tmp_path, files={**FILES, "wssgate.d/sub/b.conf": (MARK, 0o644)}, absent=["sites-enabled/default"]
    )
    assert set(changes) == {*FILES, "wssgate.d/sub/b.conf"} and not warnings


def test_a_file_without_the_marker_is_somebody_elses(etc):
    (etc / "wssgate.d" / "a.conf").write_text("theirs")
    with pytest.raises(NginxError, match="a.conf is there without the marker 'wssgate.nginx'"):
        plan(etc)


def test_a_few_of_many_others_are_named(etc):
    for number in range(10):
        (etc / "wssgate.d" / f"theirs{number:02}").write_text("")
    assert plan(etc)[1][0].endswith("theirs09")
    (etc / "wssgate.d" / "theirs10").write_text("")
    assert plan(etc)[1][0].endswith("theirs09 …")


def test_files_come_before_the_main_file_and_removals_after_it(tmp_path):
    (tmp_path / "wssgate.d").mkdir()
    (tmp_path / "wssgate.d" / "0.conf").write_text(MARK)
    changes, _ = plan(tmp_path)
    assert list(changes) == ["wssgate.d/a.conf", "nginx.conf", "wssgate.d/0.conf"]


def test_content_mode_and_owner_count(etc, monkeypatch):
    (etc / "nginx.conf").chmod(0o600)
    (etc / "wssgate.d" / "a.conf").write_text(MARK + "other")
    assert set(plan(etc)[0]) == set(FILES)
    if os.geteuid() == 0:
        for path, (content, mode) in FILES.items():
            (etc / path).write_text(content)
            (etc / path).chmod(mode)
        os.chown(etc / "nginx.conf", 4711, -1)
        assert set(plan(etc)[0]) == {"nginx.conf"}


def test_the_main_file_of_others_is_saved_once(etc):
    (etc / "nginx.conf").write_text("package")
    changes, _ = plan(etc)
    assert changes["nginx.conf.wssgate-saved"].after.content == b"package"
    assert list(changes).index("nginx.conf.wssgate-saved") < list(changes).index("nginx.conf")
    (etc / "nginx.conf.wssgate-saved").write_text("package")
    assert set(plan(etc)[0]) == {"nginx.conf"}


def test_an_older_saved_main_file_is_not_lost(etc):
    (etc / "nginx.conf").write_text("package 2")
    (etc / "nginx.conf.wssgate-saved").write_text("package 1")
    (etc / "nginx.conf.wssgate-saved.1").write_text("package 0")
    changes, _ = plan(etc)
    assert changes["nginx.conf.wssgate-saved"].after.content == b"package 2"
    assert changes["nginx.conf.wssgate-saved.2"].after.content == b"package 1"
    assert "nginx.conf.wssgate-saved.1" not in changes


def test_unwanted_files_of_ours_go_and_others_stay(etc):
    (etc / "wssgate.d" / "sub").mkdir()
    for name, content in {
        "ours.conf": MARK,
        "sub/ours.conf": MARK,
        "theirs.conf": "x",
        "sub/theirs": "y",
        ".ours.conf.swp": MARK,
    }.items():
        (etc / "wssgate.d" / name).write_text(content)
    (etc / "wssgate.d" / "link.conf").symlink_to("ours.conf")
    (etc / "ours.conf").write_text(MARK)
    changes, warnings = plan(etc)
    assert set(changes) == {"wssgate.d/ours.conf", "wssgate.d/sub/ours.conf"}
    assert not any(change.after for change in changes.values())
    assert len(warnings) == 1
    for name in ("wssgate.d/theirs.conf", "wssgate.d/sub/theirs", "wssgate.d/link.conf"):
        assert name in warnings[0]


def test_folders_that_are_links_are_not_looked_into(etc, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "ours.conf").write_text(MARK)
    (etc / "wssgate.d" / "sub").symlink_to(elsewhere)
    assert plan(etc)[0] == {}
    with pytest.raises(NginxError, match="sub is a symbolic link"):
        plan(etc, files={**FILES, "wssgate.d/sub/ours.conf": (MARK, 0o644)})


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: path.symlink_to("elsewhere"), "a symbolic link"),
        (os.mkfifo, "not a file"),
    ],
)
def test_only_a_file_is_replaced(etc, make, what):
    (etc / "wssgate.d" / "a.conf").unlink()
    make(etc / "wssgate.d" / "a.conf")
    with pytest.raises(NginxError, match=f"a.conf is {what}: remove it first"):
        plan(etc)


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), os.mkfifo])
def test_something_else_where_the_folder_should_be_is_told(etc, make):
    (etc / "wssgate.d" / "a.conf").unlink()
    (etc / "wssgate.d").rmdir()
    make(etc / "wssgate.d")
    with pytest.raises(NginxError, match="wssgate.d is in the way"):
        plan(etc)
    with pytest.raises(NginxError, match="wssgate.d is in the way"):
        plan(etc, files={}, present=False)


def test_only_a_link_is_set_aside(etc):
    (etc / "sites-enabled").mkdir()
    (etc / "sites-enabled" / "default").write_text("a file")
    changes, warnings = plan(etc, absent=["sites-enabled/default", "sites-enabled/missing"])
    assert changes == {} and "not a symbolic link" in warnings[0]


def test_a_link_is_set_aside_under_a_name_that_no_include_matches_and_comes_back(etc):
    (etc / "sites-enabled").mkdir()
    (etc / "sites-enabled" / "default").symlink_to("/somewhere")
    changes, _ = plan(etc, absent=["sites-enabled/default"])
    assert changes["sites-enabled/default"].after is None
    assert changes["sites-enabled%2Fdefault.wssgate-saved"].after.content == b"/somewhere"

    os.rename(etc / "sites-enabled" / "default", etc / saved_name("sites-enabled/default"))
    assert plan(etc, absent=["sites-enabled/default"])[0] == {}
    for values in ({}, {"present": False}):
        changes, _ = plan(etc, **values)
        assert changes["sites-enabled/default"].after.content == b"/somewhere"
        assert changes["sites-enabled%2Fdefault.wssgate-saved"].after is None


def test_absent_does_not_set_aside(etc):
    (etc / "sites-enabled").mkdir()
    (etc / "sites-enabled" / "default").symlink_to("/somewhere")
    assert not [path for path in plan(etc, present=False, absent=["sites-enabled/default"])[0] if "default" in path]


def test_what_is_at_a_place_again_is_not_overwritten_by_what_was_there(etc):
    (etc / "sites-enabled").mkdir()
    (etc / "sites-enabled" / "default").write_text("by hand")
    (etc / saved_name("sites-enabled/default")).symlink_to("/somewhere")
    changes, warnings = plan(etc)
    assert {path: change.after for path, change in changes.items()} == {saved_name("sites-enabled/default"): None}
    assert warnings == []


def test_a_link_whose_folder_is_gone_stays_set_aside(etc):
    (etc / saved_name("sites-enabled/default")).symlink_to("/somewhere")
    assert plan(etc)[0] == {}


def test_a_link_that_was_never_there_is_not_invented(etc):
    (etc / "sites-enabled").mkdir()
    assert "sites-enabled/default" not in plan(etc, present=False, absent=["sites-enabled/default"])[0]


@pytest.mark.parametrize("main_is_there", [True, False])
@pytest.mark.parametrize("files", [{}, FILES])
def test_absent_removes_what_is_ours_and_restores_the_main_file(etc, files, main_is_there):
    (etc / "nginx.conf.wssgate-saved").write_text("package")
    (etc / "wssgate.d" / "theirs.conf").write_text("x")
    if not main_is_there:
        (etc / "nginx.conf").unlink()
    changes, warnings = plan(etc, present=False, files=files)
    assert changes["nginx.conf"].after.content == b"package"
    assert changes["nginx.conf.wssgate-saved"].after is None and changes["wssgate.d/a.conf"].after is None
    assert len(changes) == 3 and "theirs.conf" in warnings[0]


def test_absent_without_a_saved_main_file_removes_ours(etc):
    changes, _ = plan(etc, present=False, files={})
    assert {path: change.after for path, change in changes.items()} == {"nginx.conf": None, "wssgate.d/a.conf": None}


def test_absent_leaves_a_main_file_that_is_no_longer_ours(etc):
    (etc / "nginx.conf").write_text("by hand")
    (etc / "nginx.conf.wssgate-saved").write_text("package")
    changes, warnings = plan(etc, present=False, files={})
    assert set(changes) == {"wssgate.d/a.conf"}
    assert "no longer ours" in warnings[0]


def test_names_that_only_look_like_saved_ones_are_left_alone(etc):
    (etc / "x.wssgate-saved").mkdir()
    (etc / "a%2fx.wssgate-saved").write_text("")
    (etc / ".wssgate-saved").write_text("")
    assert plan(etc) == ({}, [])


@pytest.mark.parametrize("name", ["..%2Fx", "%2Fx", "a%2F..%2Fx", "a/x", ".wssgate-work-x%2Fy", "x.wssgate-saved"])
def test_a_saved_name_that_leads_elsewhere_is_not_followed(etc, name):
    if "/" not in name:
        (etc / (name + ".wssgate-saved")).write_text("evil")
    assert not [path for path in plan(etc, present=False)[0] if "x" in path.replace("nginx", "")]
