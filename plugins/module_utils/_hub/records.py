# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in the hub's streams: written and read in one place.

Whoever may append to a stream may append anything. Reading raises nothing: what is no record is Malformed, and says in
which stream, at which place and why, without a word of what it holds.
"""

from __future__ import annotations

import re
import typing as t

from .._host.error import HostError
from .._revocations.store import SUBJECTS, TOKENS, is_id
from .._tokens.record import LAST_SECOND, full_fingerprint, is_token
from .._tokens.request import check_subject

# Names of streams, as positions have them: issue:NAME, operate, revoked:GATE
OPERATE = "operate"
ISSUE = "issue:"
REVOKED = "revoked:"
# The longest that a token may live which is not in `standing`, in seconds
LONGEST = 31536000
# Digits that a fingerprint has at least, so that a revocation means one token
LEAST_FINGERPRINT = 12

Id = t.Tuple[int, int]
START: Id = (0, 0)
# Later than every entry
END: Id = (2**64 - 1, 2**64 - 1)

_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})\Z")
_NUMBER = re.compile(r"[0-9]{1,12}\Z")
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{LEAST_FINGERPRINT},64}}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_MOST = 2**64


class Issue(t.NamedTuple):
    """A token that was issued. ``ends``: when it ends, in milliseconds since 1970, None for never.

    ``issued``: of one that was there before the hub, when it was issued then, in seconds; 0 where nobody knows. Such a
    record lifts no revocation.
    """

    stream: str
    id: Id
    token: str
    subject: t.Optional[str]
    ends: t.Optional[int]
    issued: t.Optional[int] = None


class Revocation(t.NamedTuple):
    """A token that was revoked, by its fingerprint or the first digits of that."""

    stream: str
    id: Id
    fingerprint: str


class CutOff(t.NamedTuple):
    """All tokens of a subject that were issued before a time, in seconds since 1970; None is that of the record.

    ``signed_before`` is the time for signed tokens, where it is another one, and ``until`` when the last of those ends.
    ``at``: in a gate's stream, the id that an operator's record had which the hub has lost.
    """

    stream: str
    id: Id
    subject: str
    before: t.Optional[int]
    signed_before: t.Optional[int] = None
    until: t.Optional[int] = None
    at: t.Optional[Id] = None


class TakenBack(t.NamedTuple):
    """What was taken back of signed tokens, as the folder of that has it: one token, or those of a subject.

    ``until``: when the last of them ends, in seconds since 1970; None where the gate works it out.
    """

    stream: str
    id: Id
    kind: str
    name: str
    before: t.Optional[int]
    until: t.Optional[int]


class Void(t.NamedTuple):
    """What an issuer's stream has from a place on, because that place was ahead of the hub's clock."""

    stream: str
    id: Id
    issuer: str
    since: Id


class Malformed(t.NamedTuple):
    """What is no record. One that ``is_oversized`` takes more of the hub's memory than any record."""

    stream: str
    id: Id
    why: str
    is_oversized: bool = False


Record = t.Union[Issue, Revocation, CutOff, TakenBack, Void, Malformed]


class _WrongError(HostError):
    """Why something is no record."""


class _OversizedError(_WrongError):
    """It is larger than any record."""


def parse_id(text: t.Any) -> t.Optional[Id]:
    """The id of an entry, None where it is none."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    found = _ID.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    numbers = int(found[1]), int(found[2])
    return numbers if max(numbers) < _MOST else None


def id_text(place: Id) -> str:
    """As the hub writes it."""
    return f"{place[0]}-{place[1]}"


def after(place: Id) -> t.Optional[Id]:
    """The next id; None after the last that there is."""
    if place[1] + 1 < _MOST:
        return place[0], place[1] + 1
    return (place[0] + 1, 0) if place[0] + 1 < _MOST else None


# Reading


def read(stream: str, place: Id, fields: t.Any) -> Record:
    """The record of an entry of a stream; ``fields`` as the hub has sent them."""
    try:
        given = _fields(fields)
        if stream.startswith(ISSUE):
            return _issue(stream, place, given, ("token", "subject", "ttl"), ("token", "subject", "ttl"))
        kind = given.pop("type", "")
        if stream == OPERATE:
            return _operated(stream, place, kind, given)
        return _revoked(stream, place, kind, given)
    except _WrongError as error:
        return Malformed(stream, place, str(error), isinstance(error, _OversizedError))


def read_standing(digest: t.Any, fields: t.Any) -> Record:
    """The record of a token without an end, as the hash `standing` has it: ID[,ISSUED] END TOKEN SUBJECT."""
    text = fields.decode("utf-8", "replace") if isinstance(fields, bytes) else ""
    parts = text.split(" ", 3)
    first, comma, issued_at = parts[0].partition(",")
    place = parse_id(first)
    if place is None or len(parts) != 4:
        return Malformed("standing", START, "an entry is not ID END TOKEN SUBJECT")
    given = {"token": parts[2]}
    if parts[3]:
        given["subject"] = parts[3]
    if parts[1] != "-":
        given["expires_at"] = parts[1]
    try:
        found = _issue(OPERATE, place, given, ("token", "subject", "expires_at"), ("token",))
        if comma:
            found = found._replace(issued=_number(issued_at, "issued_at", LAST_SECOND, 0))
    except _WrongError as error:
        return Malformed("standing", place, str(error))
    if not isinstance(digest, bytes) or full_fingerprint(found.token) != digest.decode("ascii", "replace"):
        return Malformed("standing", place, "an entry has another fingerprint than its token")
    return found


def _fields(fields: t.Any) -> t.Dict[str, str]:
    if not isinstance(fields, list):
        raise _OversizedError("it has too many fields, or none")
    if len(fields) % 2 or not all(isinstance(one, bytes) for one in fields):
        raise _OversizedError("a field is too long")
    found: t.Dict[str, str] = {}
    try:
        texts = [one.decode("utf-8") for one in fields]
    except UnicodeDecodeError:
        raise _WrongError("a field is not UTF-8") from None
    for name, value in zip(texts[::2], texts[1::2]):
        if name in found:
            raise _WrongError("a field is there twice")
        found[name] = value
    return found


def _only(given: t.Mapping[str, str], known: t.Sequence[str], needed: t.Sequence[str]) -> None:
    if set(given) - set(known):
        raise _WrongError(f"it has other fields than {', '.join(known)}")
    for name in needed:
        if name not in given:
            raise _WrongError(f"{name} is missing")


def _number(text: str, name: str, most: int, least: int = 1) -> int:
    # \d and int() take other digits, blanks and signs.
    if _NUMBER.match(text) is None or not least <= int(text) <= most:
        raise _WrongError(f"{name} is not a number of {least} to {most}")
    return int(text)


def _time(given: t.Mapping[str, str], name: str) -> t.Optional[int]:
    return _number(given[name], name, LAST_SECOND) if name in given else None


def _subject(text: str) -> str:
    try:
        check_subject(text)
    except HostError as error:
        raise _WrongError(str(error)) from None
    return text


def _issue(
    stream: str, place: Id, given: t.Mapping[str, str], known: t.Sequence[str], needed: t.Sequence[str]
) -> Issue:
    _only(given, known, needed)
    if not is_token(given["token"]):
        raise _WrongError("token is not 16 to 128 of A-Z, a-z, 0-9, '_' and '-'")
    ends: t.Optional[int] = None
    if "ttl" in given:
        ends = place[0] + 1000 * _number(given["ttl"], "ttl", LAST_SECOND)
    if "expires_at" in given:
        if ends is not None:
            raise _WrongError("ttl and expires_at exclude each other")
        ends = 1000 * _number(given["expires_at"], "expires_at", LAST_SECOND)
    subject = _subject(given["subject"]) if "subject" in given else None
    return Issue(stream, place, given["token"], subject, ends)


def _operated(stream: str, place: Id, kind: str, given: t.Mapping[str, str]) -> Record:
    if kind == "issue":
        return _issue(stream, place, given, ("token", "subject", "ttl", "expires_at"), ("token",))
    if kind == "adopt":
        issued_at = _number(given.get("issued_at", ""), "issued_at", LAST_SECOND, 0)
        found = _issue(stream, place, given, ("token", "subject", "expires_at", "issued_at"), ("token",))
        return found._replace(issued=issued_at)
    if kind == "revoke":
        return _revocation(stream, place, given)
    if kind == "cut":
        return _cut_off(stream, place, given, ("subject",))
    raise _WrongError("type is not issue, adopt, revoke or cut: is this gate older than the rest of the fleet?")


def _revoked(stream: str, place: Id, kind: str, given: t.Mapping[str, str]) -> Record:
    if kind == "revoke":
        return _revocation(stream, place, given)
    if kind == "void":
        _only(given, ("issuer", "since"), ("issuer", "since"))
        since = parse_id(given["since"])
        if since is None or _NAME.match(given["issuer"]) is None:
            raise _WrongError("issuer or since is none")
        return Void(stream, place, given["issuer"], since)
    if kind == "cut":
        at = parse_id(given.get("at", ""))
        if at is None:
            raise _WrongError("at is no id")
        return _cut_off(stream, place, given, ("subject", "at"))._replace(at=at)
    raise _WrongError("type is not revoke, cut or void: is this gate older than the rest of the fleet?")


def _cut_off(stream: str, place: Id, given: t.Mapping[str, str], needed: t.Sequence[str]) -> CutOff:
    _only(given, (*needed, "before", "signed_before", "until"), needed)
    before, signed_before, until = (_time(given, name) for name in ("before", "signed_before", "until"))
    return CutOff(stream, place, _subject(given["subject"]), before, signed_before, until)


def _revocation(stream: str, place: Id, given: t.Mapping[str, str]) -> t.Union[Revocation, TakenBack]:
    if "token_id" in given:
        _only(given, ("token_id", "until"), ("token_id",))
        return TakenBack(stream, place, TOKENS, _id_of(given["token_id"], "token_id"), None, _time(given, "until"))
    if "subject_id" in given:
        _only(given, ("subject_id", "before", "until"), ("subject_id", "before"))
        name = _id_of(given["subject_id"], "subject_id")
        return TakenBack(stream, place, SUBJECTS, name, _time(given, "before"), _time(given, "until"))
    _only(given, ("fingerprint",), ("fingerprint",))
    if _FINGERPRINT.match(given["fingerprint"]) is None:
        raise _WrongError(f"fingerprint is not {LEAST_FINGERPRINT} to 64 of 0-9 and a-f")
    return Revocation(stream, place, given["fingerprint"])


def _id_of(text: str, name: str) -> str:
    if not is_id(text):
        raise _WrongError(f"{name} is not 64 of 0-9 and a-f")
    return text


# Writing


def issue(
    token: str, subject: t.Optional[str] = None, ttl: t.Optional[int] = None, expires_at: t.Optional[int] = None
) -> t.List[str]:
    """The fields of what an operator issues. An issuer's have no type, and a ttl."""
    words = ["type", "issue", "token", token]
    words += [] if subject is None else ["subject", subject]
    words += [] if ttl is None else ["ttl", str(ttl)]
    return words + ([] if expires_at is None else ["expires_at", str(expires_at)])


def revoke(fingerprint: str) -> t.List[str]:
    """The fields of a revocation."""
    return ["type", "revoke", "fingerprint", fingerprint]


def adopt(token: str, subject: t.Optional[str], issued_at: int, expires_at: t.Optional[int]) -> t.List[str]:
    """The fields of a token that was on gates before the hub. ``issued_at``: 0 where nobody knows."""
    words = ["type", "adopt", "token", token, "issued_at", str(issued_at)]
    words += [] if subject is None else ["subject", subject]
    return words + _times(expires_at=expires_at)


def cut_off(
    subject: str,
    before: t.Optional[int] = None,
    signed_before: t.Optional[int] = None,
    until: t.Optional[int] = None,
) -> t.List[str]:
    """The fields of a cut-off; without a time that of the record."""
    return ["type", "cut", "subject", subject, *_times(before=before, signed_before=signed_before, until=until)]


def cut_off_again(cut: CutOff) -> t.List[str]:
    """The fields of an operator's cut-off that the hub has lost, for a gate's own stream."""
    return [*cut_off(cut.subject, cut.before, cut.signed_before, cut.until), "at", id_text(cut.id)]


def take_back(kind: str, name: str, before: t.Optional[int] = None, until: t.Optional[int] = None) -> t.List[str]:
    """The fields of a signed token that is taken back, or of those of a subject, by their ids."""
    what = "token_id" if kind == TOKENS else "subject_id"
    return ["type", "revoke", what, name, *_times(before=before, until=until)]


def _times(**times: t.Optional[int]) -> t.List[str]:
    return [word for name, value in times.items() if value is not None for word in (name, str(value))]


def void(issuer: str, since: Id) -> t.List[str]:
    """The fields of what a gate has found ahead of the hub's clock."""
    return ["type", "void", "issuer", issuer, "since", id_text(since)]


def standing(
    place: Id,
    token: str,
    subject: t.Optional[str],
    expires_at: t.Optional[int],
    issued_at: t.Optional[int] = None,
) -> str:
    """The value of a token in `standing`; the field is its fingerprint. ``issued_at`` is for one that was adopted."""
    first = id_text(place) + ("" if issued_at is None else f",{issued_at}")
    return f"{first} {'-' if expires_at is None else expires_at} {token} {subject or ''}"
