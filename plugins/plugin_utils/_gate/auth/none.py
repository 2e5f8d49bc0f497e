# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody is asked for anything."""

from __future__ import annotations

from .method import Method


class _None(Method):
    name = "none"
    answers = (101,)


NONE = _None()
