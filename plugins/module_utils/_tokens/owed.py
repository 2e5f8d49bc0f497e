# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tokens that were removed and whose sessions may still be open: a record of each, in a folder of the store."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._host import files
from .._host.error import reason
from .folder import StoreFolder, identity_of, telling
from .record import DEFAULT_MODE, Owed, StoreError, fingerprint, is_token

# Tokens that were removed and whose sessions may still be open: the token's file, moved here. A directory, too, so that
# a store of any size is as quick to look through as before. Its name is no token's, so nothing in it opens the gate.
ENDED = ".wssgate-ended"


class OwedRecords(StoreFolder):
    """Removed tokens whose sessions may still be open."""

    def owed(self) -> t.List[Owed]:
        """Return the removed tokens of which sessions may still be open."""
        folder = self._open_inner(ENDED)
        if folder is None:
            return []
        found = []
        try:
            with telling(f"list {ENDED}"), os.scandir(folder) as entries:
                for entry in entries:
                    if is_token(entry.name):
                        status = entry.stat(follow_symlinks=False)
                        found.append(Owed(entry.name, status.st_ctime, identity_of(status), self._is_there(entry.name)))
        finally:
            os.close(folder)
        return found

    def owe(self, names: t.Iterable[str]) -> t.List[str]:
        """Note that sessions of these tokens may be open; return those for which that could not be written down."""
        failed: t.List[str] = []
        names = list(names)
        folder = self._ended_folder() if names else None
        if folder is None:
            return names
        try:
            for name in names:
                try:
                    with contextlib.suppress(FileExistsError):
                        os.close(files.create(name, DEFAULT_MODE, folder))
                    os.utime(name, None, dir_fd=folder, follow_symlinks=False)
                except OSError:
                    failed.append(name)
            with contextlib.suppress(StoreError):  # the record is there, though perhaps not after a power loss
                self._sync_directory(folder)
                self._sync_directory()
        finally:
            os.close(folder)
        return failed

    def settle(self, records: t.Iterable[Owed]) -> t.List[str]:
        """Forget these, whose sessions are gone; return what went wrong."""
        problems: t.List[str] = []
        folder = self._open_inner(ENDED)
        if folder is None:
            return problems
        try:
            for record in records:
                try:
                    # Removed again since it was listed: then its sessions were not looked for yet.
                    if identity_of(os.stat(record.name, dir_fd=folder, follow_symlinks=False)) == record.identity:
                        os.unlink(record.name, dir_fd=folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    problems.append(f"cannot forget removed token {fingerprint(record.name)}: {reason(error)}")
        finally:
            os.close(folder)
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(ENDED, dir_fd=self.fd)
        return problems

    def _ended_folder(self) -> t.Optional[int]:
        """The folder of removed tokens; None where it cannot be made or opened, which must not keep a token valid."""
        with contextlib.suppress(OSError, StoreError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(ENDED, 0o700, dir_fd=self.fd)
            return self._open_inner(ENDED)
        return None
