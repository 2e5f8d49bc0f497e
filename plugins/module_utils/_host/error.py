# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of everything that runs on a host."""

from __future__ import annotations

import os
import typing as t


Result = t.Dict[str, t.Any]


class HostError(Exception):
    """What the user has to know: what went wrong, where, and what to do about it. Its text holds no secret."""


def reason(error: OSError) -> str:
    """What the system says of an error, without the file name: that may be a token."""
    return os.strerror(error.errno) if error.errno else "unknown error"


def attempted(work: t.Callable[[], Result], words: t.Callable[[OSError], str]) -> t.Tuple[Result, t.Optional[str]]:
    """Do a module's work; return its result and what went wrong, if anything.

    ``words`` has those for the system's own errors. A module fails after that and not within ``except``: Ansible would
    show where the error came from.
    """
    try:
        return work(), None
    except HostError as error:
        return {}, str(error)
    except OSError as error:
        return {}, words(error)


def unnamed(error: OSError) -> str:
    """Words for an error whose text would name a file, where a file's name is a token."""
    return f"unexpected operating system error {error.errno}"


def named(error: OSError) -> str:
    """Words for an error of the system, with its reason."""
    return f"unexpected operating system error: {reason(error)}"


def told(error: t.Union[HostError, OSError]) -> str:
    """Words for either, none of which names a file: a file's name may be a token."""
    return f"operating system error: {reason(error)}" if isinstance(error, OSError) else str(error)
