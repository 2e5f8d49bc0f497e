# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a call of wss_token asks for, and whether that makes sense."""

from __future__ import annotations

import re
import time
import typing as t
import unicodedata

from .record import (
    LAST_SECOND,
    Attributes,
    StoreError,
    is_token,
    why_not_a_token,
)

SUBJECT_LIMIT = 255
NAMED_AT_MOST = 10  # indexes in one error message

_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}\Z")


class Request(t.NamedTuple):
    """The arguments of wss_token that decide what happens to files."""

    state: str = "present"
    tokens: t.Optional[t.Sequence[str]] = None
    generate: t.Optional[int] = None
    subject: t.Optional[str] = None
    # A tuple has a method of this name, which nobody calls here.
    count: t.Optional[int] = None  # type: ignore[assignment]
    ttl: t.Optional[int] = None
    expires_at: t.Optional[int] = None
    renew_before: t.Optional[int] = None
    exclusive: bool = False
    allow_empty: bool = False
    fingerprints: t.Optional[t.Sequence[str]] = None
    expired: bool = False
    disconnect: bool = False
    attributes: Attributes = Attributes()

    @property
    def is_managed(self) -> bool:
        return self.subject is not None or self.ttl is not None or self.expires_at is not None


def time_text(moment: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    except (ValueError, OverflowError, OSError):
        return str(moment)


def check_subject(subject: str) -> None:
    if not subject:
        raise StoreError("subject must not be empty")
    try:
        size = len(subject.encode("utf-8"))
    except UnicodeEncodeError:
        raise StoreError("subject must be text that UTF-8 can hold") from None
    if size > SUBJECT_LIMIT:
        raise StoreError(f"subject is too long: {size} bytes, at most {SUBJECT_LIMIT} are allowed")
    for position, character in enumerate(subject):
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise StoreError(f"subject holds a control character at position {position}")


def check_tokens(tokens: t.Sequence[str]) -> None:
    """Refuse what is not a token, by its index: the value may be a secret with one character too many."""
    bad = [index for index, token in enumerate(tokens) if not is_token(token)]
    if not bad:
        return
    more = [str(index) for index in bad[1 : NAMED_AT_MOST + 1]]
    others = f" (and {len(bad) - 1} more, at {', '.join(more)})" if more else ""
    raise StoreError(f"tokens[{bad[0]}] is not a token: {why_not_a_token(tokens[bad[0]])}{others}; nothing was changed")


def check_fingerprints(fingerprints: t.Sequence[str]) -> None:
    for index, value in enumerate(fingerprints):
        if _FINGERPRINT.match(value) is None:
            # Not repeated: whoever mixes up the two options gives a token here.
            raise StoreError(f"fingerprints[{index}] is not a fingerprint: 8 to 64 digits of 0-9 and a-f are needed")


def check_request(request: Request, now: float) -> None:
    """Refuse what contradicts itself, before anything is looked at."""
    check_tokens(request.tokens or ())
    check_fingerprints(request.fingerprints or ())
    if request.subject is not None:
        check_subject(request.subject)
    for name, value, least in (("generate", request.generate, 0), ("count", request.count, 1)):
        if value is not None and value < least:
            raise StoreError(f"{name} must be {least} or more, not {value}")
    if request.ttl is not None and request.expires_at is not None:
        raise StoreError("ttl and expires_at exclude each other: give one")
    if request.ttl is not None and request.ttl <= 0:
        raise StoreError(f"ttl must be a number of seconds above 0, not {request.ttl}")
    if request.ttl is not None and now + request.ttl > LAST_SECOND:
        raise StoreError("ttl ends after the year 9999: is it in seconds?")
    if request.expires_at is not None:
        if request.expires_at > LAST_SECOND:
            raise StoreError("expires_at is after the year 9999: it must be in seconds, not milliseconds")
        if request.expires_at <= now:
            raise StoreError(f"expires_at is in the past: {time_text(request.expires_at)}")
    if request.state == "present":
        _check_present(request)
    else:
        _check_absent(request)


def _check_present(request: Request) -> None:
    if request.disconnect and not request.exclusive:
        raise StoreError("disconnect is for state=absent and for exclusive")
    for name, given in (("fingerprints", request.fingerprints is not None), ("expired", request.expired)):
        if given:
            raise StoreError(f"{name} is for state=absent")
    nothing_named = not request.tokens and not request.generate
    if request.exclusive and nothing_named and request.subject is None and not request.allow_empty:
        raise StoreError(
            "exclusive with an empty list would remove every token of the store: "
            "set allow_empty=true if that is what you want"
        )
    if request.tokens is None and request.generate is None and request.subject is None and not request.exclusive:
        raise StoreError("nothing is asked for: give tokens, generate or subject")
    if request.count is not None:
        if request.subject is None:
            raise StoreError("count needs subject")
        if request.tokens is not None or request.generate is not None:
            raise StoreError("count is for a subject alone: leave out tokens and generate")
    if request.renew_before is not None:
        if request.ttl is None:
            raise StoreError("renew_before needs ttl")
        if not 0 < request.renew_before < request.ttl:
            raise StoreError(f"renew_before must be above 0 and below ttl ({request.ttl}), not {request.renew_before}")


def _check_absent(request: Request) -> None:
    for name, given in (
        ("generate", request.generate is not None),
        ("count", request.count is not None),
        ("ttl", request.ttl is not None),
        ("expires_at", request.expires_at is not None),
        ("renew_before", request.renew_before is not None),
        ("exclusive", request.exclusive),
    ):
        if given:
            raise StoreError(f"{name} is for state=present")
    # Would subject and expired together mean both or either? A wrong guess removes valid tokens.
    named = request.tokens is not None or request.fingerprints is not None
    ways = [named, request.subject is not None, request.expired]
    if sum(ways) == 0:
        raise StoreError("nothing is asked for: give tokens, fingerprints, subject or expired=true")
    if sum(ways) > 1:
        raise StoreError("give one of tokens and fingerprints, subject, expired=true, not several")
