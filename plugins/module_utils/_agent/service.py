# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as a service: its loop, its signals and what it tells systemd."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import time
import typing as t

from .._host import files, locks
from .._host.error import HostError
from .._host.systemd import notify, watchdog_interval
from .._hub import settings as hub_settings
from .._sessions.log import LOG_LIMIT
from . import notify_settings
from .agent import Agent
from .settings import Metrics, Settings

IDENTITY = "wssgate-agent"
STATUS_EVERY = 1.0
PING_EVERY = 1.0


class Pinger:
    """Reports to systemd's watchdog that a turn goes on: one over a large store on a slow disk may last for minutes."""

    def __init__(self) -> None:
        self._pinged_at = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._pinged_at >= PING_EVERY:
            self._pinged_at = now
            notify("WATCHDOG=1")


def serve(agent: Agent, is_stopped: t.Callable[[], bool], wake: int, is_supervised: bool = False) -> None:
    """Run the agent until it is to stop; ``wake`` is a descriptor that becomes readable then."""
    interval = watchdog_interval()
    told, told_at = "", 0.0
    agent.turn()
    notify("READY=1", f"STATUS={agent.status()}")
    # Until then its time is that of the start.
    if interval is not None:
        agent.ping = Pinger()
    while not is_stopped():
        pause = agent.turn()
        if agent.has_another_store and is_supervised:
            # What the unit may write to was settled when it started: by the folder that was there then.
            agent.say("another folder is the store now: starting anew")
            break
        now = time.monotonic()
        status = agent.status()
        if status != told:
            if now - told_at >= STATUS_EVERY:
                notify(f"STATUS={status}")
                told, told_at = status, now
            else:
                # Nothing else may happen for minutes: what is told is not to be the past until then.
                pause = min(pause, told_at + STATUS_EVERY - now)
        if interval is not None:
            notify("WATCHDOG=1")
            pause = min(pause, interval / 3)
        ready, _write, _error = select.select([wake, *agent.descriptors()], [], [], min(pause, 3600.0))
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 512)
    notify("STOPPING=1")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(words: t.Optional[t.Sequence[str]] = None) -> int:
    """Run the agent of a gate until SIGTERM; 1 when it cannot begin."""
    parser = argparse.ArgumentParser(prog=IDENTITY, description="End every token and every session when it should end.")
    parser.add_argument("--store", required=True, help="directory of the tokens")
    parser.add_argument("--session-log", default="", help="session log of the gate; without it no session is ended")
    parser.add_argument("--log-limit", type=int, default=LOG_LIMIT, help="size in bytes that the session log may have")
    parser.add_argument(
        "--keep-on-removal", action="store_true", help="leave sessions open whose token's file somebody removed"
    )
    parser.add_argument("--revocations", default="", help="directory of what was taken back of signed tokens")
    parser.add_argument(
        "--state", default=Settings._field_defaults["state"], help="directory of what the agent has to keep"
    )
    parser.add_argument("--key-sets", default="", help="rules for signed tokens that name key sets to fetch")
    parser.add_argument("--metrics", default="", help="file that gets what is counted, in Prometheus's text format")
    nginx = Metrics("")
    parser.add_argument("--nginx-main", default=nginx.main_file, help="main file of the nginx that metrics are about")
    parser.add_argument("--nginx-binary", default=nginx.binary, help="its program")
    parser.add_argument("--nginx-pid", default=nginx.pid_file, help="file with the number of its master")
    parser.add_argument("--drain-file", default=nginx.drain_file, help="file that is there while the gate is drained")
    arguments = parser.parse_args(words)
    settings = Settings(
        arguments.store,
        arguments.session_log,
        arguments.log_limit,
        not arguments.keep_on_removal,
        arguments.state,
        arguments.revocations,
        key_sets=arguments.key_sets,
    )
    if arguments.metrics:
        nginx = Metrics(
            arguments.metrics,
            arguments.nginx_main,
            arguments.nginx_binary,
            arguments.nginx_pid,
            arguments.drain_file,
        )
        settings = settings._replace(metrics=nginx)
    stopped: t.List[int] = []
    wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    try:
        place = files.open_folder(settings.state)
    except (OSError, HostError) as error:
        _print(f"{settings.state}: {error}")
        return 1
    try:
        if not locks.take(place, wait=0):
            _print(f"another agent is at work: {', '.join(locks.holders(place)) or 'unknown'}")
            return 1
        # Whatever is wrong with these, tokens and sessions end all the same.
        problems = {"settings": "", "hub settings": ""}
        try:
            found = notify_settings.load(settings.state)
            settings = settings._replace(notify=found and found[1])
        except (OSError, HostError) as error:
            problems["settings"] = f"the application is not told: {error}"
        try:
            settings = settings._replace(hub=hub_settings.load(settings.state))
        except (OSError, HostError) as error:
            problems["hub settings"] = f"the hub is not followed: {error}"
        agent = Agent(settings, _print)
        for about, problem in problems.items():
            agent.note(about, problem)
        try:
            serve(agent, lambda: bool(stopped), wake, is_supervised="NOTIFY_SOCKET" in os.environ)
        finally:
            agent.close()
    finally:
        os.close(place)
    return 0
