# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel lends by a descriptor."""

from __future__ import annotations

import os
import typing as t

_Lent = t.TypeVar("_Lent", bound="Lent")


class Lent:
    """Something of the kernel with a descriptor, which becomes readable when something has happened."""

    fd: int

    @classmethod
    def or_none(cls: t.Type[_Lent]) -> t.Optional[_Lent]:
        """Return one; None where the system has none."""
        try:
            return cls()
        except OSError:
            return None

    def fileno(self) -> int:
        """The descriptor, as ``select`` asks for it."""
        return self.fd

    def close(self) -> None:
        """Give it back."""
        os.close(self.fd)
