# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep the session log root's alone, and remember where workers still write another one.

nginx's workers have the descriptor of the log from their master. With it they may open the file anew for reading, at
/proc/self/fd/N, as soon as its owner and mode let them; the folder's mode does not matter there. So it is made before
nginx opens it. When nginx is told to open its logs anew (USR1, at each log rotation), its master gives every log to the
workers' account by its path. What prevents that is the file's append-only attribute: the kernel then refuses a change
of owner, and also that a worker truncates the log through its descriptor. Where a file system or a container does not
allow the attribute, each run of the pruner takes the log back.

This file needs nothing but the standard library: the pruner that runs on the host without Ansible has a copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import struct
import time
import typing as t

from .._host import files
from .._host.locks import open_place

FORMER = "former-session-logs"
FORMER_LIMIT = 1 << 20

# linux/fs.h; the numbers hold a long's size. Where they are others (powerpc, mips, sparc) the kernel refuses them.
_LONG = struct.calcsize("l")
_GET_FLAGS = 0x80006601 | _LONG << 16
_SET_FLAGS = 0x40006602 | _LONG << 16
_APPEND_ONLY = 0x20


def _flags(fd: int) -> t.Optional[int]:
    try:
        return int(struct.unpack_from("i", fcntl.ioctl(fd, _GET_FLAGS, b"\0" * 8))[0])
    except OSError:
        return None


def is_append_only(fd: int) -> bool:
    return bool((_flags(fd) or 0) & _APPEND_ONLY)


def set_append_only(fd: int, wanted: bool) -> bool:
    """Have the attribute as wanted; return whether it is so."""
    flags = _flags(fd)
    if flags is None:
        return not wanted
    if bool(flags & _APPEND_ONLY) == wanted:
        return True
    changed = flags | _APPEND_ONLY if wanted else flags & ~_APPEND_ONLY
    try:
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("i", changed) + b"\0" * 4)
    except OSError:
        return False
    return True


def secure(fd: int) -> bool:
    """Make an open log root's alone and keep it so; return whether it was not."""
    changed = False
    # More than once: nginx may be told to open its logs anew between the change and the attribute that prevents it.
    for _turn in range(5):
        found = os.fstat(fd)
        is_ours = (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid()) and stat.S_IMODE(found.st_mode) == 0o600
        if is_ours and set_append_only(fd, True):
            found = os.fstat(fd)
            if (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o600):
                break
        elif is_ours:
            break
        set_append_only(fd, False)
        # The mode first: under another owner and its former mode everybody who has its descriptor could read it.
        os.fchmod(fd, 0o600)
        os.fchown(fd, os.geteuid(), os.getegid())
        changed = True
    return changed


def prepare(path: str) -> bool:
    """Make the log before nginx does, or secure the one that is there; return whether something was done.

    Raises FileError for what is no file, a symlink for example.
    """
    flags = os.O_WRONLY | os.O_APPEND
    made = False
    try:
        fd = files.open_file(path, flags)
    except FileNotFoundError:
        fd = files.create(path, 0o600, flags=flags)
        made = True
    try:
        return secure(fd) or made
    finally:
        os.close(fd)


def release(path: str) -> None:
    """Take the attribute away, so that the log can be removed."""
    with contextlib.suppress(OSError, files.FileError):
        fd = files.open_file(path)
        try:
            set_append_only(fd, False)
        finally:
            os.close(fd)


def release_all(path: str) -> None:
    """The same for all files beside it: a log of a former path, or one that was renamed, has the attribute, too.

    Only where the folder is the logs' own, which nobody else may enter.
    """
    release(path)
    folder = os.path.dirname(path)
    with contextlib.suppress(OSError):
        if not stat.S_IMODE(os.stat(folder).st_mode) & 0o077:
            for name in os.listdir(folder):
                release(os.path.join(folder, name))


# Where workers still write another log


class Former(t.NamedTuple):
    """From a moment on, given in seconds since boot, ``path`` is written instead of ``former``."""

    path: str
    former: str
    since: float


def _read() -> t.List[Former]:
    with open_place() as place:
        data = files.read(FORMER, FORMER_LIMIT, place)
    entries = []
    for line in (data or b"").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line.decode("utf-8"))
            entries.append(Former(str(entry["path"]), str(entry["former"]), float(entry["since"])))
    return entries


def _oldest_worker(proc: str = "/proc") -> float:
    """When the oldest worker of any nginx here started, in seconds since boot; 0 where none can be seen.

    /proc may hide what is another's (hidepid), so that none is seen does not say that none runs.
    """
    moments = []
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"{proc}/{name}/cmdline", "rb") as stream:
                if not stream.read(64).startswith(b"nginx: worker process"):
                    continue
            with open(f"{proc}/{name}/stat", "rb") as stream:
                # The name in parentheses may hold anything.
                moments.append(int(stream.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK"))
    return min(moments, default=0.0)


def former_logs(path: str) -> t.List[str]:
    """The logs that workers may still write to which started before ``path`` was set; the oldest first.

    The record is in /run, so it is gone after a boot, as those workers are.
    """
    if os.geteuid() != 0:
        return []
    entries = _read()
    found = [os.path.normpath(path)]
    # Only where it is asked for: the log is read ten times a second, and this goes through all processes.
    if not any(entry.path == found[0] for entry in entries):
        return []
    oldest = _oldest_worker()
    entries = [entry for entry in entries if oldest <= entry.since]
    for one in found:
        found += [entry.former for entry in reversed(entries) if entry.path == one and entry.former not in found]
    return found[:0:-1]


def remember(paths: t.Iterable[str], formers: t.Iterable[str]) -> None:
    """Note that workers which run now write to ``formers``, and those to come to ``paths``. The caller holds a lock."""
    if os.geteuid() != 0:
        return
    oldest = _oldest_worker()
    # A minute more: a worker that crashes before the reload is replaced by one that writes to the former log, too.
    since = time.clock_gettime(time.CLOCK_BOOTTIME) + 60
    added = [Former(os.path.normpath(path), os.path.normpath(former), since) for path in paths for former in formers]
    again = {(entry.path, entry.former) for entry in added}
    entries = [entry for entry in _read() if oldest <= entry.since and (entry.path, entry.former) not in again] + added
    text = "".join(json.dumps(entry._asdict()) + "\n" for entry in entries).encode("utf-8")
    with open_place() as place:
        files.write(FORMER, text, 0o600, folder=place)
