# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The token store: a directory whose file names are the tokens.

Everything here goes through one descriptor of the directory, opened without
following a link, so that nobody can put another directory in its place while
a run is under way. No message of this file holds a token: an operating system
error is told by its reason and the token's fingerprint, never by a file name.

This file needs nothing but the standard library: the pruner that runs on the
host without Ansible is the same code.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
import typing as t

from .._host import files
from .._host.error import reason
from .._host.locks import hold
from .folder import telling
from .owed import ENDED, OwedRecords
from .record import (
    CORRUPT,
    DOCUMENT_LIMIT,
    EXPIRING,
    HEAD_DIGITS,
    MANAGED,
    NO_EXPIRY_MTIME,
    PERMANENT,
    TOUCHED,
    Attributes,
    Foreign,
    Gone,
    Owed,
    StoreError,
    Token,
    fingerprint,
    full_fingerprint,
    is_token,
    names_with_heads,
    parse_document,
)
from .writing import STAGING, TokenWriter

QUARANTINE_PREFIX = ".corrupt-"
QUARANTINE_GRACE = 10  # seconds: somebody may be writing the file by hand right now
LOCK_WAIT = 60.0
# From here on one listing of the store is cheaper than asking for each name, of which most may be new.
LIST_FROM = 1000
# Names that may be listed for each that is asked for. Asking takes as long as listing some ten.
LISTED_AT_MOST = 4
# A disk that is not in memory and slow gives some hundred files a second.
PROGRESS_EVERY = 500
_KINDS = (
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "block device"),
    (stat.S_ISCHR, "character device"),
)


@contextlib.contextmanager
def noting(problems: t.Optional[t.List[str]]) -> t.Iterator[None]:
    """With a list, put a StoreError's words into it and go on."""
    try:
        yield
    except StoreError as error:
        if problems is None:
            raise
        problems.append(str(error))


class TokenStore(OwedRecords, TokenWriter):
    """An open store. Use :func:`open_store`."""

    # Looking

    def look(self, name: str) -> t.Optional[Token]:
        """Return the token's file, None when there is none; anything but a regular file is an error."""
        with telling("look at", name):
            try:
                found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            except FileNotFoundError:
                return None
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(
                f"token {fingerprint(name)} exists in {self.path} as a {_kind(found.st_mode)}, which is never "
                f"followed and never removed: remove it by hand (inode {found.st_ino})"
            )
        return self._token(name, found)

    def _listed(self, wanted: int) -> t.Optional[t.Set[str]]:
        """All names, where so many are asked for that a listing is cheaper; None where the store holds far more."""
        if wanted < LIST_FROM:
            return None
        with telling("list the store"), os.scandir(self.fd) as entries:
            names = {entry.name for entry in itertools.islice(entries, wanted * LISTED_AT_MOST)}
            return names if next(entries, None) is None else None

    def count_empty(self, names: t.Collection[str]) -> t.Tuple[int, t.List[str], t.List[str]]:
        """Return how many of the names are empty files, the names of other things and the names that are not there."""
        others: t.List[str] = []
        missing: t.List[str] = []
        count = 0
        fd = self.fd
        there = self._listed(len(names))
        for name in names:
            if there is not None and name not in there:
                missing.append(name)
                continue
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                missing.append(name)
                continue
            except OSError as error:
                raise StoreError(f"cannot look at token {fingerprint(name)}: {reason(error)}") from None
            if found.st_size == 0 and stat.S_ISREG(found.st_mode):
                count += 1
            else:
                others.append(name)
        return count, others, missing

    def scan(
        self, skip: t.Container[str] = (), problems: t.Optional[t.List[str]] = None
    ) -> t.Tuple[t.List[Token], t.List[Foreign]]:
        """Return every token, except those named in skip, and everything else that is there.

        A file that cannot be read is an error, or with a list for problems one more line in it.
        """
        foreign: t.List[Foreign] = []
        return list(self.each(foreign, skip, problems)), foreign

    def each(
        self, foreign: t.List[Foreign], skip: t.Container[str] = (), problems: t.Optional[t.List[str]] = None
    ) -> t.Iterator[Token]:
        """Yield what :meth:`scan` returns one after the other, and add to ``foreign`` what else is there."""
        for name, found in self._entries(problems):
            if not stat.S_ISREG(found.st_mode):
                foreign.append(Foreign(fingerprint(name), _kind(found.st_mode), found.st_ino))
            elif not is_token(name):
                kind = "quarantined token" if name.startswith(QUARANTINE_PREFIX) else "foreign name"
                foreign.append(Foreign(fingerprint(name), kind, found.st_ino))
            elif name not in skip:
                try:
                    token = self._token(name, found)
                except StoreError as error:
                    if problems is None:
                        raise
                    problems.append(str(error))
                    continue
                if token is not None:
                    yield token

    def due(self, now: float, problems: t.Optional[t.List[str]] = None) -> t.Tuple[t.List[Token], t.List[Token]]:
        """Return the expired and the corrupt tokens: one stat a file, a read only for what looks due.

        A managed file carries its end as mtime. One written by other means (an
        application's own JSON) gets that mtime here, so that it is read once only.
        A file that cannot be read is an error, or with a list for problems one more line in it.
        """
        expired, corrupt, _ends = self.due_until(now, now, problems)
        return expired, corrupt

    def due_until(
        self, now: float, until: float, problems: t.Optional[t.List[str]] = None
    ) -> t.Tuple[t.List[Token], t.List[Token], t.List[t.Tuple[float, str]]]:
        """Return besides what is :meth:`due` the end and the name of each token that is due before ``until``."""
        expired: t.List[Token] = []
        corrupt: t.List[Token] = []
        ends: t.List[t.Tuple[float, str]] = []
        for name, found in self._entries(problems):
            moment = found.st_mtime
            if found.st_size == 0 or (moment > now and moment >= until) or not stat.S_ISREG(found.st_mode):
                continue
            if not is_token(name):
                continue
            if moment > now:
                ends.append((moment, name))
                continue
            token = None
            with noting(problems):
                token = self._token(name, found)
            if token is None or token.form == TOUCHED:
                continue
            if token.form == CORRUPT:
                if now - token.changed_at >= QUARANTINE_GRACE or token.changed_at > now:
                    corrupt.append(token)
                else:
                    # It is to be looked at again.
                    ends.append((now, name))
            elif token.is_expired(now):
                expired.append(token)
            else:
                self._mirror_expiry(token)
                if token.expires_at is not None and token.expires_at < until:
                    ends.append((float(token.expires_at), name))
        return expired, corrupt, ends

    def ends(self, since: float, until: float, part: int) -> t.Iterator[t.List[t.Tuple[float, str]]]:
        """Look at so many files at a time; yield the modification time, which is the end, and the name of tokens.

        Of those that end before ``until``, without those that were due and there at the time ``since``.
        """
        some: t.List[t.Tuple[float, str]] = []
        for number, (name, found) in enumerate(self._entries(), 1):
            is_wanted = found.st_size and found.st_mtime < until and max(found.st_mtime, found.st_ctime) > since
            if is_wanted and stat.S_ISREG(found.st_mode) and is_token(name):
                some.append((found.st_mtime, name))
            if number % part == 0:
                yield some
                some = []
        yield some

    def tally(self, part: int) -> t.Iterator[t.Tuple[t.Dict[str, int], t.Optional[float]]]:
        """Look at so many files at a time, and into none; yield the tokens so far by kind, and the next end of one."""
        kinds = dict.fromkeys((TOUCHED, PERMANENT, EXPIRING), 0)
        now, soonest = time.time(), None
        for number, (name, found) in enumerate(self._entries(), 1):
            if stat.S_ISREG(found.st_mode) and is_token(name):
                if not found.st_size:
                    kinds[TOUCHED] += 1
                elif found.st_mtime >= NO_EXPIRY_MTIME:
                    kinds[PERMANENT] += 1
                else:
                    kinds[EXPIRING] += 1
                    if found.st_mtime > now and (soonest is None or found.st_mtime < soonest):
                        soonest = found.st_mtime
            if number % part == 0:
                yield kinds, soonest
        yield kinds, soonest

    def names(self) -> t.Iterator[str]:
        """The names of what may be tokens, without a look at the files."""
        with telling("list the store"):
            with os.scandir(self.fd) as entries:
                for entry in entries:
                    if is_token(entry.name):
                        yield entry.name

    def like(self, starts: t.Iterable[str]) -> t.Iterator[t.Tuple[str, str]]:
        """The tokens whose fingerprint begins so, by 8 digits at least, each with all its digits.

        Each name is listed, and no file is looked at.
        """
        begins = tuple(starts)
        heads = {bytes.fromhex(one[:HEAD_DIGITS]) for one in begins}
        with telling("list the store"), os.scandir(self.fd) as entries:
            for name in names_with_heads((entry.name for entry in entries), heads):
                digest = full_fingerprint(name)
                if is_token(name) and digest.startswith(begins):
                    yield name, digest

    def _entries(self, problems: t.Optional[t.List[str]] = None) -> t.Iterator[t.Tuple[str, os.stat_result]]:
        with telling("list the store"):
            with os.scandir(self.fd) as entries:
                for number, entry in enumerate(entries):
                    if not number % PROGRESS_EVERY:
                        self.progress()
                    if entry.name in (STAGING, ENDED):
                        continue
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed by hand since it was listed
                    except OSError as error:
                        with noting(problems), telling("look at", entry.name):
                            raise error
                        continue
                    yield entry.name, found

    def _token(self, name: str, found: os.stat_result) -> t.Optional[Token]:
        document: t.Optional[t.Dict[str, t.Any]] = None
        form = TOUCHED
        if found.st_size > 0:
            data = self._read(name)
            if data is None:
                return None
            if data.strip():
                document = parse_document(data)
                form = CORRUPT if document is None else MANAGED
        if document is None:
            document = {"subject": None, "issued_at": None, "expires_at": None}
        return Token(
            name,
            form,
            document["subject"],
            document["issued_at"],
            document["expires_at"],
            found.st_uid,
            found.st_gid,
            stat.S_IMODE(found.st_mode),
            found.st_ctime,
        )

    def _read(self, name: str) -> t.Optional[bytes]:
        try:
            return files.read(name, DOCUMENT_LIMIT, self.fd)
        except (OSError, files.FileError) as error:
            if isinstance(error, files.FileError) and error.why == files.SIZE:
                return b"too long"
            with telling("read", name):
                raise

    # Changing

    def remove(self, names: t.Sequence[str]) -> t.List[str]:
        """Remove token files; return those that were there."""
        gone = self.take_away(names)
        if gone.problem():
            raise StoreError(gone.problem())
        return gone.removed

    def take_away(self, names: t.Sequence[str], owed: bool = False) -> Gone:
        """Take token files out of the gate's sight, each whatever becomes of the others.

        When sessions of them are owed an end, a file is moved, not removed: a run that is killed before the sessions
        are gone leaves a note of them. :meth:`settle` removes it.
        """
        gone = Gone("remove", len(names))
        folder = self._ended_folder() if owed and names else None
        try:
            for name in names:
                try:
                    if folder is None or not self._move(name, folder):
                        os.unlink(name, dir_fd=self.fd)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    gone.failed[name] = reason(error)
                else:
                    gone.removed.append(name)
            if gone.removed:
                self._sync_after(gone, folder)
        finally:
            if folder is not None:
                os.close(folder)
        return gone

    def _sync_after(self, gone: Gone, folder: t.Optional[int] = None) -> None:
        """A failure is told at the end: the files have gone, and their sessions have yet to."""
        try:
            if folder is not None:
                self._sync_directory(folder)
            self._sync_directory()
        except StoreError as error:
            gone.unsynced = str(error)

    def _move(self, name: str, folder: int) -> bool:
        """Whether the file could be moved. Where not, on a full disk for example, it is to be removed all the same."""
        try:
            files.move(name, name, self.fd, folder)
            # Two names of one file stay as they are: somebody has linked a removed token back.
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_nlink == 1 or not self._is_there(name)
        except OSError:
            return False

    def quarantine(self, names: t.Sequence[str], owed: bool = False) -> Gone:
        """Take token files out of the gate's sight without losing what they hold."""
        gone = Gone("set aside", len(names))
        if owed and names:
            # Before: a run that is killed in between leaves a token that is found corrupt again.
            self.owe(names)
        for name in names:
            try:
                files.move(name, self._free_name(QUARANTINE_PREFIX + name), self.fd, self.fd)
            except FileNotFoundError:
                continue
            except StoreError as error:
                gone.failed[name] = str(error)
            except OSError as error:
                gone.failed[name] = reason(error)
            else:
                gone.removed.append(name)
        if gone.removed:
            self._sync_after(gone)
        return gone

    def _free_name(self, name: str) -> str:
        """The name, or with a number behind it: what an earlier file of that name held is not lost either."""
        free, number = name, 0
        while self._is_there(free):
            number += 1
            free = f"{name}.{number}"
        return free

    def set_attributes(self, token: Token, wanted: Attributes) -> None:
        with telling("change owner or mode of", token.name):
            try:
                fd = files.open_file(token.name, folder=self.fd)
            except files.FileError:
                raise StoreError(f"token {token.fingerprint} is no longer a file") from None
            try:
                files.set_attributes(fd, wanted.mode, wanted.uid, wanted.gid)
            finally:
                os.close(fd)

    def _mirror_expiry(self, token: Token) -> None:
        ends = NO_EXPIRY_MTIME if token.expires_at is None else token.expires_at
        # Without the mirror the file is read again next time, nothing worse.
        with contextlib.suppress(OSError):
            os.utime(token.name, (time.time(), ends), dir_fd=self.fd, follow_symlinks=False)


class MissingStore(TokenStore):
    """Stands for a store that is not there yet, in check mode on a bare host."""

    def __init__(self, path: str) -> None:
        super().__init__(path, -1)

    def look(self, name: str) -> t.Optional[Token]:
        return None

    def count_empty(self, names: t.Collection[str]) -> t.Tuple[int, t.List[str], t.List[str]]:
        return 0, [], list(names)

    def names(self) -> t.Iterator[str]:
        return iter(())

    def like(self, starts: t.Iterable[str]) -> t.Iterator[t.Tuple[str, str]]:
        return iter(())

    def owed(self) -> t.List[Owed]:
        return []

    def _entries(self, problems: t.Optional[t.List[str]] = None) -> t.Iterator[t.Tuple[str, os.stat_result]]:
        return iter(())


def _kind(mode: int) -> str:
    for test, kind in _KINDS:
        if test(mode):
            return kind
    return "file"


def check_path(path: str) -> str:
    """Return the path in its plain form. A slash at its end would make the kernel follow a link."""
    if not os.path.isabs(path):
        raise StoreError(f"path must be absolute, not {path!r}")
    if ".." in path.split("/"):
        raise StoreError(f"path must not contain '..': {path!r}")
    return "/" + os.path.normpath(path).lstrip("/")


@contextlib.contextmanager
def open_store(
    path: str, write: bool = True, missing_ok: bool = False, wait: float = LOCK_WAIT
) -> t.Iterator[TokenStore]:
    """Open a store; for writing, alone (others wait) and cleared of what a killed run left."""
    path = check_path(path)
    try:
        fd = files.open_folder(path)
    except FileNotFoundError:
        if missing_ok:
            yield MissingStore(path)
            return
        raise StoreError(f"{path} does not exist: the role wssgate.nginx.token_store creates it") from None
    except files.FileError:
        raise StoreError(f"{path} is a symlink, which is never followed: give the directory itself") from None
    except NotADirectoryError:
        raise StoreError(f"{path} is not a directory") from None
    except OSError as error:
        raise StoreError(f"cannot open {path}: {reason(error)}") from None
    try:
        store = TokenStore(path, fd)
        with contextlib.ExitStack() as stack:
            if write:
                stack.enter_context(hold(fd, path, wait=wait))
                try:
                    store.clean()
                except StoreError as error:
                    # Tokens can be removed all the same. Whoever writes some clears it again, and fails.
                    store.leftover = str(error)
            yield store
    finally:
        os.close(fd)
