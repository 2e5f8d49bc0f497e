# Ansible managed by wssgate.nginx: changes made here are lost
# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes the lines of nginx's access log on to mtail by a pipe, each once: log-feed LOG STATE

mtail itself leaves a rotated log behind while nginx still writes to it, and begins at the end of the log when it is
started again. The pipe is systemd's (LISTEN_FDS), so that what mtail has not read outlives it, and so does STATE: how
far each file was passed on. mtail has no right to look at any log.

Where the log has never been passed on, it begins at its end: what was counted before is not known.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import stat
import sys
import time
from typing import Dict, List, Optional

PIPE = 3
CHUNK = 32768
# Longer than any line of the gate's
LINE_LIMIT = 65536
# Seconds between two looks at the log
INTERVAL = 0.2
# Seconds for which a rotated log is still looked at: until nginx has opened the new one, and each worker with it
PATIENCE = 60.0


class Log:
    """An open log, and how far it was passed on."""

    def __init__(self, handle: int, offset: int) -> None:
        self.handle = handle
        self.offset = offset
        self.changed = time.monotonic()

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self.handle)

    def lines(self) -> bytes:
        """Whole lines that were not passed on yet; of one that is longer than any, what there is."""
        size = self.status.st_size
        if size < self.offset:
            # Somebody has emptied it, as logrotate's copytruncate does
            self.offset = 0
        data = os.pread(self.handle, CHUNK, self.offset) if size > self.offset else b""
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == CHUNK:
            whole = os.pread(self.handle, LINE_LIMIT, self.offset)
        return whole


def identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def open_log(path: str) -> Optional[int]:
    """No link is followed, and nothing but a file is read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


class Feed:
    """Reads logs in the order in which they were written."""

    def __init__(self, path: str, state: str, pipe: int = PIPE) -> None:
        self.path = path
        self.state = state
        self.pipe = pipe
        self.logs: List[Log] = []
        self.is_over = False
        self.is_saved = True

    def begin(self) -> None:
        """Go on where the last one ended, in logs that were rotated meanwhile, too."""
        known = self._known()
        found = {}
        folder = os.path.dirname(self.path)
        for name in sorted(os.listdir(folder)) if known else []:
            handle = open_log(os.path.join(folder, name)) if name.startswith(os.path.basename(self.path)) else None
            if handle is None:
                continue
            key = identity(os.fstat(handle))
            if key in known and key not in found:
                found[key] = Log(handle, known[key])
            else:
                os.close(handle)
        self.logs = [found[key] for key in known if key in found]
        if not known:
            handle = open_log(self.path)
            if handle is not None:
                self.logs = [Log(handle, os.fstat(handle).st_size)]
                self.save()

    def _known(self) -> Dict[str, int]:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            with open(self.state, encoding="utf-8") as stream:
                return {str(key): int(offset) for key, offset in json.load(stream).items()}
        return {}

    def save(self) -> None:
        """Where that fails, as on a full disk, it goes on by what it knows: one that ended would pass all on anew."""
        text = json.dumps({identity(log.status): log.offset for log in self.logs})
        try:
            with open(f"{self.state}.new", "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(f"{self.state}.new", self.state)
        except OSError as error:
            if self.is_saved:
                print(f"{self.state} cannot be written: {error.strerror}", file=sys.stderr, flush=True)
            self.is_saved = False
        else:
            self.is_saved = True

    def turn(self) -> bool:
        """Pass on what there is; whether there was anything."""
        self._follow()
        had_some = False
        # While it waits for mtail others join them, and none goes.
        for log in list(self.logs):
            lines = log.lines()
            if lines:
                had_some = True
                log.changed = time.monotonic()
                self._pass_on(log, lines)
                self.save()
        if not self.is_saved:
            self.save()
        return had_some

    def _follow(self) -> None:
        """Open the log that has the name now, and close those that nobody writes to any more."""
        if not self._open_newest():
            return
        now = time.monotonic()
        for log in self.logs[:-1]:
            if now - log.changed > PATIENCE and not log.lines():
                os.close(log.handle)
                self.logs.remove(log)
                self.save()

    def _open_newest(self) -> bool:
        """Whether there is a log of that name."""
        try:
            status = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        if not self.logs or identity(status) != identity(self.logs[-1].status):
            handle = open_log(self.path)
            if handle is not None:
                self.logs.append(Log(handle, 0))
                self.save()
        return True

    def _pass_on(self, log: Log, lines: bytes) -> None:
        """Wait while mtail is behind: the log keeps what there is to come, and so does each that follows it."""
        rest = memoryview(lines)
        poll = select.poll()
        poll.register(self.pipe, select.POLLOUT)
        while rest and not self.is_over:
            with contextlib.suppress(BlockingIOError):
                written = os.write(self.pipe, rest)
                log.offset += written
                rest = rest[written:]
                continue
            poll.poll(1000)
            self._open_newest()

    def run(self) -> None:
        while not self.is_over:
            if not self.turn():
                time.sleep(INTERVAL)

    def end(self, *_signal: object) -> None:
        self.is_over = True


def main(arguments: List[str]) -> int:
    if len(arguments) != 2 or os.environ.get("LISTEN_FDS") != "1":
        print("log-feed LOG STATE, with a pipe of systemd's", file=sys.stderr)
        return 2
    os.set_blocking(PIPE, False)
    feed = Feed(*arguments)
    signal.signal(signal.SIGTERM, feed.end)
    feed.begin()
    feed.run()
    feed.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
