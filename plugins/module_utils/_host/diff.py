# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a diff shows of a program or a page: that it changes, in one line. Configuration is shown in full."""

from __future__ import annotations

import hashlib


def in_one_line(text: str) -> str:
    """Number of lines and digest, as sha256sum shows the start of it."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    count = len(text.splitlines())
    lines = "1 line" if count == 1 else f"{count} lines"
    return f"{lines}, SHA-256 {digest[:12]}…\n"
