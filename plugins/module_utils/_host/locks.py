# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks that nobody but root can hold.

Whoever can open a file can flock() it: any account a world-readable folder, a worker of nginx the log whose descriptor
it has from its master. So a run locks a file of its own in a folder that only root may enter. The file is named by
device and inode of the folder that it stands for, as the same folder may be reached by different paths.

This file needs nothing but the standard library: the pruner that runs on the host without Ansible has a copy.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
import typing as t

from .error import HostError, reason

PLACE = "/run/wssgate"
WAIT = 60.0
# Up to version 1.0 a run locked the folder or the log itself, and one may still be under way during an upgrade. What it
# locks at a time takes less than this. It cannot be waited for any longer: that lock anybody may hold, for ever.
FORMER_WAIT = 1.0
# A program that works all the time would wait a second each time for one that is held for ever. It waits once in this.
FORMER_AGAIN = 3600.0
# Files and folders whose former lock could not be had, by device and inode, and until when none waits for it
_held: t.Dict[t.Tuple[int, int], float] = {}
PAUSE = 0.02


class LockError(HostError):
    """The lock cannot be had; the text says why and, where that can be told, who has it."""


def _open_place() -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(PLACE, 0o700)
    place = os.open(PLACE, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise LockError(f"{PLACE} is not root's alone: remove it, the next run makes it anew")
        if found.st_mode & 0o077:
            os.fchmod(place, 0o700)
    except BaseException:
        os.close(place)
        raise
    return place


@contextlib.contextmanager
def open_place() -> t.Iterator[int]:
    """The folder of the locks, which only root may enter."""
    try:
        place = _open_place()
    except OSError as error:
        raise LockError(f"cannot use {PLACE}, the folder of the locks: {reason(error)}") from None
    try:
        yield place
    finally:
        os.close(place)


def _open_lock(folder: int) -> int:
    found = os.fstat(folder)
    name = f"{found.st_dev}-{found.st_ino}.lock"
    with open_place() as place:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            lock = os.open(name, flags, 0o600, dir_fd=place)
        except OSError as error:
            raise LockError(f"cannot open {PLACE}/{name}: {reason(error)}") from None
        if not stat.S_ISREG(os.fstat(lock).st_mode):
            os.close(lock)
            raise LockError(f"{PLACE}/{name} is not a file: remove it")
        return lock


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _wait(handle: int, kind: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not _try(handle, kind):
        if time.monotonic() >= end:
            return False
        time.sleep(PAUSE)
    return True


def _wait_for_former(handle: int, kind: int) -> None:
    found = os.fstat(handle)
    identity, now = (found.st_dev, found.st_ino), time.monotonic()
    for one in [one for one, until in _held.items() if until <= now]:
        del _held[one]
    if not _wait(handle, kind, 0.0 if identity in _held else FORMER_WAIT):
        _held.setdefault(identity, now + FORMER_AGAIN)


def take(handle: int, wait: float = WAIT) -> bool:
    """Lock an open file or folder itself, until it is closed; False while another process has it.

    Only for what nobody but root could ever open, such as a work folder. Locked, it is in use and not left by a killed
    run.
    """
    return _wait(handle, fcntl.LOCK_EX, wait)


def holders(handle: int, table: str = "/proc/locks") -> t.List[str]:
    """Who holds a lock on this open file, as far as the kernel tells."""
    found = os.fstat(handle)
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids: t.List[int] = []
    with contextlib.suppress(OSError), open(table, encoding="ascii", errors="replace") as lines:
        for line in lines:
            # 1: FLOCK  ADVISORY  WRITE 4711 00:19:815 0 EOF; whoever only waits has an arrow after the number.
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted and fields[4].isdigit():
                pids.append(int(fields[4]))
    return [f"process {pid}{_name(pid)}" for pid in sorted(set(pids) - {0, os.getpid()})]


def _name(pid: int) -> str:
    # Its name and no more: what it was started with may be secret.
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as stream:
        return f" ({stream.read().strip()})"
    return ""


@contextlib.contextmanager
def hold(
    folder: int, path: str, shared: bool = False, wait: float = WAIT, former: t.Optional[int] = None
) -> t.Iterator[None]:
    """Keep others out of a folder, given by its descriptor, and its path for messages; shared: those who alter it only.

    former is the descriptor that versions up to 1.0 lock; by default that of the folder.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    former = folder if former is None else former
    lock = -1
    try:
        # Who is not root has no folder to himself, and works on what is his own.
        lock = _open_lock(folder) if os.geteuid() == 0 else os.dup(former)
        if not _wait(lock, kind, wait):
            by = holders(lock)
            holder = ". It is held by " + ", ".join(by) if by else ""
            raise LockError(f"{path} is locked by another run; it did not end within {wait:g} seconds{holder}")
        if os.geteuid() == 0:
            _wait_for_former(former, kind)
        yield
    except OSError as error:
        if lock != -1:
            raise
        raise LockError(f"cannot lock {path}: {reason(error)}") from None
    finally:
        if lock != -1:
            os.close(lock)
        with contextlib.suppress(OSError):
            fcntl.flock(former, fcntl.LOCK_UN)
