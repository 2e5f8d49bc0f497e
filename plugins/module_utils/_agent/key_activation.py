# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes keys live that the agent has fetched, through the transaction that nginx's configuration always goes through.

The agent may write nothing of nginx's. It leaves the keys in its own folder, a unit of systemd sees them there, and has
this program, which is root with all that takes, look at them. They are checked here once more, and nothing else of
nginx's configuration is changed: the rules for signed tokens name where keys come from and what these may be for.
"""

from __future__ import annotations

import argparse
import sys
import typing as t

from .._host.error import HostError
from .._issuers import state
from .._issuers.key_sets import RULES, KeySetError, merged, read_rules, rendered, rules_text, sources_of
from .._nginx.plan import Edit, Settings
from .._nginx.transaction import Transaction
from .notify_settings import STATE

IDENTITY = "wssgate-keys"
LIVE_TIMEOUT = 10.0


def edited(text: str, offered: state.Keys) -> str:
    """The rules with the keys that were left for their issuers."""
    document = read_rules(text)
    keys = {}
    for name, source in sources_of(document).items():
        url, jwks = offered.get(name, ("", []))
        # Another URL: what was fetched is of one that the issuer had before.
        if url == source.url:
            try:
                keys[name] = rendered(source, jwks)
            except HostError as error:
                raise KeySetError(f"the keys of issuer {name} are not taken: {error}") from None
    return rules_text(merged(document, keys)) if keys else text


def activate(settings: Settings, folder: str) -> str:
    """Make the keys live that were left in a folder; return what was done. Raise HostError where they are not live."""
    offered = state.take(folder)
    if offered is None:
        return "there are no keys to make live"
    keys = offered
    try:
        outcome = Transaction(settings._replace(edit=Edit(RULES, lambda text: edited(text, keys)))).run()
    except HostError as error:
        state.save_result(folder, str(error).replace("; ", ", "))
        raise
    state.save_result(folder, "")
    if not outcome.changes:
        return "the keys are live already"
    return "the keys are live" if outcome.reloaded else "the keys are in place; nginx does not run"


def main(words: t.Optional[t.Sequence[str]] = None) -> int:
    """Make the keys live that the agent has left; 1 when they are not."""
    parser = argparse.ArgumentParser(prog=IDENTITY, description="Make fetched keys for signed tokens live.")
    parser.add_argument("--directory", required=True, help="folder of nginx's configuration")
    parser.add_argument("--binary", required=True, help="path of nginx")
    parser.add_argument("--pid-file", required=True, help="nginx's pid file")
    parser.add_argument("--service", default="", help="nginx's service")
    parser.add_argument("--error-log", default="", help="nginx's log")
    parser.add_argument("--live-timeout", type=float, default=LIVE_TIMEOUT, help="seconds until nginx has to run it")
    parser.add_argument("--state", default=STATE, help="folder of the agent")
    given = parser.parse_args(words)
    settings = Settings(
        given.directory,
        given.binary,
        "nginx.conf",
        given.pid_file,
        service=given.service,
        error_log=given.error_log,
        live_timeout=given.live_timeout,
    )
    try:
        sys.stdout.write(activate(settings, given.state) + "\n")
    except (HostError, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0
