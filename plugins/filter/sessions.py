# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that show the results of the session modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ..plugin_utils import _session_report
from ..plugin_utils._token_report import ReportError


def _telling(work: Callable[..., Any]) -> Callable[..., Any]:
    def filtered(results: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        try:
            return work(results, *arguments, **options)
        except ReportError as error:
            raise AnsibleFilterError(str(error)) from error

    return filtered


class FilterModule:
    """Filters of the session playbooks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "session_ends": _telling(_session_report.ends),
            "session_end_lines": _telling(_session_report.end_lines),
            "session_list": _telling(_session_report.merge),
            "session_table": _telling(_session_report.lines),
        }
