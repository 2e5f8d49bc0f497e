# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of what is done to nginx."""

from __future__ import annotations

from .._host.error import HostError


class NginxError(HostError):
    """Something about nginx or its configuration that the user has to know.

    ``nginx_output`` holds nginx's own words, where it said any.
    """

    def __init__(self, message: str, nginx_output: str = "") -> None:
        super().__init__(message)
        self.nginx_output = nginx_output
