# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is at a path, with owner, group and mode by their names."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import typing as t

ABSENT, FILE, FOLDER, OTHER = "absent", "file", "folder", "other"


class Found(t.NamedTuple):
    """What is at a path itself; a symlink is something else."""

    kind: str
    content: bytes = b""
    owner: str = ""
    group: str = ""
    mode: str = ""

    def shown(self) -> str:
        """Owner, group and mode, for a diff."""
        return f"{self.owner}:{self.group} {self.mode}" if self.kind in (FILE, FOLDER) else self.kind


def look(path: str) -> Found:
    """What is at a path, a symlink not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return Found(ABSENT)
    except OSError:
        # A symlink, a socket or a device.
        return Found(OTHER)
    try:
        details = os.fstat(descriptor)
        content = b""
        if stat.S_ISREG(details.st_mode):
            kind = FILE
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
        else:
            kind = FOLDER if stat.S_ISDIR(details.st_mode) else OTHER
    finally:
        os.close(descriptor)
    return Found(
        kind,
        content,
        _name(pwd.getpwuid, details.st_uid),
        _name(grp.getgrgid, details.st_gid),
        f"{stat.S_IMODE(details.st_mode):04o}",
    )


def _name(look_up: t.Callable[[int], t.Any], number: int) -> str:
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)


def is_known(database: str, name: str) -> bool:
    """Whether a user ("passwd") or a group ("group") is on this host; a number always is."""
    if name.isdigit():
        return True
    try:
        (pwd.getpwnam if database == "passwd" else grp.getgrnam)(name)
    except KeyError:
        return False
    return True


def missing_folders(path: str) -> t.List[str]:
    """The folders that have to be made for this one to be there, the uppermost first."""
    found: t.List[str] = []
    while path not in ("", "/") and not os.path.lexists(path):
        found.insert(0, path)
        path = os.path.dirname(path)
    return found
