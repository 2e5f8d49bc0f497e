# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every part of the token store needs of its directory."""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from .._host import files
from .._host.error import reason
from .record import StoreError, fingerprint


@contextlib.contextmanager
def telling(action: str, name: t.Optional[str] = None) -> t.Iterator[None]:
    """Turn an error whose text holds the file name into a StoreError, whose text does not."""
    try:
        yield
    except (OSError, files.FileError) as error:
        about = "" if name is None else f" token {fingerprint(name)}"
        why = f"it {error.message}" if isinstance(error, files.FileError) else reason(error)
        raise StoreError(f"cannot {action}{about}: {why}") from None


def identity_of(found: os.stat_result) -> t.Tuple[int, int]:
    return found.st_ino, found.st_ctime_ns


class StoreFolder:
    """The directory, by a descriptor that was opened without following a link."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        # Why what a killed run left is still there
        self.leftover = ""
        # Called again and again while the store is looked through
        self.progress: t.Callable[[], None] = lambda: None

    def _is_there(self, name: str) -> bool:
        with telling("look at", name):
            try:
                os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            except FileNotFoundError:
                return False
        return True

    def _open_inner(self, name: str) -> t.Optional[int]:
        """Open a folder in the store; None where there is none."""
        with telling(f"open {name} in {self.path}"):
            try:
                return files.open_folder(name, self.fd)
            except FileNotFoundError:
                return None

    def _undo(self, names: t.Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.fd)

    def _sync_directory(self, fd: t.Optional[int] = None) -> None:
        """Without it a power loss could bring a revoked token back."""
        try:
            files.sync_folder(self.fd if fd is None else fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EROFS):
                raise StoreError(f"cannot write the store to the disk: {reason(error)}") from None
