# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network for a test alone: a fault in what is closed there cuts off nobody on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000


def _enter(*arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if (library.setns if len(arguments) > 1 else library.unshare)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """This thread, and all that it starts, in a network namespace with a loopback of its own.

    Raises PermissionError where none can be made (CAP_SYS_ADMIN).
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(CLONE_NEWNET)
    except OSError:
        os.close(before)
        raise
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        _enter(before, CLONE_NEWNET)
        os.close(before)
