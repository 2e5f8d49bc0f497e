# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a provider of certificates is on the controller."""

from __future__ import annotations

import typing as t

from ..reading import Read


class Certificate(t.NamedTuple):
    """An item of certificates_list, as far as it was read, and where to note what is wrong with it."""

    where: str
    item: t.Mapping[str, t.Any]
    # The right ones among subject_alt_names, in their one form
    names: t.Sequence[str]
    # days and renew_before_days with their defaults; nothing where one of them is wrong
    numbers: t.Mapping[str, int]
    # What goes to wss_certificate
    completed: t.Dict[str, t.Any]
    problems: t.List[str]
    read: Read
    # Names in certificates_authorities; None where nobody knows them
    authorities: t.Optional[t.Collection[str]]

    def note(self, problem: str) -> None:
        self.problems.append(f"{self.where}: {problem}")

    def refuse(self, provider: str, keys: t.Iterable[str]) -> None:
        """Note which of the keys are given though they mean nothing here."""
        for key in keys:
            if self.item.get(key):
                self.note(f"{key} does not go with provider {provider}")


class Provider:
    """One way to come by a certificate: what it takes of certificates_list, and its checks."""

    name = ""
    # Keys that no other provider takes
    own: t.Tuple[str, ...] = ()
    # Whether it cannot do without subject_alt_names
    needs_names = True
    # Whether its authority asks an nginx of the host
    needs_gate = False
    # What playbook check says of a certificate that ends soon, and of one that signs itself
    remedy = "bring a new one"
    if_self_signed = ""

    def check(self, certificate: Certificate) -> None:
        """Note what is wrong, and complete what goes to the module."""
