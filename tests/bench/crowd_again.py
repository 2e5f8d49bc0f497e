# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a crowd meets after all have come back: a drain by the agent, and a herd at a gate with other settings."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lib import usage

from .crowd_watch import Peak, percentiles, spread

if TYPE_CHECKING:
    from .crowd import Bench

DRAIN_RATE = 500.0
DRAIN_SECONDS = 3600
#: Handshakes a second that one address gets, of those that part `limits` tries
ATTEMPTS = 100


def drain(bench: Bench) -> None:
    """The agent ends all sessions, as playbook drain has it do with `drain_rate`, while those that are left go on."""
    from ansible_collections.wssgate.nginx.plugins.module_utils._agent import orders
    from ansible_collections.wssgate.nginx.plugins.module_utils._sessions.selection import Selection

    opened = bench.state()[0]
    bench.take()
    mark = bench.gate.etc / "wssgate.drain"
    mark.touch()
    cpu, begin = usage.cpu_seconds([bench.agent.pid]), time.monotonic()
    bench.echo_on()
    order = orders.Order(
        "drain", Selection(), rate=DRAIN_RATE, cause=orders.DRAINED, expires=time.time() + DRAIN_SECONDS,
        while_path=str(mark), while_file=orders.identity_of(str(mark)),
    )  # fmt: skip
    orders.place(str(bench.gate.root / "state"), order)
    bench.wait_closed(opened)
    bench.echo_off()
    _times, echoes, closed, _failed = bench.take()
    mark.unlink()
    seconds = Counter(int(moment - begin) for moment in closed)
    whole = sorted(count for second, count in seconds.items() if 0 < second < max(seconds))
    bench.found["drain"] = {
        "sessions": opened, "rate": DRAIN_RATE, "first_s": round(min(closed) - begin, 2),
        "last_s": round(max(closed) - begin, 2), "a_second": round(opened / (max(closed) - min(closed))),
        "least_a_second": whole[0] if whole else 0, "most_a_second": whole[-1] if whole else 0,
        "agent_cpu_s": round(usage.cpu_seconds([bench.agent.pid]) - cpu, 2),
        "echo": {"messages": len(echoes)} | percentiles(echoes),
    }  # fmt: skip
    bench.say(f"drain: {json.dumps(bench.found['drain'])}")


def limits(bench: Bench) -> None:
    """A tenth of all comes at once: at the gate as it is, with a limit of attempts, and with a socket each worker."""
    found = bench.found["limits"] = {"as it is": _small_herd(bench)}
    found[f"`max_attempts_per_second: {ATTEMPTS}`"] = _small_herd(bench, max_attempts_per_second=ATTEMPTS)
    found["`reuseport`, which the role does not have"] = _with_reuseport(bench)


def _small_herd(bench: Bench, **options: Any) -> dict[str, Any]:
    if options:
        bench.gate.variables["wss_proxy_servers"][0]["locations"][0] |= options
        bench.gate.apply()
    try:
        return _come(bench)
    finally:
        if options:
            for name in options:
                bench.gate.variables["wss_proxy_servers"][0]["locations"][0].pop(name)
            bench.gate.apply()


def _with_reuseport(bench: Bench) -> dict[str, Any]:
    texts = bench.gate.configuration()
    for name, text in texts.items():
        with_it = text.replace(" ssl;", " ssl reuseport;", 1) if "listen 127.0.0.1:" in text else text
        (bench.gate.etc / name).write_text(with_it)
    # Each worker has the sockets of all.
    bench.quiet += bench.plan.workers
    try:
        bench.gate.reload()
        return _come(bench)
    finally:
        bench.quiet -= bench.plan.workers
        for name, text in texts.items():
            (bench.gate.etc / name).write_text(text)
        bench.gate.reload()


def _come(bench: Bench) -> dict[str, Any]:
    count = max(2, bench.plan.sessions // 10)
    bench.leave()
    bench.take()
    workers = bench.gate.workers()
    most_before = spread(workers)
    begin = time.monotonic()
    with Peak(bench.nginx_mib) as peak:
        bench.open(range(count), count)
        bench.wait_open(count)
    took = time.monotonic() - begin
    times, _echoes, _closed, failed = bench.take()
    even = spread(workers)
    with suppress(KeyError):
        even = {name: even[name] - most_before["least"] for name in even}
    found = {
        "sessions": count, "all_s": round(took, 1), "a_second": round(count / took), "failed": failed,
        "most_mib": peak.most, "spread": even, **percentiles(times),
    }  # fmt: skip
    bench.say(f"limits: {json.dumps(found)}")
    bench.leave()
    return found
