# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written whole or not at all, and never through a link."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import files
from ansible_collections.wssgate.nginx.plugins.module_utils._host.error import HostError, reason

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """One that would show in every mode."""
    former = os.umask(0o077)
    yield
    os.umask(former)


def make(kind: str, path: Path) -> None:
    if kind == "link":
        path.symlink_to("elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))


not_a_file = pytest.mark.parametrize(
    "kind, why", [("link", files.LINK), ("folder", files.KIND), ("pipe", files.KIND), ("socket", files.KIND)]
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# write


@pytest.mark.parametrize("former", [None, b"old"])
def test_a_file_is_written_with_exactly_its_mode(tmp_path: Path, former: bytes | None) -> None:
    path = tmp_path / "file"
    if former is not None:
        path.write_bytes(former)
    files.write(str(path), b"new", 0o640)
    assert (path.read_bytes(), mode_of(path)) == (b"new", 0o640)
    assert os.listdir(tmp_path) == ["file"]


@as_root
def test_a_file_is_written_with_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(str(path), b"", 0o600, uid=1234, gid=4321)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_a_file_is_written_in_an_open_folder(tmp_path: Path) -> None:
    handle = files.open_folder(str(tmp_path))
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    try:
        files.write("file", b"new", folder=handle)
        assert files.read("file", folder=handle) == b"new"
        assert files.remove("file", handle)
    finally:
        os.close(handle)
    assert os.listdir(moved) == []


def test_who_has_the_old_file_open_keeps_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as stream:
        files.write(str(path), b"new")
        assert stream.read() == b"old"


@not_a_file
def test_what_is_no_file_is_neither_replaced_nor_removed(tmp_path: Path, kind: str, why: str) -> None:
    path = tmp_path / "file"
    make(kind, path)
    before = path.lstat()
    for action in (lambda: files.write(str(path), b"new"), lambda: files.remove(str(path))):
        with pytest.raises(files.FileError, match=f"{path} is .*: remove it") as error:
            action()
        assert error.value.why == why and isinstance(error.value, HostError)
    assert path.lstat() == before
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_that_comes_after_the_look_is_replaced_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim's")
    path = tmp_path / "file"
    real = files.check

    def then_link(*arguments: object) -> bool:
        found = real(*arguments)
        path.symlink_to(victim)
        return found

    monkeypatch.setattr(files, "check", then_link)
    files.write(str(path), b"new")
    assert not path.is_symlink() and path.read_bytes() == b"new"
    assert victim.read_bytes() == b"victim's"


def test_a_folder_that_changes_after_the_look_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    real = files.check

    def then_swap(*arguments: object) -> bool:
        found = real(*arguments)
        folder.rename(tmp_path / "former")
        folder.symlink_to(other)
        return found

    monkeypatch.setattr(files, "check", then_swap)
    files.write(str(folder / "file"), b"new")
    assert os.listdir(other) == []
    assert os.listdir(tmp_path / "former") == ["file"]


def test_a_folder_that_is_a_link_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = str(tmp_path / "link" / "file")
    with pytest.raises(files.FileError, match="link is a symlink"):
        files.write(path, b"new")
    assert os.listdir(tmp_path / "real") == []
    files.write(path, b"new", follow=True)
    with pytest.raises(files.FileError, match="link is a symlink"):
        files.remove(path)
    assert os.listdir(tmp_path / "real") == ["file"]
    assert files.remove(path, follow=True)


@pytest.mark.parametrize("call", ["write", "fchmod", "fsync", "rename"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_content_and_no_staged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(type(error)) as told:
            files.write(str(path), b"new", 0o644)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    if isinstance(told.value, OSError):
        assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(path))


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        events.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        real_fsync(handle)

    def rename(*names: str, **options: int) -> None:
        events.append("rename")
        real_rename(*names, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    files.write(str(tmp_path / "file"), b"new")
    assert events == ["sync file", "rename", "sync folder"]
    events.clear()
    files.remove(str(tmp_path / "file"))
    assert events == ["sync folder"]


def test_nobody_can_read_a_file_before_it_has_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.umask(0)
    modes: list[int] = []
    real = os.write

    def write(handle: int, data: bytes) -> int:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return real(handle, data[:2])  # a short write is gone on with

    monkeypatch.setattr(os, "write", write)
    files.write(str(tmp_path / "file"), b"content", 0o644)
    assert set(modes) == {0o600}
    assert (tmp_path / "file").read_bytes() == b"content"


# write_new


@not_a_file
def test_a_new_file_takes_nobody_s_place(tmp_path: Path, kind: str, why: str) -> None:
    path = tmp_path / "file"
    make(kind, path)
    before = path.lstat()
    with pytest.raises(FileExistsError) as error:
        files.write_new(str(path), b"new")
    assert error.value.filename == str(path)
    assert path.lstat() == before


def test_a_new_file_bears_the_time_that_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_new(str(path), b"new", modified=1_000_000)
    assert (path.stat().st_mtime, mode_of(path)) == (1_000_000, 0o600)


@pytest.mark.parametrize("sync", [True, False])
def test_a_caller_who_syncs_many_files_at_once_is_spared_the_sync_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    files.write_new(str(tmp_path / "file"), b"new", sync=sync)
    assert bool(synced) == sync


# read


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.read(str(path)) is None
    path.write_bytes(b"12345")
    assert files.read(str(path), 5) == b"12345"
    with pytest.raises(files.FileError, match="file holds more than 4 bytes") as error:
        files.read(str(path), 4)
    assert error.value.why == files.SIZE


@not_a_file
def test_only_files_are_read(tmp_path: Path, kind: str, why: str) -> None:
    path = tmp_path / "file"
    make(kind, path)
    with pytest.raises(files.FileError, match=str(path)) as error:
        files.read(str(path))
    assert error.value.why == why


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_only_files_are_opened_for_writing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    make(kind, path)
    with pytest.raises(files.FileError) as error:
        files.open_file(str(path), os.O_WRONLY)
    assert error.value.why == files.KIND


def test_a_link_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert files.read(str(tmp_path / "link"), follow=True) == b"content"


# The rest


def test_folders_get_exactly_their_mode_and_those_that_are_there_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(0o700)
    files.make_folders(str(tmp_path / "a" / "b" / "c"))
    files.make_folders(str(tmp_path / "a" / "b" / "c"))
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700, 0o755, 0o755]


def test_a_link_in_place_of_a_folder_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(files.FileError, match="is a symlink"):
        files.open_folder(str(tmp_path / "link"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        files.open_folder(str(tmp_path / "file"))


@as_root
def test_only_attributes_that_differ_are_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.touch()
    calls: list[str] = []

    def counted(name: str) -> Callable[..., None]:
        real = getattr(os, name)
        return lambda *arguments: (calls.append(name), real(*arguments))[1]

    for name in ("fchown", "fchmod"):
        monkeypatch.setattr(os, name, counted(name))
    handle = files.open_file(str(path))
    try:
        for _turn in range(2):
            files.set_attributes(handle, 0o640, gid=4321)
        files.set_attributes(handle)
    finally:
        os.close(handle)
    assert calls == ["fchown", "fchmod"]
    assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (os.geteuid(), 4321, 0o640)


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert not files.remove(str(tmp_path / "file"))
    assert not files.remove(str(tmp_path / "no" / "file"))


def test_the_reason_of_an_error_holds_no_file_name() -> None:
    assert reason(OSError(errno.EACCES, "Permission denied", "secret")) == "Permission denied"
    assert reason(OSError("no number")) == "unknown error"
