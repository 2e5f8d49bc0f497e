# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to a fleet's tokens and sessions, in the order of time, and which of six rules it broke.

1. A gate that has confirmed a revocation admits nobody with that token, and its sessions are gone within a second.
2. A token that was issued and confirmed is admitted by every gate that is alive.
3. Five seconds after the last fault all gates agree.
4. Nothing that was revoked comes back, not even from a backup.
5. No token appears that nobody has issued.
6. Sessions on gates that were not touched are not cut.

A session may come ``via`` a balancer: a fault of that one concerns such sessions alone, and no gate. Who is refused
there by no gate at all is refused by each of them.

A test records what it did and what it saw, in a :class:`lib.history.History`; :func:`judge` knows nothing of how gates
work. Times are those of the monotonic clock of one process. ``since`` is when something was begun, or when it was last
seen otherwise; ``at`` is when it was done, or seen. What is said of a token's issue or revocation, in its facts:

- ``confirmed``: the hub has answered, and both replicas have it. What is not confirmed may have happened or not.
- ``owner``: who issued it. ``ends``: when it ends.

A ``LOST`` event tells what the hub lost by an act of its operator: what ``owners`` (None: anybody) wrote from ``since``
to ``at``. Such an issue need not reach anybody, and such a revocation counts only where a gate has confirmed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .history import ADMITTED, BEGAN, CLOSED, ECHOED, ENDED, LEFT, NEVER, OVER, REFUSED, SILENCE, Event, percentile

ISSUED, REVOKED, CONFIRMED = "issued", "revoked", "confirmed"
APPEARED, VANISHED, LOST, QUIET = "appeared", "vanished", "lost", "quiet"
# Seconds: until a confirmed token is admitted, until sessions of a revoked one are gone, until all gates agree
ADMIT_WITHIN, END_WITHIN, AGREE_WITHIN = 2.0, 1.0, 5.0
# By which clocks differ at most: so close to its end nothing is asked of a token.
SKEW = 75.0


@dataclass
class Token:
    """What was done to a token."""

    name: str
    owner: str
    since: float
    at: float
    confirmed: bool
    ends: float
    revoked_since: float = NEVER
    revoked_at: float = NEVER
    revocation_is_confirmed: bool = False
    # Gates that have confirmed the revocation, and when that was seen
    gates: dict[str, float] = field(default_factory=dict)
    is_lost: bool = False
    revocation_is_lost: bool = False

    def is_valid_until(self) -> float:
        return min(self.revoked_since, self.ends - SKEW)

    def is_revoked(self) -> bool:
        """Whether its revocation has to hold."""
        return bool(self.gates) or (self.revocation_is_confirmed and not self.revocation_is_lost)


@dataclass
class Presence:
    """A token's file on a gate: not yet there, first seen, last seen, gone."""

    absent: float
    seen: float
    last: float = NEVER
    gone: float = NEVER


@dataclass
class Fault:
    """``gates``: which it concerns, None for all. Without an ``agent`` no session can be ended.

    ``via``: it is a balancer's, and concerns whoever comes through that one.
    """

    name: str
    begin: float
    gates: Sequence[str] | None = None
    agent: bool = False
    cuts: bool = False
    refuses: bool = False
    via: bool = False
    end: float = NEVER
    grace: float = AGREE_WITHIN

    def concerns(self, gate: str) -> bool:
        return self.gates is None or gate in self.gates


@dataclass
class Session:
    name: str
    token: str
    gate: str
    since: float
    at: float
    closed: float = NEVER
    left: float = NEVER
    echoed: float = -NEVER
    via: bool = False


@dataclass
class Verdict:
    """What was wrong: the number of the rule, and a sentence. How often what happened, and how long it took."""

    problems: list[tuple[int, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    admitted: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def add(self, rule: int, words: str) -> None:
        self.problems.append((rule, words))

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def figures(self) -> dict[str, Any]:
        return {
            **dict(sorted(self.counts.items())),
            **{f"issue_to_file_{name}": percentile(self.admitted, share) for name, share in SHARES.items()},
            **{f"revoke_to_closed_{name}": percentile(self.ended, share) for name, share in SHARES.items()},
        }


SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


class Judge:
    """Reads a history once, and asks each rule."""

    def __init__(self, events: Iterable[Event], gates: Sequence[str]) -> None:
        self.gates = gates
        self.tokens: dict[str, Token] = {}
        self.files: dict[tuple[str, str], list[Presence]] = {}
        self.faults: list[Fault] = []
        self.sessions: dict[str, Session] = {}
        self.refused: list[Event] = []
        self.quiet: list[float] = []
        self.end = NEVER
        ordered = sorted(events, key=lambda event: event.at)
        # A gate may be faster than the answer to whoever issued.
        for event in ordered:
            if event.kind == ISSUED:
                self.tokens[event.name] = Token(event.name, since=event.since, at=event.at, **event.facts)
        for event in ordered:
            if event.kind != ISSUED:
                self._read(event)

    def _read(self, event: Event) -> None:
        if event.kind == REVOKED:
            token = self.tokens[event.name]
            token.revoked_since, token.revoked_at = event.since, event.at
            token.revocation_is_confirmed = event.facts["confirmed"]
        elif event.kind == CONFIRMED:
            self.tokens[event.name].gates.setdefault(event.facts["gate"], event.at)
        elif event.kind == LOST:
            self._lose(event)
        elif event.kind in (APPEARED, VANISHED):
            self._see(event)
        elif event.kind == ADMITTED:
            self.sessions[event.name] = Session(
                event.name, event.facts["token"], event.facts["gate"], event.since, event.at,
                via=event.facts.get("via", False),
            )  # fmt: skip
        elif event.kind == REFUSED:
            self.refused.append(event)
        elif event.kind == ECHOED:
            self.sessions[event.name].echoed = event.at
        elif event.kind == CLOSED:
            self.sessions[event.name].closed = event.at
        elif event.kind == LEFT:
            self.sessions[event.name].left = event.since
        elif event.kind == BEGAN:
            self.faults.append(Fault(event.name, event.since, **event.facts))
        elif event.kind == ENDED:
            for fault in self.faults:
                if fault.name == event.name and fault.end == NEVER:
                    fault.end, fault.grace = event.at, event.facts.get("grace", fault.grace)
        elif event.kind == QUIET:
            self.quiet.append(event.at)
        elif event.kind == OVER:
            self.end = event.at

    def _lose(self, event: Event) -> None:
        owners = event.facts["owners"]
        for token in self.tokens.values():
            if token.at >= event.since and token.since <= event.at and (owners is None or token.owner in owners):
                token.is_lost = True
            if owners is None and token.revoked_at >= event.since and token.revoked_since <= event.at:
                token.revocation_is_lost = True

    def _see(self, event: Event) -> None:
        found = self.files.setdefault((event.facts["gate"], event.name), [])
        if event.kind == APPEARED:
            found.append(Presence(event.since, event.at))
        else:
            found[-1].last, found[-1].gone = event.since, event.at

    # Questions

    def due(self, gate: str, moment: float, within: float, only_agent: bool = False) -> float:
        """Until when that must be done on a gate which is due from a moment on."""
        due = moment + within
        while True:
            later = [
                fault.end + fault.grace
                for fault in self.faults
                if fault.concerns(gate)
                and not fault.via
                and (fault.agent or not only_agent)
                and fault.begin < due
                and moment < fault.end + fault.grace
                and fault.end + fault.grace > due
            ]
            if not later:
                return due
            due = max(later)

    def is_there(self, gate: str, token: str, moment: float) -> bool | None:
        """Whether a token's file was there; None where that was not seen."""
        for one in self.files.get((gate, token), ()):
            if one.seen <= moment <= min(one.last, self.end):
                return True
            if one.absent < moment < one.seen or min(one.last, self.end) < moment < one.gone:
                return None
        return False

    def verdict(self) -> Verdict:
        verdict = Verdict()
        for token in self.tokens.values():
            verdict.count("issued" if token.confirmed else "issued without being confirmed")
            if token.revoked_since < NEVER:
                verdict.count("revoked")
                verdict.counts["confirmed by gates"] = verdict.counts.get("confirmed by gates", 0) + len(token.gates)
            for gate in self.gates:
                self._judge_issue(token, gate, verdict)
                self._judge_revocation(token, gate, verdict)
        for session in self.sessions.values():
            verdict.count("sessions")
            self._judge_session(session, verdict)
        for event in self.refused:
            verdict.count("refused")
            self._judge_refusal(event, verdict)
        for moment in self.quiet:
            self._judge_agreement(moment, verdict)
        for gate, name in self.files:
            if name not in self.tokens:
                verdict.add(5, f"{name} is on gate {gate}, and nobody has issued it")
        for fault in self.faults:
            verdict.count(f"fault: {fault.name.partition(' of ')[0]}")
        return verdict

    def _judge_issue(self, token: Token, gate: str, verdict: Verdict) -> None:
        """Rule 2: it comes, and it does not go."""
        found = self.files.get((gate, token.name), [])
        for one in found:
            if one.gone < token.is_valid_until():
                verdict.add(2, f"{token.name} went from gate {gate} although nobody revoked it")
        if not token.confirmed or token.is_lost:
            return
        due = self.due(gate, token.at, ADMIT_WITHIN)
        if due < min(token.is_valid_until(), self.end) and not any(one.absent <= due for one in found):
            late = f"came {found[0].seen - token.at:.2f} s after its issue" if found else "never came"
            verdict.add(2, f"{token.name} of {token.owner} {late} to gate {gate}")
        elif found and due == token.at + ADMIT_WITHIN:
            verdict.admitted.append(max(0.0, found[0].seen - token.at))

    def _judge_revocation(self, token: Token, gate: str, verdict: Verdict) -> None:
        """Rules 1 and 4: once a gate has confirmed it the file is gone, and in the end it is gone everywhere."""
        found = self.files.get((gate, token.name), [])
        confirmed = token.gates.get(gate, NEVER)
        for one in found:
            if one.absent > confirmed:
                verdict.add(4, f"{token.name} came back on gate {gate} {one.seen - confirmed:.2f} s after it confirmed")
            elif min(one.last, self.end) > confirmed:
                late = min(one.last, self.end) - confirmed
                verdict.add(1, f"{token.name} was on gate {gate} still {late:.2f} s after that gate confirmed")
        if not token.is_revoked() or confirmed < NEVER:
            return
        due = self.due(gate, token.revoked_at, AGREE_WITHIN)
        if found and found[-1].gone == NEVER and due < self.end:
            verdict.add(4, f"{token.name} is on gate {gate} {self.end - token.revoked_at:.2f} s after its revocation")

    def _judge_session(self, session: Session, verdict: Verdict) -> None:
        """Rules 1, 4 and 6."""
        token = self.tokens.get(session.token)
        if token is None:
            verdict.add(5, f"{session.name} was admitted by gate {session.gate} with a token that nobody has issued")
            return
        confirmed = token.gates.get(session.gate, NEVER)
        if session.since > confirmed:
            late = session.since - confirmed
            verdict.add(1, f"{session.name} was admitted by gate {session.gate} {late:.2f} s after it confirmed")
        elif confirmed < NEVER:
            due = self.due(session.gate, max(confirmed, session.at), END_WITHIN, only_agent=True)
            end = min(session.closed, session.left, self.end)
            if end > due:
                verdict.add(1, f"{session.name} was open {end - confirmed:.2f} s after gate {session.gate} confirmed")
            elif session.closed < session.left and due == confirmed + END_WITHIN:
                verdict.ended.append(max(0.0, session.closed - token.revoked_at))
        elif token.is_revoked() and session.since > self.due(session.gate, token.revoked_at, AGREE_WITHIN):
            verdict.add(4, f"{session.name} was admitted by gate {session.gate} long after its token was revoked")
        if session.closed < min(session.left, token.is_valid_until()) and not self._is_excused(
            session.gate, session.closed, session.closed, "cuts", session.via
        ):
            verdict.add(6, f"{session.name} on gate {session.gate} was cut although its token was valid")
        until = min(session.closed, session.left, token.is_valid_until(), self.end)
        last = max(session.echoed, session.at)
        if (
            until == self.end
            and until - last > SILENCE
            and not self._is_excused(session.gate, last, until, "cuts", session.via)
        ):
            verdict.add(6, f"{session.name} on gate {session.gate} has not echoed for {until - last:.0f} s")

    def _judge_refusal(self, event: Event, verdict: Verdict) -> None:
        """Rule 2: what has come is admitted."""
        token, gate = self.tokens.get(event.facts["token"]), event.facts["gate"]
        if token is None or event.at >= token.is_valid_until():
            return
        via = event.facts.get("via", False)
        # A balancer refuses where it finds no gate, and any trouble may have kept it from that.
        what, gates = ("refuses", [gate]) if gate else ("", self.gates)
        was_there = all(
            any(one.seen < event.since and event.at < one.gone for one in self.files.get((one_gate, token.name), ()))
            for one_gate in gates
        )
        if was_there and not any(self._is_excused(one, event.since, event.at, what, via) for one in gates):
            who = f"gate {gate}" if gate else "the balancer"
            verdict.add(2, f"{event.name} was refused by {who} ({event.facts['why']}) although its token is valid")

    def _is_excused(self, gate: str, since: float, at: float, what: str, via: bool) -> bool:
        """Whether a fault that cuts or refuses, or for '' any, was then at this gate, or at the balancer."""
        return any(
            (not what or getattr(fault, what))
            and (via or not fault.via)
            and fault.concerns(gate)
            and fault.begin <= at
            and since <= fault.end + fault.grace
            for fault in self.faults
        )

    def _judge_agreement(self, moment: float, verdict: Verdict) -> None:
        """Rule 3, at a moment that is five seconds after the last fault. Being too busy is one, too."""
        if any(one.begin < moment and one.end > moment - AGREE_WITHIN for one in self.faults):
            return
        verdict.count("looks at whether gates agree")
        for token in self.tokens.values():
            is_settled = token.at < moment - AGREE_WITHIN and token.ends - SKEW > moment
            is_settled = is_settled and (token.revoked_since > moment or token.revoked_at < moment - AGREE_WITHIN)
            if not is_settled or not token.confirmed or token.is_lost:
                continue
            there = {gate: self.is_there(gate, token.name, moment) for gate in self.gates}
            if {True, False} <= set(there.values()):
                has = ", ".join(gate for gate, is_there in there.items() if is_there)
                verdict.add(3, f"gates do not agree: {token.name} of {token.owner} is on {has} alone")


def judge(events: Iterable[Event], gates: Sequence[str]) -> Verdict:
    """Which rules were broken."""
    return Judge(events, gates).verdict()
