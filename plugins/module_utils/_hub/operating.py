# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator does through the hub: issue, adopt, revoke, and wait until the gates have done it."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._revocations.store import TOKENS
from .._tokens.record import full_fingerprint
from . import keys, records, trimming
from .error import HubError
from .merge import Merge, Rules
from .records import ISSUE, LONGEST, OPERATE, REVOKED, START, Id
from .wire import RefusedError, Wire

# Seconds between two looks at what gates report
LOOK = 0.05
_AT_A_TIME = 500
# Where the fields of an entry are in an answer of XRANGE
_FIELDS_AT = 2


class Waiting(t.NamedTuple):
    """A gate that has not confirmed. ``silent``: seconds since its last report, None where there is none."""

    gate: str
    silent: t.Optional[float]


class Report(t.NamedTuple):
    """A gate by its own last report. ``silent``: seconds since then, None where there is none."""

    gate: str
    silent: t.Optional[float]
    is_level: bool


class Operator:
    """An operator's connection to the hub of a fleet."""

    def __init__(self, wire: Wire, fleet: str) -> None:
        self._wire = wire
        self._fleet = fleet

    def now(self) -> int:
        """The hub's clock, in milliseconds since 1970."""
        seconds, micros = self._wire.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def issue(
        self, token: str, subject: t.Optional[str], ttl: t.Optional[int] = None, expires_at: t.Optional[int] = None
    ) -> Id:
        """Issue a token; return where that stands. What lasts beyond a year, or for ever, is in `standing`, too."""
        place = self._append(records.issue(token, subject, ttl, expires_at))
        ends = expires_at if ttl is None else -(-place[0] // 1000) + ttl
        try:
            self._have_standing(place, token, subject, ends)
        except HubError:
            # A gate that comes in a year would not have it: nobody has.
            try:
                self._append(records.revoke(full_fingerprint(token)))
            except HubError as error:
                # Not as what was refused, and so not issued
                raise HubError(str(error)) from None
            raise
        return place

    def adopt(self, token: str, subject: t.Optional[str], issued_at: int, expires_at: t.Optional[int]) -> Id:
        """Have a token on all gates that some of them had before the hub; return where that stands."""
        place = self._append(records.adopt(token, subject, issued_at, expires_at))
        self._have_standing(place, token, subject, expires_at, issued_at)
        return place

    def _have_standing(
        self,
        place: Id,
        token: str,
        subject: t.Optional[str],
        ends: t.Optional[int],
        issued_at: t.Optional[int] = None,
    ) -> None:
        if ends is None or ends > place[0] // 1000 + LONGEST:
            value = records.standing(place, token, subject, ends, issued_at)
            self._wire.call("HSET", keys.standing(self._fleet), full_fingerprint(token), value)

    def revoke(self, fingerprint: str) -> Id:
        """Revoke a token by its fingerprint, or the first digits of it."""
        place = self._append(records.revoke(fingerprint))
        self._take_out(lambda digest, _issue: digest.startswith(fingerprint))
        return place

    def cut_off(self, subject: str, signed_before: t.Optional[int] = None, until: t.Optional[int] = None) -> Id:
        """Revoke what was issued to a subject until now, and its signed tokens of before a time."""
        place = self._append(records.cut_off(subject, signed_before=signed_before, until=until))
        self._take_out(lambda _digest, issue: issue.subject == subject and issue.id < place)
        return place

    def take_back(self, token_id: str, until: t.Optional[int] = None) -> Id:
        """Take a signed token back, by its id."""
        return self._append(records.take_back(TOKENS, token_id, until=until))

    def trim(self, gates: t.Sequence[str]) -> None:
        """Let go of the operators' records that cannot count and that each of these gates has read."""
        command = trimming.of_operator(self._fleet, self.now(), [one[0] for one in self._reported(gates).values()])
        if command is not None:
            # A user of somebody's own server may lack the right; a longer stream is nobody's harm.
            with contextlib.suppress(RefusedError):
                self._wire.call(*command)

    # Reading

    def merged(self, issuers: t.Mapping[str, Rules], gates: t.Sequence[str]) -> Merge:
        """All that the hub has, as gates have it."""
        merge, now = Merge(issuers), self.now()
        streams = {OPERATE: keys.operate(self._fleet)}
        streams.update({REVOKED + gate: keys.revoked(self._fleet, gate) for gate in gates})
        streams.update({ISSUE + name: keys.issue(self._fleet, name) for name in issuers})
        for digest, value in self._standing():
            merge.feed_standing(records.read_standing(digest, value))
        for stream, key in streams.items():
            first = "-"
            while True:
                entries = self._wire.call("XRANGE", key, first, "+", "COUNT", _AT_A_TIME, fields_at=_FIELDS_AT)
                for identity, fields in entries:
                    place = records.parse_id(identity)
                    if place is not None:
                        merge.feed(records.read(stream, place, fields), now)
                        first = f"({records.id_text(place)}"
                if len(entries) < _AT_A_TIME:
                    break
        return merge

    def _standing(self) -> t.Iterator[t.Tuple[t.Any, t.Any]]:
        cursor: t.Union[str, bytes] = "0"
        while True:
            cursor, found = self._wire.call("HSCAN", keys.standing(self._fleet), cursor, "COUNT", _AT_A_TIME)
            yield from zip(found[::2], found[1::2])
            if cursor == b"0":
                return

    def gates(self, names: t.Sequence[str]) -> t.List[Report]:
        """How far these gates are, by their own reports, behind what the hub has by now."""
        last = self._wire.call("XREVRANGE", keys.operate(self._fleet), "+", "-", "COUNT", 1, fields_at=_FIELDS_AT)
        place = (records.parse_id(last[0][0]) if last else None) or START
        now = self.now()
        return [
            Report(gate, _silent(time_of, now), (found or START) >= place)
            for gate, (found, time_of) in self._reported(names).items()
        ]

    def _reported(self, gates: t.Sequence[str]) -> t.Dict[str, t.Tuple[t.Optional[Id], t.Any]]:
        """The position of each gate in `operate`, and the time of its report."""
        if not gates:
            return {}
        replies = self._wire.calls([("HMGET", keys.gate(self._fleet, gate), OPERATE, "time") for gate in gates])
        return {gate: (records.parse_id(place), time_of) for gate, (place, time_of) in zip(gates, replies)}

    def _append(self, fields: t.Sequence[str]) -> Id:
        place = records.parse_id(self._wire.append(keys.operate(self._fleet), fields))
        if place is None:
            raise HubError("the hub gives no id for what was appended")
        return place

    def _take_out(self, is_meant: t.Callable[[str, records.Issue], bool]) -> None:
        for digest, value in list(self._standing()):
            issue = records.read_standing(digest, value)
            if isinstance(issue, records.Issue) and is_meant(digest.decode("ascii"), issue):
                self._wire.call("HDEL", keys.standing(self._fleet), digest)

    def wait(self, place: Id, gates: t.Sequence[str], seconds: float) -> t.List[Waiting]:
        """Wait until these gates have reported that they are at or past an entry; return those that have not."""
        until = time.monotonic() + seconds
        left = list(gates)
        while left:
            reported = self._reported(left)
            left = [gate for gate in left if (reported[gate][0] or START) < place]
            if time.monotonic() >= until:
                now = self.now()
                return [Waiting(gate, _silent(reported[gate][1], now)) for gate in left]
            if left:
                time.sleep(LOOK)
        return []


def _silent(reported: t.Any, now: int) -> t.Optional[float]:
    if not isinstance(reported, bytes) or not reported.isdigit() or len(reported) > 20:
        return None
    return max(0.0, round((now - int(reported)) / 1000, 1))
