# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that have certbot bring what it renews to nginx."""

from __future__ import annotations

import glob
import json
import os
import typing as t

from .._host import files
from .._host.shipped import needed, package_files, start_program
from .deployment import CONFIGURATION

PROGRAM = "/usr/local/sbin/wssgate-deploy-certificates"
DIRECTORY = "/usr/local/lib/wssgate"
PACKAGE = "wssgate_certificates"
CODE = "_certificates.deployment"
# Where 1.0.0 put what the program imported, and what Python made of it. They are removed.
FORMER = ("/usr/local/lib/wssgate_pair_files.py", "/usr/local/lib/__pycache__/wssgate_pair_files.*.pyc")


class File(t.NamedTuple):
    content: str
    mode: int = files.PUBLIC


class Change(t.NamedTuple):
    """What is at a path, and what shall be; None for nothing."""

    path: str
    before: t.Optional[str]
    after: t.Optional[File]


def wanted_files(configuration: t.Mapping[str, t.Any], python: str) -> t.Dict[str, File]:
    """Every file that shall be there, in the order in which they are written: the program after what it needs."""
    wanted = {CONFIGURATION: File(json.dumps(configuration, indent=4, sort_keys=True) + "\n")}
    for path, content in package_files(f"{DIRECTORY}/{PACKAGE}", needed(CODE)).items():
        wanted[path] = File(content)
    wanted[PROGRAM] = File(start_program(python, DIRECTORY, PACKAGE, CODE), 0o755)
    return wanted


def is_program(path: str) -> bool:
    """Whether a diff says of a file only that it changes."""
    return path != CONFIGURATION


def changes(wanted: t.Mapping[str, File]) -> t.List[Change]:
    """What is to be written, then what is to be removed; without any wanted file, everything is."""
    found = []
    for path, file in wanted.items():
        before = _read(path)
        if before != file.content or not _has_attributes(path, file.mode):
            found.append(Change(path, before, file))
    return found + [Change(path, _read(path), None) for path in _present() if path not in wanted]


def _present() -> t.List[str]:
    """The files of ours that are there; the program first, which needs the others."""
    package = glob.escape(f"{DIRECTORY}/{PACKAGE}")
    patterns = (PROGRAM, CONFIGURATION, f"{package}/**/*.py", *FORMER)
    return [path for pattern in patterns for path in sorted(glob.glob(pattern, recursive=True))]


def apply(found: t.Iterable[Change]) -> None:
    """Write and remove."""
    found = list(found)
    for change in found:
        if change.after is not None:
            files.make_folders(os.path.dirname(change.path))
            files.write(
                change.path, change.after.content.encode("utf-8"), change.after.mode, os.geteuid(), os.getegid()
            )
        else:
            files.remove(change.path)
    removed = [change.path for change in found if change.after is None]
    for folder in sorted({os.path.dirname(path) for path in removed}, reverse=True):
        _remove_if_ours(folder)


def _remove_if_ours(folder: str) -> None:
    """Remove an empty folder of the package, and those above it that are empty then."""
    package = f"{DIRECTORY}/{PACKAGE}"
    while folder == DIRECTORY or (folder + "/").startswith(package + "/"):
        for path in glob.glob(f"{glob.escape(folder)}/__pycache__/*.pyc"):
            if not os.path.exists(f"{folder}/{os.path.basename(path).partition('.')[0]}.py"):
                files.remove(path)
        for path in (f"{folder}/__pycache__", folder):
            try:
                os.rmdir(path)
            except OSError:
                # Not there, or something else is in it
                continue
        if os.path.isdir(folder):
            return
        folder = os.path.dirname(folder)


def _read(path: str) -> t.Optional[str]:
    content = files.read(path)
    return None if content is None else content.decode("utf-8", "surrogateescape")


def _has_attributes(path: str, mode: int) -> bool:
    found = os.lstat(path)
    return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, os.geteuid(), os.getegid())
