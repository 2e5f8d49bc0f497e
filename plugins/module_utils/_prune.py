# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pruner: removes tokens whose end has passed and ends their sessions.

It runs on the host without Ansible, from a copy of these files that wss_token_pruner put there.
"""

from __future__ import annotations

import argparse
import sys
import syslog
import time
import typing as t

from ._sessions import LOG_LIMIT, SETTLE, Ended, Wanted, end_sessions, shorten
from ._token_store import Owed, StoreError, Token, TokenStore, open_store

IDENTITY = "wssgate-token-prune"
FINGERPRINTS_AT_MOST = 20
PROBLEMS_AT_MOST = 20
# Exit codes. A pruner that ran and could not do all of it differs from one that cannot work.
DONE, CANNOT_WORK, LEFT_SOMETHING = 0, 1, 3


class Pruned(t.NamedTuple):
    removed: t.Sequence[Token]
    quarantined: t.Sequence[Token]
    sessions: Ended
    log: str
    problems: t.Sequence[str] = ()

    @property
    def is_failure(self) -> bool:
        return bool(self.sessions.reason or self.problems)

    def words(self) -> t.List[str]:
        """One line for the journal about each thing that happened; none when nothing did."""
        lines = []
        if self.removed:
            lines.append("removed %d expired: %s" % (len(self.removed), _fingerprints(self.removed)))
        if self.quarantined:
            lines.append(
                "set aside %d without readable JSON: %s" % (len(self.quarantined), _fingerprints(self.quarantined))
            )
        if self.sessions.found:
            lines.append("ended %d of %d open sessions" % (self.sessions.ended, self.sessions.found))
        if self.sessions.reason:
            lines.append(
                "%s could not be ended and are tried again at the next run: %s"
                % (
                    "%d open sessions" % self.sessions.remaining if self.sessions.remaining else "open sessions",
                    self.sessions.reason,
                )
            )
        lines += self.problems[:PROBLEMS_AT_MOST]
        if len(self.problems) > PROBLEMS_AT_MOST:
            lines.append("and %d more problems" % (len(self.problems) - PROBLEMS_AT_MOST))
        if self.log in ("full of open sessions", "kept"):
            lines.append("the session log cannot be shortened: %s" % self.log)
        return lines


def _fingerprints(tokens: t.Sequence[Token]) -> str:
    words = [token.fingerprint for token in tokens[:FINGERPRINTS_AT_MOST]]
    if len(tokens) > len(words):
        words.append("and %d more" % (len(tokens) - len(words)))
    return " ".join(words)


def prune(path: str, session_log: str, limit: int = LOG_LIMIT, now: t.Optional[float] = None) -> Pruned:
    """Remove what is due and end its sessions. Whatever fails for one token, the others go."""
    moment = time.time() if now is None else now
    problems: t.List[str] = []
    with open_store(path) as store:
        expired, corrupt = store.due(moment, problems)
        gone = store.take_away([token.name for token in expired], owed=bool(session_log))
        aside = store.quarantine([token.name for token in corrupt], owed=bool(session_log))
        for problem in (gone.problem(), aside.problem()):
            if problem:
                problems.append(problem)
        owed = _owed(store, problems)
    sessions = Ended()
    log = "off"
    if session_log:
        # Those that could not be removed, too: their time is over.
        names = [token.name for token in (*expired, *corrupt)]
        sessions = end_sessions(session_log, wanted_of(owed, names))
        problems += settle(path, owed, sessions)
        log = shorten(session_log, limit)
    removed, quarantined = set(gone.removed), set(aside.removed)
    return Pruned(
        [token for token in expired if token.name in removed],
        [token for token in corrupt if token.name in quarantined],
        sessions,
        log,
        problems,
    )


def _owed(store: TokenStore, problems: t.List[str]) -> t.List[Owed]:
    try:
        return store.owed()
    except StoreError as error:
        problems.append(str(error))
        return []


def wanted_of(owed: t.Sequence[Owed], names: t.Iterable[str] = (), fingerprints: t.Iterable[str] = ()) -> Wanted:
    """The sessions of these tokens and of those removed before."""
    whole = {record.name for record in owed if not record.is_token_again}
    whole.update(names)
    # The file system's clock lags some milliseconds behind nginx's.
    again = {record.name: record.removed_at + SETTLE for record in owed if record.is_token_again}
    return Wanted(whole, fingerprints, again)


def settle(path: str, owed: t.Sequence[Owed], sessions: Ended) -> t.List[str]:
    """Forget the removed tokens that have no session left, once a held-up worker has had time to show one."""
    if sessions.tokens is None:
        return []  # nobody knows what is left
    now = time.time()
    over = [record for record in owed if record.name not in sessions.tokens and record.is_settled(now)]
    if not over:
        return []
    try:
        with open_store(path) as store:
            return store.settle(over)
    except StoreError as error:
        return [str(error)]


def _once(arguments: argparse.Namespace, say: t.Callable[[str], None]) -> int:
    try:
        pruned = prune(arguments.store, arguments.session_log, arguments.log_limit)
    except StoreError as error:
        say(str(error))
        return CANNOT_WORK
    except OSError as error:
        # Its text would name a file, and a file's name is a token.
        say("unexpected operating system error %s" % error.errno)
        return CANNOT_WORK
    for line in pruned.words():
        say(line)
    return LEFT_SOMETHING if pruned.is_failure else DONE


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
