# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of what is done to nginx."""

from __future__ import annotations

import errno

from .._host.error import HostError


class NginxError(HostError):
    """Something about nginx or its configuration that the user has to know.

    ``nginx_output`` holds nginx's own words, where it said any.
    """

    def __init__(self, message: str, nginx_output: str = "") -> None:
        super().__init__(message)
        self.nginx_output = nginx_output


def explained(error: OSError) -> str:
    """What the system refused, for people, where everything is still as it was."""
    where = ", ".join(str(name) for name in (error.filename, error.filename2) if name)
    message = f"{where}: {error.strerror}" if where else str(error.strerror or error)
    if error.errno in (errno.EACCES, errno.EPERM):
        message += ": this has to run as a user who may do that (become: true)"
    elif error.errno in (errno.EXDEV, errno.EBUSY):
        message += ": it is a mount of its own; the whole configuration has to be on one filesystem"
    return message + "; what was there is still there"
