# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the playbook that signs tokens."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..plugin_utils import _jwt_report
from ..plugin_utils._gate import signing
from ..plugin_utils._token_report import ReportError


def _telling(work: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    def filtered(result: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
        try:
            return work(result, *arguments, **options)
        except ReportError as error:
            raise AnsibleFilterError(str(error)) from error

    return filtered


class FilterModule:
    """Filters of signed tokens."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {
            "jwt_issued": _telling(_jwt_report.issued),
            "jwt_issued_lines": _telling(_jwt_report.issued_lines),
            "jwt_plan": signing.plan,
        }
