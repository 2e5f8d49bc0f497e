# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that are run on a host: for a limited time, with limited output, in an environment that is always the same.

Every user of the host can read what a program was started with, so no secret may stand there.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
import typing as t

from .error import HostError, reason

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT = 60.0
OUTPUT_LIMIT = 1 << 20
_BLOCK = 1 << 16


class ProgramError(HostError):
    """A program could not be run, or not to its end."""

    def __init__(self, message: str, program: str, is_missing: bool = False) -> None:
        super().__init__(message)
        self.program = program
        self.is_missing = is_missing


class Finished(t.NamedTuple):
    """A program that ended. What a daemon's starter wrote to either stream is all in ``output``."""

    status: int
    output: str
    errors: str = ""


class _Stopped(Exception):
    """Why a program was ended."""


def run(
    command: t.Sequence[str],
    limit: float = LIMIT,
    output_limit: int = OUTPUT_LIMIT,
    joined: bool = False,
    leaves_daemon: bool = False,
) -> Finished:
    """Run a program for at most ``limit`` seconds; whether it was successful is the caller's to judge.

    ``joined``: both of its streams are one, in the order in which they were written to. ``leaves_daemon``: so they are,
    too, and they go to a file. A daemon keeps its starter's pipes open, and whoever reads those would wait for its end.

    It gets no locale, proxy or inherited socket (NGINX=) of whoever runs this, no input and no terminal.
    """
    with contextlib.ExitStack() as stack:
        output: t.Union[int, t.IO[bytes]] = subprocess.PIPE
        if leaves_daemon:
            output = stack.enter_context(tempfile.TemporaryFile())
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if joined or leaves_daemon else subprocess.PIPE,
                cwd="/",
                env={"PATH": PATH, "LC_ALL": "C", "HOME": "/"},
                start_new_session=True,
            )
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            raise ProgramError(f"cannot run {command[0]}: {reason(error)}", command[0], is_missing) from error
        try:
            if leaves_daemon:
                with _stopped_by(subprocess.TimeoutExpired, _Stopped(f"did not end within {limit:g} seconds")):
                    process.wait(limit)
                texts = [_whole(t.cast(t.IO[bytes], output), output_limit)]
            else:
                texts = _read(process, limit, output_limit)
        except _Stopped as error:
            raise ProgramError(f"{_shown(command)} {error}", command[0]) from None
        finally:
            # Whatever happens, Control-C too.
            _end(process, alone=leaves_daemon)
    return Finished(process.returncode, *(text.decode("utf-8", "replace") for text in texts))


@contextlib.contextmanager
def _stopped_by(kind: t.Type[BaseException], error: _Stopped) -> t.Iterator[None]:
    try:
        yield
    except kind:
        raise error from None


def _whole(stream: t.IO[bytes], most: int) -> bytes:
    stream.seek(0)
    data = stream.read(most + 1)
    if len(data) > most:
        raise _Stopped(f"wrote more than {most} bytes")
    return data


def _read(process: subprocess.Popen[bytes], limit: float, most: int) -> t.List[bytes]:
    """Read both streams to their end. One that was cut would pass for the whole: nothing is returned of it."""
    end = time.monotonic() + limit
    too_long = _Stopped(f"did not end within {limit:g} seconds")
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    parts: t.Dict[int, bytearray] = {stream.fileno(): bytearray() for stream in streams}
    with selectors.DefaultSelector() as selector:
        for handle in parts:
            selector.register(handle, selectors.EVENT_READ)
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise too_long
            for key, _events in selector.select(left):
                data = os.read(key.fd, _BLOCK)
                parts[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                elif sum(map(len, parts.values())) > most:
                    raise _Stopped(f"wrote more than {most} bytes")
    with _stopped_by(subprocess.TimeoutExpired, too_long):
        process.wait(max(0.0, end - time.monotonic()))
    return [bytes(part) for part in parts.values()]


def _end(process: subprocess.Popen[bytes], alone: bool) -> None:
    """End a program that still runs, with what it has started; but not with a daemon, which is to stay."""
    # Nobody has waited for it yet, so that its number is still its own.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _shown(command: t.Sequence[str]) -> str:
    """The command as a message shows it: of a long one the beginning."""
    words = " ".join(command)
    return words if len(words) <= 120 else words[:117] + "…"
