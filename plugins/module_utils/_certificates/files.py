# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single files of certificates and keys: read with suspicion, written so that nobody ever sees half of one."""

from __future__ import annotations

import os
import stat
import typing as t

from .._host import files
from .._host.error import reason
from .x509 import CertificateError


def read_regular(path: str, follow: bool) -> t.Optional[bytes]:
    """Return the content of a regular file, or None when it is not there."""
    if not follow and os.path.islink(os.path.dirname(path)):
        raise CertificateError(
            f"{os.path.dirname(path)} is a symlink: name the folder it points to, or set symlinks_allowed: true"
        )
    try:
        return files.read(path, follow=follow)
    except files.FileError as error:
        raise CertificateError(f"{path} {_WRONG[error.why]}") from error
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {reason(error)}") from error


_WRONG = {
    files.LINK: "is a symlink: remove it, name the file it points to, or set symlinks_allowed: true",
    files.KIND: "is not a regular file",
    files.SIZE: "is too large for a certificate or a key",
}


def wrong_attributes(modes: t.Mapping[str, int]) -> t.Iterator[str]:
    """Name the files whose owner or mode is not the wanted one."""
    for path, mode in modes.items():
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_IMODE(status.st_mode) != mode or (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            yield path


def replace(path: str, content: bytes, mode: int) -> None:
    """Put a file in place in one step, and the folders above it that are missing."""
    files.make_folders(os.path.dirname(path))
    files.write(path, content, mode)
