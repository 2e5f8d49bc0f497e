# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How token files come into the store: complete and on the disk under another name first."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import typing as t

from .._host import files
from .._host.error import reason
from .folder import StoreFolder, telling
from .record import DEFAULT_MODE, NO_EXPIRY_MTIME, Attributes, Draft, StoreError, Token, fingerprint

# A directory, not a name prefix: whether a killed run left something is then one look-up, however large the store is.
STAGING = ".wssgate-staging"
# Up to here one fsync a file is cheaper than asking the whole file system to write itself out.
FSYNC_EACH = 8


class TokenWriter(StoreFolder):
    """Writes token files, all or none."""

    def look(self, name: str) -> t.Optional[Token]:
        raise NotImplementedError

    def create(self, names: t.Sequence[str], wanted: Attributes) -> t.List[str]:
        """Create empty token files, all or none; return those that were not there.

        An empty file needs no temporary name: there is no moment at which it is half written.
        """
        made: t.List[str] = []
        mode = DEFAULT_MODE if wanted.mode is None else wanted.mode
        name = ""
        umask = os.umask(0)
        try:
            for name in names:
                try:
                    fd = files.create(name, mode, self.fd)
                except FileExistsError:
                    self.look(name)  # somebody was faster; anything but a file is refused there
                    continue
                made.append(name)
                try:
                    if (wanted.uid, wanted.gid) != (None, None):
                        files.set_attributes(fd, None, wanted.uid, wanted.gid)
                finally:
                    os.close(fd)
        except OSError as error:
            self._undo(made)
            raise StoreError(f"cannot create token {fingerprint(name)}: {reason(error)}; nothing was created") from None
        except StoreError:
            self._undo(made)
            raise
        finally:
            os.umask(umask)
        self._sync_directory()
        return made

    def write(self, drafts: t.Sequence[Draft], wanted: Attributes) -> None:
        """Write token files, all or none: complete under another name, on the disk, and only then renamed.

        They must be on the disk before the rename: after a power loss a file whose data was not
        would come back empty, and an empty file is a token that never ends.
        """
        if not drafts:
            return
        renamed: t.List[Draft] = []
        draft = drafts[0]
        with self._staging() as staging:
            try:
                for number, draft in enumerate(drafts):
                    self._stage(staging, str(number), draft, wanted, sync=len(drafts) <= FSYNC_EACH)
                if len(drafts) > FSYNC_EACH:
                    _sync_file_system(self.fd, staging, len(drafts))
                for number, draft in enumerate(drafts):
                    files.move(str(number), draft.name, staging, self.fd)
                    renamed.append(draft)
            except OSError as error:
                self._undo([done.name for done in renamed if done.replaces is None])
                replaced = sum(1 for done in renamed if done.replaces is not None)
                already = f", {replaced} were already replaced" if replaced else ""
                raise StoreError(
                    f"cannot write token {fingerprint(draft.name)}: {reason(error)}; nothing was created{already}"
                ) from None
        self._sync_directory()

    def _stage(self, staging: int, temporary: str, draft: Draft, wanted: Attributes, sync: bool) -> None:
        old = draft.replaces
        content, modified = b"", None
        if draft.document is not None:
            content = json.dumps(draft.document, separators=(",", ":")).encode("ascii") + b"\n"
            ends = draft.document["expires_at"]
            modified = NO_EXPIRY_MTIME if ends is None else ends
        files.write_new(
            temporary,
            content,
            mode=wanted.mode if wanted.mode is not None else (DEFAULT_MODE if old is None else old.mode),
            uid=wanted.uid if wanted.uid is not None or old is None else old.uid,
            gid=wanted.gid if wanted.gid is not None or old is None else old.gid,
            folder=staging,
            modified=modified,
            sync=sync,
        )

    @contextlib.contextmanager
    def _staging(self) -> t.Iterator[int]:
        self.clean()
        with telling("prepare the writing of tokens"):
            os.mkdir(STAGING, 0o700, dir_fd=self.fd)
            staging = files.open_folder(STAGING, self.fd)
        try:
            yield staging
        finally:
            os.close(staging)
            self.clean()

    def clean(self) -> int:
        """Remove what a killed run left; return the number of files. Only under the lock."""
        staging = self._open_inner(STAGING)
        if staging is None:
            return 0
        try:
            with telling("remove what an earlier run left"):
                names = os.listdir(staging)
                for name in names:
                    os.unlink(name, dir_fd=staging)
                os.rmdir(STAGING, dir_fd=self.fd)
        finally:
            os.close(staging)
        return len(names)


def _sync_file_system(fd: int, staging: int, count: int) -> None:
    """Write everything staged to the disk, in one call where the C library has it."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        for number in range(count):
            one = files.open_file(str(number), folder=staging)
            try:
                os.fsync(one)
            finally:
                os.close(one)
        return
    if syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
