# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of a host: written whole or not at all, read with a limit, and never reached through a link that was put there.

Every function takes a path, or the name of a file in a folder that is open already: the folder's descriptor is then
``folder``. What the system refuses is an OSError with the path as it was given, what is refused here a FileError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import typing as t

from .error import HostError

# A file of this beginning was staged by a run that was killed.
STAGED_PREFIX = ".wssgate-"
PRIVATE, PUBLIC, FOLDER = 0o600, 0o644, 0o755
READ_LIMIT = 1 << 20
LINK, KIND, SIZE = "link", "kind", "size"


class FileError(HostError):
    """A file that is not written, read or removed because of what it is: ``why`` is LINK, KIND or SIZE."""

    def __init__(self, path: str, why: str, message: str) -> None:
        super().__init__(f"{path} {message}")
        self.path = path
        self.why = why
        # Where the path is secret
        self.message = message


def _is_link(path: str) -> FileError:
    return FileError(path, LINK, "is a symlink, which is not followed: remove it, or name what it points to")


def _is_no_file(path: str) -> FileError:
    return FileError(path, KIND, "is not a regular file: remove it first")


@contextlib.contextmanager
def _about(path: str) -> t.Iterator[None]:
    """Name the path in errors, which else name a staged file or nothing at all."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


# Folders


def open_folder(path: str, folder: t.Optional[int] = None, follow: bool = False) -> int:
    """Return the descriptor of a folder; with ``follow`` it may be a link to one."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        return os.open(path, flags, dir_fd=folder)
    except OSError as error:
        # Linux tells of a link here that it is no directory.
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _status_is(stat.S_ISLNK, path, folder):
            raise _is_link(path) from error
        raise


def _status_is(kind: t.Callable[[int], bool], path: str, folder: t.Optional[int]) -> bool:
    with contextlib.suppress(OSError):
        return kind(os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


@contextlib.contextmanager
def _parent(path: str, folder: t.Optional[int], follow: bool) -> t.Iterator[t.Tuple[int, str]]:
    """The open folder of a file, and its name there."""
    directory, name = os.path.split(path)
    if folder is not None and not directory:
        yield folder, name
        return
    handle = open_folder(directory or ".", folder, follow)
    try:
        yield handle, name
    finally:
        os.close(handle)


def make_folders(path: str, mode: int = FOLDER) -> None:
    """Make a folder and those above it that are missing, each with this mode."""
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        if above:
            make_folders(above, mode)
        with contextlib.suppress(FileExistsError):
            make_folder(path, mode)


def make_folder(path: str, mode: int = FOLDER, folder: t.Optional[int] = None) -> None:
    """Make a folder with exactly this mode, whatever the umask."""
    os.mkdir(path, 0o700, dir_fd=folder)
    os.chmod(path, mode, dir_fd=folder)


def sync_folder(folder: t.Union[int, str]) -> None:
    """Have the names in a folder on the disk: after a power loss, a file may else have its former name or content."""
    if isinstance(folder, int):
        os.fsync(folder)
        return
    handle = open_folder(folder, follow=True)
    try:
        with _about(folder):
            os.fsync(handle)
    finally:
        os.close(handle)


# Reading


def open_file(path: str, flags: int = os.O_RDONLY, folder: t.Optional[int] = None, follow: bool = False) -> int:
    """Return the descriptor of a regular file that is there; with ``follow`` the path may be a link to one."""
    # O_NONBLOCK: a pipe that was put in the file's place must not hold up the run.
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = os.open(path, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise _is_link(path) from error
        # A socket; or a pipe or a folder that was to be written
        if error.errno in (errno.ENXIO, errno.EISDIR):
            raise _is_no_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _is_no_file(path)
    return handle


def read(path: str, most: int = READ_LIMIT, folder: t.Optional[int] = None, follow: bool = False) -> t.Optional[bytes]:
    """Return what a regular file holds, at most so many bytes; None when nothing is there."""
    try:
        handle = open_file(path, folder=folder, follow=follow)
    except FileNotFoundError:
        return None
    parts: t.List[bytes] = []
    left = most + 1
    try:
        while left:
            part = os.read(handle, left)
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
    except OSError as error:  # and not _about(): a store of a million files is read by this
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(handle)
    raise FileError(path, SIZE, f"holds more than {most} bytes")


# Writing


def set_attributes(
    handle: int, mode: t.Optional[int] = None, uid: t.Optional[int] = None, gid: t.Optional[int] = None
) -> None:
    """Give an open file owner, group and mode where they are given and others."""
    found = os.fstat(handle)
    uid = -1 if uid in (None, found.st_uid) else uid
    gid = -1 if gid in (None, found.st_gid) else gid
    if (uid, gid) != (-1, -1):
        os.fchown(handle, uid, gid)
    if mode is not None and mode != stat.S_IMODE(found.st_mode):
        os.fchmod(handle, mode)


def create(path: str, mode: int = PRIVATE, folder: t.Optional[int] = None, flags: int = os.O_WRONLY) -> int:
    """Return the descriptor of a file that was not there; the umask counts for its mode."""
    flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, mode, dir_fd=folder)


def write_new(
    path: str,
    content: bytes,
    mode: int = PRIVATE,
    uid: t.Optional[int] = None,
    gid: t.Optional[int] = None,
    folder: t.Optional[int] = None,
    modified: t.Optional[float] = None,
    sync: bool = True,
) -> None:
    """Write a file that is not there yet: nobody else can read it before it is complete, and a failure leaves none.

    It is on the disk afterwards; its name is once its folder was synced. ``sync``: whether it has to be, where the
    caller has many and does it for all. ``modified``: the time it bears.
    """
    with _about(path):
        handle = create(path, folder=folder)
        try:
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(handle, rest) :]
                if modified is not None:
                    os.utime(handle, (time.time(), modified))
                set_attributes(handle, mode, uid, gid)
                if sync:
                    os.fsync(handle)
            finally:
                os.close(handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path, dir_fd=folder)
            raise


def write(
    path: str,
    content: bytes,
    mode: int = PUBLIC,
    uid: t.Optional[int] = None,
    gid: t.Optional[int] = None,
    folder: t.Optional[int] = None,
    follow: bool = False,
    replaces_link: bool = False,
    finish: t.Optional[t.Callable[[str], object]] = None,
) -> None:
    """Put a file in place, or another in its place, in one step, and have it on the disk.

    Whoever opens the path gets all of the old content or all of the new. A link or anything else that is no file is
    refused; one that comes there meanwhile is replaced, never written through. ``follow``: the folder may be a link.
    ``replaces_link``: a link is replaced instead of refused. ``finish`` is called with the path of the staged file,
    which is in the same folder, before it gets its name.
    """
    with _parent(path, folder, follow) as (handle, name):
        if not replaces_link:
            check(name, handle, path)
        staged = STAGED_PREFIX + os.urandom(8).hex()
        with _about(path):
            write_new(staged, content, mode, uid, gid, handle)
            try:
                if finish is not None:
                    finish(os.path.join(os.path.dirname(path), staged))
                move(staged, name, handle, handle)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(staged, dir_fd=handle)
                raise
            sync_folder(handle)


def append(path: str, content: bytes, size: int) -> bool:
    """Append to a file that has this size, and have it on the disk; False where it has another one, or none is there.

    What fails half-way leaves a part: the size is another one then.
    """
    try:
        handle = open_file(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return False
    try:
        with _about(path):
            if os.fstat(handle).st_size != size:
                return False
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fdatasync(handle)
    finally:
        os.close(handle)
    return True


def check(name: str, folder: t.Optional[int] = None, path: t.Optional[str] = None) -> bool:
    """Refuse what is there and is no regular file; return whether a file is there."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(found.st_mode):
        raise _is_link(path or name)
    if not stat.S_ISREG(found.st_mode):
        raise _is_no_file(path or name)
    return True


def move(source: str, path: str, folder: t.Optional[int] = None, to: t.Optional[int] = None) -> None:
    """Give a file another name in one step. What bore that name is gone, a link itself and not what it points to."""
    os.rename(source, path, src_dir_fd=folder, dst_dir_fd=to)


def link(source: str, path: str) -> None:
    """Give a file, or a symbolic link itself, a second name."""
    os.link(source, path, follow_symlinks=False)


def remove(path: str, folder: t.Optional[int] = None, follow: bool = False) -> bool:
    """Remove a regular file and have that on the disk; return whether one was there. Else it is refused."""
    try:
        with _parent(path, folder, follow) as (handle, name):
            if not check(name, handle, path):
                return False
            with _about(path):
                os.unlink(name, dir_fd=handle)
                sync_folder(handle)
    except FileNotFoundError:
        return False
    return True
