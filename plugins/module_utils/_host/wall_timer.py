# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A timer that goes off at a time of day, and at once when the clock is set (timerfd_create(2))."""

from __future__ import annotations

import ctypes
import errno
import os
import time
import typing as t

from .lent import Lent

_ABSOLUTE = 1
_CANCEL_ON_SET = 2
_NEVER = 2**31 - 1


class _Span(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Setting(ctypes.Structure):
    _fields_ = [("interval", _Span), ("value", _Span)]


class WallTimer(Lent):
    """Raises OSError where the system has no such timer."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        try:
            self.fd = int(self._library.timerfd_create(time.CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK))
        except AttributeError:
            raise OSError("this C library has no timerfd") from None
        if self.fd == -1:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")

    def arm(self, moment: t.Optional[float]) -> None:
        """Go off at this time, in seconds since 1970; without one only when the clock is set."""
        # A time in the past would disarm it, were it 0.
        value = max(moment if moment is not None else _NEVER, 1.0)
        seconds = int(value)
        setting = _Setting(_Span(0, 0), _Span(seconds, int((value - seconds) * 1e9)))
        if self._library.timerfd_settime(self.fd, _ABSOLUTE | _CANCEL_ON_SET, ctypes.byref(setting), None) == -1:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def read(self) -> bool:
        """Take note that it went off; return whether the clock was set."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            return True
        return False


class Clock:
    """Notices that the clock was set, by more than a second, between two looks at it."""

    def __init__(self) -> None:
        self._last = (time.time(), time.monotonic())

    def was_set(self) -> bool:
        """Whether it was set since the last look."""
        wall, monotonic = self._last
        self._last = (time.time(), time.monotonic())
        return abs((self._last[0] - wall) - (self._last[1] - monotonic)) > 1.0
