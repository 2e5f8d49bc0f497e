# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx import files as _nginx_files
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.error import NginxError
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import (
    WORK_PREFIX,
    Change,
    Entry,
    Exchange,
    Lock,
    Operations,
    identity,
    parents,
    read_entry,
)

STEPS = [name for name in vars(Operations) if not name.startswith("_")]


def file(text, mode=0o644):
    return Entry("file", text.encode(), mode, os.geteuid())


def link(target):
    return Entry("link", target.encode(), 0, os.geteuid())


def snapshot(root):
    return {
        str(path.relative_to(root)): identity(read_entry(str(path)))
        for path in sorted(root.rglob("*"))
        if not str(path.relative_to(root)).startswith(WORK_PREFIX)
    }


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "changed").write_text("old")
    (tmp_path / "d" / "removed").write_text("removed")
    (tmp_path / "d" / "theirs").write_text("theirs")
    (tmp_path / "link").symlink_to("d/theirs")
    (tmp_path / "secret").write_text("key")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


@pytest.fixture
def changes(etc):
    wanted = {
        "d/changed": file("new"),
        "d/sub/deep/added": file("added", 0o640),
        "d/removed": None,
        "link": None,
        "link2": link("d/theirs"),
    }
    return [Change(path, read_entry(str(etc / path)), after) for path, after in wanted.items()]


def exchange(etc, changes, operations=None):
    work = Exchange(str(etc), operations or Operations())
    work.open_work()
    work.stage(changes)
    work.commit(changes)
    return work


AFTER = {
    "d": "other",
    "d/changed": "file",
    "d/sub": "other",
    "d/sub/deep": "other",
    "d/sub/deep/added": "file",
    "d/theirs": "file",
    "link2": "link",
    "secret": "file",
}


def test_a_commit_makes_all_changes_and_closing_leaves_no_trace(etc, changes):
    work = exchange(etc, changes)
    work.close()
    assert {path: text.split()[0] for path, text in snapshot(etc).items()} == AFTER
    assert (etc / "d" / "changed").read_text() == "new"
    assert stat.S_IMODE((etc / "d" / "sub" / "deep" / "added").stat().st_mode) == 0o640
    assert not list(etc.glob(WORK_PREFIX + "*"))


def test_an_undo_restores_everything_to_the_inode(etc, changes):
    before = snapshot(etc)
    inodes = {path: (etc / path).lstat().st_ino for path in before}
    work = exchange(etc, changes)
    assert work.undo() == []
    work.close()
    assert snapshot(etc) == before
    assert {path: (etc / path).lstat().st_ino for path in before} == inodes


def test_an_undo_leaves_what_somebody_else_has_altered(etc, changes):
    work = exchange(etc, changes)
    (etc / "d" / "changed").write_text("by hand")
    (etc / "d" / "removed").write_text("back by hand")
    assert sorted(work.undo()) == ["d/changed", "d/removed"]
    assert (etc / "d" / "changed").read_text() == "by hand"
    assert not (etc / "d" / "sub").exists()


def test_the_staged_tree_shows_the_wanted_state_without_copies_of_anything_else(etc, changes):
    work = Exchange(str(etc), Operations())
    assert stat.S_IMODE(os.stat(work.open_work()).st_mode) == 0o700
    tree = work.stage(changes)
    assert Path(tree, "d", "changed").read_text() == "new"
    assert Path(tree, "d", "sub", "deep", "added").read_text() == "added"
    assert not os.path.lexists(tree + "/d/removed") and not os.path.lexists(tree + "/link")
    assert os.readlink(tree + "/link2") == "d/theirs"
    assert os.readlink(tree + "/secret") == str(etc / "secret")
    assert os.readlink(tree + "/d/theirs") == str(etc / "d" / "theirs")
    assert not [name for name in os.listdir(tree) if name.startswith(WORK_PREFIX)]


def test_the_end_of_a_run_does_not_touch_the_change_time_of_what_it_put(etc, changes):
    work = exchange(etc, changes)
    times = {path: (etc / path).lstat().st_ctime_ns for path in ("d", "d/changed", "d/sub/deep/added", "link2")}
    work.close()
    assert {path: (etc / path).lstat().st_ctime_ns for path in times} == times


def test_once_a_run_is_final_a_kill_does_not_bring_back_the_former_state(etc, changes, monkeypatch):
    """The journal goes first: what is left of a half-removed work folder is not believed."""
    work = exchange(etc, changes)
    after = snapshot(etc)

    def killed(path, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_nginx_files.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            work.close()
    assert Exchange(str(etc), Operations()).recover() == []
    assert snapshot(etc) == after


def killed_at(etc, changes, number, first=None):
    """Do all of it in a child that dies at step ``number``; return whether it did."""
    child = os.fork()
    if not child:
        count = iter(range(10000))
        operations = Operations()

        def breaking(method):
            def step(*arguments):
                if next(count) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return method(*arguments)

            return step

        for name in STEPS:
            setattr(operations, name, breaking(getattr(operations, name)))
        try:
            if first:
                first(operations)
            else:
                exchange(etc, changes, operations).close()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_whatever_step_a_run_is_killed_at_the_next_recovers_the_former_state(etc, changes):
    before, after = snapshot(etc), None
    number = 0
    while killed_at(etc, changes, number):
        recovery = Exchange(str(etc), Operations())
        # Up to the end of the journal the former state comes back; after it, the new one is final.
        assert recovery.recover() == []
        now = snapshot(etc)
        if now != before:
            after = after or now
            assert now == after and {path: text.split()[0] for path, text in now.items()} == AFTER
            for change in changes:
                (etc / change.path).unlink(missing_ok=True)
                if change.before and change.before.kind == "link":
                    (etc / change.path).symlink_to(change.before.content.decode())
                elif change.before:
                    (etc / change.path).write_bytes(change.before.content)
            os.removedirs(etc / "d" / "sub" / "deep")
            assert snapshot(etc) == before
        assert not list(etc.glob(WORK_PREFIX + "*")), f"step {number}"
        number += 1
    assert number > 20


def test_a_recovery_that_is_itself_killed_is_finished_by_the_next(etc, changes):
    before = snapshot(etc)
    number = 0
    while True:
        exchange(etc, changes)
        died = killed_at(etc, changes, number, first=lambda operations: Exchange(str(etc), operations).recover())
        assert Exchange(str(etc), Operations()).recover() == []
        assert snapshot(etc) == before, f"step {number}"
        assert not list(etc.glob(WORK_PREFIX + "*"))
        if not died:
            break
        number += 1
    assert number > 5


def test_a_work_folder_of_somebody_else_is_not_believed(etc, changes, monkeypatch):
    exchange(etc, changes)
    monkeypatch.setattr(_nginx_files.os, "geteuid", lambda: 4711)
    assert Exchange(str(etc), Operations()).interrupted() == []


def test_nothing_is_undone_without_a_work_folder(etc, monkeypatch):
    (etc / "journal.json").write_text(
        '{"folders": [], "changes": [{"path": "secret", "before": "nothing", "after": "x"}]}'
    )
    monkeypatch.chdir(etc)
    assert Exchange(str(etc), Operations()).undo() == []


def test_an_undo_that_fails_says_where_the_former_state_is(etc, changes):
    operations = Operations()
    work = exchange(etc, changes, operations)

    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    operations.rename = fail
    with pytest.raises(NginxError, match=f"could not be put back.*{work.work}"):
        work.undo()


def test_a_filesystem_without_hard_links_gets_copies(etc, changes, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(_nginx_files.os, "link", refuse)
    before = snapshot(etc)
    work = exchange(etc, changes)
    assert work.undo() == []
    assert snapshot(etc) == before


def test_other_errors_of_a_link_are_not_swallowed(etc, changes, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_nginx_files.os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        exchange(etc, changes)


def test_everything_is_on_the_disk_in_the_order_in_which_it_is_needed(etc, changes):
    """A power cut may come between any two lines."""
    done = []
    operations = Operations()
    for name in STEPS:

        def step(*paths, name=name, method=getattr(operations, name)):  # noqa: B008  one default a loop is the point
            relative = [os.path.relpath(path, etc).split("/", 1) for path in paths if str(path).startswith(str(etc))]
            done.append(
                (
                    name,
                    *(
                        "/".join(["W", *parts[1:]]) if parts[0].startswith(WORK_PREFIX) else "/".join(parts)
                        for parts in relative
                    ),
                )
            )
            return method(*paths)

        setattr(operations, name, step)
    work = exchange(etc, changes, operations)
    work.close()
    begin = done.index(("sync_directory", "W/new"))
    assert done[begin:] == [
        ("sync_directory", "W/new"),
        ("sync_directory", "W/kept"),
        ("write", "W/journal.json.part"),
        ("rename", "W/journal.json.part", "W/journal.json"),
        ("sync_directory", "W"),
        ("sync_directory", "."),
        ("make_directory", "d/sub"),
        ("make_directory", "d/sub/deep"),
        ("rename", "W/new/0", "d/changed"),
        ("rename", "W/new/1", "d/sub/deep/added"),
        ("unlink", "d/removed"),
        ("unlink", "link"),
        ("rename", "W/new/4", "link2"),
        ("sync_directory", "."),
        ("sync_directory", "d"),
        ("sync_directory", "d/sub/deep"),
        ("unlink", "W/journal.json"),
        ("sync_directory", "W"),
    ]


def test_an_undo_is_on_the_disk_before_the_journal_goes(etc, changes):
    work = exchange(etc, changes)
    done = []
    work._operations.sync_directory = lambda path: done.append(
        (os.path.relpath(path, etc), os.path.lexists(work.work + "/journal.json"))
    )
    work.undo()
    assert {(".", True), ("d", True)} <= set(done)


def test_a_file_is_synced_with_all_of_its_content_and_a_folder_is_too(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(_nginx_files.os, "fsync", lambda handle: synced.append(os.fstat(handle)))
    Operations().write(str(tmp_path / "file"), b"content", 0o640)
    Operations().sync_directory(str(tmp_path))
    assert (synced[0].st_size, stat.S_IMODE(synced[0].st_mode)) == (7, 0o640)
    assert synced[1].st_ino == tmp_path.stat().st_ino


def test_open_files_do_not_add_up(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10):
        Operations().write(str(tmp_path / str(number)), b"", 0o644)
        Operations().sync_directory(str(tmp_path))
        read_entry(str(tmp_path / str(number)))
        with Lock(str(tmp_path)):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_without_a_work_folder_removes_nothing(etc, monkeypatch):
    (etc / "journal.json").write_text("somebody else's")
    monkeypatch.chdir(etc)
    Exchange(str(etc), Operations()).close()
    assert (etc / "journal.json").exists()


def test_a_file_named_like_a_work_folder_is_none(etc):
    (etc / (WORK_PREFIX + "x")).write_text("")
    assert Exchange(str(etc), Operations()).recover() == []
    assert (etc / (WORK_PREFIX + "x")).exists()


def test_a_folder_that_may_not_be_removed_is_told(etc):
    work = Exchange(str(etc), Operations())
    assert not work.remove_if_empty("d") and not work.remove_if_empty("missing")

    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    work._operations.remove_directory = refuse
    with pytest.raises(PermissionError):
        work.remove_if_empty("d")


def test_files_are_never_written_through_a_link(etc):
    (etc / "there").symlink_to(etc / "secret")
    with pytest.raises(FileExistsError):
        Operations().write(str(etc / "there"), b"x", 0o644)
    assert (etc / "secret").read_text() == "key"


def test_modes_do_not_depend_on_the_umask(tmp_path):
    former = os.umask(0o077)
    try:
        Operations().write(str(tmp_path / "file"), b"", 0o644)
        Operations().make_directory(str(tmp_path / "folder"), 0o755)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o755


def test_a_lock_that_is_held_is_waited_for_and_then_told(tmp_path):
    with Lock(str(tmp_path)):
        with pytest.raises(HostError, match="locked by another run"):
            with Lock(str(tmp_path), limit=0.2):
                raise AssertionError("two runs at once")
    with Lock(str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_had_as_soon_as_it_is_free(tmp_path):
    first = Lock(str(tmp_path)).__enter__()
    timer = threading.Timer(0.3, first.__exit__)
    timer.start()
    begin = time.monotonic()
    with Lock(str(tmp_path), limit=20):
        assert 0.2 < time.monotonic() - begin < 10
    timer.join()


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        ("# wssgate.nginx\n", True),
        ("\n\n\n\n# x wssgate.nginx x", True),
        ("\n\n\n\n\n# wssgate.nginx", False),
        ("", False),
    ],
)
def test_the_marker_counts_in_the_first_five_lines(content, marked):
    assert file(content).is_marked("wssgate.nginx") == marked
    assert not link(content).is_marked("wssgate.nginx")


def test_entries_tell_files_links_and_other_things_apart(etc):
    os.mkfifo(etc / "fifo")
    assert read_entry(str(etc / "secret")) == file("key", 0o600)
    assert read_entry(str(etc / "link")) == link("d/theirs")
    assert read_entry(str(etc / "d")).kind == read_entry(str(etc / "fifo")).kind == "other"
    assert read_entry(str(etc / "missing")) is None
    assert read_entry(str(etc / "secret" / "below")) is None


def test_parents_are_named_outermost_first():
    assert list(parents("a/b/c")) == ["a", "a/b"]
    assert list(parents("a")) == []
