# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens in the folder of the tokens: which files came, and which have gone."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import typing as t

from .._host import files, inotify
from .._host.error import HostError
from .._host.inotify import Inotify
from .._tokens.record import is_token

_STORE = (
    inotify.CLOSE_WRITE
    # A second name for a file, and a file that stays open for writing
    | inotify.CREATE
    | inotify.MODIFY
    | inotify.MOVED_TO
    | inotify.MOVED_FROM
    | inotify.ATTRIB
    | inotify.DELETE
    | inotify.DELETE_SELF
    | inotify.MOVE_SELF
    | inotify.ONLY_FOLDER
)
_GONE = inotify.DELETE | inotify.MOVED_FROM
_CAME = inotify.CLOSE_WRITE | inotify.CREATE | inotify.MODIFY | inotify.MOVED_TO | inotify.ATTRIB

# Of a file system that is coarse
TICK = 3.0
Identity = t.Tuple[int, int]


def identity_of(path: str) -> t.Optional[Identity]:
    """Device and inode of a folder; None where none is there. A symbolic link is none."""
    with contextlib.suppress(OSError):
        found = os.stat(path, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return found.st_dev, found.st_ino
    return None


class Changes:
    """What has happened since the last look."""

    def __init__(self) -> None:
        self.came: t.Set[str] = set()
        self.gone: t.Set[str] = set()
        # More has happened than the kernel kept: everything has to be looked at.
        self.is_incomplete = False


class StoreWatch:
    """Watches a folder by inotify; without inotify, by listing it whenever its modification time is another one.

    ``identity`` is that of the folder that is watched, None while there is none.
    """

    def __init__(self, path: str, kernel: t.Optional[Inotify]) -> None:
        self.path = path
        self.identity: t.Optional[Identity] = None
        self._kernel = kernel
        self._number = -1
        self._listed: t.Dict[str, t.Tuple[int, int]] = {}
        self._stamp = 0

    def look(self) -> Changes:
        """Return what has happened. Where another folder is in the place, or one at last, everything is new."""
        changes = Changes()
        has_ended = self._kernel is not None and self._read(self._kernel, changes)
        # A folder that was unmounted and mounted again, or removed and made anew, may look the same. It was away.
        found = None if has_ended else identity_of(self.path)
        if found != self.identity:
            changes = Changes()
            changes.is_incomplete = True
            self._watch_another(found)
        elif found is not None and self.is_polling:
            self._add_watch()
            # Between the last comparison and the watch anything may have happened.
            changes.is_incomplete = not self.is_polling
            self._compare(changes)
        return changes

    def forget(self) -> None:
        """Take the folder for a new one at the next look."""
        self._watch_another(None)

    def _read(self, kernel: Inotify, changes: Changes) -> bool:
        """Note what has happened; return whether the kernel watches the folder no more."""
        has_ended = False
        for event in kernel.read():
            if event.mask & inotify.OVERFLOW:
                changes.is_incomplete = True
            elif event.watch == self._number and event.mask & inotify.IGNORED:
                has_ended = True
            elif event.watch == self._number and is_token(event.name):
                if event.mask & _GONE:
                    # One that came and went has gone.
                    changes.gone.add(event.name)
                    changes.came.discard(event.name)
                elif event.mask & _CAME:
                    # Of a token that went and came again, both count: sessions of the former one are to end.
                    changes.came.add(event.name)
        return has_ended

    def _watch_another(self, found: t.Optional[Identity]) -> None:
        if self._kernel is not None:
            if self._number != -1:
                self._kernel.remove(self._number)
            self._number = -1
        self.identity = found
        self._listed = {}
        self._stamp = 0
        if found is not None:
            self._add_watch()
            if self.is_polling:
                self._compare(Changes())

    @property
    def is_polling(self) -> bool:
        """Whether the folder has to be looked at again and again; also where the kernel has no watch left for it."""
        return self.identity is not None and self._number == -1

    def _add_watch(self) -> None:
        if self._kernel is not None:
            with contextlib.suppress(OSError):
                self._number = self._kernel.add(self.path, _STORE)

    def _compare(self, changes: Changes) -> None:
        try:
            stamp = os.stat(self.path, follow_symlinks=False).st_mtime_ns
            if stamp == self._stamp:
                return
            with os.scandir(self.path) as entries:
                listed = {}
                for entry in entries:
                    if is_token(entry.name):
                        with contextlib.suppress(OSError):
                            found = entry.stat(follow_symlinks=False)
                            listed[entry.name] = (found.st_ino, found.st_mtime_ns)
        except OSError:
            return
        for name, state in listed.items():
            if self._listed.get(name) != state:
                changes.came.add(name)
        changes.gone.update(name for name in self._listed if name not in listed)
        self._listed = listed
        # What happens within one tick of the file system's clock leaves the same time.
        self._stamp = stamp if time.time() - stamp / 1e9 > TICK else 0


@contextlib.contextmanager
def opened(path: str, identity: Identity) -> t.Iterator[t.Optional[int]]:
    """The store's descriptor; None where another folder is in its place by now."""
    try:
        folder = files.open_folder(path)
    except (OSError, HostError):
        yield None
        return
    try:
        found = os.fstat(folder)
        yield folder if (found.st_dev, found.st_ino) == identity else None
    finally:
        os.close(folder)


def is_there(name: str, folder: int) -> bool:
    """Whether a token's file is in the open folder."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    # A disk that cannot be read says nothing about the token.
    except OSError:
        return True
    return True
