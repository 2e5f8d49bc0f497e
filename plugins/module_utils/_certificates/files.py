# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single files of certificates and keys: read with suspicion, written so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import typing as t

from .pair import DIRECTORY_MODE
from .x509 import CertificateError

_SIZE_LIMIT = 1024 * 1024


def read_regular(path: str, follow: bool) -> t.Optional[bytes]:
    """Return the content of a regular file, or None when it is not there."""
    if not follow and os.path.islink(os.path.dirname(path)):
        raise CertificateError(
            f"{os.path.dirname(path)} is a symlink: name the folder it points to, or set symlinks_allowed: true"
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        if error.errno == errno.ELOOP:
            raise CertificateError(
                f"{path} is a symlink: remove it, name the file it points to, or set symlinks_allowed: true"
            ) from error
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CertificateError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(_SIZE_LIMIT + 1)
    if len(content) > _SIZE_LIMIT:
        raise CertificateError(f"{path} is too large for a certificate or a key")
    return content


def wrong_attributes(modes: t.Mapping[str, int]) -> t.Iterator[str]:
    """Name the files whose owner or mode is not the wanted one."""
    for path, mode in modes.items():
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_IMODE(status.st_mode) != mode or (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            yield path


def _stage(path: str, content: bytes, mode: int) -> str:
    """Write a file beside its final path, readable by nobody else until it is complete."""
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        previous = os.umask(0o777 & ~DIRECTORY_MODE)
        try:
            os.makedirs(directory, DIRECTORY_MODE)
        finally:
            os.umask(previous)
    descriptor, staged = tempfile.mkstemp(prefix=".wssgate-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except OSError:
        os.unlink(staged)
        raise
    return staged


def sync_folder_of(path: str) -> None:
    """Have the name of a file on the disk."""
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: str, content: bytes, mode: int) -> None:
    """Put a file in place in one step."""
    staged = _stage(path, content, mode)
    os.rename(staged, path)
    sync_folder_of(path)
