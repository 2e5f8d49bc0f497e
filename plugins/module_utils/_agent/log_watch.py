# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the session log when it has grown, and bounds it."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from .._host import inotify
from .._host.inotify import Inotify
from .._sessions.follow import Follower
from .._sessions.log import MissingLog, Session, shorten
from .prune import LEFT_LONG

# A busy gate logs a thousand sessions a second: they are read a few times a second.
PAUSE = 0.1
# Where inotify is missing it is looked at this often.
POLL = 0.5
SHORTEN_PAUSE = 60.0
FULL = "the disk of the session log is full: a session that begins now is not logged and cannot be ended"
# A change of owner or mode, too: nginx gives its logs to the workers at each rotation.
_EVENTS = inotify.MODIFY | inotify.ATTRIB | inotify.CREATE | inotify.MOVED_TO | inotify.DELETE
_EVENTS |= inotify.MOVE_SELF | inotify.ONLY_FOLDER


class LogWatch:
    """The session log of a gate. Moments are those of the monotonic clock.

    ``note`` is told what is wrong with it, by a word and a sentence; the sentence is empty when it is over.
    """

    def __init__(self, path: str, limit: int, lock_wait: float, note: t.Callable[[str, str], None]) -> None:
        self.path = path
        self.limit = limit
        self.lock_wait = lock_wait
        self.follower = Follower(path, lock_wait)
        self.is_read = False  # whether it could be read since the beginning
        self._note = note
        self._kernel = Inotify.or_none()
        self._watch = -1
        self._has_changed = True
        self._next_read = 0.0
        self._next_shortening = 0.0

    @property
    def is_polling(self) -> bool:
        """Whether nothing tells when it grows."""
        return self._kernel is None

    def descriptor(self) -> t.Optional[int]:
        """What becomes readable when the log has grown; None where that is known already, or cannot be told."""
        return None if self._kernel is None or self._has_changed else self._kernel.fd

    def next_read(self) -> t.Optional[float]:
        """When the log is to be read again; None before it grows."""
        return self._next_read if self._has_changed or self._kernel is None else None

    def read_again(self, moment: float) -> None:
        """Read it at that moment, whether it grows or not."""
        self._has_changed = True
        self._next_read = moment

    def close(self) -> None:
        """Give back what the kernel lent."""
        if self._kernel is not None:
            self._kernel.close()

    def read(self, now: bool = False) -> t.List[Session]:
        """Read on where the log has grown and a moment has passed, or ``now``; return the sessions that are new."""
        self._look_for_events()
        self._note("log disk", FULL if self._is_disk_full() else "")
        moment = time.monotonic()
        if not now and (not self._has_changed or moment < self._next_read):
            return []
        self._next_read = moment + (PAUSE if self._watch != -1 else POLL)
        try:
            started, problem = self.follower.read(), ""
            self.is_read = True
        except MissingLog as error:
            started, problem = [], str(error)
        # Only now: what could not be read is to be read again.
        self._has_changed = self._watch == -1
        self._note("log", problem)
        return started

    def shorten(self) -> None:
        """Drop what is over where the log has become too long, once a minute at most."""
        moment = time.monotonic()
        if self.follower.size > self.limit and moment >= self._next_shortening:
            self._next_shortening = moment + SHORTEN_PAUSE
            done = shorten(self.path, self.limit, self.lock_wait, self.follower.progress)
            self._note("shortening", LEFT_LONG.get(done, ""))
            self._has_changed = True

    def _is_disk_full(self) -> bool:
        """Whether nginx finds no room for a line. It says so nowhere but in its error log."""
        with contextlib.suppress(OSError):
            found = os.statvfs(self.path)
            return found.f_blocks > 0 and found.f_bavail == 0
        return False

    def _look_for_events(self) -> None:
        if self._kernel is None:
            self._has_changed = True
            return
        if self._watch == -1:
            with contextlib.suppress(OSError):
                self._watch = self._kernel.add(os.path.dirname(self.path), _EVENTS)
            self._has_changed = True
        events = self._kernel.read()
        lost = inotify.IGNORED | inotify.MOVE_SELF  # the folder has gone, or it is elsewhere
        if any(event.watch == self._watch and event.mask & lost for event in events):
            self._kernel.remove(self._watch)
            self._watch = -1
        self._has_changed = self._has_changed or bool(events)
