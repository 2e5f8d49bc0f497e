# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of what was taken back of signed tokens, which jwt.js looks into at each handshake.

``jti/NAME`` stands for one token: it is taken back while something of that name is there. ``sub/NAME`` has a cut-off of
a subject, in seconds since 1970: its tokens that were issued before are void, and so are those without a time of issue.
The names are SHA-256 in hexadecimal digits, see :func:`id_of_token` and :func:`id_of_subject`.

An entry bears the time of its end as its time of modification. That is told from the time of an entry that somebody
made by hand, whose end nobody knows, by its time of change: it was in the future when the entry was written. An entry
counts until it is removed, a little after its end: nginx takes a token for some seconds more, by a clock that may
differ.

For other rooms: :func:`revoke_token`, :func:`cut_off_subject`, :func:`restore`, :func:`is_void` and :func:`prune`, each
of which opens the folder by its path, or :func:`open_revocations` for several of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
import typing as t

from .._host import files
from .._host.error import HostError, reason
from .._host.locks import WAIT, hold

PATH = "/var/lib/nginx/revoked"
TOKENS, SUBJECTS = "jti", "sub"
KINDS = (TOKENS, SUBJECTS)
# nginx's group looks a name up and reads what it names.
FOLDER_MODE, FILE_MODE = 0o710, 0o640
# Seconds that an entry stays after its end. A gate's clock_skew is 30 at most.
STAYS = 60.0
# The year 9999, as in jwt.js
TIME_MAX = 253402300799

_ID = re.compile(r"[0-9a-f]{64}\Z")
# As CUT_OFF in jwt.js
_CUT_OFF = re.compile(rb"[0-9]{1,12}\n?\Z")
_CUT_OFF_LENGTH = 13


class RevocationError(HostError):
    """The folder, or an entry of it, is not what it should be. The text holds no token."""


def id_of_token(issuer: str, jti: str) -> str:
    """The name of a token's entry. Its issuer is the claim iss, which has no line break in it."""
    return _digest(f"{issuer}\n{jti}")


def id_of_subject(subject: str) -> str:
    """The name of a subject's entry."""
    return _digest(subject)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_id(name: str) -> bool:
    """Whether an entry can have this name."""
    return _ID.match(name) is not None


class Entry(t.NamedTuple):
    """One entry. ``until`` is its end, None where nobody knows. ``problem``: why it cannot be read, and so covers all.

    ``changed_at``: when it was last changed, in seconds since 1970.
    """

    kind: str
    id: str
    until: t.Optional[int]
    issued_before: t.Optional[int] = None
    problem: str = ""
    changed_at: float = 0.0

    def covers(self, issued: t.Optional[float]) -> bool:
        """Whether a token of this issue time is void. What cannot be read is no reason to let somebody in."""
        return self.issued_before is None or issued is None or issued < self.issued_before

    def is_over(self, now: float) -> bool:
        """Whether nothing that it stands for can count any more."""
        return self.until is not None and now >= self.until + STAYS


class Revocations:
    """The open folder. What it cannot look at is raised as RevocationError, never taken for what is not there."""

    def __init__(self, path: str, folders: t.Mapping[str, int]) -> None:
        self.path = path
        self._folders = folders

    def entry(self, kind: str, name: str) -> t.Optional[Entry]:
        """The entry of a name; None where there is none."""
        try:
            found = os.stat(name, dir_fd=self._folders[kind], follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RevocationError(f"{self.path}/{kind} cannot be looked into: {reason(error)}") from None
        # A whole second: what is no file has an end as well, and it is not removed by it.
        until = None
        if found.st_mtime_ns > found.st_ctime_ns and stat.S_ISREG(found.st_mode):
            until = found.st_mtime_ns // 1_000_000_000
        entry = Entry(kind, name, until, changed_at=found.st_ctime)
        if not stat.S_ISREG(found.st_mode):
            return entry._replace(problem="is no file")
        return entry if kind == TOKENS else self._with_cut_off(entry)

    def _with_cut_off(self, entry: Entry) -> t.Optional[Entry]:
        try:
            text = files.read(entry.id, _CUT_OFF_LENGTH, self._folders[entry.kind])
        except (HostError, OSError) as error:
            words = reason(error) if isinstance(error, OSError) else str(getattr(error, "message", error))
            return entry._replace(problem=f"cannot be read: {words}")
        if text is None:
            return None
        if not _CUT_OFF.match(text):
            return entry._replace(problem="has no time in seconds since 1970")
        return entry._replace(issued_before=int(text))

    def is_void(self, token_id: str, subject: str, issued: t.Optional[float]) -> bool:
        """Whether a token was taken back: by its own id, if it has one, or as one of its subject, if it has one."""
        if token_id and is_id(token_id) and self.entry(TOKENS, token_id) is not None:
            return True
        found = self.entry(SUBJECTS, id_of_subject(subject)) if subject else None
        return found is not None and found.covers(issued)

    def names(self) -> t.Iterator[t.Tuple[str, str]]:
        """Kind and name of whatever is there that may be an entry."""
        for kind in KINDS:
            try:
                found = os.listdir(self._folders[kind])
            except OSError as error:
                raise RevocationError(f"{self.path}/{kind} cannot be listed: {reason(error)}") from None
            yield from ((kind, name) for name in found)

    def entries(self) -> t.Iterator[Entry]:
        """All entries, in no order."""
        for kind, name in self.names():
            entry = self.entry(kind, name) if is_id(name) else None
            if entry is not None:
                yield entry

    def problems(self) -> t.List[str]:
        """What is wrong with the folder and with what is in it."""
        found = []
        for kind, folder in self._folders.items():
            path = os.path.join(self.path, kind) if kind else self.path
            details = os.fstat(folder)
            mode = stat.S_IMODE(details.st_mode)
            if details.st_uid not in (0, os.geteuid()) or mode & 0o022:
                found.append(f"{path} can be written by others than root: they take tokens back, or give them again")
            elif not mode & 0o010:
                found.append(
                    f"{path} has mode {mode:04o}: nginx's group has to look names up in it ({FOLDER_MODE:04o})"
                )
        foreign = 0
        for kind, name in self.names():
            if not is_id(name):
                foreign += not name.startswith(files.STAGED_PREFIX)
                continue
            entry = self.entry(kind, name)
            if entry is not None and entry.problem:
                whose = "every token of its subject" if kind == SUBJECTS else "its token"
                found.append(f"{self.path}/{kind}/{name} {entry.problem}: {whose} is refused until it is removed")
        if foreign:
            found.append(f"{self.path} holds {foreign} names that stand for no token and no subject: remove them")
        return found

    # Changes: for who has opened it to write

    def put(self, entry: Entry) -> None:
        """Write an entry, in one step; nginx sees the former one or this one."""
        if entry.until is not None and entry.until <= time.time():
            raise RevocationError(f"until is {entry.until}, which has passed: what is taken back has to end later")
        folder = self._folders[entry.kind]
        content = b"" if entry.issued_before is None else b"%d\n" % entry.issued_before
        self.check(entry.kind, entry.id)
        staged = files.STAGED_PREFIX + os.urandom(8).hex()
        modified = None if entry.until is None else float(entry.until)
        with self._telling(entry.kind):
            files.write_new(staged, content, FILE_MODE, gid=os.fstat(folder).st_gid, folder=folder, modified=modified)
            try:
                files.move(staged, entry.id, folder, folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(staged, dir_fd=folder)
                raise
            files.sync_folder(folder)

    def remove(self, kind: str, name: str) -> bool:
        """Remove an entry; return whether one was there."""
        self.check(kind, name)
        with self._telling(kind):
            return files.remove(name, self._folders[kind])

    def check(self, kind: str, name: str) -> None:
        """Refuse to write over, or to remove, what is no file."""
        files.check(name, self._folders[kind], f"{self.path}/{kind}/{name}")

    @contextlib.contextmanager
    def _telling(self, kind: str) -> t.Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RevocationError(f"{self.path}/{kind} cannot be written: {reason(error)}") from None

    def prune(self, now: float) -> int:
        """Remove the entries that are over, and what killed runs have left; return how many entries it was.

        One that cannot be removed is raised once all others have gone.
        """
        count, problem = 0, ""
        for kind, name in list(self.names()):
            entry = self.entry(kind, name) if is_id(name) else None
            if not name.startswith(files.STAGED_PREFIX) and (entry is None or not entry.is_over(now)):
                continue
            try:
                os.unlink(name, dir_fd=self._folders[kind])
                count += entry is not None
            except OSError as error:
                problem = f"{self.path}/{kind}/{name} cannot be removed: {reason(error)}"
        for kind in KINDS if count else ():
            with self._telling(kind):
                files.sync_folder(self._folders[kind])
        if problem:
            raise RevocationError(problem)
        return count


@contextlib.contextmanager
def open_revocations(path: str = PATH, write: bool = False, wait: float = WAIT) -> t.Iterator[Revocations]:
    """Open the folder, to write in it alone. No link to it, and none in it, is followed."""
    with contextlib.ExitStack() as stack:

        def opened(name: str, folder: t.Optional[int] = None) -> int:
            where = name if folder is None else f"{path}/{name}"
            try:
                handle = files.open_folder(name, folder)
            except FileNotFoundError:
                raise MissingRevocations(
                    f"{where} does not exist: role wss_proxy makes it where a location takes signed tokens"
                ) from None
            except OSError as error:
                raise RevocationError(f"{where} cannot be opened: {reason(error)}") from None
            except files.FileError as error:
                raise RevocationError(f"{where} {error.message}") from None
            stack.callback(os.close, handle)
            return handle

        root = opened(path)
        folders = {"": root, **{kind: opened(kind, root) for kind in KINDS}}
        if write:
            for kind, handle in folders.items():
                found = os.fstat(handle)
                if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                    where = os.path.join(path, kind) if kind else path
                    raise RevocationError(f"{where} can be written by others than root: run wssgate.nginx.site")
            stack.enter_context(hold(root, path, wait=wait))
        yield Revocations(path, folders)


class MissingRevocations(RevocationError):
    """There is no such folder."""


# What may be done, each in one step


def merged(entry: Entry, former: t.Optional[Entry]) -> t.Optional[Entry]:
    """What is to be written for an entry that is wanted beside what is there; None where that does as well.

    A later cut-off counts, and a later end; an entry whose end nobody knows keeps that, and one that cannot be read
    is replaced.
    """
    if former is None or (former.problem and former.kind == SUBJECTS):
        return entry
    until = None if former.until is None or entry.until is None else max(former.until, entry.until)
    before = entry.issued_before
    if before is not None and former.issued_before is not None:
        before = max(before, former.issued_before)
    found = former._replace(until=until, issued_before=before)
    return None if found == former else found


def revoke_token(token_id: str, until: int, path: str = PATH, wait: float = WAIT) -> bool:
    """Take one token back, until it ends (``exp``); return whether that changed anything."""
    return _put(Entry(TOKENS, token_id, until), path, wait)


def cut_off_subject(subject: str, issued_before: int, until: int, path: str = PATH, wait: float = WAIT) -> bool:
    """Take a subject's tokens back that were issued before a time; return whether that changed anything.

    ``until``: when the last of them has ended.
    """
    return _put(Entry(SUBJECTS, id_of_subject(subject), until, issued_before), path, wait)


def _put(entry: Entry, path: str, wait: float) -> bool:
    with open_revocations(path, write=True, wait=wait) as folder:
        found = merged(entry, folder.entry(entry.kind, entry.id))
        if found is not None:
            folder.put(found)
        return found is not None


def restore(kind: str, name: str, path: str = PATH, wait: float = WAIT) -> bool:
    """Take nothing back any more of a token (TOKENS) or a subject (SUBJECTS), by its id; return whether it was."""
    with open_revocations(path, write=True, wait=wait) as folder:
        return folder.remove(kind, name)


def is_void(token_id: str, subject: str, issued: t.Optional[float], path: str = PATH) -> bool:
    """Whether a token was taken back, as jwt.js has it. Texts are empty where the token has no such claim."""
    with open_revocations(path) as folder:
        return folder.is_void(token_id, subject, issued)


def prune(now: float, path: str = PATH, wait: float = WAIT) -> int:
    """Remove the entries that are over; return how many. Without the folder there are none."""
    try:
        with open_revocations(path, write=True, wait=wait) as folder:
            return folder.prune(now)
    except MissingRevocations:
        return 0
