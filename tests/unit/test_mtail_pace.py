# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mtail, with the options of its unit, keeps up with a busy gate's log."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from lib import mtail

UNIT = Path(__file__).resolve().parents[2] / "roles/monitoring/templates/mtail.service.j2"
# What the default interval would take more than half a minute for.
SIZE, SECONDS = 1 << 20, 20.0


def test_mtail_reads_its_pipe_as_fast_as_a_busy_gate_writes(tmp_path: Path) -> None:
    (tmp_path / "progs").mkdir()
    (tmp_path / "progs/wssgate.mtail").write_text(mtail.rendered())
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    pace = re.findall(r" (-poll_\S+)", UNIT.read_text(encoding="utf-8"))
    command = [
        mtail.binary(), *pace, "-progs", str(tmp_path / "progs"), "-logs", str(tmp_path / "pipe"),
        "-unix_socket", str(tmp_path / "socket"), "-logtostderr",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            line = b'{"a line of no gate":"' + b"x" * 231 + b'"}\n'
            left, begin = SIZE, time.monotonic()
            while left > 0 and time.monotonic() - begin < SECONDS:
                try:
                    left -= os.write(pipe, line * 16)
                except BlockingIOError:
                    time.sleep(0.001)
        finally:
            process.kill()
            os.close(pipe)
    assert left <= 0, f"{left} of {SIZE} bytes were not read within {SECONDS:.0f} s"
