# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the token store needs of its directory."""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from .record import StoreError, fingerprint

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def telling(action: str, name: t.Optional[str] = None) -> t.Iterator[None]:
    """Turn an OSError, whose text holds the file name, into a StoreError, whose text does not."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0) if error.errno else "unknown error"
        about = "" if name is None else f" token {fingerprint(name)}"
        raise StoreError(f"cannot {action}{about}: {reason}") from None


def identity_of(found: os.stat_result) -> t.Tuple[int, int]:
    return found.st_ino, found.st_ctime_ns


class StoreFolder:
    """The directory, by a descriptor that was opened without following a link."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        # Why what a killed run left is still there
        self.leftover = ""

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"cannot look at token {fingerprint(name)}: {os.strerror(error.errno or 0)}") from None
        return True

    def _undo(self, names: t.Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.fd)

    def _sync_directory(self, fd: t.Optional[int] = None) -> None:
        """Without it a power loss could bring a revoked token back."""
        try:
            os.fsync(self.fd if fd is None else fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EROFS):
                raise StoreError(f"cannot write the store to the disk: {os.strerror(error.errno or 0)}") from None
