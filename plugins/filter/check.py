# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of playbook check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..plugin_utils import _check_report, _check_summary


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "check_nagios": _check_summary.nagios_line,
            "check_report": _check_report.report,
            "check_summary": _check_summary.summary,
            "check_table": _check_report.lines,
            "gate_targets": _check_report.targets,
        }
