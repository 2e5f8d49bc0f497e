# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts that are the same on a busy machine and on a quiet one: nginx's own instructions and its system calls.

valgrind's callgrind runs nginx's one process and counts each instruction outside the kernel; strace counts the calls
into it. What is told of a handshake is the difference of many and few of them, divided: what happens once cancels out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

from lib import usage
from lib.processes import end, wait_for

from .contenders import PEERS, Contender, answers

#: A client's work, and the same for so many handshakes or refusals.
Work = Callable[[], Any]
Works = Callable[[int], Any]

#: Features of the processor that OpenSSL's code looks at, as (word, bit) of OPENSSL_ia32cap(3).
FEATURES = {
    "PCLMULQDQ": (0, 33),
    "AES-NI": (0, 57),
    "AVX": (0, 60),
    "BMI1": (1, 3),
    "AVX2": (1, 5),
    "BMI2": (1, 8),
    "AVX512F": (1, 16),
    "AVX512DQ": (1, 17),
    "ADX": (1, 19),
    "AVX512IFMA": (1, 21),
    "SHA": (1, 29),
    "AVX512BW": (1, 30),
    "AVX512VL": (1, 31),
    "VAES": (1, 41),
    "VPCLMULQDQ": (1, 42),
}


def tool(name: str) -> str:
    """A program of valgrind's: this machine's own, else what bench-peers.sh has unpacked."""
    unpacked = PEERS / "usr" / "bin" / name
    found = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    if not found:
        raise RuntimeError(f"{name} is missing: Debian's package valgrind has it")
    return found


def environment() -> dict[str, str]:
    own = {} if shutil.which("valgrind") else {"VALGRIND_LIB": str(PEERS / "usr" / "libexec" / "valgrind")}
    return {**os.environ, **own}


def slope(count: Callable[[Work], float], work: Works, more: int) -> float:
    """What one more of them takes; the first of all are not like the others."""
    few = max(2, more // 8)
    return (count(lambda: work(few + more)) - count(lambda: work(few))) / more


class Counted:
    """A contender whose nginx, without a master, runs below valgrind instead."""

    def __init__(self, contender: Contender) -> None:
        self.contender, self.folder = contender, contender.folder
        self._dumps = 0

    def __enter__(self) -> Counted:
        self.contender.halt()
        with (self.folder / "valgrind.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    tool("valgrind"),
                    "--tool=callgrind",
                    f"--callgrind-out-file={self.folder}/counts",
                    f"--vgdb-prefix={self.folder}/vgdb",
                    *self.contender.alone(),
                    "-e",
                    str(self.folder / "alone.log"),
                    "-g",
                    "daemon off; master_process off;",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment(),
            )
        try:
            wait_for(lambda: self._process.poll() is not None or answers(self.contender.target), 300)
            if self._process.poll() is not None:
                raise RuntimeError(f"nginx ended below valgrind: {(self.folder / 'valgrind.log').read_text()[-2000:]}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        end([self._process.pid])
        self._process.wait()

    def _settle(self) -> None:
        """Until it has nothing to do: what a client leaves behind is part of the account."""
        spent = -1.0
        while spent != (spent := usage.cpu_seconds([self._process.pid])):
            time.sleep(0.2)

    def _dump(self) -> int:
        """The instructions since the last time."""
        self._settle()
        self._dumps += 1
        subprocess.run(
            [tool("vgdb"), f"--pid={self._process.pid}", f"--vgdb-prefix={self.folder}/vgdb", "dump"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        path = self.folder / f"counts.{self._dumps}"
        return int(re.findall(r"^totals: (\d+)", path.read_text(), re.M)[0])

    def instructions(self, work: Work) -> float:
        self._dump()
        work()
        return self._dump()


def system_calls(contender: Contender, work: Work) -> float:
    _master, worker = contender.pids()
    with usage.system_calls(worker) as calls:
        work()
    return sum(calls.values())


def spread(values: list[float]) -> float:
    """How far rounds are apart, as a share."""
    return (max(values) - min(values)) / sorted(values)[len(values) // 2]


def features() -> dict[str, bool] | None:
    """What OpenSSL finds in this processor, and whether it finds it below valgrind as well."""

    def words(*before: str) -> list[int]:
        done = subprocess.run(
            [*before, "openssl", "info", "-cpusettings"], capture_output=True, text=True, check=True, env=environment()
        )
        return [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", done.stdout)]

    native, below = words(), words(tool("valgrind"), "--tool=none", "-q")
    if len(native) < 2 or len(below) < 2:
        return None
    return {name: bool(below[word] >> bit & 1) for name, (word, bit) in FEATURES.items() if native[word] >> bit & 1}


def version() -> str:
    done = subprocess.run(
        [tool("valgrind"), "--version"], capture_output=True, text=True, check=True, env=environment()
    )
    return done.stdout.strip().partition("-")[2]
