# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the program of role monitoring by the real mtail, on a log as it is or on what comes by a pipe."""

from __future__ import annotations

import json
import os
import random
import re
import select
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2

from .processes import end, wait_for

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/monitoring/templates/wssgate.mtail.j2"

PLACES = [
    (f"{name}.example.com", path) for name in ("wss", "chat", "files", "admin") for path in ("/wss", "/a/", "/b/")
]
REASONS = ("token", "origin", "limit", "path", "upstream_unreachable")
# Seconds in which mtail has to take something of a pipe that is full
STUCK = 60.0

Labels = tuple[tuple[str, str], ...]
_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)\Z")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@cache
def binary() -> str:
    """This machine's own, or the one of Debian's package."""
    done = subprocess.run([str(ROOT / "scripts/mtail.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def rendered(unseen: Sequence[Mapping[str, str]] = (), balancers: Sequence[str] = ()) -> str:
    """The program; ``unseen`` are the locations whose sessions the agent does not see, ``balancers`` addresses."""
    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters["comment"] = lambda text: f"# {text}"
    return environment.from_string(PROGRAM.read_text()).render(
        ansible_managed="managed", __monitoring_unseen=unseen, __monitoring_balancers=balancers
    )


def samples(text: str) -> dict[tuple[str, Labels], float]:
    """Metrics in Prometheus's text format: each value by its name and labels, sorted; empty labels are none."""
    found = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and not line.startswith("#"):
            labels = tuple(sorted(pair for pair in _LABEL.findall(sample["labels"] or "") if pair[1]))
            assert (sample["name"], labels) not in found, f"{line} is there twice"
            found[sample["name"], labels] = float(sample["value"])
    return found


def counted(
    folder: Path, log: Path, unseen: Sequence[Mapping[str, str]] = (), balancers: Sequence[str] = ()
) -> dict[tuple[str, Labels], float]:
    """What mtail counts of a log that is whole."""
    programs = folder / "mtail"
    programs.mkdir(exist_ok=True)
    (programs / "wssgate.mtail").write_text(rendered(unseen, balancers))
    done = subprocess.run(
        [
            binary(), "--one_shot", "--one_shot_format=prometheus", "--emit_prog_label=false", "--logtostderr",
            f"--progs={programs}", f"--logs={log}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return samples(done.stdout)


def log_lines(chance: random.Random, count: int) -> bytes:
    """Lines of a gate's log, as nginx writes them: half of them sessions, each of a client of its own."""
    lines = []
    for _number in range(count):
        server, location = chance.choice(PLACES)
        is_session = chance.random() < 0.5
        one = {
            "time": "2026-11-29T16:00:00+00:00",
            "client": f"203.0.113.{chance.randrange(256)}",
            "server": server,
            "location": location,
            "status": 101 if is_session else 403,
            "reason": "" if is_session else chance.choice(REASONS),
        }
        head = json.dumps(one, separators=(",", ":"))[:-1]
        duration, sent = f"{chance.random() * 4000:.3f}", chance.randrange(1 << 20)
        upstream = ("127.0.0.1:8080", "101") if is_session else ("", "")
        lines.append(
            f'{head},"duration":{duration},"bytes_from_client":{sent},"bytes_to_client":{sent},'
            f'"upstream":"{upstream[0]}","upstream_status":"{upstream[1]}","connection":{chance.randrange(10**7)}}}\n'
        )
    return "".join(lines).encode()


class Piped:
    """mtail as the role's unit starts it, and the pipe from which it reads."""

    def __init__(self, folder: Path, program: str | None = None) -> None:
        self._folder, self._program = folder, program or rendered()

    def __enter__(self) -> Piped:
        programs, pipe, socket = (self._folder / name for name in ("progs", "pipe", "socket"))
        programs.mkdir()
        (programs / "wssgate.mtail").write_text(self._program)
        os.mkfifo(pipe)
        # Open for both, as systemd has it.
        self._handle = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary(), "-progs", str(programs), "-logs", str(pipe), "-unix_socket", str(socket),
                    "-emit_prog_label=false", "-logtostderr", "-poll_interval=1ms",
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        try:
            wait_for(socket.exists, STUCK)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        end([self.pid])
        self._process.wait()
        os.close(self._handle)

    @property
    def pid(self) -> int:
        return self._process.pid

    def write(self, lines: bytes) -> None:
        """Wait while the pipe is full."""
        rest, poll = memoryview(lines), select.poll()
        poll.register(self._handle, select.POLLOUT)
        while rest:
            assert poll.poll(STUCK * 1000), f"mtail takes nothing for {STUCK:.0f} seconds"
            rest = rest[os.write(self._handle, rest) :]
