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
import ctypes
import errno
import hashlib
import json
import os
import re
import stat
import time
import typing as t

from .._host.locks import LockError, hold
from .pattern import TOKEN_PATTERN

TOUCHED = "touched"
MANAGED = "managed"
CORRUPT = "corrupt"

FINGERPRINT_LENGTH = 12
DEFAULT_MODE = 0o600  # nginx only asks whether the name is a file, which needs no right on the file itself
NO_EXPIRY_MTIME = 2**31 - 1  # the last time that every file system can hold; such a token is never due
DOCUMENT_LIMIT = 65536
QUARANTINE_PREFIX = ".corrupt-"
FAILURES_TOLD = 10
QUARANTINE_GRACE = 10  # seconds: somebody may be writing the file by hand right now
LOCK_WAIT = 60.0
# A directory, not a name prefix: whether a killed run left something is then one look-up, however large the store is.
STAGING = ".wssgate-staging"
# Tokens that were removed and whose sessions may still be open: the token's file, moved here. A directory, too, so that
# a store of any size is as quick to look through as before. Its name is no token's, so nothing in it opens the gate.
ENDED = ".wssgate-ended"
# Seconds that a removed token stays in it at least. A worker that found the file just before it was removed may be held
# up before it logs the session; the pruner looks again until then.
SECOND_LOOK = 30
LAST_SECOND = 253402300799  # the end of the year 9999, beyond which neither file systems nor libraries can tell a time
# From here on one listing of the store is cheaper than asking for each name, of which most may be new.
LIST_FROM = 1000
# Up to here one fsync a file is cheaper than asking the whole file system to write itself out.
FSYNC_EACH = 8

_TOKEN = re.compile(TOKEN_PATTERN + r"\Z")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "fifo"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISBLK, "block device"),
    (stat.S_ISCHR, "character device"),
)


class StoreError(Exception):
    """A failure told in words for a person; never holds a token."""


class Attributes(t.NamedTuple):
    """Owner, group and mode of token files; None leaves what is there."""

    uid: t.Optional[int] = None
    gid: t.Optional[int] = None
    mode: t.Optional[int] = None


class Token(t.NamedTuple):
    """A regular file of the store whose name is a token."""

    name: str
    form: str
    subject: t.Optional[str]
    issued_at: t.Optional[int]
    expires_at: t.Optional[int]
    uid: int
    gid: int
    mode: int
    changed_at: float

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.name)

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def is_valid(self, now: float) -> bool:
        return self.form != CORRUPT and not self.is_expired(now)

    def differs(self, wanted: Attributes) -> bool:
        return (
            (wanted.uid is not None and wanted.uid != self.uid)
            or (wanted.gid is not None and wanted.gid != self.gid)
            or (wanted.mode is not None and wanted.mode != self.mode)
        )


class Owed(t.NamedTuple):
    """A token that was removed, while sessions of it may still be open."""

    name: str
    removed_at: float
    identity: t.Tuple[int, int]  # inode and change time: another removal of the same name is another record
    is_token_again: bool  # issued anew since: sessions begun after the removal are of the new one

    def is_settled(self, now: float) -> bool:
        # Either way: a clock that was put back must not make the record permanent.
        return abs(now - self.removed_at) >= SECOND_LOOK


class Gone:
    """What became of tokens that were to be taken out of the store."""

    def __init__(self, action: str, total: int) -> None:
        self.action = action
        self.total = total
        self.removed: t.List[str] = []
        self.failed: t.Dict[str, str] = {}  # token: reason
        self.unsynced = ""

    def problem(self) -> str:
        """All failures in one line; empty where there was none."""
        if not self.failed:
            return self.unsynced
        some = [f"{fingerprint(name)}: {reason}" for name, reason in self.failed.items()][:FAILURES_TOLD]
        more = len(self.failed) - len(some)
        rest = f" and {more} more" if more else ""
        others = "it still opens" if len(self.failed) == 1 else "the others still open"
        return (
            f"cannot {self.action} token {', '.join(some)}{rest}; {len(self.removed)} of {self.total} were removed, "
            f"and {others} the gate"
        )


class Foreign(t.NamedTuple):
    """Something in the store that is not a token's file.

    A name may hold a token (C(TOKEN.bak)), so it is told by fingerprint and inode.
    """

    fingerprint: str
    kind: str
    inode: int

    def as_dict(self) -> t.Dict[str, t.Any]:
        return {"fingerprint": self.fingerprint, "kind": self.kind, "inode": self.inode}


class Draft(t.NamedTuple):
    """A token file to be written; without a document it is an empty one."""

    name: str
    document: t.Optional[t.Dict[str, t.Any]]
    replaces: t.Optional[Token] = None


def full_fingerprint(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()


def fingerprint(name: str) -> str:
    return full_fingerprint(name)[:FINGERPRINT_LENGTH]


def is_token(name: str) -> bool:
    return _TOKEN.match(name) is not None


def why_not_a_token(value: str) -> str:
    """Say what is wrong with a value without repeating any of it."""
    if len(value) < 16:
        return f"it has {len(value)} character{'' if len(value) == 1 else 's'}, at least 16 are needed"
    if len(value) > 128:
        return f"it has {len(value)} characters, at most 128 are allowed"
    return "it holds a character other than A-Z, a-z, 0-9, '_' and '-'"


def document_of(subject: t.Optional[str], issued_at: int, expires_at: t.Optional[int]) -> t.Dict[str, t.Any]:
    return {"subject": subject, "issued_at": issued_at, "expires_at": expires_at}


def _is_time(value: t.Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def parse_document(data: bytes) -> t.Optional[t.Dict[str, t.Any]]:
    """Return subject, issued_at and expires_at of a managed file, or None when it is corrupt."""
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    subject = document.get("subject")
    issued_at = document.get("issued_at")
    expires_at = document.get("expires_at")
    if subject is not None and not isinstance(subject, str):
        return None
    if not _is_time(issued_at) or not _is_time(expires_at):
        return None
    try:
        (subject or "").encode("utf-8")
    except UnicodeEncodeError:
        return None  # half a character, escaped: no output could show it
    return document_of(subject, t.cast(int, _bounded(issued_at)), _bounded(expires_at))


def _bounded(moment: t.Optional[int]) -> t.Optional[int]:
    """A time that everything can handle: 10**19 is an error of whoever wrote the file, and an integer all the same."""
    return None if moment is None else max(0, min(moment, LAST_SECOND))


@contextlib.contextmanager
def _telling(action: str, name: t.Optional[str] = None) -> t.Iterator[None]:
    """Turn an OSError, whose text holds the file name, into a StoreError, whose text does not."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0) if error.errno else "unknown error"
        about = "" if name is None else f" token {fingerprint(name)}"
        raise StoreError(f"cannot {action}{about}: {reason}") from None


@contextlib.contextmanager
def _noting(problems: t.Optional[t.List[str]]) -> t.Iterator[None]:
    """With a list, put a StoreError's words into it and go on."""
    try:
        yield
    except StoreError as error:
        if problems is None:
            raise
        problems.append(str(error))


def _identity(found: os.stat_result) -> t.Tuple[int, int]:
    return found.st_ino, found.st_ctime_ns


class TokenStore:
    """An open store. Use :func:`open_store`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    # Looking

    def look(self, name: str) -> t.Optional[Token]:
        """Return the token's file, None when there is none; anything but a regular file is an error."""
        try:
            found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot look at token {fingerprint(name)}: {os.strerror(error.errno or 0)}") from None
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(
                f"token {fingerprint(name)} exists in {self.path} as a {_kind(found.st_mode)}, which is never "
                f"followed and never removed: remove it by hand (inode {found.st_ino})"
            )
        return self._token(name, found)

    def _listed(self) -> t.Set[str]:
        with _telling("list the store"):
            return set(os.listdir(self.fd))

    def count_empty(self, names: t.Collection[str]) -> t.Tuple[int, t.List[str], t.List[str]]:
        """Return how many of the names are empty files, the names of other things and the names that are not there."""
        others: t.List[str] = []
        missing: t.List[str] = []
        count = 0
        fd = self.fd
        there = self._listed() if len(names) >= LIST_FROM else None
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
                raise StoreError(f"cannot look at token {fingerprint(name)}: {os.strerror(error.errno or 0)}") from None
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
        tokens: t.List[Token] = []
        foreign: t.List[Foreign] = []
        for name, found in self._entries(problems):
            if not stat.S_ISREG(found.st_mode):
                foreign.append(Foreign(fingerprint(name), _kind(found.st_mode), found.st_ino))
            elif _TOKEN.match(name) is None:
                kind = "quarantined token" if name.startswith(QUARANTINE_PREFIX) else "foreign name"
                foreign.append(Foreign(fingerprint(name), kind, found.st_ino))
            elif name not in skip:
                token = None
                with _noting(problems):
                    token = self._token(name, found)
                if token is not None:
                    tokens.append(token)
        return tokens, foreign

    def due(self, now: float, problems: t.Optional[t.List[str]] = None) -> t.Tuple[t.List[Token], t.List[Token]]:
        """Return the expired and the corrupt tokens: one stat a file, a read only for what looks due.

        A managed file carries its end as mtime. One written by other means (an
        application's own JSON) gets that mtime here, so that it is read once only.
        A file that cannot be read is an error, or with a list for problems one more line in it.
        """
        expired: t.List[Token] = []
        corrupt: t.List[Token] = []
        for name, found in self._entries(problems):
            if found.st_size == 0 or found.st_mtime > now or not stat.S_ISREG(found.st_mode):
                continue
            if _TOKEN.match(name) is None:
                continue
            token = None
            with _noting(problems):
                token = self._token(name, found)
            if token is None or token.form == TOUCHED:
                continue
            if token.form == CORRUPT:
                if now - token.changed_at >= QUARANTINE_GRACE or token.changed_at > now:
                    corrupt.append(token)
            elif token.is_expired(now):
                expired.append(token)
            else:
                self._mirror_expiry(token)
        return expired, corrupt

    def owed(self) -> t.List[Owed]:
        """Return the removed tokens of which sessions may still be open."""
        try:
            folder = self._open_ended()
        except FileNotFoundError:
            return []
        found = []
        try:
            with _telling(f"list {ENDED}"), os.scandir(folder) as entries:
                for entry in entries:
                    if is_token(entry.name):
                        status = entry.stat(follow_symlinks=False)
                        found.append(Owed(entry.name, status.st_ctime, _identity(status), self._is_there(entry.name)))
        finally:
            os.close(folder)
        return found

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(f"cannot look at token {fingerprint(name)}: {os.strerror(error.errno or 0)}") from None
        return True

    def names(self) -> t.Iterator[str]:
        """The names of what may be tokens, without a look at the files."""
        with _telling("list the store"):
            with os.scandir(self.fd) as entries:
                for entry in entries:
                    if _TOKEN.match(entry.name) is not None:
                        yield entry.name

    def _entries(self, problems: t.Optional[t.List[str]] = None) -> t.Iterator[t.Tuple[str, os.stat_result]]:
        with _telling("list the store"):
            with os.scandir(self.fd) as entries:
                for entry in entries:
                    if entry.name in (STAGING, ENDED):
                        continue
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed by hand since it was listed
                    except OSError as error:
                        with _noting(problems), _telling("look at", entry.name):
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
            # O_NONBLOCK: a fifo put in the file's place since the look must not hang the run.
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read token {fingerprint(name)}: {os.strerror(error.errno or 0)}") from None
        try:
            with _telling("read", name):
                data = os.read(fd, DOCUMENT_LIMIT + 1)
        finally:
            os.close(fd)
        return data if len(data) <= DOCUMENT_LIMIT else b"too long"

    # Changing

    def create(self, names: t.Sequence[str], wanted: Attributes) -> t.List[str]:
        """Create empty token files, all or none; return those that were not there.

        An empty file needs no temporary name: there is no moment at which it is half written.
        """
        made: t.List[str] = []
        mode = DEFAULT_MODE if wanted.mode is None else wanted.mode
        uid = -1 if wanted.uid is None else wanted.uid
        gid = -1 if wanted.gid is None else wanted.gid
        name = ""
        umask = os.umask(0)
        try:
            for name in names:
                try:
                    fd = os.open(name, _NEW_FILE, mode, dir_fd=self.fd)
                except FileExistsError:
                    self.look(name)  # somebody was faster; anything but a file is refused there
                    continue
                made.append(name)
                try:
                    if uid != -1 or gid != -1:
                        found = os.fstat(fd)
                        if (uid not in (-1, found.st_uid)) or (gid not in (-1, found.st_gid)):
                            os.fchown(fd, uid, gid)
                finally:
                    os.close(fd)
        except OSError as error:
            self._undo(made)
            raise StoreError(
                f"cannot create token {fingerprint(name)}: {os.strerror(error.errno or 0)}; nothing was created"
            ) from None
        except StoreError:
            self._undo(made)
            raise
        finally:
            os.umask(umask)
        self._sync_directory()
        return made

    def write(self, drafts: t.Sequence[Draft], wanted: Attributes) -> None:
        """Write token files, all or none: complete under another name, on the disk, and only then renamed.

        They must be on the disk before the rename: after a power loss a file whose data was not
        would come back empty, and an empty file is a token that never ends.
        """
        if not drafts:
            return
        renamed: t.List[Draft] = []
        draft = drafts[0]
        with self._staging() as staging:
            try:
                for number, draft in enumerate(drafts):
                    self._stage(staging, str(number), draft, wanted, sync=len(drafts) <= FSYNC_EACH)
                if len(drafts) > FSYNC_EACH:
                    _sync_file_system(self.fd, staging, len(drafts))
                for number, draft in enumerate(drafts):
                    os.rename(str(number), draft.name, src_dir_fd=staging, dst_dir_fd=self.fd)
                    renamed.append(draft)
            except OSError as error:
                self._undo([done.name for done in renamed if done.replaces is None])
                replaced = sum(1 for done in renamed if done.replaces is not None)
                already = f", {replaced} were already replaced" if replaced else ""
                raise StoreError(
                    f"cannot write token {fingerprint(draft.name)}: {os.strerror(error.errno or 0)}; "
                    f"nothing was created{already}"
                ) from None
        self._sync_directory()

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
                    gone.failed[name] = os.strerror(error.errno or 0)
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
            os.rename(name, name, src_dir_fd=self.fd, dst_dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError:
            return False
        return True

    def _open_ended(self) -> int:
        try:
            return os.open(ENDED, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"cannot open {ENDED} in {self.path}: {os.strerror(error.errno or 0)}") from None

    def _ended_folder(self) -> t.Optional[int]:
        """The folder of removed tokens; None where it cannot be made or opened, which must not keep a token valid."""
        with contextlib.suppress(OSError, StoreError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(ENDED, 0o700, dir_fd=self.fd)
            return self._open_ended()
        return None

    def owe(self, names: t.Iterable[str]) -> t.List[str]:
        """Note that sessions of these tokens may be open; return those for which that could not be written down."""
        failed: t.List[str] = []
        names = list(names)
        folder = self._ended_folder() if names else None
        if folder is None:
            return names
        try:
            for name in names:
                try:
                    with contextlib.suppress(FileExistsError):
                        os.close(os.open(name, _NEW_FILE, DEFAULT_MODE, dir_fd=folder))
                    os.utime(name, None, dir_fd=folder, follow_symlinks=False)
                except OSError:
                    failed.append(name)
            with contextlib.suppress(StoreError):  # the record is there, though perhaps not after a power loss
                self._sync_directory(folder)
                self._sync_directory()
        finally:
            os.close(folder)
        return failed

    def settle(self, records: t.Iterable[Owed]) -> t.List[str]:
        """Forget these, whose sessions are gone; return what went wrong."""
        problems: t.List[str] = []
        try:
            folder = self._open_ended()
        except FileNotFoundError:
            return problems
        try:
            for record in records:
                try:
                    # Removed again since it was listed: then its sessions were not looked for yet.
                    if _identity(os.stat(record.name, dir_fd=folder, follow_symlinks=False)) == record.identity:
                        os.unlink(record.name, dir_fd=folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    problems.append(
                        f"cannot forget removed token {fingerprint(record.name)}: {os.strerror(error.errno or 0)}"
                    )
        finally:
            os.close(folder)
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(ENDED, dir_fd=self.fd)
        return problems

    def quarantine(self, names: t.Sequence[str], owed: bool = False) -> Gone:
        """Take token files out of the gate's sight without losing what they hold."""
        gone = Gone("set aside", len(names))
        if owed and names:
            # Before: a run that is killed in between leaves a token that is found corrupt again.
            self.owe(names)
        for name in names:
            try:
                os.rename(name, self._free_name(QUARANTINE_PREFIX + name), src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except FileNotFoundError:
                continue
            except StoreError as error:
                gone.failed[name] = str(error)
            except OSError as error:
                gone.failed[name] = os.strerror(error.errno or 0)
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
        with _telling("change owner or mode of", token.name):
            fd = os.open(token.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise StoreError(f"token {token.fingerprint} is no longer a file")
                self._apply(fd, wanted)
            finally:
                os.close(fd)

    @staticmethod
    def _apply(fd: int, wanted: Attributes) -> None:
        found = os.fstat(fd)
        uid = -1 if wanted.uid in (None, found.st_uid) else wanted.uid
        gid = -1 if wanted.gid in (None, found.st_gid) else wanted.gid
        if uid != -1 or gid != -1:
            os.fchown(fd, uid, gid)
        if wanted.mode is not None and wanted.mode != stat.S_IMODE(found.st_mode):
            os.fchmod(fd, wanted.mode)

    def _stage(self, staging: int, temporary: str, draft: Draft, wanted: Attributes, sync: bool) -> None:
        old = draft.replaces
        attributes = Attributes(
            uid=wanted.uid if wanted.uid is not None or old is None else old.uid,
            gid=wanted.gid if wanted.gid is not None or old is None else old.gid,
            mode=wanted.mode if wanted.mode is not None else (DEFAULT_MODE if old is None else old.mode),
        )
        fd = os.open(temporary, _NEW_FILE, DEFAULT_MODE, dir_fd=staging)
        try:
            if draft.document is not None:
                data = json.dumps(draft.document, separators=(",", ":")).encode("ascii") + b"\n"
                while data:
                    data = data[os.write(fd, data) :]
                ends = draft.document["expires_at"]
                os.utime(fd, (time.time(), NO_EXPIRY_MTIME if ends is None else ends))
            self._apply(fd, attributes)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _mirror_expiry(self, token: Token) -> None:
        ends = NO_EXPIRY_MTIME if token.expires_at is None else token.expires_at
        # Without the mirror the file is read again next time, nothing worse.
        with contextlib.suppress(OSError):
            os.utime(token.name, (time.time(), ends), dir_fd=self.fd, follow_symlinks=False)

    @contextlib.contextmanager
    def _staging(self) -> t.Iterator[int]:
        self.clean()
        with _telling("prepare the writing of tokens"):
            os.mkdir(STAGING, 0o700, dir_fd=self.fd)
            staging = os.open(STAGING, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            yield staging
        finally:
            os.close(staging)
            self.clean()

    def clean(self) -> int:
        """Remove what a killed run left; return the number of files. Only under the lock."""
        try:
            staging = os.open(STAGING, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(f"cannot open {STAGING} in {self.path}: {os.strerror(error.errno or 0)}") from None
        try:
            with _telling("remove what an earlier run left"):
                names = os.listdir(staging)
                for name in names:
                    os.unlink(name, dir_fd=staging)
                os.rmdir(STAGING, dir_fd=self.fd)
        finally:
            os.close(staging)
        return len(names)

    def _undo(self, names: t.Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.fd)

    def _sync_directory(self, fd: t.Optional[int] = None) -> None:
        """Without it a power loss could bring a revoked token back."""
        try:
            os.fsync(self.fd if fd is None else fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EROFS):
                raise StoreError(f"cannot write the store to the disk: {os.strerror(error.errno or 0)}") from None


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

    def owed(self) -> t.List[Owed]:
        return []

    def _entries(self, problems: t.Optional[t.List[str]] = None) -> t.Iterator[t.Tuple[str, os.stat_result]]:
        return iter(())


def _kind(mode: int) -> str:
    for test, kind in _KINDS:
        if test(mode):
            return kind
    return "file"


def _sync_file_system(fd: int, staging: int, count: int) -> None:
    """Write everything staged to the disk, in one call where the C library has it."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        for number in range(count):
            one = os.open(str(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=staging)
            try:
                os.fsync(one)
            finally:
                os.close(one)
        return
    if syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def check_path(path: str) -> str:
    """Return the path in its plain form. A slash at its end would make the kernel follow a link."""
    if not os.path.isabs(path):
        raise StoreError(f"path must be absolute, not {path!r}")
    if ".." in path.split("/"):
        raise StoreError(f"path must not contain '..': {path!r}")
    return "/" + os.path.normpath(path).lstrip("/")


@contextlib.contextmanager
def _locked(fd: int, path: str, wait: float) -> t.Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(fd, path, wait=wait))
        except LockError as error:
            raise StoreError(str(error)) from None
        yield


@contextlib.contextmanager
def open_store(
    path: str, write: bool = True, missing_ok: bool = False, wait: float = LOCK_WAIT
) -> t.Iterator[TokenStore]:
    """Open a store; for writing, alone (others wait) and cleared of what a killed run left."""
    path = check_path(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        if missing_ok:
            yield MissingStore(path)
            return
        raise StoreError(f"{path} does not exist: the role wssgate.nginx.token_store creates it") from None
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            if os.path.islink(path):
                raise StoreError(f"{path} is a symlink, which is never followed: give the directory itself") from None
            raise StoreError(f"{path} is not a directory") from None
        raise StoreError(f"cannot open {path}: {os.strerror(error.errno or 0)}") from None
    try:
        store = TokenStore(path, fd)
        with contextlib.ExitStack() as stack:
            if write:
                stack.enter_context(_locked(fd, path, wait))
                store.clean()
            yield store
    finally:
        os.close(fd)
