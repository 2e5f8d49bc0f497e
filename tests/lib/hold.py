# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops a process right after it has looked a file up: hold.py PID NAME

It prints "ready" when it watches, "held" when a call of the kernel that names the file has returned, and lets the
process go on at the end of its standard input. It is what a busy machine does to a worker, at the moment of a test's
choice.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

DETACH, SYSCALL, SEIZE, INTERRUPT, GET_SYSCALL_INFO = 17, 24, 0x4206, 0x4207, 0x420E
OPTION_SYSGOOD = 1
ENTRY = 1
SIZE = 88
LIBRARY = ctypes.CDLL(None, use_errno=True)
LIBRARY.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
LIBRARY.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if LIBRARY.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def names(pid: int, memory: int, name: bytes) -> bool:
    """Whether one of the first two arguments of the call that begins is a text with the name in it."""
    buffer = ctypes.create_string_buffer(SIZE)
    ptrace(GET_SYSCALL_INFO, pid, SIZE, ctypes.addressof(buffer))
    if buffer.raw[0] != ENTRY:
        return False
    for address in struct.unpack_from("<2Q", buffer.raw, 32):
        try:
            if name in os.pread(memory, 512, address).split(b"\0")[0]:
                return True
        except (OSError, OverflowError):
            continue
    return False


def main() -> None:
    pid, name = int(sys.argv[1]), os.fsencode(sys.argv[2])
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    ptrace(SEIZE, pid, 0, OPTION_SYSGOOD)
    ptrace(INTERRUPT, pid)
    os.waitpid(pid, 0)
    print("ready", flush=True)
    is_named = False
    while True:
        ptrace(SYSCALL, pid)
        _pid, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return
        if os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
            continue
        if is_named:
            break
        is_named = names(pid, memory, name)
    print("held", flush=True)
    sys.stdin.read()
    ptrace(DETACH, pid)


if __name__ == "__main__":
    main()
