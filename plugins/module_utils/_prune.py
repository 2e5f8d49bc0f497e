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

from ._sessions import LOG_LIMIT, Ended, Wanted, end_sessions, shorten
from ._token_store import StoreError, Token, open_store

IDENTITY = "wssgate-token-prune"
FINGERPRINTS_AT_MOST = 20
FAILED = "failed: "


class Pruned(t.NamedTuple):
    removed: t.Sequence[Token]
    quarantined: t.Sequence[Token]
    sessions: Ended
    log: str

    @property
    def is_failure(self) -> bool:
        return bool(self.sessions.reason) or self.log.startswith(FAILED)

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
            lines.append("open sessions could not be ended: %s" % self.sessions.reason)
        if self.log in ("full of open sessions", "kept") or self.log.startswith(FAILED):
            lines.append("the session log cannot be shortened: %s" % self.log)
        return lines


def _fingerprints(tokens: t.Sequence[Token]) -> str:
    words = [token.fingerprint for token in tokens[:FINGERPRINTS_AT_MOST]]
    if len(tokens) > len(words):
        words.append("and %d more" % (len(tokens) - len(words)))
    return " ".join(words)


def prune(path: str, session_log: str, limit: int = LOG_LIMIT, now: t.Optional[float] = None) -> Pruned:
    with open_store(path) as store:
        removed, quarantined = store.due(time.time() if now is None else now)
        store.remove([token.name for token in removed])
        store.quarantine([token.name for token in quarantined])
    sessions = Ended()
    log = "off"
    if session_log:
        sessions = end_sessions(session_log, Wanted(token.name for token in (*removed, *quarantined)))
        try:
            log = shorten(session_log, limit)
        except StoreError as error:
            log = FAILED + str(error)
    return Pruned(removed, quarantined, sessions, log)


def _once(arguments: argparse.Namespace, say: t.Callable[[str], None]) -> bool:
    try:
        pruned = prune(arguments.store, arguments.session_log, arguments.log_limit)
    except StoreError as error:
        say(str(error))
        return False
    except OSError as error:
        # Its text would name a file, and a file's name is a token.
        say("unexpected operating system error %s" % error.errno)
        return False
    for line in pruned.words():
        say(line)
    return not pruned.is_failure


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
    good = _once(arguments, say)
    turn = 1
    # cron knows minutes only: one call of it does the turns of a minute.
    while arguments.every > 0 and turn * arguments.every < arguments.span:
        time.sleep(max(0.0, started + turn * arguments.every - time.monotonic()))
        good = _once(arguments, say) and good
        turn += 1
    return 0 if good else 1
