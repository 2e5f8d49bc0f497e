# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that check and prepare what role balancer renders, and tell what balancers do."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..plugin_utils import _balancer_report
from ..plugin_utils._balancer import model


def balancer_errors(context: t.Any) -> t.List[str]:
    return model.errors(context)


def balancer_model(context: t.Any) -> t.Dict[str, t.Any]:
    try:
        return model.model(context)
    except model.BalancerError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of balancers."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {
            "balancer_errors": balancer_errors,
            "balancer_lines": _balancer_report.lines,
            "balancer_model": balancer_model,
            "balancer_report": _balancer_report.report,
        }
