# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two files of a certificate and its key, replaced together.

nginx does not start with a key of another certificate, so that a process that is killed between the renames of two
files can take a gate away at the next boot. Where both are in a folder of their own, a new folder is made beside it,
complete, and the two change places in one step of the kernel (renameat2). Elsewhere (two folders, a folder with other
things in it, a file system that cannot exchange) the files are renamed one after the other, and what a killed process
has left tells the next one how to go on.

Needs nothing but Python: the program that certbot runs on the host uses this file, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shlex
import shutil
import ssl
import struct
import tempfile
import typing as t

from .._host import files, locks
from .._host.error import HostError

CERTIFICATE_MODE = files.PUBLIC
KEY_MODE = files.PRIVATE
# A file that waits for its place, and a folder that does
NEW_SUFFIX = ".wssgate-new"
FOLDER_PREFIX = ".wssgate-pair-"
# What belongs to a pair besides its two files: the key of a request, and copies that were kept
_COMPANION = re.compile(r"(?:\.next|\.\d{4}-\d{2}-\d{2}T\d{6}Z~)\Z")

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# Nothing can be made beside the folder: the one above is read-only, and this one is perhaps a file system of its own
_CANNOT_STAGE = (errno.EROFS, errno.EPERM, errno.EACCES)
# linux/fs.h; the number holds a long's size. Where it is another (powerpc, mips, sparc) the kernel refuses it.
_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_ATTRIBUTES = {0x10: "i", 0x20: "a"}
# The kernel, the file system or this folder (a mount point, a lower layer) cannot do it; everything else is an error
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EBUSY, errno.EOPNOTSUPP)


class PairError(HostError):
    """Says why a pair cannot be put in place."""


class PairFiles(t.NamedTuple):
    """Content of a certificate with its chain, and of its key; None is a file that is not there."""

    certificate: t.Optional[bytes]
    key: t.Optional[bytes]


def replace(certificate_path: str, key_path: str, name: str, wanted: PairFiles, follow: bool = False) -> None:
    """Have both files as they are wanted, at once where that can be, and clear away what a killed process has left.

    ``name`` is the certificate's: a folder of that name is its own, whatever else is in it. With ``follow`` the paths
    may lead through symlinks.
    """
    if not follow:
        for path in (certificate_path, key_path):
            if os.path.islink(path) or os.path.islink(os.path.dirname(path)):
                raise PairError(f"{path} or its folder is a symlink")
    check_attributes(certificate_path, key_path)
    recover(certificate_path, key_path)
    for path in (certificate_path, key_path):
        files.make_folders(os.path.dirname(path))
    if (
        follow
        or not _has_own_folder(certificate_path, key_path, name)
        or not _replace_folder(certificate_path, key_path, wanted)
    ):
        _replace_files(certificate_path, key_path, wanted)


def check_attributes(certificate_path: str, key_path: str) -> None:
    """Refuse files that cannot be removed, before anything is changed.

    Folders change places with them in it all the same.
    """
    for path in dict.fromkeys([certificate_path, key_path, *map(os.path.dirname, (certificate_path, key_path))]):
        letters = _attributes(path)
        if letters:
            raise PairError(f"{_locked(path, letters)}; nothing was changed")


def _locked(path: str, letters: str) -> str:
    word = "immutable" if "i" in letters else "append-only"
    return (
        f"{path} is {word} (lsattr shows {letters!r}) and cannot be replaced or removed: "
        f"chattr -{letters} {shlex.quote(path)}, then run this again"
    )


def _attributes(path: str) -> str:
    """Which attributes (chattr) keep a file from being removed, or what is in a folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        flags = int(struct.unpack_from("i", fcntl.ioctl(descriptor, _GET_FLAGS, b"\0" * 8))[0])
    except OSError:
        # A file system without attributes
        return ""
    finally:
        os.close(descriptor)
    return "".join(letter for flag, letter in _ATTRIBUTES.items() if flags & flag)


def interrupted(certificate_path: str, key_path: str) -> t.List[str]:
    """Return the files and folders that a killed process has left."""
    found = [path + NEW_SUFFIX for path in (certificate_path, key_path) if os.path.lexists(path + NEW_SUFFIX)]
    directory = os.path.dirname(certificate_path)
    return found + (_left_folders(directory) if directory == os.path.dirname(key_path) else [])


def pending_certificate(certificate_path: str, key_path: str) -> t.Optional[str]:
    """Return where the certificate waits whose key is in place: a process was killed between the two renames."""
    waiting = certificate_path + NEW_SUFFIX
    if os.path.islink(waiting) or not os.path.isfile(waiting) or os.path.lexists(key_path + NEW_SUFFIX):
        return None
    return waiting if belong_together(waiting, key_path) else None


def belong_together(certificate_path: str, key_path: str) -> bool:
    """Have OpenSSL say whether certificate and key are a pair."""
    try:
        # A key with a passphrase must not wait for somebody to type it
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path, password=lambda: b"")
    except (OSError, ValueError):
        return False
    return True


def recover(certificate_path: str, key_path: str) -> t.List[str]:
    """Complete what a killed process has begun, or take it back, and return what it had left."""
    left = interrupted(certificate_path, key_path)
    waiting = pending_certificate(certificate_path, key_path)
    if waiting is not None:
        files.move(waiting, certificate_path)
        files.sync_folder(os.path.dirname(certificate_path))
    for path in left:
        if path.endswith(NEW_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        else:
            with _abandoned(path) as descriptor:
                if descriptor is not None:
                    for file in os.listdir(descriptor):
                        letters = _attributes(os.path.join(path, file))
                        if letters:
                            raise PairError(_locked(os.path.join(path, file), letters))
                    _empty(descriptor)
                    os.rmdir(path)
    return left


# Files one by one


def _replace_files(certificate_path: str, key_path: str, wanted: PairFiles) -> None:
    """Stage the key and the certificate, then rename them in the same order.

    So what is left of it tells where it ended: a staged key, with or without a certificate, that nothing has been
    renamed; a staged certificate alone that its key is in place.
    """
    before = files.read(key_path, follow=True)
    staged = []
    try:
        for path, content, mode in (
            (key_path, wanted.key, KEY_MODE),
            (certificate_path, wanted.certificate, CERTIFICATE_MODE),
        ):
            if content is not None:
                staged.append(path + NEW_SUFFIX)
                files.write_new(path + NEW_SUFFIX, content, mode)
                files.sync_folder(os.path.dirname(path))
        _put(key_path, wanted.key)
        try:
            _put(certificate_path, wanted.certificate)
        except OSError as error:
            # Another process may have completed the pair in the meantime
            if error.errno != errno.ENOENT or not belong_together(certificate_path, key_path):
                _put_back(key_path, before)
                raise
    finally:
        for path in staged:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    for path in (key_path, certificate_path):
        files.sync_folder(os.path.dirname(path))


def _put(path: str, content: t.Optional[bytes]) -> None:
    if content is not None:
        files.move(path + NEW_SUFFIX, path)
        # The order of the two is what a killed process is understood by
        files.sync_folder(os.path.dirname(path))
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _put_back(path: str, content: t.Optional[bytes]) -> None:
    if content is not None:
        files.write_new(path + NEW_SUFFIX, content, KEY_MODE)
    _put(path, content)


# A folder of their own


def _has_own_folder(certificate_path: str, key_path: str, name: str) -> bool:
    """Whether both are in one folder that nobody else uses: it has the certificate's name, or nothing else is in it."""
    directory = os.path.dirname(certificate_path)
    if directory != os.path.dirname(key_path):
        return False
    names = (os.path.basename(certificate_path), os.path.basename(key_path))
    with os.scandir(directory) as entries:
        for entry in entries:
            # What is no file cannot be in two folders, as it has to be for a moment
            if not entry.is_file(follow_symlinks=False):
                return False
            if os.path.basename(directory) != name and not _belongs_to(entry.name, names):
                return False
    return True


def _belongs_to(entry: str, names: t.Sequence[str]) -> bool:
    return (
        entry in names
        or entry.startswith(files.STAGED_PREFIX)
        or any(entry.startswith(name) and _COMPANION.match(entry[len(name) :]) for name in names)
    )


def _replace_folder(certificate_path: str, key_path: str, wanted: PairFiles) -> bool:
    """Put a complete folder in the place of the old one; nothing was done where that cannot be."""
    directory = os.path.dirname(certificate_path)
    names = (os.path.basename(certificate_path), os.path.basename(key_path))
    with contextlib.ExitStack() as stack:
        if _attributes(os.path.dirname(directory)):
            return False
        try:
            staged, descriptor = stack.enter_context(_new_folder(directory))
        except OSError as error:
            if error.errno in _CANNOT_STAGE:
                return False
            raise
        for file, content, mode in ((names[1], wanted.key, KEY_MODE), (names[0], wanted.certificate, CERTIFICATE_MODE)):
            if content is not None:
                files.write_new(os.path.join(staged, file), content, mode)
        for file in os.listdir(directory):
            if file in names or file.startswith(files.STAGED_PREFIX):
                continue
            try:
                files.link(os.path.join(directory, file), os.path.join(staged, file))
            except OSError:
                return False
        # Owner, mode and labels
        status = os.stat(directory)
        os.fchown(descriptor, status.st_uid, status.st_gid)
        shutil.copystat(directory, staged)
        os.fsync(descriptor)
        if not exchange(staged, directory):
            return False
        files.sync_folder(os.path.dirname(directory))
    return True


def exchange(one: str, other: str) -> bool:
    """Have two paths change places in one step; nothing was done where that cannot be."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), other)


@contextlib.contextmanager
def _new_folder(directory: str) -> t.Iterator[t.Tuple[str, int]]:
    """Make a folder that only its owner can look into beside another, and remove what has its name afterwards.

    It is locked meanwhile: one without a lock was left by a killed process.
    """
    while True:
        path = tempfile.mkdtemp(prefix=_prefix(directory), dir=os.path.dirname(directory))
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        # Somebody who cleared up may have taken it away before it was locked
        if locks.take(descriptor) and os.path.isdir(path) and os.path.samestat(os.stat(path), os.fstat(descriptor)):
            break
        os.close(descriptor)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        # The former folder now; or the new one, where it did not come to that
        with contextlib.suppress(FileNotFoundError):
            rest = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _empty(rest)
            finally:
                os.close(rest)
            os.rmdir(path)


def _prefix(directory: str) -> str:
    return f"{FOLDER_PREFIX}{os.path.basename(directory)}-"


def _left_folders(directory: str) -> t.List[str]:
    """Return the folders of killed processes beside the one that they were to replace."""
    parent = os.path.dirname(directory)
    # mkdtemp's eight letters: the folder "a" is not to take what belongs to "a-b"
    pattern = re.compile(re.escape(_prefix(directory)) + r"[a-z0-9_]{8}\Z")
    try:
        paths = [os.path.join(parent, entry) for entry in sorted(os.listdir(parent)) if pattern.match(entry)]
    except OSError:
        return []
    found = []
    for path in paths:
        with _abandoned(path) as descriptor:
            if descriptor is not None:
                found.append(path)
    return found


@contextlib.contextmanager
def _abandoned(path: str) -> t.Iterator[t.Optional[int]]:
    """Lock a folder that no process holds; None stands for one that is held, gone, or no folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor if locks.take(descriptor, 0) else None
    finally:
        os.close(descriptor)


def _empty(directory: int) -> None:
    """Remove the files of an open folder."""
    for entry in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(entry, dir_fd=directory)
