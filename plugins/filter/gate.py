# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that check and prepare what role wss_proxy renders."""

from __future__ import annotations

import base64
import hashlib
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

from ..plugin_utils import _check_report
from ..plugin_utils._gate import model, needs, probes


Context = t.Optional[t.Mapping[str, t.Any]]


def _read_once(context: Context) -> t.Dict[str, t.Any]:
    """The context, whose values Ansible else works out whenever they are looked at."""
    return dict((context or {}).items())


def gate_errors(servers: t.Any, context: Context = None) -> t.List[str]:
    context = _read_once(context)
    for warning in model.gate_warnings(servers, context):
        Display().warning(warning)
    return model.gate_errors(servers, context)


def gate_model(servers: t.Any, context: Context = None) -> t.Dict[str, t.Any]:
    try:
        return model.gate_model(servers, _read_once(context))
    except model.GateError as error:
        raise AnsibleFilterError(str(error)) from error


def gate_needs(servers: t.Any, context: Context = None) -> t.Dict[str, t.Any]:
    return needs.gate_needs(servers, _read_once(context))


def gate_probes(model_of_gate: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    return probes.probes_of(_check_report.targets(model_of_gate, [], "/"))


def gate_upstream_headers(servers: t.Any, context: Context = None) -> t.List[t.Dict[str, t.Any]]:
    try:
        return model.gate_upstream_headers(servers, _read_once(context))
    except model.GateError as error:
        raise AnsibleFilterError(str(error)) from error


def csp_hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"


class FilterModule:
    """Filters of the gate."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {
            "csp_hash": csp_hash,
            "gate_errors": gate_errors,
            "gate_model": gate_model,
            "gate_needs": gate_needs,
            "gate_probes": gate_probes,
            "gate_upstream_headers": gate_upstream_headers,
        }
