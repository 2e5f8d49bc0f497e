# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was asked for, what is there, and what is to be done about it."""

from __future__ import annotations

import typing as t


class Spec(t.NamedTuple):
    """One certificate as it was asked for."""

    name: str
    provider: str
    certificate_path: str
    key_path: str
    names: t.Tuple[str, ...] = ()
    common_name: t.Optional[str] = None
    key_type: str = "P-256"
    days: int = 397
    renew_before_days: int = 30
    reuse_key: bool = False
    certificate_content: t.Optional[str] = None
    key_content: t.Optional[str] = None
    remote: bool = False
    symlinks_allowed: bool = False
    # With an authority of one's own: its name and certificate, and what it has just signed
    authority: t.Optional[str] = None
    issuer: t.Optional[str] = None
    issued: t.Optional[str] = None
    # What the provider takes besides
    own: t.Mapping[str, t.Any] = {}

    @property
    def next_key_path(self) -> str:
        """Where a new key waits for its certificate."""
        return self.key_path + ".next"


class Pair(t.NamedTuple):
    """A certificate file and its key file, as bytes; None is a file that is not there."""

    certificate: t.Optional[bytes] = None
    key: t.Optional[bytes] = None


class Plan(t.NamedTuple):
    """What is to be done about one certificate."""

    spec: Spec
    before: Pair
    after: Pair
    facts_before: t.Dict[str, t.Any]
    facts: t.Dict[str, t.Any]
    reasons: t.Tuple[str, ...] = ()
    wrong_attributes: t.Tuple[str, ...] = ()
    due: t.Tuple[str, ...] = ()
    needs_request: bool = False
    # What a killed run has left
    interrupted: t.Tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything on the disk is to change."""
        return self.before != self.after or bool(self.wrong_attributes) or self.needs_request or bool(self.interrupted)
