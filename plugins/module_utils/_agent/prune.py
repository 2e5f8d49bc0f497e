# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pruner: removes tokens whose end has passed and ends their sessions.

It runs on the host without Ansible, from a copy of these files that wss_token_pruner put there.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import syslog
import time
import typing as t

from .._host.error import HostError
from .._revocations import store as revocations
from .._sessions.log import LOG_LIMIT, shorten
from .._sessions.ending import (
    SETTLE,
    Ended,
    Wanted,
)
from .._tokens.record import (
    MANAGED,
    Owed,
    fingerprint,
)
from .._tokens.store import LOCK_WAIT, TokenStore, open_store
from .revoking import end_in_grace, end_void, sessions_before

IDENTITY = "wssgate-token-prune"
FINGERPRINTS_AT_MOST = 20
PROBLEMS_AT_MOST = 20
FAILED = "failed: "
LEFT_LONG = {
    "full of open sessions": "full of open sessions",
    "kept": "its file system, or an attribute (lsattr), does not let lines be taken out of it; move it to another one",
}
# Exit codes. A pruner that ran and could not do all of it differs from one that cannot work.
DONE, CANNOT_WORK, LEFT_SOMETHING = 0, 1, 3


class Named(t.NamedTuple):
    """Tokens to remove although their end has not come."""

    subject: t.Optional[str] = None
    fingerprints: t.Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.subject is not None or bool(self.fingerprints)

    def pick(self, store: TokenStore, problems: t.List[str]) -> t.List[str]:
        if self.subject is not None:
            tokens, _foreign = store.scan(problems=problems)
            return [token.name for token in tokens if token.form == MANAGED and token.subject == self.subject]
        return [name for name, _digest in store.like(self.fingerprints)]


DUE = Named()  # nobody is named: what has expired goes


class Pruned(t.NamedTuple):
    removed: t.Sequence[str]
    quarantined: t.Sequence[str]
    sessions: Ended
    log: str
    problems: t.Sequence[str] = ()
    named: Named = DUE

    @property
    def is_failure(self) -> bool:
        return bool(self.sessions.reason or self.problems) or self.log.startswith(FAILED)

    def words(self) -> t.List[str]:
        """One line for the journal about each thing that happened; none when nothing did."""
        lines = []
        if self.named:
            lines.append(f"removed {len(self.removed)}: {_fingerprints(self.removed)}".rstrip(": "))
        elif self.removed:
            lines.append(f"removed {len(self.removed)} expired: {_fingerprints(self.removed)}")
        if self.quarantined:
            lines.append(f"set aside {len(self.quarantined)} without readable JSON: {_fingerprints(self.quarantined)}")
        if self.sessions.found or self.named:
            lines.append(f"ended {self.sessions.ended} of {self.sessions.found} open sessions")
        if self.sessions.reason:
            some = f"{self.sessions.remaining} open sessions" if self.sessions.remaining else "open sessions"
            lines.append(f"{some} could not be ended and are tried again at the next run: {self.sessions.reason}")
        lines += self.problems[:PROBLEMS_AT_MOST]
        if len(self.problems) > PROBLEMS_AT_MOST:
            lines.append(f"and {len(self.problems) - PROBLEMS_AT_MOST} more problems")
        if self.log in LEFT_LONG or self.log.startswith(FAILED):
            lines.append(f"the session log cannot be shortened: {LEFT_LONG.get(self.log, self.log)}")
        return lines


def _fingerprints(names: t.Sequence[str]) -> str:
    words = [fingerprint(name) for name in names[:FINGERPRINTS_AT_MOST]]
    if len(names) > len(words):
        words.append(f"and {len(names) - len(words)} more")
    return " ".join(words)


def prune(
    path: str, session_log: str, limit: int = LOG_LIMIT, now: t.Optional[float] = None, named: Named = DUE
) -> Pruned:
    """Remove what is due, or what is named, and end its sessions. Whatever fails for one token, the others go."""
    problems: t.List[str] = []
    corrupt: t.List[str] = []
    with open_store(path) as store:
        if store.leftover:
            problems.append(store.leftover)
        if named:
            names = named.pick(store, problems)
        else:
            names, corrupt = _due(store, time.time() if now is None else now, problems)
        before = sessions_before(path, session_log, Wanted((*names, *corrupt), named.fingerprints))
        gone = store.take_away(names, owed=bool(session_log))
        aside = store.quarantine(corrupt, owed=bool(session_log))
        for problem in (gone.problem(), aside.problem()):
            if problem:
                problems.append(problem)
        owed = owed_of(store, problems)
    sessions = Ended()
    log = "off"
    if session_log:
        # Those that could not be removed, too: their time is over.
        wanted = wanted_of(owed, (*names, *corrupt), named.fingerprints)
        sessions = end_in_grace(path, session_log, wanted, {record.name for record in owed}, before=before)
        problems += settle(path, owed, sessions)
        try:
            log = shorten(session_log, limit)
        except HostError as error:
            log = FAILED + str(error)
    return Pruned(gone.removed, aside.removed, sessions, log, problems, named)


def _due(store: TokenStore, now: float, problems: t.List[str]) -> t.Tuple[t.List[str], t.List[str]]:
    expired, corrupt = store.due(now, problems)
    return [token.name for token in expired], [token.name for token in corrupt]


def owed_of(store: TokenStore, problems: t.List[str]) -> t.List[Owed]:
    try:
        return store.owed()
    except HostError as error:
        problems.append(str(error))
        return []


def wanted_of(owed: t.Sequence[Owed], names: t.Iterable[str] = (), fingerprints: t.Iterable[str] = ()) -> Wanted:
    """The sessions of these tokens and of those removed before."""
    whole = {record.name for record in owed if not record.is_token_again}
    whole.update(names)
    # The file system's clock lags some milliseconds behind nginx's.
    again = {record.name: record.removed_at + SETTLE for record in owed if record.is_token_again}
    return Wanted(whole, fingerprints, again)


def settle(path: str, owed: t.Sequence[Owed], sessions: Ended, wait: float = LOCK_WAIT) -> t.List[str]:
    """Forget the removed tokens that have no session left, once a held-up worker has had time to show one."""
    if sessions.tokens is None:
        return []  # nobody knows what is left
    now = time.time()
    over = [record for record in owed if record.name not in sessions.tokens and record.is_settled(now)]
    if not over:
        return []
    try:
        with open_store(path, wait=wait) as store:
            return store.settle(over)
    except HostError as error:
        return [str(error)]


def _once(arguments: argparse.Namespace, say: t.Callable[[str], None]) -> int:
    try:
        pruned = prune(arguments.store, arguments.session_log, arguments.log_limit, named=_named(arguments))
    except HostError as error:
        say(str(error))
        return CANNOT_WORK
    except OSError as error:
        # Its text would name a file, and a file's name is a token.
        say(f"unexpected operating system error {error.errno}")
        return CANNOT_WORK
    for line in pruned.words():
        say(line)
    is_failure = pruned.is_failure
    if arguments.revocations and not pruned.named:
        for line in taken_back(arguments.revocations, arguments.session_log):
            say(line)
            is_failure = is_failure or line.startswith(FAILED)
    return LEFT_SOMETHING if is_failure else DONE


def taken_back(path: str, session_log: str) -> t.List[str]:
    """End the sessions of signed tokens that were taken back, and remove what is over of that; return what to tell."""
    try:
        with revocations.open_revocations(path) as folder:
            ended = end_void(session_log, folder)
        removed = revocations.prune(time.time(), path)
    except revocations.MissingRevocations:
        return []
    except HostError as error:
        return [FAILED + str(error)]
    lines = [f"removed {removed} revocations of signed tokens whose time is over"] if removed else []
    if ended.found:
        lines.append(f"ended {ended.ended} of {ended.found} open sessions of signed tokens that were taken back")
    if ended.reason:
        lines.append(f"{FAILED}sessions of signed tokens that were taken back: {ended.reason}")
    return lines


def _named(arguments: argparse.Namespace) -> Named:
    subject = arguments.subject
    if subject is not None:
        # Whatever the locale took the bytes for.
        subject = os.fsencode(subject).decode("utf-8", "replace")
    return Named(subject, tuple(arguments.fingerprint))


def _fingerprint(word: str) -> str:
    if re.match(r"[0-9a-f]{12,64}\Z", word) is None:
        raise argparse.ArgumentTypeError("12 to 64 digits of 0-9 and a-f are needed")
    return word


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _log(line: str) -> None:
    syslog.syslog(syslog.LOG_NOTICE, line)


def main(words: t.Optional[t.Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog=IDENTITY, description="Remove expired tokens and end their sessions.")
    parser.add_argument("--store", required=True, help="directory of the tokens")
    parser.add_argument("--session-log", default="", help="session log of the gate; without it no session is ended")
    parser.add_argument("--log-limit", type=int, default=LOG_LIMIT, help="size in bytes that the session log may have")
    parser.add_argument("--revocations", default="", help="directory of what was taken back of signed tokens")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--subject", help="remove the tokens of this subject now, instead of those that have expired")
    which.add_argument(
        "--fingerprint",
        action="append",
        default=[],
        type=_fingerprint,
        help="remove the token with this fingerprint now; may be repeated",
    )
    parser.add_argument("--every", type=float, default=0, help="run again after this many seconds")
    parser.add_argument("--for", dest="span", type=float, default=0, help="stop after this many seconds")
    parser.add_argument("--syslog", action="store_true", help="write to syslog, not to standard output")
    arguments = parser.parse_args(words)
    say = _print
    if arguments.syslog:
        syslog.openlog(IDENTITY, syslog.LOG_PID, syslog.LOG_AUTHPRIV)
        say = _log
    started = time.monotonic()
    worst = _once(arguments, say)
    turn = 1
    # cron knows minutes only: one call of it does the turns of a minute.
    while arguments.every > 0 and turn * arguments.every < arguments.span:
        time.sleep(max(0.0, started + turn * arguments.every - time.monotonic()))
        code = _once(arguments, say)
        worst = code if worst == DONE else min(worst, code or worst)
        turn += 1
    return worst
