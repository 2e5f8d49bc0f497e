# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors of what is done to HAProxy and keepalived."""

from __future__ import annotations

from .._host.error import HostError


class BalancerError(HostError):
    """Something about a balancer that the user has to know; ``output`` has a program's own words, where there are."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output
