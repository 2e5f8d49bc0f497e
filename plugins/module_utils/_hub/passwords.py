# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of users of the hub: each made once, by the host that uses it, in a file for root alone."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import typing as t

from .._host import files
from .._host.error import HostError

FOLDER_MODE = 0o700
# 256 bits: its SHA-256 tells nobody what it is.
BYTES = 32
_PASSWORD = re.compile(r"[^\x00-\x20\x7f]{16,512}")


class PasswordError(HostError):
    """The file of a password cannot be used; the text says why."""


class Wanted(t.NamedTuple):
    """A password's file. ``content`` is what it shall be, else it is made. ``text`` is what stands in the file, with
    {} for the password. ``is_kept``: the hub has its hash, and the file may have been taken away.
    """

    user: str
    path: str
    content: str = ""
    text: str = "{}"
    is_kept: bool = False


class Result(t.NamedTuple):
    """Whether the file was, or would be, written, and the password's SHA-256 where the host has made it."""

    changed: bool
    sha256: str = ""


def digest(password: str) -> str:
    return hashlib.sha256(password.encode("utf-8")).hexdigest()


def ensure(wanted: Wanted, is_dry: bool = False) -> Result:
    """Have the password's file in place."""
    folder = os.path.dirname(wanted.path)
    found = _read(wanted)
    if wanted.content:
        if not _PASSWORD.fullmatch(wanted.content):
            raise PasswordError(f"the password of {wanted.user} must be 16 to 512 characters without blanks")
        password = wanted.content
    elif found is None and wanted.is_kept:
        return Result(False)
    else:
        password = found or secrets.token_urlsafe(BYTES)
    changed = found != password or _is_open(wanted.path)
    if changed and not is_dry:
        files.make_folders(os.path.dirname(folder))
        files.make_folders(folder, FOLDER_MODE)
        files.write(wanted.path, (wanted.text.replace("{}", password) + "\n").encode("utf-8"), files.PRIVATE)
    # In a dry run one that was not made yet has none.
    is_made = not wanted.content and not (is_dry and found is None)
    return Result(changed, digest(password) if is_made else "")


def _is_open(path: str) -> bool:
    """Whether others than root may read it, or it is not there."""
    try:
        return bool(stat.S_IMODE(os.lstat(path).st_mode) & 0o077)
    except FileNotFoundError:
        return True


def _read(wanted: Wanted) -> t.Optional[str]:
    content = files.read(wanted.path, 4096)
    if content is None:
        return None
    text = content.decode("utf-8", "replace")
    text = text[:-1] if text.endswith("\n") else text
    # It has no blanks, and may stand in more than one place.
    before, _mark, after = wanted.text.partition("{}")
    end = re.escape(after[:1]) or r"\Z"
    found = re.match(re.escape(before) + r"(\S+?)(?=" + end + ")", text)
    password = found[1] if found else ""
    return password if _PASSWORD.fullmatch(password) and text == wanted.text.replace("{}", password) else None
