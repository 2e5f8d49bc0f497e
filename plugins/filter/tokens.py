# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that show the results of the token modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ..plugin_utils import _token_report


def _telling(work: Callable[..., Any]) -> Callable[..., Any]:
    def filtered(results: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        try:
            return work(results, *arguments, **options)
        except _token_report.ReportError as error:
            raise AnsibleFilterError(str(error)) from error

    return filtered


class FilterModule:
    """Filters of the token playbooks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "token_adoption": _telling(_token_report.adoption),
            "token_changes": _telling(_token_report.changes),
            "token_change_lines": _telling(_token_report.change_lines),
            "token_issued": _telling(_token_report.issued),
            "token_issued_lines": _telling(_token_report.issued_lines),
            "token_list": _telling(_token_report.merge),
            "token_table": _telling(_token_report.lines),
            "token_time": _token_report.time_text,
        }
