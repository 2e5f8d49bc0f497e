# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of what this gate has taken back because the hub said so.

A hub that is restored from an old backup lacks the last revocations, and the gates tell it of them. A running agent has
them in memory; one that was started before it has read that hub has them of this file. A batch is appended before the
gate confirms it, and the file is written anew once half of it is over. _hub/held.py has what a line is; each goes with
the end of what it concerns.
"""

from __future__ import annotations

import itertools
import os
import typing as t

from .._host import files
from .._host.error import HostError, told
from .._hub import held
from .._hub.held import CUT, SIGNED, TOKEN, VOID, Held, Line
from .._hub.merge import Merge, Touched
from .._hub.records import ISSUE, Issue, Record

NAME = "hub-revoked"
# Bytes of what is kept at most, and of the file, which has more until it is written anew
KEPT, LARGEST = 1 << 26, 1 << 27
# Bytes that a file may have before it is worth to be written anew
SMALL = 1 << 16
# What is brought to the disk in a turn
AT_A_TIME = 20000
_HEAD = b"fleet"

# Kind and name of what may be another one than the file has
_Changed = t.Tuple[bytes, t.Any]


class HeldFile:
    """The file, and what has changed since it was written. ``problem``: what is wrong with it, in words."""

    def __init__(self, folder: str, fleet: str) -> None:
        self.path = os.path.join(folder, NAME)
        self.problem = ""
        self._head = held.line_of(_HEAD, 0, fleet)
        # What the file has, by what it is about: its last line, and its end
        self._lines: t.Dict[str, t.Tuple[bytes, int]] = {}
        self._kept = 0
        # Bytes that the file has; -1 for one that is to be written anew
        self._size = -1
        self._changed: t.Set[_Changed] = set()
        self._read: t.List[Held] = []
        self._load()

    # Reading

    def former(self, merge: Merge, now: int) -> t.Optional[Merge]:
        """Have a merge know what the file had at the start, but for what is over by the hub's clock, in seconds.

        None where that is nothing. What was read is forgotten then.
        """
        found, self._read = [one for one in self._read if one.until > now], []
        for one in found:
            one.hold(merge)
        return merge if found else None

    def _load(self) -> None:
        try:
            data = files.read(self.path, most=LARGEST)
        except (HostError, OSError) as error:
            self.problem = (
                f"{told(error)}: what was revoked before the start is not known of {self.path}; remove it, and revoke "
                "again what the hub may have lost"
            )
            return
        if data is None:
            return
        first, end, rest = data.partition(b"\n")
        is_ours = first + end == self._head
        if not is_ours and end and _is_head(first):
            self.problem = f"{self.path} is of another fleet, and begins anew"
            return
        # Without its head nobody knows whose it is, but all that it can do is take back.
        wrong = self._take(rest if is_ours else data)
        if wrong:
            self.problem = (
                f"{self.path} is damaged: of its lines {wrong} are none, {len(self._lines)} count; revoke again what "
                "the hub may have lost"
            )
        self._size = len(data) if is_ours and not wrong else -1

    def _take(self, data: bytes) -> int:
        """Take the lines; return how many are none."""
        lines = data.split(b"\n")
        wrong = int(bool(lines.pop()))  # the last one was cut off in the middle
        found: t.Dict[str, Held] = {}
        for line in lines:
            try:
                one = held.read(line)
            except held.WrongLine:
                wrong += 1
                continue
            if one.until:
                found[one.about] = one
                self._put(one.about, line + b"\n", one.until)
            else:
                found.pop(one.about, None)
                self._drop(one.about)
        self._read = list(found.values())
        return wrong

    # Writing

    def note(self, records: t.Iterable[Record], touched: t.Iterable[Touched]) -> None:
        """Take note of what records have changed."""
        for one in touched:
            if one.fingerprint:
                self._changed.add((TOKEN, one.fingerprint))
            if one.subject is not None:
                self._changed.add((CUT, one.subject))
            if one.signed is not None:
                self._changed.add((SIGNED, one.signed))
            if one.since is not None:
                self._changed.add((VOID, one.since[0][len(ISSUE) :]))
        for record in records:
            # Such a token may be older than a cut-off that was there before.
            if isinstance(record, Issue) and record.issued is not None and record.subject is not None:
                self._changed.add((CUT, record.subject))

    @property
    def is_behind(self) -> bool:
        """Whether something has changed that is not on the disk."""
        return bool(self._changed)

    def keep(self, merge: Merge, now: int) -> None:
        """Have some of what has changed on the disk, as a merge has it that has read everything; ``now`` in seconds."""
        some = list(itertools.islice(self._changed, AT_A_TIME))
        found: t.List[t.Optional[Line]] = [held.of_token(merge, name) for kind, name in some if kind == TOKEN]
        found += held.of_subjects(merge, {name for kind, name in some if kind == CUT})
        found += [held.of_signed(merge, name) for kind, name in some if kind == SIGNED]
        found += [held.of_void(merge, name) for kind, name in some if kind == VOID]
        new = [line for line in map(self._lasting, filter(None, found)) if self._is_new(line, now)]
        if new or self._is_to_be_written_anew():
            self._write(new, now)
        self._changed.difference_update(some)

    def tidy(self, now: int) -> None:
        """Write the file anew where half of it is over."""
        kept = sum(len(line) for line, until in self._lines.values() if until > now)
        over = self._size - kept - len(self._head)
        if self._is_to_be_written_anew() or over > (0 if self._size <= SMALL else self._size // 2):
            self._write_anew(now)

    def _is_to_be_written_anew(self) -> bool:
        """Whether the file is damaged, or what was to be written last was not."""
        return self._size < 0 and bool(self._lines)

    def _lasting(self, line: Line) -> Line:
        """Where nobody knows the end of a token any more, that counts which was known once."""
        until = self._lines.get(line.about, (b"", 0))[1]
        return held.with_until(line, until) if line.is_guess and line.until < until else line

    def _is_new(self, line: Line, now: int) -> bool:
        there, until = self._lines.get(line.about, (b"", 0))
        return line.text != there if line.until > now else line.until < until

    def _write(self, new: t.Sequence[Line], now: int) -> None:
        for line in new:
            if line.until > now:
                self._put(line.about, line.text, line.until)
            else:
                self._drop(line.about)
        text = b"".join(line.text for line in new)
        # Until it is there nobody knows what the file has.
        size, self._size = self._size, -1
        is_small = size + len(text) <= min(LARGEST, max(SMALL, 2 * self._kept))
        if size >= 0 and is_small and files.append(self.path, text, size):
            self._size = size + len(text)
        else:
            self._write_anew(now)

    def _write_anew(self, now: int) -> None:
        self._size = -1
        for about in [about for about, (_line, until) in self._lines.items() if until <= now]:
            self._drop(about)
        if self._kept > KEPT:
            self._drop_first()
        data = self._head + b"".join(line for line, _until in self._lines.values())
        files.write(self.path, data, mode=files.PRIVATE)
        self._size = len(data)

    def _drop_first(self) -> None:
        """What ends first goes, where it is too much."""
        count = len(self._lines)
        for about in sorted(self._lines, key=lambda one: self._lines[one][1]):
            if self._kept <= KEPT * 3 // 4:
                break
            self._drop(about)
        self.problem = (
            f"{self.path} would be larger than {KEPT >> 20} MiB: the {count - len(self._lines)} revocations that end "
            "first are not in it"
        )

    def _put(self, about: str, line: bytes, until: int) -> None:
        self._drop(about)
        self._lines[about] = line, until
        self._kept += len(line)

    def _drop(self, about: str) -> None:
        found = self._lines.pop(about, None)
        if found is not None:
            self._kept -= len(found[0])


def _is_head(line: bytes) -> bool:
    try:
        return held.words_of(line)[0] == _HEAD
    except held.WrongLine:
        return False
