# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Say what nginx_config has to change on the disk; look only."""

from __future__ import annotations

import os

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, unquote

from .answers import Probe
from .error import NginxError
from .files import (
    SAVED_SUFFIX,
    WORK_PREFIX,
    Change,
    Entry,
    identity,
    parents,
    read_entry,
)
from .sockets import Socket

_NOT_OURS_LIMIT = 10


class Edit(NamedTuple):
    """A run that is about one file, which Ansible has put there; everything else stays as it is."""

    path: str
    """relative to directory"""
    change: Callable[[str], str]
    """What the file shall hold instead of this. It is asked while nobody else can change the file."""


class Settings(NamedTuple):
    """What the caller wants."""

    directory: str
    binary: str
    main_file: str
    pid_file: str
    files: Dict[str, Tuple[str, int]] = {}
    """relative path → content, mode"""
    owned_directories: Sequence[str] = ()
    marker: str = "wssgate.nginx"
    absent: Sequence[str] = ()
    service: str = "nginx"
    error_log: str = ""
    live_timeout: float = 10
    allow_restart: bool = False
    sockets: Sequence[Socket] = ()
    present: bool = True
    check: bool = False
    sessions: int = 0
    """how many the workers have to carry; 0: nobody asks"""
    probes: Sequence[Probe] = ()
    """locations that have to answer as well as before"""
    defer: bool = False
    """test what has to be done, and leave it to a later run"""
    keep_former: bool = False
    """leave what was there before a change, for a later run to put back or remove"""
    edit: Optional[Edit] = None
    """in place of files, owned_directories and absent; nginx is not started for it"""

    @property
    def starts(self) -> bool:
        """Whether nginx shall run afterwards, even if it did not before."""
        return self.present and self.edit is None

    @property
    def main(self) -> str:
        """Return the absolute path of the main file."""
        return os.path.join(self.directory, self.main_file)

    def path(self, relative: str) -> str:
        """Return where ``relative`` is on the host."""
        return os.path.join(self.directory, relative)

    def entry(self, path: str) -> Entry:
        """Return what shall be at ``path``."""
        content, mode = self.files[path]
        return Entry("file", to_bytes(content), mode, os.geteuid())


def to_bytes(text: str) -> bytes:
    """Encode ``text``; what it was decoded from comes out again even where that was not UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _copy(entry: Entry) -> Entry:
    """Return what a copy of ``entry`` is: it belongs to whoever makes it."""
    return entry._replace(owner=os.geteuid())


def saved_name(path: str) -> str:
    """Return where a displaced ``path`` is kept: beside the main file, under a name that no include matches."""
    return quote(path, safe="") + SAVED_SUFFIX


def _displaced_path(name: str) -> str:
    """Return the path that was displaced to ``name``; nothing when ``name`` is no such name."""
    path = unquote(name[: -len(SAVED_SUFFIX)])
    if saved_name(path) != name:
        return ""
    try:
        check_path(path)
    except NginxError:
        return ""
    return path


def check_path(path: str) -> None:
    """Refuse a managed path that could lead out of the folder."""
    parts = path.split("/")
    # An absolute path begins with an empty part.
    if any(part in ("", ".", "..") for part in parts):
        raise NginxError(f"path {path!r} has to be relative to directory, without empty, . or .. parts")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise NginxError(f"path {path!r} contains a control character")
    if parts[0].startswith(WORK_PREFIX) or SAVED_SUFFIX in path:
        raise NginxError(f"path {path!r} is one of those that nginx_config uses itself")


def check_settings(settings: Settings) -> None:
    """Refuse what can't be meant, before anything is looked at."""
    if not os.path.isabs(settings.directory):
        raise NginxError(f"directory {settings.directory!r} has to be an absolute path")
    if not settings.marker.strip() or "\n" in settings.marker:
        raise NginxError("marker has to be one line and not blank")
    if settings.live_timeout <= 0:
        raise NginxError("live_timeout has to be greater than 0 seconds")
    if "/" in settings.main_file:
        raise NginxError(f"main_file {settings.main_file!r} has to be in directory itself")
    for wanted in settings.sockets:
        if not os.path.isabs(wanted.path) or not 0 <= wanted.mode <= 0o777:
            raise NginxError(f"sockets: {wanted.path!r} has to be an absolute path, its mode 0777 at most")
    for path in [settings.main_file, *settings.owned_directories, *settings.absent, *settings.files]:
        check_path(path)
    if settings.edit is not None:
        check_path(settings.edit.path)
    if not settings.starts:
        return
    if settings.main_file not in settings.files:
        raise NginxError(f"files have to contain main_file ({settings.main_file})")
    for path in settings.files:
        folders = list(parents(path))
        if path != settings.main_file and not any(folder in settings.owned_directories for folder in folders):
            raise NginxError(
                f"{path} is neither main_file nor in one of owned_directories "
                f"({', '.join(settings.owned_directories) or 'none'}): it could not be found again when it is no "
                "longer wanted"
            )
        if any(folder in settings.files for folder in folders):
            raise NginxError(f"{path} is in a folder that is itself one of files")
        if path in settings.absent:
            raise NginxError(f"{path} is in files and in absent")
        if not settings.entry(path).is_marked(settings.marker):
            raise NginxError(
                f"the content of {path} does not have the marker {settings.marker!r} in its first five lines: "
                "put it in a comment there"
            )


class Planner:
    """Compares what is wanted with what is there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.warnings: List[str] = []

    def _found(self, path: str) -> Optional[Entry]:
        """Return what is at a managed path, refusing to go through symbolic links or to replace anything but a file."""
        for folder in parents(path):
            self._is_folder(folder)
        return read_entry(self.settings.path(path))

    def _is_folder(self, folder: str) -> bool:
        """Whether there is such a folder; refuse anything else there."""
        path = self.settings.path(folder)
        entry = read_entry(path)
        if entry and (entry.kind != "other" or not os.path.isdir(path)):
            what = "a symbolic link" if entry.kind == "link" else "in the way"
            raise NginxError(f"{path} is {what}, not a folder, and nothing is written through it: remove it first")
        return entry is not None

    def plan(self) -> List[Change]:
        """Return all changes, each path once, in an order in which they can be made."""
        settings = self.settings
        if settings.edit is not None:
            return self._edited(settings.edit)
        changes: List[Change] = []
        wanted = settings.files if settings.present else {}
        # Included files before the main file that includes them.
        for path in sorted(wanted, key=lambda name: (name == settings.main_file, name)):
            found = self._found(path)
            where = self.settings.path(path)
            if found and found.kind != "file":
                what = "a symbolic link" if found.kind == "link" else "not a file"
                raise NginxError(f"{where} is {what}: remove it first")
            if found and not found.is_marked(settings.marker):
                if path != settings.main_file:
                    raise NginxError(
                        f"{where} is there without the marker {settings.marker!r} in its first five lines, "
                        "so it is somebody else's: move it away first"
                    )
                changes += self._save(path, found)
            entry = settings.entry(path)
            if identity(found) != identity(entry):
                changes.append(Change(path, found, entry))
        changes += self._remove_unwanted()
        changes += self._set_aside() if settings.present else []
        back = self._put_back()
        # The main file is ours and unwanted, yet there is a former one to take its place.
        return [change for change in changes if change.path not in {other.path for other in back}] + back

    def _edited(self, edit: Edit) -> List[Change]:
        """Return the change of the one file; nothing where there is none, or where it is so already."""
        found = self._found(edit.path)
        if found is None:
            return []
        if not found.is_marked(self.settings.marker):
            raise NginxError(
                f"{self.settings.path(edit.path)} is there without the marker {self.settings.marker!r} in its first "
                "five lines, so it is somebody else's and is not changed"
            )
        content = to_bytes(edit.change(found.content.decode("utf-8", "surrogateescape")))
        return [Change(edit.path, found, found._replace(content=content))] if content != found.content else []

    def _save(self, path: str, found: Entry) -> List[Change]:
        """Keep ``found``, which is about to be displaced; an older saved one moves out of the way."""
        name = saved_name(path)
        saved = read_entry(self.settings.path(name))
        if saved and (saved.kind, saved.content) == (found.kind, found.content):
            return []
        changes = [Change(name, saved, _copy(found))]
        if saved:
            number = 1
            while os.path.lexists(self.settings.path(f"{name}.{number}")):
                number += 1
            changes.insert(0, Change(f"{name}.{number}", None, _copy(saved)))
        return changes

    def _remove_unwanted(self) -> List[Change]:
        settings = self.settings
        changes: List[Change] = []
        others: List[str] = []
        for path in sorted({path for owned in settings.owned_directories for path in self._files_in(owned)}):
            if settings.present and path in settings.files:
                continue
            entry = read_entry(settings.path(path))
            if entry and entry.is_marked(settings.marker):
                changes.append(Change(path, entry, None))
            elif entry:
                others.append(path)
        if others:
            some = ", ".join(others[:_NOT_OURS_LIMIT]) + (" …" if len(others) > _NOT_OURS_LIMIT else "")
            self.warnings.append(f"not ours and left alone in {settings.directory}: {some}")
        if not settings.present:
            main = self._found(settings.main_file)
            if main and main.is_marked(settings.marker):
                changes.append(Change(settings.main_file, main, None))
        return changes

    def _files_in(self, folder: str) -> List[str]:
        self._is_folder(folder)
        found = []
        for place, _folders, names in os.walk(self.settings.path(folder)):
            relative = os.path.relpath(place, self.settings.directory)
            # An editor's swap file of a file of ours bears the marker as well.
            found += [os.path.join(relative, name) for name in names if not name.startswith(".")]
        return found

    def _set_aside(self) -> List[Change]:
        changes: List[Change] = []
        for path in self.settings.absent:
            found = self._found(path)
            if found is None:
                continue
            if found.kind != "link":
                self.warnings.append(f"{self.settings.path(path)} is not a symbolic link and is left alone")
                continue
            changes += self._save(path, found)
            changes.append(Change(path, found, None))
        return changes

    def _put_back(self) -> List[Change]:
        """Put back what earlier runs have set aside and is no longer to be absent; with state absent that is all."""
        settings = self.settings
        changes: List[Change] = []
        for name in sorted(os.listdir(settings.directory)):
            path = _displaced_path(name)
            if not path:
                continue
            if settings.present and (path == settings.main_file or path in settings.absent):
                continue
            saved = read_entry(self.settings.path(name))
            found = self._found(path)
            if saved is None or saved.kind == "other":
                continue
            if path == settings.main_file and found and not found.is_marked(settings.marker):
                self.warnings.append(
                    f"{settings.main} is no longer ours and stays; {self.settings.path(name)} stays as well"
                )
                continue
            if found is None and not os.path.isdir(os.path.dirname(self.settings.path(path))):
                continue
            if found is None or path == settings.main_file:
                changes.append(Change(path, found, _copy(saved)))
            changes.append(Change(name, saved, None))
        return changes
