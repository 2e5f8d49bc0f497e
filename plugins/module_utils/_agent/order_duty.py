# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders to end sessions at a pace: for a drain, to shed a share, or because an operator names some."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from .._host import files, inotify
from .._host.error import HostError, reason
from .._host.inotify import Inotify
from .._sessions.log import Session
from .._tokens.store import open_store
from . import orders
from .duty import Duty, Gate
from .order_work import Work
from .orders import ORDER, REFUSED, RESULT, OrderError, Result
from .settings import Settings

# Without inotify the folder is looked at this often.
POLL = 1.0
# What lies in the folder for longer than a day is cleared away.
TIDY_EVERY = 3600.0
# How often somebody who waits is told, at most: it is written to the disk.
TELL_EVERY = 1.0
PAUSES = (0.2, 1.0, 5.0, 15.0)
REASON_AT_MOST = 200
_EVENTS = inotify.MOVED_TO | inotify.CLOSE_WRITE | inotify.DELETE | inotify.MOVED_FROM | inotify.ATTRIB
_EVENTS |= inotify.CREATE | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.ONLY_FOLDER
_LOST = inotify.IGNORED | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.OVERFLOW
_Stamp = t.Tuple[int, int, int]


class _Placed:
    """An order that is obeyed, and when something is due for it."""

    def __init__(self, work: Work, stamp: _Stamp) -> None:
        self.work = work
        self.stamp = stamp
        self.failures = 0
        self.not_before = 0.0
        self.told_at = float("-inf")


class Orders(Duty):
    """The orders of one agent, each at its own pace; what goes wrong with one holds up no other."""

    name = "orders"

    def __init__(self, gate: Gate, settings: Settings) -> None:
        super().__init__(gate)
        self._state = settings.state
        self._store = settings.store
        self._kernel = Inotify.or_none()
        self._watch = -1
        self._placed: t.Dict[str, _Placed] = {}
        self._looks_at = 0.0
        self._refused = ""  # why the last one was refused

    def started(self, sessions: t.Sequence[Session]) -> None:
        for one in self._placed.values():
            one.work.started += sessions

    def turn(self) -> None:
        if self._has_changed() or time.monotonic() >= self._looks_at:
            self._look()
        for name, one in list(self._placed.items()):
            if time.monotonic() >= one.not_before:
                self._work(name, one)

    def next_turn(self) -> t.Optional[float]:
        moments = [max(one.not_before, one.work.next_turn()) for one in self._placed.values()]
        return min([self._looks_at, *moments])

    def descriptors(self) -> t.List[int]:
        return [] if self._kernel is None else [self._kernel.fd]

    def status(self) -> str:
        return ", ".join(one.work.words() for one in self._placed.values())

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()

    # The folder

    def _has_changed(self) -> bool:
        if self._kernel is None:
            return False
        changed = False
        for event in self._kernel.read():
            changed = changed or event.name.endswith(ORDER) or bool(event.mask & _LOST)
            if event.mask & _LOST:
                self._kernel.remove(self._watch)
                self._watch = -1
        return changed

    def _look(self) -> None:
        """Take up what is new in the folder, and drop what was taken back."""
        # After a failure it looks again: what the kernel reported was read.
        self._looks_at = 0.0
        with orders.open_orders(self._state, make=True) as folder:
            if self._kernel is not None and self._watch == -1:
                with contextlib.suppress(OSError):
                    self._watch = self._kernel.add(os.path.join(self._state, orders.FOLDER), _EVENTS)
            names = os.listdir(folder)
            there = set()
            for name in names:
                if name.endswith(ORDER):
                    there.add(name[: -len(ORDER)])
                    self._take_up(name, folder)
            for name in [name for name in self._placed if name not in there]:
                one = self._placed.pop(name)
                self._over(name, one.work.result._replace(state=orders.VOID, reason="it was taken back"), folder)
            self._tidy(names, folder)
            count = sum(1 for name in os.listdir(folder) if name.startswith(REFUSED))
        where = f"{count} refused in {os.path.join(self._state, orders.FOLDER)}, remove them there"
        self._refused = self._refused if count else ""
        self.gate.note("refused orders", f"an order {self._refused or 'was refused'}: {where}" if count else "")
        self._looks_at = time.monotonic() + (POLL if self._watch == -1 else TIDY_EVERY)

    def _take_up(self, name: str, folder: int) -> None:
        known = self._placed.get(name[: -len(ORDER)])
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if known is not None and known.stamp == stamp:
            return
        try:
            order = orders.read_order(name, folder)
        except HostError as error:
            self._refuse(name, str(error), folder)
            return
        except OSError as error:
            self._refuse(name, f"cannot be read: {reason(error)}", folder)
            return
        if order is not None:
            before = orders.read_result(order.id, folder)
            self._placed[order.id] = _Placed(Work(order, self.gate, before, self._subject_of), stamp)

    def _refuse(self, name: str, why: str, folder: int) -> None:
        """Set an order aside that is not obeyed."""
        name_of = name[: -len(ORDER)]
        former = self._placed.pop(name_of, None)
        if former is not None:
            self._over(name_of, former.work.result._replace(state=orders.VOID, reason="it was replaced"), folder)
        # A name of its own: what has it already may be a folder, which nothing takes the place of.
        files.move(name, f"{REFUSED}{os.urandom(4).hex()}-{name_of[:64]}", folder, folder)
        self._refused = why[:REASON_AT_MOST]

    def _tidy(self, names: t.Iterable[str], folder: int) -> None:
        """Clear away what nobody asks for any more."""
        now = time.time()
        for name in names:
            if name.endswith(RESULT) or name.startswith((REFUSED, files.STAGED_PREFIX)):
                with contextlib.suppress(OSError):
                    age = now - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                    if age > orders.LONGEST and name[: -len(RESULT)] not in self._placed:
                        os.unlink(name, dir_fd=folder)

    # The orders

    def _work(self, name: str, one: _Placed) -> None:
        about = f"order {name}"
        try:
            one.work.turn()
            self._tell(name, one)
        except (HostError, OSError) as error:
            words = reason(error) if isinstance(error, OSError) else str(error)
            self.gate.note(about, f"{about}: {words[:REASON_AT_MOST]}")
            one.not_before = time.monotonic() + PAUSES[min(one.failures, len(PAUSES) - 1)]
            one.failures += 1
        else:
            self.gate.note(about, "")
            one.failures = 0

    def _tell(self, name: str, one: _Placed) -> None:
        """Write down how far it is, and remove an order that is over."""
        result, now = one.work.result, time.monotonic()
        if result.is_over:
            with orders.open_orders(self._state) as folder:
                self._over(name, result, folder)
                # Another order of this name may have come.
                with contextlib.suppress(OrderError):
                    left = orders.read_order(name + ORDER, folder)
                    if left is not None and left.run == result.run:
                        files.remove(name + ORDER, folder=folder)
            del self._placed[name]
            self.gate.note(f"result of order {name}", "")
        elif one.work.owes_mark:
            self._write(name, result)
            one.work.owes_mark = one.work.has_news = False
        elif one.work.has_news and (now >= one.told_at + TELL_EVERY or not result.remaining):
            one.told_at = now
            problem = ""
            try:
                self._write(name, result)
                one.work.has_news = False
            except OSError as error:
                # Who waits is not told. That is no reason to stop.
                problem = f"how far order {name} is cannot be written: {reason(error)}"
            self.gate.note(f"result of order {name}", problem)

    def _write(self, name: str, result: Result) -> None:
        with orders.open_orders(self._state) as folder:
            orders.write_result(name, result, folder)

    def _over(self, name: str, result: Result, folder: int) -> None:
        orders.write_result(name, result, folder)
        words = f"order {name} is over ({result.state}): {result.ended} of {result.found} sessions have gone"
        self.gate.say("; ".join([words, *([result.reason] if result.reason else [])]))

    def _subject_of(self, token: str) -> t.Optional[str]:
        with contextlib.suppress(HostError), open_store(self._store, write=False) as store:
            found = store.look(token)
            return None if found is None else found.subject
        return None
