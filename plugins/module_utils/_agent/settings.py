# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent of a gate is told."""

from __future__ import annotations

import typing as t

from .._hub.settings import Settings as Hub
from .._sessions.log import LOG_LIMIT
from .notify_settings import STATE, Notify


class Metrics(t.NamedTuple):
    """Where the agent writes what it counts, and the nginx that it looks at for that."""

    path: str
    main_file: str = "/etc/nginx/nginx.conf"
    binary: str = "/usr/sbin/nginx"
    pid_file: str = "/run/nginx.pid"
    # The file that is there while the gate is drained
    drain_file: str = "/etc/nginx/wssgate.drain"


class Settings(t.NamedTuple):
    """What the agent of a gate is about."""

    store: str
    session_log: str = ""
    log_limit: int = LOG_LIMIT
    # Whether a token's file that is removed otherwise than by wss_token ends its sessions.
    end_on_removal: bool = True
    # For what cannot be found out again: which sessions outlived their token before the agent came.
    state: str = STATE
    # What was taken back of signed tokens. Empty means that nobody looks.
    revocations: str = ""
    # The application that is told before sessions are ended
    notify: t.Optional[Notify] = None
    # The rules for signed tokens, which name key sets that are fetched
    key_sets: str = ""
    # The hub that is followed
    hub: t.Optional[Hub] = None
    # What is counted is written there, where there is something
    metrics: t.Optional[Metrics] = None
