# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a change whose former state was kept: it stays, or what was there before comes back and is live again.

Others than the host itself may have to judge a change, such as the balancers in front of it.
"""

from __future__ import annotations

import os

from .._sessions.protection import prepare
from .error import NginxError, explained
from .files import Exchange, Lock, Operations
from .live import Activator, NotLive, System
from .plan import Settings, check_path
from .process import Finder
from .sockets import Guard, Socket, present
from .syntax import read_tree
from .transaction import Outcome

# A socket that is made again gets its group in the next run; until then it is for its owner alone.
SOCKET_MODE = 0o600


def _check(settings: Settings) -> None:
    if not os.path.isabs(settings.directory):
        raise NginxError(f"directory {settings.directory!r} has to be an absolute path")
    check_path(settings.main_file)


def settle(settings: Settings) -> Outcome:
    """Remove what was kept."""
    _check(settings)
    outcome = Outcome()
    exchange = Exchange(settings.directory, Operations())
    try:
        with Lock(settings.directory):
            outcome.kept = bool(exchange.interrupted())
            if not settings.check:
                exchange.recover()
                outcome.kept = False
    except OSError as error:
        raise NginxError(explained(error)) from error
    return outcome


def put_back(settings: Settings) -> Outcome:
    """Put back what was kept and have nginx run it. Raises NginxError where nothing was."""
    _check(settings)
    try:
        with Lock(settings.directory):
            return _put_back(settings)
    except OSError as error:
        raise NginxError(explained(error)) from error


def _put_back(settings: Settings) -> Outcome:
    operations, system, outcome = Operations(), System(), Outcome()
    exchange = Exchange(settings.directory, operations)
    after = read_tree(settings.main)
    if settings.check:
        return outcome
    if not exchange.take_up():
        raise NginxError(
            f"nothing of what was there before is kept in {settings.directory}: another run has changed it since"
        )
    left = exchange.recover()
    before = read_tree(settings.main)
    for path in before.session_logs:
        prepare(path)
    outcome.reason = "what was there before was put back"
    if left:
        outcome.warnings.append(f"altered by somebody else in the meantime and left: {', '.join(left)}")
    activator = Activator(
        Finder(settings.binary, settings.main, settings.pid_file),
        settings.main,
        settings.service,
        settings.error_log,
        settings.live_timeout,
        system,
        operations,
    )
    running = activator.family().master
    there = present(before.sockets)
    gone = [Socket(path, SOCKET_MODE) for path in before.sockets if path not in {one.path for one in there}]
    try:
        with Guard([*there, *gone]):
            if running:
                outcome.workers = activator.reload(running, after, before)
                outcome.reloaded = True
            else:
                outcome.workers = activator.start(before)
                outcome.started = True
    except NotLive as error:
        raise NginxError(f"what was there before was put back, but did not become live: {error}") from error
    outcome.warnings += activator.warnings
    return outcome
