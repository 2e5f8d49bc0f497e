# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Threads that talk to the hub, so that whoever ends sessions never waits for it.

A reader hands over what it read, a writer what it wrote. The readers are two: what an issuer appends, as much as it
may be, is not in the way of what revokes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import typing as t

from .._tokens.record import LAST_SECOND
from . import keys, records, trimming
from .client import Primary, Succession, reach
from .error import HubError
from .flooding import run
from .records import START, Id, Record
from .settings import Settings
from .wire import LONGEST_TEXT, MOST, MOST_FIELDS, RefusedError, Wire

# Entries of a stream that are read at a time, and tokens of `standing`. And those of all streams of a reader: with the
# longest fields that are kept they are half of what a reply may take.
AT_A_TIME = 500
AT_ONCE = MOST // (2 * MOST_FIELDS * LONGEST_TEXT)
# Seconds that a reader waits for something new; as often is known that the hub is there.
BLOCK = 1.0
# After each failure. A gate is to be with the hub again within five seconds, however long that was away.
PAUSES = (0.1, 0.5, 1.0, 2.0)
# Readings that wait to be taken: a reader waits, too, when they are so many.
ROOM = 8
# A stream in an answer of XREAD: its entries, an entry, its fields
_FIELDS_AT = 4


class Reading(t.NamedTuple):
    """What a reader has read. ``now`` is the hub's clock in milliseconds."""

    reader: str
    generation: int
    now: int
    records: t.Sequence[Record] = ()
    standing: t.Sequence[Record] = ()
    # With the first one of a generation: what the streams had when it began
    targets: t.Optional[t.Mapping[str, Id]] = None
    # There was nothing more. A target may have been trimmed since.
    is_at_end: bool = False
    # With the targets of one reader: the mark of this gate that the hub has, empty where it has none
    mark: t.Optional[str] = None


class Written(t.NamedTuple):
    """What a writer has written."""

    what: str


class Failure(t.NamedTuple):
    """What keeps a thread from the hub; empty once nothing does."""

    who: str
    problem: str


Message = t.Union[Reading, Written, Failure]


class Inbox:
    """What threads hand over; ``fd`` is readable while there is something."""

    def __init__(self) -> None:
        self.fd, self._other = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._queues: t.Dict[str, "queue.Queue[Message]"] = {}
        self.is_stopped = threading.Event()

    def room(self, who: str, size: int = ROOM) -> None:
        """Make room for what one thread hands over. Those that were made first are taken first."""
        self._queues[who] = queue.Queue(size)

    def put(self, who: str, message: Message) -> None:
        """Hand something over; wait while there is no room for it."""
        while not self.is_stopped.is_set():
            try:
                self._queues[who].put(message, timeout=0.5)
                break
            except queue.Full:
                continue
        # It is readable already, or nobody reads any more.
        with contextlib.suppress(OSError):
            os.write(self._other, b"x")

    def take(self) -> t.List[Message]:
        """What is there, first of those for whom room was made first."""
        # Nothing new may be there, and something left.
        with contextlib.suppress(OSError):
            os.read(self.fd, 4096)
        found: t.List[Message] = []
        for place in self._queues.values():
            for _number in range(ROOM):
                try:
                    found.append(place.get_nowait())
                except queue.Empty:
                    break
        return found

    def close(self) -> None:
        """Have the threads end."""
        self.is_stopped.set()
        for handle in (self.fd, self._other):
            os.close(handle)


class Generation:
    """Counts how often all has to be read anew: the server is another one, or has less than it had."""

    def __init__(self) -> None:
        self.number = 0
        self._run = ""
        self._lock = threading.Lock()

    def is_of(self, number: int, run: str) -> bool:
        """Whether a server's run is what was read in a generation, the last one."""
        with self._lock:
            return number == self.number and run == self._run

    def of(self, run: str) -> t.Optional[int]:
        """The number of the generation, where it is to be read from this run of a server; else None."""
        with self._lock:
            return self.number if run == self._run else None

    def look(self, run: str, has_less: bool) -> None:
        """Take note of a server's run."""
        with self._lock:
            # A server that does not tell may be another one each time.
            if not run or run != self._run or has_less:
                self.number += 1
                self._run = run

    def again(self) -> None:
        """Have all read anew."""
        with self._lock:
            self.number += 1


class _Worker(threading.Thread):
    def __init__(self, name: str, settings: Settings, inbox: Inbox) -> None:
        super().__init__(name=f"hub {name}", daemon=True)
        self.who = name
        self.settings = settings
        self.inbox = inbox
        self._failures = 0
        self._wire: t.Optional[Wire] = None
        # Which of the servers has shown the way the last time
        self._first_asked = 0

    def run(self) -> None:
        """Work until the inbox is closed, with a growing pause after each failure."""
        while not self.inbox.is_stopped.is_set():
            try:
                primary = reach(self.settings, first=self._first_asked)
                self._wire, self._first_asked = primary.wire, primary.at
                self.work(primary)
            except HubError as error:
                self._failed(str(error))
            except Exception as error:  # a fault of this code must not end the thread without a word
                self._failed(f"the hub cannot be followed: {type(error).__name__}")
            finally:
                if self._wire is not None:
                    self._wire.close()
                    self._wire = None

    def _failed(self, words: str) -> None:
        self.inbox.put(self.who, Failure(self.who, words))
        self.inbox.is_stopped.wait(PAUSES[min(self._failures, len(PAUSES) - 1)])
        self._failures += 1

    def worked(self) -> None:
        """Take note that it goes well."""
        if self._failures:
            self._failures = 0
            self.inbox.put(self.who, Failure(self.who, ""))

    def work(self, primary: Primary) -> None:
        """Do it until something goes wrong."""
        raise NotImplementedError


class Reader(_Worker):
    """Reads streams from their beginning, and goes on where it stopped while the server is the same."""

    def __init__(
        self, name: str, settings: Settings, inbox: Inbox, streams: t.Sequence[str], generation: Generation,
        with_standing: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, settings, inbox)
        self._places: t.Dict[str, Id] = dict.fromkeys(streams, START)
        self._streams = {settings.key(stream).encode("ascii"): stream for stream in streams}
        self._shared = generation
        self._generation = 0
        self._with_standing = with_standing
        # Entries of a stream that are asked for: one after a failure, as what somebody wrote there may be so large that
        # the hub ends a connection which asks for many of them.
        self._most = AT_A_TIME
        # The first entry of `operate`, where this one reads it
        self._operate = settings.key(records.OPERATE) if records.OPERATE in streams else ""
        self._first: t.Optional[Id] = None

    def work(self, primary: Primary) -> None:
        wire, succession = primary.wire, Succession(self.settings, primary)
        last = self._last(wire)
        # They may be large, and are read once.
        targets: t.Optional[t.Dict[str, Id]] = last
        self._shared.look(primary.run, any(last[stream] < place for stream, place in self._places.items()))
        while not self.inbox.is_stopped.is_set():
            if self._generation != self._shared.number:
                number = self._shared.of(primary.run)
                # Another thread has found another primary. What this one has is not what that one has.
                if number is None:
                    raise HubError("the hub is another server by now")
                self._begin(wire, number, targets or self._last(wire))
            targets = None
            try:
                self._read(wire)
            except HubError:
                self._most = 1
                raise
            self._most = min(2 * self._most, AT_A_TIME)
            succession.look()
            self.worked()

    def _begin(self, wire: Wire, number: int, targets: t.Mapping[str, Id]) -> None:
        self._first = None
        self._places = dict.fromkeys(self._places, START)
        now = _clock(wire.call("TIME"))
        mark = self._mark(wire) if self._with_standing else None
        self.inbox.put(self.who, Reading(self.who, number, now, targets=targets, mark=mark))
        cursor: t.Union[bytes, str] = "0"
        while self._with_standing:
            cursor, found = wire.call("HSCAN", keys.standing(self.settings.fleet), cursor, "COUNT", AT_A_TIME)
            standing = [records.read_standing(*pair) for pair in zip(found[::2], found[1::2])]
            self.inbox.put(self.who, Reading(self.who, number, now, standing=standing))
            if cursor == b"0":
                break
        # Not before: a connection that ends in between is to begin once more.
        self._generation = number

    def _mark(self, wire: Wire) -> str:
        found = wire.call("HGET", keys.gate(self.settings.fleet, self.settings.gate), "mark")
        return found.decode("ascii", "replace") if isinstance(found, bytes) else ""

    def _last(self, wire: Wire) -> t.Dict[str, Id]:
        """The last entry of each stream; of one that is empty the beginning."""
        replies = wire.calls(
            [("XREVRANGE", key, "+", "-", "COUNT", 1) for key in self._streams], fields_at=_FIELDS_AT - 2
        )
        found = {}
        for stream, entries in zip(self._streams.values(), replies):
            found[stream] = (records.parse_id(entries[0][0]) if entries else None) or START
        return found

    def _read(self, wire: Wire) -> None:
        places = [records.id_text(self._places[stream]) for stream in self._streams.values()]
        count = min(_count(places), self._most)
        reply, clock, *first = wire.calls(
            [
                ("XREAD", "COUNT", count, "BLOCK", int(BLOCK * 1000), "STREAMS", *self._streams, *places),
                ("TIME",),
                *([("XRANGE", self._operate, "-", "+", "COUNT", 1)] if self._operate else []),
            ],
            wait=BLOCK,
            fields_at=_FIELDS_AT,
        )
        if first and self._is_trimmed(first[0], _clock(clock)):
            self._shared.again()
            return
        found: t.List[Record] = []
        # Not only when nothing came: where somebody appends all the time that is never.
        is_at_end = all(len(entries) < count for _key, entries in reply or ())
        for key, entries in reply or ():
            stream = self._streams[key]
            for identity, fields in entries:
                place = records.parse_id(identity)
                if place is not None:
                    found.append(records.read(stream, place, fields))
                    self._places[stream] = place
        self.inbox.put(self.who, Reading(self.who, self._generation, _clock(clock), found, is_at_end=is_at_end))

    def _is_trimmed(self, entries: t.Any, now: int) -> bool:
        """Whether `operate` has lost what may count. Then all is read anew, and what was revoked told again."""
        before = self._first
        self._first = (records.parse_id(entries[0][0]) if entries else None) or records.END
        return trimming.is_untimely(before, self._first, now)


def _count(streams: t.Sequence[str]) -> int:
    """Entries that are asked for of each of these streams."""
    return max(1, min(AT_A_TIME, AT_ONCE // len(streams)))


def _clock(reply: t.Sequence[bytes]) -> int:
    now = int(reply[0]) * 1000 + int(reply[1]) // 1000
    # A larger number is no float.
    if not 0 < now <= LAST_SECOND * 1000:
        raise HubError("the hub sends what is no time")
    return now


class Writer(_Worker):
    """Appends to the gate's own stream, reports how far it is, and trims the issuers' streams."""

    def __init__(self, name: str, settings: Settings, inbox: Inbox, generation: Generation) -> None:
        super().__init__(name, settings, inbox)
        self._queue: "queue.Queue[t.Tuple[str, t.Sequence[str], int]]" = queue.Queue()
        self._shared = generation
        self._report: t.Optional[t.Tuple[t.Mapping[str, str], int]] = None
        self._trims: t.Sequence[t.Sequence[t.Union[str, int]]] = ()
        self._trim_problem = ""
        self._waiting: t.Optional[t.Tuple[str, t.Sequence[str], int]] = None

    def append(self, what: str, fields: t.Sequence[str], least: int = 0) -> None:
        """Append a record to the gate's stream; ``what`` comes back once it is there.

        ``least``: the millisecond of what it takes back. Its own is not before that, whatever the hub's clock has.
        """
        self._queue.put((what, fields, least))

    def report(self, fields: t.Mapping[str, str], generation: int) -> None:
        """Write these fields of the gate's hash, to the server that this generation has read. Only the last count.

        To another one they are wrong: it may not have what they confirm, and have something else in its place.
        """
        self._report = fields, generation
        self._queue.put(("", (), 0))

    def trim(self, commands: t.Sequence[t.Sequence[t.Union[str, int]]]) -> None:
        """Trim streams."""
        self._trims = commands
        self._queue.put(("", (), 0))

    def work(self, primary: Primary) -> None:
        wire = primary.wire
        fleet, gate = self.settings.fleet, self.settings.gate
        while not self.inbox.is_stopped.is_set():
            if self._waiting is None:
                try:
                    self._waiting = self._queue.get(timeout=BLOCK)
                except queue.Empty:
                    wire.call("PING")
                    continue
            what, fields, least = self._waiting
            if fields:
                key = keys.revoked(fleet, gate)
                place = records.parse_id(wire.call("XADD", key, "*", *fields))
                if place is not None and place[0] < least:
                    # The clock of this primary is behind that of the former one.
                    wire.call("XADD", key, f"{least}-*", *fields)
                self.inbox.put(self.who, Written(what))
            self._waiting = None
            self._trim(wire)
            report = self._report
            if self._queue.empty() and report is not None:
                if self._shared.is_of(report[1], primary.run):
                    words = [word for pair in report[0].items() for word in pair]
                    wire.call("HSET", keys.gate(fleet, gate), *words)
                # Only now: what is refused is reported by the next connection.
                if self._report is report:
                    self._report = None
            self.worked()

    def _trim(self, wire: Wire) -> None:
        trims, self._trims = self._trims, ()
        if not trims:
            return
        problem = ""
        try:
            for command in trims:
                run(wire, command)
        except RefusedError as error:
            problem = str(error)
        if problem != self._trim_problem:
            self._trim_problem = problem
            self.inbox.put(self.who, Failure("trim", problem))
