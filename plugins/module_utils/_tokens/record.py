# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a token's file says: its fields, its times, and how it is named in messages.

No message holds a token: it is told by its fingerprint. Needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t

from .._host.error import HostError
from .pattern import TOKEN_PATTERN

TOUCHED = "touched"
MANAGED = "managed"
CORRUPT = "corrupt"
# What a look at no more than its time tells of one that was not touched: whether it ends
EXPIRING, PERMANENT = "expiring", "permanent"

FINGERPRINT_LENGTH = 12
HEAD_DIGITS = 8  # those that every fingerprint in a request has
DEFAULT_MODE = 0o600  # nginx only asks whether the name is a file, which needs no right on the file itself
NO_EXPIRY_MTIME = 2**31 - 1  # the last time that every file system can hold; such a token is never due
DOCUMENT_LIMIT = 65536
FAILURES_TOLD = 10
# Seconds that a removed token stays in it at least. A worker that found the file just before it was removed may be held
# up before it logs the session; the pruner looks again until then.
SECOND_LOOK = 30
LAST_SECOND = 253402300799  # the end of the year 9999, beyond which neither file systems nor libraries can tell a time

# As this collection writes it, which is most of a store. json takes several times as long.
_PLAIN_DOCUMENT = re.compile(
    rb'{"subject":(?:null|"([ !#-\[\]-~]*)"),'
    rb'"issued_at":(?:null|([0-9]{1,11})),"expires_at":(?:null|([0-9]{1,11}))}\n?\Z'
)
_TOKEN = re.compile(TOKEN_PATTERN + r"\Z")


class StoreError(HostError):
    """What is wrong with the store; never holds a token."""


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


def names_with_heads(names: t.Iterable[str], heads: t.Container[bytes]) -> t.Iterator[str]:
    """Those of many names whose fingerprint begins with one of these, each the bytes of HEAD_DIGITS digits.

    Of a million names each call and each digit counts, so nothing is called but what makes the digest.
    """
    sha256, size = hashlib.sha256, HEAD_DIGITS // 2
    for name in names:
        if sha256(name.encode("utf-8", "surrogateescape")).digest()[:size] in heads:
            yield name


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
    plain = _PLAIN_DOCUMENT.match(data)
    if plain is not None:
        return _plain_document(*plain.groups())
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


def _plain_document(
    subject: t.Optional[bytes], issued_at: t.Optional[bytes], expires_at: t.Optional[bytes]
) -> t.Optional[t.Dict[str, t.Any]]:
    for number in (issued_at, expires_at):
        if number is not None and len(number) > 1 and number.startswith(b"0"):
            return None  # no number in JSON
    return {
        "subject": None if subject is None else subject.decode("ascii"),
        "issued_at": None if issued_at is None else int(issued_at),
        "expires_at": None if expires_at is None else int(expires_at),
    }


def _bounded(moment: t.Optional[int]) -> t.Optional[int]:
    """A time that everything can handle: 10**19 is an error of whoever wrote the file, and an integer all the same."""
    return None if moment is None else max(0, min(moment, LAST_SECOND))
