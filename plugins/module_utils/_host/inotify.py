# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes in folders and files, as the kernel reports them (inotify(7))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import typing as t

from .lent import Lent

# linux/inotify.h
MODIFY = 0x00000002
ATTRIB = 0x00000004
CLOSE_WRITE = 0x00000008
MOVED_FROM = 0x00000040
MOVED_TO = 0x00000080
CREATE = 0x00000100
DELETE = 0x00000200
DELETE_SELF = 0x00000400
MOVE_SELF = 0x00000800
UNMOUNT = 0x00002000
OVERFLOW = 0x00004000
IGNORED = 0x00008000
ONLY_FOLDER = 0x01000000
DO_NOT_FOLLOW = 0x02000000

_HEADER = struct.Struct("iIII")
_BLOCK = 1 << 16


class Event(t.NamedTuple):
    """What happened: the watch that it belongs to, what it is, and the name in the watched folder."""

    watch: int
    mask: int
    name: str


class Inotify(Lent):
    """Watches of this process. Raises OSError where the kernel has no inotify, or no more of it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        try:
            self.fd = self._call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        except AttributeError:
            raise OSError("this C library has no inotify") from None

    def _call(self, name: str, *arguments: t.Any) -> int:
        result = int(getattr(self._library, name)(*arguments))
        if result == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, path: str, mask: int) -> int:
        """Watch a file or folder, by its path; return the number that its events bear."""
        return self._call("inotify_add_watch", self.fd, os.fsencode(path), ctypes.c_uint32(mask | DO_NOT_FOLLOW))

    def remove(self, watch: int) -> None:
        """Watch it no longer; it may be gone already."""
        with contextlib.suppress(OSError):
            self._call("inotify_rm_watch", self.fd, watch)

    def read(self) -> t.List[Event]:
        """What has happened since the last call; nothing is waited for."""
        events: t.List[Event] = []
        while True:
            try:
                data = os.read(self.fd, _BLOCK)
            except BlockingIOError:
                return events
            position = 0
            while position < len(data):
                watch, mask, _cookie, length = _HEADER.unpack_from(data, position)
                position += _HEADER.size
                name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
                position += length
                events.append(Event(watch, mask, name))
