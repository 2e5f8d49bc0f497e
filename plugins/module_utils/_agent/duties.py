# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's duties beside the tokens' ends, in the order in which they take turns. A new one is a file and a line."""

from __future__ import annotations

import typing as t

from .asking import Asking
from .duty import Duty, Gate
from .key_set_duty import KeySets
from .lifetime import Lifetimes
from .log_watch import LogWatch
from .order_duty import Orders
from .revocations import Revoked
from .settings import Settings


def duties_of(gate: Gate, settings: Settings, asking: Asking, log: t.Optional[LogWatch]) -> t.List[Duty]:
    """Make all duties of an agent."""
    found: t.List[Duty] = [Lifetimes(gate, asking.grace), Orders(gate, settings, log)]
    if settings.revocations:
        found.append(Revoked(gate, settings.revocations))
    if settings.key_sets:
        found.append(KeySets(gate, settings.key_sets, settings.state))
    found += asking.duties
    if settings.hub is not None:
        # Only here: with TLS and threads it takes some MiB.
        from .hub import FollowHub

        found.append(FollowHub(gate, settings.hub, settings.store, settings.state, revocations=settings.revocations))
    if settings.metrics is not None:
        # Only here: with what reads nginx's configuration and certificates it takes some 20 MiB.
        from .metrics import WriteMetrics

        found.append(WriteMetrics(gate, settings, settings.metrics, asking, log, tuple(found)))
    return found
