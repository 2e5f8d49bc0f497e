# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that says what a token looks like.

A token is the name of a file in the store, a value in a cookie and a
variable in nginx's configuration, so its alphabet is what all three carry
unquoted. The pattern is unanchored and holds no group: whoever uses it
anchors it for its own language (``\\Z`` in Python, ``$`` in nginx's PCRE,
which needs ``\\z`` to refuse a trailing line feed).
"""

from __future__ import annotations

TOKEN_PATTERN = "[A-Za-z0-9_-]{16,128}"
