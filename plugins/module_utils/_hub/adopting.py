# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the tokens that gates had before the hub are to be in it."""

from __future__ import annotations

import typing as t

from .._tokens.record import LAST_SECOND, fingerprint, is_token
from .._tokens.request import check_subject
from .error import HubError
from .merge import Merge


class Adopted(t.NamedTuple):
    """A token as it was on the gates. ``issued_at``: 0 where nobody knows."""

    token: str
    subject: t.Optional[str]
    issued_at: int
    expires_at: t.Optional[int]


class Adoption:
    """What is to be done with these tokens, each of which several gates may have. ``now`` in seconds."""

    def __init__(self, given: t.Sequence[t.Mapping[str, t.Any]], merge: Merge, now: int) -> None:
        self.wanted: t.List[Adopted] = []
        self.left_alone: t.List[t.Dict[str, str]] = []
        tokens: t.Dict[str, t.List[Adopted]] = {}
        for index, one in enumerate(given):
            found = _read(one, index)
            tokens.setdefault(found.token, []).append(found)
        for token, versions in tokens.items():
            found, why = _agreed(versions)
            # By the hub's clock it was not issued later than now. A cut-off that comes is to be one of it.
            found = found._replace(issued_at=min(found.issued_at, now))
            why = why or _known(found, merge, now)
            if why:
                self.left_alone.append({"fingerprint": fingerprint(token), "reason": why})
            else:
                self.wanted.append(found)


def _read(given: t.Mapping[str, t.Any], index: int) -> Adopted:
    """One of those that were given. No message holds a token."""
    token, subject = given.get("token"), given.get("subject")
    if not isinstance(token, str) or not is_token(token):
        raise HubError(f"adopt[{index}] has no token")
    if subject is not None:
        check_subject(str(subject))
    return Adopted(
        token,
        None if subject is None else str(subject),
        _time(given.get("issued_at"), "issued_at", index) or 0,
        _time(given.get("expires_at"), "expires_at", index),
    )


def _time(value: t.Any, name: str, index: int) -> t.Optional[int]:
    # Through older Ansible a number comes as text, and None as such, too.
    if value is None or value in ("", "None"):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= LAST_SECOND:
        raise HubError(f"adopt[{index}] has no time in seconds since 1970 in {name}")
    return number


def _agreed(versions: t.Sequence[Adopted]) -> t.Tuple[Adopted, str]:
    """What gates have of one token, as one; and why that is not possible."""
    first = versions[0]
    if len({one.subject for one in versions}) > 1:
        return first, "gates have it for different subjects"
    ends = [one.expires_at for one in versions if one.expires_at is not None]
    return (
        first._replace(issued_at=min(one.issued_at for one in versions), expires_at=min(ends) if ends else None),
        "",
    )


def _known(found: Adopted, merge: Merge, now: int) -> str:
    if found.expires_at is not None and found.expires_at <= now:
        return "it has expired"
    issue = merge.issue_of(found.token)
    if issue is not None and (issue.ends is None or issue.ends > now * 1000):
        return "the hub has it"
    revoked = "it was revoked through the hub"
    # A revocation may be of its first digits alone, and of a token that the hub never had.
    if merge.is_barred(found.token):
        return revoked
    if found.subject is not None and merge.is_cut_off(found.subject, found.issued_at or None):
        return revoked
    return ""
