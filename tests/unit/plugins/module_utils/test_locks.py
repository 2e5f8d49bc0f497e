# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that others hold, or would like to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.wssgate.nginx.plugins.module_utils._host import locks as _locks
from ansible_collections.wssgate.nginx.plugins.module_utils._host.locks import LockError, hold, take
from ansible_collections.wssgate.nginx.plugins.module_utils._nginx.files import Lock
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.log import LogFile, shorten
from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.ending import Wanted, end_sessions
from ansible_collections.wssgate.nginx.plugins.module_utils._tokens.store import open_store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a folder to himself")
NOBODY = 65534
SECONDS = 10.0

# Opens a path as somebody else, or takes the descriptor that it was started with, and keeps a lock on it.
HOLDER = """
import fcntl, os, sys
path, kind, account = sys.argv[1], getattr(fcntl, sys.argv[2]), int(sys.argv[3])
if account:
    os.setgroups([]); os.setgid(account); os.setuid(account)
fcntl.flock(int(path) if path.isdigit() else os.open(path, os.O_RDONLY), kind)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "run" / "wssgate"
    place.parent.mkdir()
    monkeypatch.setattr(_locks, "PLACE", str(place))
    monkeypatch.setattr(_locks, "FORMER_WAIT", 0.1)
    monkeypatch.setattr(_locks, "_held", {})
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As /etc/nginx: everybody may open it."""
    for one in (tmp_path, *tmp_path.parents):
        if str(one).startswith("/tmp/") and one.stat().st_uid == os.geteuid():
            one.chmod(one.stat().st_mode | 0o011)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def held() -> Iterator[Callable[..., int]]:
    with contextlib.ExitStack() as stack:

        def start(path: object, kind: str = "LOCK_EX", account: int = NOBODY, **options: object) -> int:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOLDER, str(path), kind, str(account)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options,  # type: ignore[call-overload]
                )
            )  # fmt: skip
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return int(process.pid)

        yield start


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SECONDS


@as_root
@pytest.mark.parametrize("kind", ["LOCK_SH", "LOCK_EX"])
def test_somebody_s_lock_on_the_configuration_s_folder_keeps_no_run_out(
    folder: Path, held: Callable[..., int], kind: str
) -> None:
    held(folder, kind)
    with in_time(), Lock(str(folder)):
        pass


@as_root
def test_somebody_s_lock_on_the_store_keeps_no_run_out(folder: Path, held: Callable[..., int]) -> None:
    held(folder)
    with in_time(), open_store(str(folder)) as store:
        assert store.scan() == ([], [])


@as_root
def test_a_worker_that_locks_the_log_by_its_descriptor_stops_neither_readers_nor_the_pruner(
    folder: Path, held: Callable[..., int]
) -> None:
    log = folder / "sessions.log"
    log.touch(mode=0o600)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    try:
        held(descriptor, pass_fds=[descriptor])
        with pytest.raises(BlockingIOError), log.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with in_time():
            assert end_sessions(str(log), Wanted(["a-token-of-16-chars"])).reason == ""
            assert shorten(str(log)) == "short"
    finally:
        os.close(descriptor)


@as_root
def test_who_holds_a_lock_is_told(folder: Path, place: Path, held: Callable[..., int]) -> None:
    with Lock(str(folder)):
        pass
    (lock,) = place.iterdir()
    pid = held(lock, account=0)
    with pytest.raises(LockError) as told, open_store(str(folder), wait=0.1):
        pass
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    assert str(told.value) == (
        f"{folder} is locked by another run; it did not end within 0.1 seconds. It is held by process {pid} ({name})"
    )


@as_root
def test_the_lock_of_a_run_that_was_killed_is_free(folder: Path, place: Path, held: Callable[..., int]) -> None:
    with Lock(str(folder)):
        pass
    (lock,) = place.iterdir()
    pid = held(lock, account=0)
    timer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    timer.start()
    with in_time(), Lock(str(folder)):
        pass
    timer.join()


@as_root
def test_who_only_waits_for_a_lock_does_not_hold_it(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "locks"
    with (folder / "lock").open("w") as file:
        found = os.fstat(file.fileno())
        where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
        table.write_text(
            f"1: FLOCK  ADVISORY  WRITE 4711111 {where}:{found.st_ino} 0 EOF\n"
            f"1: -> FLOCK  ADVISORY  WRITE 4711112 {where}:{found.st_ino} 0 EOF\n"
            f"2: POSIX  ADVISORY  WRITE 4711113 {where}:{found.st_ino} 0 EOF\n"
            f"3: FLOCK  ADVISORY  WRITE 4711114 {where}:{found.st_ino + 1} 0 EOF\n"
        )
        assert _locks.holders(file.fileno(), str(table)) == ["process 4711111"]


@as_root
def test_nobody_but_root_can_open_a_lock(folder: Path, place: Path) -> None:
    umask = os.umask(0)
    try:
        with Lock(str(folder)):
            (lock,) = place.iterdir()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600


@as_root
def test_a_folder_of_locks_that_others_may_enter_is_closed_to_them(folder: Path, place: Path) -> None:
    place.mkdir(mode=0o755)
    with Lock(str(folder)):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


@as_root
@pytest.mark.parametrize("what", ["another's", "writable by others", "a link"])
def test_a_folder_of_locks_that_is_not_root_s_alone_is_refused(
    folder: Path, place: Path, tmp_path: Path, what: str
) -> None:
    if what == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o777 if what == "writable by others" else 0o755)
        if what == "another's":
            os.chown(place, NOBODY, NOBODY)
    with pytest.raises(LockError, match=str(place)), open_store(str(folder)):
        pass


@as_root
def test_a_link_in_a_lock_s_place_is_not_followed(folder: Path, place: Path, tmp_path: Path) -> None:
    with Lock(str(folder)):
        (lock,) = place.iterdir()
    lock.unlink()
    lock.symlink_to(tmp_path / "made-by-root")
    with pytest.raises(LockError, match="cannot open"), open_store(str(folder)):
        pass
    assert not (tmp_path / "made-by-root").exists()


def test_readers_of_the_log_share_it_and_whoever_shortens_it_is_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.wssgate.nginx.plugins.module_utils._sessions import log as _sessions

    monkeypatch.setattr(_sessions, "LOCK_WAIT", 0.1)
    log = str(folder / "sessions.log")
    Path(log).touch(mode=0o600)
    with LogFile(log), LogFile(log):
        with pytest.raises(LockError, match="locked by another run"):
            LogFile(log, shorten=True)
    with LogFile(log, shorten=True):
        with pytest.raises(LockError, match="locked by another run"):
            LogFile(log)
        assert "locked by another run" in end_sessions(log, Wanted(["a-token-of-16-chars"])).reason


@as_root
def test_a_run_of_the_former_version_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, held: Callable[..., int]
) -> None:
    monkeypatch.setattr(_locks, "FORMER_WAIT", 0.5)
    held(folder, account=0)
    begun = time.monotonic()
    with Lock(str(folder)):
        assert time.monotonic() - begun >= 0.5


@as_root
def test_a_run_of_the_former_version_waits_as_well(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with Lock(str(folder)), pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_without_root_s_rights_the_folder_itself_is_locked(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locks.os, "geteuid", lambda: NOBODY)
    handle = os.open(folder, os.O_RDONLY)
    other = os.open(folder, os.O_RDONLY)
    try:
        with hold(handle, str(folder)), pytest.raises(LockError, match="locked by another run"):
            with hold(other, str(folder), wait=0.1):
                pass
        with hold(other, str(folder), wait=0.1):
            pass
    finally:
        os.close(handle)
        os.close(other)
    assert not place.exists()


def test_a_work_folder_is_in_use_until_its_descriptor_is_closed(folder: Path) -> None:
    first, second = (os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for _number in range(2))
    try:
        assert take(first)
        assert not take(second, wait=0)
        os.close(first)
        assert take(second, wait=0)
    finally:
        os.close(second)


@as_root
def test_a_former_lock_that_is_held_for_ever_is_waited_for_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of nginx has the session log's descriptor: it must not slow down each reading of the log."""
    monkeypatch.setattr(_locks, "FORMER_WAIT", 0.3)
    handle, other = (os.open(folder, os.O_RDONLY) for _number in range(2))
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        taken = []
        for _number in range(3):
            began = time.monotonic()
            with hold(handle, str(folder), shared=True):
                taken.append(time.monotonic() - began >= 0.3)
        assert taken == [True, False, False]
        # Much later it is waited for again.
        monkeypatch.setattr(_locks, "_held", dict.fromkeys(_locks._held, 0.0))
        began = time.monotonic()
        with hold(handle, str(folder), shared=True):
            assert time.monotonic() - began >= 0.3
    finally:
        os.close(handle)
        os.close(other)
