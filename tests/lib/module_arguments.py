# Copyright: (c) 2026, wssgate contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands arguments to a module within a test, and has its output as a user gets it, by every ansible-core.

On a managed host's Python, 3.8 and newer.
"""

from __future__ import annotations

import contextlib
import json
import typing as t
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS

__all__ = ["IS_MASKED_BY_CONTROLLER", "patch_module_args"]

try:
    from ansible.module_utils.testing import patch_module_args as _given
except ImportError:  # ansible-core before 2.17

    @contextlib.contextmanager
    def _given(args: t.Mapping[str, t.Any]) -> t.Iterator[None]:
        content = json.dumps({"ANSIBLE_MODULE_ARGS": dict(args)}).encode()
        with mock.patch.object(basic, "_ANSIBLE_ARGS", content):
            yield


try:
    from ansible.module_utils import secrets
    from ansible.module_utils._internal import _secrets
except ImportError:  # ansible-core before 2.22 hides secrets in the module itself
    _secrets = None  # type: ignore[assignment]

# The controller hides a secret of one letter as well, wherever that letter stands, and no module can tell it not to.
IS_MASKED_BY_CONTROLLER = _secrets is not None
# What stands in place of a secret
PLACEHOLDER = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@contextlib.contextmanager
def _masked() -> t.Iterator[None]:
    """From 2.22 a module names its secrets beside its result, and it is the controller that hides them in it."""
    if _secrets is None:
        yield
        return
    record = basic.AnsibleModule._record_module_result
    # Each run of a module is a process of its own, which knows no other's secrets.
    own = _secrets.SecretMasker()

    def hidden(value: t.Any) -> t.Any:
        if isinstance(value, str):
            return own.mask_string(value, mask_placeholder=PLACEHOLDER)
        if isinstance(value, dict):
            return {key: hidden(one) for key, one in value.items()}
        return [hidden(one) for one in value] if isinstance(value, (list, tuple)) else value

    def as_shown(module: basic.AnsibleModule, result: t.Dict[str, t.Any]) -> None:
        result.pop("_ansible_new_secrets", None)
        record(module, hidden(result))

    with contextlib.ExitStack() as stack:
        for module in (_secrets, secrets):
            stack.enter_context(mock.patch.object(module, "_secret_masker", own))
        stack.enter_context(mock.patch.object(basic.AnsibleModule, "_record_module_result", as_shown))
        yield


@contextlib.contextmanager
def patch_module_args(args: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Within it, a module that is run gets these arguments."""
    given = dict(args)
    # From 2.21 a module tells what it was called with only where it is asked to.
    if "inject_invocation" in PASS_VARS:
        given.setdefault("_ansible_inject_invocation", True)
    with _given(given), _masked():
        yield
