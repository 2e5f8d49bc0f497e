# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchange a set of files in a folder so that at any moment the former set can be put back.

What is needed for that lies in a private work folder inside of the folder itself, on the same filesystem:

``new/N``
    what is going to be put at the path of change N
``kept/N``
    a hard link to what was there
``journal.json``
    the changes. While it is there, the exchange is not final: whoever comes next, after a kill or a power cut, undoes
    it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._host import files
from .._host.locks import WAIT, hold
from .error import NginxError

WORK_PREFIX = ".wssgate-work-"
SAVED_SUFFIX = ".wssgate-saved"
# Of a file with a secret in it. What others may not read, nothing shows.
SECRET_MODE = 0o600
_JOURNAL = "journal.json"
_KEPT_JOURNAL = "journal.kept.json"
_MARKER_LINES = 5


class Operations:
    """Everything that alters the disk, one method a system call, so that tests can break each of them."""

    def make_directory(self, path: str, mode: int) -> None:
        """Make a folder; the mode is exact, whatever the umask."""
        files.make_folder(path, mode)

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Write a new file and have it on the disk."""
        files.write_new(path, content, mode)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        os.symlink(target, path)

    def link(self, source: str, path: str) -> None:
        """Give ``source``, which may itself be a symbolic link, a second name."""
        try:
            files.link(source, path)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            # A filesystem without hard links.
            shutil.copy2(source, path, follow_symlinks=False)

    def rename(self, source: str, path: str) -> None:
        """Move ``source`` to ``path`` in one step."""
        files.move(source, path)

    def unlink(self, path: str) -> None:
        """Remove a file or link."""
        os.unlink(path)

    def remove_directory(self, path: str) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def sync_directory(self, path: str) -> None:
        """Have the names in a folder on the disk."""
        files.sync_folder(path)


class Entry(NamedTuple):
    """What is, or shall be, at a path."""

    kind: str
    """file, link or other"""
    content: bytes
    """Bytes of a file, target of a link."""
    mode: int
    owner: int

    @property
    def identity(self) -> str:
        """A short text that differs when anything in here does."""
        digest = hashlib.sha256(self.content).hexdigest()
        return f"{self.kind} {digest} {self.mode:o} {self.owner}"

    def is_marked(self, marker: str) -> bool:
        """Whether the first lines say that the file is ours."""
        return self.kind == "file" and marker.encode() in b"\n".join(
            self.content.split(b"\n", _MARKER_LINES)[:_MARKER_LINES]
        )


def read_entry(path: str) -> Optional[Entry]:
    """Return what is at ``path`` itself, links not followed; nothing when nothing is there."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return Entry("link", os.fsencode(os.readlink(path)), 0, status.st_uid)
        try:
            handle = files.open_file(path) if stat.S_ISREG(status.st_mode) else -1
        except files.FileError:
            handle = -1
        if handle == -1:
            return Entry("other", b"", stat.S_IMODE(status.st_mode), status.st_uid)
        with open(handle, "rb") as stream:
            status = os.fstat(handle)
            return Entry("file", stream.read(), stat.S_IMODE(status.st_mode), status.st_uid)
    except (FileNotFoundError, NotADirectoryError):
        return None


class Change(NamedTuple):
    """One path and what becomes of it; ``after`` is None when it goes away."""

    path: str
    before: Optional[Entry]
    after: Optional[Entry]


def identity(entry: Optional[Entry]) -> str:
    """Return the identity of ``entry``, of nothing too."""
    return entry.identity if entry else "nothing"


def parents(path: str) -> Iterator[str]:
    """Yield the folders that hold the relative ``path``, outermost first."""
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


class Lock:
    """Keeps a second run out of a folder, and leaves nothing behind in it."""

    def __init__(self, directory: str, limit: float = WAIT) -> None:
        self._directory = directory
        self._limit = limit
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Lock:
        with contextlib.ExitStack() as stack:
            handle = files.open_folder(self._directory, follow=True)
            stack.callback(os.close, handle)
            stack.enter_context(hold(handle, self._directory, wait=self._limit))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()


class Exchange:
    """The changes of one run and the work folder that makes them reversible."""

    def __init__(self, directory: str, operations: Operations) -> None:
        self.directory = directory
        self.work = ""
        self._operations = operations

    def path(self, relative: str) -> str:
        """Return where ``relative`` is on the host."""
        return os.path.join(self.directory, relative)

    def open_work(self) -> str:
        """Make the work folder; only its owner can look into it."""
        self.work = tempfile.mkdtemp(prefix=WORK_PREFIX, dir=self.directory)
        return self.work

    # -- staging ---------------------------------------------------------------------------------------------------

    def stage(self, changes: Sequence[Change]) -> str:
        """Lay out the folder as it shall be and return where: real files for ``changes``, links for all else.

        Links, because copies of private keys or passwords are not to lie about.
        """
        tree = os.path.join(self.work, "tree")
        new = os.path.join(self.work, "new")
        self._operations.make_directory(tree, 0o700)
        self._operations.make_directory(new, 0o700)
        after: Dict[str, Tuple[int, Change]] = {change.path: (n, change) for n, change in enumerate(changes)}
        real: Set[str] = {""}
        for change in changes:
            real.update(parents(change.path))
        for folder in sorted(real):
            staged, live = os.path.join(tree, folder), self.path(folder)
            if folder:
                self._operations.make_directory(staged, 0o755)
            for name in sorted(os.listdir(live)) if os.path.isdir(live) else []:
                relative = os.path.join(folder, name)
                if relative not in after and relative not in real and not name.startswith(WORK_PREFIX):
                    self._operations.symlink(os.path.join(live, name), os.path.join(tree, relative))
        for path, (number, change) in after.items():
            if change.after is None:
                continue
            prepared = os.path.join(new, str(number))
            if change.after.kind == "link":
                self._operations.symlink(os.fsdecode(change.after.content), prepared)
                self._operations.symlink(os.fsdecode(change.after.content), os.path.join(tree, path))
            else:
                self._operations.write(prepared, change.after.content, change.after.mode)
                # No hard link: the end of one alters the change time of the file, by which a due reload is recognised.
                self._operations.symlink(prepared, os.path.join(tree, path))
        return tree

    # -- committing and undoing ------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Change]) -> None:
        """Put the staged entries in place, everything displaced being kept in the work folder."""
        kept = os.path.join(self.work, "kept")
        self._operations.make_directory(kept, 0o700)
        for number, change in enumerate(changes):
            if change.before:
                self._operations.link(self.path(change.path), os.path.join(kept, str(number)))
        folders: List[str] = []
        for change in changes:
            for folder in parents(change.path):
                if change.after and folder not in folders and not os.path.isdir(self.path(folder)):
                    folders.append(folder)
        journal = {
            "folders": folders,
            "changes": [
                {"path": change.path, "before": identity(change.before), "after": identity(change.after)}
                for change in changes
            ],
        }
        for name in ("new", "kept"):
            self._operations.sync_directory(os.path.join(self.work, name))
        self._operations.write(os.path.join(self.work, _JOURNAL + ".part"), json.dumps(journal).encode(), 0o600)
        self._operations.rename(os.path.join(self.work, _JOURNAL + ".part"), os.path.join(self.work, _JOURNAL))
        self._operations.sync_directory(self.work)
        self._operations.sync_directory(self.directory)
        for folder in folders:
            self._operations.make_directory(self.path(folder), 0o755)
        for number, change in enumerate(changes):
            if change.after:
                self._operations.rename(os.path.join(self.work, "new", str(number)), self.path(change.path))
            else:
                self._operations.unlink(self.path(change.path))
        self._sync(change.path for change in changes)

    def _sync(self, paths: Iterator[str]) -> None:
        for folder in sorted({os.path.dirname(self.path(path)) for path in paths}):
            if os.path.isdir(folder):
                self._operations.sync_directory(folder)

    def undo(self) -> List[str]:
        """Put back what a commit displaced and return the paths that somebody else has altered since: they stay.

        Safe to be repeated, also after it was cut short.
        """
        if not self.work:
            return []
        try:
            with open(os.path.join(self.work, _JOURNAL), "rb") as stream:
                journal = json.loads(stream.read().decode())
        except FileNotFoundError:
            return []
        try:
            return self._undo(journal)
        except OSError as error:
            raise NginxError(
                f"what was there before could not be put back: {error}; {self.work} has it, and the next run tries "
                "again"
            ) from error

    def _undo(self, journal: Dict[str, Any]) -> List[str]:
        left = []
        for number, change in reversed(list(enumerate(journal["changes"]))):
            path = self.path(change["path"])
            found = identity(read_entry(path))
            if found == change["before"]:
                continue
            if found != change["after"]:
                left.append(change["path"])
            elif change["before"] == "nothing":
                self._operations.unlink(path)
            else:
                self._operations.rename(os.path.join(self.work, "kept", str(number)), path)
        self._sync(change["path"] for change in journal["changes"])
        for folder in reversed(journal["folders"]):
            self.remove_if_empty(folder)
        return left

    def remove_if_empty(self, folder: str) -> bool:
        """Remove the relative ``folder`` when nothing is in it."""
        try:
            self._operations.remove_directory(self.path(folder))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                raise
            return False
        return True

    def close(self) -> None:
        """Make the present state final and remove the work folder. From here on nothing can be put back."""
        if not self.work:
            return
        journal = os.path.join(self.work, _JOURNAL)
        if os.path.lexists(journal):
            # First of all: a half-removed work folder must not be taken for an exchange to undo.
            self._operations.unlink(journal)
            self._operations.sync_directory(self.work)
        # What can't be removed now is found and removed by the next run.
        shutil.rmtree(self.work, ignore_errors=True)
        self.work = ""

    def keep(self) -> None:
        """Leave what was displaced for a later run to put back. Any other run takes the present state for final."""
        journal = os.path.join(self.work, _JOURNAL)
        if self.work and os.path.lexists(journal):
            self._operations.rename(journal, os.path.join(self.work, _KEPT_JOURNAL))
            self._operations.sync_directory(self.work)
            self.work = ""

    def take_up(self) -> bool:
        """Have ``recover`` undo what a run has kept; return whether there was anything."""
        found = False
        for work in self.interrupted():
            kept = os.path.join(work, _KEPT_JOURNAL)
            if os.path.lexists(kept):
                self._operations.rename(kept, os.path.join(work, _JOURNAL))
                found = True
        return found

    def interrupted(self) -> List[str]:
        """Return the work folders that killed runs have left. The caller holds the lock, so nobody is using them."""
        return sorted(
            self.path(name)
            for name in os.listdir(self.directory)
            if name.startswith(WORK_PREFIX) and self._is_ours(self.path(name))
        )

    @staticmethod
    def _is_ours(work: str) -> bool:
        status = os.lstat(work)
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()

    def recover(self) -> List[str]:
        """Undo what killed runs have left half done; return the paths that somebody else has altered since."""
        left = []
        for work in self.interrupted():
            self.work = work
            left += self.undo()
            self.close()
        return left
