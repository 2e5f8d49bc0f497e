# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that replaces a pair is killed at each of its steps.

What nginx finds is a pair, and the next run has nothing left over.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import struct
import typing as t
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import x509 as crypto
from ansible_collections.wssgate.nginx.plugins.module_utils._certificates import pair as pair_files

# Everything that changes a file or a folder
STEPS = ("open", "rename", "unlink", "rmdir", "mkdir", "link", "fsync", "fchmod", "fchown", "utime")
MOST_STEPS = 200


def pair() -> pair_files.PairFiles:
    key = crypto.new_key("P-256")
    certificate = crypto.new_certificate(key.public_key(), ["DNS:wcs.example.com"], "wcs", 90, crypto.utc_now(), key)
    return pair_files.PairFiles(crypto.certificate_pem(certificate), crypto.key_pem(key))


OLD, NEW = pair(), pair()


class Place(t.NamedTuple):
    certificate_path: str
    key_path: str
    name: str = "wcs"

    def put(self, wanted: pair_files.PairFiles) -> None:
        pair_files.replace(self.certificate_path, self.key_path, self.name, wanted)

    def found(self) -> pair_files.PairFiles:
        files = [
            Path(path).read_bytes() if os.path.exists(path) else None for path in (self.certificate_path, self.key_path)
        ]
        return pair_files.PairFiles(*files)

    def left(self) -> list[str]:
        return pair_files.interrupted(self.certificate_path, self.key_path)


@pytest.fixture(name="together")
def in_one_folder(tmp_path: Path) -> Place:
    folder = tmp_path / "wcs"
    return Place(str(folder / "fullchain.pem"), str(folder / "privkey.pem"))


@pytest.fixture(name="apart")
def in_two_folders(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "certificates" / "wcs.pem"), str(tmp_path / "keys" / "wcs.key"))


def killed_at(
    step: int, place: Place, wanted: pair_files.PairFiles, patch: t.Callable[[], None] = lambda: None
) -> bool:
    """Replace a pair in a process that is killed right before its step of that number; whether there was one."""
    child = os.fork()
    if child == 0:
        try:
            patch()
            count = 0

            def counted(call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
                def step_by_step(*arguments: t.Any, **options: t.Any) -> t.Any:
                    nonlocal count
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1
                    return call(*arguments, **options)

                return step_by_step

            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            pair_files.exchange = counted(pair_files.exchange)  # type: ignore[assignment]
            place.put(wanted)
        except BaseException:
            os._exit(2)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def every_step(
    place: Place, wanted: pair_files.PairFiles, patch: t.Callable[[], None] = lambda: None
) -> t.Iterator[pair_files.PairFiles]:
    """What is there after a kill at each step, from the former pair on."""
    for step in range(MOST_STEPS):
        place.put(OLD)
        if not killed_at(step, place, wanted, patch):
            assert step > 8
            return
        yield place.found()
    raise AssertionError(f"it takes more than {MOST_STEPS} steps")


def test_killed_at_any_step_there_is_a_pair_and_the_next_run_clears_up(together: Place) -> None:
    seen = set()
    for found in every_step(together, NEW):
        assert found in (OLD, NEW)
        seen.add(found)
        together.put(NEW)
        assert together.found() == NEW
        assert together.left() == []
        assert os.listdir(Path(together.key_path).parents[1]) == ["wcs"]
        assert sorted(os.listdir(Path(together.key_path).parent)) == ["fullchain.pem", "privkey.pem"]
    assert seen == {OLD, NEW}


def test_killed_at_any_step_with_two_folders_the_next_run_has_a_pair(apart: Place) -> None:
    seen = set()
    for found in every_step(apart, NEW):
        seen.add(found)
        pair_files.recover(apart.certificate_path, apart.key_path)
        assert apart.found() in (OLD, NEW)
        assert apart.left() == []
        apart.put(NEW)
        assert apart.found() == NEW
        assert [os.listdir(os.path.dirname(path)) for path in apart[:2]] == [["wcs.pem"], ["wcs.key"]]
    # Only here is there a moment without a pair, which the guide tells of
    assert seen == {OLD, NEW, pair_files.PairFiles(OLD.certificate, NEW.key)}


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EBUSY])
def test_where_folders_cannot_change_places_the_files_are_renamed(
    together: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    together.put(OLD)

    class Library:
        @staticmethod
        def renameat2(*_arguments: t.Any) -> int:
            return -1

    monkeypatch.setattr(pair_files.ctypes, "CDLL", lambda *_arguments, **_options: Library())
    monkeypatch.setattr(pair_files.ctypes, "get_errno", lambda: number)
    inode = os.stat(os.path.dirname(together.key_path)).st_ino
    together.put(NEW)
    assert together.found() == NEW
    assert together.left() == []
    assert os.stat(os.path.dirname(together.key_path)).st_ino == inode


def test_an_older_library_of_the_system_is_no_hindrance(together: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_files.ctypes, "CDLL", lambda *_arguments, **_options: object())
    together.put(OLD)
    together.put(NEW)
    assert together.found() == NEW


def test_an_error_of_the_disk_leaves_the_former_pair(together: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    together.put(OLD)

    class Library:
        @staticmethod
        def renameat2(*_arguments: t.Any) -> int:
            return -1

    monkeypatch.setattr(pair_files.ctypes, "CDLL", lambda *_arguments, **_options: Library())
    monkeypatch.setattr(pair_files.ctypes, "get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        together.put(NEW)
    assert together.found() == OLD
    assert together.left() == []


def test_the_former_key_comes_back_when_the_certificate_cannot_follow(
    apart: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.put(OLD)
    rename = os.rename

    def failing(source: str, target: str) -> None:
        if target == apart.certificate_path:
            raise OSError(5, "Input/output error", target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        apart.put(NEW)
    assert apart.found() == OLD
    assert apart.left() == []


def test_a_pair_that_another_process_has_completed_meanwhile_stays(
    apart: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.put(OLD)
    rename = os.rename

    def overtaken(source: str, target: str) -> None:
        if target == apart.certificate_path:
            rename(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    apart.put(NEW)
    assert apart.found() == NEW


def test_what_else_is_in_the_folder_stays_and_so_do_its_owner_and_mode(together: Place) -> None:
    together.put(OLD)
    folder = Path(together.key_path).parent
    folder.chmod(0o751)
    if os.geteuid() == 0:
        os.chown(folder, 0, 65534)
    (folder / "privkey.pem.next").write_text("waits")
    (folder / "README").write_text("mine")
    before = os.stat(folder), os.stat(folder / "README")
    together.put(NEW)
    after = os.stat(folder), os.stat(folder / "README")
    assert together.found() == NEW
    assert sorted(os.listdir(folder)) == ["README", "fullchain.pem", "privkey.pem", "privkey.pem.next"]
    assert [(status.st_mode, status.st_uid, status.st_gid) for status in after] == [
        (status.st_mode, status.st_uid, status.st_gid) for status in before
    ]
    assert before[0].st_ino != after[0].st_ino
    assert before[1].st_ino == after[1].st_ino
    assert stat.S_IMODE(os.stat(together.key_path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(together.certificate_path).st_mode) == 0o644


@pytest.mark.parametrize("other", ["file", "folder", "symlink"])
def test_a_folder_that_others_use_stays_itself(together: Place, other: str) -> None:
    """Of another name it may be anybody's; what is no file could not go along."""
    place = together if other != "file" else together._replace(name="other")
    place.put(OLD)
    folder = Path(place.key_path).parent
    if other == "file":
        (folder / "another.pem").write_text("another's")
    elif other == "folder":
        (folder / "sub").mkdir()
    else:
        (folder / "link").symlink_to("README")
    inode = os.stat(folder).st_ino
    place.put(NEW)
    assert place.found() == NEW
    assert os.stat(folder).st_ino == inode


def test_a_folder_of_another_name_with_nothing_else_in_it_is_the_pairs_own(together: Place) -> None:
    place = together._replace(name="other")
    place.put(OLD)
    folder = Path(place.key_path).parent
    (folder / "privkey.pem.2026-11-28T120000Z~").write_text("kept")
    inode = os.stat(folder).st_ino
    place.put(NEW)
    assert place.found() == NEW
    assert os.stat(folder).st_ino != inode
    assert (folder / "privkey.pem.2026-11-28T120000Z~").read_text() == "kept"


def test_half_a_pair_and_none_can_be_come_back_to(together: Place) -> None:
    for wanted in (NEW, pair_files.PairFiles(None, OLD.key), NEW, pair_files.PairFiles(None, None)):
        together.put(wanted)
        assert together.found() == wanted


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_symlink_is_not_written_through(together: Place, tmp_path: Path, which: str) -> None:
    together.put(OLD)
    path = together.key_path if which == "file" else os.path.dirname(together.key_path)
    os.rename(path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(pair_files.PairError, match="is a symlink"):
        together.put(NEW)
    assert together.found() == OLD


def test_a_folder_that_a_living_process_works_in_is_left_alone(together: Place) -> None:
    together.put(OLD)
    with pair_files._new_folder(os.path.dirname(together.key_path)) as (path, _descriptor):
        assert together.left() == []
        pair_files.recover(together.certificate_path, together.key_path)
        assert os.path.isdir(path)
    assert not os.path.lexists(path)


def test_what_another_certificates_process_left_is_left_to_it(together: Place, tmp_path: Path) -> None:
    together.put(OLD)
    for name in (".wssgate-pair-wcs-b-abcd_123", ".wssgate-pair-wcs-", "wssgate-pair-wcs-abcd_123"):
        (tmp_path / name).mkdir()
    assert together.left() == []


def test_a_certificate_that_waits_for_another_key_is_thrown_away(apart: Place) -> None:
    apart.put(OLD)
    waiting = Path(apart.certificate_path + pair_files.NEW_SUFFIX)
    waiting.write_bytes(NEW.certificate or b"")
    assert pair_files.recover(apart.certificate_path, apart.key_path) == [str(waiting)]
    assert apart.found() == OLD
    assert apart.left() == []


def change_attributes(path: str, flags: int) -> None:
    """What chattr does; the test is skipped where this process may not, or the file system has none."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, 0x40006602 | struct.calcsize("l") << 16, struct.pack("i", flags) + b"\0" * 4)
    except OSError as error:
        pytest.skip(f"attributes cannot be set here: {error}")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("flag", "word"), [(0x10, "immutable"), (0x20, "append-only")])
@pytest.mark.parametrize("which", ["certificate_path", "key_path", "folder"])
@pytest.mark.parametrize("places", ["together", "apart"])
def test_what_cannot_be_removed_is_refused_before_anything_changes(
    request: pytest.FixtureRequest, places: str, which: str, flag: int, word: str
) -> None:
    place: Place = request.getfixturevalue(places)
    place.put(OLD)
    path = os.path.dirname(place.key_path) if which == "folder" else getattr(place, which)
    before = os.stat(place.certificate_path).st_ino
    change_attributes(path, flag)
    try:
        with pytest.raises(
            pair_files.PairError, match=f"{re.escape(path)} is {word} .*chattr -[ia] .*nothing was changed"
        ):
            place.put(NEW)
        assert place.found() == OLD
        assert place.left() == []
        assert os.stat(place.certificate_path).st_ino == before
    finally:
        change_attributes(path, 0)
    place.put(NEW)
    assert place.found() == NEW
    assert place.left() == []


def test_a_left_key_that_cannot_be_removed_is_named(together: Place, tmp_path: Path) -> None:
    together.put(OLD)
    left = tmp_path / ".wssgate-pair-wcs-abcd_123"
    left.mkdir()
    key = left / "privkey.pem"
    key.write_bytes(OLD.key or b"")
    change_attributes(str(key), 0x10)
    try:
        with pytest.raises(pair_files.PairError, match=f"{re.escape(str(key))} is immutable"):
            together.put(NEW)
        assert together.found() == OLD
    finally:
        change_attributes(str(key), 0)
    together.put(NEW)
    assert together.found() == NEW
    assert not left.exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EPERM, errno.EACCES])
def test_where_nothing_can_be_made_beside_the_folder_the_files_are_renamed(
    together: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    together.put(OLD)

    def mkdtemp(*_arguments: t.Any, **_options: t.Any) -> str:
        raise OSError(number, os.strerror(number), "the folder above")

    monkeypatch.setattr(pair_files.tempfile, "mkdtemp", mkdtemp)
    inode = os.stat(os.path.dirname(together.key_path)).st_ino
    together.put(NEW)
    assert together.found() == NEW
    assert together.left() == []
    assert os.stat(os.path.dirname(together.key_path)).st_ino == inode


def test_a_full_disk_is_no_reason_to_rename_files_one_by_one(together: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    together.put(OLD)

    def mkdtemp(*_arguments: t.Any, **_options: t.Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the folder above")

    monkeypatch.setattr(pair_files.tempfile, "mkdtemp", mkdtemp)
    with pytest.raises(OSError, match="No space left"):
        together.put(NEW)
    assert together.found() == OLD
