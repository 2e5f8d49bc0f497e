# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the token store to what the records of the hub say, and nothing else of it.

- An issue becomes a file, once all that may have revoked it has been read. A file of that name that the hub knows
  nothing of is left as it is.
- A file that one issuer's issue has made is not replaced by an issue of another one while it lasts. That names an id of
  before where it counts.
- A token that the hub has adopted is what the hub says, whatever file of that name is there.
- What is revoked has no file, whoever made it.
- A token of the hub whose file somebody has removed is lost: it is to be revoked on all gates.
"""

from __future__ import annotations

import collections
import time
import typing as t

from .._hub.merge import Merge, beginning_with
from .._hub.records import OPERATE, Id, Issue
from .._tokens.record import (
    CORRUPT,
    LAST_SECOND,
    MANAGED,
    Attributes,
    Draft,
    StoreError,
    Token,
    document_of,
    full_fingerprint,
)
from .._tokens.store import TokenStore
from .duty import Gate


# What is no token's file, though it has a token's name
NO_FILE = Token("", "", None, None, None, 0, 0, 0, 0.0)


class HubStore:
    """The store of a gate beside the records of the hub."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        # Tokens that have, or had, a file of the hub's. Without a file they are lost.
        self.written: t.Set[str] = set()
        # Tokens that this agent itself has removed, because by its clock their end had come
        self.ended: t.Set[str] = set()
        # Fingerprints that are about to be revoked on all gates, because their files were removed here
        self.pending: t.Set[str] = set()
        # How far a former agent had come with this very store
        self.before: t.Mapping[str, Id] = {}
        # Issues that are not done, because a file of the name is there
        self.foreign: t.Set[str] = set()
        # Seconds by which this gate's clock seemed ahead of the hub's, with what the last answers took on their way
        self._ahead: t.Deque[float] = collections.deque([0.0], 5)

    def note_clock(self, now: int) -> None:
        """Take note of the hub's clock, in milliseconds, by which a cut-off goes and a token that was made here not."""
        self._ahead.append(time.time() - now / 1000)

    def bar_tokens(self, store: TokenStore, merge: Merge, tokens: t.Iterable[str]) -> None:
        """Take those of these tokens out of the store that may not be there."""
        self.take_out(store, [token for token in dict.fromkeys(tokens) if self._is_barred(token, merge)], merge)

    def apply(self, store: TokenStore, merge: Merge, tokens: t.Iterable[str]) -> t.Set[str]:
        """Bring these tokens to what they should be; return those that are lost. The store is open for writing."""
        drafts: t.List[Draft] = []
        barred: t.List[str] = []
        lost: t.Set[str] = set()
        now = time.time() * 1000
        for token in dict.fromkeys(tokens):
            self.foreign.discard(token)
            issue = merge.issue_of(token)
            if self._is_barred(token, merge):
                barred.append(token)
            elif issue is not None and (issue.ends is None or issue.ends > now):
                found = self._look(store, token)
                if found is None:
                    if self._was_written(issue):
                        lost.add(token)
                    else:
                        drafts.append(Draft(token, _document(issue)))
                elif found is not NO_FILE and (_is_of(found, issue) or _is_kept(found, issue, merge)):
                    self.written.add(token)
                else:
                    self._correct(found, issue, merge, drafts)
        self.take_out(store, barred, merge)
        if drafts:
            store.write(drafts, Attributes())
            self.written.update(draft.name for draft in drafts)
        return lost

    def _is_barred(self, token: str, merge: Merge) -> bool:
        return merge.is_barred(token) or (bool(self.pending) and full_fingerprint(token) in self.pending)

    def _look(self, store: TokenStore, token: str) -> t.Optional[Token]:
        try:
            return store.look(token)
        except StoreError as error:
            # A link or a folder of that name. It must not be in the way of all other tokens.
            self._gate.note("hub store", str(error))
            return NO_FILE

    def _was_written(self, issue: Issue) -> bool:
        """Whether a file was there: by this agent, or by a former one that had come past the issue."""
        if issue.token in self.written:
            return True
        return issue.token not in self.ended and issue.id <= self.before.get(issue.stream, (-1, 0))

    def _correct(self, found: Token, issue: Issue, merge: Merge, drafts: t.List[Draft]) -> None:
        """The issue that counts may be another one than before. A file that no issue has made is somebody else's."""
        is_adopted = issue.issued is not None and found is not NO_FILE and found.form != CORRUPT
        if is_adopted or any(_is_of(found, one) for one in merge.issues_of(issue.token)):
            drafts.append(Draft(issue.token, _document(issue), found))
        else:
            self.foreign.add(issue.token)

    def take_out(self, store: TokenStore, tokens: t.Sequence[str], merge: t.Optional[Merge] = None) -> None:
        """Take tokens out of the store, those that are there. With the merge: by what the hub has of them."""
        there = []
        for token in tokens:
            self.written.discard(token)
            found = self._look(store, token)
            if found is None or found is NO_FILE:
                continue
            if merge is not None and self._is_no_issuers(found, token, merge):
                self.foreign.add(token)
            else:
                there.append(token)
        if there:
            gone = self._gate.take_back(store, there)
            if gone.problem():
                raise StoreError(gone.problem())

    def _is_no_issuers(self, found: Token, token: str, merge: Merge) -> bool:
        """Whether nothing but issuers' issues of a token were taken back, and its file is of none of them.

        Else an issuer could have a token removed that was made by hand: it issues that, too, and has its own taken back
        by an id that is ahead of the hub's clock.
        """
        if full_fingerprint(token) in self.pending or merge.is_named(token):
            return False
        return all(one.stream != OPERATE and not _is_of(found, one) for one in merge.issues_of(token))

    def bar_named(self, store: TokenStore, merge: Merge, fingerprints: t.AbstractSet[str]) -> None:
        """Take tokens out of the store of which nothing but the fingerprint, or its first digits, is known."""
        is_named = beginning_with(fingerprints)
        self.take_out(
            store,
            [name for name in store.names() if is_named(full_fingerprint(name)) and self._is_barred(name, merge)],
        )

    def bar_all(self, store: TokenStore, merge: Merge) -> None:
        """Look at every name in the store."""
        self.take_out(store, [name for name in store.names() if self._is_barred(name, merge)], merge)

    def bar_subjects(self, store: TokenStore, merge: Merge, subjects: t.Optional[t.Container[str]] = None) -> None:
        """Take tokens out of the store that were made on this gate and whose subject is cut off; None for all."""
        found = []
        ahead = max(0, int(min(self._ahead)))
        for name in store.names():
            if merge.issue_of(name) is None:
                token = self._look(store, name)
                if token is None or token.form != MANAGED or token.subject is None:
                    continue
                at = None if token.issued_at is None else token.issued_at - ahead
                if (subjects is None or token.subject in subjects) and merge.is_cut_off(token.subject, at):
                    found.append(name)
        self.take_out(store, found)


def _is_kept(found: Token, issue: Issue, merge: Merge) -> bool:
    """Whether a file is that of another issuer's issue than the one that counts by its id, and lasts."""
    return issue.stream != OPERATE and any(
        one.stream != issue.stream and _is_of(found, one) and not merge.is_taken_back(one)
        for one in merge.issues_of(issue.token)
    )


def _expires_at(issue: Issue) -> t.Optional[int]:
    return None if issue.ends is None else min(-(-issue.ends // 1000), LAST_SECOND)


def _document(issue: Issue) -> t.Dict[str, t.Any]:
    return document_of(issue.subject, min(issue.issued or issue.id[0] // 1000, LAST_SECOND), _expires_at(issue))


def _is_of(token: Token, issue: Issue) -> bool:
    """Whether a file is that of an issue. One that was adopted is as it was made, perhaps by hand."""
    if issue.issued is not None and token.form != CORRUPT:
        return (token.subject, token.expires_at) == (issue.subject, _expires_at(issue))
    return token.form == MANAGED and (token.subject, token.issued_at, token.expires_at) == (
        issue.subject,
        min(issue.id[0] // 1000, LAST_SECOND),
        _expires_at(issue),
    )
