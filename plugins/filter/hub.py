# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that read what role token_hub has seen on a host and what it reports."""

from __future__ import annotations

import typing as t

from ..plugin_utils._hub import hosts, report


def hub_found(text: t.Any) -> t.Dict[str, t.Any]:
    return hosts.found(str(text))


def hub_report(found: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {**report.report(found), "line": report.line(found)}


def hub_gate_lines(found: t.Mapping[str, t.Any], hosts_of_gates: t.Mapping[str, str]) -> t.List[str]:
    return report.gate_lines(found, hosts_of_gates)


class FilterModule:
    """Filters of the hub."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"hub_found": hub_found, "hub_gate_lines": hub_gate_lines, "hub_report": hub_report}
