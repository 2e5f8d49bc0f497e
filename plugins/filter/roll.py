# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for changes that hosts get one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils import _roll


def roll_batches(hosts: Sequence[str], serial: Any = "100%", canaries: Sequence[str] | None = None) -> list[list[str]]:
    """The hosts in the order in which they get a change."""
    try:
        return _roll.batches(hosts, serial, canaries)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "roll_batches": roll_batches,
            "roll_in_rotation": _roll.in_rotation,
            "roll_problem": _roll.problem,
            "worse_answers": _roll.worse_answers,
            "worse_gates": _roll.worse_gates,
        }
