# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gate knows as taken back, as lines of a file: what a hub that is restored from an old backup may have lost.

A line is ``SUM KIND UNTIL WORDS``: the CRC-32 of the rest, in 8 hexadecimal digits, what it is, and until when it is to
be kept, in seconds since 1970. By kind the words are

- ``token``: the fingerprint, or a part of it, the id of the operators' last revocation, the millisecond of the gates';
- ``lifted``: the fingerprint of a token that an operator has issued anew;
- ``cut``: the id of the record, its three times (``-`` for none), and the subject, which may have blanks in it;
- ``signed``: the kind, the name, and the time of issue (``-`` for none);
- ``void``: the issuer, and the id from which on nothing of its stream counts.

Of two lines about the same the later one counts. Nothing here reads or writes a file.
"""

from __future__ import annotations

import binascii
import re
import typing as t

from .._revocations.store import KINDS, is_id
from .._tokens.record import LAST_SECOND
from .merge import TOLERANCE, WHOLE, Merge, Revoked, Signed
from .records import LEAST_FINGERPRINT, LONGEST, OPERATE, CutOff, id_text, parse_id

TOKEN, LIFTED, CUT, SIGNED, VOID = b"token", b"lifted", b"cut", b"signed", b"void"
# Seconds that is kept what may concern a token without an end: as long as a gate's own stream has it
ENDLESS = 2 * LONGEST
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{LEAST_FINGERPRINT},{WHOLE}}}\Z")
_ISSUER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")


class WrongLine(ValueError):
    """What is no line of these."""


class Line(t.NamedTuple):
    """A line, and what it is about. ``is_guess``: nobody knows the end of the token, so that a later one may count."""

    about: str
    text: bytes
    until: int
    is_guess: bool = False


def line_of(kind: bytes, until: int, *words: str) -> bytes:
    """A line, with its end."""
    rest = b" ".join([kind, b"%d" % until, *(word.encode("utf-8", "surrogatepass") for word in words)])
    return b"%08x %s\n" % (binascii.crc32(rest), rest)


def words_of(line: bytes) -> t.Tuple[bytes, int, str]:
    """The kind of a line, its ``until`` and its words; WrongLine where it is none."""
    found, _blank, rest = line.partition(b" ")
    kind, _blank, more = rest.partition(b" ")
    until, _blank, words = more.partition(b" ")
    if found != b"%08x" % binascii.crc32(rest) or not until.isdigit():
        raise WrongLine
    try:
        return kind, min(int(until), LAST_SECOND), words.decode("utf-8")
    except ValueError:
        raise WrongLine from None


def with_until(line: Line, until: int) -> Line:
    """A line that is kept longer."""
    kind, _until, words = words_of(line.text[:-1])
    return Line(line.about, line_of(kind, until, words), until)


# What is to be written


def of_token(merge: Merge, fingerprint: str) -> t.Optional[Line]:
    """What is known of a token that was revoked; None where nothing is."""
    revoked = merge.revocation_of(fingerprint)
    if revoked is None:
        return None
    about = f"token {fingerprint}"
    if merge.is_lifted(fingerprint):
        return Line(about, line_of(LIFTED, 0, fingerprint), 0)
    at = max(revoked.operated[0], revoked.millisecond) // 1000
    ends = merge.ends_of(fingerprint)
    until = at + ENDLESS if len(fingerprint) < WHOLE else _end(ends, at) if ends else at + _unknown(merge)
    words = (fingerprint, id_text(revoked.operated), str(revoked.millisecond))
    return Line(about, line_of(TOKEN, until, *words), until, not ends)


def of_subjects(merge: Merge, subjects: t.AbstractSet[str]) -> t.Iterator[Line]:
    """The cut-offs of these subjects."""
    ends: t.Dict[str, t.List[t.Optional[int]]] = {}
    for subject, end in merge.operated_ends(subjects) if subjects else ():
        ends.setdefault(subject, []).append(end)
    for subject in subjects:
        for cut in merge.cut_offs(subject):
            at = cut.id[0] // 1000
            until = max(at + _unknown(merge), _end(ends.get(subject, ()), at))
            times = (_optional(one) for one in (cut.before, cut.signed_before, cut.until))
            text = line_of(CUT, until, id_text(cut.id), *times, subject)
            yield Line(_about_cut(cut), text, until)


def of_signed(merge: Merge, key: t.Tuple[str, str]) -> t.Optional[Line]:
    """What is taken back of signed tokens."""
    found = merge.signed.get(key)
    if found is None:
        return None
    text = line_of(SIGNED, found.until, *key, _optional(found.before))
    return Line(f"signed {key[0]} {key[1]}", text, found.until)


def of_void(merge: Merge, issuer: str) -> t.Optional[Line]:
    """From where on nothing of an issuer's stream counts."""
    since = merge.voids().get(issuer)
    if since is None:
        return None
    until = min(since[0] // 1000 + ENDLESS, LAST_SECOND)
    return Line(f"void {issuer}", line_of(VOID, until, issuer, id_text(since)), until)


def _end(ends: t.Iterable[t.Optional[int]], at: int) -> int:
    """When the last of these is over, by any clock; ends in milliseconds, the rest in seconds."""
    return max((at + ENDLESS if end is None else (end + TOLERANCE) // 1000 + 1 for end in ends), default=0)


def _unknown(merge: Merge) -> int:
    """Seconds for which an issue may count that this gate has not read: as long as its issuer's stream has it."""
    return 2 * max((rules.max_ttl for rules in merge.issuers.values()), default=0) + 3600


def _optional(value: t.Optional[int]) -> str:
    return "-" if value is None else str(value)


# What was read


class Held(t.NamedTuple):
    """What a line has: what it is about, until when, and how a merge gets to know it."""

    about: str
    until: int
    hold: t.Callable[[Merge], object]


def read(line: bytes) -> Held:
    """What a line has, without its end of line; WrongLine where it is none."""
    kind, until, text = words_of(line)
    reader = _READERS.get(kind)
    if reader is None:
        raise WrongLine
    return reader(until, text)


def _read_token(until: int, text: str) -> Held:
    fingerprint, operated, millisecond = _split(text, 3)
    place = parse_id(operated)
    if place is None or _FINGERPRINT.match(fingerprint) is None:
        raise WrongLine
    found = Revoked(place, _number(millisecond, least=-1))
    return Held(f"token {fingerprint}", until, lambda merge: merge.hold_revocation(fingerprint, found))


def _read_lifted(_until: int, text: str) -> Held:
    if _FINGERPRINT.match(text) is None:
        raise WrongLine
    return Held(f"token {text}", 0, lambda merge: None)


def _read_cut(until: int, text: str) -> Held:
    id_of_record, before, signed_before, signed_until, subject = _split(text, 5)
    place = parse_id(id_of_record)
    if place is None or not subject:
        raise WrongLine
    cut = CutOff(OPERATE, place, subject, _time(before), _time(signed_before), _time(signed_until))
    return Held(_about_cut(cut), until, lambda merge: merge.hold_cut_off(cut))


def _read_signed(until: int, text: str) -> Held:
    kind, name, before = _split(text, 3)
    if kind not in KINDS or not is_id(name):
        raise WrongLine
    found = Signed(until, _time(before))
    return Held(f"signed {kind} {name}", until, lambda merge: merge.hold_signed((kind, name), found))


def _read_void(until: int, text: str) -> Held:
    issuer, id_of_record = _split(text, 2)
    since = parse_id(id_of_record)
    if since is None or _ISSUER.match(issuer) is None:
        raise WrongLine
    place = since
    return Held(f"void {issuer}", until, lambda merge: merge.hold_void(issuer, place))


_READERS: t.Dict[bytes, t.Callable[[int, str], Held]] = {
    TOKEN: _read_token,
    LIFTED: _read_lifted,
    CUT: _read_cut,
    SIGNED: _read_signed,
    VOID: _read_void,
}


def _about_cut(cut: CutOff) -> str:
    return f"cut {id_text(cut.id)} {cut.before} {cut.subject}"


def _split(text: str, count: int) -> t.List[str]:
    found = text.split(" ", count - 1)
    if len(found) != count:
        raise WrongLine
    return found


def _time(text: str) -> t.Optional[int]:
    return None if text == "-" else _number(text)


def _number(text: str, least: int = 0) -> int:
    try:
        found = int(text)
    except ValueError:
        raise WrongLine from None
    if not least <= found < 2**64:
        raise WrongLine
    return found
