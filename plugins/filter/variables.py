# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that gives the roles' variables their types."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ..plugin_utils import _role_variables


def typed(value: t.Any, variable: str, type: t.Optional[str] = None) -> t.Any:  # pylint: disable=redefined-builtin
    spec: t.Mapping[str, t.Any] = {"type": type}
    if type is None:
        specs = [_role_variables.options_of(role).get(variable) for role in _role_variables.ROLE_NAMES]
        spec = next((found for found in specs if found), {})
        if not spec:
            raise AnsibleFilterError(f"typed: no role has a variable {variable}")
    problems: t.List[str] = []
    value = _role_variables.typed(value, spec, variable, problems)
    if problems:
        raise AnsibleFilterError("; ".join(problems))
    return value


class FilterModule:
    """Filters of the roles' variables."""

    def filters(self) -> t.Dict[str, t.Callable[..., t.Any]]:
        return {"typed": typed}
