# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration files of a program in one folder: a main file, and a folder of files that are all ours.

What a main file of somebody else's had is kept beside it and put back at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import typing as t

from .._host import files
from .error import BalancerError

SAVED_SUFFIX = ".wssgate-saved"
MARKER = "managed by wssgate.nginx"
# The marker is looked for in this many lines.
_MARKER_LINES = 5


class Change(t.NamedTuple):
    """A file that is written, or removed where there is no ``after``. A private one is root's alone, and in no diff."""

    path: str
    before: t.Optional[bytes]
    after: t.Optional[bytes]
    is_private: bool = False


def is_ours(content: t.Optional[bytes]) -> bool:
    """Whether a file bears the mark of this collection."""
    return content is not None and MARKER.encode() in b"\n".join(content.split(b"\n")[:_MARKER_LINES])


class Tree:
    """The files of one program, and what is to become of them."""

    def __init__(
        self,
        directory: str,
        main: str,
        owned: str = "",
        wanted: t.Optional[t.Dict[str, str]] = None,
        private: t.AbstractSet[str] = frozenset(),
    ) -> None:
        self.directory = directory
        self.main = main
        self.owned = owned
        self.wanted = {name: text.encode("utf-8", "surrogateescape") for name, text in (wanted or {}).items()}
        # Those of the wanted files that hold secrets.
        self.private = private
        for name in self.wanted:
            folder, _slash, base = name.rpartition("/")
            if (name != main and (not owned or folder != owned)) or base in ("", ".", "..") or base.startswith("."):
                raise BalancerError(f"{name!r} is neither {main} nor a file of {owned or 'the folder of ours'}")
        # What the main file held.
        self.former = self._read(main)
        self.changes = self._plan()

    def path(self, name: str) -> str:
        """The path of a file of the tree."""
        return os.path.join(self.directory, name)

    def _read(self, name: str) -> t.Optional[bytes]:
        with contextlib.suppress(NotADirectoryError):
            return files.read(self.path(name))
        return None

    def _owned_names(self) -> t.List[str]:
        folder = self.path(self.owned)
        if not self.owned or not os.path.lexists(folder):
            return []
        if os.path.islink(folder) or not os.path.isdir(folder):
            raise BalancerError(f"{folder} is not a folder, and nothing is written through it: remove it first")
        return [f"{self.owned}/{name}" for name in sorted(os.listdir(folder)) if not name.startswith(".")]

    def _plan(self) -> t.List[Change]:
        changes: t.List[Change] = []
        # Files of the folder before the main file.
        for name in sorted(self.wanted, key=lambda one: (one == self.main, one)):
            before, after = self._read(name), self.wanted[name]
            if before is not None and not is_ours(before):
                # Certificates have no mark.
                if name != self.main and not name.endswith(".pem"):
                    raise BalancerError(
                        f"{self.path(name)} is there and not of this collection: move it away, or name the service "
                        "differently"
                    )
                if name == self.main:
                    saved = self._read(name + SAVED_SUFFIX)
                    changes += [] if saved == before else [Change(name + SAVED_SUFFIX, saved, before)]
            if before != after or (name in self.private and not self._is_private(name)):
                changes.append(Change(name, before, after, name in self.private or self._is_private(name)))
        for name in self._owned_names():
            content = self._read(name)
            if name not in self.wanted and (is_ours(content) or self._is_authority(name)):
                changes.append(Change(name, content, None, self._is_private(name)))
        if not self.wanted:
            changes += self._put_back()
        return changes

    def _is_private(self, name: str) -> bool:
        """Whether a file of our folder is there and root's alone."""
        with contextlib.suppress(OSError):
            return name != self.main and not os.stat(self.path(name), follow_symlinks=False).st_mode & 0o077
        return False

    def _is_authority(self, name: str) -> bool:
        """Whether a file without a mark is that of a service of ours, of now or of before."""
        base, extension = os.path.splitext(name)
        service = base + ".cfg"
        return extension == ".pem" and (service in self.wanted or is_ours(self._read(service)))

    def _put_back(self) -> t.List[Change]:
        main, saved = self._read(self.main), self._read(self.main + SAVED_SUFFIX)
        if main is not None and not is_ours(main):
            return []
        changes = [] if main == saved else [Change(self.main, main, saved)]
        return changes + ([] if saved is None else [Change(self.main + SAVED_SUFFIX, saved, None)])

    @contextlib.contextmanager
    def staged(self) -> t.Iterator[str]:
        """A copy of the tree as it is to be, in a folder beside it, for a test of it.

        Where the files name each other by their paths, those of the copy do, too.
        """
        folder = self.path(files.STAGED_PREFIX + os.urandom(8).hex())
        files.make_folder(folder)
        try:
            if self.owned:
                files.make_folder(f"{folder}/{self.owned}")
            for name, content in self.wanted.items():
                own, copy = f"{self.directory}/{self.owned}/".encode(), f"{folder}/{self.owned}/".encode()
                moved = content.replace(own, copy) if self.owned else content
                mode = files.PRIVATE if name in self.private else files.PUBLIC
                files.write_new(f"{folder}/{name}", moved, mode, sync=False)
            # HAProxy reads those of others in our folder as well.
            going = {change.path for change in self.changes if change.after is None}
            for name in self._owned_names():
                if name.endswith(".cfg") and name not in self.wanted and name not in going:
                    mode = files.PRIVATE if self._is_private(name) else files.PUBLIC
                    files.write_new(f"{folder}/{name}", self._read(name) or b"", mode, sync=False)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def newest(self) -> float:
        """When the last of the files was written, in seconds since 1970."""
        found = [0.0]
        for name in self.wanted:
            with contextlib.suppress(OSError):
                found.append(os.stat(self.path(name), follow_symlinks=False).st_ctime)
        return max(found)

    def commit(self) -> None:
        """Make the changes; on a failure undo those that were made."""
        done: t.List[Change] = []
        try:
            if self.owned and self.wanted and not os.path.isdir(self.path(self.owned)):
                files.make_folder(self.path(self.owned))
            for change in self.changes:
                self._put(change.path, change.after, change.is_private)
                done.append(change)
        except BaseException:
            self._undo(done)
            raise
        if not self.wanted:
            self._remove_empty()

    def undo(self) -> None:
        """Have everything as it was before the commit."""
        self._undo(self.changes)

    def _undo(self, changes: t.Sequence[Change]) -> None:
        for change in reversed(changes):
            self._put(change.path, change.before, change.is_private)
        if self.wanted:
            self._remove_empty()

    def _put(self, name: str, content: t.Optional[bytes], is_private: bool) -> None:
        if content is None:
            files.remove(self.path(name))
        else:
            if "/" in name and not os.path.isdir(os.path.dirname(self.path(name))):
                files.make_folder(os.path.dirname(self.path(name)))
            files.write(self.path(name), content, files.PRIVATE if is_private else self._mode(name))

    def _mode(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return stat.S_IMODE(os.stat(self.path(name), follow_symlinks=False).st_mode)
        return files.PUBLIC

    def _remove_empty(self) -> None:
        if self.owned:
            with contextlib.suppress(OSError):
                os.rmdir(self.path(self.owned))
