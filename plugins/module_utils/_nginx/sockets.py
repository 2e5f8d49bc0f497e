# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give the unix sockets that nginx listens on their group and mode.

nginx has no setting for that: it makes such a socket, gives it mode 0666 and listens. So it has to be looked for from
before nginx is told to make it, and changed as soon as it is there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading

from typing import Any, Iterable, List, NamedTuple, Optional, Sequence

from .error import NginxError

INTERVAL = 0.001
"""Seconds between two looks at the sockets: about as long can a new one be open to everybody."""


class Socket(NamedTuple):
    """A socket's path with the group and the mode that it shall have; group -1 leaves what is there."""

    path: str
    mode: int
    gid: int = -1


def _differs(wanted: Socket, found: os.stat_result) -> bool:
    return stat.S_IMODE(found.st_mode) != wanted.mode or wanted.gid not in (-1, found.st_gid)


def protect(wanted: Socket, check: bool = False) -> Optional[bool]:
    """Give a socket its mode and group; return whether it had others, nothing when it is not there.

    Everything goes through one descriptor, so that no link can be put in the socket's place meanwhile.
    """
    try:
        handle = os.open(wanted.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISSOCK(found.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "in the way"
            raise NginxError(f"{wanted.path} is {what}, not a socket, and nothing is done to it: remove it first")
        if not _differs(wanted, found):
            return False
        if not check:
            itself = f"/proc/self/fd/{handle}"
            # The mode first, so that at no moment another group may do what the former mode lets it.
            os.chmod(itself, wanted.mode)
            if wanted.gid not in (-1, found.st_gid):
                os.chown(itself, -1, wanted.gid)
        return True
    finally:
        os.close(handle)


def present(paths: Iterable[str]) -> List[Socket]:
    """Return those sockets that are there, as they are."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISSOCK(status.st_mode):
                found.append(Socket(path, stat.S_IMODE(status.st_mode), status.st_gid))
    return found


class Guard:
    """Protects sockets from the moment on at which they appear, until it is left."""

    def __init__(self, sockets: Sequence[Socket]) -> None:
        self._sockets = sockets
        self._over = threading.Event()
        self._switch = sys.getswitchinterval()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Guard:
        if self._sockets:
            # Meanwhile the other thread reads all of /proc, and would not be interrupted for 5 ms at a time.
            sys.setswitchinterval(INTERVAL / 10)
            self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        if self._sockets:
            self._thread.join()
            sys.setswitchinterval(self._switch)

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            for wanted in self._sockets:
                # What cannot be done is reported by the look that comes after.
                with contextlib.suppress(OSError, NginxError):
                    protect(wanted)


def problem(sockets: Sequence[Socket]) -> str:
    """Protect sockets that nginx listens on by now; return what is wrong with one, nothing when all are right."""
    for wanted in sockets:
        try:
            if protect(wanted) is None:
                return f"nginx does not listen on {wanted.path}"
        except OSError as error:
            return f"the mode or group of {wanted.path} cannot be set: {error.strerror}"
        except NginxError as error:
            return str(error)
    return ""
