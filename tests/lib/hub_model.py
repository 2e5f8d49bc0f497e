# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate should do with the records of the hub: a second answer, slow and simple, from docs/hub-tokens.md.

It imports nothing of the collection. An entry is an id and its fields; a world has the entries of each stream.
"""

from __future__ import annotations

import hashlib
import random
import typing as t

Id = t.Tuple[int, int]
Entry = t.Tuple[Id, t.Dict[str, str]]
World = t.Dict[str, t.List[Entry]]
ALLOWED_SKEW = 60_000
DIGITS = "0123456789"


class Issued(t.NamedTuple):
    stream: str
    id: Id
    token: str
    subject: str | None
    end: float
    # Of one that was adopted: when it was issued, in seconds
    adopted: int | None = None


class Bounds(t.NamedTuple):
    max_ttl: int
    subjects: tuple[str, ...]
    max_tokens: int


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _good_number(text: str) -> bool:
    return bool(text) and all(one in DIGITS for one in text) and len(text) <= 12 and int(text) > 0


def _good_token(text: str) -> bool:
    return 16 <= len(text) <= 128 and all(one.isascii() and (one.isalnum() or one in "_-") for one in text)


def _good_subject(text: str) -> bool:
    return 0 < len(text.encode()) <= 255 and all(one.isprintable() for one in text)


def issues(world: World, bounds: dict[str, Bounds], now: int) -> list[Issued]:
    """All issues within their issuer's bounds, whether they count or not."""
    found = []
    for stream, entries in world.items():
        if stream == "operate":
            for place, fields in entries:
                if fields.get("type") == "issue" and _good_token(fields["token"]):
                    end = place[0] + 1000 * int(fields["ttl"]) if "ttl" in fields else float("inf")
                    found.append(Issued(stream, place, fields["token"], fields.get("subject"), end))
                elif fields.get("type") == "adopt":
                    end = 1000 * int(fields["expires_at"]) if "expires_at" in fields else float("inf")
                    since = int(fields["issued_at"])
                    found.append(Issued(stream, place, fields["token"], fields.get("subject"), end, since))
        elif stream.startswith("issue:") and stream[6:] in bounds:
            rules = bounds[stream[6:]]
            mine: list[Issued] = []
            for place, fields in entries:
                if place[0] > now + ALLOWED_SKEW:
                    break
                if set(fields) != {"token", "subject", "ttl"} or not _good_token(fields["token"]):
                    continue
                if not _good_number(fields["ttl"]) or int(fields["ttl"]) > rules.max_ttl:
                    continue
                subject = fields["subject"]
                if not _good_subject(subject):
                    continue
                if rules.subjects and not any(subject.startswith(one) for one in rules.subjects):
                    continue
                one = Issued(stream, place, fields["token"], subject, place[0] + 1000 * int(fields["ttl"]))
                if sum(other.end > place[0] for other in mine) < rules.max_tokens:
                    found.append(one)
                mine.append(one)
    return found


def _voids(world: World) -> dict[str, Id]:
    found: dict[str, Id] = {}
    for stream, entries in world.items():
        if stream.startswith("revoked:"):
            for place, fields in entries:
                if fields["type"] == "void":
                    number, _dash, rest = fields["since"].partition("-")
                    since = int(number), int(rest)
                    if since[0] > place[0] + ALLOWED_SKEW:
                        found[fields["issuer"]] = min(since, found.get(fields["issuer"], since))
    return found


def _told_again(place: Id, fields: dict[str, str], now: int) -> Id | None:
    """Where a cut-off stood that the hub has lost and a gate tells again; None for one that does not count."""
    millisecond, _dash, rest = fields["at"].partition("-")
    at = int(millisecond), int(rest)
    if at[0] > now + ALLOWED_SKEW:
        return None
    return at if at[0] <= place[0] else (place[0], at[1])


def _after(issue: Issued, stream: str, place: Id) -> bool:
    return issue.id > place if stream == issue.stream else issue.id[0] > place[0]


def states(world: World, bounds: dict[str, Bounds], now: int) -> dict[str, Issued | str]:
    """For each token the issue that counts, or 'barred'; a token of which nothing is known is not there."""
    everything = issues(world, bounds, now)
    voids = _voids(world)
    revocations: list[tuple[str, Id, str]] = []
    cuts: list[tuple[str, Id, str, float]] = []
    for stream, entries in world.items():
        for place, fields in entries:
            if stream == "operate" or stream.startswith("revoked:"):
                if fields["type"] == "revoke" and "fingerprint" in fields:
                    revocations.append((stream, place, fields["fingerprint"]))
                elif fields["type"] == "cut":
                    before = 1000 * int(fields["before"]) if "before" in fields else float("inf")
                    at = place if stream == "operate" else _told_again(place, fields, now)
                    if at is not None:
                        cuts.append(("operate", at, fields["subject"], before))

    def is_cut(issue: Issued, stream: str, place: Id, before: float) -> bool:
        if issue.adopted is None:
            return issue.id[0] < before and not _after(issue, stream, place)
        # The second of a cut-off counts, as for a token that was made on a gate.
        seconds = place[0] // 1000 + (place[0] % 1000 > 0)
        return issue.adopted < seconds and 1000 * issue.adopted < before

    def taken_back_by(issue: Issued) -> list[tuple[str, Id]]:
        """The records that take an issue back. One from the very beginning for a stream that is void there."""
        found = [
            (stream, place)
            for stream, place, digits in revocations
            if fingerprint(issue.token).startswith(digits)
            and not (issue.stream == "operate" and issue.adopted is None and _after(issue, stream, place))
        ]
        found += [
            (stream, place)
            for stream, place, subject, before in cuts
            if subject == issue.subject and is_cut(issue, stream, place, before)
        ]
        if issue.stream[:6] == "issue:" and issue.stream[6:] in voids and issue.id >= voids[issue.stream[6:]]:
            found.append(("", (-1, 0)))
        return found

    result: dict[str, Issued | str] = {}
    for token in {one.token for one in everything}:
        mine = sorted(
            (one for one in everything if one.token == token), key=lambda one: (one.id[0], one.stream, one.id)
        )
        for number, one in enumerate(mine):
            backs = taken_back_by(one)
            if backs:
                result.setdefault(token, "barred")
                continue
            if all(
                other.end <= one.id[0] or any(_after(one, stream, place) for stream, place in taken_back_by(other))
                for other in mine[:number]
                if one.stream != "operate" or other.stream == "operate"
            ):
                result[token] = one
        result.setdefault(token, "barred")
    return result


def signed(world: World, longest: int, now: int) -> dict[tuple[str, str], tuple[int, int | None]]:
    """What is taken back of signed tokens, by kind and name: until when, and of a subject those issued before when."""
    found: dict[tuple[str, str], tuple[int, int | None]] = {}
    for stream, entries in world.items():
        for place, fields in entries:
            before: int | None = None
            at: Id | None = place
            if "token_id" in fields:
                key = ("jti", fields["token_id"])
            elif "subject_id" in fields:
                key, before = ("sub", fields["subject_id"]), int(fields["before"])
            elif fields.get("type") == "cut":
                at = place if stream == "operate" else _told_again(place, fields, now)
                if at is None:
                    continue
                key = ("sub", hashlib.sha256(fields["subject"].encode()).hexdigest())
                before = int(fields.get("signed_before", fields.get("before", at[0] // 1000 + 1)))
            else:
                continue
            until = int(fields.get("until", max(at[0] // 1000, before or 0) + longest + 1))
            former = found.get(key, (0, 0))
            found[key] = max(until, former[0]), None if before is None else max(before, former[1] or 0)
    return found


# Worlds


def random_world(source: random.Random, start: int) -> World:
    """Records of a few tokens and subjects within a few seconds, so that they meet."""
    tokens = [f"token-of-the-model-{number}" for number in range(4)]
    subjects = ["app-a", "app-b", "other"]
    world: World = {
        name: [] for name in ("operate", "issue:one", "issue:two", "issue:unknown", "revoked:g1", "revoked:g2")
    }
    clock = start
    for _step in range(source.randint(1, 18)):
        clock += source.choice([0, 0, 1, 400, 2500])
        stream = source.choice([*world, "operate", "issue:one"])
        entries = world[stream]
        place = (clock, 0)
        if stream.startswith("issue:") and source.random() < 0.06:
            place = (clock + source.choice([50_000, 70_000, 10**9]), 0)
        if entries and place <= entries[-1][0]:
            place = (entries[-1][0][0], entries[-1][0][1] + 1)
        token, subject = source.choice(tokens), source.choice(subjects)
        fields = {"token": token, "subject": subject, "ttl": str(source.choice([1, 3, 60, 61]))}
        if stream.startswith("issue:") and source.random() < 0.1:
            fields[source.choice(list(fields))] = source.choice(["", "0", "-1", "\u0663", "x", "9" * 13, "1\n"])
        elif stream == "operate":
            kind = source.choice(["issue", "revoke", "cut", "adopt"])
            fields = {"type": kind, **fields}
            if source.random() < 0.3:
                del fields["ttl"]
            if kind == "adopt":
                since = source.choice([0, clock // 1000 - 2, clock // 1000, clock // 1000 + 1])
                fields = {"type": kind, "token": token, "subject": subject, "issued_at": str(since)}
                if source.random() < 0.5:
                    fields["expires_at"] = str(clock // 1000 + source.choice([1, 60]))
            elif kind == "revoke" and source.random() < 0.3:
                fields = {"type": kind, "token_id": fingerprint(token)}
                if source.random() < 0.5:
                    fields["until"] = str(clock // 1000 + source.choice([1, 60]))
            elif kind == "revoke":
                fields = {"type": kind, "fingerprint": fingerprint(token)[: source.choice([12, 64])]}
            elif kind == "cut":
                fields = {"type": kind, "subject": subject}
                if source.random() < 0.5:
                    fields["before"] = str(clock // 1000 + source.choice([-3, 0, 1, 100]))
                if source.random() < 0.3:
                    fields["signed_before"] = str(clock // 1000 + source.choice([-3, 0, 1, 100]))
        elif stream.startswith("revoked:"):
            fields = {"type": "revoke", "fingerprint": fingerprint(token)}
            if source.random() < 0.2:
                fields = {"type": "revoke", "token_id": fingerprint(token), "until": str(clock // 1000 + 60)}
            elif source.random() < 0.2:
                before = str(clock // 1000 - source.choice([0, 5]))
                fields = {"type": "revoke", "subject_id": fingerprint(subject), "before": before}
            elif source.random() < 0.3:
                at = clock - source.choice([3000, 400, 1, 0, -1, -70_000])
                fields = {"type": "cut", "subject": subject, "at": f"{at}-{source.choice([0, 1])}"}
                if source.random() < 0.3:
                    fields["before"] = str(clock // 1000 + source.choice([-3, 0, 100]))
            elif source.random() < 0.2:
                since = clock + source.choice([-1, 1000, 70_000])
                fields = {"type": "void", "issuer": source.choice(["one", "two"]), "since": f"{since}-0"}
        entries.append((place, fields))
    return world
