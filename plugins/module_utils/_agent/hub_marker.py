# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that nginx asks for before it lets anybody in by a token: it is there while the gate knows enough.

Where the gate may not be without the hub for ever (``max_staleness``), the file has the time of the last answer of it,
so that an agent that is started anew knows that, too.
"""

from __future__ import annotations

import contextlib
import os
import time

from .._host import files

# Seconds between two notes of the time
NOTE_EVERY = 1.0


class Marker:
    """The file, and since when the hub was not seen. Moments are by the monotonic clock."""

    def __init__(self, path: str, max_staleness: int = 0) -> None:
        self.path = path
        self.max_staleness = max_staleness if path else 0
        self.is_made = not path
        # Whether the gate has been without the hub for too long, until it has caught up again
        self.is_stale = False
        self._noted = 0.0
        self._seen = time.monotonic()
        if self.max_staleness:
            # What another agent has made, perhaps long ago
            with contextlib.suppress(OSError):
                age = time.time() - os.stat(path, follow_symlinks=False).st_mtime
                self._seen -= max(age, 0.0)

    def seen(self) -> None:
        """Take note that the hub has answered."""
        self._seen = time.monotonic()
        # Somebody has removed it: it is made anew, as nobody would find why the gate refuses.
        self.is_made = self.is_made and (not self.path or os.path.lexists(self.path))
        if self.max_staleness and self.is_made and self._seen - self._noted >= NOTE_EVERY:
            self._noted = self._seen
            # It may be gone by now.
            with contextlib.suppress(OSError):
                os.utime(self.path, follow_symlinks=False)

    def due(self) -> float:
        """When the gate has been without the hub for too long."""
        return self._seen + self.max_staleness if self.max_staleness and not self.is_stale else float("inf")

    def make(self) -> None:
        """Have nginx let in whoever has a token."""
        files.write(self.path, b"", mode=files.PUBLIC)
        self.is_made, self.is_stale = True, False

    def withdraw(self) -> None:
        """Have nginx refuse newcomers."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.is_made, self.is_stale = False, True
