# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction of a balancer: compare, stage, test both programs, commit, reload, prove, else put back."""

from __future__ import annotations

import os
import re
import typing as t

from .._host import files, locks
from . import duplicates
from .error import BalancerError
from .service import HAProxy, Keepalived
from .tree import Change, Tree, is_ours

HAPROXY_FILE, SERVICES_FOLDER, KEEPALIVED_FILE = "haproxy.cfg", "wssgate.d", "keepalived.conf"
# A file's time may be a tick behind the clock, and a process's is rounded down to one.
TICK = 0.05
_SERVES = re.compile(rb"^\s*(?:bind\s+\S|listen\s+\S+\s+\S*:[0-9])", re.MULTILINE)


class Settings(t.NamedTuple):
    """What the caller wants. Without ``haproxy_files`` all goes, without ``keepalived_files`` keepalived's part."""

    haproxy: HAProxy
    keepalived: Keepalived
    haproxy_files: t.Dict[str, str]
    keepalived_files: t.Dict[str, str]
    # Part of the service's unit, by its path; empty content for none. Both empty without systemd.
    drop_in_path: str = ""
    drop_in: str = ""
    allow_restart: bool = False
    live_timeout: float = 10
    check: bool = False
    # Addresses that keepalived is to have, with their interfaces, and those of the other balancers.
    addresses: t.Sequence[t.Mapping[str, str]] = ()
    peers: t.Sequence[str] = ()
    # Whether the services start with the system.
    enabled: bool = False
    # Of ``haproxy_files``, those that root alone may read.
    private: t.AbstractSet[str] = frozenset()
    # Files of certificates that are not there yet, without which HAProxy could not judge its files.
    lacking: t.Sequence[str] = ()


class Outcome:
    """What was, or in check mode would be, done."""

    def __init__(self) -> None:
        self.changes: t.List[Change] = []
        self.haproxy = ""
        self.keepalived = ""
        self.enabled: t.List[str] = []

    def result(self) -> t.Dict[str, t.Any]:
        return {
            "changed": bool(self.changes or self.haproxy or self.keepalived or self.enabled),
            "changed_files": [change.path for change in self.changes if change.after is not None],
            "removed_files": [change.path for change in self.changes if change.after is None],
            "enabled_services": self.enabled,
            "haproxy": self.haproxy or "unchanged",
            "keepalived": self.keepalived or "unchanged",
        }

    def diff(self) -> t.List[t.Dict[str, str]]:
        return [
            {
                "before": _shown(change, change.before),
                "after": _shown(change, change.after),
                "before_header": change.path,
                "after_header": change.path,
            }
            for change in self.changes
        ]


def _shown(change: Change, content: t.Optional[bytes]) -> str:
    """What a diff has of a file."""
    if change.is_private and content:
        return "(not shown)\n"
    return (content or b"").decode("utf-8", "replace")


class Transaction:
    """One run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.outcome = Outcome()

    def run(self) -> Outcome:
        settings = self.settings
        directory = settings.haproxy.directory
        if not os.path.isdir(directory):
            if settings.haproxy_files and not settings.check:
                raise BalancerError(f"{directory} is not there: install HAProxy first")
            return self._locked()
        folder = files.open_folder(directory, follow=True)
        try:
            with locks.hold(folder, directory):
                return self._locked()
        finally:
            os.close(folder)

    def _locked(self) -> Outcome:
        settings = self.settings
        haproxy, keepalived = settings.haproxy, settings.keepalived
        if settings.lacking and not settings.check:
            raise BalancerError(
                f"{' and '.join(settings.lacking)} is not there; nothing was changed. Run role certificates"
            )
        front = Tree(haproxy.directory, haproxy.main, haproxy.owned, settings.haproxy_files, settings.private)
        addresses = Tree(keepalived.directory, keepalived.main, wanted=settings.keepalived_files)
        drop_in = self._drop_in()
        for tree in (front, addresses, drop_in):
            if tree:
                self.outcome.changes += [change._replace(path=tree.path(change.path)) for change in tree.changes]
        self._refuse_to_cut(front)
        self._refuse_duplicates(addresses)
        if not settings.lacking:
            self._test(front, haproxy)
        self._test(addresses, keepalived)
        if settings.check:
            self._foretell(front, addresses, drop_in)
        else:
            self._front(front, drop_in)
            self._addresses(addresses)
        self._enable(front, addresses)
        return self.outcome

    def _enable(self, front: Tree, addresses: Tree) -> None:
        services = [(front, self.settings.haproxy.systemd), (addresses, self.settings.keepalived.systemd)]
        for tree, service in services:
            if self.settings.enabled and tree.wanted and service and service.show("UnitFileState") == "disabled":
                self.outcome.enabled.append(service.name)
                if not self.settings.check:
                    service.call("enable", service.name)

    def _drop_in(self) -> t.Optional[Tree]:
        settings = self.settings
        if not settings.drop_in_path:
            return None
        directory, name = os.path.split(settings.drop_in_path)
        if settings.drop_in and not settings.check:
            files.make_folders(directory)
        return Tree(directory, name, wanted={name: settings.drop_in} if settings.drop_in else {})

    def _refuse_to_cut(self, front: Tree) -> None:
        """Another's HAProxy that serves somebody was not started with our folder, and has to be restarted for it."""
        former = front.former
        if not front.wanted or self.settings.allow_restart or former is None or is_ours(former):
            return
        if _SERVES.search(former) and self.settings.haproxy.master() and not self.settings.haproxy.reads_folder():
            raise BalancerError(
                f"{front.path(front.main)} is somebody else's and serves clients on this host, and HAProxy would have "
                "to be restarted, which cuts their sessions; nothing was changed. Set balancer_allow_restart: true for "
                "one run, or choose another host"
            )

    def _refuse_duplicates(self, tree: Tree) -> None:
        """Before keepalived takes an address for the first time; what it has by now is the balancers'."""
        former = (tree.former or b"").decode("utf-8", "replace").split() if is_ours(tree.former) else []
        new = [entry for entry in self.settings.addresses if f"{entry['address']}/32" not in former]
        if tree.wanted and new:
            duplicates.refuse(new, self.settings.peers)

    def _test(self, tree: Tree, program: t.Union[HAProxy, Keepalived]) -> None:
        if tree.wanted and tree.changes and program.is_installed() and os.path.isdir(tree.directory):
            with tree.staged() as folder:
                program.test(folder)

    def _foretell(self, front: Tree, addresses: Tree, drop_in: t.Optional[Tree]) -> None:
        if front.wanted:
            running = self.settings.haproxy.master()
            if not running:
                self.outcome.haproxy = "started"
            elif not self.settings.haproxy.reads_folder():
                self.outcome.haproxy = "restarted"
            elif front.changes or self._is_behind(front):
                self.outcome.haproxy = "reloaded"
        elif front.changes or (drop_in and drop_in.changes):
            self.outcome.haproxy = "restarted"
        if addresses.wanted:
            running = bool(self.settings.keepalived.systemd.is_running())
            if addresses.changes or not running or self._is_unread(addresses):
                self.outcome.keepalived = "reloaded" if running else "started"
        elif addresses.changes:
            self.outcome.keepalived = "stopped"

    # A run that was killed between writing and reloading has left files that nobody serves.

    def _is_behind(self, tree: Tree) -> bool:
        return self.settings.haproxy.took_up_at() + TICK < tree.newest()

    def _is_unread(self, tree: Tree) -> bool:
        return self.settings.keepalived.systemd.changed_at() + TICK < tree.newest()

    # -- HAProxy

    def _front(self, tree: Tree, drop_in: t.Optional[Tree]) -> None:
        haproxy = self.settings.haproxy
        if drop_in and drop_in.changes:
            drop_in.commit()
        if drop_in and (drop_in.changes or haproxy.has_unread_units()):
            haproxy.read_units()
        if not tree.wanted:
            self._take_front_away(tree, bool(drop_in and drop_in.changes))
            return
        running = bool(haproxy.master())
        if not tree.changes and running and haproxy.reads_folder() and not self._is_behind(tree):
            return
        tree.commit()
        try:
            self.outcome.haproxy = self._activate(running and not haproxy.reads_folder())
        except BalancerError as error:
            message = f"HAProxy found the configuration right but does not run it: {error}"
            if tree.changes:
                message += self._go_back(tree, drop_in, running)
            raise BalancerError(message, error.output) from None

    def _activate(self, restart: bool) -> str:
        settings = self.settings
        try:
            return settings.haproxy.activate(restart, settings.live_timeout)
        except BalancerError:
            if not settings.allow_restart or restart:
                raise
            return settings.haproxy.activate(True, settings.live_timeout)

    def _go_back(self, tree: Tree, drop_in: t.Optional[Tree], was_running: bool) -> str:
        haproxy = self.settings.haproxy
        tree.undo()
        if drop_in and drop_in.changes:
            drop_in.undo()
            haproxy.read_units()
        message = ". What was there before was put back"
        if not was_running:
            return message + "; HAProxy was not running, as before"
        try:
            # One that was started without the folder of services has to be started without it again.
            haproxy.activate(not (is_ours(tree.former) and haproxy.reads_folder()), self.settings.live_timeout)
        except BalancerError as error:
            # Its socket is not ours where somebody else's configuration came back.
            if is_ours(tree.former) or not haproxy.master():
                return message + f", but that did not become live either: {error}"
        return message + " and is live"

    def _take_front_away(self, tree: Tree, other_drop_in: bool) -> None:
        haproxy = self.settings.haproxy
        tree.commit()
        if (tree.changes or other_drop_in) and haproxy.systemd and haproxy.master():
            # What it was started with is gone.
            haproxy.systemd.call("restart", haproxy.systemd.name)
            self.outcome.haproxy = "restarted"

    # -- keepalived

    def _addresses(self, tree: Tree) -> None:
        keepalived = self.settings.keepalived
        running = tree.wanted and keepalived.systemd.is_running()
        if not tree.changes and (not tree.wanted or (running and not self._is_unread(tree))):
            return
        tree.commit()
        if not tree.wanted:
            if os.path.exists(tree.path(tree.main)):
                keepalived.systemd.call("restart", keepalived.systemd.name)
                self.outcome.keepalived = "restarted"
            elif keepalived.systemd.is_running():
                keepalived.systemd.call("disable", "--now", keepalived.systemd.name)
                self.outcome.keepalived = "stopped"
            return
        try:
            self.outcome.keepalived = keepalived.activate(self.settings.live_timeout)
        except BalancerError as error:
            tree.undo()
            message = f"keepalived found the configuration right but does not run it: {error}. What was there before "
            try:
                if running:
                    keepalived.activate(self.settings.live_timeout)
                message += "was put back"
            except BalancerError as again:
                message += f"was put back, but did not become live either: {again}"
            raise BalancerError(message, error.output) from None
