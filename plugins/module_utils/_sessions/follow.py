# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Reads the session log as it grows, from where the last reading stopped."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .lines import Concerns
from .log import LOCK_WAIT, Log, LogFile, MissingLog, Session, Watcher, open_logs, still_open
from .sockets import live_pairs

# What stands before the place where reading stopped is compared: a log that was shortened or replaced is read anew.
_MARK = 128


class _Place(t.NamedTuple):
    """Where reading of a file stopped, and what stands before it."""

    offset: int
    mark: bytes


class Follower:
    """The sessions that a token has let in and that have no end yet, brought up to date by :meth:`read`.

    ``concerns``: those of certain tokens, and perhaps some others.
    """

    def __init__(self, path: str, wait: float = LOCK_WAIT, concerns: t.Optional[Concerns] = None) -> None:
        self.path = path
        self.wait = wait
        self.size = 0
        self.is_known = False  # whether the log was read once, or found not to be there
        self._places: t.Dict[t.Tuple[int, int], _Place] = {}
        self._started: t.List[Session] = []
        self._concerns = concerns
        self._log = Log(self._started, concerns=concerns)
        # Set it before the first reading: that is of what somebody may have seen before.
        self.watcher: t.Optional[Watcher] = None
        # Called again and again while a long log is read
        self.progress: t.Callable[[], None] = lambda: None

    @property
    def open(self) -> t.Mapping[t.Tuple[str, str, str], Session]:
        """The sessions without an end, by worker, connection and request."""
        return self._log.open

    def read(self) -> t.List[Session]:
        """Read on; return the sessions that are new. After the log was shortened or replaced, all of them are."""
        try:
            started = self._read()
        except MissingLog:
            self.is_known = True
            raise
        self.is_known = True
        return started

    def _read(self) -> t.List[Session]:
        with open_logs(self.path, self.wait) as files:
            # nginx gives it to the workers when it opens its logs anew, unless the file system prevents that.
            with contextlib.suppress(OSError):
                files[-1].secure()
            places = [self._place_of(file) for file in files]
            if any(place is None for place in places):
                self._read_anew(files)
            else:
                for file, place in zip(files, places):
                    file.resume(t.cast(_Place, place).offset)
                    self._feed(self._log, file, self._started)
            self._places = {_identity(file): _Place(file.offset, _before(file)) for file in files}
            self.size = os.fstat(files[-1].fd).st_size - files[-1].data_start()
        # Of two logs the second may hold the end of a session of the first.
        started = [session for session in self._started if self._log.open.get(session.key) is session]
        self._started.clear()
        return started

    def _read_anew(self, files: t.Sequence[LogFile]) -> None:
        """Read all of it. What was known of it may no longer stand there: it was shortened, or somebody emptied it."""
        started: t.List[Session] = []
        log = Log(started, self.watcher, is_again=True, concerns=self._concerns)
        for file in files:
            self._feed(log, file, started)
        log.is_again = False
        lost = [one for key, one in self._log.open.items() if key not in log.open]
        pairs = {one.pair for one in lost if one.pair is not None}
        if pairs:
            # Their ends may be lost as well: what counts is that the kernel has them. Where it does not tell, nothing
            # has been read.
            for one in still_open([one for one in lost if one.pair is not None], live_pairs(pairs)):
                log.keep(one)
        self._log, self._started = log, started

    def _feed(self, log: Log, file: LogFile, started: t.List[Session]) -> None:
        for part in file.parts():
            self.progress()
            log.feed(part)
            started[:] = [one for one in started if log.open.get(one.key) is one]

    def _place_of(self, file: LogFile) -> t.Optional[_Place]:
        """Where to go on; None where the file is not what it was."""
        place = self._places.get(_identity(file))
        if place is None:
            # A new one, after those that were read: nothing of it is known yet.
            return _Place(0, b"") if self._places else None
        return place if _at(file.fd, place.offset) == place.mark else None


def _identity(file: LogFile) -> t.Tuple[int, int]:
    found = os.fstat(file.fd)
    return found.st_dev, found.st_ino


def _before(file: LogFile) -> bytes:
    return _at(file.fd, file.offset)


def _at(handle: int, offset: int) -> bytes:
    start = max(0, offset - _MARK)
    return os.pread(handle, offset - start, start)
