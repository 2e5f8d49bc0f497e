# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of everything that runs on a host."""

from __future__ import annotations

import os
import typing as t


class HostError(Exception):
    """What the user has to know: what went wrong, where, and what to do about it. Its text holds no secret."""


def reason(error: OSError) -> str:
    """What the system says of an error, without the file name: that may be a token."""
    return os.strerror(error.errno) if error.errno else "unknown error"


def told(error: t.Union[HostError, OSError]) -> str:
    """Words for either, none of which names a file: a file's name may be a token."""
    return f"operating system error: {reason(error)}" if isinstance(error, OSError) else str(error)
