# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to tokens and sessions, in the order of time, and what of it was wrong.

A test records events while a gate works: tokens that are written and removed, sessions that are admitted, echo and are
closed, faults that begin and end. :func:`judge` finds what was open although it should have been closed, and what was
closed although it should have been open. It knows nothing of how the gate works. Times are those of the monotonic clock
of one process. What takes a while has two: ``since``, before it was begun, and ``at``, when it was done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

# Seconds within which a session has to be closed after its token's end
ALLOWED = 1.0
# A handshake that begins so close to a change of its token's file may be of the time before it, or of the time after.
NEAR = 0.1
# A token's end is a time of day. Converting it to the monotonic clock, and back, is as good as this.
CLOCKS = 0.02
# A session that echoes every second and has not for so long is dead, though nobody closed it.
SILENCE = 15.0

WRITTEN, REMOVED, REVOKED = "written", "removed", "revoked"
ADMITTED, REFUSED, ECHOED, CLOSED, LEFT = "admitted", "refused", "echoed", "closed", "left"
KILLED, STARTED, BEGAN, ENDED, OVER = "killed", "started", "began", "ended", "over"
EXPIRED = "expired"
NO_AGENT = "no agent"
NEVER = float("inf")


class Event(NamedTuple):
    """Something that happened: to a token, to a session, to the agent, or a fault."""

    kind: str
    name: str
    at: float
    since: float
    facts: dict[str, Any]


class History:
    """Events as they are recorded. The same calls serve a test that plants a history, with times of its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        # The last one of each session: half an hour has a million of them.
        self.echoes: dict[str, float] = {}

    def note(self, kind: str, name: str, at: float | None = None, since: float | None = None, **facts: Any) -> None:
        at = time.monotonic() if at is None else at
        self.events.append(Event(kind, name, at, at if since is None else since, facts))

    def echo(self, session: str, at: float | None = None) -> None:
        self.echoes[session] = time.monotonic() if at is None else at

    def over(self, at: float | None = None) -> list[Event]:
        """All that happened, at the end of the time that is looked at."""
        self.note(OVER, "", at)
        return self.events + [Event(ECHOED, name, at, at, {}) for name, at in self.echoes.items()]

    def save(self, path: Path) -> None:
        """One JSON array a line, for whoever wants to know what happened."""
        path.write_text("".join(json.dumps(event) + "\n" for event in self.events))


@dataclass
class Life:
    """A token's file from when it was there until its end: removed or revoked (in a span of time), or expired."""

    token: str
    since: float
    begin: float
    end_since: float = NEVER
    end: float = NEVER
    cause: str = ""
    # When it was removed, where that came after its end
    gone: float = NEVER
    # When its file was written once more, to prolong or to shorten it
    written: list[float] = field(default_factory=list)


@dataclass
class Fault:
    """Something that was broken on purpose, and for how long after its end it may still be felt."""

    name: str
    begin: float
    end: float = NEVER
    grace: float = ALLOWED
    cuts: bool = False
    refuses: bool = False
    # What goes and comes again meanwhile cannot be told from what stayed.
    blinds: bool = False


@dataclass
class Session:
    name: str
    token: str
    since: float
    admitted: float
    closed: float = NEVER
    left: float = NEVER
    echoed: float = -NEVER

    @property
    def end(self) -> float:
        return min(self.closed, self.left)


@dataclass
class Verdict:
    """What was wrong, one sentence each, and how long things took."""

    problems: list[str] = field(default_factory=list)
    # Seconds from a token's end, or the admission after it, to the end of a session; without and with a fault meanwhile
    delays: list[float] = field(default_factory=list)
    delays_in_faults: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def figures(self) -> dict[str, Any]:
        return {
            **dict(sorted(self.counts.items())),
            "delay_p50": percentile(self.delays, 0.5),
            "delay_p99": percentile(self.delays, 0.99),
            "delay_max": percentile(self.delays, 1),
            "delay_in_faults_p50": percentile(self.delays_in_faults, 0.5),
            "delay_in_faults_max": percentile(self.delays_in_faults, 1),
        }


def percentile(values: Iterable[float], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


class Judge:
    """Reads a history once. Every question about a token, a fault or a session is then one about what it found."""

    def __init__(self, events: Iterable[Event], allowed: float) -> None:
        self.allowed = allowed
        self.lives: dict[str, list[Life]] = {}
        self.faults: list[Fault] = []
        self.sessions: dict[str, Session] = {}
        self.refused: list[Event] = []
        self.end = NEVER
        for event in sorted(events, key=lambda event: event.at):
            self._read(event)

    def _read(self, event: Event) -> None:
        if event.kind == WRITTEN:
            self._written(event)
        elif event.kind in (REMOVED, REVOKED):
            life = self.lives[event.name][-1]
            if life.end > event.since:
                life.end_since, life.end, life.cause = event.since, event.at, event.kind
            life.gone = min(life.gone, event.at)
        elif event.kind == ADMITTED:
            self.sessions[event.name] = Session(event.name, event.facts["token"], event.since, event.at)
        elif event.kind == REFUSED:
            self.refused.append(event)
        elif event.kind == ECHOED:
            self.sessions[event.name].echoed = event.at
        elif event.kind == CLOSED:
            self.sessions[event.name].closed = event.at
        elif event.kind == LEFT:
            self.sessions[event.name].left = event.since
        elif event.kind in (KILLED, BEGAN):
            name, facts = (NO_AGENT, {"blinds": True}) if event.kind == KILLED else (event.name, event.facts)
            self.faults.append(Fault(name, event.since, **facts))
        elif event.kind in (STARTED, ENDED):
            name = NO_AGENT if event.kind == STARTED else event.name
            for fault in self.faults:
                if fault.name == name and fault.end == NEVER:
                    fault.end, fault.grace = event.at, event.facts.get("grace", fault.grace)
        elif event.kind == OVER:
            self.end = event.at

    def _written(self, event: Event) -> None:
        ends = event.facts.get("ends", NEVER)
        # One that is over already when it is written ends then.
        span = max(ends, event.since), max(ends, event.at)
        lives = self.lives.setdefault(event.name, [])
        if lives and lives[-1].gone == NEVER and event.since < lives[-1].end:
            lives[-1].end_since, lives[-1].end = span  # the same file, prolonged or shortened
            lives[-1].written.append(event.at)
        else:
            lives.append(Life(event.name, event.since, event.at, *span))
        lives[-1].cause = EXPIRED if ends != NEVER else ""

    # Questions

    def is_in_fault(self, begin: float, end: float) -> bool:
        return any(fault.begin < end and begin < fault.end + fault.grace for fault in self.faults)

    def due(self, moment: float) -> float:
        """Until when that must be done which is due from a moment on."""
        due = moment + self.allowed
        while True:
            later = [
                fault.end + fault.grace
                for fault in self.faults
                if fault.begin < due and moment < fault.end + fault.grace and fault.end + fault.grace > due
            ]
            if not later:
                return due
            due = max(later)

    def life_of(self, session: Session) -> Life | None:
        """The one during which it was admitted; of two that are possible none."""
        possible = [
            life
            for life in self.lives.get(session.token, [])
            if life.since - NEAR <= session.admitted and session.since <= self._door(life)
        ]
        return possible[0] if len(possible) == 1 else None

    def _door(self, life: Life) -> float:
        """Until when it may admit somebody: a removed file nobody, one that has expired until it is removed."""
        return min(self.due(life.end), life.gone) + NEAR if life.cause == EXPIRED else life.end + NEAR

    def is_unknowable(self, life: Life) -> bool:
        """Whether it went and came again while nobody could see that."""
        lives = self.lives[life.token]
        after = lives[lives.index(life) + 1 :]
        return bool(after) and any(
            fault.blinds and fault.begin < self.due(life.end) and after[0].begin <= fault.end + fault.grace
            for fault in self.faults
        )

    def is_of_before(self, life: Life, session: Session) -> bool:
        """Whether it may pass for a session of the life before: the file of this one was written again too soon.

        Who has not looked between the two knows the time of the last writing alone.
        """
        number = self.lives[life.token].index(life)
        if number == 0:
            return False
        due = self.due(self.lives[life.token][number - 1].end)
        return any(session.admitted <= at + NEAR and at <= due for at in life.written)

    def verdict(self) -> Verdict:
        verdict = Verdict()
        for session in self.sessions.values():
            self._judge(session, verdict)
        for event in self.refused:
            verdict.count("refused")
            self._judge_refusal(event, verdict)
        for fault in self.faults:
            verdict.count(f"fault: {fault.name.partition(' of ')[0]}")
        for lives in self.lives.values():
            for life in lives:
                verdict.count(life.cause if life.cause and life.end <= self.end else "lasting")
        return verdict

    def _judge(self, session: Session, verdict: Verdict) -> None:
        verdict.count("sessions")
        lives = [life for life in self.lives.get(session.token, []) if life.since - NEAR <= session.admitted]
        if all(self._door(life) < session.since for life in lives):
            after = f"{session.since - lives[-1].end:.2f} s after its token's end" if lives else "without a token"
            verdict.problems.append(f"{session.name} was admitted {after}")
            return
        life = self.life_of(session)
        if life is None or self.is_unknowable(life):
            verdict.count("ambiguous")
            return
        begin = max(life.end, session.admitted)
        due = self.due(begin)
        if session.end == session.closed and session.closed < life.end_since - CLOCKS:
            if self.is_of_before(life, session):
                verdict.count("ambiguous")
            elif not any(
                fault.cuts and fault.begin <= session.closed <= fault.end + fault.grace for fault in self.faults
            ):
                when = "" if life.end == NEVER else f", {life.end_since - session.closed:.2f} s before its end"
                verdict.problems.append(f"{session.name} was cut although its token was valid{when}")
            return
        if session.end < begin or begin == NEVER:
            self._judge_silence(session, min(session.end, life.end_since, self.end), verdict)
            return
        is_in_fault = self.is_in_fault(begin, min(session.end, due))
        if session.end == NEVER:
            if due < self.end:
                verdict.problems.append(
                    f"{session.name} was never ended: its token was {life.cause} {self.end - life.end:.2f} s ago"
                )
        elif session.end > due:
            verdict.problems.append(
                f"{session.name} ended {session.end - begin:.2f} s after its token was {life.cause}, "
                f"{session.end - due:.2f} s too late"
            )
        if session.closed != NEVER and session.closed <= session.left:
            (verdict.delays_in_faults if is_in_fault else verdict.delays).append(session.closed - begin)
            verdict.count("ended")

    def _judge_silence(self, session: Session, until: float, verdict: Verdict) -> None:
        if session.end < NEVER and session.end <= until:
            return
        last = max(session.echoed, session.admitted)
        if until - last > SILENCE and not self.is_in_fault(last, until):
            verdict.problems.append(f"{session.name} has not echoed for the last {until - last:.0f} s of its life")

    def _judge_refusal(self, event: Event, verdict: Verdict) -> None:
        was_valid = any(
            life.begin < event.since and event.at < life.end_since - CLOCKS
            for life in self.lives.get(event.facts["token"], [])
        )
        is_excused = any(
            fault.refuses and fault.begin < event.at and event.since < fault.end + fault.grace for fault in self.faults
        )
        if was_valid and not is_excused:
            verdict.problems.append(f"{event.name} was refused ({event.facts['why']}) although its token was valid")


def judge(events: Iterable[Event], allowed: float = ALLOWED) -> Verdict:
    """What was wrong. ``allowed``: seconds between a token's end and that of its sessions, without a fault."""
    return Judge(events, allowed).verdict()
